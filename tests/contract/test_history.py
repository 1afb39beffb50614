"""``GET /api/usage/history``: the requests to the user's projects over time."""

import json
import logging
import time
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId
from pymongo import MongoClient
from support import FAILED, REQUIRED, CommandRecorder, ListStore, StubStore, raiser

from flask_usage_stats import ProjectStore, UsageHistory, UsageRecorder
from flask_usage_stats._core.calendar import get_quarter
from flask_usage_stats._mongodb.history_updates import HistoryWriter
from flask_usage_stats.schemas import ErrorSchema, HistorySchema

NOW = datetime(2026, 3, 30, 10, 20, tzinfo=UTC)
SINCE = datetime(2026, 3, 28, 23)
SHOP = ObjectId("507f1f77bcf86cd799439011")
DAYS = "from=2026-03-28&to=2026-03-31&tz=Europe/Berlin"


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr("flask_usage_stats._core.clock.get_now", lambda: NOW)


def quarter_of(text):
    return get_quarter(datetime.fromisoformat(text).replace(tzinfo=UTC))


def fill(projects):
    """Insert projects of ada and bob, and their history."""
    projects.insert_many(
        [
            {"_id": SHOP, "owner": "ada", "name": "Shop", "plan": "Pro", "status": "live"},
            {"_id": 7, "owner": "ada", "name": "blog", "plan": "pro", "status": "stopped"},
            {"_id": "wiki", "owner": "ada", "name": "Wiki"},
            {"_id": "old", "owner": "ada", "name": "old", "plan": "pro", "status": "deleted"},
            {"_id": "api", "owner": "bob", "name": "api", "plan": "pro"},
        ]
    )
    collection = projects.database.usage_history
    collection.insert_one({"_id": "since", "at": SINCE, "format": 1})
    counts = {
        (SHOP, "2026-03-28T23:00"): 100,
        (SHOP, "2026-03-29T21:45"): 8000,
        (SHOP, "2026-03-29T22:00"): 900,
        (7, "2026-03-30T10:15"): 12,
        ("old", "2026-03-29T12:00"): 5000,
        ("api", "2026-03-29T12:00"): 70_000,
    }
    counts = {(project, quarter_of(moment)): n for (project, moment), n in counts.items()}
    HistoryWriter(UsageHistory(collection), "w").write(counts, 1, 30, 0.0)
    return collection


@pytest.fixture
def collection(any_projects):
    return fill(any_projects)


@pytest.fixture
def client(any_projects, collection, app_factory):
    return app_factory(any_projects, history=UsageHistory(collection)).test_client()


def history_of(client, query=DAYS, **headers):
    """Return the body, which must be valid according to the schema."""
    response = client.get(f"/api/usage/history?{query}", headers=headers)
    assert response.status_code == 200, response.text
    assert HistorySchema().validate(response.json) == {}
    return response.json


def totals(body):
    return [bucket["totalRequests"] for bucket in body["buckets"]]


def errors_of(client, query):
    response = client.get(f"/api/usage/history?{query}")
    assert response.status_code == 400
    assert ErrorSchema().validate(response.json) == {}
    return response.json["errors"]


