"""The history in both formats."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from flask_usage_stats._core.calendar import build_windows
from flask_usage_stats._core.history_query import HistoryQuery
from flask_usage_stats._core.query import UsageQuery
from flask_usage_stats._core.timeline import Bucket, Timeline
from flask_usage_stats._formats.csv import CSV
from flask_usage_stats._formats.json import JSON

BERLIN = ZoneInfo("Europe/Berlin")
SINCE = datetime(2026, 3, 28, 23, tzinfo=UTC)


def build(group_by=(), groups=None, values=((), (), ()), others=(None, None, None), zone=BERLIN):
    start = datetime(2026, 3, 28, tzinfo=zone).astimezone(UTC)
    windows = build_windows(start, start + timedelta(days=2, hours=23), "day", zone)
    totals = (None, 8100, 912)
    buckets = [
        Bucket(*window, total, index == 2, list(values[index]), others[index])
        for index, (window, total) in enumerate(zip(windows, totals, strict=True))
    ]
    query = HistoryQuery(windows=windows, window="day", zone=zone, projects=UsageQuery(), group_by=group_by)
    return Timeline(SINCE, 9012, buckets, groups), query


def test_json():
    """The range and the buckets have the offsets of the zone; ``since`` is in UTC."""
    assert JSON.encode_timeline(*build()).decode() == (
        '{"success":true,"from":"2026-03-28T00:00:00.000+01:00","to":"2026-03-31T00:00:00.000+02:00","window":"day",'
        '"tz":"Europe/Berlin","since":"2026-03-28T23:00:00.000Z","totalRequests":9012,"buckets":['
        '{"from":"2026-03-28T00:00:00.000+01:00","to":"2026-03-29T00:00:00.000+01:00","totalRequests":null,"partial":false},'
        '{"from":"2026-03-29T00:00:00.000+01:00","to":"2026-03-30T00:00:00.000+02:00","totalRequests":8100,"partial":false},'
        '{"from":"2026-03-30T00:00:00.000+02:00","to":"2026-03-31T00:00:00.000+02:00","totalRequests":912,"partial":true}]}'
    )


def test_json_in_utc():
    """UTC has an offset as well."""
    body = json.loads(JSON.encode_timeline(*build(zone=ZoneInfo("UTC"))))
    assert body["from"] == "2026-03-28T00:00:00.000+00:00"
    assert body["tz"] == "UTC"


def test_json_without_counts():
    """Without counts, ``since`` is null."""
    timeline, query = build()
    body = json.loads(JSON.encode_timeline(Timeline(None, 0, timeline.buckets, None), query))
    assert body["since"] is None


def test_json_with_groups():
    """Each bucket has the groups in the same order; one without a total has none."""
    timeline, query = build(("plan", "status"), [("pro", None), (None, "live")], ((), (8000, 100), (900, 12)))
    buckets = json.loads(JSON.encode_timeline(timeline, query))["buckets"]
    assert [list(bucket)[-1] for bucket in buckets] == ["groups"] * 3
    assert buckets[0]["groups"] == []
    assert json.dumps(buckets[1]["groups"]) == json.dumps(
        [
            {"plan": "pro", "status": None, "totalRequests": 8000},
            {"plan": None, "status": "live", "totalRequests": 100},
        ]
    )


def test_json_with_others():
    """The projects that are not among the highest have a sum in each bucket with a total."""
    timeline, query = build(("project",), [(7,), ("blog",)], ((), (8000, 90), (0, 0)), (None, 10, 912))
    buckets = json.loads(JSON.encode_timeline(timeline, query))["buckets"]
    assert [bucket.get("others") for bucket in buckets] == [None, 10, 912]
    assert list(buckets[0])[-1] == "groups"
    assert list(buckets[1])[-2:] == ["groups", "others"]
    assert buckets[1]["groups"] == [
        {"project": 7, "totalRequests": 8000},
        {"project": "blog", "totalRequests": 90},
    ]


def test_json_without_projects():
    """If there are no projects, each bucket has an empty list of groups."""
    buckets = json.loads(JSON.encode_timeline(*build(("plan",), [])))["buckets"]
    assert [bucket["groups"] for bucket in buckets] == [[]] * 3


def lines(*arguments, **options):
    return CSV.encode_timeline(*build(*arguments, **options)).decode().splitlines()


def test_csv():
    """A line for each bucket; without a total, the cell is empty."""
    assert lines() == [
        "from,to,totalRequests,partial",
        "2026-03-28T00:00:00.000+01:00,2026-03-29T00:00:00.000+01:00,,false",
        "2026-03-29T00:00:00.000+01:00,2026-03-30T00:00:00.000+02:00,8100,false",
        "2026-03-30T00:00:00.000+02:00,2026-03-31T00:00:00.000+02:00,912,true",
    ]


def test_csv_with_groups():
    """A line for each group of a bucket, without the sum of the others; formulas are escaped."""
    found = lines(("plan", "status"), [("=pro", "x,y"), (None, "live")], ((), (8000, 100), (1, 2)), (None, 3, 4))
    assert found == [
        "from,to,plan,status,totalRequests,partial",
        "2026-03-28T00:00:00.000+01:00,2026-03-29T00:00:00.000+01:00,,,,false",
        '2026-03-29T00:00:00.000+01:00,2026-03-30T00:00:00.000+02:00,\'=pro,"x,y",8000,false',
        "2026-03-29T00:00:00.000+01:00,2026-03-30T00:00:00.000+02:00,,live,100,false",
        '2026-03-30T00:00:00.000+02:00,2026-03-31T00:00:00.000+02:00,\'=pro,"x,y",1,true',
        "2026-03-30T00:00:00.000+02:00,2026-03-31T00:00:00.000+02:00,,live,2,true",
    ]


def test_csv_without_projects():
    """If there are no groups, a bucket has one line without their values."""
    assert lines(("plan",), [])[2] == "2026-03-29T00:00:00.000+01:00,2026-03-30T00:00:00.000+02:00,,8100,false"
