"""The stores of the package and of the examples pass UsageStoreContract; broken stores fail it."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime

import mongomock
import pytest
from bson import ObjectId
from support import ROOT, import_example

from flask_usage_stats import ProjectStore
from flask_usage_stats.testing import UsageStoreContract


class TestProjectStore(UsageStoreContract):
    integer_owners = True

    @pytest.fixture
    def make_store(self, any_projects):
        def make(projects):
            if projects:
                any_projects.insert_many([dict(project) for project in projects])
            return ProjectStore(any_projects)

        return make


class TestObjectIdOwners(UsageStoreContract):
    """A store with fewer fields and with ObjectId owners."""

    owner, other_owner, unknown_owner = ObjectId("0" * 24), ObjectId("1" * 24), ObjectId("2" * 24)
    fields = ("name", "totalRequest")

    @pytest.fixture
    def make_store(self):
        def make(projects):
            collection = mongomock.MongoClient().platform.projects
            if projects:
                collection.insert_many([dict(project) for project in projects])
            return ProjectStore(collection)

        return make


class TestSqliteStore(UsageStoreContract):
    """The store of ``examples/other_store.py``."""

    COLUMNS = ("owner", "name", "projectType", "status", "plan", "totalRequest", "createdAt", "updatedAt")

    @pytest.fixture
    def make_store(self, tmp_path):
        path = tmp_path / "platform.sqlite"

        def make(projects):
            store = import_example("other_store").SqliteStore(path)
            store.create()
            rows = [{"totalRequest": 0} | project for project in projects]
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.executemany(
                    "INSERT INTO project (owner, name, type, status, plan, requests, created, updated)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [[to_column(row.get(name)) for name in self.COLUMNS] for row in rows],
                )
            return store

        return make


def to_column(value):
    return value.isoformat() if isinstance(value, datetime) else value


class MemoryStore:
    """A correct store. Each broken store overrides one method."""

    def __init__(self, projects):
        self.projects = [dict(project) for project in projects]

    def owns(self, project, owner):
        return project["owner"] == owner

    def includes(self, project):
        return project.get("status") != "deleted"

    def iter_projects(self, owner, /):
        return [project for project in self.projects if self.owns(project, owner) and self.includes(project)]


class EveryOwner(MemoryStore):
    def owns(self, project, owner):
        return True


class IgnoresCase(MemoryStore):
    def owns(self, project, owner):
        return str(project["owner"]).lower() == str(owner).lower()


class Patterns(MemoryStore):
    def owns(self, project, owner):
        return owner == ".*" or project["owner"] == owner


class SameTextOfTypes(MemoryStore):
    def owns(self, project, owner):
        return str(project["owner"]) == str(owner)


class KeepsDeleted(MemoryStore):
    def includes(self, project):
        return True


class DropsMissingStatus(MemoryStore):
    def includes(self, project):
        return project.get("status") not in (None, "deleted")


class DropsCapitalDeleted(MemoryStore):
    def includes(self, project):
        return str(project.get("status")).lower() != "deleted"


class Twice(MemoryStore):
    def iter_projects(self, owner, /):
        return 2 * super().iter_projects(owner)


class OneBatch(MemoryStore):
    def iter_projects(self, owner, /):
        return super().iter_projects(owner)[:1000]


class NoMappings(MemoryStore):
    def iter_projects(self, owner, /):
        return [list(project.items()) for project in super().iter_projects(owner)]


class NotIterable(MemoryStore):
    def iter_projects(self, owner, /):
        return None


class UnknownOwnerIsAnError(MemoryStore):
    def iter_projects(self, owner, /):
        found = super().iter_projects(owner)
        if not found:
            raise LookupError(owner)
        return found


class EmptyText(MemoryStore):
    def iter_projects(self, owner, /):
        return [{"plan": ""} | project for project in super().iter_projects(owner)]


class OnlyOnce(MemoryStore):
    """A store that can be read only once."""

    def iter_projects(self, owner, /):
        found = super().iter_projects(owner)
        self.projects = []
        return found


class OneCursor(MemoryStore):
    """A store whose reads share one position."""

    cursor = iter(())

    def iter_projects(self, owner, /):
        self.cursor = iter(super().iter_projects(owner))
        while (project := next(self.cursor, None)) is not None:
            yield project


class LeaksConnections(MemoryStore):
    """A store with ten connections. A read that is not finished never releases its connection."""

    free = 10

    def iter_projects(self, owner, /):
        if not self.free:
            raise TimeoutError
        self.free -= 1
        yield from super().iter_projects(owner)
        self.free += 1


class WrongNames(MemoryStore):
    def iter_projects(self, owner, /):
        return [
            {"requests" if name == "totalRequest" else name: value for name, value in project.items()}
            for project in super().iter_projects(owner)
        ]


class DoublesForCounts(MemoryStore):
    def iter_projects(self, owner, /):
        return [
            project | {"totalRequest": float(project.get("totalRequest", 0))}
            for project in super().iter_projects(owner)
        ]


class LocalTime(MemoryStore):
    def iter_projects(self, owner, /):
        return [
            {name: value.replace(hour=23) if isinstance(value, datetime) else value for name, value in project.items()}
            for project in super().iter_projects(owner)
        ]


class NoLatestRequests(MemoryStore):
    def iter_projects(self, owner, /):
        return [project | {"lastRequestAt": None} for project in super().iter_projects(owner)]


class AlwaysInUse(MemoryStore):
    """A store that returns the current time for projects without a request."""

    def iter_projects(self, owner, /):
        return [{"lastRequestAt": datetime.now(UTC)} | project for project in super().iter_projects(owner)]


class NewIds(MemoryStore):
    number = 0

    def iter_projects(self, owner, /):
        for project in super().iter_projects(owner):
            self.number -= 1
            yield project | {"_id": self.number}


class NoIds(MemoryStore):
    def iter_projects(self, owner, /):
        return [project | {"_id": None} for project in super().iter_projects(owner)]


BROKEN = [
    (EveryOwner, "test_only_projects_of_the_owner"),
    (EveryOwner, "test_unknown_owner_has_no_projects"),
    (EveryOwner, "test_response_to_an_unknown_owner"),
    (IgnoresCase, "test_owners_are_compared_exactly"),
    (Patterns, "test_owners_are_compared_exactly"),
    (SameTextOfTypes, "test_integer_and_text_owners_are_different"),
    (KeepsDeleted, "test_deleted_projects_are_left_out"),
    (DropsMissingStatus, "test_deleted_projects_are_left_out"),
    (DropsCapitalDeleted, "test_deleted_projects_are_left_out"),
    (Twice, "test_every_project_once"),
    (OneBatch, "test_every_project_once"),
    (NoIds, "test_every_project_once"),
    (NoMappings, "test_only_projects_of_the_owner"),
    (NotIterable, "test_empty_store"),
    (UnknownOwnerIsAnError, "test_empty_store"),
    (UnknownOwnerIsAnError, "test_unknown_owner_has_no_projects"),
    (EmptyText, "test_missing_fields_are_absent_or_none"),
    (OnlyOnce, "test_reads_are_repeatable"),
    (NewIds, "test_reads_are_repeatable"),
    (NewIds, "test_pages"),
    (OneCursor, "test_concurrent_reads_are_independent"),
    (LeaksConnections, "test_abandoned_reads_are_harmless"),
    (WrongNames, "test_response"),
    (DoublesForCounts, "test_response"),
    (LocalTime, "test_response_has_every_field"),
    (LocalTime, "test_latest_requests"),
    (NoLatestRequests, "test_latest_requests"),
    (AlwaysInUse, "test_latest_requests"),
]


class EveryTest(UsageStoreContract):
    integer_owners = True
    fields = (*UsageStoreContract.fields, "lastRequestAt")


def failures(store):
    """Return the names of the contract tests that a store fails."""
    failed = set()
    for name in vars(UsageStoreContract):
        if name.startswith("test_"):
            try:
                getattr(EveryTest(), name)(store)
            except Exception:  # noqa: BLE001 # any error fails a test
                failed.add(name)
    return failed


def test_correct_store_passes():
    """The base class of the broken stores passes every test."""
    assert failures(MemoryStore) == set()


@pytest.mark.parametrize(("store", "test"), BROKEN, ids=[f"{store.__name__}-{test}" for store, test in BROKEN])
def test_broken_store_fails(store, test):
    """Each broken store fails the test of the rule that it breaks."""
    assert test in failures(store)


def test_every_rule_can_fail():
    """Every contract test fails for at least one broken store."""
    tests = {name for name in vars(UsageStoreContract) if name.startswith("test_")}
    assert set().union(*(failures(store) for store in {store for store, _ in BROKEN})) == tests


def test_inherited_tests_are_collected(tmp_path):
    """The tests of a subclass are run by pytest, and the failure message names the problem."""
    (tmp_path / "test_store.py").write_text(
        "import pytest\n"
        "from flask_usage_stats.testing import UsageStoreContract\n"
        "class Store:\n"
        "    def __init__(self, projects): self.projects = projects\n"
        "    def iter_projects(self, owner): return self.projects\n"
        "class TestStore(UsageStoreContract):\n"
        "    @pytest.fixture\n"
        "    def make_store(self): return Store\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, tmp_path]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "owner 'ada' has unexpected or repeated projects: ['shop']" in run.stdout
