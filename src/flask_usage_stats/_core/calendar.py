"""Calendar arithmetic for the usage history: hours, days, weeks and months in any time zone.

The history is stored per quarter of an hour in UTC, numbered since 1970, so every window consists of whole quarters.
All time zones in use since October 1979 start their days on one. A boundary that is not on one, such as a midnight in
local mean time, is rounded down: the quarter belongs to the later window, and a window without a quarter is left out.

A day begins at the first instant with its local date, even if clocks are then turned back to the date before.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta, timezone
from functools import cache
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

HOUR: Final = "hour"
DAY: Final = "day"
WEEK: Final = "week"
MONTH: Final = "month"
#: The sizes of windows, and how many windows of each size a range may have.
MAX_WINDOWS: Final[Mapping[str, int]] = {HOUR: 744, DAY: 366, WEEK: 104, MONTH: 24}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_ONE_DAY: Final = timedelta(days=1)
_QUARTER: Final = timedelta(minutes=15)
_QUARTER_SECONDS: Final = 900
_QUARTERS_PER_HOUR: Final = 4

# A window of any size that contains one of these is within the range of `datetime`, in every time zone.
_MIN_INSTANT: Final = datetime(MINYEAR + 1, 1, 1, tzinfo=UTC)
_MAX_INSTANT: Final = datetime(MAXYEAR, 1, 1, tzinfo=UTC)

_DEFAULT_DATES: Final = 30
_MAX_EXACT_COUNT: Final = 100_000  # a longer range is counted as if its zone had a constant offset
# No two changes of a zone's offset have ever been closer than three days, and no zone has crossed the date line twice
# within a year.
_CHANGE_STEP: Final = 86_400  # seconds
_DATE_LINE_STEP: Final = 31_556_952  # a mean year, so that both ends of most steps have the same offset

_NOT_ZONES: Final = frozenset({"localtime", "Factory"})
_NOT_ZONE_FOLDERS: Final = ("posix/", "right/")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# RFC 3339 without leap seconds. `fromisoformat` accepts more, and what it accepts depends on the Python version.
_INSTANT: Final = re.compile(
    _DATE.pattern + r"[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
    r"(?:[Zz]|[+ -](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)

#: For windows of whole days: which number a date's window has, and on which date a window begins.
_PERIODS: Final[Mapping[str, tuple[Callable[[date], int], Callable[[int], date]]]] = {
    DAY: (date.toordinal, date.fromordinal),
    WEEK: (lambda day: (day.toordinal() - 1) // 7, lambda week: date.fromordinal(7 * week + 1)),  # 0001-01-01: a Monday
    MONTH: (lambda day: 12 * day.year + day.month - 1, lambda month: date(month // 12, month % 12 + 1, 1)),
}


class TooManyWindowsError(ValueError):
    """A range has more windows than a response may list; the message is for the client.

    :param window: the size of the windows.
    :param count: how many windows the range has; above 100,000 it may be slightly too high or too low.
    """

    def __init__(self, window: str, count: int) -> None:
        self.window, self.count, self.limit = window, count, MAX_WINDOWS[window]
        super().__init__(f"window={window} gives at most {self.limit} buckets; this range has {count}")


def load_zone(name: str) -> ZoneInfo:
    """Load a time zone by its exact name in the IANA database, such as ``Europe/Berlin``.

    :raises ValueError: there is no such zone. No file is opened for an unknown name.
    """
    if name not in _list_zone_names():
        raise ValueError("not a time zone")
    return ZoneInfo(name)


@cache
def _list_zone_names() -> frozenset[str]:
    names = available_timezones() - _NOT_ZONES
    return frozenset(name for name in names if not name.startswith(_NOT_ZONE_FOLDERS))


def parse_instant(text: str, zone: ZoneInfo) -> datetime:
    """Parse a date, or an instant with offset, to UTC.

    .. code-block:: text

        2026-03-28                     the start of that day in the zone
        2026-03-28T00:00:00+01:00      RFC 3339, with Z or an offset, with or without fractions of a second
        2026-03-28T00:00:00 01:00      the same: a "+" that is not encoded in a URL becomes a space

    :returns: the instant; for a date that the zone skipped, the start of the next one. An instant before the year
        2 becomes the start of that year, and one after 9998 the end of that year, so that its windows can be computed.
    :raises ValueError: the text has another format, or the date does not exist in the calendar.
    """
    try:
        instant = _parse_instant(text, zone)
    except OverflowError:  # in UTC, it is before the year 1 or after the year 9999
        instant = _MIN_INSTANT if text.startswith("0") else _MAX_INSTANT
    return min(max(instant, _MIN_INSTANT), _MAX_INSTANT)


def _parse_instant(text: str, zone: ZoneInfo) -> datetime:
    if _DATE.fullmatch(text):
        return get_quarter_start(_find_day_start(date.fromisoformat(text), zone))
    if _INSTANT.fullmatch(text):
        return datetime.fromisoformat(text.upper().replace(" ", "+")).astimezone(UTC)
    raise ValueError("neither a date nor an instant with offset")


def format_instant(instant: datetime, zone: ZoneInfo) -> str:
    """Format an instant as RFC 3339 with milliseconds and the zone's offset: ``2026-03-28T00:00:00.000+01:00``.

    Offsets with seconds, which only exist before 1973, are rounded down to minutes, as RFC 3339 requires. The text is
    still the same instant.
    """
    local = instant.astimezone(zone)
    seconds = (local.replace(tzinfo=UTC) - instant) % _MINUTE
    if seconds:
        local = local.astimezone(timezone(local.replace(tzinfo=UTC) - instant - seconds))
    return local.isoformat(timespec="milliseconds")


def find_default_end(now: datetime, zone: ZoneInfo) -> datetime:
    """Return the end of the current day in the zone: the end of a range for which none is given."""
    return get_quarter_start(_find_day_start(_find_day(get_quarter(now), zone) + _ONE_DAY, zone))


def find_default_start(end: datetime, zone: ZoneInfo) -> datetime:
    """Return the start of the 30 dates that end with *end*: the start of a range for which none is given.

    :param end: exclusive; the 30th date is that of the instant before it.
    """
    last = _find_day(get_quarter(end - datetime.resolution), zone)
    return get_quarter_start(_find_day_start(last - (_DEFAULT_DATES - 1) * _ONE_DAY, zone))


def get_quarter(instant: datetime) -> int:
    """Return the number of the quarter of an hour since 1970, in UTC, that contains an instant."""
    return (instant - _EPOCH) // _QUARTER


def get_quarter_start(quarter: int) -> datetime:
    """Return the instant in UTC at which a quarter of an hour since 1970 begins."""
    return _EPOCH + quarter * _QUARTER


def build_windows(start: datetime, end: datetime, window: str, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """Build the windows that a range touches, in the zone's calendar.

    Weeks begin on Monday. An hour begins at minute 0 and whenever the zone's offset changes, so an hour that is
    repeated has two windows. Dates that the zone skipped have none.

    :param start: aware, and in the years that :func:`parse_instant` returns.
    :param end: the same, after *start*; exclusive.
    :param window: a key of :data:`MAX_WINDOWS`.
    :returns: start and end of each window in UTC, in order. The first contains *start*, each begins where the one
        before it ends, and the last contains the instant before *end*. None is empty.
    :raises TooManyWindowsError: there are more than :data:`MAX_WINDOWS` allows. Long ranges are only counted.
    """
    first, last = get_quarter(start), get_quarter(end - datetime.resolution)
    bounds = _list_hours(first, last, zone) if window == HOUR else _list_periods(first, last, window, zone)
    return list(pairwise(map(get_quarter_start, bounds)))


def _list_hours(first: int, last: int, zone: ZoneInfo) -> Sequence[int]:
    """Return the quarters at which the hours of a range begin, and the one at which the last hour ends."""
    count = (last - first) // _QUARTERS_PER_HOUR + 1
    if count <= _MAX_EXACT_COUNT:
        padding = 2 * _QUARTERS_PER_HOUR  # more than an hour, to find the start of the first and the end of the last
        starts = list(_iter_hours(first - padding, last + padding, zone))
        starts = starts[bisect_right(starts, first) - 1 : bisect_right(starts, last) + 1]
        count = len(starts) - 1
    if count > MAX_WINDOWS[HOUR]:
        raise TooManyWindowsError(HOUR, count)
    return starts


def _iter_hours(low: int, high: int, zone: ZoneInfo) -> Iterator[int]:
    """Yield *low*, and the quarters after it, up to *high*, at which an hour begins."""
    begin, end = low * _QUARTER_SECONDS, high * _QUARTER_SECONDS
    for change in (*_iter_changes(begin, end, _CHANGE_STEP, zone), end):
        first = begin // _QUARTER_SECONDS
        minute_0 = -_get_offset(begin, zone) // _QUARTER  # of any hour with this offset
        second = first + _QUARTERS_PER_HOUR - (first - minute_0) % _QUARTERS_PER_HOUR
        yield first
        yield from range(second, change // _QUARTER_SECONDS, _QUARTERS_PER_HOUR)
        begin = change


def _list_periods(first: int, last: int, window: str, zone: ZoneInfo) -> Sequence[int]:
    """Return the quarters at which the windows of whole days begin, and the one at which the last window ends."""
    number_of, first_day_of = _PERIODS[window]
    numbers = range(number_of(_find_day(first, zone)), number_of(_find_day(last, zone)) + 2)
    count = len(numbers) - 1
    if window == DAY and count <= _MAX_EXACT_COUNT:
        count -= _count_skipped_dates(first, last, zone)
    if count > MAX_WINDOWS[window]:
        raise TooManyWindowsError(window, count)
    # The start of a date that was skipped is that of the next one.
    return list(dict.fromkeys(_find_day_start(first_day_of(number), zone) for number in numbers))


def _count_skipped_dates(first: int, last: int, zone: ZoneInfo) -> int:
    skipped = 0
    for change in _iter_changes(_get_last_second(first), _get_last_second(last), _DATE_LINE_STEP, zone):
        days = (_to_local(change, zone).date() - _to_local(change - 1, zone).date()).days
        skipped += max(days - 1, 0)
    return skipped


def _find_day(quarter: int, zone: ZoneInfo) -> date:
    """Return the date whose day contains a quarter. It is later than the local date if clocks were turned back."""
    day = _to_local(_get_last_second(quarter), zone).date()
    return day + _ONE_DAY if _find_day_start(day + _ONE_DAY, zone) <= quarter else day


def _find_day_start(day: date, zone: ZoneInfo) -> int:
    """Return the quarter that contains the first instant whose local date is *day*, or a later one."""
    midnight = datetime.combine(day, time(), zone)  # with fold=0: the first of two
    start = midnight.astimezone(UTC)
    if start.astimezone(zone) == midnight:
        return get_quarter(start)
    # The zone skipped midnight: the day begins with the change, which these two instants enclose (PEP 495).
    before = midnight.replace(fold=1).astimezone(UTC)
    return _find_change(_to_seconds(before), _to_seconds(start), zone) // _QUARTER_SECONDS


def _iter_changes(low: int, high: int, step: int, zone: ZoneInfo) -> Iterator[int]:
    """Yield seconds after *low*, up to *high*, at which the zone's offset changes.

    Changes that cancel each other out within *step* seconds may be missing.
    """
    offset = _get_offset(low, zone)
    for begin in range(low, high, step):
        end = min(begin + step, high)
        end_offset = _get_offset(end, zone)
        while offset != end_offset:
            begin = _find_change(begin, end, zone)  # noqa: PLW2901 # there may be several
            offset = _get_offset(begin, zone)
            yield begin


def _find_change(low: int, high: int, zone: ZoneInfo) -> int:
    """Find a second after *low*, up to *high*, at which the zone's offset changes from the one at *low*."""
    offset = _get_offset(low, zone)
    return low + bisect_left(range(low, high), x=True, key=lambda second: _get_offset(second, zone) != offset)


def _get_offset(second: int, zone: ZoneInfo) -> timedelta:
    return _to_local(second, zone).replace(tzinfo=UTC) - _EPOCH - second * _SECOND


def _to_local(second: int, zone: ZoneInfo) -> datetime:
    return (_EPOCH + second * _SECOND).astimezone(zone)


def _to_seconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _SECOND


def _get_last_second(quarter: int) -> int:
    """Return the second that decides to which window a quarter belongs."""
    return (quarter + 1) * _QUARTER_SECONDS - 1
