"""Requests to real proxies, with the documented configurations, are counted exactly from their access logs.

Traefik is not a package of Debian, so its lines are made of its documented fields.
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime

import pytest
from hosts.serving import COLLECTION
from pymongo import MongoClient
from servers import free_port
from support import ROOT, CommandRecorder

from flask_usage_stats import ProjectStore, UsageHistory
from flask_usage_stats._mongodb.host_lookup import HostLookup

PAGE = (ROOT / "docs" / "edge.md").read_text()
APPLICATION = """
from flask import Flask

from flask_usage_stats import ProjectStore, UsageHistory, create_usage_blueprint

app = Flask("edge")
history = UsageHistory(lambda: projects().database.usage_history)
app.register_blueprint(create_usage_blueprint(ProjectStore(projects), authenticate=lambda: None, history=history))
"""
PROJECTS = [
    {"_id": "blog", "domains": ["Blog.example", "bücher.example", "2001:db8::1"]},
    {"_id": "shop", "domains": "shop.example."},
]
#: What must not be anywhere but in the log.
SECRET = "s3cret"
#: Headers with characters that JSON must escape, and bytes that are not UTF-8.
HEADERS = {
    "User-Agent": f'"{SECRET}" \\ \t / \xe9\xff',
    "Cookie": f"session={SECRET}",
    "Referer": f"https://{SECRET}.example",
}
#: Each request, and its project: ``None`` if no project has the host, "skipped" if it is not counted.
REQUESTS = [
    ("GET", "BLOG.example", "blog"),
    ("GET", "blog.example:8080", "blog"),
    ("POST", "blog.example.", "blog"),
    ("GET", "[2001:DB8::1]", "blog"),
    ("DELETE", "[2001:db8:0::1]:8080", "blog"),
    ("GET", "xn--bcher-kva.example", "blog"),
    ("GET", "shop.example", "shop"),
    ("GET", "wiki.example", None),
    ("HEAD", "blog.example", "skipped"),
    ("OPTIONS", "blog.example", "skipped"),
]
SUMMARY = "7 counted, 1 unknown, 0 unreadable, 2 skipped\n"
UNKNOWN = "unknown host wiki.example: 1\n"
#: A configuration of Caddy that writes its other logs to the same file as well.
SINGLE_LOG = """{
	admin off
	debug
	log {
		output file /var/log/caddy/usage.log
	}
}
:80 {
	log
	reverse_proxy 127.0.0.1:8080
}
"""


def get_block(heading, number=0):
    """Return a configuration, or another block, of a section of the page."""
    section = PAGE.partition(f"\n### {heading}\n")[2].partition("\n##")[0]
    return re.findall(r"^```\w*\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)[number]


class Proxy:
    """A proxy that is running. Nothing responds to what it passes on, so every response is an error of its own.

    :param folder: for its files.
    :param configuration: a documented one; its paths and ports are replaced.
    """

    #: The arguments, in which the folder is replaced.
    command: tuple[str, ...]

    def complete(self, configuration):
        """Return a configuration that does not use anything outside of the folder."""
        raise NotImplementedError

    def rotate(self, send):
        """Let the log be rotated, and send requests before and after."""
        raise NotImplementedError

    def __init__(self, folder, configuration):
        self.port, self.log = free_port(), folder / "usage.log"
        self.folder, self.process = folder, None
        for old, new in (
            (r"/var/log/\w+/usage\.log", str(self.log)),
            (r"(listen |^:)80\b", rf"\g<1>{self.port}"),
            (r"127\.0\.0\.1:8080", f"127.0.0.1:{free_port()}"),
        ):
            configuration, replaced = re.subn(old, new, configuration, flags=re.MULTILINE)
            assert replaced == 1
        (folder / "configuration").write_text(self.complete(configuration))

    def send(self, requests, path="/", headers=()):
        """Send requests on one connection, and wait for the response to each."""
        header = "".join(f"{name}: {value}\r\n" for name, value in dict(headers).items())
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            for method, host, *_ in requests:
                data = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{header}Content-Length: 0\r\n\r\n"
                connection.sendall(data.encode("latin-1"))
                response = http.client.HTTPResponse(connection, method=method)
                response.begin()
                assert response.status == 502
                response.read()

    def wait_for(self, is_ready):
        deadline = time.monotonic() + 30
        while not is_ready():
            assert self.process.poll() is None, (self.folder / "errors").read_text()
            assert time.monotonic() < deadline, (self.folder / "errors").read_text()
            time.sleep(0.02)

    def count_lines(self, pattern=""):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return sum(re.search(pattern, line) is not None for line in text.splitlines())

    def is_listening(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False

    @contextlib.contextmanager
    def run(self):
        name, *arguments = (part.replace("{folder}", str(self.folder)) for part in self.command)
        program = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin")
        if program is None:
            pytest.skip(f"{name} is not installed")
        environment = os.environ | dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(self.folder))
        with (self.folder / "errors").open("wb") as errors:
            self.process = subprocess.Popen([program, *arguments], env=environment, stdout=errors, stderr=errors)
        try:
            self.wait_for(self.is_listening)
            yield self
        finally:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Nginx(Proxy):
    command = ("nginx", "-p", "{folder}", "-c", "{folder}/configuration", "-g", "daemon off;")

    def complete(self, configuration):
        main = f"pid {self.folder}/pid;\nerror_log {self.folder}/errors;\n"
        if os.geteuid() == 0:
            main += "user root;\n"  # otherwise, the workers could not open the log again in this folder
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in kinds)
        return main + configuration.replace("http {\n", f"http {{\n{paths}", 1)

    def rotate(self, send):
        """Rename the log, as logrotate does, and send requests before and after nginx opens the new one."""
        self.log.rename(f"{self.log}.1")
        send()
        self.process.send_signal(signal.SIGUSR1)
        self.wait_for(self.log.exists)
        send()


class Caddy(Proxy):
    command = ("caddy", "run", "--adapter", "caddyfile", "--config", "{folder}/configuration")

    def complete(self, configuration):
        if not configuration.startswith("{"):
            configuration = f"{{\nadmin off\n}}\n{configuration}"
        return configuration.replace("roll_uncompressed", "roll_uncompressed\nroll_size 1MiB")

    def rotate(self, send):
        """Send requests until Caddy rotates the log."""
        for _ in range(50):  # about 2 MB
            if list(self.folder.glob("usage-*.log")):
                break
            send()
        send()


def use_all_fields(configuration):
    """Let nginx log fields in which clients can send anything."""
    fields = ("request_uri", "http_user_agent", "http_cookie", "http_referer", "remote_addr")
    more = "".join(f',"{name}":"${name}"' for name in fields)
    return configuration.replace("\"}'", f"\"{more}}}'")


PROXIES = {
    "nginx": (Nginx, get_block("nginx")),
    "nginx, all fields": (Nginx, use_all_fields(get_block("nginx"))),
    "caddy": (Caddy, get_block("Caddy")),
    "caddy, single log": (Caddy, SINGLE_LOG),
}


@pytest.fixture
def proxy(request, tmp_path):
    kind, configuration = PROXIES[request.param]
    folder = tmp_path / "proxy"
    folder.mkdir()
    with kind(folder, configuration).run() as proxy:
        yield proxy


@pytest.fixture
def filled(projects):
    projects.insert_many(PROJECTS)
    return projects


@pytest.fixture
def ingest(app_factory, filled):
    """Run the command to the end of a log, and return its output and its errors, in this order."""

    def ingest(log, *options):
        app = app_factory(ProjectStore(filled), history=UsageHistory(filled.database.usage_history))
        result = app.test_cli_runner().invoke(args=["usage", "ingest", *options, str(log)])
        assert result.exit_code == 0, result.output
        return result.output

    return ingest


@pytest.fixture
def stored(filled):
    """Return the requests of each project, which the history must have as well."""

    def stored():
        days = Counter()
        for day in filled.database.usage_history.find({"_id": {"$ne": "since"}}):
            assert sum(day["q"].values()) == day["n"]
            days[day["_id"]["p"]] += day["n"]
        counts = Counter({each["_id"]: each.get("totalRequest", 0) for each in filled.find()})
        assert counts == days
        return dict(counts)

    return stored


def dump(database):
    return "".join(str(document) for name in database.list_collection_names() for document in database[name].find())


@pytest.mark.parametrize("proxy", PROXIES, indirect=True)
def test_requests_are_counted_exactly(proxy, ingest, stored, filled):
    """Each request is counted once, and nothing else of it is kept or printed."""
    others = proxy.count_lines()  # messages of Caddy, if its logs are in one file
    proxy.send(REQUESTS, f"/{SECRET}?q={SECRET}", HEADERS)
    proxy.wait_for(lambda: proxy.count_lines('"request_method":|"handled request"') == len(REQUESTS))
    output = ingest(proxy.log)
    assert (re.sub(r"\d+ unreadable", "0 unreadable", output) if others else output) == SUMMARY + UNKNOWN
    assert stored() == {"blog": 6, "shop": 1}
    state = proxy.log.with_name("usage.log.usage-state").read_text()
    for kept in (state, output, dump(filled.database)):
        assert SECRET not in kept
        assert "127.0.0.1" not in kept
    assert set(json.loads(state)) == {"format", "writer", "number", "log", "start", "end", "counts"}
    assert ingest(proxy.log).startswith("0 counted, 0 unknown, ")
    assert stored() == {"blog": 6, "shop": 1}


@contextlib.contextmanager
def following(folder, mongodb_uri, database, log):
    """Follow a log in another process, and yield the process and the file of its output."""
    (folder / "served.py").write_text(COLLECTION + APPLICATION)
    environment = os.environ | {"HOST_URI": mongodb_uri, "HOST_DATABASE": database.name}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "flask", "--app", "served:app", "usage", "ingest", "--follow", str(log)]
    output = folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file)
    try:
        yield process, output
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("proxy", ["nginx", "caddy"], indirect=True)
def test_following_over_a_rotation(proxy, tmp_path, mongodb_uri, ingest, stored, filled):
    """What is written to the renamed file and to the new one is counted once, also if the command is ended."""
    sent = Counter()

    def send(times=40):
        proxy.send(REQUESTS * times)
        sent.update({"blog": 6 * times, "shop": times, "unknown": times, "skipped": 2 * times})

    send()
    with following(tmp_path, mongodb_uri, filled.database, proxy.log) as (process, output):
        proxy.wait_for(proxy.log.with_name("usage.log.usage-state.lock").exists)
        send()
        proxy.rotate(send)

        def is_counted():
            assert process.poll() is None, output.read_text()
            return filled.find_one({"_id": "blog"}).get("totalRequest") == sent["blog"]

        proxy.wait_for(is_counted)
        process.terminate()
        assert process.wait(10) == 0, output.read_text()
    counted = sent["blog"] + sent["shop"]
    summary = f"{counted} counted, {sent['unknown']} unknown, 0 unreadable, {sent['skipped']} skipped\n"
    assert output.read_text() == f"{summary}unknown host wiki.example: {sent['unknown']}\n"
    assert stored() == {"blog": sent["blog"], "shop": sent["shop"]}
    lines = proxy.count_lines()
    send(1)
    proxy.wait_for(lambda: proxy.count_lines() == lines + len(REQUESTS))
    assert ingest(proxy.log) == SUMMARY + UNKNOWN


def traefik(number, method, host):
    """Return a line with all documented fields of Traefik, whose times are in nanoseconds."""
    name, port = re.fullmatch(r"(.*?)(?::(\d+))?", host).groups() if host[:1] != "[" else (host, None)
    start = datetime.now(UTC).replace(microsecond=number)
    fields = {
        "ClientAddr": f"192.0.2.1:{50_000 + number}",
        "ClientHost": "192.0.2.1",
        "ClientPort": str(50_000 + number),
        "ClientUsername": SECRET,
        "DownstreamContentSize": 14,
        "DownstreamStatus": 502,
        "Duration": 1_234_567,
        "OriginContentSize": 14,
        "OriginDuration": 1_200_000,
        "OriginStatus": 502,
        "Overhead": 34_567,
        "RequestAddr": host,
        "RequestContentSize": 0,
        "RequestCount": number,
        "RequestHost": name,
        "RequestMethod": method,
        "RequestPath": f"/{SECRET}?q={SECRET}",
        "RequestPort": port or "-",
        "RequestProtocol": "HTTP/1.1",
        "RequestScheme": "http",
        "RetryAttempts": 0,
        "RouterName": "sites@file",
        "ServiceAddr": "192.0.2.2:80",
        "ServiceName": "sites@file",
        "ServiceURL": "http://192.0.2.2:80",
        "StartLocal": start.isoformat(),
        "StartUTC": f"{start:%Y-%m-%dT%H:%M:%S}.{number:09}Z",
        "entryPointName": "web",
        "level": "info",
        "msg": "",
        "request_User-Agent": HEADERS["User-Agent"],
        "time": f"{start:%Y-%m-%dT%H:%M:%S}Z",
    }
    return json.dumps(fields) + "\n"


def test_traefik(tmp_path, ingest, stored, filled):
    """The lines of Traefik are counted, and nothing else of them is kept or printed."""
    log = tmp_path / "usage.log"
    lines = [traefik(number, method, host) for number, (method, host, _) in enumerate(REQUESTS)]
    log.write_text("".join(lines))
    output = ingest(log, "--format", "traefik")
    assert output == SUMMARY + UNKNOWN
    assert stored() == {"blog": 6, "shop": 1}
    for kept in (log.with_name("usage.log.usage-state").read_text(), output, dump(filled.database)):
        assert SECRET not in kept
        assert "192.0.2" not in kept


@pytest.mark.parametrize(("heading", "number"), [("Traefik", 1), ("Caddy", 1)])
def test_documented_lines(tmp_path, ingest, heading, number):
    """The lines that the page shows are readable. Those of nginx are counted on the page."""
    log = tmp_path / "usage.log"
    log.write_text(get_block(heading, number))
    assert ingest(log, "--format", heading.lower()) == "1 counted, 0 unknown, 0 unreadable, 0 skipped\n"


def test_the_documented_index_serves(filled, mongodb_uri):
    """The look-up of hosts reads only the documents that have them."""
    filled.insert_many({"domains": [f"h{number}.example"]} for number in range(100))
    (collation,) = re.findall(r'^db\.projects\.create_index\("domains", collation=(.*)\)$', PAGE, re.MULTILINE)
    filled.create_index("domains", collation=json.loads(collation))
    recorder = CommandRecorder()
    with MongoClient(mongodb_uri, event_listeners=[recorder]) as client:
        db = client[filled.database.name]
        lookup = HostLookup(ProjectStore(db.projects), "domains", 5)
        found = lookup.find(["blog.example", "shop.example", "wiki.example"])
        assert found == {"blog.example": "blog", "shop.example": "shop"}
        find = next(command for command in recorder.commands if "find" in command)
        find = {key: value for key, value in find.items() if key[0] != "$" and key not in ("lsid", "maxTimeMS")}
        plan = db.command("explain", find, verbosity="executionStats")
    assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"])
    assert plan["executionStats"]["totalDocsExamined"] == 2
