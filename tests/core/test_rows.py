"""Conversion of documents to rows, and the record of adjusted values."""

import pytest
from bson import Code, ObjectId
from bson.datetime_ms import DatetimeMS

from flask_usage_stats._core.fields import ALL_FIELDS, FIELDS
from flask_usage_stats._core.rows import Adjustments, RowBatch, convert_each


def adjusted(documents):
    adjustments = Adjustments()
    convert_each(documents, adjustments)
    return adjustments


def test_rows_have_the_fields_of_the_response_in_its_order():
    """Other fields are left out, missing fields stay missing, and a missing count is 0."""
    batch = convert_each([{"secret": 1, "plan": None, "name": "blog", "_id": 7}], Adjustments())
    assert [list(row.items()) for row in batch.rows] == [
        [("_id", 7), ("name", "blog"), ("plan", None), ("totalRequest", 0)]
    ]
    assert (batch.counts, batch.trailing_dates) == ([0], 0)


@pytest.mark.parametrize(
    ("documents", "examples"),
    [
        ([{"_id": number} for number in range(6)] + [{"_id": 9, "name": {}}], [(9, [("name", "dict")])]),
        ([{"_id": ObjectId("f" * 24), "name": {}}], [("f" * 24, [("name", "dict")])]),
        ([{"_id": Code("x")}], []),
        ([{"_id": 2**60, "totalRequest": None, "updatedAt": None, "name": None}], []),
        ([{"_id": 1, "totalRequest": "5"}], [(1, [("totalRequest", "str")])]),
        ([{"_id": 1, "createdAt": DatetimeMS(2**62)}], [(1, [("createdAt", "DatetimeMS")])]),
        (
            [{"_id": 1, "plan": 5}, {"_id": 2, "updatedAt": "\ud800"}],
            [(1, [("plan", "int")]), (2, [("updatedAt", "str")])],
        ),
    ],
)
def test_only_values_that_do_not_fit_are_recorded(documents, examples):
    """A value that is only written in another format is not recorded; examples have the returned id."""
    assert adjusted(documents).examples == examples


def test_examples_are_limited_to_five_projects():
    """All adjusted values are counted, but only five projects are named, even if their id is null."""
    adjustments = adjusted([{"totalRequest": "x"}] * 1000 + [{"_id": ObjectId(), "totalRequest": "x"}])
    assert adjustments.count == 1001
    assert len(adjustments.examples) == 5


def test_documents_without_known_fields_are_counted():
    """A document that has fields, but none of a row, shows that its store uses other names."""
    others = [{}, {"_id": 1}, {"totalRequest": 1}, {"title": "api", "plan": None}]
    assert adjusted([*others, {"title": "blog"}, {"title": "wiki"}]).unnamed == 2


@pytest.mark.parametrize(
    ("names", "trailing_dates", "remaining"),
    [
        (["createdAt", "updatedAt", "lastRequestAt"], 3, 2),
        (["createdAt", "lastRequestAt"], 2, 1),
        (["createdAt", "updatedAt"], 2, 2),
        (["lastRequestAt"], 1, 0),
        (["updatedAt", "lastRequestAt"], 0, 0),
    ],
)
def test_selecting_fields_drops_the_others(names, trailing_dates, remaining):
    """Rows lose the fields that are not selected, and the batch knows how many dates are left."""
    row = {"_id": 1, "totalRequest": 2, **dict.fromkeys(names, "date")}
    batch = RowBatch([2], [b"a"], [row], trailing_dates, ALL_FIELDS)
    rows = [{name: value for name, value in row.items() if name != "lastRequestAt"}]
    assert batch.select_fields(FIELDS) == RowBatch([2], [b"a"], rows, remaining, FIELDS)
    assert batch.select_fields(ALL_FIELDS) is batch
    empty = RowBatch([], [], [], trailing_dates, ALL_FIELDS)
    assert empty.select_fields(FIELDS) == RowBatch([], [], [], 0, FIELDS)


def test_filtering_keeps_rows_and_keys_together():
    """A filtered batch has the counts and keys of the remaining rows."""
    batch = RowBatch([1, 2, 3], [b"a", b"b", b"c"], [{"n": 1}, {"n": 2}, {"n": 3}], 2, ALL_FIELDS)
    assert batch.filter(lambda count, row: count != 2 and row["n"] < 9) == RowBatch(
        [1, 3], [b"a", b"c"], [{"n": 1}, {"n": 3}], 2, ALL_FIELDS
    )
