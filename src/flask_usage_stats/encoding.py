"""From rows to JSON bytes, never through the host's ``app.json``: hosts replace it, and it would change our bytes."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from . import values
from .fields import FIELDS, PROJECTS, SUCCESS, TOTAL
from .values import Number

_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATETIME
_UTC: Final = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
_MICROSECONDS: Final = b'000Z"'  # how orjson ends a date of whole milliseconds, unless it has whole seconds
_OPEN_ROW: Final = b'%bZ"%bZ"'
_LAST_DATE: Final = len(f',"{FIELDS[-1].name}":"2024-03-14T10:15:00.000')


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


def encode_rows(documents: Sequence[Mapping[str, Any]]) -> list[bytes] | None:
    """Write many rows at once, which costs a tenth of writing their dates one by one.

    Each row begins with the end of the row before it, and lacks its own: ``},{"_id":"507f1f77bcf86cd799439011",...``.
    Of its bytes nothing but :func:`encode_answer` needs to know.

    :param documents: mappings with every field of the contract in its order: an ObjectId, texts, an integer,
        and two naive UTC datetimes, neither at a whole second.
    :returns: the rows; ``None`` where one does not fit after all (text that is no Unicode, an integer beyond 64
        bits, microseconds, a text that ends as a date does), and :func:`encode_row` has to write each.
    """
    try:
        text = orjson.dumps(documents, default=values.hex_of, option=_UTC)
    except orjson.JSONEncodeError:
        return None
    # orjson formats a date ten times as fast as Python, but with three digits too many: every row is cut
    # where they stand, behind each of its dates. A cut elsewhere would make a last piece of another length.
    pieces = (b"}," + text[1:]).split(_MICROSECONDS)
    starts, ends = pieces[:-1:2], pieces[1::2]
    if len(pieces) != 2 * len(documents) + 1 or set(map(len, ends)) != {_LAST_DATE}:
        return None
    return list(map(_OPEN_ROW.__mod__, zip(starts, ends, strict=True)))


def encode_row(row: Mapping[str, object]) -> bytes:
    """Write one row of any shape, in the form of :func:`encode_rows`."""
    return b"}," + encode(row)[:-1]


def encode_answer(total: Number, rows: Sequence[bytes]) -> bytes:
    """Write the body of an answer around its rows, in their order."""
    body = encode({SUCCESS: True, TOTAL: total, PROJECTS: []})
    return b"".join([body[:-2], rows[0][2:], *rows[1:], b"}]}"]) if rows else body


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return values.iso_of(value)
    raise TypeError(f"{type(value).__name__} has no form in the contract")
