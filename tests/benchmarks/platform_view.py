"""Measure the platform view: what the database computes, and the memory of a worker."""

import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any

import measure
from bson import ObjectId
from flask import Flask
from peers import request
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from flask_usage_stats import PlatformStore, ProjectStore, create_platform_blueprint

SIZES = (100_000, 1_000_000, 10_000_000)
QUERIES = {
    "totals and labels": "groupBy=plan,projectType,status",
    "owners": "groupBy=owner&top=10",
    "projects": "limit=10",
}
_BASE = 100_000  # projects; the others are copies with other owners
_AT_ONCE = 5_000
_PROJECTS_PER_OWNER = 16
_TIMEOUT = 600  # seconds
_CREATED = datetime(2024, 1, 1)  # naive in UTC, as PyMongo stores dates


def _projects(number: int) -> list[dict[str, Any]]:
    random = Random(1)  # noqa: S311 # the same documents in every run
    owners = [ObjectId(random.randbytes(12)) for _ in range(number // _PROJECTS_PER_OWNER)]
    return [
        {
            "owner": random.choice(owners),
            "name": f"project-{index}",
            "projectType": random.choice(("node", "python", "static", "Static", "docker")),
            "status": random.choice(("live", "live", "live", "stopped", "failed", "deleted")),
            "plan": random.choice(("free", "free", "pro", "Pro", "business", None)),
            "totalRequest": 0 if random.random() < 0.3 else int(random.paretovariate(0.6)) % 2**40,
            "createdAt": _CREATED,
            "updatedAt": _CREATED,
        }
        for index in range(number)
    ]


def _store(collection: Collection[Any], size: int) -> None:
    """Store a number of projects that is a multiple of the base. A count above 2**31 is a double, as JavaScript's."""
    projects = _projects(_BASE)
    for project in projects:
        if project["totalRequest"] > 2**31:
            project["totalRequest"] = float(project["totalRequest"])
    base = collection.database.platform_base
    base.drop()
    for start in range(0, _BASE, _AT_ONCE):
        base.insert_many(projects[start : start + _AT_ONCE])
    for copy in range(size // _BASE):
        owner = {"$concat": [f"{copy:08x}", {"$substrBytes": [{"$toString": "$owner"}, 8, 16]}]}
        stages = [{"$unset": "_id"}, {"$set": {"owner": {"$toObjectId": owner}}}, {"$merge": collection.name}]
        base.aggregate(stages)
    base.drop()
    assert collection.estimated_document_count() == size


def _app(collection: Collection[Any], max_age: float = 0.0) -> Flask:
    app = Flask("benchmark")
    store = PlatformStore(ProjectStore(collection), timeout=_TIMEOUT, max_age=max_age)
    app.register_blueprint(create_platform_blueprint(store, authorize=lambda: True))
    return app


def _bare(collection: Collection[Any], key: Any) -> Callable[[], object]:  # an expression
    """Return a function that sums the counts by a key, with one ``$group`` by hand."""
    group = {"$group": {"_id": key, "projects": {"$sum": 1}, "total": {"$sum": "$totalRequest"}}}
    top = [{"$sort": {"total": -1}}, {"$limit": 10}]
    return lambda: list(collection.aggregate([group, *top], allowDiskUse=True))


def _bare_projects(collection: Collection[Any]) -> Callable[[], object]:
    return lambda: list(collection.find().sort("totalRequest", -1).limit(10))


def measure_sizes(database: Database[Any], uri: str, sizes: tuple[int, ...]) -> dict[int, Any]:
    """Time each kind of request next to what it takes by hand, with the memory of a process that sends all of them."""
    found: dict[int, Any] = {}
    clocks = dict(measure.CLOCKS)
    if "MONGODB_URI" not in os.environ:
        clocks["server"] = measure.process_clock(database.client.admin.command("serverStatus")["pid"])
    for size in sizes:
        collection = database.platform
        collection.drop()
        _store(collection, size)
        app, kept = _app(collection), _app(collection, max_age=3600)
        labels = {name: f"${name}" for name in ("plan", "projectType", "status")}
        actions: dict[str, Callable[[], object]] = {
            "labels by hand": _bare(collection, labels),
            "owners by hand": _bare(collection, "$owner"),
            "projects by hand": _bare_projects(collection),
        }
        actions |= {name: request(app, query, path="/api/usage/platform") for name, query in QUERIES.items()}
        rounds = 1 if size > 1_000_000 else 3
        measured = measure.side_by_side(actions, rounds=rounds, repeat=1, clocks=clocks)
        send = request(kept, QUERIES["totals and labels"], path="/api/usage/platform")
        send()
        measured["kept"] = measure.side_by_side({"kept": send}, rounds=50, repeat=1)["kept"]
        memory = measure.in_new_process(__file__, uri, database.name, collection.name)
        found[size] = {"requests": measured, "memory": memory["growth"]}
        collection.drop()
    return found


def _measure_memory(uri: str, database: str, name: str) -> dict[str, int]:
    """Return the growth of the peak of this process while it sends each kind of request."""
    with MongoClient(uri) as client:
        empty = _app(client[database].nothing)
        sends = [request(_app(client[database][name]), query, path="/api/usage/platform") for query in QUERIES.values()]
        for query in QUERIES.values():  # so that connecting and importing are not counted
            request(empty, query, path="/api/usage/platform")()
        measure.reset_peak()
        before = measure.resident_size()
        for send in sends:
            send()
        return {"growth": measure.peak_size() - before}


if __name__ == "__main__":
    print(json.dumps(_measure_memory(*sys.argv[1:])))
