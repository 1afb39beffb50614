"""A server that may be harmed, a host application on it, and the record of how it answered."""

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
from faults.proxy import Proxy
from pymongo import MongoClient
from servers import Mongod, MongoDBMissingError, ReplicaSet

from flask_usage_stats import ProjectStore

GRACE = 1.0  # seconds, that the design gives an answer beyond its store's time
PROJECTS = 3000  # of ada: two batches of the store's, so that a fault can come between them
RESULTS = os.environ.get("USAGE_STATS_FAULT_RESULTS")
ROUNDS = int(os.environ.get("USAGE_STATS_FAULT_ROUNDS", "1"))
_SMALL = ("--wiredTigerCacheSizeGB", "0.25")
_FAILED = b'{"success":false,"message":"Failed to fetch usage stats"}'


def pytest_configure(config):
    config.addinivalue_line("markers", "injects(group, what, promise): what a fault test does, for docs/reliability.md")
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
            pytest.fail(f"a real MongoDB is demanded: {error}")
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


def _whole(owner):
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
    """Give a filled server of this process's own, running and without fail points."""
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
    """Give three filled servers, all of them well."""
    _replica_set.heal()
    yield _replica_set
    _replica_set.heal()


@pytest.fixture
def proxy(server):
    """Give a network before the server."""
    network = Proxy(server.port)
    yield network
    network.close()


class Trial:
    """What one test does to a host, and how long it waited for its answers at worst."""

    def __init__(self):
        self.answers = []
        self.bound = 0.0
        self._hosts = []
        self._threads = set(threading.enumerate())

    def host(self, uri, **options):
        host = Host(uri, **options)
        self._hosts.append(host)
        return host

    def healthy(self, host):
        """Ask without a fault: the answer is whole, at the first try."""
        self._judge(host, host.get(patient=True), {200}, host.patience)

    def serving(self, host):
        """Ask under a fault that costs no answer, also of a machine that is busy with other tests."""
        self.judge(host, host.get(patient=True), {200}, host.patience)

    def failing(self, host, within=None):
        """Ask under a fault that makes an answer impossible."""
        self.judge(host, host.get(), {500}, within)

    def either(self, host):
        """Ask under a fault that may cost the answer."""
        self.judge(host, host.get(), {200, 500})

    def judge(self, host, answer, statuses, within=None):
        """Count an answer under a fault, which is whole or the error, and in time."""
        timeout = host.timeout if within is None else within
        self._judge(host, answer, statuses, timeout)
        self.bound = max(self.bound, timeout + GRACE)
        self.answers.append(answer)

    def _judge(self, host, answer, statuses, timeout):
        assert answer.status in statuses, answer.body[:200]
        assert answer.body == (host.whole or _whole(host.owner) if answer.status == 200 else _FAILED)
        assert answer.seconds < timeout + GRACE

    def nothing_left(self):
        """See that hosts lent out no connection for ever, and that their threads end with their clients."""
        for host in self._hosts:
            assert _soon(lambda host=host: host.connections.lent == 0), "a connection was not given back"
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


@pytest.fixture
def trial(request, caplog):
    """Give the means to ask under a fault; afterwards nothing may be left behind, and the result is written down."""
    places = ("server", "proxy", "replica_set")  # first, so that they outlive this one
    here = {name: request.getfixturevalue(name) for name in places if name in request.fixturenames}
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
    """See that each error was logged once, and no more."""
    errors = [record for record in caplog.get_records("call") if record.levelno == logging.ERROR]
    assert len(errors) == Counter(answer.status for answer in running.answers)[500]


def _write_down(node, running):
    (group, what, promise) = node.get_closest_marker("injects").args
    assert running.answers, "a fault test asks under its fault"
    if RESULTS:
        line = {
            "test": node.originalname,
            "group": group,
            "what": what,
            "promise": promise,
            "answers": len(running.answers),
            "errors": sum(answer.status == 500 for answer in running.answers),
            "bound": running.bound,
            "longest": max(answer.seconds for answer in running.answers),
        }
        with Path(RESULTS).open("a") as file:
            file.write(json.dumps(line) + "\n")
