"""The cache of the read options of collections."""

import gc

from pymongo import MongoClient

from flask_usage_stats._mongodb import read_options
from flask_usage_stats._mongodb.read_options import ReadOptions, ReadOptionsCache

OPTIONS = ReadOptions("usage_stats_owner")


def collection_of(name="projects"):
    return MongoClient(connect=False).platform[name]


def test_options_are_kept_for_five_minutes(monkeypatch):
    """After five minutes the indexes are listed again."""
    now = [1000.0]
    monkeypatch.setattr(read_options, "monotonic", lambda: now[0])
    cache, collection = ReadOptionsCache(), collection_of()
    assert cache.get(collection) is None
    cache.set(collection, OPTIONS)
    now[0] += 299
    assert cache.get(collection) == OPTIONS
    now[0] += 1
    assert cache.get(collection) is None


def test_collections_have_their_own_options():
    """Collections are identified by client, database and name, not by their options."""
    cache, collection = ReadOptionsCache(), collection_of()
    cache.set(collection, OPTIONS)
    assert cache.get(collection.with_options()) == OPTIONS
    for other in (collection_of(), collection.database.others, collection.database.client.other.projects):
        assert cache.get(other) is None
    cache.forget(collection)
    cache.forget(collection)
    assert cache.get(collection) is None


def test_a_client_that_reuses_an_id_is_another_client():
    """A client whose ``id()`` is that of an earlier client has its own options."""
    cache, collection = ReadOptionsCache(), collection_of()
    cache.set(collection, OPTIONS)
    (key,) = cache._entries
    del collection
    gc.collect()
    other = collection_of()
    cache._entries[id(other.database.client), other.full_name] = cache._entries[key]
    assert cache.get(other) is None


def test_a_thousand_collections_are_remembered():
    """If there are more than a thousand collections, the options of the oldest are removed."""
    cache, database = ReadOptionsCache(), collection_of().database
    for number in range(1001):
        cache.set(database[f"tenant{number}"], OPTIONS)
    assert cache.get(database.tenant0) is None
    assert cache.get(database.tenant1) == OPTIONS
    assert len(cache._entries) == 1000
