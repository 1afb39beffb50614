"""Measure the history: requests for windows of several kinds, next to the bare read of the same days."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

import dataset
import measure
from bson import ObjectId
from dataset import owner_of
from flask import Flask
from peers import application, request
from pymongo.collection import Collection
from pymongo.database import Database

from flask_usage_stats import ProjectStore, UsageHistory, create_usage_blueprint

#: The numbers of projects and of days that are read at once.
SIZES = ((100, 30), (1_000, 30), (5_000, 9), (100, 90))
QUERIES = {
    "UTC days": "",
    "Berlin days": "tz=Europe/Berlin",
    "Berlin days, groupBy=plan": "tz=Europe/Berlin&groupBy=plan",
    "Berlin days, groupBy=project": "tz=Europe/Berlin&groupBy=project",
    "hours": "window=hour",
}
_TODAY = datetime(2026, 11, 1)  # naive in UTC, as PyMongo stores dates
_MAX_DAYS = 400
_AT_ONCE = 5_000
_MAX_HOURS = 31  # days


def _days(ids: list[ObjectId], days: range) -> Iterator[dict[str, Any]]:
    """Yield days of projects with requests in 40 of their quarters of an hour."""
    random = Random(1)  # noqa: S311 # the same documents in every run
    for project in ids:
        for day in days:
            quarters = {str(index): random.randint(1, 500) for index in sorted(random.sample(range(96), 40))}
            date = _TODAY - timedelta(days=day)
            yield {
                "_id": {"p": project, "d": date},
                "n": sum(quarters.values()),
                "q": quarters,
                "w": {f"{random.getrandbits(32):08x}": date for _ in range(4)},
            }


def _store_days(collection: Collection[Any], ids: list[ObjectId], days: range) -> None:
    batch = []
    for document in _days(ids, days):
        batch.append(document)
        if len(batch) == _AT_ONCE:
            collection.insert_many(batch)
            batch = []
    if batch:
        collection.insert_many(batch)


def _ids_of(database: Database[Any], size: int) -> list[ObjectId]:
    return [document["_id"] for document in database.owned.find(dataset.condition(size), {"_id": 1})]


def _bare_read(collection: Collection[Any], ids: list[ObjectId], days: int) -> Callable[[], int]:
    """Return a function that reads the same documents with a hand-written filter, and discards them."""
    first, last = _TODAY - timedelta(days=days - 1), _TODAY
    ranges = [{"_id": {"$gte": {"p": project, "d": first}, "$lte": {"p": project, "d": last}}} for project in ids]
    return lambda: sum(
        len(list(collection.find({"$or": ranges[start : start + 1_000]}))) for start in range(0, len(ids), 1_000)
    )


def _app(database: Database[Any], size: int) -> Flask:
    app = application()
    store = ProjectStore(database.owned, timeout=60)
    history = UsageHistory(database.history, retention_days=3650)
    blueprint = create_usage_blueprint(store, authenticate=lambda: owner_of(size), history=history)
    app.register_blueprint(blueprint)
    return app


def _range(days: int) -> str:
    return f"from={_TODAY - timedelta(days=days - 1):%Y-%m-%d}&to={_TODAY + timedelta(days=1):%Y-%m-%d}"


def fill(database: Database[Any], *, quick: bool) -> None:
    """Store projects and their days; the owner of 100 projects has more than are read."""
    ProjectStore(database.owned).ensure_indexes()
    for size in sorted({size for size, _ in SIZES}):
        dataset.store(database.owned, owner_of(size), size)
        days = _MAX_DAYS if size == SIZES[0][0] and not quick else max(days for each, days in SIZES if each == size)
        _store_days(database.history, _ids_of(database, size), range(days))
    database.history.insert_one({"_id": "since", "at": datetime(2020, 1, 1), "format": 1})  # the same


def measure_requests(database: Database[Any], *, quick: bool) -> dict[str, Any]:
    """Time requests for the history, and the bare read of the days that they add up."""
    found: dict[str, Any] = {}
    for size, days in SIZES:
        app = _app(database, size)
        bare = _bare_read(database.history, _ids_of(database, size), days)
        assert bare() == size * days
        actions: dict[str, Callable[[], object]] = {"bare read": bare}
        for name, query in QUERIES.items():
            if days <= _MAX_HOURS or name != "hours":
                actions[name] = request(app, f"{_range(days)}&{query}", path="/api/usage/history")
        found[f"{size:,} projects, {days} days"] = measure.side_by_side(actions, rounds=2 if quick else 12, repeat=1)
    return found


def measure_age(database: Database[Any], *, quick: bool) -> dict[str, Any]:
    """Time the same request while the collection has more days of the same projects."""
    size, days = SIZES[0]
    send = request(_app(database, size), f"{_range(days)}&tz=Europe/Berlin", path="/api/usage/history")
    found: dict[str, Any] = {}
    everything = list(database.history.find({"_id.p": {"$in": _ids_of(database, size)}}))
    for age in (days, 90) if quick else (days, 90, _MAX_DAYS):
        database.history.delete_many({})
        oldest = _TODAY - timedelta(days=age)
        kept = [document for document in everything if document["_id"]["d"] > oldest]
        database.history.insert_many([{"_id": "since", "at": datetime(2020, 1, 1), "format": 1}, *kept])
        found[f"{age} days"] = measure.side_by_side({"ours": send}, rounds=5 if quick else 30, repeat=1)["ours"]
    return found


def measure_size(database: Database[Any]) -> dict[str, int]:
    """Return the average size of a day by how many of its quarters have requests, in bytes."""
    found = {}
    for quarters in (1, 10, 40, 96):
        counts = {str(index): 100 for index in range(quarters)}
        document = {"_id": {"p": ObjectId(), "d": _TODAY}, "n": 100 * quarters, "q": counts, "w": {"0123abcd": _TODAY}}
        database.sized.insert_one(document)
        stages = [{"$match": {"_id": document["_id"]}}, {"$project": {"size": {"$bsonSize": "$$ROOT"}}}]
        (result,) = database.sized.aggregate(stages)
        found[f"{quarters}"] = result["size"]
    return found
