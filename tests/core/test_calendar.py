"""Windows of hours, days, weeks and months in every time zone."""

import time
import zoneinfo
from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_usage_stats._core import calendar
from flask_usage_stats._core.calendar import (
    MAX_WINDOWS,
    TooManyWindowsError,
    build_windows,
    find_default_end,
    find_default_start,
    format_instant,
    get_quarter,
    get_quarter_start,
    load_zone,
    parse_instant,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
ZONES = sorted(calendar._list_zone_names())


def utc(*fields):
    return datetime(*fields, tzinfo=UTC)


def bounds_of(name, window, start, end):
    """Return the formatted bounds of the windows between two texts, after checking that they are contiguous."""
    zone = load_zone(name)
    windows = build_windows(parse_instant(start, zone), parse_instant(end, zone), window, zone)
    assert all(left[1] == right[0] for left, right in pairwise(windows))
    bounds = [windows[0][0], *(end for _, end in windows)]
    return [format_instant(bound, zone).replace(":00.000", "") for bound in bounds]


# Zones


@pytest.mark.parametrize(
    "name",
    ["", "Europe", "europe/berlin", "Europe/Berlin ", "Europe/Berlin\0", "localtime", "Factory", "posix/UTC", "right/UTC", "posixrules", "tzdata.zi", "../etc/passwd", "/etc/localtime", "/usr/share/zoneinfo/UTC", "Europe/../UTC", "Mars/Phobos", "CEST", "+01:00", "\udcff"],
    ids=ascii,
)  # fmt: skip
def test_other_names_than_those_of_the_database_are_refused(name, monkeypatch):
    """A zone must have exactly the name of one in the IANA database, and no file is opened for another name."""
    monkeypatch.setattr(calendar, "ZoneInfo", None)
    with pytest.raises(ValueError, match="not a time zone"):
        load_zone(name)


@pytest.mark.parametrize("folder", ["posix/", "right/"])
def test_copies_of_the_database_are_left_out(folder, monkeypatch):
    """Names that only some systems have are not zones, even if Python lists them."""
    listed = {"UTC", "localtime", "Factory", f"{folder}UTC"}
    monkeypatch.setattr(calendar, "available_timezones", lambda: set(listed))
    assert calendar._list_zone_names.__wrapped__() == {"UTC"}


def test_all_zones_can_be_loaded():
    """Every listed name can be loaded, and a zone is loaded once."""
    assert {"UTC", "Europe/Berlin", "Etc/GMT+12", "America/Argentina/Buenos_Aires"} <= set(ZONES)
    assert [load_zone(name).key for name in ZONES] == ZONES
    assert load_zone("Asia/Kathmandu") is load_zone("Asia/Kathmandu")


def test_zones_are_available_without_an_operating_system():
    """The package tzdata is a dependency because Windows and small images have no zones."""
    zoneinfo.reset_tzpath(to=[])
    try:
        assert calendar._list_zone_names.__wrapped__() > {"UTC", "Europe/Berlin", "America/St_Johns"}
        assert zoneinfo.ZoneInfo.no_cache("Asia/Kathmandu").utcoffset(datetime(2026, 1, 1)) == timedelta(hours=5.75)
    finally:
        zoneinfo.reset_tzpath()


# Instants


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-28T00:00:00+01:00", utc(2026, 3, 27, 23)),
        ("2026-03-28T00:00:00 01:00", utc(2026, 3, 27, 23)),
        ("2026-03-28T00:00:00-01:30", utc(2026, 3, 28, 1, 30)),
        ("2026-03-28T00:00:00Z", utc(2026, 3, 28)),
        ("2026-03-28t00:00:00z", utc(2026, 3, 28)),
        ("2026-03-28T00:00:00-00:00", utc(2026, 3, 28)),
        ("2026-03-28T00:00:00.5Z", utc(2026, 3, 28, 0, 0, 0, 500_000)),
        ("2026-03-28T00:00:00.1234567891234Z", utc(2026, 3, 28, 0, 0, 0, 123_456)),
        ("2026-03-28T23:59:59.999+23:59", utc(2026, 3, 28, 0, 0, 59, 999_000)),
        ("2024-02-29T00:00:00Z", utc(2024, 2, 29)),
        ("0002-01-01T00:00:00Z", utc(2, 1, 1)),
        ("9998-12-31T23:59:59Z", utc(9998, 12, 31, 23, 59, 59)),
    ],
)
def test_instants_follow_rfc_3339(text, instant):
    """An instant is RFC 3339; a space is the plus sign that a client forgot to encode."""
    parsed = parse_instant(text, load_zone("Europe/Berlin"))
    assert parsed == instant
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026", "2026-03", "20260328", "2026-W13-6", "2026-087", "26-03-28", "02026-03-28", "+2026-03-28", "-2026-03-28", "2026-3-28", "2026/03/28", "2026-02-29", "2026-13-01", "2026-00-10", "2026-03-00", "0000-01-01", "10000-01-01", " 2026-03-28", "2026-03-28 ", "2026-03-28\n", "2026-03-28Z", "2026-03-28+01:00",
     "٢٠٢٦-٠٣-٢٨", "２０２６-03-28", "2026-03-28T00:00:0０Z", "2026–03–28",  # noqa: RUF001 # digits of other scripts, and dashes
     "2026-03-28T00:00:00", "2026-03-28T00:00:00.5", "2026-03-28T00:00Z", "2026-03-28T00Z", "2026-03-28T000000Z", "20260328T000000Z", "2026-W13-6T00:00:00Z", "2026-03-28 00:00:00Z", "2026-03-28 00:00:00+01:00", "2026-03-28T00:00:00,5Z", "2026-03-28T00:00:00.Z", "2026-03-28T24:00:00Z", "2026-03-28T00:60:00Z", "2026-03-28T23:59:60Z", "2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z",
     "2026-03-28T00:00:00+1:00", "2026-03-28T00:00:00+0100", "2026-03-28T00:00:00+01", "2026-03-28T00:00:00+24:00", "2026-03-28T00:00:00+01:60", "2026-03-28T00:00:00+01:00:30", "2026-03-28T00:00:00  01:00", "2026-03-28T00:00:00 +01:00", "2026-03-28T00:00:00−01:00", "2026-03-28T00:00:00ZZ", "2026-03-28T00:00:00Z\n", "2026-03-28T00:00:00CET", "1774652400", "\udcff"],  # noqa: RUF001 # a minus sign
    ids=ascii,
)  # fmt: skip
def test_other_texts_are_refused(text):
    """Other notations, instants without an offset and dates that do not exist in the calendar are refused."""
    with pytest.raises(ValueError, match=r"."):
        parse_instant(text, load_zone("Europe/Berlin"))


