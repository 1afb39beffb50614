"""``lastRequestAt``, and idle projects: only if a request asks for them, and only if they are recorded."""

import json
import logging
import time
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qs

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient, monitoring
from support import FAILED, StubStore, ids_of, read_pages, usage_body

from flask_usage_stats import InvalidParametersError, ProjectStore, UsageHistory

NOW = datetime(2026, 11, 26, 5, 20)
MARCH = datetime(2024, 3, 14, 10, 15, 0, 123000)
SINCE = {"_id": "since", "at": datetime(2026, 10, 20, 7, 15), "format": 1}
NOT_RECORDED = "lastRequestAt is not recorded here"


def days_ago(number):
    return NOW - timedelta(days=number)


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr("flask_usage_stats._core.clock.get_now", lambda: NOW.replace(tzinfo=UTC))


@pytest.fixture
def history(any_projects):
    collection = any_projects.database.usage_history
    collection.insert_one(SINCE)
    return UsageHistory(collection)


@pytest.fixture
def client(any_projects, history, app_factory):
    """Return a client of an application with a history, and 30 projects of which some are idle."""
    any_projects.insert_many(
        {
            "_id": number,
            "owner": "ada",
            "name": f"n{number}",
            "plan": "pro" if number % 2 else "free",
            "totalRequest": number,
            "createdAt": days_ago(40 - number),
            **({"lastRequestAt": days_ago(number)} if number % 3 else {}),
        }
        for number in range(30)
    )
    return app_factory(any_projects, history=history).test_client()


def idle(days):
    """Return the numbers of the projects that are idle for some days."""
    return [n for n in range(30) if 40 - n >= days and (n % 3 == 0 or n >= days)]


class TestInclude:
    STORED = (MARCH, None, "soon", "2024-03-14", DatetimeMS(2**62), [MARCH], 5)

    def test_rows(self, any_projects, history, app_factory):
        """The field follows the others: converted as other dates, null if null, and absent if missing."""
        any_projects.insert_one({"_id": 0, "owner": "ada", "updatedAt": MARCH})
        any_projects.insert_many(
            {"_id": number, "owner": "ada", "lastRequestAt": value, "updatedAt": MARCH}
            for number, value in enumerate(self.STORED[:4], 1)
        )
        client = app_factory(any_projects, history=history).test_client()
        march = "2024-03-14T10:15:00.123Z"
        rows = [{"_id": 0, "totalRequest": 0, "updatedAt": march}]
        rows += [
            {"_id": number, "totalRequest": 0, "updatedAt": march, "lastRequestAt": value}
            for number, value in enumerate([march, None, "soon", "2024-03-14"], 1)
        ]
        response = client.get("/api/usage?include=lastRequestAt")
        assert json.dumps(usage_body(response)["projectStats"]) == json.dumps(rows)
        lines = client.get("/api/usage?include=lastRequestAt&format=csv").text.splitlines()
        assert lines[0] == "_id,name,projectType,status,plan,totalRequest,createdAt,updatedAt,lastRequestAt"
        assert [line.split(",")[-1] for line in lines[1:]] == ["", march, "", "soon", "2024-03-14"]

    def test_damaged_values(self, projects, app_factory, caplog):
        """A value that is no date is null and logged, also one outside the years 1 to 9999."""
        projects.insert_many(
            {"_id": number, "owner": "ada", "lastRequestAt": value} for number, value in enumerate(self.STORED)
        )
        store = ProjectStore(projects, fields={"lastRequestAt": "lastRequestAt"})
        client = app_factory(store).test_client()
        rows = usage_body(client.get("/api/usage?include=lastRequestAt"))["projectStats"]
        assert [row["lastRequestAt"] for row in rows[4:]] == [None, None, None]
        (record,) = caplog.records
        kinds = [
            (str(number), [("lastRequestAt", kind)]) for number, kind in ((4, "DatetimeMS"), (5, "list"), (6, "int"))
        ]
        assert [(project, list(fields.items())) for project, fields in record.usage_examples] == kinds

    def test_plain_requests_are_unchanged(self, any_projects, app_factory, history):
        """Without the parameter, the body is that of an application without a history."""
        any_projects.insert_one({"_id": 1, "owner": "ada", "updatedAt": MARCH, "lastRequestAt": MARCH})
        for query in ("", "?format=csv", "?limit=1", "?sort=updatedAt"):
            plain, other = (
                app_factory(any_projects, history=each).test_client().get(f"/api/usage{query}")
                for each in (None, history)
            )
            assert plain.data == other.data
            assert plain.headers["ETag"] == other.headers["ETag"]
            assert b"lastRequestAt" not in other.data

    def test_other_stores(self, app_factory, history):
        """A store for another database may return the field, also as an aware datetime; it is not returned unasked."""
        moment = datetime(2024, 3, 14, 15, 45, tzinfo=timezone(timedelta(hours=5, minutes=30)))
        store = StubStore({"_id": 1, "lastRequestAt": moment, "createdAt": moment}, {"_id": 2})
        client = app_factory(store, history=history).test_client()
        included, plain, ordered = (
            usage_body(client.get(f"/api/usage?{query}"))["projectStats"]
            for query in ("include=lastRequestAt", "", "sort=lastRequestAt&limit=1")
        )
        date = "2024-03-14T10:15:00.000Z"
        row = {"_id": 1, "totalRequest": 0, "createdAt": date}
        assert included == [row | {"lastRequestAt": date}, {"_id": 2, "totalRequest": 0}]
        assert plain == [row, {"_id": 2, "totalRequest": 0}]
        assert ordered == [row]
        assert ids_of(usage_body(client.get("/api/usage?idleDays=30"))) == [1]

    def test_etag(self, client):
        """The tag covers the field."""
        tags = {client.get(f"/api/usage?{query}").headers["ETag"] for query in ("", "include=lastRequestAt")}
        assert len(tags) == 2
        (tag,) = tags - {client.get("/api/usage").headers["ETag"]}
        headers = {"If-None-Match": tag}
        assert client.get("/api/usage?include=lastRequestAt", headers=headers).status_code == 304
        assert client.get("/api/usage", headers=headers).status_code == 200


