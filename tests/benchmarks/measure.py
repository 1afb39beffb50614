"""Measure the time and memory of callables in turn, so that other load on the machine affects all of them."""

import ctypes
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bson import ObjectId
from dataset import owner_of
from peers import ours, request
from pymongo import MongoClient

#: What is read before and after an action, in seconds: CPU is that of this process.
CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def side_by_side(
    actions: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    repeat: int,
    prepare: Callable[[str], object] = lambda _: None,
    clocks: Mapping[str, Callable[[], float]] = CLOCKS,
) -> dict[str, dict[str, float]]:
    """Time every action in every round, and return medians and minima by clock, in seconds.

    The result of an action is freed within the measured time, as in a request.

    :param prepare: called with the name of an action before its repetitions; it is not timed.
    """
    times: dict[str, list[list[float]]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            prepare(name)
            began = [read() for read in clocks.values()]
            for _ in range(repeat):
                action()
            ended = [read() for read in clocks.values()]
            times[name].append([(end - begin) / repeat for begin, end in zip(began, ended, strict=True)])
    return {
        name: {
            f"{clock}_{kind}": summarize(each)
            for clock, each in zip(clocks, zip(*rows, strict=True), strict=True)
            for kind, summarize in (("min", min), ("median", statistics.median))
        }
        for name, rows in times.items()
    }


def process_clock(pid: int) -> Callable[[], float]:
    """Return a function that reads the CPU time of another process, in seconds."""
    number = ctypes.c_int()
    if ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(number)):
        raise ProcessLookupError(pid)
    return lambda: time.clock_gettime(number.value)


def in_new_process(program: Path, *arguments: str) -> dict[str, int]:
    """Run a program of this directory, and return the JSON that it prints."""
    run = subprocess.run([sys.executable, program, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout)


def memory(uri: str, database: str, collection: str, size: int, query: str = "", requests: int = 1) -> dict[str, int]:
    """Send requests at once in a new process, and return the growth of its peak and a body's size, in bytes.

    ``left`` is the growth when all requests are done.
    """
    return in_new_process(Path(__file__), uri, database, collection, str(size), query, str(requests))


def resident_size() -> int:
    """Return the resident size of this process, in bytes."""
    return _status("VmRSS")


def peak_size() -> int:
    """Return the greatest resident size since :func:`reset_peak`, in bytes."""
    return _status("VmHWM")


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def _measure_requests(uri: str, database: str, name: str, size: int, query: str, requests: int) -> dict[str, Any]:
    with MongoClient(uri) as client:
        # A small request first, so that connecting and importing are not counted.
        request(ours(client[database][name], ObjectId))()
        send = request(ours(client[database][name], lambda: owner_of(size)), query)
        reset_peak()
        before = resident_size()
        with ThreadPoolExecutor(requests) as pool:
            response = max(pool.map(lambda _: len(send()), range(requests)))
        return {"growth": peak_size() - before, "response": response, "left": resident_size() - before}


if __name__ == "__main__":
    *names, size, query, requests = sys.argv[1:]
    print(json.dumps(_measure_requests(*names, int(size), query, int(requests))))
