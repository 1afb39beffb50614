"""The report of the platform view: selecting, grouping and ranking totals."""

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from flask_usage_stats._core.fields import PLATFORM_FIELDS
from flask_usage_stats._core.platform_query import PlatformQuery, Selection
from flask_usage_stats._core.platform_report import (
    GroupedTotals,
    LabelTotals,
    Totals,
    build_platform_report,
    group_labels,
    rank_rows,
    select_labels,
)

AS_OF = datetime(2026, 11, 25, 19, tzinfo=UTC)
DELETED = ["deleted", "gone"]
LABELS = [
    LabelTotals({"plan": plan, "projectType": "node", "status": status}, Totals(projects, unused, Fraction(requests)))
    for plan, status, projects, unused, requests in [
        ("pro", "live", 3, 1, 30),
        ("PRO", "stopped", 2, 0, 5),
        ("", "live", 4, 4, 0),
        (None, "deleted", 1, 0, 100),
        (5, "Deleted", 1, 0, 7),
        ("free", "gone", 1, 1, 0),
    ]
]
NO_ROWS = rank_rows([], PLATFORM_FIELDS)


def build(query, groups=None, rows=NO_ROWS, totals=Totals(12, 6, Fraction(40))):  # noqa: B008 # a tuple
    return build_platform_report(query, totals, groups, rows, AS_OF)


@pytest.mark.parametrize(
    ("selection", "indexes"),
    [
        (Selection(), [0, 1, 2, 4]),
        (Selection(deleted="include"), [0, 1, 2, 3, 4, 5]),
        (Selection(deleted="only"), [3, 5]),
        (Selection(frozenset({("plan", frozenset({"pro", "free"}))})), [0, 1]),
        (Selection(frozenset({("plan", frozenset({"5"}))})), [4]),
        (Selection(frozenset({("status", frozenset({"deleted"}))})), [4]),
        (Selection(without=frozenset({"plan"})), [2]),
        (Selection(without=frozenset({"plan"}), deleted="include"), [2, 3]),
        (Selection(without=frozenset({"status"})), []),
    ],
    ids=range(9),
)
def test_labels_are_selected_as_rows_are(selection, indexes):
    """Filters ignore case and compare numbers as text; a status is excluded exactly as it is written."""
    assert select_labels(LABELS, selection, DELETED) == [LABELS[index] for index in indexes]


def test_groups_ignore_case():
    """The totals of equal labels are added up; null and empty ones are a group."""
    groups = group_labels(LABELS, ["plan"])
    assert groups.first == {
        ("pro",): Totals(5, 1, Fraction(35)),
        (None,): Totals(5, 4, Fraction(100)),
        ("5",): Totals(1, 0, Fraction(7)),
        ("free",): Totals(1, 1, Fraction(0)),
    }
    assert groups.number == 4
    assert groups.everything == Totals(12, 6, Fraction(142))
    assert list(group_labels(LABELS[:1], ["status", "projectType"]).first) == [("live", "node")]
    assert group_labels([], ["plan"]) == GroupedTotals({}, 0, Totals())


def test_without_groups():
    """A query that does not group has neither groups nor others, and its total is rounded once."""
    report = build(PlatformQuery(Selection()), totals=Totals(2, 1, Fraction(1, 10) + Fraction(2, 10)))
    assert (report.total, report.projects, report.unused, report.as_of) == (0.3, 2, 1, AS_OF)
    assert report.groups is None
    assert report.others is None
    assert report.rows.rows == []


def test_first_groups_and_the_others():
    """The groups with the most requests are first, and the others have what is left."""
    groups = group_labels(LABELS, ["plan"])
    query = PlatformQuery(Selection(), group_by=("plan",), top=2)
    report = build(query, groups, totals=groups.everything)
    assert report.groups == [
        {"plan": None, "projects": 5, "totalRequests": 100, "share": 0.7042},
        {"plan": "pro", "projects": 5, "totalRequests": 35, "share": 0.2465},
    ]
    assert report.others == {"groups": 2, "projects": 2, "totalRequests": 7, "share": 0.0493}
    report = build(PlatformQuery(Selection(), group_by=("plan",), top=4), groups, totals=groups.everything)
    assert [group["plan"] for group in report.groups] == [None, "pro", "5", "free"]
    assert report.others is None


def test_others_may_include_groups_that_were_not_read():
    """Only the first groups need to be known, and the others are computed from the totals of all."""
    groups = GroupedTotals({("ada",): Totals(2, 0, Fraction(6))}, 3, Totals(7, 4, Fraction(13, 2)))
    report = build(PlatformQuery(Selection(), group_by=("owner",), top=1), groups, totals=groups.everything)
    assert report.groups == [{"owner": "ada", "projects": 2, "totalRequests": 6, "share": 0.9231}]
    assert report.others == {"groups": 2, "projects": 5, "totalRequests": 0.5, "share": 0.0769}


def test_rows_are_ranked():
    """Projects are sorted by their count, then by their ids, and those without an id of their own by their content."""
    documents = [
        {"_id": 2, "owner": "ada", "totalRequest": 5},
        {"_id": 2, "owner": "eve", "totalRequest": 5},
        {"owner": "b", "totalRequest": 7},
        {"owner": "a", "totalRequest": 7},
        {"_id": 1, "owner": "bob", "totalRequest": 5},
        {"_id": 3, "owner": {}, "totalRequest": "many"},
    ]
    ranked = rank_rows(documents, PLATFORM_FIELDS)
    assert ranked.batch.counts == [7, 7, 5, 5, 5, 0]
    assert [row.get("_id") for row in ranked.batch.rows] == [None, None, 1, 2, 2, 3]
    assert ranked.batch.rows == rank_rows(documents[::-1], PLATFORM_FIELDS).batch.rows
    assert ranked.batch.fields == PLATFORM_FIELDS
    assert (ranked.batch.id_keys, ranked.batch.trailing_dates) == ([], 0)
    assert ranked.adjustments.examples == [(3, [("owner", "dict"), ("totalRequest", "str")])]


def test_limit():
    """The report has as many rows as the query asks for, and what was adjusted in all of them."""
    ranked = rank_rows([{"_id": number, "totalRequest": number} for number in range(3)], PLATFORM_FIELDS)
    report = build(PlatformQuery(Selection(), limit=2), rows=ranked)
    assert [row["_id"] for row in report.rows.rows] == [2, 1]
    assert report.rows.counts == [2, 1]
    assert report.adjustments is ranked.adjustments
