"""Each failure is logged once, with its cause, but without secrets and stored values."""

import logging
import re
from datetime import datetime

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from support import FAILED, StubStore, bearer, jwt_app, make_token, raiser

from flask_usage_stats import ConfigurationError, ProjectStore, StoreError, UsageStatsError

SECRET = "swordfish"
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def failing_store(error, name=SECRET):
    return StubStore({"_id": 1, "name": name}, error=error)


def only_record(caplog):
    """Return the one record, which is a single line without the secret."""
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
    def test_foreign_error(self, get_usage, caplog, error):
        """An error of another library is logged with its type and origin, without its message."""
        assert get_usage(failing_store(error)).status_code == 500
        record = only_record(caplog)
        assert record.levelno == logging.ERROR
        assert type(error).__name__.split("\n")[0] in record.getMessage()
        assert "in iter_projects" in record.getMessage()

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (StoreError("the disk is full"), "StoreError: the disk is full"),
            (ConfigurationError("pass `db.projects`"), "ConfigurationError: pass `db.projects`"),
            (StoreError("a\r\nb\x1b[2J\u2028c\ud800"), r"StoreError: a\r\nb\x1b[2J\u2028c\ud800"),
            (StoreError("x" * 10_000), "x" * 500 + " ("),
        ],
        ids=["store", "configuration", "controls", "long"],
    )
    def test_own_error(self, get_usage, caplog, error, expected):
        """An error of this package is logged with its message, escaped and truncated."""
        get_usage(failing_store(error))
        assert expected in only_record(caplog).getMessage()
        assert len(only_record(caplog).getMessage()) < 800

    def test_messages_are_grouped_by_cause(self, get_usage, caplog):
        """The template has the cause, but neither the owner nor the detail, and the record has both as attributes."""
        error = StoreError("100% full: AutoReconnect", "127.0.0.1:9: refused")
        for owner in ("ada", 7, None):
            get_usage(failing_store(error), owner or raiser(error))
        assert {record.msg for record in caplog.records} == {
            "usage of %s: StoreError: 100%% full: AutoReconnect%s (%s)"
        }
        assert {record.usage_cause for record in caplog.records} == {"StoreError: 100% full: AutoReconnect"}
        assert [record.usage_owner for record in caplog.records] == ["'ada'", "7", None]
        assert "owner 7: StoreError: 100% full: AutoReconnect: 127.0.0.1:9: refused (" in caplog.messages[1]

    def test_odd_errors(self, get_usage, caplog):
        """An error whose text or attributes are odd is logged as well, and the response is that of any failure."""

        class UnreadableError(UsageStatsError):
            def __str__(self):
                raise RuntimeError(SECRET)

        class BareError(StoreError):
            def __init__(self):
                """Do not initialize the base class."""

        errors = [
            UnreadableError(),
            BareError(),
            StoreError("x", ValueError(5)),
            StoreError("x", None),
            type("E\x1b[2J", (Exception,), {})(),
        ]
        for error in errors:
            response = get_usage(failing_store(error))
            assert (response.status_code, response.data) == (500, FAILED)
        assert len(caplog.records) == len(errors)
        assert not any(CONTROLS.search(message) for message in caplog.messages)
        assert SECRET not in caplog.text

    def test_unreachable_server(self, get_usage, caplog):
        """An unreachable server is logged with its address and the driver's reason."""
        with MongoClient(f"mongodb://user:{SECRET}@127.0.0.1:9", serverSelectionTimeoutMS=50) as client:
            get_usage(ProjectStore(client.platform.projects, timeout=0.2))
        message = only_record(caplog).getMessage()
        assert "StoreError: the projects could not be read: ServerSelectionTimeoutError" in message
        assert "127.0.0.1:9" in message

    def test_failed_login(self, mongodb_uri, get_usage, caplog):
        """A failed login is logged with the server's error code."""
        with MongoClient(mongodb_uri, username="u", password=SECRET, serverSelectionTimeoutMS=2000) as client:
            get_usage(ProjectStore(client.platform.projects))
        assert "OperationFailure 18 AuthenticationFailed" in only_record(caplog).getMessage()

    def test_nothing_is_logged_without_a_failure(self, projects, get_usage, caplog):
        """A successful response and a 401 are not logged."""
        caplog.set_level(logging.DEBUG, "flask_usage_stats")
        projects.insert_one({"owner": "ada", "name": "blog", "totalRequest": 1.0, "updatedAt": datetime(2024, 1, 1)})
        assert get_usage(projects).status_code == 200
        assert get_usage(projects, None).status_code == 401
        assert not caplog.records


