"""Conversion of values, including values of other stores that BSON does not support."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest
from bson import Code, Decimal128, ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from flask_usage_stats._core import values

EAST = timezone(timedelta(hours=5, minutes=30))
ID = ObjectId("507f1f77bcf86cd799439011")


class Plan(StrEnum):
    PRO = "pro"


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (Decimal("7.00"), 7),
        (Decimal("0.1"), 0.1),
        (Decimal("9007199254740993.0"), 2**53 + 1),
        (Decimal("9007199254740992.5"), 2**53),
        (Decimal("sNaN"), None),
        (Decimal("1e400"), None),
        (2**64, 2**64),
        (-7.0, -7),
        (True, None),
        (float("nan"), None),
        (float("-inf"), None),
        pytest.param(10**400, None, id="beyond-a-double"),
        pytest.param(object(), None, id="object"),
    ],
)
def test_counts_are_numbers_that_a_double_can_approximate(value, count):
    """Decimals and integers are counts if they are within the range of a double; whole numbers are integers."""
    assert repr(values.to_count(value)) == repr(count)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Plan.PRO, "pro"),
        (Decimal("1.50"), "1.50"),
        (True, "true"),
        (False, "false"),
        (1.5, "1.5"),
        (2.0, "2"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (Code("x"), None),
        pytest.param(10**400, None, id="beyond-a-double"),
        pytest.param(10**5000, None, id="beyond-what-python-formats"),
        ("\udcff", "\ufffd"),
        ("\udce4\udcb8", "\ufffd"),  # a character without its third byte
        ("\ud83d\ude00", "\U0001f600"),
        ("a\ud800b", "a\ufffdb"),
        (date(2024, 1, 1), None),
        (datetime(2024, 1, 1, tzinfo=EAST), "2023-12-31T18:30:00.000Z"),
        pytest.param(object(), None, id="object"),
    ],
)
def test_scalars_become_text(value, text):
    """Scalars become text, lone surrogates become U+FFFD, and other types are null."""
    assert values.to_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2024, 1, 1, 5, 30, tzinfo=EAST), "2024-01-01T00:00:00.000Z"),
        (datetime(2024, 1, 1, 0, 0, 0, 999999), "2024-01-01T00:00:00.999Z"),
        (DatetimeMS(1), "1970-01-01T00:00:00.001Z"),
        (datetime(1, 1, 1, tzinfo=EAST), None),
        (DatetimeMS(253402300799999), "9999-12-31T23:59:59.999Z"),
        (DatetimeMS(253402300800000), None),
        (DatetimeMS(-62135596800000), "0001-01-01T00:00:00.000Z"),
        (DatetimeMS(-62135596800001), None),
        (DatetimeMS(2**63 - 1), None),
        (date(2024, 1, 1), None),
        ("soon\ud800", "soon\ufffd"),
        (Code("2024-01-01"), None),
    ],
    ids=repr,
)
def test_dates_are_utc_within_the_years_1_to_9999(value, text):
    """Dates become ISO 8601 in UTC with truncated milliseconds; outside the years 1 to 9999 they are null."""
    assert values.to_date(value) == text


def test_aware_datetimes_are_not_formatted():
    """An aware datetime raises an error instead of being formatted as a wrong time."""
    with pytest.raises(ValueError, match=r"^an aware datetime must be converted first$"):
        values.format_datetime(datetime(2024, 1, 1, tzinfo=UTC))


@given(st.datetimes(), st.integers(-14 * 60, 14 * 60))
def test_dates_sort_by_the_instant_that_is_returned(moment, minutes):
    """A date has the same sort key as stored and as returned, and text with an offset is converted to UTC."""
    exact = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    milliseconds = (exact - datetime(1970, 1, 1)) // timedelta(milliseconds=1)
    text = exact.isoformat(timespec="milliseconds")
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    for date_ in (moment, moment.replace(tzinfo=UTC), exact, text, text + "Z", values.to_date(moment)):
        assert values.get_date_sort_key(date_) == milliseconds
    assert values.get_date_sort_key(text + offset) == milliseconds - minutes * 60_000


def test_instants_outside_the_years_of_datetime_have_a_sort_key():
    """A string with an offset may be an instant before the year 1."""
    assert values.get_date_sort_key("0001-01-01T00:00:00+05:00") == -62135596800000 - 5 * 3_600_000


@pytest.mark.parametrize("date_", ["soon", "", "2024-13-01", None, 5, date(2024, 1, 1)])
def test_other_values_have_no_date_sort_key(date_):
    """Text that is not an ISO 8601 date, and any other type, is sorted last."""
    assert values.get_date_sort_key(date_) is None


@pytest.mark.parametrize(
    ("value", "converted"),
    [
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (2**53 - 1, 2**53 - 1),
        (2**53, "9007199254740992"),
        (-(2**53) + 1, -(2**53) + 1),
        (-(2**53), "-9007199254740992"),
        pytest.param(10**30, str(10**30), id="beyond-64-bits"),
        pytest.param(2**1024 - 1, str(2**1024 - 1), id="1024-bits"),
        pytest.param(2**1024, None, id="1025-bits"),
        pytest.param(10**5000, None, id="beyond-what-python-formats"),
        pytest.param(object(), None, id="object"),
        ("\ud800", "\ufffd"),
        (True, "true"),
    ],
)
def test_ids_are_text_or_safe_integers(value, converted):
    """Integers that JavaScript would round become text."""
    assert values.to_id(value) == converted


def test_ids_without_extended_json_are_null():
    """An id that Extended JSON does not support is null and not an error."""
    nested = []
    for _ in range(100_000):
        nested = [nested]
    assert values.to_id(nested) is None
    assert values.to_id(datetime(1, 1, 1, tzinfo=EAST)) is None
    while nested:  # unnested step by step, because freeing it may recurse as deep
        nested = nested.pop()


def test_ids_sort_by_type_then_value():
    """The order is null, integers, text, ObjectIds, then other types by their text."""
    integers = [-(2**80), -(2**64), -65536, -257, -256, -255, -1, 0, 1, 255, 256, 65535, 2**53, 2**80]
    texts = ["", "10", "2", "\ud800", "\U0001f600"]
    object_ids = [ObjectId("0" * 24), ID, ObjectId("f" * 24)]
    ordered = [None, *integers, *sorted(texts), *object_ids, False, True]
    keys = [values.get_id_sort_key(value) for value in ordered]
    assert keys == sorted(set(keys))


@given(st.integers(), st.integers())
def test_integer_ids_sort_by_value(one, other):
    """The bytes that sort integers are in the order of the integers."""
    assert (values.get_id_sort_key(one) < values.get_id_sort_key(other)) == (one < other)


def test_long_keys_are_truncated_and_stay_different():
    """A long key is truncated, and a hash distinguishes it from other keys with the same beginning."""
    assert values.truncate_key("x" * 200) == "x" * 200
    one, other = values.truncate_key("x" * 300), values.truncate_key("x" * 301)
    assert one[:200] == other[:200] == "x" * 200
    assert len(one) == len(other) == 264
    assert one != other
    assert values.truncate_key("\ud800" * 201) != values.truncate_key("\ud800" * 202)


@pytest.mark.parametrize(
    ("counts", "total"),
    [
        ([], 0),
        ([2**63, 2**63], 2**64),
        ([0.1, 0.2], 0.3),  # the nearest double of the exact sum of the two doubles
        ([2**53, 0.5], 2**53),
        ([1e308, 1e308, 0.5], 2 * int(1e308)),
        ([0.5, 0.5], 1),
        ([1e300, 1, -1e300], 1),
    ],
)
def test_sums_are_exact_and_rounded_once(counts, total):
    """A whole sum is an integer, even if its terms were not; any other is the nearest double."""
    result = values.sum_exactly(counts)
    assert result == pytest.approx(total, rel=1e-15)
    assert type(result) is type(total)


@pytest.mark.parametrize(
    ("value", "converted"),
    [
        ("ada", "ada"),
        (ID, str(ID)),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (7, 7),
        (7.0, 7),
        (-0.0, 0),
        (Decimal128("7.00"), 7),
        (
            Decimal128("7.000000000000000000000000000000001"),
            '{"$numberDecimal": "7.000000000000000000000000000000001"}',
        ),
        (7.5, '{"$numberDouble": "7.5"}'),
        (2.0**63, '{"$numberDouble": "9.223372036854776e+18"}'),
        (float("nan"), '{"$numberDouble": "NaN"}'),
        (Decimal128("sNaN"), '{"$numberDecimal": "NaN"}'),
        (2**53, "9007199254740992"),
        (2.0**53, "9007199254740992"),
        (True, "true"),
        (None, None),
        (["ada", 7.0, None], ["ada", 7, None]),
        pytest.param("x" * 1024, "x" * 1024, id="long"),
        pytest.param("\u00e9" * 513, None, id="too-long"),
        pytest.param("\ud800", "\ufffd", id="surrogate"),
        (Code("ada"), None),
        ({"id": "ada"}, None),
        (b"ada", None),
        ([["ada"]], [None]),
        ([], []),
    ],
    ids=repr,
)
def test_to_owner(value, converted):
    """Owners are converted as ids, and numbers that equal an integer are that integer."""
    assert repr(values.to_owner(value)) == repr(converted)