class TestSort:
    @pytest.mark.parametrize("order", ["", "&order=desc", "&order=asc"])
    @pytest.mark.parametrize("include", ["", "&include=lastRequestAt"])
    def test_pages(self, client, order, include):
        """The latest come first by default, and projects without a request last, over all pages."""
        having = [n for n in range(30) if n % 3]
        expected = (having[::-1] if order == "&order=asc" else having) + [n for n in range(30) if n % 3 == 0]
        query = f"sort=lastRequestAt{order}{include}"
        assert ids_of(usage_body(client.get(f"/api/usage?{query}"))) == expected
        pages = list(read_pages(client, f"{query}&limit=7"))
        assert [number for page in pages for number in ids_of(page)] == expected
        assert all(
            ("lastRequestAt" in row) == (bool(include) and row["_id"] % 3 > 0) for row in pages[0]["projectStats"]
        )

    def test_pages_over_ids_that_are_not_unique(self, app_factory, history):
        """Projects that are alike but for the date are returned once each, whether or not they have it."""
        store = StubStore(*({"_id": None, "lastRequestAt": MARCH + timedelta(number % 3)} for number in range(9)))
        client = app_factory(store, history=history).test_client()
        for query in ("include=lastRequestAt", "sort=lastRequestAt", "sort=lastRequestAt&include=lastRequestAt"):
            rows = usage_body(client.get(f"/api/usage?{query}"))["projectStats"]
            pages = read_pages(client, f"{query}&limit=2")
            assert [row for page in pages for row in page["projectStats"]] == rows
            assert len(rows) == 9

    def test_ties_do_not_depend_on_the_order_of_reading(self, app_factory, history):
        """Projects with the same id and count are ranked by the date if it is included, also from page to page."""

        class Reversing(StubStore):
            def iter_projects(self, owner, /):
                self.projects = self.projects[::-1]
                return self.projects

        store = Reversing(*({"_id": 7, "lastRequestAt": MARCH + timedelta(number)} for number in range(9)))
        client = app_factory(store, history=history).test_client()
        pages = read_pages(client, "include=lastRequestAt&limit=2")
        assert len({row["lastRequestAt"] for page in pages for row in page["projectStats"]}) == 9

    def test_filtered(self, client):
        """The date stays out of filtered rows as well."""
        rows = usage_body(client.get("/api/usage?sort=lastRequestAt&plan=pro"))["projectStats"]
        assert rows
        assert not any("lastRequestAt" in row for row in rows)


