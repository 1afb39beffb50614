"""Who may see the usage of all owners, and how often the database computes it."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from bson_values import ELEMENTS, document, element
from flask import Flask, abort
from pymongo import MongoClient
from support import CHALLENGE, INVALID, INVALID_TOKEN, REQUIRED, CommandRecorder, fail_point, raiser, strict_json
from werkzeug.exceptions import Forbidden, HTTPException, ServiceUnavailable

from flask_usage_stats import PlatformStore, ProjectStore, create_platform_blueprint, create_usage_blueprint

URL = "/api/usage/platform"
FAILED = b'{"success":false,"message":"Failed to fetch platform usage"}'
NOT_ALLOWED = b'{"success":false,"message":"Not allowed"}'
START = datetime(2026, 11, 25, 19, tzinfo=UTC)


class User:
    is_admin = True

    def __repr__(self):
        return "User"


async def coroutine():
    return True


class TestAuthorization:
    def test_true_admits(self, any_projects, platform_factory):
        """Only ``True`` admits."""
        assert platform_factory(any_projects, lambda: True).test_client().get(URL).status_code == 200

    @pytest.mark.parametrize(
        ("headers", "body", "challenge"),
        [({}, REQUIRED, CHALLENGE), ({"Authorization": "Bearer x"}, INVALID, INVALID_TOKEN)],
        ids=["none", "bearer"],
    )
    def test_none_is_401(self, any_projects, platform_factory, caplog, headers, body, challenge):
        """``None`` means that the request is not authenticated."""
        response = platform_factory(any_projects, lambda: None).test_client().get(URL, headers=headers)
        assert (response.status_code, response.data) == (401, body)
        assert response.headers["WWW-Authenticate"] == challenge
        assert not caplog.records

    def test_false_is_403(self, any_projects, platform_factory, caplog):
        """``False`` means that the user is not allowed."""
        response = platform_factory(any_projects, lambda: False).test_client().get(URL)
        assert (response.status_code, response.data) == (403, NOT_ALLOWED)
        assert response.headers["Cache-Control"] == "no-store"
        assert response.vary.as_set() == {"authorization"}
        assert "WWW-Authenticate" not in response.headers
        assert not caplog.records

    @pytest.mark.parametrize("value", [1, "yes", "True", User(), [True], {}, 0, "", 1.0, object], ids=repr)
    def test_anything_else_is_500(self, any_projects, platform_factory, caplog, value):
        """A truthy value, such as a user, does not admit: the log says what to return."""
        response = platform_factory(any_projects, lambda: value).test_client().get(URL)
        assert (response.status_code, response.data) == (500, FAILED)
        (record,) = caplog.records
        assert record.getMessage().startswith(
            f"usage of the platform: ConfigurationError: authorize must return True, False or None, not {type(value).__name__} ("
        )

    def test_a_coroutine_is_500(self, any_projects, platform_factory, caplog):
        """A coroutine does not admit, and is closed: otherwise Python would warn about it."""
        pending = coroutine()
        response = platform_factory(any_projects, lambda: pending).test_client().get(URL)
        assert (response.status_code, response.data) == (500, FAILED)
        assert "not coroutine" in caplog.text

    def test_an_error_is_500(self, any_projects, platform_factory, caplog):
        """An error does not admit, and its text is not logged."""
        response = platform_factory(any_projects, raiser(RuntimeError("secret"))).test_client().get(URL)
        assert (response.status_code, response.data) == (500, FAILED)
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert record.getMessage().startswith("usage of the platform: RuntimeError (")
        assert "secret" not in caplog.text

    @pytest.mark.parametrize(
        ("error", "status", "message"),
        [
            (Forbidden("operators only"), 403, "operators only"),
            (ServiceUnavailable("later", retry_after=9), 503, "later"),
        ],
        ids=["403", "503"],
    )
    def test_http_exceptions(self, any_projects, platform_factory, caplog, error, status, message):
        """An HTTPException keeps its status and description."""
        response = platform_factory(any_projects, raiser(error)).test_client().get(URL)
        assert response.status_code == status
        assert strict_json(response) == {"success": False, "message": message}
        assert not caplog.records

    def test_other_http_exceptions_are_500(self, any_projects, platform_factory):
        """An HTTPException that is no error does not admit."""
        response = platform_factory(any_projects, lambda: abort(HTTPException().get_response())).test_client().get(URL)
        assert (response.status_code, response.data) == (500, FAILED)

    def test_nothing_is_read_before(self, mongodb_uri, projects, platform_factory):
        """Without permission, neither the parameters are checked nor the database is asked."""
        recorder = CommandRecorder()
        with MongoClient(mongodb_uri, event_listeners=[recorder]) as client:
            app = platform_factory(client[projects.database.name].projects, lambda: False)
            assert app.test_client().get(f"{URL}?limit=x").status_code == 403
        assert not recorder.commands

    def test_not_mounted(self, any_projects, app_factory):
        """Without its blueprint, there is no platform view, and no parameter of the list opens it."""
        any_projects.insert_many([{"owner": "ada", "totalRequest": 1}, {"owner": "bob", "totalRequest": 2}])
        client = app_factory(any_projects).test_client()
        assert client.get(URL).status_code == 404
        for query in ("platform=1", "deleted=include", "groupBy=plan&top=5", "owner=bob", "deleted=only&limit=5"):
            response = client.get(f"/api/usage?{query}")
            assert (response.status_code, response.json["totalRequests"]) == (200, 1)
        assert client.get("/api/usage?groupBy=owner").status_code == 400

    def test_next_to_the_list(self, any_projects):
        """Both blueprints can be mounted in either order, each with its own callback."""
        any_projects.insert_many([{"owner": "ada", "totalRequest": 1}, {"owner": "bob", "totalRequest": 2}])
        store = ProjectStore(any_projects)
        blueprints = [
            create_usage_blueprint(store, authenticate=lambda: "ada"),
            create_platform_blueprint(PlatformStore(store), authorize=lambda: True),
        ]
        for each in (blueprints, blueprints[::-1]):
            app = Flask("application")
            for blueprint in each:
                app.register_blueprint(blueprint)
            client = app.test_client()
            assert client.get("/api/usage").json["totalRequests"] == 1
            assert client.get(URL).json["totalRequests"] == 3
            assert {"report", "check", "platform"} <= app.cli.commands["usage"].commands.keys()


@pytest.fixture
def listened(mongodb_uri, projects):
    """Return the collection of another client, and the names of its commands."""
    recorder = CommandRecorder()
    with MongoClient(mongodb_uri, event_listeners=[recorder], appname="listened", heartbeatFrequencyMS=500) as client:
        yield client[projects.database.name].projects, recorder.commands


def count_reads(commands):
    return sum("aggregate" in command for command in commands)


def get_at_once(app, number):
    """Return a function that waits for as many threads, and then sends a request."""
    barrier = threading.Barrier(number)

    def get(_):
        barrier.wait()
        return app.test_client().get(URL)

    return get


class TestKeeping:
    @pytest.fixture(autouse=True)
    def _clock(self, monkeypatch):
        """Replace both clocks by one that only :meth:`wait` moves."""
        self.passed = 0.0
        monkeypatch.setattr("flask_usage_stats._core.clock.get_now", lambda: START + timedelta(seconds=self.passed))
        monkeypatch.setattr("flask_usage_stats._core.shared_results.monotonic", lambda: self.passed)
        monkeypatch.setattr("flask_usage_stats._mongodb.platform.monotonic", lambda: self.passed)

    def test_totals_are_kept(self, listened, projects, platform_factory):
        """For *max_age* seconds, the totals are those of the first request, and ``asOf`` says so."""
        collection, commands = listened
        client = platform_factory(collection, max_age=60.0).test_client()
        projects.insert_one({"totalRequest": 1, "plan": "pro"})
        first = client.get(URL)
        projects.insert_one({"totalRequest": 2})
        self.passed = 59.0
        again = client.get(URL, headers={"If-None-Match": first.headers["ETag"]})
        assert again.status_code == 304
        assert client.get(f"{URL}?groupBy=plan&plan=pro").json["asOf"] == "2026-11-25T19:00:00.000Z"
        assert count_reads(commands) == 1
        self.passed = 60.0
        later = client.get(URL).json
        assert (later["totalRequests"], later["asOf"]) == (3, "2026-11-25T19:01:00.000Z")
        assert count_reads(commands) == 2

    def test_nothing_is_kept_without_age(self, listened, projects, platform_factory):
        """With a *max_age* of 0, every request reads."""
        collection, commands = listened
        client = platform_factory(collection, max_age=0).test_client()
        for number in range(3):
            projects.insert_one({"totalRequest": 1})
            assert client.get(URL).json["totalRequests"] == number + 1
        assert count_reads(commands) == 3

    def test_owners_and_projects_are_kept(self, listened, projects, platform_factory):
        """Owners and projects are kept for each selection, whatever number of them a request asks for."""
        collection, commands = listened
        client = platform_factory(collection, max_age=60.0).test_client()
        projects.insert_many([{"owner": number, "plan": "Pro", "totalRequest": number} for number in range(5)])
        for top in (1, 3, 5):
            assert len(client.get(f"{URL}?groupBy=owner&top={top}").json["groups"]) == top
        assert count_reads(commands) == 1
        for limit in (2, 4):
            assert len(client.get(f"{URL}?limit={limit}").json["projectStats"]) == limit
        assert count_reads(commands) == 3
        assert client.get(f"{URL}?groupBy=owner&plan=PRO&limit=2").json["projects"] == 5
        assert count_reads(commands) == 5
        assert client.get(f"{URL}?groupBy=owner&plan=pro&limit=1").json["projects"] == 5
        assert count_reads(commands) == 5

    def test_as_of_is_the_oldest_part(self, projects, platform_factory):
        """A response states when its oldest part was read, and no part is older than *max_age*."""
        client = platform_factory(projects, max_age=60.0).test_client()
        projects.insert_one({"owner": "ada", "plan": "pro", "totalRequest": 1})
        client.get(URL)
        self.passed = 40.0
        assert client.get(f"{URL}?limit=1").json["asOf"] == "2026-11-25T19:00:00.000Z"
        assert client.get(f"{URL}?groupBy=owner").json["asOf"] == "2026-11-25T19:00:40.000Z"
        assert client.get(f"{URL}?groupBy=owner&plan=pro").json["asOf"] == "2026-11-25T19:00:00.000Z"
        self.passed = 70.0
        assert client.get(f"{URL}?groupBy=owner&plan=pro").json["asOf"] == "2026-11-25T19:01:10.000Z"
        assert client.get(f"{URL}?groupBy=owner").json["asOf"] == "2026-11-25T19:00:40.000Z"

    def test_rows_before_totals(self, projects, platform_factory):
        """If the projects are older than the totals, the response states their time."""
        client = platform_factory(projects, max_age=60.0).test_client()
        projects.insert_one({"owner": "ada", "totalRequest": 1})
        client.get(f"{URL}?limit=1")
        self.passed = 59.0
        client.get(f"{URL}?groupBy=owner")
        assert client.get(f"{URL}?groupBy=owner&limit=1").json["asOf"] == "2026-11-25T19:00:00.000Z"

    def test_labels_that_a_filter_needed_are_kept(self, listened, projects, platform_factory):
        """What was read to find the values of a filter serves the next requests."""
        collection, commands = listened
        client = platform_factory(collection, max_age=60.0).test_client()
        projects.insert_one({"owner": "ada", "plan": "pro"})
        for query in ("groupBy=owner&plan=pro", "groupBy=owner&plan=free", "groupBy=plan"):
            client.get(f"{URL}?{query}")
        assert count_reads(commands) == 3

    def test_a_failure_is_not_kept(self, mongo_client, listened, projects, platform_factory):
        """After a failure, the next request reads again."""
        collection, _ = listened
        client = platform_factory(collection, max_age=60.0).test_client()
        with fail_point(mongo_client, failCommands=["aggregate"], errorCode=8000, appName="listened"):
            assert client.get(URL).status_code == 500
        assert client.get(URL).status_code == 200


class TestReading:
    def test_one_read_for_all(self, mongo_client, listened, platform_factory):
        """Requests at the same time share one read, also if nothing is kept."""
        collection, commands = listened
        get = get_at_once(platform_factory(collection, max_age=0), 8)
        block = {"blockConnection": True, "blockTimeMS": 500, "appName": "listened"}
        with fail_point(mongo_client, failCommands=["aggregate"], **block), ThreadPoolExecutor(8) as pool:
            bodies = {response.data for response in pool.map(get, range(8))}
        assert len(bodies) == 1
        assert count_reads(commands) == 1

    def test_a_failure_is_shared(self, mongo_client, listened, platform_factory, caplog):
        """Who waits for a read that fails gets its failure, and each of them is logged."""
        collection, commands = listened
        get = get_at_once(platform_factory(collection, max_age=60), 4)
        fault = {"blockConnection": True, "blockTimeMS": 500, "errorCode": 8000, "appName": "listened"}
        with fail_point(mongo_client, failCommands=["aggregate"], **fault), ThreadPoolExecutor(4) as pool:
            assert {(each.status_code, each.data) for each in pool.map(get, range(4))} == {(500, FAILED)}
        assert count_reads(commands) == 1
        assert {record.usage_cause for record in caplog.records} == {
            "StoreError: the projects could not be read: OperationFailure 8000 Location8000"
        }
        assert len(caplog.records) == 4

    def test_different_reads_take_turns(self, mongo_client, listened, platform_factory):
        """Reads for different selections do not overlap, so that the database computes only one at a time."""
        collection, commands = listened
        app = platform_factory(collection, max_age=60)
        urls = [URL, f"{URL}?groupBy=owner", f"{URL}?limit=1", f"{URL}?groupBy=owner&deleted=only"]
        block = {"blockConnection": True, "blockTimeMS": 200, "appName": "listened"}
        with fail_point(mongo_client, failCommands=["aggregate"], **block), ThreadPoolExecutor(4) as pool:
            started = time.monotonic()
            assert {each.status_code for each in pool.map(lambda url: app.test_client().get(url), urls)} == {200}
            assert time.monotonic() - started >= 0.2 * 4
        assert count_reads(commands) == 4

    def test_time_limit(self, mongo_client, listened, platform_factory, caplog):
        """A request fails within its time limit, also if it waits for another selection."""
        collection, _ = listened
        app = platform_factory(collection, timeout=0.5)
        block = {"blockConnection": True, "blockTimeMS": 1600, "appName": "listened"}
        with fail_point(mongo_client, failCommands=["aggregate"], **block), ThreadPoolExecutor(2) as pool:
            started = time.monotonic()
            responses = list(pool.map(lambda url: app.test_client().get(url), [URL, f"{URL}?groupBy=owner"]))
            assert time.monotonic() - started < 1.5
        assert {(each.status_code, each.data) for each in responses} == {(500, FAILED)}
        assert all("the projects could not be read" in record.getMessage() for record in caplog.records)

    def test_time_limit_of_the_server(self, listened, platform_factory):
        """The server stops by itself when the time is over."""
        collection, commands = listened
        platform_factory(collection, timeout=7.0).test_client().get(URL)
        (command,) = [command for command in commands if "aggregate" in command]
        assert 6000 < command["maxTimeMS"] <= 7000
        assert command["allowDiskUse"]
        assert command["collation"] == {"locale": "simple"}

    def test_no_index_is_used(self, mongo_client, listened, projects, platform_factory):
        """No read uses an index, in which a project could move, and none has a regular expression."""
        collection, commands = listened
        for name in ("owner", "plan", "status", "totalRequest"):
            projects.create_index(name)
        projects.insert_many([{"owner": "ada", "plan": "pro", "status": "live", "totalRequest": n} for n in range(100)])
        client = platform_factory(collection).test_client()
        for query in (
            "",
            "plan=pro&status=live",
            "groupBy=owner&plan=pro",
            "limit=5&plan=.*",
            "groupBy=owner&deleted=only",
        ):
            assert client.get(f"{URL}?{query}").status_code == 200
        reads = [command for command in commands if "aggregate" in command]
        assert len(reads) == 8
        for command in reads:
            assert "regex" not in str(command["pipeline"]).casefold()
            explained = projects.database.command(
                "explain", {name: command[name] for name in ("aggregate", "pipeline", "cursor", "collation")}
            )
            assert "COLLSCAN" in str(explained)
            assert "IXSCAN" not in str(explained)

    def test_one_reply(self, listened, projects, platform_factory):
        """All rows are in one reply, so that an election in between cannot interrupt the reading."""
        collection, commands = listened
        projects.insert_many([{"totalRequest": number} for number in range(300)])
        body = platform_factory(collection).test_client().get(f"{URL}?limit=300").json
        assert len(body["projectStats"]) == 300
        assert not any("getMore" in command for command in commands)

    def test_no_cursor_is_left(self, mongo_client, listened, projects, platform_factory, monkeypatch):
        """If the connection fails between two replies, the cursor is closed on the server."""
        monkeypatch.setattr("flask_usage_stats._mongodb.server_cursors._BATCH_SIZE", 100)
        collection, _ = listened
        projects.insert_many([{"totalRequest": number} for number in range(300)])
        client = platform_factory(collection).test_client()

        def count_cursors():
            own = {"type": "idleCursor", "ns": projects.full_name}
            stages = [{"$currentOp": {"idleCursors": True}}, {"$match": own}]
            return len(list(mongo_client.admin.aggregate(stages)))

        mode = {"times": 1}
        with fail_point(mongo_client, mode=mode, failCommands=["getMore"], closeConnection=True, appName="listened"):
            assert client.get(f"{URL}?limit=300").status_code == 500
        deadline = time.monotonic() + 10
        while count_cursors() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert count_cursors() == 0

    def test_another_collection(self, projects, platform_factory):
        """With *collection*, the totals are read from it."""
        projects.insert_one({"totalRequest": 1})
        projects.database.copy.insert_one({"totalRequest": 2})
        for collection in (projects.database.copy, lambda: projects.database.copy):
            client = platform_factory(projects, collection=collection).test_client()
            assert client.get(URL).json["totalRequests"] == 2

    def test_collation_of_the_collection(self, database, platform_factory):
        """Text is compared exactly, whatever the collation of the collection."""
        collection = database.create_collection("collated", collation={"locale": "en", "strength": 1})
        collection.insert_many(
            [{"owner": owner, "status": status} for owner in ("ada", "ADA") for status in ("deleted", "Deleted")]
        )
        client = platform_factory(collection).test_client()
        assert client.get(URL).json["projects"] == 2
        groups = client.get(f"{URL}?groupBy=owner").json["groups"]
        assert [group["owner"] for group in groups] == ["ADA", "ada"]

    def test_too_many_labels(self, projects, platform_factory, caplog):
        """With more than 10,000 combinations of labels, the response is the error, and the log names the path."""
        store = ProjectStore(projects, fields={"projectType": "kind.name"})
        projects.insert_many(
            [{"kind": {"name": f"type {number}"}, "plan": f"{number % 2}"} for number in range(10_000)]
        )
        client = platform_factory(store).test_client()
        assert client.get(f"{URL}?groupBy=projectType&top=1").json["others"]["groups"] == 9_999
        projects.insert_one({"plan": "pro"})
        response = client.get(URL)
        assert (response.status_code, response.data) == (500, FAILED)
        (record,) = caplog.records
        assert record.usage_cause == (
            "StoreError: more than 10,000 combinations of plan, type and status, most of them due to kind.name"
        )

    def test_damaged_documents(self, projects, platform_factory):
        """A value that the driver cannot decode counts for the totals, and is null in a row."""
        damaged = element("name", ELEMENTS["UUID of a wrong length"])
        projects.insert_one(document(element("_id", 1), damaged, element("plan", ELEMENTS["UUID of a wrong length"])))
        body = platform_factory(projects).test_client().get(f"{URL}?limit=1&groupBy=plan").json
        assert body["projectStats"] == [{"_id": 1, "name": None, "plan": None, "totalRequest": 0}]
        assert body["groups"][0]["plan"] is None

    def test_adjusted_values_are_logged(self, projects, platform_factory, caplog):
        """Values of rows that had to be adjusted are logged once an hour."""
        projects.insert_one({"_id": 1, "name": ["secret"]})
        client = platform_factory(projects).test_client()
        for _ in range(2):
            client.get(f"{URL}?limit=1")
        (record,) = caplog.records
        assert record.getMessage() == (
            "usage of the platform: adjusted stored values that do not fit the API (1), for example: 1 name (list)"
        )
        assert record.usage_owner is None
