"""From documents to bytes: the quick way writes what the plain way does."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from flask_usage_stats._core.fields import FIELDS
from flask_usage_stats._core.report import build_report
from flask_usage_stats._formats.json import encode_answer
from flask_usage_stats.schemas import UsageSchema

NAMES = [field.name for field in FIELDS]
ABSENT = object()


def exactly(text):
    """Take a date from text, as MongoDB keeps it: to the millisecond."""
    return text.replace(microsecond=text.microsecond // 1000 * 1000)


texts = st.one_of(st.text(), st.sampled_from(['000Z"', "Z", '"}', "},{", None]), st.just("a\ud800b"))
whole = st.integers(0, 10**9).map(lambda seconds: datetime(2000, 1, 1) + timedelta(seconds=seconds))
dates = st.one_of(
    st.datetimes().map(exactly),
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
STRATEGIES = [ids, texts, texts, texts, texts, counts, dates, dates]


@st.composite
def documents(draw):
    """Draw a document with some of the fields, and one of the host's, in any order."""
    names = draw(st.permutations([*NAMES, "secret"]))
    values = dict(zip(NAMES, STRATEGIES, strict=True)) | {"secret": st.just("never shown")}
    return {name: draw(values[name]) for name in names if draw(st.integers(0, 9))}


def plain(document):
    """Compute a row from one document, step by step, with the standard library."""
    row = {}
    for name, kind in FIELDS:
        value = document.get(name, ABSENT)
        match kind.value:
            case "count":
                value = value if isinstance(value, int | float) and math.isfinite(value) else 0
                value = int(value) if isinstance(value, int) or value.is_integer() else value
            case "date" if isinstance(value, datetime):
                value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
                value = value.isoformat(timespec="milliseconds") + "Z"
            case "id" if isinstance(value, ObjectId):
                value = str(value)
        if isinstance(value, str):
            value = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in value)
        if value is not ABSENT:
            row[name] = value
    return row


@given(st.lists(documents(), max_size=6))
def test_same_as_the_plain_way(stored):
    """Rows of every shape, together and alone, are those of a step-by-step computation, key for key."""
    report = build_report(stored)
    body = json.loads(encode_answer(report.total, report.rows))
    assert UsageSchema().validate(body) == {}
    assert sorted(map(json.dumps, body["projectStats"])) == sorted(json.dumps(plain(document)) for document in stored)
    shown = [row["totalRequest"] for row in body["projectStats"]]
    assert shown == sorted(shown, reverse=True)


@pytest.mark.parametrize("milliseconds", [0, 1, 10, 100, 120, 123, 999])
@pytest.mark.parametrize("others", [0, 5, 999])
@pytest.mark.parametrize(
    "names", [["createdAt", "updatedAt"], ["updatedAt", "createdAt"], ["updatedAt"], ["createdAt"]]
)
def test_milliseconds(milliseconds, others, names):
    """Every number of milliseconds has three digits, in either date."""
    moments = [datetime(2024, 3, 14, 10, 15, 0, part * 1000) for part in (milliseconds, others)]
    document = {"_id": ObjectId(), "totalRequest": 1, **dict(zip(names, moments, strict=False))}
    (row,) = build_report([document]).rows
    for name, moment in zip(names, moments, strict=False):
        assert json.loads(row)[name] == f"2024-03-14T10:15:00.{moment.microsecond // 1000:03}Z"


def test_every_batch():
    """More documents than are held at a time are all there, mixed with odd ones."""
    stored = [{"_id": number, "totalRequest": Decimal128(str(number))} for number in range(2500)]
    stored += [{"_id": ObjectId(), "totalRequest": number} for number in range(2500)]
    report = build_report(stored)
    assert len(report.rows) == 5000
    assert report.total == 2 * sum(range(2500))
