"""From rows to JSON bytes, never through the host's ``app.json``: hosts replace it, and it would change our bytes."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import orjson

from . import values

_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATETIME


def encode(body: Mapping[str, object]) -> bytes:
    """Write an answer as UTF-8 JSON, keys in the order given.

    .. code-block:: pycon

        >>> from datetime import datetime
        >>> encode({"totalRequest": 2**64, "updatedAt": datetime(2024, 3, 14, 10, 15)})
        b'{"totalRequest":18446744073709551616,"updatedAt":"2024-03-14T10:15:00.000Z"}'

    :param body: names to text, numbers, booleans, ``None``, naive UTC datetimes, and lists and mappings of these.
    :raises TypeError: for a value of another type.
    """
    try:
        return orjson.dumps(body, default=_text, option=_OPTIONS)
    except orjson.JSONEncodeError:  # an integer beyond 64 bits, which JSON allows
        text = json.dumps(body, default=_text, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return values.iso_of(value)
    raise TypeError(f"{type(value).__name__} has no form in the contract")