class TestRoute:
    def test_body(self, client):
        """The example of the documentation, byte for byte."""
        response = client.get(f"/api/usage/history?{DAYS}&window=day")
        assert response.data.decode() == (
            '{"success":true,"from":"2026-03-28T00:00:00.000+01:00","to":"2026-03-31T00:00:00.000+02:00","window":"day",'
            '"tz":"Europe/Berlin","since":"2026-03-28T23:00:00.000Z","totalRequests":9012,"buckets":['
            '{"from":"2026-03-28T00:00:00.000+01:00","to":"2026-03-29T00:00:00.000+01:00",'
            '"totalRequests":null,"partial":false},'
            '{"from":"2026-03-29T00:00:00.000+01:00","to":"2026-03-30T00:00:00.000+02:00",'
            '"totalRequests":8100,"partial":false},'
            '{"from":"2026-03-30T00:00:00.000+02:00","to":"2026-03-31T00:00:00.000+02:00",'
            '"totalRequests":912,"partial":true}]}'
        )
        assert response.content_type == "application/json"
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert response.headers["Vary"] == "Authorization, Accept"

    def test_without_a_history(self, any_projects, app_factory):
        """The route does not exist, so the response is the application's own 404."""
        response = app_factory(any_projects).test_client().get("/api/usage/history")
        assert response.status_code == 404
        assert response.content_type.startswith("text/html")

    def test_default_range(self, client):
        """The last 30 days with today."""
        body = history_of(client, "")
        assert (body["from"], body["to"], body["tz"]) == (
            "2026-03-01T00:00:00.000+00:00",
            "2026-03-31T00:00:00.000+00:00",
            "UTC",
        )
        assert totals(body) == [None] * 27 + [100, 8900, 12]
        assert [bucket["partial"] for bucket in body["buckets"]] == [False] * 27 + [True, False, True]

    def test_hours(self, client):
        """Hours without requests have 0."""
        body = history_of(client, "from=2026-03-29T21:00:00Z&to=2026-03-29T23:30:00Z&window=hour")
        assert totals(body) == [8000, 900, 0]
        assert body["to"] == "2026-03-30T00:00:00.000+00:00"

    def test_the_future_is_absent(self, client):
        """Windows that have not begun are absent, but ``to`` is as asked."""
        body = history_of(client, "from=2026-03-29&to=2026-04-05&window=week")
        assert [bucket["from"][:10] for bucket in body["buckets"]] == ["2026-03-23", "2026-03-30"]
        assert history_of(client, "from=2026-03-30&to=2026-04-05")["to"] == "2026-04-05T00:00:00.000+00:00"
        assert totals(history_of(client, "from=2026-03-30&to=2026-04-05")) == [12]
        assert totals(history_of(client, "from=2026-05-01&to=2026-05-05")) == []

    @pytest.mark.parametrize(("owner", "status"), [(None, 401), ("", 401)])
    def test_not_authenticated(self, any_projects, collection, app_factory, owner, status):
        """The errors are those of the list."""
        app = app_factory(any_projects, history=UsageHistory(collection), owner=lambda: owner)
        response = app.test_client().get("/api/usage/history")
        assert (response.status_code, response.data) == (status, REQUIRED)
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="usage"'

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_other_methods(self, client, method):
        """The route only reads."""
        assert client.open("/api/usage/history", method=method).status_code == 405

    def test_options(self, any_projects, collection, app_factory):
        """Preflight requests do not require authentication."""
        app = app_factory(any_projects, history=UsageHistory(collection), owner=raiser(AssertionError()))
        assert app.test_client().options("/api/usage/history").status_code == 200

    def test_the_list_is_unchanged(self, any_projects, client, app_factory):
        """With a history, the list has the same bytes."""
        without = app_factory(any_projects).test_client().get("/api/usage").data
        assert client.get("/api/usage").data == without

    def test_the_longer_rule_wins(self, any_projects, collection, app_factory):
        """A route of the application with a variable does not hide the history."""
        app = app_factory(any_projects, history=UsageHistory(collection))
        app.add_url_rule("/api/usage/<project>", view_func=lambda project: project)
        assert app.test_client().get("/api/usage/history").json["success"] is True
        assert app.test_client().get("/api/usage/other").text == "other"


