"""The application under test, and control of its database server."""

import contextlib
import itertools
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event, Lock

from flask import Flask
from pymongo import MongoClient, monitoring
from support import FAILED

from flask_usage_stats import PlatformStore, ProjectStore, create_platform_blueprint, create_usage_blueprint

TIMEOUT = 1.0  # seconds, for stores that are expected to fail
PATIENCE = 5.0  # seconds, for stores that are expected to succeed (the default)


@dataclass(frozen=True)
class Result:
    status: int
    body: bytes
    seconds: float
    query: str = ""


class _Connections(monitoring.ConnectionPoolListener):
    """Counts the connections that are checked out."""

    def __init__(self):
        self.checked_out = 0
        self._lock = Lock()

    def _count(self, number):
        with self._lock:
            self.checked_out += number

    def connection_checked_out(self, event):
        self._count(1)

    def connection_checked_in(self, event):
        self._count(-1)

    def _nothing(self, event):
        pass

    pool_created = pool_ready = pool_cleared = pool_closed = connection_created = connection_ready = _nothing
    connection_closed = connection_check_out_started = connection_check_out_failed = _nothing


class Host:
    """An application with one client and one signed-in owner."""

    path, failed = "usage", FAILED

    def __init__(
        self, uri, *, owner="ada", timeout=TIMEOUT, owner_filter=None, collection="projects", name=None, **options
    ):
        self.name = name or f"host-{secrets.token_hex(6)}"
        self.owner, self.timeout = owner, timeout
        self.expected = None  # the expected body, if the test has its own projects
        self.connections = _Connections()
        self._options = {"appname": self.name, "heartbeatFrequencyMS": 500, "event_listeners": [self.connections]}
        self._options |= options
        self.connect(uri)
        self.patience = max(timeout, PATIENCE)
        self._app = Flask("application")
        for limit, prefix in ((timeout, "api"), (self.patience, "patient")):
            store = ProjectStore(lambda: self.client.platform[collection], timeout=limit, owner_filter=owner_filter)
            self._app.register_blueprint(self.build_blueprint(store, limit, prefix))

    def build_blueprint(self, store, timeout, prefix):
        return create_usage_blueprint(store, authenticate=lambda: self.owner, name=prefix, url_prefix=f"/{prefix}")

    def connect(self, uri):
        self.client = MongoClient(uri, **self._options)

    def get(self, query="", *, patient=False):
        began = time.monotonic()
        response = self._app.test_client().get(f"/{'patient' if patient else 'api'}/{self.path}", query_string=query)
        return Result(response.status_code, response.data, time.monotonic() - began, query)

    def get_expected(self, result):
        """Return the body that a complete response must have, or ``None`` if it is that of the owner."""
        return self.expected


class PlatformHost(Host):
    """An application with the platform view. What it expects is a function that builds the body for a result.

    :param max_age: for how many seconds results may be kept; patient requests share them with the others.
    """

    path, failed = "usage/platform", b'{"success":false,"message":"Failed to fetch platform usage"}'

    def __init__(self, uri, *, max_age=0, **options):
        self.max_age, self._results = max_age, None
        super().__init__(uri, **options)

    def build_blueprint(self, store, timeout, prefix):
        platform_store = PlatformStore(store, timeout=timeout, max_age=self.max_age)
        self._results = platform_store._results = self._results or platform_store._results
        return create_platform_blueprint(platform_store, authorize=lambda: True, name=prefix, url_prefix=f"/{prefix}")

    def get_expected(self, result):
        return self.expected(result)


def connections_of(uri, name):
    """Return the operations and idle connections of an application on a server."""
    with MongoClient(uri, directConnection=True) as client:
        operations = client.admin.aggregate([{"$currentOp": {"allUsers": True, "idleConnections": True}}])
        return [one for one in operations if one.get("appName") == name]


def arm(uri, host, commands, mode="alwaysOn", **data):
    """Make the commands of one application fail on the server."""
    with MongoClient(uri, directConnection=True) as control:
        data |= {"failCommands": list(commands), "appName": host.name}
        control.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})


def disarm(uri):
    with MongoClient(uri, directConnection=True) as control:
        control.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@contextlib.contextmanager
def armed(uri, host, commands, mode="alwaysOn", **data):
    """Make the commands of one application fail on the server inside a ``with`` block."""
    arm(uri, host, commands, mode, **data)
    try:
        yield
    finally:
        disarm(uri)


def get_in_threads(host, threads=16, times=1):
    """Send requests from several threads at once and return all results."""
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(lambda: [host.get() for _ in range(times)]) for _ in range(threads)]
        return list(itertools.chain.from_iterable(one.result() for one in running))


@contextlib.contextmanager
def load(host, threads):
    """Send requests without a pause inside a ``with`` block; afterwards the list has their results."""
    results, stop = [], Event()

    def send():
        own = []
        while not stop.is_set():
            own.append(host.get())
        return own

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(send) for _ in range(threads)]
        try:
            time.sleep(0.3)
            yield results
        finally:
            stop.set()
        results.extend(itertools.chain.from_iterable(one.result() for one in running))
