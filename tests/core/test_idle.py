"""Selection of idle projects."""

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from flask_usage_stats._core.idle import select_idle
from flask_usage_stats._core.rows import Adjustments

SINCE = datetime(2026, 11, 1, 12, tzinfo=UTC)
BEFORE, SAME = datetime(2026, 11, 1, 11, 59, 59, 999000), datetime(2026, 11, 1, 12)
AFTER = datetime(2026, 11, 1, 12, 0, 0, 1000)
OLD_ID, NEW_ID = ObjectId.from_datetime(BEFORE), ObjectId.from_datetime(AFTER + timedelta(seconds=1))
FAR, LONG_AGO = DatetimeMS(2**62), DatetimeMS(-(2**62))


@pytest.mark.parametrize(
    ("document", "is_idle"),
    [
        ({"createdAt": BEFORE, "lastRequestAt": BEFORE}, True),
        ({"createdAt": BEFORE, "lastRequestAt": SAME}, True),
        ({"createdAt": BEFORE, "lastRequestAt": AFTER}, False),
        ({"createdAt": BEFORE, "lastRequestAt": LONG_AGO}, True),
        ({"createdAt": BEFORE, "lastRequestAt": FAR}, False),
        ({"createdAt": BEFORE, "lastRequestAt": "2026-11-01T13:00:00+01:00"}, True),
        ({"createdAt": BEFORE, "lastRequestAt": "2026-11-01T12:00:00.001Z"}, False),
        ({"createdAt": BEFORE}, True),
        ({"createdAt": BEFORE, "lastRequestAt": None}, True),
        ({"createdAt": BEFORE.replace(tzinfo=UTC), "lastRequestAt": AFTER.replace(tzinfo=UTC)}, False),
        ({"createdAt": SAME}, True),
        ({"createdAt": AFTER}, False),
        ({"createdAt": AFTER, "lastRequestAt": BEFORE}, False),
        ({"createdAt": FAR}, False),
        ({"createdAt": AFTER, "_id": OLD_ID}, False),
        ({"createdAt": BEFORE, "_id": NEW_ID}, True),
        ({"_id": OLD_ID}, True),
        ({"_id": OLD_ID, "createdAt": None}, True),
        ({"_id": OLD_ID, "createdAt": "soon"}, True),
        ({"_id": OLD_ID, "lastRequestAt": AFTER}, False),
        ({"_id": NEW_ID}, False),
        ({"_id": NEW_ID, "lastRequestAt": BEFORE}, False),
        ({"_id": str(OLD_ID)}, False),
        ({"_id": 7}, False),
        ({"_id": 7, "createdAt": {}}, False),
        ({"_id": 7, "lastRequestAt": None}, False),
        ({"_id": 7, "lastRequestAt": BEFORE}, True),
        ({"_id": 7, "lastRequestAt": AFTER}, False),
    ],
    ids=str,
)
def test_idle_projects(document, is_idle):
    """A project is idle if it is older than the time and had no request since, whatever tells its age."""
    adjustments = Adjustments()
    assert select_idle([document], SINCE, adjustments) == ([document] if is_idle else [])
    assert adjustments.count == 0


@pytest.mark.parametrize("value", ["yesterday", "", 1761998400, {}, [], True], ids=repr)
def test_unknown_times(value):
    """A project whose latest request is not a date is not called idle, because it may be in use; it is recorded."""
    adjustments = Adjustments()
    assert select_idle([{"_id": OLD_ID, "createdAt": BEFORE, "lastRequestAt": value}], SINCE, adjustments) == []
    assert adjustments.examples == [(str(OLD_ID), [("lastRequestAt", type(value).__name__)])]


def test_other_projects_are_idle_nevertheless():
    """A project whose time is unknown has no effect on those after it."""
    documents = [{"_id": OLD_ID, "lastRequestAt": {}}, {"_id": OLD_ID}, {"_id": NEW_ID}, {"_id": OLD_ID}]
    assert select_idle(documents, SINCE, Adjustments()) == [documents[1], documents[3]]
