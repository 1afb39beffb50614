"""A host application with the element, whose responses a test can replace."""

import contextlib
import threading
import time
from datetime import UTC, datetime, timedelta

import mongomock
from flask import Flask, Response, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server

from flask_usage_stats import ProjectStore, UsageHistory, create_usage_blueprint

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Usage</title>{head}
<script type="module" src="{prefix}/api/usage/usage-stats.js"></script></head>
<body><main><h1>Account</h1>{body}</main></body>
</html>"""
ROOT = "document.querySelector('usage-stats').shadowRoot"
ELEMENT = '<usage-stats {}><a slot="unauthenticated" href="/login">Sign in</a></usage-stats>'
PROJECTS = (
    ("api-service", "node", "live", "business", 89456),
    ("my-portfolio", "Static", "live", "pro", 25430),
    ("blog", "static", "live", "Pro", 12890),
    ("docs-site", "static", "stopped", "free", 1203),
    ("worker", "docker", "live", None, 640),
    ("auth", "node", "stopped", None, 7),
    ("test-app", "node", "stopped", "free", 0),
)


def get_today():
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


class Host:
    """An application with the element, over mongomock. Attributes change what it does."""

    def __init__(self, prefix=""):
        database = mongomock.MongoClient().platform
        self.projects, self.days = database.projects, database.usage_history
        self.prefix = prefix
        self.owner = "ada"  # or None
        self.cookie = None  # the name and the value of the one that is required, if any
        self.tokens = None  # the accepted ones, if tokens are required
        self.cross = False  # whether other origins may send requests
        self.maximum_age = None  # what a cache may keep, in seconds
        self.replace = None  # a function of the path that returns a response, or None
        self.requests = []  # (path, query, headers) of the API
        self.html = ""
        self.headers = {}
        app = Flask("host")
        history = UsageHistory(self.days)
        app.register_blueprint(
            create_usage_blueprint(
                ProjectStore(self.projects), authenticate=self.authenticate, history=history, element=True
            )
        )
        app.before_request(self.before)
        app.after_request(self.after)
        app.add_url_rule("/page", "page", lambda: Response(self.html, headers=self.headers))
        app.add_url_rule("/projects/<path:name>", "project", lambda name: f"<p>{name}</p>")
        app.add_url_rule("/login", "login", lambda: "<p>Please sign in.</p>")
        empty = Flask("empty")
        application = DispatcherMiddleware(empty, {prefix: app}) if prefix else app
        self.server = make_server("127.0.0.1", 0, application, threaded=True)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"

    def authenticate(self):
        if self.tokens is None:
            name, _, value = (self.cookie or "").partition("=")
            return self.owner if request.cookies.get(name, "") == value else None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return "ada" if scheme == "Bearer" and token in self.tokens else None

    def before(self):
        if request.method == "OPTIONS" or not request.path.startswith("/api/") or request.path.endswith(".js"):
            return None
        self.requests.append((request.path, request.args.to_dict(flat=False), dict(request.headers)))
        return self.replace(request.path) if self.replace else None

    def after(self, response):
        if self.maximum_age:
            response.headers["Cache-Control"] = f"max-age={self.maximum_age}"
        if self.cross:
            response.headers["Access-Control-Allow-Origin"] = "*"
            response.headers["Access-Control-Allow-Headers"] = "Authorization, If-None-Match"
            response.headers["Access-Control-Expose-Headers"] = "ETag"
        return response

    def fill(self, projects=PROJECTS):
        self.projects.delete_many({})
        for number, (name, project_type, status, plan, requests) in enumerate(projects):
            document = {"_id": number, "owner": "ada", "name": name, "projectType": project_type, "status": status}
            document |= {"totalRequest": requests, "createdAt": datetime(2024, 1, 1) + timedelta(days=number)}
            document |= {"updatedAt": datetime(2024, 3, 1) + timedelta(days=number)} | ({"plan": plan} if plan else {})
            self.projects.insert_one(document)

    def fill_history(self, counts, since):
        """Insert requests of the first project by age in days, and since how many days requests are counted."""
        today = get_today().replace(tzinfo=None)
        self.days.delete_many({})
        self.days.insert_one({"_id": "since", "at": today - timedelta(days=since), "format": 1})
        for age, count in counts.items():
            day = {"p": 0, "d": today - timedelta(days=age)}
            self.days.insert_one({"_id": day, "n": count, "q": {"0": count}, "w": {}})

    def queries(self, path="/api/usage"):
        """Return the queries of the requests of a path."""
        return [{name: values[0] for name, values in query.items()} for each, query, _ in self.requests if each == path]


def error_response(status, message="Failed to fetch usage stats"):
    return Response(f'{{"success":false,"message":"{message}"}}', status, mimetype="application/json")


@contextlib.contextmanager
def serve(prefix=""):
    host = Host(prefix)
    thread = threading.Thread(target=host.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield host
    finally:
        host.server.shutdown()
        thread.join()
        host.server.server_close()


def settle(page):
    """Wait until every element has loaded, and has nothing more to do."""
    page.wait_for_function(
        "() => [...document.querySelectorAll('usage-stats')].every((element) =>"
        " element.shadowRoot?.querySelector('[part=base]').getAttribute('aria-busy') === 'false'"
        " && (events.length || element.getAttribute('auth')))"
    )


def run(page, script):
    """Return the value of an expression about the ``element``, its shadow tree ``root`` and the ``UsageStats`` class."""
    return page.evaluate(
        "async () => { const element = document.querySelector('usage-stats'), root = element.shadowRoot,"
        f" UsageStats = element.constructor; return {script}; }}"
    )


def wait_for_events(page, number):
    """Wait for a number of events since the page was opened, and return their types."""
    page.wait_for_function("(number) => events.length >= number", arg=number)
    return page.evaluate("events.map(([type]) => type)")


@contextlib.contextmanager
def hold_responses(host, matches=lambda path: True):
    """Hold the responses to the requests that match until the block ends."""
    end = threading.Event()
    host.replace = lambda path: end.wait(10) and None if matches(path) else None
    try:
        yield
    finally:
        end.set()
        host.replace = None


def wait_for_requests(host, number):
    """Wait until the host has received a number of requests."""
    deadline = time.monotonic() + 10
    while len(host.requests) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stop_clock(clock):
    """Let the time of the page stand still, but for ``clock.run_for()``."""
    now = datetime.now(UTC)
    clock.install(time=now)
    clock.pause_at(now + timedelta(seconds=1))


def names(page):
    """Return the names in the ranking."""
    return page.locator("[part=row] [part=link]").all_inner_texts()
