"""What an operator reads: each failure once, with its cause, and nothing that is not theirs to read."""

import logging
import re
from datetime import datetime

import pytest
from bson import ObjectId
from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from flask_usage_stats import ConfigurationError, ProjectStore, StoreError, create_usage_blueprint
from flask_usage_stats.jwt import jwt_identity

SECRET = "swordfish"
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Breaking:
    """A store that fails in a given way."""

    def __init__(self, error):
        self.error = error

    def iter_projects(self, owner):
        yield {"_id": 1, "name": SECRET}
        raise self.error


def only(caplog):
    (record,) = caplog.records
    assert record.name == "flask_usage_stats"
    assert not CONTROLS.search(record.getMessage())
    assert SECRET not in caplog.text
    return record


class TestFailures:
    @pytest.mark.parametrize(
        "error",
        [
            RuntimeError(SECRET),
            KeyError(SECRET),
            OSError(5, SECRET),
            UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
            OperationFailure(SECRET, 8000, {"errmsg": SECRET}),
            MemoryError(SECRET),
            RecursionError(SECRET),
        ],
        ids=lambda error: type(error).__name__[:12],
    )
    def test_of_others(self, ask, caplog, error):
        """An error that is not ours is one line: its type and place, without its text."""
        assert ask(Breaking(error)).status_code == 500
        record = only(caplog)
        assert record.levelno == logging.ERROR
        assert type(error).__name__.split("\n")[0] in record.getMessage()
        assert "in iter_projects" in record.getMessage()

    @pytest.mark.parametrize(
        ("error", "shown"),
        [
            (StoreError("the disk is full"), "StoreError: the disk is full"),
            (ConfigurationError("pass `db.projects`"), "ConfigurationError: pass `db.projects`"),
            (StoreError("a\r\nb\x1b[2J\u2028c\ud800"), r"StoreError: a\r\nb\x1b[2J\u2028c\ud800"),
            (StoreError("x" * 10_000), "x" * 500 + " ("),
        ],
        ids=["store", "misuse", "controls", "long"],
    )
    def test_of_ours(self, ask, caplog, error, shown):
        """An error of ours is logged with its message, on one line and cut short."""
        ask(Breaking(error))
        assert shown in only(caplog).getMessage()
        assert len(only(caplog).getMessage()) < 800

    def test_cause_of_the_driver(self, ask, caplog):
        """A database that cannot be reached is named, with the driver's reason."""
        with MongoClient(f"mongodb://user:{SECRET}@127.0.0.1:9", serverSelectionTimeoutMS=50) as client:
            ask(ProjectStore(client.platform.projects, timeout=0.2))
        message = only(caplog).getMessage()
        assert "StoreError: the projects could not be read: ServerSelectionTimeoutError" in message
        assert "127.0.0.1:9" in message

    def test_refused_by_the_server(self, mongodb_uri, ask, caplog):
        """A server that asks for a login is an error with its code."""
        with MongoClient(mongodb_uri, username="u", password=SECRET, serverSelectionTimeoutMS=2000) as client:
            ask(ProjectStore(client.platform.projects))
        assert "OperationFailure 18 AuthenticationFailed" in only(caplog).getMessage()

    def test_nothing_to_say(self, projects, ask, caplog):
        """An answer, and a refusal, are no news."""
        caplog.set_level(logging.DEBUG, "flask_usage_stats")
        projects.insert_one({"owner": "ada", "name": "blog", "totalRequest": 1.0, "updatedAt": datetime(2024, 1, 1)})
        assert ask(projects).status_code == 200
        assert ask(projects, None).status_code == 401
        assert not caplog.records


class TestOwners:
    @pytest.mark.parametrize(
        ("owner", "shown"),
        [
            ("ada", "owner 'ada':"),
            ("a\r\nERROR forged\x1b[31m\0\u2028\x85", r"owner 'a\r\nERROR forged\x1b[31m\x00\u2028\x85':"),
            ("%s %d %(x)s {0}", "owner '%s %d %(x)s {0}':"),
            ("x" * 1024, "owner '" + "x" * 76 + "...:"),
            ("\U0001f600" * 256, "owner '" + "\U0001f600" * 76 + "...:"),
            (7, "owner 7:"),
            (ObjectId("507f1f77bcf86cd799439011"), "owner ObjectId('507f1f77bcf86cd799439011'):"),
        ],
        ids=["name", "controls", "formats", "long", "wide", "number", "ObjectId"],
    )
    def test_owner(self, ask, caplog, owner, shown):
        """An owner is shown by its repr, cut short: nobody writes lines into the log."""
        ask(Breaking(RuntimeError(SECRET)), owner)
        assert shown in only(caplog).getMessage()

    def test_token(self, mongodb_uri, caplog):
        """A token is in no line, whatever goes wrong behind it."""
        app = Flask("host")
        app.config["JWT_SECRET_KEY"] = "a key of at least thirty-two bytes, for HS256"
        JWTManager(app)
        app.register_blueprint(create_usage_blueprint(Breaking(RuntimeError()), authenticate=jwt_identity))
        with app.app_context():
            token = create_access_token("ada")
        caplog.set_level(logging.DEBUG)
        for value in (token, token[:-1], "x" * 40):
            app.test_client().get(f"/api/usage?jwt={token}", headers={"Authorization": f"Bearer {value}"})
        assert len([record for record in caplog.records if record.name == "flask_usage_stats"]) == 1
        for part in token.split("."):
            assert part not in caplog.text


class TestChanges:
    def test_identities(self, projects, ask, caplog):
        """Project ids are shown by their repr, cut short; values are not shown at all."""
        odd = {"owner": "ada", "name": {SECRET: SECRET}, "totalRequest": SECRET, "createdAt": [SECRET]}
        ids = [
            "a\r\nERROR forged\x1b[2J",
            "x" * 5000,
            7,
            ObjectId("507f1f77bcf86cd799439011"),
            {"n": 1},
            "sixth",
            "seventh",
        ]
        projects.insert_many([{"_id": identity} | odd for identity in ids])
        assert ask(projects).status_code == 200
        record = only(caplog)
        assert record.levelno == logging.WARNING
        assert "21 stored values" in record.getMessage()
        assert r"'a\r\nERROR forged\x1b[2J' name (dict), totalRequest (str), createdAt (list)" in record.getMessage()
        assert record.getMessage().count("totalRequest (str)") == 5
        assert len(record.getMessage()) < 1000

    def test_every_request(self, projects, ask, caplog):
        """Each request that had to change something says so once."""
        projects.insert_one({"owner": "ada", "name": [SECRET]})
        for _ in range(3):
            ask(projects)
        assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3

    def test_failure_after_changes(self, ask, caplog):
        """A request that fails says only that."""

        class Store:
            def iter_projects(self, owner):
                yield {"_id": 1, "name": [SECRET]}
                raise RuntimeError(SECRET)

        ask(Store())
        assert only(caplog).levelno == logging.ERROR
