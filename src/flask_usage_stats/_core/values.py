"""From a stored value to the value that is shown.

Every BSON type has an answer here, and so has what a store of another database may hold.
A converter returns ``None`` for what has no place in its field.
"""

import hashlib
import math
import re
from collections.abc import Collection
from datetime import MAXYEAR, MINYEAR, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, TypeAlias
from uuid import UUID

from bson import Code, Decimal128, ObjectId
from bson.binary import UuidRepresentation
from bson.datetime_ms import DatetimeMS
from bson.json_util import CANONICAL_JSON_OPTIONS, dumps

Number: TypeAlias = int | float

#: Sorts identities of every type: the rank of the type, then the value.
IdKey: TypeAlias = tuple[int, str | int | bytes]

_LONGEST_KEY: Final = 200  # characters
_LARGEST_ID: Final = 1024  # bits, far from where Python refuses to write an integer
_EXPANDED: Final = re.compile(r"([+-][0-9]{6})(-.*)", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 # naive UTC, as the driver reads it
_MILLISECOND: Final = timedelta(milliseconds=1)
_400_YEARS: Final = 146_097 * 86_400_000  # milliseconds
# ECMA-262, "Time Values and Time Range": a hundred million days on either side of the epoch.
_LAST_MILLISECOND: Final = 8_640_000_000_000_000
_EXTENDED_JSON: Final = CANONICAL_JSON_OPTIONS.with_options(uuid_representation=UuidRepresentation.STANDARD)


def fits_int64(number: int) -> bool:
    """Tell whether BSON has a type for an integer."""
    return -(2**63) <= number < 2**63


def to_count(value: object) -> Number | None:
    """Read a finite number exactly, a whole one as an ``int`` whatever type it is stored in.

    :returns: the number; ``None`` for what is no finite number, or is beyond a double.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    if not isinstance(value, int | float | Decimal):
        return None
    try:
        double = float(value)
    except (OverflowError, ValueError):  # an int beyond a double; a signalling NaN
        return None
    if not math.isfinite(double):
        return None
    if isinstance(value, int) or value == math.floor(value):
        return int(value)
    return int(double) if double.is_integer() else double


def to_text(value: object) -> str | None:
    """Show a scalar as text: numbers as JSON has them, dates as ISO 8601.

    :returns: the text; ``None`` for a document, an array, binary data and whatever else is no scalar.
    """
    if isinstance(value, str):
        return None if isinstance(value, Code) else _valid(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number_text(value)
    if isinstance(value, ObjectId | UUID | Decimal128 | Decimal):
        return str(value)
    if isinstance(value, datetime | DatetimeMS):
        moment = to_date(value)
        return format_datetime(moment) if isinstance(moment, datetime) else moment
    return None


def to_date(value: object) -> datetime | str | None:
    """Read an instant as a naive UTC datetime.

    :returns: the datetime; text as it is stored; the expanded form of ECMA-262 as text for a date
        outside the years 1 to 9999; ``None`` past the range of that form and for any other type.
    """
    if isinstance(value, datetime):
        offset = value.utcoffset()
        if offset is None:
            return value
        return _moment((value.replace(tzinfo=None) - _EPOCH - offset) // _MILLISECOND)
    if isinstance(value, DatetimeMS):
        return _moment(int(value))
    if isinstance(value, str) and not isinstance(value, Code):
        return _valid(value)
    return None


def date_sort_key(shown: object) -> timedelta | None:
    """Read back a date that is shown, to sort by it.

    :returns: the time since 1970; ``None`` for text that is no ISO 8601 date, and whatever else is no date.
    """
    cycles = 0
    if isinstance(shown, str):
        if expanded := _EXPANDED.fullmatch(shown):
            cycles, year = divmod(int(expanded[1]), 400)
            shown = f"{year + 400:04}{expanded[2]}"
            cycles -= 1
        try:
            shown = datetime.fromisoformat(shown)
        except ValueError:
            return None
    if not isinstance(shown, datetime):
        return None
    if shown.tzinfo is None and not cycles:
        return shown - _EPOCH
    offset = shown.utcoffset() or timedelta()
    return shown.replace(tzinfo=None) - _EPOCH - offset + cycles * _400_YEARS * _MILLISECOND


def exact_sum(counts: Collection[Number]) -> Number:
    """Add counts up exactly, and round once.

    :returns: an ``int`` where the sum is whole, or where no double is large enough; otherwise the nearest double.
    """
    if float not in set(map(type, counts)):
        return int(sum(counts))
    whole = sum(count for count in counts if isinstance(count, int))
    exact: Fraction = whole + sum((Fraction(count) for count in counts if isinstance(count, float)), Fraction())
    if exact.denominator == 1:
        return exact.numerator
    try:
        double = float(exact)
    except OverflowError:  # beyond a double nothing but whole numbers is left
        return round(exact)
    return int(double) if double.is_integer() else double


def format_datetime(moment: datetime) -> str:
    """Write a naive UTC datetime as ISO 8601 with milliseconds and ``Z``."""
    return moment.isoformat(timespec="milliseconds") + "Z"


def to_id(value: object) -> str | int | None:
    """Show an identity: an ObjectId as hex, text and integers as they are, others as canonical Extended JSON.

    :returns: the identity; ``None`` for null and for what Extended JSON has no form for.
    """
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, str) and not isinstance(value, Code):
        return _valid(value)
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _LARGEST_ID:
        return int(value)
    if value is None:
        return None
    try:
        return dumps(value, json_options=_EXTENDED_JSON)
    except (TypeError, ValueError, OverflowError, RecursionError):  # no BSON type: another store's
        return None


def truncate_key(text: str) -> str:
    """Keep what sorts a text short enough for a cursor, and still of that text alone."""
    if len(text) <= _LONGEST_KEY:
        return text
    return text[:_LONGEST_KEY] + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def id_sort_key(value: object) -> IdKey:
    """Rank an identity among those of every type: null, integers, text, ObjectIds, others by their text."""
    if isinstance(value, ObjectId):
        return object_id_key(value.binary)
    shown = to_id(value)
    if shown is None:
        return (0, 0)
    if isinstance(shown, int):
        return (1, shown)
    return (2, truncate_key(value)) if isinstance(value, str) else (4, truncate_key(shown))


def object_id_key(binary: bytes) -> IdKey:
    """Rank an ObjectId, given by its bytes, among identities of every type."""
    return (3, binary)


def _valid(text: str) -> str:
    try:
        return text.encode().decode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON in UTF-8 cannot hold: bad bytes, or the text's own
        pass
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _number_text(number: Number) -> str | None:
    shown = to_count(number)
    if shown is not None:
        return str(shown)
    if isinstance(number, int):  # beyond a double: no database's
        return None
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def _moment(milliseconds: int) -> datetime | str | None:
    if abs(milliseconds) > _LAST_MILLISECOND:
        return None
    # The calendar repeats every 400 years, so any year can be read off one that datetime knows.
    cycles, rest = divmod(milliseconds, _400_YEARS)
    near = _EPOCH + rest * _MILLISECOND
    year = near.year + 400 * cycles
    if MINYEAR <= year <= MAXYEAR:
        return near.replace(year=year)
    sign = "-" if year < 0 else "+"
    return f"{sign}{abs(year):06}{format_datetime(near)[4:]}"
