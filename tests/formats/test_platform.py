"""The platform view in both formats."""

from datetime import UTC, datetime

from flask_usage_stats._core.fields import FIELDS, PLATFORM_FIELDS
from flask_usage_stats._core.platform_query import PlatformQuery, Selection
from flask_usage_stats._core.platform_report import PlatformReport, rank_rows
from flask_usage_stats._core.rows import Adjustments
from flask_usage_stats._formats.csv import CSV
from flask_usage_stats._formats.json import JSON

GROUPS = [
    {"plan": "=1+1", "projects": 2, "totalRequests": 30, "share": 0.75},
    {"plan": None, "projects": 1, "totalRequests": 10, "share": 0.25},
]
OTHERS = {"groups": 3, "projects": 7, "totalRequests": 0, "share": 0.0}
DOCUMENTS = [
    {
        "_id": 7,
        "owner": ["ada", None, "=bob"],
        "name": "api",
        "totalRequest": 2**70 * 1.0,
        "createdAt": datetime(2024, 1, 1),
    },
    {"_id": 8, "owner": 2.0**53 - 1, "name": "\udcff"},
    {"_id": 9},
]


def build(groups=None, others=None, documents=(), fields=PLATFORM_FIELDS, **query):
    as_of = datetime(2026, 11, 25, 19, 0, 0, 123_999, tzinfo=UTC)
    rows = rank_rows(documents, fields).batch
    report = PlatformReport(2**64, 910162, 5, as_of, groups, others, rows, Adjustments())
    return report, PlatformQuery(Selection(), group_by=("plan",) if groups else (), limit=len(documents), **query)


def test_json():
    """The totals come first; groups, others and projects are there if a query asks for them."""
    head = '{"success":true,"totalRequests":18446744073709551616,"projects":910162,"unused":5,"asOf":"2026-11-25T19:00:00.123Z"'
    assert JSON.encode_platform(*build()).decode() == head + "}"
    assert JSON.encode_platform(*build(GROUPS, OTHERS)).decode() == head + (
        ',"groups":[{"plan":"=1+1","projects":2,"totalRequests":30,"share":0.75},'
        '{"plan":null,"projects":1,"totalRequests":10,"share":0.25}],'
        '"others":{"groups":3,"projects":7,"totalRequests":0,"share":0.0}}'
    )
    assert JSON.encode_platform(*build(documents=DOCUMENTS)).decode() == head + (
        ',"projectStats":[{"_id":7,"owner":["ada",null,"=bob"],"name":"api","totalRequest":1180591620717411303424,'
        '"createdAt":"2024-01-01T00:00:00.000Z"},{"_id":8,"owner":9007199254740991,"name":"�","totalRequest":0},'
        '{"_id":9,"totalRequest":0}]}'
    )


def test_csv_of_groups():
    """The others are a last line without values."""
    assert CSV.encode_platform(*build(GROUPS, OTHERS)).decode() == (
        "plan,projects,totalRequests,share\r\n'=1+1,2,30,0.75\r\n,1,10,0.25\r\n,7,0,0.0\r\n"
    )
    assert CSV.encode_platform(*build(GROUPS[1:])).decode() == "plan,projects,totalRequests,share\r\n,1,10,0.25\r\n"


def test_csv_of_projects():
    """Without groups, the lines are the projects; several owners are separated by semicolons."""
    assert CSV.encode_platform(*build(documents=DOCUMENTS)).decode() == (
        "_id,owner,name,projectType,status,plan,totalRequest,createdAt,updatedAt\r\n"
        "7,ada;;'=bob,api,,,,1180591620717411303424,2024-01-01T00:00:00.000Z,\r\n"
        "8,9007199254740991,�,,,,0,,\r\n"
        "9,,,,,,0,,\r\n"
    )
    assert CSV.encode_platform(*build(fields=FIELDS)).decode() == (
        "_id,name,projectType,status,plan,totalRequest,createdAt,updatedAt\r\n"
    )
