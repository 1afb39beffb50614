"""Helpers for several test modules."""

import contextlib
import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token
from pymongo import monitoring

from flask_usage_stats import create_usage_blueprint
from flask_usage_stats.jwt import jwt_identity
from flask_usage_stats.schemas import UsageSchema

TESTS = Path(__file__).parent
ROOT = TESTS.parent
#: The rows of the published sample.
SAMPLE_ROWS = json.loads((TESTS / "data" / "sample_rows.json").read_text())
#: The secret of every application that signs tokens.
KEY = "a key of at least thirty-two bytes, for HS256"

#: Bodies and challenges of the errors.
REQUIRED = b'{"success":false,"message":"Authentication required"}'
INVALID = b'{"success":false,"message":"Invalid or expired token"}'
FAILED = b'{"success":false,"message":"Failed to fetch usage stats"}'
CHALLENGE = 'Bearer realm="usage"'
INVALID_TOKEN = f'{CHALLENGE}, error="invalid_token", error_description="Invalid or expired token"'


class StubStore:
    """A store that yields the same projects to every owner and then raises *error*, if there is one."""

    def __init__(self, *projects, error=None):
        self.projects = projects
        self.error = error

    def iter_projects(self, owner, /):
        yield from self.projects
        if self.error is not None:
            raise self.error


class ListStore:
    """A store that returns the projects of the owner."""

    def __init__(self, *projects):
        self.projects = projects

    def iter_projects(self, owner, /):
        return [project for project in self.projects if project["owner"] == owner]


def raiser(error):
    """Return a callable that accepts any arguments and raises an error."""

    def callback(*_arguments, **_options):
        raise error

    return callback


def jwt_app(store=None, authenticate=jwt_identity, history=None):
    """Build an application that signs tokens, with a store mounted if there is one."""
    app = Flask("application")
    app.config.update(JWT_SECRET_KEY=KEY, SECRET_KEY=KEY)
    JWTManager(app)
    if store is not None:
        app.register_blueprint(create_usage_blueprint(store, authenticate=authenticate, history=history))
    return app


def make_token(app, subject="ada", make=create_access_token, **options):
    """Return a token signed by an application."""
    with app.app_context():
        return make(subject, **options)


def bearer(token):
    """Return the request header for a token."""
    return {"Authorization": f"Bearer {token}"}


def strict_json(response):
    """Parse a body as strict JSON: no NaN, no infinities, no repeated keys."""

    def refuse(constant):
        raise AssertionError(constant)

    def once(pairs):
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    return json.loads(response.get_data(), parse_constant=refuse, object_pairs_hook=once)


def usage_body(response):
    """Parse the body of a 200 response, which must be valid according to the schema."""
    assert response.status_code == 200, response.text
    body = strict_json(response)
    assert UsageSchema().validate(body) == {}
    return body


def ids_of(body):
    """Return the ids of the rows of a body, in order."""
    return [row["_id"] for row in body["projectStats"]]


def read_pages(client, query=""):
    """Yield the body of every page, following the cursors."""
    cursor = ""
    while cursor is not None:
        body = usage_body(client.get(f"/api/usage?{query}{cursor and '&cursor=' + cursor}"))
        yield body
        cursor = body["nextCursor"]


def import_example(name):
    """Import a new copy of an example."""
    specification = spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@contextlib.contextmanager
def fail_point(client, name="failCommand", mode="alwaysOn", **data):
    """Enable a fail point of the server inside a ``with`` block."""
    client.admin.command("configureFailPoint", name, mode=mode, data=data)
    try:
        yield
    finally:
        client.admin.command("configureFailPoint", name, mode="off")


class CommandRecorder(monitoring.CommandListener):
    """Remembers the commands of a client."""

    def __init__(self):
        self.commands = []

    def started(self, event):
        self.commands.append(event.command)

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass
