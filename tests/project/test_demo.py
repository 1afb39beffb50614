"""The demo starts, serves requests and stops as the quickstart describes."""

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from support import ROOT, import_example

DEMO = ROOT / "examples" / "demo.py"


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, str(DEMO), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def fails(*arguments):
    """Run a demo that cannot start, and return its error line."""
    run = subprocess.run(
        [sys.executable, str(DEMO), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 1
    assert run.stdout == ""
    (line,) = run.stderr.splitlines()
    return line


@pytest.fixture
def demo():
    """Yield a function that starts a demo and returns its curl commands; stop each demo with a signal."""
    running = []

    def run(*arguments, end=signal.SIGTERM):
        process = start("--port", "0", *arguments)
        running.append((process, end))
        text = ""
        while "login\n" not in text:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            text += line
        return [line.strip() for line in text.splitlines() if line.strip().startswith("curl")]

    yield run
    for process, end in running:
        process.send_signal(end)
        _, log = process.communicate(timeout=10)
        assert process.returncode == 0
        assert log == ""


def paste(line):
    """Send the request of a printed curl command."""
    words = shlex.split(line)
    assert words[0] == "curl"
    headers = dict(words[index + 1].split(": ", 1) for index, word in enumerate(words) if word == "-H")
    data = words[words.index("-d") + 1].encode() if "-d" in words else None
    with urllib.request.urlopen(urllib.request.Request(words[-1], data, headers), timeout=10) as response:
        return json.load(response)


def daily_requests(line):
    """Send the request of the history. After midnight in UTC, the last two days are not those of the start."""
    requests = [bucket["totalRequests"] for bucket in paste(line)["buckets"]]
    assert len(requests) == 30
    return requests


def documented_response():
    """Return the first response of the HTTP API page."""
    return json.loads(
        re.search(r"^\{.*?(?=^```)", (ROOT / "docs" / "http-api.md").read_text(), re.DOTALL | re.MULTILINE)[0]
    )


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_printed_lines(demo, end):
    """Each printed command works when pasted; the first returns the response of the HTTP API page, key for key."""
    as_demo, as_guest, visit, history, login = demo(end=end)
    assert json.dumps(paste(as_demo)) == json.dumps(documented_response())
    assert [row["name"] for row in paste(as_guest)["projectStats"]] == ["notes"]
    token = paste(login)["token"]
    assert paste(re.sub(r"Bearer [^']*", f"Bearer {token}", as_demo)) == documented_response()
    assert all(daily_requests(history)[:28])
    before = sum(daily_requests(history))
    assert paste(visit) == {"message": "This is blog."}
    counted = documented_response()["totalRequests"] + 1
    deadline = time.monotonic() + 10
    while paste(as_demo)["totalRequests"] != counted or sum(daily_requests(history)) != before + 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_real_server(demo, mongodb_uri, mongo_client, database):
    """On a real server the demo inserts missing documents and keeps existing ones unchanged."""
    address = f"{mongodb_uri}/{database.name}"
    database.demo_projects.insert_one({"_id": 1, "owner": "someone"})
    as_demo, *_ = demo("--mongodb", address)
    database.demo_projects.update_one({"name": "blog"}, {"$set": {"totalRequest": 10**6}})
    assert paste(as_demo)["projectStats"][0]["name"] == "blog"
    blog = database.demo_projects.find_one({"name": "blog"})["_id"]
    *_, latest = database.demo_history.find({"_id.p": blog}).sort("_id")
    database.demo_history.update_one({"_id": latest["_id"]}, {"$set": {"n": 10**6}})
    as_demo, *_, history, _ = demo("--mongodb", address)
    assert paste(as_demo)["projectStats"][0]["totalRequest"] == 10**6
    assert database.demo_projects.count_documents({}) == 8
    assert all(daily_requests(history)[:28])
    assert max(daily_requests(history)) > 10**6


@pytest.mark.parametrize("time_of_day", [timedelta(0), timedelta(minutes=14), timedelta(hours=9, minutes=40)], ids=str)
@pytest.mark.parametrize("today", [datetime(2026, 3, 30, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)], ids=str)
def test_past_days(today, time_of_day):
    """The days of the history add up, until now, and to no more than the counts of the projects."""
    demo, total = import_example("demo"), Counter()
    since, *days = demo.past_days(today + time_of_day)
    for day in days:
        assert day["n"] == sum(day["q"].values())
        assert since["at"] <= day["_id"]["d"] <= today
        latest = day["_id"]["d"] + max(int(quarter) + 1 for quarter in day["q"]) * timedelta(minutes=15)
        assert latest <= today + time_of_day
        total[day["_id"]["p"]] += day["n"]
    counts = {each["_id"]: each["totalRequest"] for each in demo.PROJECTS if each["status"] == "live"}
    assert total.keys() == counts.keys()
    assert total < Counter(counts)


def test_projects_of_the_demo():
    """A visit to a live project is counted; a stopped one says so, and a deleted one is not there."""
    demo = import_example("demo")
    database = demo.open_database(None)
    demo.fill(database)
    client = demo.create_app(database).test_client()
    assert client.get("/sites/docs-site").json == {"message": "docs-site is stopped."}
    assert client.get("/sites/old-shop").status_code == 404


def test_busy_port():
    """A port that is in use results in one line that names the option to change."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        assert "Choose another with --port." in fails("--port", str(busy.getsockname()[1]))


def test_no_port():
    """An invalid port number results in one line that names the option to change."""
    assert "Choose another with --port." in fails("--port", "70000")


@pytest.mark.parametrize(
    "address", ["mongodb://user:secret@127.0.0.1:9", "mongodb://", "nonsense://x", "mongodb+srv://x"]
)
def test_unreachable_server(address):
    """An unreachable server or an invalid URI results in one line that does not contain the URI."""
    line = fails("--port", "0", "--mongodb", address)
    assert "Check --mongodb." in line
    assert "secret" not in line


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"username": "demo", "password": "x"}', b'{"username": {"$ne": 1}, "password": 1}']
)
def test_wrong_login(body):
    """An invalid or malformed login is rejected."""
    demo = import_example("demo")
    database = demo.open_database(None)
    demo.fill(database)
    client = demo.create_app(database).test_client()
    assert client.post("/api/login", data=body, content_type="application/json").status_code == 401
