"""A small demo application that shows the usage and its history in a page, and serves them to try with curl.

    python examples/demo.py

It requires flask-usage-stats and mongomock, the embedded database. ``--mongodb URI`` selects a server instead.
"""

import argparse
import contextlib
import logging
import secrets
import signal
import socket
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

import mongomock
from bson import ObjectId
from flask import Flask, abort, g, request
from flask_jwt_extended import JWTManager, create_access_token
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from werkzeug.security import check_password_hash, generate_password_hash
from werkzeug.serving import make_server

from flask_usage_stats import ProjectStore, UsageHistory, UsageRecorder, create_usage_blueprint
from flask_usage_stats.jwt import jwt_identity

USERS = {"demo": ObjectId("60c72b2f9b1d8b3a4c8e4d21"), "guest": ObjectId("60c72b2f9b1d8b3a4c8e4d22")}
PASSWORD = "usage"  # noqa: S105 # of a demo that only listens on localhost
DAYS = 60  # of made-up history, the current day included
OUTAGE = 40  # days ago
WEEKEND = (5, 6)  # as datetime.weekday() returns them

#: One click signs in. While the page is open, it visits the projects, so that the numbers grow.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Usage</title>
<link rel="icon" href="data:,">
<style>
  :root { color-scheme: light dark; background: Canvas; color: CanvasText; font-family: system-ui, sans-serif; }
  body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { margin: 0; }
  .sign-in { font: inherit; padding: .6em 1.2em; cursor: pointer; }
</style>
<script type="module" src="/api/usage/usage-stats.js"></script>
<script type="module">
  const element = document.querySelector('usage-stats');
  document.querySelector('.sign-in').addEventListener('click', async (event) => {
    event.target.hidden = true;
    element.token = async () => {
      const headers = { 'Content-Type': 'application/json' };
      const body = JSON.stringify({ username: 'demo', password: 'usage' });
      const response = await fetch('/api/login', { method: 'POST', headers, body });
      return (await response.json()).token;
    };
    const names = ['api-service', 'api-service', 'api-service', 'my-portfolio', 'blog'];
    setInterval(() => fetch(`/sites/${names[Math.floor(Math.random() * names.length)]}`), 400);
  });
</script>
</head>
<body>
<main>
<usage-stats auth="token" history="60" refresh="5" project-url="/sites/{name}">
<h1 slot="heading">Usage</h1>
</usage-stats>
<button type="button" class="sign-in">Sign in as demo</button>
</main>
</body>
</html>
"""


def project(owner, number, name, project_type, status, plan, requests, updated):
    return {
        "_id": ObjectId(f"507f1f77bcf86cd7994390{number}"),
        "owner": USERS[owner],
        "name": name,
        "projectType": project_type,
        "status": status,
        "plan": plan,
        "totalRequest": requests,
        "updatedAt": datetime.fromisoformat(updated).replace(tzinfo=UTC),
    }


PROJECTS = [
    project("demo", 11, "my-portfolio", "Static", "live", "pro", 25430, "2024-03-15T14:22"),
    project("demo", 12, "api-service", "node", "live", "business", 89456, "2024-03-14T10:15"),
    project("demo", 13, "docs-site", "static", "stopped", "free", 1203, "2024-03-10T16:45"),
    project("demo", 14, "blog", "Static", "live", "pro", 12890, "2024-03-08T11:20"),
    project("demo", 15, "test-app", "node", "stopped", "free", 0, "2024-02-28T08:30"),
    project("demo", 16, "old-shop", "node", "deleted", "free", 777, "2024-01-20T09:00"),
    project("guest", 21, "notes", "static", "live", "free", 42, "2024-03-01T12:00"),
]


def past_days(now):
    """Yield the documents of a history that has counted 60 % of the requests until now."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    yield {"_id": "since", "at": today - timedelta(days=DAYS - 1), "format": 1}
    weights = {}
    for age in range(DAYS - 1, -1, -1):
        day = today - timedelta(days=age)
        weekday = 0.5 if day.weekday() in WEEKEND else 1
        weights[day] = 0 if age == OUTAGE else weekday * (2 - age / DAYS) * (1 + day.day * 7 % 5 / 10)
    passed = (now - today) // timedelta(minutes=15)  # quarters of an hour
    weights[today] *= passed / 96
    for each in PROJECTS:
        counted = 0.0
        for day, weight in weights.items():
            before, counted = int(counted), counted + 0.6 * each["totalRequest"] * weight / sum(weights.values())
            requests = int(counted) - before
            if each["status"] == "live" and requests:
                # From 07:00 to 22:00 UTC, which are quarters of an hour 28 to 87; today until now.
                first, number_of_quarters = (0, passed) if day == today else (28, 60)
                quarters = Counter(str(first + number % number_of_quarters) for number in range(requests))
                yield {"_id": {"p": each["_id"], "d": day}, "n": requests, "q": dict(quarters), "w": {}}