@pytest.mark.parametrize(
    ("text", "name", "instant"),
    [
        ("2026-03-28", "UTC", utc(2026, 3, 28)),
        ("2026-03-28", "Europe/Berlin", utc(2026, 3, 27, 23)),
        ("2026-03-30", "Europe/Berlin", utc(2026, 3, 29, 22)),
        ("2026-03-28", "Asia/Kathmandu", utc(2026, 3, 27, 18, 15)),
        pytest.param("2018-11-04", "America/Sao_Paulo", utc(2018, 11, 4, 3), id="no midnight: clocks go from 0:00 to 1:00"),
        pytest.param("1919-03-31", "America/Toronto", utc(1919, 3, 31, 4, 30), id="no midnight: clocks go from 23:30 to 0:30"),
        pytest.param("2024-11-03", "America/Havana", utc(2024, 11, 3, 4), id="the first of two midnights"),
        pytest.param("2006-10-29", "America/St_Johns", utc(2006, 10, 29, 2, 30), id="left after a minute"),
        pytest.param("2011-12-30", "Pacific/Apia", utc(2011, 12, 30, 10), id="a date that the zone skipped"),
        pytest.param("2011-12-31", "Pacific/Apia", utc(2011, 12, 30, 10), id="the date after it"),
        pytest.param("1971-06-01", "Africa/Monrovia", utc(1971, 6, 1, 0, 30), id="in the quarter of an offset of -00:44:30"),
    ],
)  # fmt: skip
def test_a_date_is_the_start_of_its_day(text, name, instant):
    """A date is its first instant in the zone, or the first one after it if the zone skipped the date."""
    parsed = parse_instant(text, load_zone(name))
    assert (parsed, parsed.tzinfo) == (instant, UTC)


