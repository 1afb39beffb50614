"""Collections and documents of unusual sizes."""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from pymongo import MongoClient

from flask_usage_stats import ProjectStore

TIMEOUT = 5  # seconds: the default of a store
# A minute in total for five rounds.
SECONDS = 5 if os.environ.get("USAGE_STATS_FAULT_ROUNDS", "1") == "1" else 12


GROUP = "Large and changing data"


@pytest.fixture
def stored(server):
    """Return a function that stores documents of the owner "large", which are removed afterwards."""
    with MongoClient(server.uri) as client:
        projects = client.platform.projects

        def store(documents):
            projects.insert_many([{"owner": "large", **document} for document in documents])
            return projects

        yield store
        projects.delete_many({"owner": "large"})


def body_of(rows):
    body = {"success": True, "totalRequests": sum(row["totalRequest"] for row in rows), "projectStats": rows}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.injects("one owner has 100,000 projects", "complete responses")
def test_many_projects(trial, server, stored):
    """100,000 projects are returned within the time limit."""
    stored({"_id": f"p{index:06}", "name": f"n{index}", "totalRequest": 1} for index in range(100_000))
    host = trial.host(server.uri, owner="large", timeout=3 * TIMEOUT)
    host.expected = body_of(
        [{"_id": f"p{index:06}", "name": f"n{index}", "totalRequest": 1} for index in range(100_000)]
    )
    for _ in range(3):
        trial.serving(host)


@pytest.mark.injects("15 threads of one process request 100,000 projects at once", "complete responses")
def test_many_projects_at_once(trial, server, stored):
    """The time that a thread waits for its turn does not count toward the time limit."""
    stored({"_id": f"p{index:06}", "name": f"n{index}", "totalRequest": 1} for index in range(100_000))
    host = trial.host(server.uri, owner="large", timeout=TIMEOUT)
    with ThreadPoolExecutor(15) as pool:
        results = list(pool.map(lambda _: host.get(), range(15)))
    host.expected = results[0].body
    assert len(json.loads(host.expected)["projectStats"]) == 100_000
    for result in results:
        trial.check(host, result, {200})


@pytest.mark.injects("documents of 16 MB, mostly in other fields", "complete responses")
def test_large_documents(trial, server, stored):
    """Fields that are not returned may be of any size."""
    stored({"_id": f"p{index}", "log": "x" * (16 * 2**20 - 200), "totalRequest": 9} for index in range(5))
    host = trial.host(server.uri, owner="large", timeout=TIMEOUT)
    host.expected = body_of([{"_id": f"p{index}", "totalRequest": 9} for index in range(5)])
    trial.serving(host)


@pytest.mark.injects("documents of 16 MB in a field that is returned", "complete responses")
def test_large_fields(trial, server, stored):
    """Text of any size is returned."""
    name = "é" * (8 * 2**20 - 200)
    stored({"_id": f"p{index}", "name": name, "totalRequest": 9} for index in range(3))
    host = trial.host(server.uri, owner="large", timeout=TIMEOUT)
    host.expected = body_of([{"_id": f"p{index}", "name": name, "totalRequest": 9} for index in range(3)])
    trial.serving(host)


@pytest.mark.injects("arrays of 500,000 entries in a text field", "complete responses, with null for the arrays")
def test_large_arrays(trial, server, stored):
    """A large value of a wrong type is null, and other projects are not affected."""
    stored([{"_id": "odd", "name": list(range(500_000))}, {"_id": "good", "name": "good"}])
    host = trial.host(server.uri, owner="large", timeout=TIMEOUT)
    host.expected = body_of(
        [{"_id": "good", "name": "good", "totalRequest": 0}, {"_id": "odd", "name": None, "totalRequest": 0}]
    )
    trial.serving(host)


@pytest.mark.injects(
    "the counts of 5,000 projects are incremented while they are read", "complete responses: each project once"
)
def test_changing_counts(trial, server, stored):
    """Incrementing a count neither hides nor duplicates a project that is being read."""
    projects = stored({"_id": index, "totalRequest": 1} for index in range(-5000, 0))
    host = trial.host(server.uri, owner="large", timeout=TIMEOUT)
    stop = threading.Event()

    def count():
        while not stop.is_set():
            projects.update_many({"owner": "large"}, {"$inc": {"totalRequest": 1}})

    writer = threading.Thread(target=count)
    writer.start()
    try:
        for _ in range(10):
            result = host.get()
            rows = json.loads(result.body)["projectStats"]
            assert sorted(row["_id"] for row in rows) == list(range(-5000, 0))
            assert json.loads(result.body)["totalRequests"] == sum(row["totalRequest"] for row in rows)
            host.expected = result.body
            trial.check(host, result, {200})
    finally:
        stop.set()
        writer.join()


@pytest.mark.injects(
    "every field of 300 projects is updated while they are read, next to longer indexes",
    "complete responses: each project once",
)
def test_changing_fields(trial, server, stored):
    """An update neither hides nor duplicates a project, even if it moves within other indexes."""
    projects = stored({"_id": index, "totalRequest": 1} for index in range(-300, 0))
    paths = ("name", "projectType", "status", "plan", "totalRequest", "createdAt", "updatedAt")
    # With this sort order the server would prefer a longer index.
    projects.drop_index("usage_stats_owner")
    indexes = [projects.create_index([("owner", 1), (path, -1)]) for path in paths]
    indexes.append(projects.create_index([("owner", "hashed")]))
    host = trial.host(server.uri, owner="large", timeout=TIMEOUT)
    stop = threading.Event()

    def update():
        random = Random(1)  # noqa: S311 # any values are suitable
        while not stop.is_set():
            changes = {path: random.choice(["a", "m", "z"]) for path in paths} | {"totalRequest": random.randrange(99)}
            projects.update_one({"_id": -1 - random.randrange(300)}, {"$set": changes})

    writers = [threading.Thread(target=update) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            result = host.get()
            rows = json.loads(result.body)["projectStats"]
            assert sorted(row["_id"] for row in rows) == list(range(-300, 0))
            host.expected = result.body
            trial.check(host, result, {200})
    finally:
        stop.set()
        for writer in writers:
            writer.join()
        for index in indexes:
            projects.drop_index(index)
        ProjectStore(projects).ensure_indexes()
