"""The JSON format."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from support import raiser

from flask_usage_stats._core.output import Report
from flask_usage_stats._core.query import DEFAULT_QUERY, UsageQuery
from flask_usage_stats._core.rows import Adjustments, RowBatch
from flask_usage_stats._formats.json import JSON, encode_json

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**80), 2**80),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
ID = ObjectId("507f1f77bcf86cd799439011")


def encode_row(row, trailing_dates=0):
    (encoded,) = JSON.encode_rows(RowBatch([0], [b""], [row], trailing_dates))
    return encoded


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.dictionaries(st.sampled_from("xyz"), scalars))))
def test_encoded_json_reads_back(body):
    """Decoding returns the encoded body, with integers of any size."""
    assert json.loads(encode_json(body)) == body


def test_large_integers_change_nothing_else():
    """Values next to an integer beyond 64 bits are encoded as usual."""
    assert encode_json({"x": "\u00e9", "y": 2**70}) == '{"x":"\u00e9","y":1180591620717411303424}'.encode()
    with pytest.raises(ValueError, match="JSON compliant"):
        encode_json({"x": math.nan, "y": 2**70})


@pytest.mark.parametrize("other", [1, 2**70])
def test_other_types_are_errors(other):
    """A type that orjson does not support raises TypeError."""
    with pytest.raises(TypeError):
        encode_json({"x": object(), "other": other})


@pytest.mark.parametrize("count", [1, 2**70])
def test_dates_are_truncated_to_milliseconds(count):
    """A date is ISO 8601 in UTC, even if the body has an integer beyond 64 bits."""
    row = {"_id": ID, "totalRequest": count, "updatedAt": datetime(2024, 3, 14, 10, 15, 0, 999999)}
    expected = f'{{"_id":"{ID}","totalRequest":{count},"updatedAt":"2024-03-14T10:15:00.999Z"}}'
    assert encode_row(row, trailing_dates=1) == expected.encode()


def test_rows_are_encoded_by_orjson(monkeypatch):
    """Rows without dates and large integers are not converted value by value, which would be slower."""
    monkeypatch.setattr("flask_usage_stats._formats.json._encode_slowly", raiser(AssertionError()))
    assert encode_row({"_id": ID, "name": "blog"}) == f'{{"_id":"{ID}","name":"blog"}}'.encode()
    row = {"_id": ID, "updatedAt": datetime(2024, 3, 14, 10, 15)}
    assert encode_row(row, trailing_dates=1) == f'{{"_id":"{ID}","updatedAt":"2024-03-14T10:15:00.000Z"}}'.encode()


@pytest.mark.parametrize(
    "names", [["createdAt", "updatedAt"], ["createdAt", "lastRequestAt"], ["createdAt", "updatedAt", "lastRequestAt"]]
)
def test_several_dates_are_truncated_at_once(names, monkeypatch):
    """Nearly all dates have milliseconds, and are not truncated one by one, which would be slower."""
    for slower in ("_fix_milliseconds", "_encode_slowly"):
        monkeypatch.setattr(f"flask_usage_stats._formats.json.{slower}", raiser(AssertionError()))
    dates = {name: datetime(2024, 3, 14, 10, 15, 0, 1000 + index) for index, name in enumerate(names)}
    texts = dict.fromkeys(names, "2024-03-14T10:15:00.001Z")
    assert json.loads(encode_row({"_id": ID} | dates, len(names))) == {"_id": str(ID)} | texts


@pytest.mark.parametrize("aware", range(3))
def test_no_date_in_another_time_zone_is_encoded(aware):
    """An aware datetime is refused wherever it is, since its text has another length."""
    dates = [datetime(2024, 1, 1, 0, 0, 0, 5000)] * 3
    dates[aware] = dates[aware].replace(tzinfo=timezone(timedelta(hours=1)))
    with pytest.raises(ValueError, match=r"UTC|aware"):
        encode_row(dict(zip(["createdAt", "updatedAt", "lastRequestAt"], dates, strict=True)), trailing_dates=3)


@pytest.mark.parametrize(
    ("row", "trailing_dates"),
    [
        ({"name": "a\ud800"}, 0),
        ({"name": "a\ud800", "totalRequest": 2**70}, 0),
        ({"updatedAt": datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1)))}, 1),
        ({"totalRequest": 2**70, "updatedAt": datetime(2024, 1, 1, tzinfo=UTC)}, 1),
    ],
    ids=["surrogate", "surrogate-large", "aware", "aware-large"],
)
def test_values_that_must_be_converted_are_refused(row, trailing_dates):
    """Invalid Unicode and aware datetimes raise ValueError, as the protocol requires."""
    with pytest.raises(ValueError, match=r"."):
        encode_row(row, trailing_dates)


@pytest.mark.parametrize(
    ("row", "trailing_dates"),
    [
        ({"name": "blog", "totalRequest": 1}, 0),
        ({"name": "blog", "totalRequest": 2**70}, 0),
        ({"totalRequest": 1, "updatedAt": datetime(2024, 1, 1)}, 1),
    ],
    ids=["plain", "large", "date"],
)
def test_encoded_rows_are_copies(monkeypatch, row, trailing_dates):
    """Rows are copies, because a result of orjson keeps its complete write buffer in memory."""
    results = []
    dumps = orjson.dumps
    monkeypatch.setattr(
        orjson, "dumps", lambda *arguments, **options: results.append(dumps(*arguments, **options)) or results[-1]
    )
    encoded = encode_row(row, trailing_dates)
    assert not any(encoded is result for result in results)


@pytest.mark.parametrize(
    ("query", "groups", "end"),
    [
        (DEFAULT_QUERY, None, "]}"),
        (UsageQuery(limit=1), None, '],"totalProjects":2,"nextCursor":"x"}'),
        (UsageQuery(group_by=("plan",)), [], '],"groups":[]}'),
        (
            UsageQuery(limit=1, group_by=("plan",)),
            [{"plan": None}],
            '],"groups":[{"plan":null}],"totalProjects":2,"nextCursor":"x"}',
        ),
    ],
)
def test_body_has_what_the_query_requests(query, groups, end):
    """The first three fields are always present, followed by those that the query requests."""
    report = Report(3, 2, [b'{"a":1}', b'{"a":2}'], groups, None, Adjustments())
    assert JSON.encode_body(report, query, "x").decode() == (
        '{"success":true,"totalRequests":3,"projectStats":[{"a":1},{"a":2}' + end
    )
