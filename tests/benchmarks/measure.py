"""Measure the time and memory of callables in turn, so that other load on the machine affects all of them."""

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


def side_by_side(
    actions: Mapping[str, Callable[[], object]], *, rounds: int, repeat: int
) -> dict[str, dict[str, float]]:
    """Time every action in every round, and return medians and minima in seconds: CPU (of this process) and wall.

    The result of an action is freed within the measured time, as in a request.
    """
    cpu: dict[str, list[float]] = {name: [] for name in actions}
    wall: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            for _ in range(repeat):
                action()
            cpu[name].append((time.process_time() - began_cpu) / repeat)
            wall[name].append((time.perf_counter() - began) / repeat)
    return {
        name: {
            "cpu_min": min(cpu[name]),
            "cpu_median": statistics.median(cpu[name]),
            "wall_min": min(wall[name]),
            "wall_median": statistics.median(wall[name]),
        }
        for name in actions
    }


def memory(uri: str, database: str, collection: str, size: int, query: str = "", requests: int = 1) -> dict[str, int]:
    """Send requests at once in a new process, and return the growth of its peak and a body's size, in bytes.

    ``left`` is the growth when all requests are done.
    """
    command = [sys.executable, Path(__file__), uri, database, collection, str(size), query, str(requests)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def _measure_requests(uri: str, database: str, name: str, size: int, query: str, requests: int) -> dict[str, Any]:
    with MongoClient(uri) as client:
        # A small request first, so that connecting and importing are not counted.
        request(ours(client[database][name], ObjectId))()
        send = request(ours(client[database][name], lambda: owner_of(size)), query)
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the current size
        before = _status("VmRSS")
        with ThreadPoolExecutor(requests) as pool:
            response = max(pool.map(lambda _: len(send()), range(requests)))
        return {"growth": _status("VmHWM") - before, "response": response, "left": _status("VmRSS") - before}


if __name__ == "__main__":
    *names, size, query, requests = sys.argv[1:]
    print(json.dumps(_measure_requests(*names, int(size), query, int(requests))))
