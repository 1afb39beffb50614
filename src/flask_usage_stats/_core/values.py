"""Conversion of stored values to the values of a response.

All BSON types are supported, as are the types that a store for another database may return.
A converter returns ``None`` for a value that its field cannot represent.
"""

import hashlib
import math
from collections.abc import Collection, Mapping
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

#: The prefix of the sort key of an ObjectId; its bytes follow.
OBJECT_ID_PREFIX: Final = b"\3"

#: The maximum length of an owner id in bytes of UTF-8.
MAX_OWNER_BYTES: Final = 1024

_MAX_SAFE_INTEGER: Final = 2**53 - 1  # ECMA-262, Number.MAX_SAFE_INTEGER: browsers round larger ones
_MAX_ID_BITS: Final = 1024  # far below the size at which Python refuses to format an integer
_MAX_KEY_LENGTH: Final = 200  # characters
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 # naive UTC, as PyMongo returns dates
_MILLISECOND: Final = timedelta(milliseconds=1)
_EXTENDED_JSON: Final = CANONICAL_JSON_OPTIONS.with_options(uuid_representation=UuidRepresentation.STANDARD)


def fits_int64(number: int) -> bool:
    """Return whether BSON can store an integer."""
    return -(2**63) <= number < 2**63


def is_safe_integer(number: int) -> bool:
    """Return whether all JSON parsers read an integer exactly, including those that use doubles."""
    return -_MAX_SAFE_INTEGER <= number <= _MAX_SAFE_INTEGER


def to_count(value: object) -> Number | None:
    """Convert a finite number: whole numbers to the exact ``int``, others to the nearest double.

    The result is an ``int`` as well if that double is whole.

    :returns: the number, or ``None`` for any other type, NaN, infinities and numbers beyond the range of a double.
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
    """Convert a scalar to text.

    Numbers and booleans are written as in JSON (plus ``NaN``, ``Infinity`` and ``-Infinity``), dates as ISO 8601,
    and decimals, ObjectIds and UUIDs as by ``str()``. Invalid Unicode is replaced with U+FFFD.

    :returns: the text, or ``None`` for code, documents, arrays, binary data and any other type, for dates outside
        the years 1 to 9999 and for integers beyond the range of a double.
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
    """Convert a date to ISO 8601 in UTC with milliseconds; only invalid Unicode is replaced in text.

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
    """Return the milliseconds since 1970 of a date, either as stored or as converted.

    :returns: the milliseconds, rounded down, or ``None`` for text that is not an ISO 8601 date and for any other type.
    """
    if isinstance(date, str):
        try:
            date = datetime.fromisoformat(date)
        except ValueError:
            return None
    if not isinstance(date, datetime):
        return None
    if date.tzinfo is None:  # by far the most
        return (date - _EPOCH) // _MILLISECOND
    return (date.replace(tzinfo=None) - _EPOCH - (date.utcoffset() or timedelta())) // _MILLISECOND


def to_id(value: object) -> str | int | None:
    """Convert an ``_id``: ObjectIds to hex, UUIDs to hyphenated hex, unsafe integers to text.

    :returns: text (invalid Unicode is replaced) and integers of up to 53 bits as they are, any other type as
        canonical Extended JSON; ``None`` for null, for integers above 1,024 bits and for values that Extended JSON
        does not support.
    """
    if isinstance(value, ObjectId | UUID):
        return str(value)
    if isinstance(value, str) and not isinstance(value, Code):
        return _replace_surrogates(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _integer_to_id(int(value))
    if value is None:
        return None
    try:
        return dumps(value, json_options=_EXTENDED_JSON)
    except (TypeError, ValueError, OverflowError, RecursionError):  # not a BSON type: from another store
        return None


def to_owner(value: object) -> str | int | list[str | int | None] | None:
    """Convert an owner id as :func:`to_owner_id` does, and the ids of several owners to a list."""
    return [to_owner_id(each) for each in value] if isinstance(value, list) else to_owner_id(value)


def to_owner_id(value: object) -> str | int | None:
    """Convert the id of one owner as :func:`to_id` does.

    Numbers that equal an integer of 64 bits are that integer, since they match it as an owner id.

    :returns: ``None`` also for documents, arrays, code, binary data other than UUIDs and text of more than 1,024 bytes,
        which no owner id matches.
    """
    if isinstance(value, str):
        owner = to_id(value)
        is_long = len(value.encode("utf-8", "surrogatepass")) > MAX_OWNER_BYTES
        return None if is_long or isinstance(value, Code) else owner
    if isinstance(value, Mapping | list | bytes):
        return None
    if isinstance(value, float | Decimal128) and to_count(value) is not None:  # finite
        number = value.to_decimal() if isinstance(value, Decimal128) else value
        if number == math.floor(number) and fits_int64(int(number)):
            return _integer_to_id(int(number))
    return to_id(value)


def _integer_to_id(number: int) -> str | int | None:
    if is_safe_integer(number):
        return number
    return str(number) if number.bit_length() <= _MAX_ID_BITS else None


def fold_label(value: object) -> str | None:
    """Convert a value to what rows are grouped by: casefolded text, or ``None`` if it is missing, null or empty."""
    return (to_text(value) or "").casefold() or None


def get_id_sort_key(value: object) -> bytes:
    """Return bytes that sort ``_id`` values of all types.

    Null and values that :func:`to_id` cannot convert come first, then integers, text, ObjectIds, and finally other
    types by their converted text.
    """
    if isinstance(value, ObjectId):
        binary: bytes = value.binary
        return OBJECT_ID_PREFIX + binary
    converted = to_id(value)
    if converted is None:
        return b"\0"
    if isinstance(value, int) and not isinstance(value, bool):
        return b"\1" + _integer_sort_key(value)
    if isinstance(value, str) and not isinstance(value, Code):
        return b"\2" + truncate_key(value).encode("utf-8", "surrogatepass")
    return b"\4" + truncate_key(str(converted)).encode("utf-8", "surrogatepass")


def truncate_key(text: str) -> str:
    """Truncate a sort key above 200 characters to fit into a cursor, and append a hash that keeps it unique."""
    if len(text) <= _MAX_KEY_LENGTH:
        return text
    return text[:_MAX_KEY_LENGTH] + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sum_exactly(counts: Collection[Number]) -> Number:
    """Add counts exactly and round once.

    :returns: an ``int`` if the sum or its nearest double is whole, or if it is too large for a double;
        otherwise the nearest double.
    """
    if float not in set(map(type, counts)):
        return int(sum(counts))
    whole = sum(count for count in counts if isinstance(count, int))
    return round_exactly(whole + sum((Fraction(count) for count in counts if isinstance(count, float)), Fraction()))


def round_exactly(exact: Fraction) -> Number:
    """Convert an exact sum as :func:`sum_exactly` does."""
    if exact.denominator == 1:
        return exact.numerator
    try:
        double = float(exact)
    except OverflowError:  # doubles this large are always integers
        return round(exact)
    return int(double) if double.is_integer() else double


def _integer_sort_key(number: int) -> bytes:
    """Return bytes that sort like the integers: the signed length in bytes, then the two's complement."""
    length = (number.bit_length() + 7) // 8
    signed_length = -length if number < 0 else length
    return (0x8000 + signed_length).to_bytes(2) + (number & ((1 << 8 * length) - 1)).to_bytes(length)


def _replace_surrogates(text: str) -> str:
    try:
        return text.encode().decode()
    except UnicodeEncodeError:  # lone surrogates, from the surrogateescape handler or elsewhere
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
