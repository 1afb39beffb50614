"""A host application whose client is under test, and a hand on the server that it asks."""

import contextlib
import secrets
import threading
import time
from dataclasses import dataclass

from flask import Flask
from pymongo import MongoClient, monitoring

from flask_usage_stats import ProjectStore, create_usage_blueprint

TIMEOUT = 1.0  # seconds, of the stores whose limit is tested
PATIENCE = 5.0  # seconds, of the stores that are to succeed: the default


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    seconds: float


class _Connections(monitoring.ConnectionPoolListener):
    """Counts the connections that are lent out."""

    def __init__(self):
        self.lent = 0
        self._lock = threading.Lock()

    def _count(self, number):
        with self._lock:
            self.lent += number

    def connection_checked_out(self, event):
        self._count(1)

    def connection_checked_in(self, event):
        self._count(-1)

    def _nothing(self, event):
        pass

    pool_created = pool_ready = pool_cleared = pool_closed = connection_created = connection_ready = _nothing
    connection_closed = connection_check_out_started = connection_check_out_failed = _nothing


class Host:
    """An application with one client, asked by one owner."""

    def __init__(self, uri, *, owner="ada", timeout=TIMEOUT, owner_filter=None, **options):
        self.name = f"host-{secrets.token_hex(6)}"
        self.owner, self.timeout = owner, timeout
        self.whole = None  # the whole answer's bytes, where they are not those of the projects that all tests share
        self.connections = _Connections()
        self._options = {"appname": self.name, "heartbeatFrequencyMS": 500, "event_listeners": [self.connections]}
        self._options |= options
        self.connect(uri)
        self.patience = max(timeout, PATIENCE)
        self._app = Flask("host")
        for limit, name in ((timeout, "api"), (self.patience, "patient")):
            store = ProjectStore(lambda: self.client.platform.projects, timeout=limit, owner_filter=owner_filter)
            blueprint = create_usage_blueprint(store, authenticate=lambda: self.owner, name=name, url_prefix=f"/{name}")
            self._app.register_blueprint(blueprint)

    def connect(self, uri):
        self.client = MongoClient(uri, **self._options)

    def get(self, *, patient=False):
        began = time.monotonic()
        response = self._app.test_client().get("/patient/usage" if patient else "/api/usage")
        return Answer(response.status_code, response.data, time.monotonic() - began)


def connections_of(uri, name):
    """Say what a server still does for a host, idle connections among it."""
    with MongoClient(uri, directConnection=True) as client:
        operations = client.admin.aggregate([{"$currentOp": {"allUsers": True, "idleConnections": True}}])
        return [one for one in operations if one.get("appName") == name]


def arm(uri, host, commands, mode="alwaysOn", **data):
    """Let a server spoil the commands of one host's client."""
    with MongoClient(uri, directConnection=True) as control:
        data |= {"failCommands": list(commands), "appName": host.name}
        control.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})


def disarm(uri):
    with MongoClient(uri, directConnection=True) as control:
        control.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@contextlib.contextmanager
def armed(uri, host, commands, mode="alwaysOn", **data):
    """Let a server spoil the commands of one host's client, for a while."""
    arm(uri, host, commands, mode, **data)
    try:
        yield
    finally:
        disarm(uri)