@pytest.mark.parametrize(
    "texts",
    [
        ("0001-01-01", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "0001-12-31", "0002-01-01T00:00:00+23:59"),
        ("9999-01-02", "9999-12-31", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:59", "9998-12-31T23:59:59-23:59"),
    ],
    ids=["first", "last"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Europe/Berlin"])
@pytest.mark.parametrize("window", MAX_WINDOWS)
def test_the_ends_of_time_are_moved_together(texts, name, window):
    """Instants that are not within the years 2 to 9998 in UTC are moved there, so that all windows are valid."""
    zone = load_zone(name)
    (instant,) = {parse_instant(text, zone) for text in texts}
    assert instant in {utc(2, 1, 1), utc(9999, 1, 1)}
    for start in (instant, instant - timedelta(seconds=1)):
        ((first, last),) = build_windows(start, start + timedelta(seconds=1), window, zone)
        assert first <= start < last
        assert parse_instant(format_instant(start, zone), zone) == max(start, utc(2, 1, 1))
    assert find_default_start(instant, zone) < instant < find_default_end(instant, zone)


@pytest.mark.parametrize(
    ("instant", "name", "text"),
    [
        (utc(2026, 3, 27, 23), "Europe/Berlin", "2026-03-28T00:00:00.000+01:00"),
        (utc(2026, 3, 28), "UTC", "2026-03-28T00:00:00.000+00:00"),
        (utc(2026, 3, 28), "Europe/London", "2026-03-28T00:00:00.000+00:00"),
        (utc(2026, 3, 28, 0, 0, 0, 999_999), "America/St_Johns", "2026-03-27T21:30:00.999-02:30"),
        (utc(2026, 10, 25, 0, 30), "Europe/Berlin", "2026-10-25T02:30:00.000+02:00"),
        (utc(2026, 10, 25, 1, 30), "Europe/Berlin", "2026-10-25T02:30:00.000+01:00"),
        pytest.param(utc(1971, 1, 1, 0, 44, 30), "Africa/Monrovia", "1970-12-31T23:59:30.000-00:45", id="-00:44:30"),
        pytest.param(utc(1880, 1, 1, 0, 0, 0, 5000), "Europe/Berlin", "1880-01-01T00:53:00.005+00:53", id="+00:53:28"),
    ],
)
def test_instants_have_the_offset_of_the_zone(instant, name, text):
    """Instants have milliseconds and an offset in minutes; if the zone's offset had seconds, both are moved alike."""
    zone = load_zone(name)
    assert format_instant(instant, zone) == text
    assert parse_instant(text, zone) == instant.replace(microsecond=instant.microsecond // 1000 * 1000)


@given(st.sampled_from(ZONES), st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)))
@settings(deadline=None)
def test_formatted_instants_are_read_as_the_same(name, naive):
    """What the response contains can be used in a request, in every zone."""
    zone, instant = load_zone(name), naive.replace(tzinfo=UTC, microsecond=naive.microsecond // 1000 * 1000)
    text = format_instant(instant, zone)
    assert len(text) == len("2026-03-28T00:00:00.000+01:00")
    assert parse_instant(text, zone) == instant
    assert parse_instant(text.replace("+", " "), load_zone("UTC")) == instant


# Windows


@pytest.mark.parametrize(
    ("name", "window", "start", "end", "bounds"),
    [
        pytest.param(
            "Europe/Berlin", "day", "2026-03-28", "2026-03-31",
            ["2026-03-28T00:00+01:00", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00", "2026-03-31T00:00+02:00"],
            id="23 hours",
        ),
        pytest.param(
            "Europe/Berlin", "day", "2026-10-25", "2026-10-26",
            ["2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"],
            id="25 hours",
        ),
        pytest.param(
            "Australia/Lord_Howe", "day", "2026-04-05", "2026-04-06",
            ["2026-04-05T00:00+11:00", "2026-04-06T00:00+10:30"],
            id="24.5 hours",
        ),
        pytest.param(
            "Europe/Berlin", "day", "2026-03-28T23:59:59.999999+01:00", "2026-03-29T00:00:00.000001+01:00",
            ["2026-03-28T00:00+01:00", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"],
            id="two microseconds",
        ),
        pytest.param(
            "Pacific/Apia", "day", "2011-12-29", "2012-01-01",
            ["2011-12-29T00:00-10:00", "2011-12-31T00:00+14:00", "2012-01-01T00:00+14:00"],
            id="a date that Samoa skipped",
        ),
        pytest.param(
            "Pacific/Kwajalein", "day", "1993-08-20", "1993-08-23",
            ["1993-08-20T00:00-12:00", "1993-08-22T00:00+12:00", "1993-08-23T00:00+12:00"],
            id="a date that Kwajalein skipped",
        ),
        pytest.param(
            "Pacific/Kwajalein", "day", "1969-09-29", "1969-10-02",
            ["1969-09-29T00:00+11:00", "1969-09-30T00:00+11:00", "1969-10-01T00:00-12:00", "1969-10-02T00:00-12:00"],
            id="47 hours",
        ),
        pytest.param(
            "America/Sao_Paulo", "day", "2018-11-03", "2018-11-05",
            ["2018-11-03T00:00-03:00", "2018-11-04T01:00-02:00", "2018-11-05T00:00-02:00"],
            id="no midnight in Sao Paulo",
        ),
        pytest.param(
            "Asia/Beirut", "day", "2024-03-30", "2024-04-01",
            ["2024-03-30T00:00+02:00", "2024-03-31T01:00+03:00", "2024-04-01T00:00+03:00"],
            id="no midnight in Beirut",
        ),
        pytest.param(
            "Africa/Cairo", "day", "2024-04-25", "2024-04-27",
            ["2024-04-25T00:00+02:00", "2024-04-26T01:00+03:00", "2024-04-27T00:00+03:00"],
            id="no midnight in Cairo",
        ),
        pytest.param(
            "America/Havana", "day", "2024-11-02", "2024-11-04",
            ["2024-11-02T00:00-04:00", "2024-11-03T00:00-04:00", "2024-11-04T00:00-05:00"],
            id="two midnights in Havana",
        ),
        pytest.param(
            "Atlantic/Azores", "day", "2024-10-26", "2024-10-28",
            ["2024-10-26T00:00+00:00", "2024-10-27T00:00+00:00", "2024-10-28T00:00-01:00"],
            id="two midnights on the Azores",
        ),
        pytest.param(
            "America/Sao_Paulo", "day", "2018-02-17", "2018-02-19",
            ["2018-02-17T00:00-02:00", "2018-02-18T00:00-03:00", "2018-02-19T00:00-03:00"],
            id="back from midnight to 23:00 in Sao Paulo",
        ),
        pytest.param(
            "America/St_Johns", "day", "2006-10-28", "2006-10-30",
            ["2006-10-28T00:00-02:30", "2006-10-29T00:00-02:30", "2006-10-30T00:00-03:30"],
            id="back from 0:01 to the day before",
        ),
        pytest.param(
            "America/St_Johns", "day", "2006-10-29T02:44:59Z", "2006-10-29T03:15:00Z",
            ["2006-10-29T00:00-02:30", "2006-10-30T00:00-03:30"],
            id="in the repeated part of the day before",
        ),
        pytest.param(
            "America/Juneau", "day", "1867-10-18", "1867-10-20",
            ["1867-10-17T23:47+15:02", "1867-10-18T23:47+15:02", "1867-10-19T23:47-08:58"],
            id="a whole day is repeated",
        ),
        pytest.param(
            "Africa/Monrovia", "day", "1972-01-05", "1972-01-08",
            ["1972-01-04T23:45-00:45", "1972-01-05T23:45-00:45", "1972-01-06T23:45-00:45", "1972-01-08T00:00+00:00"],
            id="an offset with seconds",
        ),
        pytest.param(
            "Asia/Kathmandu", "hour", "2026-01-01T00:00:00+05:45", "2026-01-01T01:00:00.001+05:45",
            ["2026-01-01T00:00+05:45", "2026-01-01T01:00+05:45", "2026-01-01T02:00+05:45"],
            id="an offset of three quarters",
        ),
        pytest.param(
            "Europe/Berlin", "hour", "2026-10-25T01:59:00+02:00", "2026-10-25T03:00:00+01:00",
            ["2026-10-25T01:00+02:00", "2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"],
            id="an hour twice",
        ),
        pytest.param(
            "Europe/Berlin", "hour", "2026-03-29T01:00:00+01:00", "2026-03-29T04:00:00+02:00",
            ["2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"],
            id="an hour less",
        ),
        pytest.param(
            "Australia/Lord_Howe", "hour", "2026-04-05T01:00:00+11:00", "2026-04-05T02:00:00+10:30",
            ["2026-04-05T01:00+11:00", "2026-04-05T01:30+10:30", "2026-04-05T02:00+10:30"],
            id="half an hour twice",
        ),
        pytest.param(
            "Australia/Lord_Howe", "hour", "2026-10-04T01:30:00+10:30", "2026-10-04T03:00:00+11:00",
            ["2026-10-04T01:00+10:30", "2026-10-04T02:30+11:00", "2026-10-04T03:00+11:00"],
            id="half an hour less",
        ),
        pytest.param(
            "Antarctica/Casey", "hour", "2020-10-03T23:00:00+08:00", "2020-10-04T04:00:00+11:00",
            ["2020-10-03T23:00+08:00", "2020-10-04T00:00+08:00", "2020-10-04T04:00+11:00"],
            id="a minute of an hour is in the next one",
        ),
        pytest.param(
            "America/St_Johns", "hour", "2006-10-29T00:00:00-02:30", "2006-10-29T01:00:00-03:30",
            ["2006-10-29T00:00-02:30", "2006-10-29T00:00-03:30", "2006-10-29T01:00-03:30"],
            id="a minute after midnight is in the repeated hour",
        ),
        pytest.param(
            "Europe/Berlin", "week", "2026-03-25", "2026-03-31",
            ["2026-03-23T00:00+01:00", "2026-03-30T00:00+02:00", "2026-04-06T00:00+02:00"],
            id="weeks",
        ),
        pytest.param(
            "Pacific/Apia", "week", "2011-12-31", "2012-01-01",
            ["2011-12-26T00:00-10:00", "2012-01-02T00:00+14:00"],
            id="a week of six days",
        ),
        pytest.param(
            "Asia/Tehran", "month", "2025-12-31T23:00:00Z", "2026-02-01",
            ["2026-01-01T00:00+03:30", "2026-02-01T00:00+03:30"],
            id="a month",
        ),
        pytest.param(
            "Europe/Berlin", "month", "2024-02-29", "2024-03-01T00:00:00Z",
            ["2024-02-01T00:00+01:00", "2024-03-01T00:00+01:00", "2024-04-01T00:00+02:00"],
            id="months",
        ),
        pytest.param(
            "Asia/Amman", "month", "2022-02-25", "2022-03-02",
            ["2022-02-01T00:00+02:00", "2022-03-01T00:00+03:00", "2022-04-01T00:00+03:00"],
            id="the zone changed its offset on the last of February",
        ),
    ],
)  # fmt: skip
def test_windows_follow_the_local_calendar(name, window, start, end, bounds):
    """A range is widened to whole windows, whose boundaries are those of the local calendar."""
    assert bounds_of(name, window, start, end) == bounds


@pytest.mark.parametrize("window", ["day", "week", "month"])
def test_a_quarter_belongs_to_the_later_window(window):
    """A quarter of an hour in which a window begins is not in the window before, even if the zone skipped a date."""
    zone = load_zone("Asia/Manila")  # after 1844-12-30 came 1845-01-01, at 15:56 in UTC
    start = parse_instant("1845-01-01", zone)
    assert start == utc(1844, 12, 31, 15, 45)
    ((first, last),) = build_windows(start, start + QUARTER, window, zone)
    assert first == (parse_instant("1844-12-30", zone) if window == "week" else start)
    assert last > start


#: Days: more than a window has, to find the boundaries next to a range, and of the longest range itself.
PADDING = {"hour": 1, "day": 4, "week": 11, "month": 35}
LENGTH = {"hour": 4, "day": 9, "week": 10, "month": 12}

#: What distinguishes a window from the one before, given its local time and the latest local date so far.
IDENTIFY = {
    "hour": lambda local, _: (local.date(), local.hour, local.utcoffset()),
    "day": lambda _, latest: latest,
    "week": lambda _, latest: latest.isocalendar()[:2],
    "month": lambda _, latest: (latest.year, latest.month),
}


def list_bounds(zone, window, start, end):
    """List the boundaries between two instants by computing the local time of each quarter of an hour.

    The last second of a quarter decides. If the offset changed, the dates of all seconds are considered.
    """
    bounds, latest, previous, local = [], date.min, None, start.astimezone(zone)
    for number in range((end - start) // QUARTER):
        begin = start + number * QUARTER
        offset, local = local.utcoffset(), (begin + timedelta(seconds=899)).astimezone(zone)
        latest = max(latest, local.date())
        if local.utcoffset() != offset:
            latest = max(latest, *((begin + timedelta(seconds=at)).astimezone(zone).date() for at in range(900)))
        current = IDENTIFY[window](local, latest)
        if current != previous:
            bounds.append(begin)
        previous = current
    return bounds


#: Years in which a zone's offset changed by another amount than an hour, or not at minute 0.
UNUSUAL = {
    (1979, 2045): [("Australia/Lord_Howe", 2026), ("America/St_Johns", 1988), ("America/St_Johns", 2006), ("Antarctica/Casey", 2020), ("Antarctica/Troll", 2026), ("Asia/Gaza", 2011), ("Asia/Kathmandu", 1986), ("Asia/Pyongyang", 2018), ("America/Caracas", 2007), ("Pacific/Apia", 2011), ("Pacific/Kwajalein", 1993), ("Pacific/Kiritimati", 1994), ("Pacific/Norfolk", 2015)],
    (1840, 1978): [("America/Juneau", 1867), ("Asia/Manila", 1844), ("Pacific/Apia", 1892), ("Pacific/Kwajalein", 1969), ("Africa/Monrovia", 1972), ("America/Toronto", 1919), ("Europe/Paris", 1911), ("Europe/Berlin", 1893), ("Asia/Kolkata", 1941), ("Asia/Singapore", 1941), ("America/Guyana", 1975)],
}  # fmt: skip


@st.composite
def ranges(draw, window, years):
    """Draw a zone and a range that is close to a change of its offset, if there is one in the year."""
    usual = st.tuples(st.sampled_from(ZONES), st.integers(*years))
    name, year = draw(st.one_of(usual, st.sampled_from(UNUSUAL[years])))
    zone, first = load_zone(name), utc(year, 1, 1)
    days = [first + timedelta(days=number) for number in range(366)]
    changes = [
        left
        for left, right in pairwise(days)
        if left.astimezone(zone).utcoffset() != right.astimezone(zone).utcoffset()
    ]
    change = draw(st.sampled_from(changes or days))
    quarters = LENGTH[window] * 96
    start = change + draw(st.integers(-quarters, 96)) * QUARTER
    end = start + draw(st.integers(1, quarters)) * QUARTER
    shift = draw(st.integers(0, QUARTER // datetime.resolution - 1)) * datetime.resolution
    return zone, start + shift, end


@pytest.mark.parametrize("window", MAX_WINDOWS)
@pytest.mark.parametrize("years", UNUSUAL, ids=["in use", "before"])
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_windows_match_the_local_time_of_every_quarter(window, years, data):
    """In every zone, the boundaries are where the local hour, day, week or month of a quarter of an hour changes."""
    zone, start, end = data.draw(ranges(window, years))
    padding = PADDING[window] * timedelta(days=1)
    bounds = list_bounds(zone, window, get_quarter_start(get_quarter(start)) - padding, end + padding)
    expected = bounds[bisect_right(bounds, start) - 1 : bisect_left(bounds, end) + 1]
    windows = build_windows(start, end, window, zone)
    assert windows == list(pairwise(expected))
    assert all(left < right for left, right in windows)


@given(st.sampled_from(ZONES), st.dates(date(1979, 10, 3), date(2045, 1, 1)))
@settings(deadline=None)
def test_days_in_use_are_exact(name, day):
    """Since October 1979, no day had to be rounded: it begins with the first second of its date."""
    zone = load_zone(name)
    start = parse_instant(day.isoformat(), zone)
    assert start.astimezone(zone).date() >= day > (start - timedelta(seconds=1)).astimezone(zone).date()


# Limits


@pytest.mark.parametrize(
    ("name", "window", "start", "end", "count"),
    [
        ("UTC", "hour", "2026-01-01", "2026-04-03", 2208),
        ("Europe/Berlin", "hour", "2026-10-01", "2026-11-01", 745),
        ("UTC", "hour", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00.000001Z", 745),
        ("Australia/Lord_Howe", "hour", "2026-01-01", "2027-01-01", 8761),
        ("Europe/Berlin", "hour", "2015-01-01", "2026-05-01", 99311),
        ("UTC", "day", "2026-01-01", "2027-01-03", 367),
        ("Pacific/Apia", "day", "2011-01-01", "2012-01-04", 367),
        ("Asia/Manila", "day", "1800-01-01", "2000-01-01", 73047),
        ("Asia/Manila", "day", "1845-01-01", "1846-01-03", 367),
        ("Pacific/Kwajalein", "day", "1960-01-01", "2020-01-01", 21914),
        ("Europe/Berlin", "week", "2026-01-05", "2028-01-04", 105),
        ("Europe/Berlin", "month", "2026-01-01", "2028-01-01T00:00:00Z", 25),
    ],
)
def test_the_error_has_the_number_of_windows(name, window, start, end, count):
    """A range with more windows than allowed is refused with their exact number."""
    zone = load_zone(name)
    with pytest.raises(TooManyWindowsError) as caught:
        build_windows(parse_instant(start, zone), parse_instant(end, zone), window, zone)
    error = caught.value
    assert (error.window, error.count, error.limit) == (window, count, MAX_WINDOWS[window])
    assert str(error) == f"window={window} gives at most {MAX_WINDOWS[window]} buckets; this range has {count}"


@pytest.mark.parametrize(
    ("name", "window", "start", "end"),
    [
        ("UTC", "hour", "2026-01-01", "2026-02-01"),
        ("Europe/Berlin", "day", "2024-01-01", "2025-01-01"),
        ("Pacific/Apia", "day", "2011-01-01", "2012-01-03"),
        ("Europe/Berlin", "week", "2026-01-05", "2028-01-03"),
        ("Europe/Berlin", "month", "2026-01-01", "2028-01-01"),
    ],
)
def test_the_limit_is_reached_exactly(name, window, start, end):
    """A range may have as many windows as the limit says, not counting dates that the zone skipped."""
    assert len(bounds_of(name, window, start, end)) - 1 == MAX_WINDOWS[window]


@given(st.sampled_from(ZONES), st.dates(date(1840, 1, 1), date(2045, 1, 1)), st.data())
@settings(deadline=None)
def test_counted_windows_are_those_that_would_be_built(name, day, data):
    """The number in the error is that of the windows that would be listed without a limit."""
    zone, window = load_zone(name), data.draw(st.sampled_from(sorted(MAX_WINDOWS)))
    start = parse_instant(day.isoformat(), zone)
    end = start + timedelta(days=data.draw(st.integers(1, 1000)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calendar, "MAX_WINDOWS", dict.fromkeys(MAX_WINDOWS, 10**6))
        windows = build_windows(start, end, window, zone)
        patch.setattr(calendar, "MAX_WINDOWS", dict.fromkeys(MAX_WINDOWS, 0))
        with pytest.raises(TooManyWindowsError) as caught:
            build_windows(start, end, window, zone)
    assert caught.value.count == len(windows)


@pytest.mark.parametrize(
    ("window", "count"), [("hour", 87_631_896), ("day", 3_651_330), ("week", 521_619), ("month", 119_965)]
)
def test_immense_ranges_are_counted_at_once(window, count):
    """The windows of thousands of years are counted without looking at each."""
    zone = load_zone("Pacific/Apia")
    start, end = (parse_instant(text, zone) for text in ("0001-01-01", "9999-12-31"))
    before = time.process_time()
    with pytest.raises(TooManyWindowsError) as caught:
        build_windows(start, end, window, zone)
    assert time.process_time() - before < 0.5
    assert caught.value.count == count


# Defaults and quarters


@pytest.mark.parametrize(
    ("now", "name", "start", "end"),
    [
        (utc(2026, 4, 3, 12), "UTC", utc(2026, 3, 5), utc(2026, 4, 4)),
        (utc(2026, 4, 3), "UTC", utc(2026, 3, 5), utc(2026, 4, 4)),
        (utc(2026, 4, 3, 21, 59, 59), "Europe/Berlin", utc(2026, 3, 4, 23), utc(2026, 4, 3, 22)),
        (utc(2026, 4, 3, 22), "Europe/Berlin", utc(2026, 3, 5, 23), utc(2026, 4, 4, 22)),
        pytest.param(utc(2011, 12, 30, 9, 59), "Pacific/Apia", utc(2011, 11, 30, 10), utc(2011, 12, 30, 10), id="before a date that is skipped"),
        pytest.param(utc(2006, 10, 29, 3), "America/St_Johns", utc(2006, 9, 30, 2, 30), utc(2006, 10, 30, 3, 30), id="in the repeated part of yesterday"),
    ],
)  # fmt: skip
def test_the_default_range_is_30_dates_with_today(now, name, start, end):
    """Without a range, the windows are the last 30 dates, including the current one."""
    zone = load_zone(name)
    assert find_default_end(now, zone) == end
    assert find_default_start(end, zone) == start
    assert len(build_windows(start, end, "day", zone)) == 30
    assert len(build_windows(start, end, "hour", zone)) == (end - start) / timedelta(hours=1)


@pytest.mark.parametrize(
    ("end", "start"),
    [
        (utc(2026, 4, 3, 22), utc(2026, 3, 4, 23)),
        (utc(2026, 4, 3, 22, 0, 0, 1), utc(2026, 3, 5, 23)),
        (utc(2026, 4, 4, 12), utc(2026, 3, 5, 23)),
    ],
)
def test_an_end_alone_has_30_dates(end, start):
    """The default start is 30 dates before the end, counting the one that the end is in unless it begins there."""
    zone = load_zone("Europe/Berlin")
    assert find_default_start(end, zone) == start
    assert len(build_windows(start, end, "day", zone)) == 30


@pytest.mark.parametrize(
    ("instant", "quarter", "start"),
    [
        (EPOCH, 0, EPOCH),
        (utc(1970, 1, 1, 0, 14, 59, 999_999), 0, EPOCH),
        (utc(1970, 1, 2, 0, 15), 97, utc(1970, 1, 2, 0, 15)),
        (utc(1969, 12, 31, 23, 59), -1, utc(1969, 12, 31, 23, 45)),
        (utc(2026, 11, 26, 12, 44), 1_995_218, utc(2026, 11, 26, 12, 30)),
    ],
)
def test_quarters_are_numbered_since_1970(instant, quarter, start):
    """Quarters of an hour have the numbers that the recorder gives them, and 96 make a day in UTC."""
    assert get_quarter(instant) == quarter == instant.timestamp() // 900
    assert get_quarter_start(quarter) == start
    assert quarter % 96 == (instant.hour * 60 + instant.minute) // 15
