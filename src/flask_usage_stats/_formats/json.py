"""From rows to JSON bytes, never through the host's ``app.json``: hosts replace it, and it would change our bytes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import orjson
from bson import ObjectId

from .._core import values
from .._core.fields import FIELDS, PROJECTS, SUCCESS, TOTAL, Kind
from .._core.values import Number

_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATETIME
_DATES: Final = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
_POINT: Final = ord(".")
_TWO: Final = sum(kind is Kind.DATE for _, kind in FIELDS)
# From behind the milliseconds of the last date but one to behind those of the last.
_LAST: Final = len(f'Z","{FIELDS[-1].name}":"2024-03-14T10:15:00.000')


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


def encode_rows(rows: Iterable[Mapping[str, Any]], dates: int) -> list[bytes]:
    """Write rows one by one, each let go as soon as it is written, with dates that cost next to nothing.

    orjson formats a date ten times as fast as Python, but with six digits behind the point, or none at
    a whole second. Dates are the last fields of a row, so the digits are mended where they are known to stand.

    :param rows: names to text, integers, ObjectIds and ``None``, with UTC datetimes last.
    :param dates: how many datetimes each row ends with: none, one or two.
    :raises TypeError: a text is no Unicode, an integer is beyond 64 bits, or a datetime is not in UTC.
    """
    dumps, hex_of = orjson.dumps, ObjectId.__str__
    if not dates:
        # A copy: behind each result, orjson keeps the whole buffer that it wrote into.
        return [bytes(memoryview(dumps(row, hex_of))) for row in rows]
    encoded = []
    for row in rows:
        text = dumps(row, hex_of, _DATES)
        if dates == _TWO and text[-10] == _POINT == text[-_LAST - 13]:  # neither is at a whole second
            encoded.append(text[: -_LAST - 9] + text[-_LAST - 6 : -6] + b'Z"}')
        else:
            encoded.append(_mended(text, dates))
    return encoded


def _mended(text: bytes, dates: int) -> bytes:
    text = _cut(text[:-3], text[-3:])
    if dates == _TWO:
        text = _cut(text[:-_LAST], text[-_LAST:]) + text[-_LAST:]
    return text + b'Z"}'


def _cut(text: bytes, rest: bytes) -> bytes:
    """Leave three digits behind the point of the date that a text ends with."""
    if not rest.startswith(b'Z"'):
        raise TypeError("a datetime is not in UTC")
    return text[:-3] if text[-7] == _POINT else text + b".000"


def encode_answer(total: Number, rows: Sequence[bytes], more: Mapping[str, object] = MappingProxyType({})) -> bytes:
    """Write the body of an answer around its rows, in their order.

    :param more: what the request asked for besides, behind the rows.
    """
    end = b"]" + (b"," + encode(more)[1:] if more else b"}")
    return b"".join([encode({SUCCESS: True, TOTAL: total, PROJECTS: []})[:-2], b",".join(rows), end])


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return values.format_datetime(value)
    raise TypeError(f"{type(value).__name__} has no form in the contract")
