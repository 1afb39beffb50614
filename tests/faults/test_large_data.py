"""Collections and documents of sizes that nobody planned for."""

import json
import threading

import pytest
from pymongo import MongoClient

TIMEOUT = 5  # seconds: the default of a store


def injects(what, promise):
    return pytest.mark.injects("Large and changing data", what, promise)


@pytest.fixture
def stored(server):
    """Store documents for an owner of their own, and take them away afterwards."""
    with MongoClient(server.uri) as client:
        projects = client.platform.projects

        def store(documents):
            projects.insert_many([{"owner": "large", **document} for document in documents])
            return projects

        yield store
        projects.delete_many({"owner": "large"})


def whole(rows):
    body = {"success": True, "totalRequests": sum(row["totalRequest"] for row in rows), "projectStats": rows}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


@injects("one owner has 100,000 projects", "whole answers")
def test_many_projects(trial, server, stored):
    """All of very many projects are in the answer, in time."""
    stored({"_id": f"p{index:06}", "name": f"n{index}", "totalRequest": 1} for index in range(100_000))
    host = trial.host(server.uri, owner="large", timeout=3 * TIMEOUT)
    host.whole = whole([{"_id": f"p{index:06}", "name": f"n{index}", "totalRequest": 1} for index in range(100_000)])
    for _ in range(3):
        trial.serving(host)


@injects("documents of 16 MB, of which the answer shows little", "whole answers")
def test_large_documents(trial, server, stored):
    """What is not shown of a document costs no answer, however large it is."""
    stored({"_id": f"p{index}", "log": "x" * (16 * 2**20 - 200), "totalRequest": 9} for index in range(5))
    host = trial.host(server.uri, owner="large", timeout=TIMEOUT)
    host.whole = whole([{"_id": f"p{index}", "totalRequest": 9} for index in range(5)])
    trial.serving(host)


@injects("documents of 16 MB in a field that is shown", "whole answers")
def test_large_fields(trial, server, stored):
    """Text of any size that a document can hold is shown."""
    name = "é" * (8 * 2**20 - 200)
    stored({"_id": f"p{index}", "name": name, "totalRequest": 9} for index in range(3))
    host = trial.host(server.uri, owner="large", timeout=TIMEOUT)
    host.whole = whole([{"_id": f"p{index}", "name": name, "totalRequest": 9} for index in range(3)])
    trial.serving(host)


@injects("arrays of 500,000 entries where text is expected", "whole answers, with null for the arrays")
def test_large_arrays(trial, server, stored):
    """A large value of a wrong type is null, and its neighbours are there."""
    stored([{"_id": "odd", "name": list(range(500_000))}, {"_id": "good", "name": "good"}])
    host = trial.host(server.uri, owner="large", timeout=TIMEOUT)
    host.whole = whole(
        [{"_id": "good", "name": "good", "totalRequest": 0}, {"_id": "odd", "name": None, "totalRequest": 0}]
    )
    trial.serving(host)


@injects("the counts of 5,000 projects are raised while they are read", "whole answers: each project once")
def test_changing_counts(trial, server, stored):
    """Counting does not hide or double a project that is read at the same time."""
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
            answer = host.get()
            rows = json.loads(answer.body)["projectStats"]
            assert sorted(row["_id"] for row in rows) == list(range(-5000, 0))
            assert json.loads(answer.body)["totalRequests"] == sum(row["totalRequest"] for row in rows)
            host.whole = answer.body
            trial.judge(host, answer, {200})
    finally:
        stop.set()
        writer.join()