class TestProjects:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("plan=PRO&status=live", [None, 8100, 900]),
            ("without=plan", [None, 0, 0]),
            ("search=LO", [None, 0, 12]),
            ("project=7", [None, 0, 12]),
            (f"project={SHOP}&project=wiki", [None, 8100, 900]),
            (f"project={SHOP}&search=blog", [None, 0, 0]),
            ("status=deleted", [None, 0, 0]),
        ],
    )
    def test_filters(self, client, query, expected):
        """The filters use the present values of the projects."""
        body = history_of(client, f"{DAYS}&{query}")
        assert totals(body) == expected
        assert body["totalRequests"] == sum(total or 0 for total in expected)

    @pytest.mark.parametrize("query", ["project=api", "project=old", "project=unknown", f"project={str(SHOP).upper()}"])
    def test_other_ids_are_unknown(self, client, query):
        """The response for a project of another user, or a deleted one, is that for one that does not exist."""
        response = client.get(f"/api/usage/history?{DAYS}&{query}")
        assert response.data == client.get(f"/api/usage/history?{DAYS}&project=nothing").data
        assert totals(response.json) == [None, 0, 0]

    def test_owners_see_their_own(self, any_projects, collection, app_factory):
        """Each user gets the requests to their own projects."""
        app = app_factory(any_projects, history=UsageHistory(collection), owner=lambda: "bob")
        assert totals(history_of(app.test_client())) == [None, 70_000, 0]

    def test_deleted_projects_on_request(self, any_projects, collection, app_factory):
        """A store that excludes no status counts them, for example for the limits of a plan."""
        store = ProjectStore(any_projects, excluded_statuses=())
        app = app_factory(store, history=UsageHistory(collection))
        assert totals(history_of(app.test_client())) == [None, 13_100, 912]

    def test_groups(self, client):
        """Each bucket has the groups in the same order."""
        body = history_of(client, f"{DAYS}&groupBy=plan")
        assert [bucket["groups"] for bucket in body["buckets"]] == [
            [],
            [{"plan": "pro", "totalRequests": 8100}, {"plan": None, "totalRequests": 0}],
            [{"plan": "pro", "totalRequests": 912}, {"plan": None, "totalRequests": 0}],
        ]
        assert not any("others" in bucket for bucket in body["buckets"])

    def test_groups_of_projects(self, client):
        """The key is the project's id, as the list returns it."""
        body = history_of(client, f"{DAYS}&groupBy=project")
        assert body["buckets"][2]["groups"] == [
            {"project": str(SHOP), "totalRequests": 900},
            {"project": 7, "totalRequests": 12},
            {"project": "wiki", "totalRequests": 0},
        ]

    def test_twenty_projects(self, any_projects, collection, app_factory):
        """The requests to the others are one number in every counted bucket."""
        any_projects.insert_many([{"_id": 100 + number, "owner": "eve"} for number in range(25)])
        counts = {(100 + number, quarter_of("2026-03-30T00:00")): number for number in range(1, 25)}
        HistoryWriter(UsageHistory(collection), "w").write(counts, 2, 30, 0.0)
        app = app_factory(any_projects, history=UsageHistory(collection), owner=lambda: "eve")
        buckets = history_of(app.test_client(), f"{DAYS}&groupBy=project")["buckets"]
        assert [group["project"] for group in buckets[1]["groups"]] == list(range(124, 104, -1))
        assert [bucket.get("others") for bucket in buckets] == [None, 0, 10]

    def test_custom_store(self, collection, app_factory):
        """Any store selects the projects."""
        store = ListStore({"_id": 7, "owner": "ada"}, {"_id": "api", "owner": "bob"})
        assert totals(history_of(app_factory(store, history=UsageHistory(collection)).test_client())) == [None, 0, 12]


