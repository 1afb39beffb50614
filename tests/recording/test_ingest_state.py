"""The state of an ingest: it is restored exactly, and never half."""

import json
import subprocess
import sys
from datetime import datetime
from uuid import UUID

import pytest
from bson import Int64, ObjectId
from bson.binary import Binary

from flask_usage_stats._recording.ingest_state import (
    Count,
    IngestError,
    Position,
    State,
    load_state,
    lock_state,
    save_state,
)

IDS = [
    "blog",
    "507f1f77bcf86cd799439011",
    "$oid",
    7,
    2**53 + 1,
    Int64(3),
    1.5,
    ObjectId("507f1f77bcf86cd799439011"),
    UUID(int=7),
    Binary(b"x" * 16, 4),
    b"bytes",
    datetime(2026, 3, 28, 12, 30, 15, 678000),
]
POSITION = Position("0" * 64, 1024, 5000)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state"


@pytest.mark.parametrize("project", IDS, ids=repr)
def test_ids_are_restored(path, project):
    """An id has the same type and value again."""
    state = State("i01234567", 5, "/var/log/access.log", None, POSITION, [Count(project, 1, 2, 3)])
    save_state(path, state)
    restored = load_state(path)
    assert restored == state
    (count,) = restored.counts
    assert isinstance(count.project, type(project) if not isinstance(project, Int64) else int)


def test_a_new_state(path):
    """Without a file, each ingest has a name of its own."""
    first, second = load_state(path), load_state(path)
    assert first.writer[0] == "i"
    assert first.writer != second.writer
    assert (first.end, first.counts) == (None, [])


def valid():
    return {"format": 1, "writer": "i01234567", "number": 5, "log": None, "start": None, "end": None, "counts": []}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        {},
        {name: value for name, value in valid().items() if name != "counts"},
        valid() | {"format": "1"},
        valid() | {"format": None},
        valid() | {"writer": "5f3a91c2"},
        valid() | {"writer": "i0123456.x"},
        valid() | {"number": -1},
        valid() | {"number": 1.5},
        valid() | {"number": True},
        valid() | {"log": 7},
        valid() | {"number": 10**15},
        valid() | {"end": {"fingerprint": "x", "length": 1, "offset": 2}},
        valid() | {"end": {"fingerprint": "0" * 64, "length": 1}},
        valid() | {"end": {"fingerprint": "0" * 64, "length": 1, "offset": None}},
        valid() | {"counts": [["blog", 1, 2]]},
        valid() | {"counts": [["blog", 1, "2", 3]]},
        valid() | {"counts": [["blog", 10**9, 2, 3]]},
        valid() | {"counts": [["blog", "1", 2, 3]]},
        valid() | {"counts": [[None, 1, 2, 3]]},
        valid() | {"counts": [[["blog"], 1, 2, 3]]},
        valid() | {"counts": [[{"$oid": "x"}, 1, 2, 3]]},
        valid() | {"counts": {"blog": 1}},
    ],
    ids=lambda content: str(content)[:80],
)
def test_a_damaged_state(path, content):
    """The message says what to do, and the file is not changed."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(data)
    with pytest.raises(IngestError, match="is damaged: remove it to count the log again"):
        load_state(path)
    assert path.read_bytes() == data


def test_a_later_format(path):
    """A later version may have stored what this one would ignore."""
    path.write_text(json.dumps({"format": 2}))
    with pytest.raises(IngestError, match="was written by a later version of flask-usage-stats"):
        load_state(path)


def test_a_failed_write(path, monkeypatch):
    """The previous state remains if the new one cannot be written."""
    save_state(path, State("i01234567", 1))
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(IngestError, match="cannot be written: No space left on device"):
        save_state(path, State("i01234567", 2))
    assert load_state(path).number == 1


@pytest.mark.parametrize(
    "action", [load_state, lambda path: save_state(path, State()), lambda path: lock_state(path).__enter__()]
)
def test_a_folder_in_the_way(tmp_path, action):
    """Each error of the system is one message."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state.lock").mkdir()
    with pytest.raises(IngestError, match="cannot be"):
        action(tmp_path / "state")


def test_the_previous_state_is_replaced(path):
    """The file is never half written: whoever has the previous one open still reads it."""
    save_state(path, State("i01234567", 1))
    before = path.read_text()
    with path.open() as file:
        save_state(path, State("i01234567", 2))
        assert file.read() == before


def test_the_lock(path):
    """Another process cannot lock the state meanwhile, but afterwards."""
    program = f"""
from pathlib import Path
from flask_usage_stats._recording.ingest_state import IngestError, lock_state
try:
    with lock_state(Path({str(path)!r})):
        print("locked")
except IngestError as error:
    print(error)
"""

    def run():
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    with lock_state(path):
        with pytest.raises(IngestError, match="another process ingests this log"), lock_state(path):
            pass
        assert run() == f"another process ingests this log: it uses the state {path}\n"
    assert run() == "locked\n"
