"""Conversion of stored values to the values of a response.

Every BSON type is covered, and so are the types that a store on another database may return.
A converter returns ``None`` for a value that its field cannot represent.
"""

import hashlib
import math
from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, TypeAlias
from uuid import UUID

from bson import Code, Decimal128, ObjectId
from bson.binary import UuidRepresentation
from bson.datetime_ms import DatetimeMS
from bson.json_util import CANONICAL_JSON_OPTIONS, dumps

Number: TypeAlias = int | float

#: What the sort key of an ObjectId begins with, before its bytes.
OBJECT_ID_PREFIX: Final = b"\3"

_MAX_SAFE_INTEGER: Final = 2**53 - 1  # ECMA-262, Number.MAX_SAFE_INTEGER: browsers round larger ones
_MAX_ID_BITS: Final = 1024  # far below the size that Python refuses to format
_MAX_KEY_LENGTH: Final = 200  # characters
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 # naive UTC, as PyMongo returns dates
_MILLISECOND: Final = timedelta(milliseconds=1)
_EXTENDED_JSON: Final = CANONICAL_JSON_OPTIONS.with_options(uuid_representation=UuidRepresentation.STANDARD)


def fits_int64(number: int) -> bool:
    """Return whether BSON can store an integer."""
    return -(2**63) <= number < 2**63


def is_safe_integer(number: int) -> bool:
    """Return whether every JSON parser reads an integer exactly."""
    return -_MAX_SAFE_INTEGER <= number <= _MAX_SAFE_INTEGER


def to_count(value: object) -> Number | None:
    """Convert a finite number exactly; a whole number becomes an ``int`` whatever its stored type.

    :returns: the number, or ``None`` for any other value and for numbers that round to no double.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    if not isinstance(value, int | float | Decimal):
        return None
    try:
        double = float(value)
    except (OverflowError, ValueError):  # an int too large for a double; a signaling NaN
        return None
    if not math.isfinite(double):
        return None
    if isinstance(value, int) or value == math.floor(value):
        return int(value)
    return int(double) if double.is_integer() else double


def to_text(value: object) -> str | None:
    """Convert a scalar to text: numbers as in JSON, dates as ISO 8601, invalid Unicode to U+FFFD.

    :returns: the text, or ``None`` for documents, arrays, binary data and any other type.
    """
    if isinstance(value, str):
        return None if isinstance(value, Code) else _replace_surrogates(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _format_number(value)
    if isinstance(value, ObjectId | UUID | Decimal128 | Decimal):
        return str(value)
    if isinstance(value, datetime | DatetimeMS):
        return to_date(value)
    return None


def to_date(value: object) -> str | None:
    """Convert a date to ISO 8601 in UTC with milliseconds; text is returned unchanged.

    :returns: the text, or ``None`` for dates outside the years 1 to 9999 and for any other type.
    """
    try:
        if isinstance(value, datetime):
            return format_datetime(value.replace(tzinfo=None) - (value.utcoffset() or timedelta()))
        if isinstance(value, DatetimeMS):
            return format_datetime(_EPOCH + int(value) * _MILLISECOND)
    except OverflowError:
        return None
    return _replace_surrogates(value) if isinstance(value, str) and not isinstance(value, Code) else None


def format_datetime(moment: datetime) -> str:
    """Format a naive UTC datetime as ISO 8601 with milliseconds and ``Z``.

    :raises ValueError: the datetime is aware.
    """
    if moment.tzinfo is not None:
        raise ValueError("an aware datetime must be converted first")
    return moment.isoformat(timespec="milliseconds") + "Z"


def get_date_sort_key(date: object) -> int | None:
    """Return the milliseconds from 1970 to a date, as stored or as converted.

    :returns: the milliseconds, or ``None`` for text that is not an ISO 8601 date and for any other type.
    """
    if isinstance(date, str):
        try:
            date = datetime.fromisoformat(date)
        except ValueError:
            return None
    if not isinstance(date, datetime):
        return None
    offset = date.utcoffset() or timedelta()
    return (date.replace(tzinfo=None) - _EPOCH - offset) // _MILLISECOND


def to_id(value: object) -> str | int | None:
    """Convert an ``_id``: ObjectIds to hex, UUIDs to their usual form, unsafe integers to text.

    :returns: text and integers of up to 53 bits as they are, any other type as canonical Extended JSON;
        ``None`` for null and for values that Extended JSON does not support.
    """
    if isinstance(value, ObjectId | UUID):
        return str(value)
    if isinstance(value, str) and not isinstance(value, Code):
        return _replace_surrogates(value)
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _MAX_ID_BITS:
        return int(value) if is_safe_integer(value) else str(int(value))
    if value is None:
        return None
    try:
        return dumps(value, json_options=_EXTENDED_JSON)
    except (TypeError, ValueError, OverflowError, RecursionError):  # not a BSON type: from another store
        return None


def get_id_sort_key(value: object) -> bytes:
    """Return bytes that sort an ``_id`` among those of every type.

    The order is null, integers, text, ObjectIds, then other types by their text.
    """
    if isinstance(value, ObjectId):
        binary: bytes = value.binary
        return OBJECT_ID_PREFIX + binary
    converted = to_id(value)
    if converted is None:
        return b"\0"
    if isinstance(value, int) and not isinstance(value, bool):
        return b"\1" + _integer_sort_key(value)
    if isinstance(value, str):
        return b"\2" + truncate_key(value).encode("utf-8", "surrogatepass")
    return b"\4" + truncate_key(str(converted)).encode("utf-8", "surrogatepass")


def truncate_key(text: str) -> str:
    """Shorten a sort key so that it fits into a cursor; a hash keeps keys of different texts different."""
    if len(text) <= _MAX_KEY_LENGTH:
        return text
    return text[:_MAX_KEY_LENGTH] + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sum_exactly(counts: Collection[Number]) -> Number:
    """Add counts exactly and round once.

    :returns: an ``int`` if the sum is whole or too large for a double, otherwise the nearest double.
    """
    if float not in set(map(type, counts)):
        return int(sum(counts))
    whole = sum(count for count in counts if isinstance(count, int))
    exact: Fraction = whole + sum((Fraction(count) for count in counts if isinstance(count, float)), Fraction())
    if exact.denominator == 1:
        return exact.numerator
    try:
        double = float(exact)
    except OverflowError:  # doubles this large are always integers
        return round(exact)
    return int(double) if double.is_integer() else double


def _integer_sort_key(number: int) -> bytes:
    """Return bytes in the order of the integers: the signed length, then the digits."""
    length = (number.bit_length() + 7) // 8
    signed_length = -length if number < 0 else length
    return (0x8000 + signed_length).to_bytes(2) + (number & ((1 << 8 * length) - 1)).to_bytes(length)


def _replace_surrogates(text: str) -> str:
    try:
        return text.encode().decode()
    except UnicodeEncodeError:  # lone surrogates: invalid bytes escaped by the decoder, or the text's own
        pass
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _format_number(number: Number) -> str | None:
    count = to_count(number)
    if count is not None:
        return str(count)
    if isinstance(number, int):  # too large for a double, so it cannot come from MongoDB
        return None
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"
