"""Shared fixtures (databases, applications, requests) and the Hypothesis settings."""

import contextlib
import os
import secrets
from collections import Counter
from pathlib import Path

import mongomock
import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from servers import MongoDBMissingError, mongodb

from flask_usage_stats import PlatformStore, ProjectStore, create_platform_blueprint, create_usage_blueprint
from flask_usage_stats._core.hourly import HourlyLimit

# Tests must not fail on a busy machine, and the examples of a test may share a fixture.
settings.register_profile(
    "tests",
    deadline=None,
    derandomize=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def _warning_limits(monkeypatch):
    """Prevent the warning about a missing index, because most tests do not create it, and reset the other limits."""
    index_limit = HourlyLimit()
    index_limit.allows()
    monkeypatch.setattr("flask_usage_stats._mongodb.project_reading.WARNING_LIMIT", index_limit)
    monkeypatch.setattr("flask_usage_stats._log.WARNING_LIMIT", HourlyLimit())


_MISSING_NOTE = Path(__file__).parent.parent / ".mongodb-missing"


def pytest_collection_modifyitems(items):
    for item in items:
        if "mongodb_uri" in item.fixturenames:
            item.add_marker("mongodb")


def pytest_terminal_summary(terminalreporter):
    """State each reason for skipped tests once, with their number; ``-rs`` has one line per test."""
    reasons = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", ()))
    for reason, number in reasons.most_common():
        terminalreporter.write_line(
            f"{number} {'test' if number == 1 else 'tests'} skipped: {reason.removeprefix('Skipped: ')}"
        )


@pytest.fixture(scope="session")
def mongodb_uri():
    """Yield the URI of a real server. Without one, skip the test, or fail if ``REQUIRE_MONGODB`` is set."""
    with contextlib.ExitStack() as stack:
        try:
            uri = stack.enter_context(mongodb())
        except MongoDBMissingError as error:
            if os.environ.get("REQUIRE_MONGODB"):
                pytest.fail(f"REQUIRE_MONGODB is set: {error}")
            _MISSING_NOTE.write_text(f"{error}\n")
            pytest.skip(f"no MongoDB: {error}")
        _MISSING_NOTE.unlink(missing_ok=True)
        yield uri


@pytest.fixture(scope="session")
def mongo_client(mongodb_uri):
    with MongoClient(mongodb_uri, heartbeatFrequencyMS=500) as client:
        yield client


@pytest.fixture(scope="session")
def _database(mongo_client):
    name = f"usage_stats_test_{secrets.token_hex(6)}"
    yield mongo_client[name]
    mongo_client.drop_database(name)


@pytest.fixture
def database(_database):
    """Return a real, empty database."""
    yield _database
    for name in _database.list_collection_names():
        _database.drop_collection(name)


@pytest.fixture
def projects(database):
    """Return a real, empty collection of projects."""
    return database.projects


@pytest.fixture
def local_mongodb(mongodb_uri, database, monkeypatch):
    """Redirect programs that use ``platform`` on localhost:27017 to the test database, and close their clients."""
    opened = []
    init_client, init_database = MongoClient.__init__, Database.__init__

    def client_here(self, host=None, *arguments, **options):
        opened.append(self)
        assert host.startswith("mongodb://localhost:27017"), host
        init_client(self, f"{mongodb_uri}/{database.name}", *arguments, **options)

    def database_here(self, client, name, *arguments, **options):
        init_database(self, client, database.name if name == "platform" else name, *arguments, **options)

    monkeypatch.setattr(MongoClient, "__init__", client_here)
    monkeypatch.setattr(Database, "__init__", database_here)
    yield database
    for client in opened:
        client.close()


@pytest.fixture(params=["mongomock", "mongodb"])
def any_projects(request):
    """Return an empty collection, once of mongomock and once of MongoDB."""
    if request.param == "mongomock":
        return mongomock.MongoClient().platform.projects
    return request.getfixturevalue("projects")


@pytest.fixture
def app_factory():
    """Return a function that builds an application with a store mounted for one owner."""

    def build(store, owner="ada", **options):
        authenticate = owner if callable(owner) else lambda: owner
        if isinstance(store, Collection | mongomock.Collection):
            store = ProjectStore(store)
        app = Flask("application")
        app.register_blueprint(create_usage_blueprint(store, authenticate=authenticate, **options))
        return app

    return build


@pytest.fixture
def platform_factory():
    """Return a function that builds an application with the platform view of a collection or a store."""

    def build(store, authorize=lambda: True, collection=None, timeout=30.0, max_age=0.0, **options):
        if not isinstance(store, ProjectStore):
            store = ProjectStore(store)
        platform = PlatformStore(store, collection=collection, timeout=timeout, max_age=max_age)
        app = Flask("application")
        app.register_blueprint(create_platform_blueprint(platform, authorize=authorize, **options))
        return app

    return build


@pytest.fixture
def get_usage(app_factory):
    """Return a function that requests an owner's usage from a store mounted in an application."""

    def get(store, owner="ada", **request):
        return app_factory(store, owner).test_client().get("/api/usage", **request)

    return get
