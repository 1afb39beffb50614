"""The schemas of the response bodies."""

import math

import pytest

from flask_usage_stats._core.fields import ALL_FIELDS
from flask_usage_stats.schemas import ErrorSchema, HistorySchema, ProjectSchema, UsageSchema

GOOD = {"success": True, "totalRequests": 3, "projectStats": [{"_id": "1", "totalRequest": 3}]}

BUCKET = {"from": "2026-03-28T00:00:00.000+01:00", "to": "2026-03-29T00:00:00.000+01:00", "partial": False}
COUNTED = BUCKET | {"totalRequests": 3, "groups": [{"plan": None, "project": 7, "totalRequests": 2}], "others": 1}
HISTORY = {
    "success": True, "from": BUCKET["from"], "to": BUCKET["to"], "window": "day", "tz": "Europe/Berlin", "since": None,
    "totalRequests": 3, "buckets": [BUCKET | {"totalRequests": None}, COUNTED],
}  # fmt: skip


def test_valid_bodies():
    """The documented bodies and errors are valid."""
    assert UsageSchema().validate(GOOD) == {}
    assert HistorySchema().validate(HISTORY) == {}
    assert ErrorSchema().validate({"success": False, "message": "x"}) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"success": False},
        {"success": "true"},
        {"success": 1},
        {"totalRequests": "3"},
        {"totalRequests": True},
        {"totalRequests": math.nan},
        {"totalRequests": None},
        {"projectStats": None},
        {"more": 1},
        {"projectStats": [{"_id": 1}]},
        {"projectStats": [{"_id": 1.5, "totalRequest": 1}]},
        {"projectStats": [{"_id": True, "totalRequest": 1}]},
        {"projectStats": [{"name": 1, "totalRequest": 1}]},
        {"projectStats": [{"updatedAt": 5, "totalRequest": 1}]},
        {"projectStats": [{"owner": "ada", "totalRequest": 1}]},
    ],
    ids=repr,
)
def test_invalid_bodies(change):
    """A body with a missing, additional or wrong value is invalid."""
    assert UsageSchema().validate(GOOD | change)


@pytest.mark.parametrize("name", GOOD)
def test_every_key_is_required(name):
    """No key of a body may be missing."""
    assert UsageSchema().validate({other: value for other, value in GOOD.items() if other != name})


@pytest.mark.parametrize(
    "change",
    [
        {"success": False},
        {"from": None},
        {"since": 5},
        {"totalRequests": None},
        {"buckets": None},
        {"more": 1},
        *(
            {"buckets": [COUNTED | change]}
            for change in (
                {"totalRequests": "3"},
                {"partial": None},
                {"groups": None},
                {"groups": [{"plan": "pro", "totalRequests": None}]},
                {"groups": [{"plan": "pro", "totalRequests": True}]},
                {"groups": [{"project": None, "totalRequests": 1}]},
                {"groups": [{"plan": 5, "totalRequests": 1}]},
                {"groups": [{"plan": "pro"}]},
                {"others": None},
                {"others": "1"},
                {"more": 1},
            )
        ),
    ],
    ids=repr,
)
def test_invalid_histories(change):
    """A history with an additional or wrong value is invalid, also in a bucket or a group."""
    assert HistorySchema().validate(HISTORY | change)


@pytest.mark.parametrize("name", HISTORY)
def test_every_key_of_a_history_is_required(name):
    """No key of the body may be missing."""
    assert HistorySchema().validate({other: value for other, value in HISTORY.items() if other != name})


@pytest.mark.parametrize("name", ["from", "to", "totalRequests", "partial"])
def test_keys_of_a_bucket(name):
    """Only the groups and the number of the others may be missing."""
    bucket = {other: value for other, value in COUNTED.items() if other != name}
    assert HistorySchema().validate(HISTORY | {"buckets": [bucket]})


@pytest.mark.parametrize(
    "body",
    [
        {"success": True, "message": "x"},
        {"success": False},
        {"message": "x"},
        {"success": 0, "message": "x"},
        {"success": False, "message": 5},
    ],
)
def test_invalid_errors(body):
    """An error has ``success``, which is false, a message, and no other fields."""
    assert ErrorSchema().validate(body)


def test_fields_are_those_of_the_table():
    """The schema has the fields of the field table, in the same order."""
    assert list(ProjectSchema().fields) == [field.name for field in ALL_FIELDS]
