"""The collection of the usage history: its index, and since when it has counts."""

import time
from datetime import UTC, datetime, timedelta

import mongomock
import pytest
from bson import Int64
from pymongo import MongoClient

from flask_usage_stats import ConfigurationError, StoreError, UsageHistory
from flask_usage_stats._mongodb.history import read_counting_start, read_since

NOW = datetime(2026, 11, 26, 5, 20, tzinfo=UTC)


@pytest.fixture
def collection(database):
    return database.usage_history


@pytest.mark.parametrize("days", [0, 36_501, 1.0, True, "400", None])
def test_retention_is_validated(days):
    """The message says what to pass instead."""
    message = f"retention_days must be an integer from 1 to 36500, got {days!r}"
    with pytest.raises(ConfigurationError, match=message):
        UsageHistory(mongomock.MongoClient().platform.usage_history, retention_days=days)


def test_collection_is_validated():
    """As for a store, the argument is a collection."""
    with pytest.raises(ConfigurationError, match="got the database 'platform'"):
        UsageHistory(mongomock.MongoClient().platform)


class TestEnsureIndexes:
    def expiry(self, collection):
        return {
            index["name"]: index["expireAfterSeconds"]
            for index in collection.list_indexes()
            if "expireAfterSeconds" in index
        }

    def test_old_days_expire(self, collection):
        """The index removes days, and its lifetime follows ``retention_days``."""
        for days in (400, 400, 30):
            assert UsageHistory(collection, retention_days=days).ensure_indexes() == "usage_history_expiry"
            assert self.expiry(collection) == {"usage_history_expiry": days * 86_400}

    @pytest.mark.parametrize("options", [{}, {"expireAfterSeconds": 5}])
    def test_existing_index(self, collection, options):
        """An index with another name gets the lifetime, even if it had none."""
        collection.create_index("_id.d", name="mine", **options)
        assert UsageHistory(collection, retention_days=1).ensure_indexes() == "mine"
        assert self.expiry(collection) == {"mine": 86_400}

    def test_the_server_removes_old_days(self, collection):
        """A day is removed when it began more than ``retention_days`` ago, and the document ``since`` stays."""
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        collection.insert_many(
            [{"_id": {"p": 1, "d": midnight - timedelta(days=age)}} for age in (0, 1, 2, 3)]
            + [{"_id": "since", "at": midnight, "format": 1}]
        )
        history = UsageHistory(collection, retention_days=2)
        history.ensure_indexes()
        deadline = time.monotonic() + 70  # a server removes them every minute by default
        while collection.count_documents({}) > 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert {document["_id"]["d"] for document in collection.find({"_id.d": {"$exists": True}})} == {
            (midnight - timedelta(days=age)).replace(tzinfo=None) for age in (0, 1)
        }

    def test_failure(self):
        """The error says what failed."""
        with MongoClient("mongodb://127.0.0.1:9", serverSelectionTimeoutMS=10) as client:
            history = UsageHistory(client.platform.usage_history)
            with pytest.raises(StoreError, match="the index could not be created: ServerSelectionTimeoutError"):
                history.ensure_indexes()

    def test_other_errors(self, database):
        """An index cannot be created on a view."""
        database.create_collection("view", viewOn="x", pipeline=[])
        with pytest.raises(StoreError, match="the index could not be created: OperationFailure 166"):
            UsageHistory(database.view).ensure_indexes()


class TestSince:
    def test_nothing_was_counted(self, collection):
        """Without the document, the time is unknown."""
        assert read_since(UsageHistory(collection), NOW) is None

    @pytest.mark.parametrize("number", [1, Int64(1), 1.0])
    def test_first_count(self, collection, number):
        """The time is the one of the first flush."""
        collection.insert_one({"_id": "since", "at": datetime(2026, 11, 20, 7, 15), "format": number})
        assert read_since(UsageHistory(collection), NOW) == datetime(2026, 11, 20, 7, 15, tzinfo=UTC)

    def test_counting_start(self, collection):
        """The first flush is known whatever has been removed since."""
        history = UsageHistory(collection, retention_days=1)
        assert read_counting_start(history) is None
        collection.insert_one({"_id": "since", "at": datetime(2020, 1, 1), "format": 1})
        assert read_counting_start(history) == datetime(2020, 1, 1, tzinfo=UTC)

    def test_retention(self, collection):
        """Days that may have been removed already are unknown, even if the server has not removed them yet."""
        collection.insert_one({"_id": "since", "at": datetime(2020, 1, 1), "format": 1})
        history = UsageHistory(collection, retention_days=10)
        assert read_since(history, NOW) == datetime(2026, 11, 17, tzinfo=UTC)
        assert read_since(history, datetime(2026, 11, 26, tzinfo=UTC)) == datetime(2026, 11, 17, tzinfo=UTC)

    @pytest.mark.parametrize("number", [2, None, "1"])
    def test_later_format(self, collection, number):
        """A history of a later version is neither read nor written."""
        collection.insert_one({"_id": "since", "at": datetime(2026, 11, 20), "format": number})
        with pytest.raises(StoreError, match="written by a later version of flask-usage-stats"):
            read_since(UsageHistory(collection), NOW)

    def test_damaged_document(self, collection):
        """A time that is not a date is an error."""
        collection.insert_one({"_id": "since", "at": "today", "format": 1})
        with pytest.raises(StoreError, match="its document 'since' has no date"):
            read_since(UsageHistory(collection), NOW)

    def test_failure(self):
        """The error says what failed."""
        with MongoClient("mongodb://127.0.0.1:9", serverSelectionTimeoutMS=10) as client:
            history = UsageHistory(client.platform.usage_history)
            with pytest.raises(StoreError, match="the history could not be read: ServerSelectionTimeoutError"):
                read_since(history, NOW)
