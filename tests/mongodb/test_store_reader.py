"""Reading projects with the time of their latest request, and since when it is known."""

import time
from datetime import UTC, datetime, timedelta

import mongomock
import pytest
from pymongo import MongoClient
from support import StubStore, raiser

from flask_usage_stats import ProjectStore, StoreError, UsageHistory
from flask_usage_stats._core.query import DEFAULT_QUERY, UsageQuery
from flask_usage_stats._mongodb.driver import TimeLimit
from flask_usage_stats._mongodb.store_reader import StoreReader
from flask_usage_stats.errors import InvalidParametersError

NOW = datetime(2026, 11, 26, 5, 20, tzinfo=UTC)
REQUESTED = datetime(2026, 11, 20, 7, 15)
MAPPED = {"lastRequestAt": "requested"}
INCLUDING, IDLE = UsageQuery(include=("lastRequestAt",)), UsageQuery(idle_days=5)


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr("flask_usage_stats._core.clock.get_now", lambda: NOW)


@pytest.fixture
def history():
    return UsageHistory(mongomock.MongoClient().platform.usage_history)


def read(store, query, history=None, limit=None):
    return list(StoreReader(store, history).read_projects("ada", query, limit or TimeLimit(5)))


class TestAvailability:
    class OwnProjects(ProjectStore):
        def iter_projects(self, owner, /):
            return super().iter_projects(owner)

    class Renamed(ProjectStore):
        """Another class with the same method."""

    @pytest.mark.parametrize(
        ("kind", "options", "alone", "with_history"),
        [
            (ProjectStore, {}, False, True),
            (Renamed, {}, False, True),
            (ProjectStore, {"fields": {"name": "title"}}, False, True),
            (ProjectStore, {"fields": MAPPED}, True, True),
            (ProjectStore, {"fields": {"lastRequestAt": "lastRequestAt"}, "writers_field": None}, True, True),
            (ProjectStore, {"writers_field": None}, False, False),
            (OwnProjects, {"fields": MAPPED}, False, False),
        ],
    )
    def test_project_stores(self, history, kind, options, alone, with_history):
        """A time that no recorder writes, or that a subclass does not return, is not known: all would seem idle."""
        store = kind(mongomock.MongoClient().platform.projects, **options)
        assert StoreReader(store, None).has_last_requests is alone
        assert StoreReader(store, history).has_last_requests is with_history

    def test_other_stores(self, history):
        """A store for another database has the time if requests are counted."""
        assert not StoreReader(StubStore(), None).has_last_requests
        assert StoreReader(StubStore(), history).has_last_requests


class TestRead:
    def test_only_if_it_is_needed(self, any_projects):
        """The time is only read if it is included, sorted by or filtered by."""
        any_projects.insert_one({"_id": 1, "owner": "ada", "lastRequestAt": REQUESTED, "secret": 1})
        store = ProjectStore(any_projects)
        for query in (DEFAULT_QUERY, UsageQuery(sort="updatedAt", limit=5)):
            assert read(store, query) == [{"_id": 1}]
        for query in (INCLUDING, IDLE, UsageQuery(sort="lastRequestAt")):
            assert read(store, query) == [{"_id": 1, "lastRequestAt": REQUESTED}]

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            (MAPPED, {"lastRequestAt": REQUESTED}),
            ({"lastRequestAt": "stats.at"}, {"lastRequestAt": 5}),
            ({"lastRequestAt": "list.at"}, {"lastRequestAt": [{"at": 1}]}),
            ({"lastRequestAt": "updatedAt"}, {"updatedAt": 7, "lastRequestAt": 7}),
            ({"updatedAt": "lastRequestAt"}, {"updatedAt": 6, "lastRequestAt": 6}),
            ({"name": "title"}, {"name": "blog", "updatedAt": 7, "lastRequestAt": 6}),
            ({"lastRequestAt": "missing"}, {}),
        ],
        ids=str,
    )
    def test_mapped_paths(self, any_projects, fields, expected):
        """The time is read at its path, which may be that of the last change."""
        document = {"requested": REQUESTED, "stats": {"at": 5}, "list": [{"at": 1}], "updatedAt": 7, "title": "blog"}
        any_projects.insert_one({"_id": 1, "owner": "ada", "lastRequestAt": 6} | document)
        (project,) = read(ProjectStore(any_projects, fields=fields), INCLUDING)
        assert {"updatedAt": 7, **project} == {"_id": 1, "updatedAt": 7} | expected

    def test_other_stores(self, history):
        """What another store yields is not changed."""
        project = {"_id": 1, "lastRequestAt": REQUESTED}
        for query in (DEFAULT_QUERY, INCLUDING):
            assert read(StubStore(project), query, history) == [project]


