"""Servers with one worker each, and load tests."""

import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from peers import SECRET
from servers import free_port

HERE = Path(__file__).parent
CONNECTIONS = 8
_THREADS = "4"


def commands(port: int) -> dict[str, list[str]]:
    """Return the commands of the available servers, and print the names of the others."""
    gunicorn = [
        *(
            "-m",
            "gunicorn",
            "--worker-class",
            "gthread",
            "--workers",
            "1",
            "--threads",
            _THREADS,
            "--log-level",
            "error",
        )
    ]
    granian = [*("-m", "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", _THREADS)]
    found = {
        "ours on gunicorn": [sys.executable, *gunicorn, "--bind", f"127.0.0.1:{port}", "served:app"],
        "ours on granian": [
            *(sys.executable, *granian, "--host", "127.0.0.1", "--port", str(port), "--no-ws", "--log-level", "error"),
            "served:app",
        ],
    }
    node = shutil.which("node")
    if node is None:
        print("Express + Mongoose is left out: no node on this machine", flush=True)
    elif not (HERE / "express" / "node_modules").exists():
        print("Express + Mongoose is left out: run `npm install` in tests/benchmarks/express", flush=True)
    else:
        found["Express + Mongoose"] = [node, str(HERE / "express" / "server.js")]
    return found


@contextlib.contextmanager
def running(name: str, uri: str, database: str) -> Iterator[int]:
    """Run a server on a free port until the block ends."""
    port = free_port()
    environment = {"MONGODB_URI": uri, "DATABASE": database, "SECRET": SECRET, "PORT": str(port)}
    python_path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        commands(port)[name],
        cwd=HERE,
        env=os.environ | environment | {"NODE_ENV": "production", "PYTHONPATH": python_path},
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                get(port, "")
                break
            except (OSError, HTTPException):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def get(port: int, token: str) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", "/api/usage", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().read()


def loader() -> str:
    return "wrk" if shutil.which("wrk") else "a Python client"


def load(port: int, token: str, seconds: int) -> float:
    """Send requests over several keep-alive connections, and return the responses per second."""
    if not shutil.which("wrk"):
        return _python_load(port, token, seconds)
    header = f"Authorization: Bearer {token}"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", header, f"http://127.0.0.1:{port}/api/usage"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30)
    if "Non-2xx" in run.stdout or "Socket errors" in run.stdout:
        raise RuntimeError(run.stdout)
    found = re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)
    assert found is not None
    return float(found[1])


def _python_load(port: int, token: str, seconds: int) -> float:
    responses: list[int] = []
    until = time.monotonic() + seconds

    def get_usage() -> None:
        number = 0
        with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            while time.monotonic() < until:
                connection.request("GET", "/api/usage", headers={"Authorization": f"Bearer {token}"})
                response = connection.getresponse()
                response.read()
                number += response.status == 200
        responses.append(number)

    threads = [threading.Thread(target=get_usage) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(responses) / seconds


def throughput(ports: dict[str, int], tokens: dict[int, str], *, rounds: int, seconds: int) -> dict[int, dict]:
    """Load every server in every round, and return the requests per second by size and server: median and best."""
    found: dict[int, dict] = {}
    for size, token in tokens.items():
        rates: dict[str, list[float]] = {name: [] for name in ports}
        for port in ports.values():
            load(port, token, 1)  # warm up just-in-time compilers
        for _ in range(rounds):
            for name, port in ports.items():
                rates[name].append(load(port, token, seconds))
        found[size] = {name: {"median": statistics.median(rate), "best": max(rate)} for name, rate in rates.items()}
    return found
