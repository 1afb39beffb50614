"""Measure the ingest of access logs: parsing, and the complete command with lines from a pipe."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import access_lines
import measure
import orjson
from pymongo.database import Database

from flask_usage_stats import ProjectStore
from flask_usage_stats._recording.ingest import Ingest, _Lines
from flask_usage_stats._recording.log_files import BLOCK_SIZE

#: The number of different lines; more are these again.
_BLOCK = 100_000
_LOADS = "import sys, orjson\nfor line in sys.stdin.buffer: orjson.loads(line)"


def fill(database: Database[Any]) -> None:
    """Store a project for each host."""
    database.ingested.insert_many(
        [
            {"_id": number, "totalRequest": 0, "domains": [f"project-{number}.example.com"]}
            for number in range(access_lines.HOSTS)
        ]
    )
    database.ingested.create_index("domains", collation={"locale": "en", "strength": 2})


# Parsing


def _split(data: bytes) -> list[bytes]:
    """Return blocks of complete lines, as the command reads them."""
    blocks, start = [], 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + BLOCK_SIZE) + 1
        blocks.append(data[start:end])
        start = end
    return blocks


def _load_all(blocks: Sequence[bytes]) -> None:
    for block in blocks:
        for line in block.splitlines():
            orjson.loads(line)


def measure_parsing(database: Database[Any], *, quick: bool) -> dict[str, Any]:
    """Time the parsing of 100,000 lines of each format, next to a bare loop of ``orjson.loads``."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        ingest = Ingest(
            ProjectStore(database.ingested),
            None,
            log=Path(folder, "log"),
            state=Path(folder, "state"),
            host_field="domains",
            format_name=None,
            is_followed=False,
            should_stop=lambda: False,
            warn=print,
        )

        def parse(blocks: Sequence[bytes]) -> None:
            ingest._lines = _Lines()
            for block in blocks:
                ingest._read_lines(block)

        for name in access_lines.FORMATS:
            data, _ = access_lines.build_lines(name, _BLOCK)
            blocks = _split(data)
            actions: dict[str, Callable[[], object]] = {
                "`orjson.loads`": lambda blocks=blocks: _load_all(blocks),
                "ours": lambda blocks=blocks: parse(blocks),
            }
            times = measure.side_by_side(actions, rounds=3 if quick else 30, repeat=1)
            found[name] = {action: _BLOCK / each["cpu_median"] for action, each in times.items()}
        assert ingest.tally.unreadable == 0
    return found


# The command


def _pipe(command: Sequence[str | Path], data: bytes, times: int) -> tuple[float, float, str]:
    """Write data to a command as often as given, and return the wall and CPU time of the command, and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        for _ in range(times):
            process.stdin.write(data)
        output, errors = process.communicate()
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode == 0, errors
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, output.decode()


def _ingest(database: Database[Any], uri: str, data: bytes, counted: int, times: int) -> dict[str, float]:
    """Run the complete command, and check what it has counted."""
    program = Path(__file__).with_name("ingest_command.py")
    total = [{"$group": {"_id": None, "n": {"$sum": "$totalRequest"}}}]
    (before,) = database.ingested.aggregate(total)
    with tempfile.TemporaryDirectory() as folder:
        options = ("--state", Path(folder, "state"), "/dev/stdin")
        wall, cpu, output = _pipe([sys.executable, program, uri, database.name, *options], data, times)
    summary, found = output.splitlines()
    assert summary.startswith(f"{counted * times} counted, 0 unknown, 0 unreadable, ")
    (after,) = database.ingested.aggregate(total)
    assert after["n"] - before["n"] == counted * times
    return {"wall": wall, "cpu": cpu, **json.loads(found)}


def measure_command(database: Database[Any], uri: str, lines: int) -> dict[str, Any]:
    """Time the complete command for lines of each format that come through a pipe, next to commands that do less."""
    times = max(1, lines // _BLOCK)
    found: dict[str, Any] = {}
    for name in access_lines.FORMATS:
        data, counted = access_lines.build_lines(name, _BLOCK)
        short = _ingest(database, uri, data, counted, 1)
        ours = _ingest(database, uri, data, counted, times)
        others = {"wc -l": ["wc", "-l"], "loads": [sys.executable, "-c", _LOADS]}
        found[name] = {
            "bytes": len(data) / _BLOCK,
            "lines": times * _BLOCK,
            **{other: {"wall": _pipe(command, data, times)[0]} for other, command in others.items()},
            "ours": ours,
            "first": short,
        }
    return found