class TestIdleDays:
    def since(self, database, at, **fields):
        database.usage_history.insert_one({"_id": "since", "at": at, "format": 1} | fields)

    def resolve(self, store, history, days, limit=None):
        return StoreReader(store, history).resolve_idle_days(UsageQuery(idle_days=days), limit or TimeLimit(5))

    def refused(self, store, history, days):
        with pytest.raises(InvalidParametersError) as caught:
            self.resolve(store, history, days)
        return caught.value.errors

    def test_other_queries_read_nothing(self):
        """Without idle_days nothing is read, and the query stays the same."""
        history = UsageHistory(raiser(AssertionError()))
        reader = StoreReader(StubStore(), history)
        for query in (DEFAULT_QUERY, INCLUDING):
            assert reader.resolve_idle_days(query, TimeLimit(5)) is query

    @pytest.mark.parametrize("make_store", [ProjectStore, lambda _: StubStore()])
    def test_time(self, database, projects, make_store):
        """The time is that many times 24 hours ago, which must not be before counting began, to the millisecond."""
        at = (NOW - timedelta(days=5)).replace(tzinfo=None)
        self.since(database, at)
        store, history = make_store(projects), UsageHistory(database.usage_history)
        assert self.resolve(store, history, 5).idle_since == NOW - timedelta(days=5)
        message = "idleDays must not reach back before 2026-11-21"
        assert self.refused(store, history, 6) == {"idleDays": [message]}
        database.usage_history.update_one({"_id": "since"}, {"$set": {"at": at + timedelta(milliseconds=1)}})
        assert self.refused(store, history, 5) == {"idleDays": [message]}

    def test_nothing_was_counted(self, database, projects):
        """Before the first flush there is no date."""
        errors = self.refused(ProjectStore(projects), UsageHistory(database.usage_history), 1)
        assert errors == {"idleDays": ["idleDays must not reach back before counting began"]}

    def test_retention(self, database, projects):
        """Projects keep the time of their latest request for longer than the history keeps its counts."""
        self.since(database, datetime(2020, 1, 1))
        history = UsageHistory(database.usage_history, retention_days=1)
        assert self.resolve(ProjectStore(projects), history, 300).idle_days == 300

    def test_mapped_field(self, projects):
        """An application that has its own time may have it since before there was a history."""
        history = UsageHistory(raiser(AssertionError()))
        for each in (None, history):
            query = self.resolve(ProjectStore(projects, fields=MAPPED), each, 3650)
            assert query.idle_since == NOW - timedelta(days=3650)

    def test_damaged_history(self, database, projects):
        """A history that cannot be understood is an error, not the start of counting."""
        self.since(database, datetime(2020, 1, 1), format=2)
        with pytest.raises(StoreError, match="later version"):
            self.resolve(ProjectStore(projects), UsageHistory(database.usage_history), 1)

    def test_other_stores_have_a_time_limit(self, history, monkeypatch):
        """A store without a time limit of its own gets the default."""
        monkeypatch.setattr("flask_usage_stats._mongodb.store_reader._DEFAULT_TIMEOUT", 1e-9)
        limit = StoreReader(StubStore(), history).start_time_limit()
        limit.run(time.sleep, 0.001)
        with pytest.raises(StoreError, match="within the timeout"):
            self.resolve(StubStore(), history, 1, limit)

    def test_one_time_limit(self, database, projects, monkeypatch):
        """The history and the projects are read within one time limit, that of the store."""
        self.since(database, datetime(2020, 1, 1))
        reader = StoreReader(ProjectStore(projects), UsageHistory(database.usage_history))
        limit = reader.start_time_limit()
        times = iter([0, 5])
        monkeypatch.setattr("flask_usage_stats._mongodb.driver.monotonic", lambda: next(times))
        query = reader.resolve_idle_days(IDLE, limit)
        with pytest.raises(StoreError, match="within the timeout"):
            list(reader.read_projects("ada", query, limit))

    def test_unreachable_history(self, projects):
        """A history that cannot be reached is an error within the time limit of the store."""
        with MongoClient("mongodb://127.0.0.1:9") as client:
            reader = StoreReader(ProjectStore(projects, timeout=0.2), UsageHistory(client.platform.usage_history))
            started = time.monotonic()
            with pytest.raises(StoreError, match="the history could not be read: "):
                reader.resolve_idle_days(IDLE, reader.start_time_limit())
            assert time.monotonic() - started < 1.2
