"""The schemas of the response bodies."""

import math

import pytest

from flask_usage_stats._core.fields import ALL_FIELDS
from flask_usage_stats.schemas import ErrorSchema, ProjectSchema, UsageSchema

GOOD = {"success": True, "totalRequests": 3, "projectStats": [{"_id": "1", "totalRequest": 3}]}


def test_valid_bodies():
    """The documented bodies and errors are valid."""
    assert UsageSchema().validate(GOOD) == {}
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
