"""Every server counts exactly the requests that it has answered, in all its processes."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from servers import free_port

APPLICATION = '''
"""An application that counts its requests and writes the counts only when a process exits."""

import os
import sys

from flask import Flask, g
from pymongo import MongoClient

from flask_usage_stats import ProjectStore, UsageRecorder

clients = {}


def projects():
    pid = os.getpid()
    if pid not in clients:
        clients[pid] = MongoClient(os.environ["HOST_URI"])
    return clients[pid][os.environ["HOST_DATABASE"]].projects


app = Flask("host")
recorder = UsageRecorder(ProjectStore(projects), interval=3600)
recorder.init_app(app, project_id=lambda: g.get("project"))


@app.get("/count")
def count():
    g.project = "blog"
    return str(os.getpid())


@app.get("/ready")
def ready():
    return str(os.getpid())
'''
REQUESTS = 200
GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", "served:app"]
GRANIAN = [
    "-m",
    "granian",
    "--interface",
    "wsgi",
    "--host",
    "127.0.0.1",
    "--port",
    "{port}",
    "--workers",
    "2",
    "served:app",
]
#: A configuration that patches before the application and the driver are imported, which --preload requires.
PATCHED = ["--config", "gevent_config.py"]
SERVERS = {
    "gunicorn": ([*GUNICORN], signal.SIGTERM),
    "gunicorn, quick stop": ([*GUNICORN], signal.SIGINT),
    "gunicorn, threads": ([*GUNICORN, "--threads", "4"], signal.SIGTERM),
    "gunicorn, threads, quick stop": ([*GUNICORN, "--threads", "4"], signal.SIGQUIT),
    "gunicorn, gevent": ([*GUNICORN, "--worker-class", "gevent"], signal.SIGTERM),
    "gunicorn, gevent, preload": ([*GUNICORN, "--worker-class", "gevent", "--preload", *PATCHED], signal.SIGTERM),
    "gunicorn, preload": ([*GUNICORN, "--preload"], signal.SIGTERM),
    "gunicorn, new workers": ([*GUNICORN, "--max-requests", "20"], signal.SIGTERM),
    "granian": ([*GRANIAN], signal.SIGTERM),
    "granian, quick stop": ([*GRANIAN], signal.SIGINT),
    "flask": (["-m", "flask", "--app", "served:app", "run", "--port", "{port}"], signal.SIGINT),
}


@contextlib.contextmanager
def serve(folder, command, stop, uri, database):
    (folder / "served.py").write_text(APPLICATION)
    (folder / "gevent_config.py").write_text("from gevent import monkey\n\nmonkey.patch_all()\n")
    port, log = free_port(), folder / "log"
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {"HOST_URI": uri, "HOST_DATABASE": database, "HOME": str(folder), "PYTHONPATH": path}
    with log.open("wb") as file:
        arguments = [argument.replace("{port}", str(port)) for argument in command]
        process = subprocess.Popen(arguments, cwd=folder, env=environment, stdout=file, stderr=file)
    try:
        # A server that is stopped while a worker is starting may wait for that worker without end.
        deadline, ready = time.monotonic() + 30, set()
        while len(ready) < (2 if "--workers" in command else 1):
            assert time.monotonic() < deadline, log.read_text()
            with contextlib.suppress(OSError, http.client.HTTPException):
                ready.add(send(port, "/ready"))
            time.sleep(0.01)
        yield port
        process.send_signal(stop)
        process.wait(30)
    finally:
        process.kill()
        process.wait(30)
    assert "Traceback" not in log.read_text(), log.read_text()


def send(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200
        return response.read()
    finally:
        connection.close()


def send_requests(port):
    with ThreadPoolExecutor(8) as pool:
        return set(pool.map(lambda _: send(port, "/count"), range(REQUESTS)))


@pytest.mark.parametrize("name", SERVERS)
def test_requests_are_counted_exactly(tmp_path, mongodb_uri, projects, name):
    """The count is the number of requests, although it is only written when the processes exit."""
    command, stop = SERVERS[name]
    projects.insert_one({"_id": "blog"})
    with serve(tmp_path, [sys.executable, *command], stop, mongodb_uri, projects.database.name) as port:
        processes = send_requests(port)
    document = projects.find_one()
    assert document["totalRequest"] == REQUESTS
    assert len(document["usageWriters"]) == len(processes)