def create_app(database):
    """Create an application with a page, a login route, the usage blueprint and a route whose requests are counted."""
    app = Flask(__name__)
    app.config["JWT_SECRET_KEY"] = secrets.token_hex(32)
    JWTManager(app)

    @app.get("/")
    def index():
        return PAGE

    @app.post("/api/login")
    def login():
        credentials = request.get_json(silent=True)
        credentials = credentials if isinstance(credentials, dict) else {}
        user = database.demo_users.find_one({"_id": str(credentials.get("username"))})
        if user is None or not check_password_hash(user["password"], str(credentials.get("password"))):
            return {"message": "Wrong user name or password"}, 401
        return {"token": create_access_token(str(user["owner"]))}

    @app.get("/sites/<name>")
    def serve(name):
        found = database.demo_projects.find_one({"name": name, "status": {"$ne": "deleted"}}, {"status": 1})
        if found is None:
            abort(404)
        if found["status"] == "stopped":
            return {"message": f"{name} is stopped."}
        g.project_id = found["_id"]
        return {"message": f"This is {name}."}

    store, history = ProjectStore(database.demo_projects), UsageHistory(database.demo_history)
    app.register_blueprint(create_usage_blueprint(store, authenticate=jwt_identity, history=history, element=True))
    recorder = UsageRecorder(store, history=history, interval=0.5)
    recorder.init_app(app, project_id=lambda: g.get("project_id"))
    return app


def open_database(uri):
    """Return the embedded database, or a database of the server if there is a URI."""
    if uri is None:
        return mongomock.MongoClient().usage_stats_demo
    client = MongoClient(uri, serverSelectionTimeoutMS=3000)
    client.admin.command("ping")
    return client.get_default_database("usage_stats_demo")


def fill(database):
    """Insert missing documents into the demo collections; existing documents are not changed."""
    users = [
        {"_id": name, "owner": owner, "password": generate_password_hash(PASSWORD)} for name, owner in USERS.items()
    ]
    for collection, documents in (
        (database.demo_projects, PROJECTS),
        (database.demo_users, users),
        (database.demo_history, past_days(datetime.now(UTC))),
    ):
        for document in documents:
            collection.update_one({"_id": document["_id"]}, {"$setOnInsert": document}, upsert=True)
    ProjectStore(database.demo_projects).ensure_indexes()
    UsageHistory(database.demo_history).ensure_indexes()


def print_commands(app, address):
    """Print curl commands with valid tokens, to be copied."""
    with app.app_context():
        tokens = {name: create_access_token(str(owner), expires_delta=False) for name, owner in USERS.items()}
    print(f"Open {address}/ in a browser. Press Ctrl-C to stop the demo.\n")
    print("Or paste one of these lines into a second terminal.\n")
    for name, token in tokens.items():
        print(f"As {name}:\n\n  curl -H 'Authorization: Bearer {token}' {address}/api/usage\n")
    print("Visit a project, which counts a request:\n")
    print(f"  curl {address}/sites/blog\n")
    print("Get the requests of each of the last 30 days:\n")
    print(f"  curl -H 'Authorization: Bearer {tokens['demo']}' {address}/api/usage/history\n")
    print("Log in to get a new token:\n")
    body = f'{{"username": "demo", "password": "{PASSWORD}"}}'
    print(f"  curl -H 'Content-Type: application/json' -d '{body}' {address}/api/login\n", flush=True)


def stop(*_):
    """Stop the demo on the first signal and ignore further signals."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description="Serve the usage route with sample projects.")
    parser.add_argument(
        "--port", type=int, default=8000, help="port on localhost; 0 selects a free one (default: %(default)s)"
    )
    parser.add_argument("--mongodb", metavar="URI", help="use a real server instead of the embedded database")
    arguments = parser.parse_args()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    with contextlib.suppress(KeyboardInterrupt), socket.socket() as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", arguments.port))
            listener.listen()
        except (OSError, OverflowError) as error:
            sys.exit(f"Port {arguments.port} is not available ({error}). Choose another with --port.")
        try:
            database = open_database(arguments.mongodb)
            fill(database)
        except (PyMongoError, ValueError) as error:
            sys.exit(f"The MongoDB server cannot be used ({type(error).__name__}). Check --mongodb.")
        app = create_app(database)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # requests would hide the commands
        port = listener.getsockname()[1]
        print_commands(app, f"http://127.0.0.1:{port}")
        make_server("127.0.0.1", port, app, threaded=True, fd=listener.fileno()).serve_forever()


if __name__ == "__main__":
    main()
