"""Values of other stores, which a BSON document cannot hold."""

import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest
from bson import Code, ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from flask_usage_stats._core import values
from flask_usage_stats._core.report import build_report

EAST = timezone(timedelta(hours=5, minutes=30))


class Plan(StrEnum):
    PRO = "pro"


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (Decimal("7.00"), 7),
        (Decimal("0.1"), 0.1),
        (Decimal("sNaN"), None),
        (Decimal("1e400"), None),
        (2**64, 2**64),
        (10**400, None),
        (object(), None),
    ],
)
def test_counts(value, count):
    """Decimals and integers of any size count, up to what a double can hold."""
    assert values.to_count(value) == count


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Plan.PRO, "pro"),
        (Decimal("1.50"), "1.50"),
        (10**400, None),
        (10**5000, None),
        ("\udcff", "\ufffd"),
        ("\ud83d\ude00", "\U0001f600"),
        ("a\ud800b", "a\ufffdb"),
        (date(2024, 1, 1), None),
        (object(), None),
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else "int",
)
def test_text(value, text):
    """Scalars are text, lone surrogates are U+FFFD, and what has no text is none."""
    assert values.to_text(value) == text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (datetime(2024, 1, 1, 5, 30, tzinfo=EAST), datetime(2024, 1, 1)),
        (datetime(1, 1, 1, tzinfo=EAST), "+000000-12-31T18:30:00.000Z"),
        (date(2024, 1, 1), None),
    ],
)
def test_dates(value, shown):
    """Aware datetimes are converted to UTC, also beyond the years that datetime knows."""
    assert values.to_date(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (UUID(int=7), '{"$binary": {"base64": "AAAAAAAAAAAAAAAAAAAABw==", "subType": "04"}}'),
        (10**30, 10**30),
        (10**5000, None),
        (object(), None),
        ("\ud800", "\ufffd"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_ids(value, shown):
    """An identity that has no Extended JSON is null, as nothing could be told by it."""
    assert values.to_id(value) == shown


@given(st.integers(-8_640_000_000_000_000, 8_640_000_000_000_000))
def test_every_instant(milliseconds):
    """Every instant of ECMA-262 is written in its form, and reads back as the same instant."""
    moment = values.to_date(DatetimeMS(milliseconds))
    text = values.format_datetime(moment) if isinstance(moment, datetime) else moment
    year, month, day, hour, minute, second, milli = map(
        int, re.fullmatch(r"(\d{4}|[+-]\d{6})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z", text).groups()
    )
    cycles, near = divmod(year, 400)
    back = datetime(near + 400, month, day, hour, minute, second, milli * 1000) - datetime(1970, 1, 1)
    assert back / timedelta(milliseconds=1) + (cycles - 1) * 146_097 * 86_400_000 == milliseconds


@pytest.mark.parametrize(
    ("milliseconds", "moment"),
    [
        (-62135596800000, datetime(1, 1, 1)),
        (253402300799999, datetime(9999, 12, 31, 23, 59, 59, 999000)),
    ],
)
def test_last_instants(milliseconds, moment):
    """The years 1 and 9999 are datetime's own."""
    assert values.to_date(DatetimeMS(milliseconds)) == moment


def test_ranks():
    """The type of an identity comes before its text."""
    assert values.id_sort_key(ObjectId("f" * 24)) < values.id_sort_key(False)


def test_ids_without_extended_json():
    """What Extended JSON cannot hold, of another store, is null and not a failure."""
    nested = []
    for _ in range(100_000):
        nested = [nested]
    assert values.to_id(nested) is None
    assert values.to_id(datetime(1, 1, 1, tzinfo=EAST)) is None
    while nested:  # unnested by hand, for freeing it may go as deep
        nested = nested.pop()


@pytest.mark.parametrize(
    ("rows", "first"),
    [
        ([{"_id": number} for number in range(6)] + [{"_id": 9, "name": {}}], [(9, [("name", "dict")])]),
        ([{"_id": ObjectId("f" * 24), "name": {}}], [("f" * 24, [("name", "dict")])]),
        ([{"_id": Code("x")}], []),
        (
            [{"_id": 1, "plan": 5}, {"_id": 2, "updatedAt": "\ud800"}],
            [(1, [("plan", "int")]), (2, [("updatedAt", "str")])],
        ),
    ],
)
def test_changes(rows, first):
    """Only what was changed is noted, under the identity that is shown."""
    assert build_report(rows).changes.first == first


def test_whole_total():
    """A total that is rounded to a whole number is written as one."""
    assert type(build_report([{"totalRequest": 2**53}, {"totalRequest": 0.5}]).total) is int


def test_ties_of_damaged_text():
    """Identities that are shown alike still have one order, whatever the order of reading."""
    rows = [{"_id": "\udcfe", "name": "1"}, {"_id": "\udcff", "name": "2"}]
    assert build_report(rows).rows == build_report(reversed(rows)).rows


def test_changes_are_bounded():
    """However many projects are odd, five are named, also where their identity is shown as null."""
    report = build_report([{"totalRequest": "x"}] * 1000 + [{"_id": ObjectId(), "totalRequest": "x"}])
    assert report.changes.number == 1001
    assert len(report.changes.first) == 5