class TestOwners:
    @pytest.mark.parametrize(
        ("owner", "expected"),
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
    def test_owner_is_escaped_and_truncated(self, get_usage, caplog, owner, expected):
        """An owner is logged by its truncated repr, so that no user can forge lines of the log."""
        get_usage(failing_store(RuntimeError(SECRET)), owner)
        assert expected in only_record(caplog).getMessage()

    def test_token_is_never_logged(self, mongodb_uri, caplog):
        """No part of a token is logged, whatever fails."""
        app = jwt_app(failing_store(RuntimeError()))
        token = make_token(app)
        caplog.set_level(logging.DEBUG)
        for value in (token, token[:-1], "x" * 40):
            app.test_client().get(f"/api/usage?jwt={token}", headers=bearer(value))
        levels = [record.levelno for record in caplog.records if record.name == "flask_usage_stats"]
        assert levels == [logging.ERROR, logging.DEBUG, logging.DEBUG]
        for part in token.split("."):
            assert part not in caplog.text


class TestAdjustments:
    def test_ids_are_escaped_and_truncated(self, projects, get_usage, caplog):
        """Project ids are logged by their truncated repr; values are not logged."""
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
        assert get_usage(projects).status_code == 200
        record = only_record(caplog)
        assert record.levelno == logging.WARNING
        assert "stored values that do not fit the API (21)" in record.getMessage()
        assert r"'a\r\nERROR forged\x1b[2J' name (dict), totalRequest (str), createdAt (list)" in record.getMessage()
        assert record.getMessage().count("totalRequest (str)") == 5
        assert len(record.getMessage()) < 1000

    def test_each_owner_is_logged_once_an_hour(self, projects, get_usage, caplog, monkeypatch):
        """Requests repeat the warning for an owner after an hour."""
        projects.insert_many([{"owner": owner, "name": [SECRET]} for owner in ("7", 7)])
        now = [0.0]
        monkeypatch.setattr("flask_usage_stats._core.hourly.monotonic", lambda: now[0])
        for moment, count in ((0.0, 2), (3599.0, 2), (3600.0, 4)):
            now[0] = moment
            for owner in ("7", 7, "nobody"):
                get_usage(projects, owner)
            assert [record.levelno for record in caplog.records] == [logging.WARNING] * count

    def test_facts_are_attributes_of_the_record(self, projects, get_usage, caplog):
        """Log processors get the owner, the cause, the number and the types without parsing the message."""
        projects.insert_many([{"_id": number, "owner": "ada", "name": [SECRET], "plan": {}} for number in (1, 2)])
        get_usage(projects)
        record = only_record(caplog)
        assert record.msg == "usage of %s: adjusted stored values that do not fit the API (%d), for example: %s"
        assert (record.usage_owner, record.usage_adjusted) == ("'ada'", 4)
        assert record.usage_cause == "adjusted stored values that do not fit the API"
        assert record.usage_examples == [(number, {"name": "list", "plan": "dict"}) for number in ("1", "2")]

    def test_unknown_names_are_reported_once(self, get_usage, caplog):
        """A store whose projects have other names returns empty rows, and one warning says which names it must use."""
        store = StubStore({"total_requests": 5, "Name": SECRET}, {"total_requests": 6})
        for _ in range(3):
            assert get_usage(store).json["projectStats"] == [{"totalRequest": 0}] * 2
        message = only_record(caplog).getMessage()
        assert message.startswith("projects without any known name: iter_projects must return the names _id, name, ")

    @pytest.mark.parametrize("project", [{}, {"_id": None}, {"totalRequest": 5, "x": 1}, {"plan": "pro"}])
    def test_some_known_names_are_enough(self, get_usage, caplog, project):
        """Projects may lack any of the fields."""
        get_usage(StubStore(project))
        assert not caplog.records

    def test_failure_after_adjustments(self, get_usage, caplog):
        """A request that fails is logged as a failure only."""
        get_usage(failing_store(RuntimeError(SECRET), name=[SECRET]))
        assert only_record(caplog).levelno == logging.ERROR
