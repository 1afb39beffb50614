"""The fast conversion returns the same rows as the exact conversion."""

import math
from datetime import datetime

import pytest
from bson import Int64, ObjectId

from flask_usage_stats._core import fast_rows
from flask_usage_stats._core.fields import ALL_FIELDS
from flask_usage_stats._core.rows import Adjustments, convert_each
from flask_usage_stats._formats.csv import CSV
from flask_usage_stats._formats.json import JSON

MOMENT = datetime(2024, 3, 14, 10, 15, 0, 123000)
PLAIN = {
    "_id": ObjectId("507f1f77bcf86cd799439011"),
    "name": "blog",
    "projectType": "node",
    "status": None,
    "plan": "pro",
    "totalRequest": 5,
    "createdAt": MOMENT,
    "updatedAt": MOMENT,
}


def convert(documents, *fields):
    return list(fast_rows.convert_batch(documents, Adjustments(), *fields))


def test_documents_of_one_shape_are_not_copied():
    """Documents whose values are returned as they are stored become rows without a copy."""
    documents = [dict(PLAIN) for _ in range(3)]
    (batch,) = convert(documents)
    assert all(row is document for row, document in zip(batch.rows, documents, strict=True))
    assert batch.trailing_dates == 2


def test_documents_with_the_latest_request_are_not_copied():
    """A document with a date that is asked for becomes a row without a copy as well, with three dates."""
    documents = [PLAIN | {"lastRequestAt": MOMENT} for _ in range(3)]
    (batch,) = convert(documents, ALL_FIELDS)
    assert all(row is document for row, document in zip(batch.rows, documents, strict=True))
    assert (batch.trailing_dates, batch.fields) == (3, ALL_FIELDS)
    (batch,) = convert(documents)
    assert list(batch.rows) == [PLAIN] * 3
    assert batch.trailing_dates == 2


@pytest.mark.parametrize(
    "change",
    [
        {"_id": "blog"},
        {"_id": 7},
        {"_id": Int64(2**53 - 1)},
        {"_id": -(2**53)},
        {"_id": None},
        {"_id": 1.5},
        {"totalRequest": Int64(7)},
        {"totalRequest": 1.5},
        {"totalRequest": None},
        {"name": 5},
        {"createdAt": "soon"},
        {"updatedAt": None},
        {"secret": 1},
        {"lastRequestAt": MOMENT},
        {"lastRequestAt": "soon"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("missing", [None, *PLAIN])
@pytest.mark.parametrize("fields", [[], [ALL_FIELDS]], ids=["plain", "all"])
@pytest.mark.parametrize("output", [JSON, CSV], ids=["json", "csv"])
def test_rows_are_those_of_the_exact_conversion(change, missing, fields, output):
    """Encoded rows and sort keys are the same for any types and any order of the fields."""
    document = {name: value for name, value in {**change, **PLAIN, **change}.items() if name != missing}
    (fast,) = convert([document], *fields)
    exact = convert_each([document], Adjustments(), *fields)
    assert output.encode_rows(fast) == output.encode_rows(exact)
    assert (fast.counts, fast.id_keys) == (exact.counts, exact.id_keys)


def test_common_documents_are_not_converted_value_by_value(monkeypatch):
    """The fast path handles integers, doubles, null and missing counts, with the keys in any order."""
    exact = []
    monkeypatch.setattr(fast_rows, "convert_each", lambda *arguments: exact.append(1) or convert_each(*arguments))
    counts = [{"totalRequest": value} for value in (1, Int64(2), 3.0, 0.5, -0.0, 1e300, None)] + [{}]
    documents = [{**count, **{name: PLAIN[name] for name in PLAIN if name != "totalRequest"}} for count in counts]
    documents += [{**PLAIN, **count} for count in counts]
    batches = convert(documents)
    assert not exact
    rows = [row for batch in batches for row in batch.rows]
    assert all(list(row) == list(PLAIN) for row in rows)
    assert sorted(row["totalRequest"] for row in rows) == sorted(
        [1, 2, 3, 0.5, 0, int(1e300), 0, 0] + [1, 2, 3, 0.5, 0, int(1e300), 0, 5]
    )


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_groups_with_counts_that_are_not_finite_are_converted(odd):
    """A count that is not finite is 0 and is recorded, even if the other counts are finite."""
    adjustments = Adjustments()
    (batch,) = fast_rows.convert_batch([PLAIN | {"totalRequest": value} for value in (1.5, odd)], adjustments)
    assert batch.counts == [1.5, 0]
    assert adjustments.count == 1


def test_shapes_are_grouped():
    """Documents of several shapes become one batch per shape, and no row is lost."""
    documents = [PLAIN, {"_id": 1}, PLAIN, {"_id": 2}, {"totalRequest": 1, "_id": 3}]
    assert sorted(len(batch.rows) for batch in convert(documents)) == [1, 2, 2]
    assert convert([]) == []
