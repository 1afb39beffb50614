"""Every server counts exactly the requests that it has answered, in all its processes."""

import http.client
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from hosts.serving import serve

APPLICATION = """
from flask import Flask, g

from flask_usage_stats import ProjectStore, UsageHistory, UsageRecorder

app = Flask("host")
history = UsageHistory(lambda: projects().database.usage_history)
recorder = UsageRecorder(ProjectStore(projects), history=history, interval=3600)
recorder.init_app(app, project_id=lambda: g.get("project"))


@app.get("/count")
def count():
    g.project = "blog"
    return str(os.getpid())


@app.get("/ready")
def ready():
    return str(os.getpid())
"""
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
UWSGI = [
    "-c",
    "import pyuwsgi; pyuwsgi.run()",
    "--http-socket",
    "127.0.0.1:{port}",
    "--module",
    "served:app",
    "--workers",
    "2",
    "--master",
    "--enable-threads",
    # By default, workers that are finishing a request do not call Python's exit functions.
    "--hook-master-start",
    "unix_signal:15 gracefully_kill_them_all",
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
    "uwsgi": ([*UWSGI], signal.SIGTERM),
    "uwsgi, lazy": ([*UWSGI, "--lazy-apps"], signal.SIGTERM),
    "uwsgi, threads": ([*UWSGI, "--threads", "4", "--lazy-apps"], signal.SIGTERM),
    "uwsgi, new workers": ([*UWSGI, "--max-requests", "20"], signal.SIGTERM),
    "flask": (["-m", "flask", "--app", "served:app", "run", "--port", "{port}"], signal.SIGINT),
}


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
    """The count and the history have all requests, although they are only written when the processes exit."""
    command, stop = SERVERS[name]
    if name.startswith("uwsgi"):
        pytest.importorskip("pyuwsgi", reason="there is no pyuwsgi for this system")
    (tmp_path / "gevent_config.py").write_text("from gevent import monkey\n\nmonkey.patch_all()\n")
    projects.insert_one({"_id": "blog"})
    ready = set()

    def is_ready(port):
        """Wait for all workers: a server that is stopped while one is starting may wait for it without end."""
        ready.add(send(port, "/ready"))
        return len(ready) == (2 if "--workers" in command else 1)

    database = mongodb_uri, projects.database.name
    with serve(tmp_path, APPLICATION, command, database, is_ready, stop) as (port, log):
        processes = send_requests(port)
    assert "Traceback" not in log.read_text()
    document = projects.find_one()
    assert document["totalRequest"] == REQUESTS, log.read_text()
    assert len(document["usageWriters"]) == len(processes)
    days = projects.database.usage_history.find({"_id.p": "blog"})
    assert sum(day["n"] for day in days) == REQUESTS