class TestSince:
    def test_nothing_was_counted(self, client, collection):
        """Every bucket is unknown, and the total is 0."""
        collection.delete_one({"_id": "since"})
        body = history_of(client)
        assert (body["since"], body["totalRequests"], totals(body)) == (None, 0, [None] * 3)
        assert [bucket["partial"] for bucket in body["buckets"]] == [False, False, True]

    def test_partial_window(self, client, collection):
        """Counting began during the window: what is stored for earlier times does not count."""
        collection.update_one({"_id": "since"}, {"$set": {"at": datetime(2026, 3, 29, 21, 45)}})
        body = history_of(client)
        assert [bucket["partial"] for bucket in body["buckets"]] == [False, True, True]
        assert totals(body) == [None, 8000, 912]
        assert totals(history_of(client, "from=2026-03-29&to=2026-03-30")) == [8900]
        collection.update_one({"_id": "since"}, {"$set": {"at": datetime(2026, 3, 29, 22)}})
        assert totals(history_of(client, "from=2026-03-29&to=2026-03-30")) == [900]

    def test_retention(self, any_projects, collection, app_factory):
        """A day that may have been removed is unknown, never 0, even if the server still has it."""
        history = UsageHistory(collection, retention_days=1)
        body = history_of(app_factory(any_projects, history=history).test_client(), "from=2026-03-28&to=2026-03-31")
        assert body["since"] == "2026-03-30T00:00:00.000Z"
        assert totals(body) == [None, None, 12]
        assert body["totalRequests"] == 12

    def test_a_restart_changes_nothing(self, any_projects, client, collection):
        """A new process of the recorder does not move it."""
        recorder = UsageRecorder(ProjectStore(any_projects), history=UsageHistory(collection), interval=3600)
        recorder.record("wiki")
        assert recorder.close()
        assert history_of(client)["since"] == "2026-03-28T23:00:00.000Z"

    def test_reading_writes_nothing(self, client, collection):
        """A read never creates the document."""
        collection.delete_many({})
        history_of(client)
        assert list(collection.find()) == []


class TestFormats:
    def test_csv(self, client):
        """The file is named after the history."""
        response = client.get(f"/api/usage/history?{DAYS}&format=csv&groupBy=plan")
        assert response.text.splitlines()[:3] == [
            "from,to,plan,totalRequests,partial",
            "2026-03-28T00:00:00.000+01:00,2026-03-29T00:00:00.000+01:00,,,false",
            "2026-03-29T00:00:00.000+01:00,2026-03-30T00:00:00.000+02:00,pro,8100,false",
        ]
        assert response.content_type == "text/csv; charset=utf-8"
        today = datetime.now(UTC)
        assert response.headers["Content-Disposition"] == f'attachment; filename="usage-history-{today:%Y-%m-%d}.csv"'

    def test_accept(self, client):
        """The format follows the Accept header."""
        response = client.get("/api/usage/history", headers={"Accept": "text/csv"})
        assert response.mimetype == "text/csv"

    @pytest.mark.parametrize("query", ["", "&format=csv"])
    def test_conditional_requests(self, client, collection, query):
        """The status is 304 until a count changes."""
        first = client.get(f"/api/usage/history?{DAYS}{query}")
        headers = {"If-None-Match": first.headers["ETag"]}
        again = client.get(f"/api/usage/history?{DAYS}{query}", headers=headers)
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
        HistoryWriter(UsageHistory(collection), "w").write({(7, quarter_of("2026-03-30T10:15")): 1}, 2, 30, 0.0)
        assert client.get(f"/api/usage/history?{DAYS}{query}", headers=headers).status_code == 200

    def test_head(self, client):
        """The headers are those of GET."""
        get, head = (client.open(f"/api/usage/history?{DAYS}", method=method) for method in ("GET", "HEAD"))
        assert head.data == b""
        assert dict(head.headers) == dict(get.headers)


