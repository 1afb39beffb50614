"""The counts that are read from the history are those that were written."""

import random
from collections import Counter
from datetime import UTC, datetime

import mongomock
import pytest
from bson import ObjectId
from pymongo import MongoClient
from support import CommandRecorder

from flask_usage_stats import StoreError, UsageHistory
from flask_usage_stats._core.timeline import DayParts
from flask_usage_stats._mongodb import history_reading
from flask_usage_stats._mongodb.history_reading import read_counts
from flask_usage_stats._mongodb.history_updates import HistoryWriter

DAY = 20_782
PROJECTS = [ObjectId(), "blog", "BLOG", 7, 2**40, True]


@pytest.fixture(params=["mongodb", "mongomock"])
def any_history(request):
    if request.param == "mongomock":
        return mongomock.MongoClient().platform.usage_history
    return request.getfixturevalue("database").usage_history


def write(collection, projects=PROJECTS, days=range(DAY - 2, DAY + 3)):
    """Write random counts, and return them by project and quarter."""
    chance = random.Random(1)  # noqa: S311 # any numbers
    counts = {
        (project, day * 96 + quarter): chance.randint(1, 1000)
        for project in projects
        for day in days
        for quarter in chance.sample(range(96), 20)
    }
    HistoryWriter(UsageHistory(collection), "w").write(counts, DAY * 86_400_000, 30, DAY * 86_400.0)
    return counts


def read(collection, parts):
    """Return the counts by project and part."""
    found = Counter()
    for quarter, project, requests in read_counts(UsageHistory(collection), parts):
        found[(type(project), project, quarter) if parts.by_project else (type(None), None, quarter)] += requests
    return +found


def expected(counts, parts):
    """Add up the counts of the parts."""
    total = Counter()
    for (project, quarter), requests in counts.items():
        day, index = divmod(quarter, 96)
        if project in parts.ids and parts.first_day <= day <= parts.last_day:
            start = day * 96 + max(cut for cut in parts.cuts if cut <= index)
            total[(type(project), project, start) if parts.by_project else (type(None), None, start)] += requests
    return total


@pytest.mark.parametrize("cuts", [[0], [0, 88, 92], [0, 1], [0, 95], list(range(0, 96, 4)), list(range(96))])
@pytest.mark.parametrize("by_project", [True, False])
def test_parts_of_days(any_history, cuts, by_project):
    """Each part has the sum of its quarters, of the given projects and days only."""
    counts = write(any_history)
    parts = DayParts([PROJECTS[0], "blog", 7, "unknown"], DAY - 1, DAY + 1, cuts, by_project)
    assert read(any_history, parts) == expected(counts, parts)


def test_the_server_adds_up_the_projects(database):
    """Without groups, each day has one sum for each of its parts, however many projects there are."""
    write(database.usage_history)
    parts = DayParts(PROJECTS, DAY - 1, DAY + 1, [0, 88], by_project=False)
    assert len(list(read_counts(UsageHistory(database.usage_history), parts))) == 6


def test_many_projects(database, monkeypatch):
    """The projects are read in several commands."""
    monkeypatch.setattr(history_reading, "_MAX_RANGES", 4)
    ids = list(range(11))
    counts = write(database.usage_history, ids)
    parts = DayParts(ids, DAY, DAY, [0, 50], by_project=False)
    assert read(database.usage_history, parts) == expected(counts, parts)


@pytest.mark.parametrize("by_project", [True, False])
def test_the_collation_of_the_collection_is_ignored(database, by_project):
    """Ids that differ in case are different projects, perhaps of different owners."""
    collection = database.create_collection("collated", collation={"locale": "en", "strength": 1})
    counts = {("blog", DAY * 96): 1, ("BLOG", (DAY + 1) * 96): 20}
    HistoryWriter(UsageHistory(collection), "w").write(counts, DAY * 86_400_000, 30, DAY * 86_400.0)
    parts = DayParts(["blog"], DAY, DAY + 1, [0], by_project)
    assert read(collection, parts) == expected(counts, parts)


def test_damaged_days(database):
    """Values that are not numbers count as 0."""
    midnight = datetime.fromtimestamp(DAY * 86_400, UTC)
    database.usage_history.insert_many(
        [
            {"_id": {"p": 1, "d": midnight}, "n": "7", "q": {"0": "x"}},
            {"_id": {"p": 2, "d": midnight}},
            {"_id": {"p": 3, "d": midnight}, "n": 5, "q": {"0": 5}},
        ]
    )
    for by_project in (True, False):
        parts = DayParts([1, 2, 3], DAY, DAY, [0, 50], by_project)
        assert sum(read(database.usage_history, parts).values()) == 5


def test_one_reply(mongodb_uri, database):
    """All days are in one reply, so that an election in between cannot interrupt the reading."""
    counts = write(database.usage_history, range(30), range(DAY - 9, DAY + 1))
    parts = DayParts(list(range(30)), DAY - 9, DAY, [0], by_project=True)
    recorder = CommandRecorder()
    with MongoClient(mongodb_uri, event_listeners=[recorder]) as client:
        assert read(client[database.name].usage_history, parts) == expected(counts, parts)
    assert ["aggregate" in command or "endSessions" in command for command in recorder.commands] == [True, True]


@pytest.mark.parametrize("by_project", [True, False])
def test_only_the_days_are_examined(mongodb_uri, database, by_project):
    """The server reads through the index on `_id`, however many other days and projects there are."""
    write(database.usage_history, range(30), range(DAY - 40, DAY + 40))
    recorder = CommandRecorder()
    with MongoClient(mongodb_uri, event_listeners=[recorder]) as client:
        read(client[database.name].usage_history, DayParts([3, 4, 5], DAY, DAY + 9, [0, 88], by_project))
    (command,) = [command for command in recorder.commands if "aggregate" in command]
    explained = {name: command[name] for name in ("aggregate", "pipeline", "cursor")}
    plan = database.command("explain", explained, verbosity="executionStats")
    stats = (plan["stages"][0]["$cursor"] if "stages" in plan else plan)["executionStats"]
    assert stats["totalDocsExamined"] == 30
    assert stats["totalKeysExamined"] <= 40


def test_failure():
    """The error says what failed."""
    with MongoClient("mongodb://127.0.0.1:9", serverSelectionTimeoutMS=10) as client:
        history = UsageHistory(client.platform.usage_history)
        with pytest.raises(StoreError, match="the history could not be read: ServerSelectionTimeoutError"):
            list(read_counts(history, DayParts([1], DAY, DAY, [0], by_project=False)))
