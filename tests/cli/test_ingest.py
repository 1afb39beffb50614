"""``flask usage ingest`` counts the requests in an access log, and says what became of the lines."""

import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from unittest.mock import Mock

import click
import mongomock
import pytest

from flask_usage_stats import ProjectStore, UsageHistory


def line(host="blog.example", method="GET"):
    now = datetime.now(UTC).isoformat()
    return json.dumps({"RequestHost": host, "StartUTC": now, "RequestMethod": method}) + "\n"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "access.log"


@pytest.fixture
def projects(any_projects):
    any_projects.insert_one({"_id": "blog", "domains": ["blog.example"]})
    return any_projects


@pytest.fixture
def ingest(flask, projects, log):
    """Run the command with the log."""

    def ingest(*options, log=log, history=None, **environment):
        return flask(ProjectStore(projects), "ingest", str(log), *options, history=history, **environment)

    return ingest


def test_summary(ingest, log, projects):
    """The output says what became of the lines, and the errors have the most frequent unknown hosts."""
    hosts = [f"h{number}.example" for number in range(12) for _ in range(12 - number)]
    log.write_text("".join([line(), line(), *map(line, hosts), line(method="HEAD"), "GET / 200\n", "\n"]))
    result = ingest()
    assert (result.exit_code, result.stdout) == (0, "2 counted, 78 unknown, 2 unreadable, 1 skipped\n")
    assert result.stderr.splitlines() == [f"unknown host h{number}.example: {12 - number}" for number in range(10)]
    assert projects.find_one({"_id": "blog"})["totalRequest"] == 2
    result = ingest()
    assert (result.exit_code, result.output) == (0, "0 counted, 0 unknown, 0 unreadable, 0 skipped\n")


def test_requests_without_a_host(ingest, log):
    """They are counted as those of an unknown host."""
    log.write_text(line("") * 2)
    result = ingest()
    assert (result.exit_code, result.stdout) == (0, "0 counted, 2 unknown, 0 unreadable, 0 skipped\n")
    assert result.stderr == "unknown host (none): 2\n"


def test_history(ingest, log, projects):
    """With a history, the requests are in it as well."""
    history = projects.database.usage_history
    log.write_text(line() * 3)
    assert ingest(history=UsageHistory(history)).stdout.startswith("3 counted, ")
    assert [day["n"] for day in history.find({"_id.p": "blog"})] == [3]


def test_host_field_and_format(ingest, log, projects):
    """The options choose where hosts are stored and how lines are read."""
    projects.insert_one({"_id": "shop", "edge": {"name": "shop.example"}})
    log.write_text(line("shop.example"))
    assert ingest("--host-field", "edge.name", "--format", "caddy").stdout == "0 counted, 0 unknown, 1 unreadable, 0 skipped\n"  # fmt: skip
    log.with_name("access.log.usage-state").unlink()
    assert ingest("--host-field", "edge.name", "--format", "traefik").stdout.startswith("1 counted, ")


def test_unknown_hosts_are_escaped(ingest, log):
    """A host name cannot control the terminal."""
    log.write_text(line("\x1b[31mred\u202e") + line("a b"))
    result = ingest()
    assert "unknown host \\x1b[31mred\\u202e: 1\n" in result.stderr


def test_dropped_requests(ingest, log, projects, caplog):
    """What could not be added is said, and is not counted."""
    projects.update_one({"_id": "blog"}, {"$set": {"totalRequest": "many"}})
    log.write_text(line() * 2)
    result = ingest()
    assert (result.exit_code, result.stdout) == (0, "0 counted, 0 unknown, 0 unreadable, 0 skipped, 2 dropped\n")
    assert caplog.messages == ["counts of 2 requests were dropped: uncountable 2"]


