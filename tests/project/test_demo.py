"""The demo, as a newcomer starts it."""

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from servers import free_port

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo.py"


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, str(DEMO), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def fails(*arguments):
    """Run a demo that cannot start, and give back its one line."""
    run = subprocess.run(
        [sys.executable, str(DEMO), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 1
    assert run.stdout == ""
    (line,) = run.stderr.splitlines()
    return line


@pytest.fixture
def demo():
    """Start a demo, give back its curl lines, end it by a signal and see that it ends well."""
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
        assert "Traceback" not in log


def paste(line):
    """Do what the printed curl line says."""
    words = shlex.split(line)
    assert words[0] == "curl"
    headers = dict(words[index + 1].split(": ", 1) for index, word in enumerate(words) if word == "-H")
    data = words[words.index("-d") + 1].encode() if "-d" in words else None
    with urllib.request.urlopen(urllib.request.Request(words[-1], data, headers), timeout=10) as response:
        return json.load(response)


def shown():
    """Take the answer that the README opens with."""
    return json.loads(re.search(r"```json\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_printed_lines(demo, end):
    """Each printed line works when pasted; the first answers with what the README shows, key for key."""
    as_demo, as_guest, login = demo(end=end)
    assert json.dumps(paste(as_demo)) == json.dumps(shown())
    assert [row["name"] for row in paste(as_guest)["projectStats"]] == ["notes"]
    token = paste(login)["token"]
    assert paste(re.sub(r"Bearer [^']*", f"Bearer {token}", as_demo)) == shown()


def test_real_server(demo, mongodb_uri, mongo_client, database):
    """On a real server the demo adds what is missing, and leaves what is there as it is."""
    address = f"{mongodb_uri}/{database.name}"
    database.demo_projects.insert_one({"_id": 1, "owner": "someone"})
    as_demo, *_ = demo("--mongodb", address)
    database.demo_projects.update_one({"name": "blog"}, {"$set": {"totalRequest": 10**6}})
    assert paste(as_demo)["projectStats"][0]["name"] == "blog"
    as_demo, *_ = demo("--mongodb", address)
    assert paste(as_demo)["projectStats"][0]["totalRequest"] == 10**6
    assert database.demo_projects.count_documents({}) == 8


def test_busy_port():
    """A busy port is one clear line."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        assert "choose another with --port" in fails("--port", str(busy.getsockname()[1]))


def test_no_port():
    """A number that is no port is one clear line."""
    assert "choose another with --port" in fails("--port", "70000")


@pytest.mark.parametrize(
    "address", [f"mongodb://user:secret@127.0.0.1:{free_port()}", "mongodb://", "nonsense://x", "mongodb+srv://x"]
)
def test_unreachable_server(address):
    """A server that does not answer, and an address that is none, are one clear line without the address."""
    line = fails("--port", "0", "--mongodb", address)
    assert "check --mongodb" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"username": "demo", "password": "x"}', b'{"username": {"$ne": 1}, "password": 1}']
)
def test_wrong_login(body):
    """A login that is wrong, or is none, is refused."""
    sys.path.insert(0, str(DEMO.parent))
    try:
        import demo
    finally:
        sys.path.pop(0)
    database = demo.open_database(None)
    demo.fill(database)
    client = demo.create_app(database).test_client()
    assert client.post("/api/login", data=body, content_type="application/json").status_code == 401