class TestIdleDays:
    @pytest.mark.parametrize("days", [1, 15, 16, 30, 36])
    def test_projects(self, client, days):
        """Only projects without a request for as long, which are older, are returned and counted."""
        body = usage_body(client.get(f"/api/usage?idleDays={days}&limit=1000&groupBy=plan"))
        assert sorted(ids_of(body)) == idle(days)
        assert body["totalRequests"] == sum(idle(days))
        assert body["totalProjects"] == len(idle(days)) == sum(group["projects"] for group in body["groups"])
        assert not any("lastRequestAt" in row for row in body["projectStats"])

    def test_no_projects(self, client):
        """If no project is idle, the list is empty."""
        assert usage_body(client.get("/api/usage?idleDays=36&minRequests=29"))["projectStats"] == []

    def test_none_of_a_batch(self, app_factory, history):
        """All documents of a batch may be left out."""
        store = StubStore(
            *({"_id": number, "createdAt": NOW} for number in range(4001)), {"_id": 9, "createdAt": MARCH}
        )
        client = app_factory(store, history=history).test_client()
        assert ids_of(usage_body(client.get("/api/usage?idleDays=1"))) == [9]

    def test_other_filters(self, client):
        """All filters must hold."""
        body = usage_body(client.get("/api/usage?idleDays=15&plan=pro&minRequests=9&search=n2"))
        assert sorted(ids_of(body)) == [n for n in idle(15) if n % 2 and n >= 9 and str(n).startswith("2")]

    def test_csv(self, client):
        """CSV has the same projects, with the column only if it is included."""
        lines = client.get("/api/usage?idleDays=15&format=csv").text.splitlines()
        assert sorted(int(line.split(",")[0]) for line in lines[1:]) == idle(15)
        assert lines[0].endswith(",updatedAt")
        including = client.get("/api/usage?idleDays=15&format=csv&include=lastRequestAt").text.splitlines()
        assert [line.rpartition(",")[0] for line in including] == lines

    def test_pages(self, client):
        """A cursor and the link keep the number of days and what is included; another number is another query."""
        query = "idleDays=15&include=lastRequestAt&limit=4"
        pages = list(read_pages(client, query))
        assert sorted(number for page in pages for number in ids_of(page)) == idle(15)
        response = client.get(f"/api/usage?{query}")
        link = parse_qs(response.headers["Link"].split(">")[0].removeprefix("<?"))
        cursor = response.json["nextCursor"]
        assert link == {"idleDays": ["15"], "include": ["lastRequestAt"], "limit": ["4"], "cursor": [cursor]}
        for other in ("idleDays=16&include=lastRequestAt", "include=lastRequestAt", "idleDays=15", ""):
            assert client.get(f"/api/usage?{other}&limit=4&cursor={cursor}").json["errors"] == {
                "cursor": ["cursor must be the nextCursor of a page of the same query"]
            }

    def test_age_by_object_id(self, projects, app_factory):
        """Without a date of creation, the time of an ObjectId is the age, also next to values to be converted."""
        old, new = (ObjectId.from_datetime(days_ago(number)) for number in (40, 2))
        projects.insert_many(
            [
                {"_id": old, "owner": "ada", "plan": 5},
                {"_id": new, "owner": "ada", "plan": 5},
                {"_id": 7, "owner": "ada"},
            ]
        )
        store = ProjectStore(projects, fields={"lastRequestAt": "lastRequestAt"})
        client = app_factory(store).test_client()
        assert ids_of(usage_body(client.get("/api/usage?idleDays=30"))) == [str(old)]

    def test_unknown_times_are_logged(self, projects, app_factory, caplog):
        """A project whose latest request is not a date is not returned, and is logged."""
        projects.insert_one({"_id": 1, "owner": "ada", "createdAt": MARCH, "lastRequestAt": "soon"})
        store = ProjectStore(projects, fields={"lastRequestAt": "lastRequestAt"})
        assert ids_of(usage_body(app_factory(store).test_client().get("/api/usage?idleDays=30"))) == []
        assert "1 lastRequestAt (str)" in caplog.text