def test_errors(ingest, log, flask, tmp_path):
    """Each is one line that says what to do."""
    assert ingest().stderr == f"Error: there is no log {log}\n"
    log.write_text(line())
    log.with_name("access.log.usage-state").write_text("{")
    result = ingest()
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the state ")
    assert result.stderr.endswith("is damaged: remove it to count the log again from its beginning\n")
    result = ingest("--state", str(log.with_name("state")), log=tmp_path)
    assert (result.exit_code, result.stdout.count("\n")) == (1, 1)
    assert result.stderr == f"Error: the log {tmp_path} cannot be opened: Is a directory\n"
    os.mkfifo(tmp_path / "pipe")
    result = flask(ProjectStore(mongomock.MongoClient().db.projects), "ingest", str(tmp_path / "pipe"))
    assert (result.exit_code, result.stderr) == (2, "Error: a log that is not a file requires --state\n")


def test_a_custom_store(flask, log):
    """Only projects in MongoDB can be counted."""

    class Store:
        def iter_projects(self, _owner):
            return []

    result = flask(Store(), "ingest", str(log))
    assert (result.exit_code, result.stderr) == (1, "Error: ingest requires a ProjectStore; this store is a Store\n")


class TestRunning:
    @pytest.fixture
    def projects(self):
        projects = mongomock.MongoClient().platform.projects
        projects.insert_one({"_id": "blog", "domains": ["blog.example"]})
        return projects

    @pytest.mark.parametrize(("number", "options", "code"), [(signal.SIGTERM, ["--follow"], 0), (signal.SIGINT, [], 1)])
    def test_signals(self, ingest, log, projects, number, options, code):
        """What was read is counted before the command ends, and the handlers of the process are restored."""
        handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        if options:
            log.write_text(line() * 3)
        else:
            os.mkfifo(log)
            options = ["--state", str(log.with_name("state"))]

        def interrupt():
            if not log.is_file():
                file = os.open(log, os.O_WRONLY)
                os.write(file, line().encode() * 3)
            time.sleep(1)
            os.kill(os.getpid(), number)
            time.sleep(1)

        thread = threading.Thread(target=interrupt)
        thread.start()
        result = ingest(*options)
        thread.join()
        assert (result.exit_code, result.output) == (code, "3 counted, 0 unknown, 0 unreadable, 0 skipped\n")
        assert projects.find_one({"_id": "blog"})["totalRequest"] == 3
        assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers

    def test_in_a_thread(self, ingest, log):
        """Only the main thread can handle signals, but another one can count."""
        log.write_text(line())
        with ThreadPoolExecutor() as pool:
            result = pool.submit(ingest).result()
        assert (result.exit_code, result.output) == (0, "1 counted, 0 unknown, 0 unreadable, 0 skipped\n")

    def test_a_summary_each_minute(self, ingest, log, monkeypatch):
        """A followed log has a summary each minute."""
        monkeypatch.setattr("flask_usage_stats._cli.ingest._SUMMARY_INTERVAL", 0.3)
        monkeypatch.setattr("flask_usage_stats._recording.ingest._INTERVAL", 0.1)
        log.write_text(line())
        threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        lines = ingest("--follow").stdout.splitlines()
        assert len(lines) > 2
        assert set(lines[1:]) == {"1 counted, 0 unknown, 0 unreadable, 0 skipped"}


def test_progress(ingest, log, monkeypatch):
    """Where somebody looks, a bar is shown on standard error; the output is the same."""
    log.write_text(line() * 3)
    monkeypatch.setattr("flask_usage_stats._cli.ingest.sys", Mock(stderr=Mock(isatty=lambda: True)))
    result = ingest(FORCE_COLOR="1", TERM="xterm", COLUMNS="120")
    assert result.stdout == "3 counted, 0 unknown, 0 unreadable, 0 skipped\n"
    assert "access.log ━" in click.unstyle(result.stderr)


def test_progress_without_rich(ingest, log, monkeypatch):
    """Without rich, there is no bar, and everything is counted."""
    monkeypatch.setattr("flask_usage_stats._cli.ingest.sys", Mock(stderr=Mock(isatty=lambda: True)))
    monkeypatch.setitem(sys.modules, "flask_usage_stats._cli.progress", None)
    log.write_text(line() * 3)
    result = ingest()
    assert result.output == "3 counted, 0 unknown, 0 unreadable, 0 skipped\n"