class TestErrors:
    def test_parameters(self, client):
        """Every invalid parameter is reported."""
        response = client.get("/api/usage/history?tz=Mars&window=year&limit=5")
        assert response.status_code == 400
        assert list(response.json["errors"]) == ["window", "tz", "limit"]
        assert response.headers["Cache-Control"] == "no-store"

    def test_too_many_windows(self, client):
        """The message says how many there are."""
        assert errors_of(client, "from=2026-01-01&to=2026-04-03&window=hour") == {
            "window": ["window=hour gives at most 744 buckets; this range has 2208"]
        }

    def test_too_many_days_of_projects(self, collection, app_factory):
        """The message says how many there are."""
        collection.update_one({"_id": "since"}, {"$set": {"at": datetime(2026, 1, 1)}})
        store = StubStore(*[{"_id": number} for number in range(5000)])
        client = app_factory(store, history=UsageHistory(collection)).test_client()
        assert errors_of(client, "") == {
            "window": ["this range reads 150000 project days, at most 50000: narrow from, plan, status or project"]
        }
        assert client.get("/api/usage/history?from=2026-03-25").status_code == 200

    def test_later_format(self, client, collection, caplog):
        """A history of a later version is an error, and the log says why."""
        collection.update_one({"_id": "since"}, {"$set": {"format": 2}})
        response = client.get("/api/usage/history")
        assert (response.status_code, response.data) == (500, FAILED)
        (record,) = caplog.records
        assert "written by a later version of flask-usage-stats" in record.getMessage()
        assert record.usage_owner == "'ada'"

    def test_failing_store(self, collection, app_factory, caplog):
        """An error of the store is logged once."""
        client = app_factory(StubStore(error=OSError("secret")), history=UsageHistory(collection)).test_client()
        response = client.get("/api/usage/history")
        assert (response.status_code, response.data) == (500, FAILED)
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert "secret" not in record.getMessage()

    def test_the_database_is_down(self, projects, app_factory, caplog):
        """The error is sent within the time limit of the store."""
        with MongoClient("mongodb://127.0.0.1:9") as client:
            history = UsageHistory(client.platform.usage_history)
            app = app_factory(ProjectStore(projects, timeout=0.3), history=history)
            began = time.monotonic()
            assert app.test_client().get("/api/usage/history").data == FAILED
        assert time.monotonic() - began < 1.3
        assert "the history could not be read: ServerSelectionTimeoutError" in caplog.text

    def test_one_time_limit(self, mongo_client, mongodb_uri, projects, app_factory):
        """All reads together must not take longer than the store's timeout."""
        database = projects.database.name
        fill(projects)
        with MongoClient(mongodb_uri, appname="slow history") as client:
            store = ProjectStore(client[database].projects, timeout=0.5)
            app = app_factory(store, history=UsageHistory(client[database].usage_history)).test_client()
            assert app.get("/api/usage/history").status_code == 200
            data = {
                "failCommands": ["find", "aggregate"],
                "appName": "slow history",
                "blockConnection": True,
                "blockTimeMS": 200,
            }
            mongo_client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)
            try:
                began = time.monotonic()
                assert app.get("/api/usage/history").data == FAILED
                assert time.monotonic() - began < 1.5
            finally:
                mongo_client.admin.command("configureFailPoint", "failCommand", mode="off")


def test_the_commands(mongodb_uri, projects, app_factory):
    """A request sends one query for the projects, one for ``since`` and one for the counts."""
    fill(projects)
    recorder = CommandRecorder()
    with MongoClient(mongodb_uri, event_listeners=[recorder]) as client:
        database = client[projects.database.name]
        app = app_factory(database.projects, history=UsageHistory(database.usage_history))
        app.test_client().get("/api/usage/history")
        recorder.commands.clear()
        assert app.test_client().get("/api/usage/history").status_code == 200
    names = [next(iter(command)) for command in recorder.commands]
    assert names[:3] == ["find", "find", "aggregate"]
    assert set(names[3:]) <= {"endSessions"}


def test_recorded_requests_appear(any_projects, app_factory, monkeypatch):
    """What a recorder counts is what the history and the list return."""
    monkeypatch.undo()
    any_projects.insert_many([{"_id": number, "owner": "ada"} for number in range(3)])
    history = UsageHistory(any_projects.database.usage_history)
    recorder = UsageRecorder(ProjectStore(any_projects), history=history, interval=3600)
    client = app_factory(any_projects, history=history).test_client()
    for number in range(3):
        recorder.record(number, number + 1)
    assert recorder.close()
    body = history_of(client, "")
    assert body["totalRequests"] == client.get("/api/usage").json["totalRequests"] == 6
    assert datetime.fromisoformat(body["since"]) > datetime.now(UTC) - timedelta(minutes=16)
    assert json.loads(client.get("/api/usage/history?groupBy=project").data)["buckets"][-1]["groups"][0] == {
        "project": 2,
        "totalRequests": 3,
    }
