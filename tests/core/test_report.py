"""From documents to encoded rows, compared with a step-by-step computation."""

import csv
import io
import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations, product
from operator import itemgetter

import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st
from support import raiser

from flask_usage_stats._core.fields import ALL_FIELDS, FIELDS
from flask_usage_stats._core.query import DEFAULT_QUERY, CursorPosition, UsageQuery
from flask_usage_stats._core.report import build_report
from flask_usage_stats._core.values import get_date_sort_key, get_id_sort_key
from flask_usage_stats._formats.csv import CSV
from flask_usage_stats._formats.json import JSON
from flask_usage_stats.schemas import UsageSchema

NAMES = [field.name for field in FIELDS]
ALL_NAMES = [field.name for field in ALL_FIELDS]
INCLUDING = UsageQuery(include=("lastRequestAt",))
ABSENT = object()


def truncate(moment):
    """Truncate a datetime to milliseconds, as MongoDB stores it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


texts = st.one_of(st.text(), st.sampled_from(['000Z"', "Z", '"}', "},{", None]), st.just("a\ud800b"))
whole = st.integers(0, 10**9).map(lambda seconds: datetime(2000, 1, 1) + timedelta(seconds=seconds))
dates = st.one_of(
    st.datetimes().map(truncate),
    st.datetimes(),
    whole,
    st.datetimes(timezones=st.just(UTC)),
    st.datetimes(datetime(2000, 1, 1), timezones=st.just(timezone(timedelta(hours=5, minutes=30)))),
    st.none(),
    st.text(max_size=5),
)
counts = st.one_of(
    st.integers(), st.integers(-(2**63), 2**63 - 1).map(Int64), st.floats(), st.none(), st.text(max_size=3)
)
ids = st.one_of(st.binary(min_size=12, max_size=12).map(ObjectId), st.integers(), st.text(max_size=5))
STRATEGIES = [ids, texts, texts, texts, texts, counts, dates, dates, dates]


@st.composite
def documents(draw):
    """Draw a document with some of the fields and an additional one, in any order."""
    names = draw(st.permutations([*ALL_NAMES, "secret"]))
    values = dict(zip(ALL_NAMES, STRATEGIES, strict=True)) | {"secret": st.just("never returned")}
    return {name: draw(values[name]) for name in names if draw(st.integers(0, 9))}


def plain(document, fields=FIELDS):
    """Compute a row from one document, step by step, with the standard library."""
    row = {}
    for name, kind in fields:
        value = document.get(name, ABSENT)
        match kind.value:
            case "count":
                value = value if isinstance(value, int | float) and math.isfinite(value) else 0
                value = int(value) if isinstance(value, int) or value.is_integer() else value
            case "date" if isinstance(value, datetime):
                value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
                value = value.isoformat(timespec="milliseconds") + "Z"
            case "id" if isinstance(value, ObjectId) or (isinstance(value, int) and abs(value) >= 2**53):
                value = str(value)
        if isinstance(value, str):
            value = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in value)
        if value is not ABSENT:
            row[name] = value
    return row


def encode(documents, query=DEFAULT_QUERY):
    report = build_report(documents, query, JSON)
    return json.loads(JSON.encode_body(report, query, None))


@given(st.lists(documents(), max_size=6))
def test_rows_are_those_of_a_plain_computation(stored):
    """Rows of every shape, together and alone, equal those of a step-by-step computation, including the key order."""
    body = encode(stored)
    assert UsageSchema().validate(body) == {}
    assert sorted(map(json.dumps, body["projectStats"])) == sorted(json.dumps(plain(document)) for document in stored)
    counts = [row["totalRequest"] for row in body["projectStats"]]
    assert counts == sorted(counts, reverse=True)


def sort_by_last_request(rows):
    """Return the keys of the dates in order, the latest first, those without one last."""
    keys = [get_date_sort_key(row.get("lastRequestAt")) for row in rows]
    return sorted((key for key in keys if key is not None), reverse=True) + [key for key in keys if key is None]


@given(st.lists(documents(), max_size=6))
def test_rows_have_the_latest_request_if_it_is_included(stored):
    """The date is converted as the others are, and is the last field."""
    body = encode(stored, INCLUDING)
    assert UsageSchema().validate(body) == {}
    expected = [json.dumps(plain(document, ALL_FIELDS)) for document in stored]
    assert sorted(map(json.dumps, body["projectStats"])) == sorted(expected)


@pytest.mark.parametrize("limit", [None, 6])
@given(st.lists(documents(), max_size=6))
def test_rows_that_are_sorted_by_the_latest_request(limit, stored):
    """Rows are sorted by a date that they do not have unless it is included; the order is the same."""
    query = UsageQuery(sort="lastRequestAt", limit=limit)
    rows = encode(stored, replace(query, include=INCLUDING.include))["projectStats"]
    assert [get_date_sort_key(row.get("lastRequestAt")) for row in rows] == sort_by_last_request(rows)
    sorted_rows = encode(stored, query)["projectStats"]
    assert all("lastRequestAt" not in row for row in sorted_rows)
    if len({str(document.get("_id", document)) for document in stored}) == len(stored):
        assert sorted_rows == [{name: row[name] for name in NAMES if name in row} for row in rows]
    assert sorted(map(json.dumps, sorted_rows)) == sorted(json.dumps(plain(document)) for document in stored)


def drop_escapes(text):
    """Remove what CSV adds to text and takes from it."""
    return text.replace("'", "").replace("\0", "")


@pytest.mark.parametrize("query", [DEFAULT_QUERY, INCLUDING, UsageQuery(sort="lastRequestAt")])
@given(st.lists(documents(), max_size=6, unique_by=lambda document: str(document.get("_id", document))))
def test_csv_has_the_values_of_json(query, stored):
    """Both formats have the same rows in the same order."""
    report = build_report(stored, query, CSV)
    text = CSV.encode_body(report, query, None).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    expected = encode(stored, query)["projectStats"]
    for row, other in zip(rows, expected, strict=True):
        names = ALL_NAMES if query.include else NAMES
        values = {name: "" if other.get(name) is None else str(other[name]) for name in names}
        assert {name: drop_escapes(text) for name, text in row.items()} == {
            name: drop_escapes(text) for name, text in values.items()
        }


DATES = ["createdAt", "updatedAt", "lastRequestAt"]


@pytest.mark.parametrize("names", [names for size in (1, 2, 3) for names in permutations(DATES, size)], ids=str)
@pytest.mark.parametrize("output", [JSON, CSV], ids=["json", "csv"])
def test_milliseconds_have_three_digits(names, output, monkeypatch):
    """Milliseconds have three digits in all dates, whichever of them are whole seconds, and no row needs more time."""
    monkeypatch.setattr("flask_usage_stats._formats.json._encode_slowly", raiser(AssertionError()))
    for parts in product([0, 1, 10, 100, 123, 999], repeat=len(names)):
        dates = dict(zip(names, (datetime(2024, 3, 14, 10, 15, 0, part * 1000) for part in parts), strict=True))
        (row,) = build_report([{"_id": 1, "totalRequest": 1, **dates}], INCLUDING, output).encoded_rows
        texts = {name: f"2024-03-14T10:15:00.{part:03}Z" for name, part in zip(names, parts, strict=True)}
        if output is CSV:
            assert row.decode() == f"1,,,,,1,{','.join(texts.get(name, '') for name in DATES)}\r\n"
        else:
            assert json.loads(row) == {"_id": 1, "totalRequest": 1} | texts


@pytest.mark.parametrize("query", [INCLUDING, UsageQuery(sort="lastRequestAt")], ids=["included", "sorted"])
@pytest.mark.parametrize("output", [JSON, CSV], ids=["json", "csv"])
def test_rows_of_a_page_may_have_different_dates(query, output):
    """Each row of a page has its own dates with milliseconds, as without a page."""
    moment = datetime(2024, 3, 14, 10, 15)
    stored = [
        {"_id": number, "totalRequest": 0} | dict.fromkeys(names, moment - timedelta(days=number))
        for number, names in enumerate(permutations(DATES, 2))
    ]
    expected = build_report(stored, query, output).encoded_rows
    assert build_report(stored, replace(query, limit=9), output).encoded_rows == expected


def test_idle_projects():
    """Only idle projects are in the rows and in the total; a batch may have none."""
    since = datetime(2024, 1, 1, tzinfo=UTC)
    stored = [
        {"_id": number, "totalRequest": 1, "createdAt": datetime(2024 - number % 2, 1, 2)} for number in range(5000)
    ]
    report = build_report(stored, UsageQuery(idle_days=1, idle_since=since), JSON)
    assert (report.total, report.matching, len(report.encoded_rows)) == (2500, 2500, 2500)
    stored = [document for document in stored if not document["_id"] % 2] + stored[1:4:2]
    assert build_report(stored, UsageQuery(idle_days=1, idle_since=since), JSON).total == 2


def test_idle_projects_have_adjustments():
    """A project whose latest request is not a date is counted as an odd document."""
    since = datetime(2024, 1, 1, tzinfo=UTC)
    stored = [{"_id": 1, "totalRequest": 1, "lastRequestAt": "soon"}]
    report = build_report(stored, UsageQuery(idle_days=1, idle_since=since), JSON)
    assert (report.matching, report.adjustments.count) == (0, 1)


def test_only_the_rows_that_match_are_in_the_report():
    """Other rows are neither returned nor added up."""
    stored = [{"_id": number, "plan": plan, "totalRequest": number} for number, plan in ((1, "pro"), (2, "free"))]
    report = build_report(stored, UsageQuery(filters={"plan": frozenset({"pro"})}), CSV)
    assert (report.total, report.matching, report.encoded_rows) == (1, 1, [b"1,,,,pro,1,,\r\n"])


def test_a_page_has_the_position_of_its_last_row():
    """The next page begins after it; the last page has none."""
    stored = [{"_id": number, "totalRequest": number} for number in (1, 2, 3)]
    position = build_report(stored, UsageQuery(limit=2), JSON).next_position
    assert position == CursorPosition(2, get_id_sort_key(2))
    last_page = build_report(stored, UsageQuery(limit=2, position=position), JSON)
    assert (last_page.next_position, last_page.encoded_rows) == (None, [b'{"_id":1,"totalRequest":1}'])


def test_more_documents_than_a_batch():
    """All rows are returned if there are more documents than fit in a batch, including odd ones."""
    stored = [{"_id": number, "totalRequest": Decimal128(str(number))} for number in range(2500)]
    stored += [{"_id": ObjectId(), "totalRequest": number} for number in range(2500)]
    report = build_report(stored, DEFAULT_QUERY, JSON)
    assert len(report.encoded_rows) == 5000
    assert report.total == 2 * sum(range(2500))


@pytest.mark.parametrize("output", [JSON, CSV], ids=["json", "csv"])
@pytest.mark.parametrize(
    "odd",
    [{"name": "a\ud800"}, {"updatedAt": datetime(2024, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))}],
    ids=["surrogate", "aware"],
)
def test_rows_that_are_converted_on_a_second_attempt_are_counted_once(output, odd):
    """A value that cannot be encoded as it is stored does not affect the total, the groups or the number of rows."""
    good = {"_id": ObjectId(), "name": "b", "plan": "pro", "totalRequest": 2, "updatedAt": datetime(2024, 1, 1)}
    stored = [good, good | odd, good]
    filters = {"plan": frozenset({"pro"})}
    report = build_report(stored, UsageQuery(filters=filters), output)
    assert (report.total, len(report.encoded_rows)) == (6, 3)
    assert report.adjustments.count == ("name" in odd)
    report = build_report(stored, UsageQuery(filters=filters, group_by=("plan",)), output)
    assert report.groups == [{"plan": "pro", "projects": 3, "totalRequests": 6, "share": 1.0}]


@given(st.permutations([{"_id": "\udcfe", "name": "1"}, {"_id": "\udcff", "name": "2"}, {"_id": "x", "name": "3"}]))
def test_order_does_not_depend_on_the_order_of_reading(stored):
    """Ids that are returned as the same text still have a fixed order."""
    expected = build_report(sorted(stored, key=itemgetter("name")), DEFAULT_QUERY, JSON).encoded_rows
    assert build_report(stored, DEFAULT_QUERY, JSON).encoded_rows == expected


def test_total_that_is_rounded_to_a_whole_number_is_an_integer():
    """A total without a fraction is an integer."""
    stored = [{"totalRequest": 2**53}, {"totalRequest": 0.5}]
    assert type(build_report(stored, DEFAULT_QUERY, JSON).total) is int


@pytest.mark.parametrize(
    "query", [UsageQuery(), UsageQuery(limit=5), UsageQuery(group_by=("plan",))], ids=["all", "page", "groups"]
)
@pytest.mark.parametrize(
    "count", [10**309, 10**5000, 9 * 10**4299, -(10**309)], ids=["309", "5000", "4300", "negative"]
)
@pytest.mark.parametrize("output", [JSON, CSV], ids=["json", "csv"])
def test_counts_beyond_a_double_are_0(query, count, output):
    """They come from other stores, and are 0 in the rows and in the total alike."""
    counts = [count, count, 2**70, 0]
    stored = [{"_id": number, "totalRequest": stored_count} for number, stored_count in enumerate(counts)]
    report = build_report(stored, query, output)
    assert report.total == 2**70
    assert report.adjustments.count == 2
    output.encode_body(report, query, None)