class TestAvailability:
    PARAMETERS = ("include=lastRequestAt", "sort=lastRequestAt", "idleDays=30")

    @pytest.mark.parametrize("parameter", PARAMETERS)
    def test_not_recorded(self, any_projects, app_factory, parameter):
        """Without a history and a mapped field, each parameter is a 400, whatever the store is."""
        for store in (StubStore(), any_projects):
            response = app_factory(store).test_client().get(f"/api/usage?{parameter}")
            assert response.status_code == 400
            name = parameter.partition("=")[0]
            assert response.json == {"success": False, "message": NOT_RECORDED, "errors": {name: [NOT_RECORDED]}}

    @pytest.mark.parametrize("parameter", PARAMETERS)
    def test_mapped_field(self, any_projects, app_factory, parameter):
        """An application that says where it keeps the time needs no history."""
        any_projects.insert_one({"_id": 1, "owner": "ada", "createdAt": MARCH, "requested": MARCH})
        store = ProjectStore(any_projects, fields={"lastRequestAt": "requested"})
        assert ids_of(usage_body(app_factory(store).test_client().get(f"/api/usage?{parameter}"))) == [1]

    def test_before_counting_began(self, client, any_projects):
        """The days must not reach back before counting began, or every old project would be idle at first."""
        for days, status in ((36, 200), (37, 400)):
            assert client.get(f"/api/usage?idleDays={days}").status_code == status
        message = "idleDays must not reach back before 2026-10-20"
        response = client.get("/api/usage?idleDays=37&include=lastRequestAt")
        assert response.json == {"success": False, "message": message, "errors": {"idleDays": [message]}}
        assert response.headers["Cache-Control"] == "no-store"
        any_projects.database.usage_history.delete_many({})
        assert client.get("/api/usage?idleDays=1").json["message"] == (
            "idleDays must not reach back before counting began"
        )
        assert client.get("/api/usage?include=lastRequestAt").status_code == 200

    def test_authentication_comes_first(self, any_projects, history, app_factory):
        """Without an owner nothing is said about the history."""
        client = app_factory(any_projects, None, history=history).test_client()
        assert client.get("/api/usage?idleDays=3000").status_code == 401


class TestReads:
    class Commands(monitoring.CommandListener):
        def __init__(self):
            self.found = []

        def started(self, event):
            if "find" in event.command:
                self.found.append(event.command)

        def succeeded(self, event):
            pass

        def failed(self, event):
            pass

    def test_what_is_read(self, mongodb_uri, projects, app_factory):
        """A request reads the field, and the history, only if it needs them; the field needs no other query."""
        projects.insert_one({"_id": 1, "owner": "ada", "createdAt": MARCH})
        projects.database.usage_history.insert_one(SINCE)
        commands = self.Commands()
        with MongoClient(mongodb_uri, event_listeners=[commands]) as connected:
            database = connected[projects.database.name]
            client = app_factory(database.projects, history=UsageHistory(database.usage_history)).test_client()
            client.get("/api/usage")
            for query, collections, has_field in (
                ("", ["projects"], False),
                ("sort=updatedAt&limit=5", ["projects"], False),
                ("include=lastRequestAt", ["projects"], True),
                ("sort=lastRequestAt", ["projects"], True),
                ("idleDays=30", ["usage_history", "projects"], True),
                ("idleDays=3000", ["usage_history"], False),
                ("idleDays=30&limit=x", [], False),
            ):
                commands.found.clear()
                client.get(f"/api/usage?{query}")
                assert [command["find"] for command in commands.found] == collections
                assert ("lastRequestAt" in str(commands.found)) is has_field

    @pytest.mark.parametrize("damage", [{"at": "today"}, {"format": 2}])
    def test_damaged_history(self, client, any_projects, caplog, damage):
        """If it is not known when counting began, the response is a 500, not a list of all projects."""
        any_projects.database.usage_history.update_one({}, {"$set": damage})
        response = client.get("/api/usage?idleDays=30")
        assert (response.status_code, response.data) == (500, FAILED)
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert "StoreError: the history" in record.getMessage()
        assert client.get("/api/usage?include=lastRequestAt").status_code == 200

    def test_unreachable_history(self, projects, app_factory):
        """The history is read within the time limit of the store."""
        with MongoClient("mongodb://127.0.0.1:9") as down:
            history = UsageHistory(down.platform.usage_history)
            client = app_factory(ProjectStore(projects, timeout=0.3), history=history).test_client()
            started = time.monotonic()
            response = client.get("/api/usage?idleDays=30")
            assert time.monotonic() - started < 1.3
        assert (response.status_code, response.data) == (500, FAILED)

    def test_errors_of_other_code_are_failures(self, app_factory):
        """Only this package finds parameters invalid."""
        error = InvalidParametersError({"idleDays": ["x"]})

        class Refusing:
            def iter_projects(self, owner, /):
                raise error

        assert app_factory(Refusing()).test_client().get("/api/usage").status_code == 500
