"""Servers that tests may damage, applications that use them, and the recording of their responses."""

import contextlib
import json
import logging
import os
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from faults.application import Host, connections_of
from faults.counting import CountTrial, write_down
from faults.ingests import IngestTrial
from faults.proxy import Proxy
from pymongo import MongoClient
from servers import Mongod, MongoDBMissingError, ReplicaSet

from flask_usage_stats import ProjectStore

GRACE = 1.0  # seconds that a response may take beyond the timeout of its store
PROJECTS = 3000  # projects of ada: two batches, so that a fault can occur between them
RESULTS = os.environ.get("USAGE_STATS_FAULT_RESULTS")
ROUNDS = int(os.environ.get("USAGE_STATS_FAULT_ROUNDS", "1"))
_SMALL = ("--wiredTigerCacheSizeGB", "0.25")


def pytest_configure(config):
    config.addinivalue_line("markers", "injects(fault, expected): the row of a fault test in docs/reliability.md")
    config.addinivalue_line("markers", "xdist_group(name): tests that share one process under pytest-xdist")


def pytest_generate_tests(metafunc):
    if ROUNDS > 1:
        metafunc.fixturenames.append("_round")
        metafunc.parametrize("_round", range(ROUNDS))


@contextlib.contextmanager
def _missing_is_skipped():
    try:
        yield
    except MongoDBMissingError as error:
        if os.environ.get("REQUIRE_MONGODB"):
            pytest.fail(f"REQUIRE_MONGODB is set: {error}")
        pytest.skip(f"no MongoDB: {error}")


def _fill(uri, **options):
    with MongoClient(uri, **options) as client:
        projects = client.platform.get_collection("projects").with_options(
            write_concern=client.write_concern.__class__(w=3 if "replicaSet" in uri else 1, j=True)
        )
        projects.insert_many(
            [
                {"_id": index, "owner": "ada", "name": f"project {index}", "totalRequest": index}
                for index in range(PROJECTS)
            ]
            + [
                {"_id": name, "owner": "bob", "name": name, "plan": "pro", "totalRequest": 7}
                for name in ("blog", "shop")
            ]
        )
        ProjectStore(projects).ensure_indexes()


def _expected(owner):
    rows = {
        "ada": [
            f'{{"_id":{index},"name":"project {index}","totalRequest":{index}}}' for index in reversed(range(PROJECTS))
        ],
        "bob": [f'{{"_id":"{name}","name":"{name}","plan":"pro","totalRequest":7}}' for name in ("blog", "shop")],
    }[owner]
    total = {"ada": sum(range(PROJECTS)), "bob": 14}[owner]
    return f'{{"success":true,"totalRequests":{total},"projectStats":[{",".join(rows)}]}}'.encode()


@pytest.fixture(scope="session")
def _server(tmp_path_factory):
    with _missing_is_skipped():
        server = Mongod(tmp_path_factory.mktemp("server"), *_SMALL)
    server.start()
    _fill(server.uri)
    yield server
    server.stop()


@pytest.fixture
def server(_server):
    """Return a running server with projects, used by this process only."""
    if not _server.runs:
        _server.start()
    yield _server
    if not _server.runs:
        _server.start()


@pytest.fixture(scope="session")
def _replica_set(tmp_path_factory):
    with _missing_is_skipped():
        servers = ReplicaSet(tmp_path_factory.mktemp("set"), *_SMALL)
    servers.start()
    _fill(servers.uri)
    yield servers
    servers.stop()


@pytest.fixture
def replica_set(_replica_set):
    """Return three running servers with projects and a primary."""
    _replica_set.heal()
    yield _replica_set
    _replica_set.heal()


@pytest.fixture
def proxy(server):
    """Return a proxy between the applications and the server."""
    network = Proxy(server.port)
    yield network
    network.close()


class Trial:
    """The applications of a test and their responses under its fault."""

    def __init__(self):
        self.results = []
        self.bound = 0.0
        self._hosts = []
        self._threads = set(threading.enumerate())

    def host(self, uri, kind=Host, **options):
        host = kind(uri, **options)
        self._hosts.append(host)
        return host

    def healthy(self, host, query=""):
        """Check that the first response without a fault is complete, and return it."""
        result = host.get(query, patient=True)
        self._check(host, result, {200}, host.patience)
        return result

    def serving(self, host):
        """Check that under a fault the response is complete."""
        self.check(host, host.get(patient=True), {200}, host.patience)

    def failing(self, host, within=None):
        """Check that under a fault the response is the error response."""
        self.check(host, host.get(), {500}, within)

    def either(self, host):
        """Check that under a fault the response is complete or the error response."""
        self.check(host, host.get(), {200, 500})

    def check(self, host, result, statuses, within=None):
        """Check and record a response under a fault: complete or the error response, within the time limit."""
        timeout = host.timeout if within is None else within
        self._check(host, result, statuses, timeout)
        self.bound = max(self.bound, timeout + GRACE)
        self.results.append(result)

    def _check(self, host, result, statuses, timeout):
        assert result.status in statuses, result.body[:200]
        expected = host.get_expected(result) or _expected(host.owner) if result.status == 200 else host.failed
        assert result.body == expected
        assert result.seconds < timeout + GRACE

    def nothing_left(self):
        """Check that every connection is returned to its pool and that no thread outlives its client."""
        for host in self._hosts:
            assert _soon(lambda host=host: host.connections.checked_out == 0), "a connection was not returned"
            host.client.close()
        assert _soon(lambda: not set(threading.enumerate()) - self._threads), threading.enumerate()

    def close(self):
        for host in self._hosts:
            host.client.close()


def _soon(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _get_places(request):
    """Set up the places of a test before a fixture, so that they outlive it."""
    places = ("server", "proxy", "replica_set")
    return {name: request.getfixturevalue(name) for name in places if name in request.fixturenames}


@pytest.fixture
def trial(request, caplog):
    """Yield a trial, check that it leaves nothing open, and record its responses."""
    here = _get_places(request)
    running = Trial()
    yield running
    try:
        running.nothing_left()
        if "server" in here:
            for host in running._hosts:
                assert _soon(lambda host=host: not connections_of(here["server"].uri, host.name))
    finally:
        running.close()
    _logged_once(running, caplog)
    _write_down(request.node, running)


def _logged_once(running, caplog):
    """Check that each error was logged exactly once."""
    errors = [record for record in caplog.get_records("call") if record.levelno == logging.ERROR]
    assert len(errors) == Counter(result.status for result in running.results)[500]


def _write_down(node, running):
    fault, expected = node.get_closest_marker("injects").args
    assert running.results, "a fault test must send requests under its fault"
    if RESULTS:
        line = {
            "test": node.originalname,
            "group": node.module.GROUP,
            "what": fault,
            "promise": expected,
            "answers": len(running.results),
            "errors": sum(result.status == 500 for result in running.results),
            "bound": running.bound,
            "longest": max(result.seconds for result in running.results),
        }
        with Path(RESULTS).open("a") as file:
            file.write(json.dumps(line) + "\n")


@pytest.fixture
def count_trial(request):
    """Yield a trial of recorders, and write down its result."""
    here = _get_places(request)
    running = CountTrial(here.get("server", here.get("replica_set")).uri)
    yield running
    running.close()
    if RESULTS:
        write_down(request.node, running, RESULTS)


@pytest.fixture
def ingest_trial(request, server, tmp_path):
    """Yield a trial of ingests, and write down its result."""
    running = IngestTrial(server.uri, tmp_path)
    yield running
    running.close()
    if RESULTS:
        write_down(request.node, running, RESULTS)
