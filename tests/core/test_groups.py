"""Totals of groups."""

import pytest

from flask_usage_stats._core.groups import GroupSum, GroupTotals, rank_groups
from flask_usage_stats._core.rows import RowBatch


def summarize(names, rows, total):
    groups = GroupTotals(names)
    for count, row in rows:
        groups.add(RowBatch([count], [b""], [row], 0))
    return groups.summarize(total)


def test_values_that_differ_in_case_are_one_group():
    """Values are casefolded, and the group with the highest total is first."""
    rows = [(1, {"plan": "PRO"}), (2, {"plan": "free"}), (3, {"plan": "pro"})]
    assert summarize(["plan"], rows, 6) == [
        {"plan": "pro", "projects": 2, "totalRequests": 4, "share": 0.6667},
        {"plan": "free", "projects": 1, "totalRequests": 2, "share": 0.3333},
    ]


def test_missing_and_null_are_one_group_and_last_among_equal_totals():
    """Groups with equal totals are sorted by their values, with null last."""
    rows = [(1, {"plan": None}), (1, {}), (2, {"plan": "b"}), (2, {"plan": "a"})]
    assert [group["plan"] for group in summarize(["plan"], rows, 6)] == ["a", "b", None]


def test_several_fields_are_in_the_order_of_the_request():
    """A group begins with the fields that it is grouped by."""
    (group,) = summarize(["status", "plan"], [(1, {"plan": "a", "status": "b"})], 1)
    assert list(group) == ["status", "plan", "projects", "totalRequests", "share"]


@pytest.mark.parametrize("total", [0.5, 1, 3])
def test_share_of_everything(total):
    """A group of all requests has a share of 1, however few they are."""
    assert summarize(["plan"], [(total, {})], total)[0]["share"] == 1.0


@pytest.mark.parametrize("total", [0, -3])
def test_shares_of_a_total_that_is_not_positive_are_null(total):
    """A share of a total that is 0 or negative is null."""
    assert summarize(["plan"], [(total, {})], total)[0]["share"] is None


def test_keys_of_several_types_are_sorted():
    """Among equal totals, integers come before text, and null is last."""
    keys = [(None,), ("b",), (2,), ("1",), (-1,)]
    assert [each.key for each in rank_groups([GroupSum(key, 1, 5) for key in keys])] == [
        (-1,),
        (2,),
        ("1",),
        ("b",),
        (None,),
    ]
