"""Reading projects: one query, its timeout, its errors, and values that the driver cannot decode."""

import re
from datetime import UTC, datetime
from operator import itemgetter
from struct import pack
from time import monotonic
from uuid import UUID

import pymongo
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp, encode
from bson.binary import JAVA_LEGACY, STANDARD
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from flask_usage_stats import ProjectStore, StoreError
from flask_usage_stats._mongodb.driver import TimeLimit
from flask_usage_stats._mongodb.store import iter_projects_within

NOON = datetime(2024, 3, 14, 12, tzinfo=UTC)
MARCH = datetime(2024, 3, 14, 10, 15)
ID = ObjectId("507f1f77bcf86cd799439011")
TEXT = b"\2\0\0\0x\0"  # the string "x" in BSON
#: Binary values that the server accepts and the driver cannot decode.
UNDECODABLE = {
    "wrong inner length": pack("<i", 8) + b"\x02" + pack("<i", 99) + b"oops",
    "no inner length": pack("<i", 2) + b"\x02ab",
    "short UUID": pack("<i", 3) + b"\x04abc",
}
WRONG_LENGTH = b"\x05plan\0" + UNDECODABLE["wrong inner length"]


def ids(store, owner="ada"):
    return sorted(project["_id"] for project in store.iter_projects(owner))


def document_with(*elements, **fields):
    """Build a document of ada's that ends with raw BSON elements."""
    document = encode({"owner": "ada"} | fields)
    raw = b"".join(elements)
    return RawBSONDocument(pack("<i", len(document) + len(raw)) + document[4:-1] + raw + b"\0")


def damaged(project_id, **fields):
    return document_with(WRONG_LENGTH, _id=project_id, **fields)


@pytest.fixture
def set_clock(monkeypatch):
    """Replace the clock with one that returns the given times."""

    def replace(*times):
        clock = iter(times)
        monkeypatch.setattr("flask_usage_stats._mongodb.driver.monotonic", lambda: next(clock))

    return replace


class TestQuery:
    def test_a_read_sends_one_find(self, sent_commands, projects):
        """A read sends one find with a time limit; the first read lists the indexes first."""
        projects.insert_one({"owner": "ada"})
        ProjectStore(projects).ensure_indexes()
        _, find = sent_commands()
        assert find["hint"] == "usage_stats_owner"
        assert find["batchSize"] == 2000
        assert find["find"] == "projects"
        assert find["filter"]["$and"][0] == {"owner": {"$eq": "ada"}}
        assert find["projection"] == dict.fromkeys(
            ["_id", "name", "projectType", "status", "plan", "totalRequest", "createdAt", "updatedAt"], 1
        )
        assert find["collation"] == {"locale": "simple"}
        assert 0 < find["maxTimeMS"] <= 5000

    def test_the_timeout_does_not_apply_between_projects(self, projects):
        """Operations of the caller between two projects are not limited by the store's timeout."""
        projects.insert_many([{"owner": "ada"} for _ in range(3)])
        for _ in ProjectStore(projects).iter_projects("ada"):
            assert pymongo._csot.get_timeout() is None

    def test_an_abandoned_read_closes_its_cursor(self, sent_commands, projects):
        """A read that the caller does not finish leaves no cursor on the server."""

        def abandon(read):
            documents = iter(read)
            next(documents)
            documents.close()

        projects.insert_many([{"owner": "ada"} for _ in range(2001)])
        assert "killCursors" in sent_commands(abandon)[-1]

    def test_closing_a_cursor_is_limited_to_half_a_second(self, projects, monkeypatch):
        """Closing a cursor has a timeout of half a second."""
        projects.insert_many([{"owner": "ada"} for _ in range(2001)])
        limits = []
        timeout = pymongo.timeout
        monkeypatch.setattr(pymongo, "timeout", lambda seconds: limits.append(seconds) or timeout(seconds))
        read = iter(ProjectStore(projects).iter_projects("ada"))
        next(read)
        read.close()
        assert limits[-1] == 0.5

    def test_no_query_is_sent_after_the_deadline(self, projects, set_clock):
        """After the deadline the read fails without a query, because for the driver 0 seconds means no limit."""
        set_clock(0, 5)
        with pytest.raises(StoreError, match="could not be read completely within the timeout"):
            ids(ProjectStore(projects))

    def test_the_timeout_applies_to_owner_filter(self, projects):
        """The timeout also applies to the queries of *owner_filter*."""
        with MongoClient("mongodb://127.0.0.1:9") as down:
            store = ProjectStore(projects, owner_filter=lambda _: {"team": down.platform.teams.find_one()}, timeout=0.3)
            began = monotonic()
            with pytest.raises(pymongo.errors.ServerSelectionTimeoutError):
                ids(store)
            assert monotonic() - began < 1.3

    def test_an_error_has_no_stored_values(self, projects):
        """An error of the driver that may quote a document is reported by its type and code only."""
        projects.insert_one({"owner": "ada", "name": "stored value"})
        filter_ = {"$expr": {"$eq": [{"$toInt": "$name"}, 1]}}
        with pytest.raises(StoreError) as caught:
            ids(ProjectStore(projects, owner_filter=lambda _: filter_))
        assert str(caught.value) == "the projects could not be read: OperationFailure 241 ConversionFailure"
        with pytest.raises(StoreError, match=r"could not be read: InvalidDocument$"):
            ids(ProjectStore(projects, owner_filter=lambda _: {"team": object()}))
        for value in (2**64, "\ud800"):
            with pytest.raises(StoreError):
                ids(ProjectStore(projects, owner_filter=lambda _, value=value: {"team": value}))

    @pytest.mark.parametrize("details", [None, {"codeName": "Overloaded"}], ids=["code", "code and name"])
    def test_a_server_error_is_reported_by_its_code(self, projects, monkeypatch, details):
        """An error of the server is reported by its code, and by its name if it has one."""

        def fail(*_):
            raise pymongo.errors.OperationFailure("stored value", 5, details)

        monkeypatch.setattr(pymongo.cursor.Cursor, "__next__", fail)
        monkeypatch.setattr(pymongo.cursor.Cursor, "to_list", fail)
        with pytest.raises(StoreError) as caught:
            ids(ProjectStore(projects))
        assert str(caught.value).split(": ")[1] == "OperationFailure 5" + (" Overloaded" if details else "")

    def test_a_long_driver_message_is_truncated(self, projects, monkeypatch):
        """The driver's message in an error has a limited length."""

        def fail(*_):
            raise pymongo.errors.InvalidOperation("auto encryption" + 5000 * "x")

        monkeypatch.setattr(pymongo.cursor.Cursor, "__next__", fail)
        monkeypatch.setattr(pymongo.cursor.Cursor, "to_list", fail)
        with pytest.raises(StoreError, match="auto encryption") as caught:
            ids(ProjectStore(projects))
        assert len(str(caught.value)) < 400


#: One value of every BSON type that the driver can write, and both kinds of container.
VALUES = {
    "double": 1.5,
    "whole double": 3e9,
    "NaN": float("nan"),
    "string": "text",
    "empty string": "",
    "object": {"a": 1},
    "empty object": {},
    "array": [1, "a"],
    "empty array": [],
    "binary": Binary(b"x"),
    "UUID": Binary.from_uuid(UUID(int=7)),
    "lowest UUID": Binary.from_uuid(UUID(int=0)),
    "highest UUID": Binary.from_uuid(UUID(int=2**128 - 1)),
    "legacy UUID": Binary(bytes(range(16)), 3),
    "16 other bytes": Binary(bytes(16), 5),
    "ObjectId": ID,
    "true": True,
    "false": False,
    "date": NOON,
    "date after 9999": DatetimeMS(253402300800000),
    "null": None,
    "regex": re.compile("x", re.IGNORECASE),
    "code": Code("x"),
    "code with scope": Code("x", {"a": 1}),
    "int": 7,
    "long": Int64(2**40),
    "timestamp": Timestamp(1, 2),
    "decimal": Decimal128("1.25"),
    "min key": MinKey(),
    "max key": MaxKey(),
}
#: Elements named "name" of types that drivers no longer write.
OLD_ELEMENTS = {
    "undefined": b"\x06name\0",
    "symbol": b"\x0ename\0" + TEXT,
    "pointer": b"\x0cname\0" + TEXT + ID.binary,
    "invalid UTF-8": b"\x02name\0\2\0\0\0\xff\0",
    "invalid UTF-8 in a regex": b"\x0bname\0\xff\0\0",
    "reference": b"\x03name\0" + encode({"$ref": "x", "$id": 1}),
}


class TestUndecodableValues:
    """Values that fail the driver's decoder are replaced by the server in a second query."""

    @pytest.mark.parametrize("kind", UNDECODABLE)
    @pytest.mark.parametrize("collation", [None, {"locale": "en", "strength": 1}], ids=["no collation", "collation"])
    def test_an_undecodable_value_is_null_and_the_other_projects_are_complete(
        self, database, get_usage, caplog, kind, collation
    ):
        """A value that cannot be decoded is null; the other values and projects are returned."""
        projects = database.create_collection("projects", collation=collation)
        everything = {"name": "blog", "status": re.compile("x"), "totalRequest": 5, "createdAt": NOON}
        projects.insert_one(document_with(b"\x05plan\0" + UNDECODABLE[kind], _id=1, **everything))
        projects.insert_many([{"_id": index, "owner": "ada"} for index in range(2, 1002)])
        rows = get_usage(projects).json["projectStats"]
        assert rows[0] == {
            "_id": 1,
            "name": "blog",
            "status": None,
            "plan": None,
            "totalRequest": 5,
            "createdAt": "2024-03-14T12:00:00.000Z",
        }
        assert [row["_id"] for row in rows[1:]] == list(range(2, 1002))
        assert "1 status (Regex), plan (bytes)" in caplog.text

    @pytest.mark.parametrize(
        ("field", "shown"), [("name", None), ("projectType", None), ("totalRequest", 0), ("updatedAt", None)]
    )
    @pytest.mark.parametrize("container", ["none", "document", "array", "scope"])
    def test_an_undecodable_value_of_any_field_is_replaced(self, projects, get_usage, field, shown, container):
        """A damaged text or date is null and a damaged count is 0, even if the damage is inside a container."""
        value = UNDECODABLE["short UUID"]
        inner = b"\x050\0" + value
        document = pack("<i", len(inner) + 5) + inner + b"\0"
        kind, content = {
            "none": (b"\x05", value),
            "document": (b"\x03", document),
            "array": (b"\x04", document),
            "scope": (b"\x0f", pack("<i", 4 + len(TEXT) + len(document)) + TEXT + document),
        }[container]
        element = kind + field.encode() + b"\0" + content
        projects.insert_one(document_with(element, _id=1))
        assert get_usage(projects).json["projectStats"] == [{"_id": 1, "totalRequest": 0} | {field: shown}]

    @pytest.mark.parametrize(
        "make_id",
        [lambda number: {"n": number}, lambda _: ObjectId(), str, Int64],
        ids=["document", "ObjectId", "string", "long"],
    )
    def test_a_project_read_before_the_damage_is_not_repeated(self, projects, make_id):
        """Projects of a batch before the damage are not yielded again, whatever the type of their ``_id``."""
        projects.insert_many([{"_id": make_id(number), "owner": "ada"} for number in range(2500)])
        projects.insert_one(damaged(make_id(-1)))
        found = list(ProjectStore(projects).iter_projects("ada"))
        assert len(found) == 2501
        assert len({repr(project["_id"]) for project in found}) == 2501

    def test_legacy_uuids_and_distant_dates_are_decoded_as_in_the_first_query(self, projects):
        """The second query uses the same codec options as the first, and keeps the collection's kind of UUIDs."""
        far = DatetimeMS(253402300800000)
        legacy = projects.with_options(codec_options=CodecOptions(uuid_representation=JAVA_LEGACY))
        legacy.insert_one({"_id": UUID(int=7), "owner": "ada", "createdAt": far, "name": UUID(int=8)})
        projects.insert_one(damaged(1, createdAt=far))
        found = {project["_id"]: project for project in ProjectStore(legacy).iter_projects("ada")}
        assert found[1]["createdAt"] == found[UUID(int=7)]["createdAt"] == far
        assert found[UUID(int=7)]["name"] == UUID(int=8)

    @pytest.mark.parametrize(
        ("value", "returned"),
        [(MARCH, MARCH), (None, None), ([MARCH], []), ({"a": 1}, {}), ("soon", "soon")],
    )
    def test_the_latest_request_is_in_the_second_query_if_it_is_in_the_first(self, projects, value, returned):
        """The time of the latest request is read again, and an array or document in its place is replaced."""
        projects.insert_one({"_id": 1, "owner": "ada", "lastRequestAt": value})
        projects.insert_one(damaged(2, lastRequestAt=value))
        documents = iter_projects_within(ProjectStore(projects), "ada", TimeLimit(5), has_last_requests=True)
        found = sorted(documents, key=itemgetter("_id"))
        assert found == [{"_id": 1, "lastRequestAt": returned}, {"_id": 2, "lastRequestAt": returned, "plan": b""}]

    def test_a_damaged_project_has_the_response_names(self, projects):
        """The fields of a damaged document are renamed like those of any other."""
        projects.insert_one(damaged(1, title="blog"))
        (project,) = ProjectStore(projects, fields={"name": "title"}).iter_projects("ada")
        assert project["name"] == "blog"

    def test_a_value_at_a_nested_path_is_replaced(self, projects):
        """A damaged value at a nested path is replaced, not missing."""
        projects.insert_one(damaged(1))
        projects.aggregate([{"$project": {"owner": 1, "plan": {"name": "$plan"}}}, {"$out": "projects"}])
        assert list(ProjectStore(projects, fields={"plan": "plan.name"}).iter_projects("ada")) == [
            {"_id": 1, "plan": b""}
        ]

    def test_the_second_query_differs_in_the_projection_only(self, sent_commands, projects):
        """Filter, collation and batch size are those of the first query; the time limit is what remains."""
        projects.insert_one(damaged(1))
        first, second = (command for command in sent_commands() if "find" in command)
        for part in ("filter", "collation", "batchSize"):
            assert first[part] == second[part]
        assert first["projection"].keys() == second["projection"].keys()
        assert second["maxTimeMS"] <= first["maxTimeMS"] <= 5000

    def test_the_second_query_has_the_same_deadline(self, projects, set_clock):
        """The timeout applies to both queries together."""
        projects.insert_one(damaged(1))
        set_clock(0, 0.1, 0.1, 99)
        with pytest.raises(StoreError, match="could not be read completely within the timeout"):
            ids(ProjectStore(projects))

    def test_a_damaged_id_is_an_error(self, projects, get_usage):
        """An ``_id`` that cannot be decoded fails the read instead of being replaced."""
        projects.insert_one({"_id": 1, "owner": "ada"})
        projects.insert_one(document_with(b"\x05_id\0" + UNDECODABLE["short UUID"]))
        with pytest.raises(StoreError, match=r"^the projects could not be read: InvalidBSON$") as caught:
            ids(ProjectStore(projects))
        assert isinstance(caught.value.__cause__, InvalidBSON)
        assert get_usage(projects).status_code == 500

    def test_damage_in_the_projects_of_another_owner_does_not_matter(self, projects):
        """Damage in another owner's projects does not affect the read."""
        projects.insert_one(document_with(b"\x05_id\0" + UNDECODABLE["short UUID"], owner="bob"))
        projects.insert_one({"_id": 1, "owner": "ada"})
        assert ids(ProjectStore(projects)) == [1]


FIELDS = ("name", "totalRequest", "createdAt")
#: What can be stored at "stats" if a field's path is "stats.value".
PARENTS = {
    "missing": {},
    "null": {"stats": None},
    "scalar": {"stats": 5},
    "empty object": {"stats": {}},
    "other fields": {"stats": {"other": 1}},
    "empty array": {"stats": []},
    "array of scalars": {"stats": [1, None]},
    "array of objects": {"stats": [{"value": 1}, {"value": 2}, {"other": 3}, 4]},
    "nested arrays": {"stats": [[{"value": 1}], []]},
}


class TestSecondQuery:
    """The second query returns the rows that the first would return without the damage."""

    @pytest.fixture
    def assert_same_rows(self, projects, app_factory):
        """Compare the response for a store with and without a damaged document."""

        def get(store):
            body = app_factory(store).test_client().get("/api/usage").json
            return [row for row in body["projectStats"] if row["_id"] != "damaged"], body["totalRequests"]

        def check(**options):
            store = ProjectStore(projects, **options)
            expected = get(store)
            projects.insert_one(damaged("damaged"))
            assert expected[0]
            assert get(store) == expected

        return check

    @pytest.mark.parametrize("uuids", [STANDARD, JAVA_LEGACY], ids=["standard UUIDs", "legacy UUIDs"])
    def test_values_of_every_type_are_the_same(self, projects, assert_same_rows, uuids):
        """Values of every BSON type are the same in every kind of field, at the top level and nested."""
        projects = projects.with_options(codec_options=CodecOptions(uuid_representation=uuids))
        for name, value in VALUES.items():
            projects.insert_many({"_id": f"{name}, {field}", "owner": "ada", field: value} for field in FIELDS)
        for name, element in OLD_ELEMENTS.items():
            projects.insert_one(document_with(element, _id=name))
        assert_same_rows()

    @pytest.mark.parametrize("field", FIELDS)
    def test_nested_values_of_every_type_are_the_same(self, projects, assert_same_rows, field):
        """Values of every BSON type are the same at a nested path, below objects and arrays."""
        for name, value in VALUES.items():
            projects.insert_one({"_id": name, "owner": "ada", "stats": {"value": value, "other": 1}})
            projects.insert_one({"_id": f"array, {name}", "owner": "ada", "stats": [{"value": value}]})
        for name, parent in PARENTS.items():
            projects.insert_one({"_id": f"parent, {name}", "owner": "ada"} | parent)
            projects.insert_one({"_id": f"deep parent, {name}", "owner": "ada", "deep": parent})
        assert_same_rows(fields={field: "stats.value", "plan": "plan", "projectType": "deep.stats.value"})

    def test_a_mapped_id_is_the_same(self, projects, assert_same_rows):
        """A mapped ``_id`` is the same; documents are still identified by their own."""
        projects.insert_many([{"_id": n, "owner": "ada", "slug": slug} for n, slug in enumerate(["a", "a", ID, None])])
        projects.insert_one({"_id": 9, "owner": "ada"})
        store = ProjectStore(projects, fields={"_id": "slug"})
        expected = list(store.iter_projects("ada"))
        projects.insert_one(damaged("damaged"))
        found = list(store.iter_projects("ada"))
        assert found == [*expected, {"plan": b""}]

    def test_missing_and_null_stay_apart(self, projects):
        """In the second query a missing field is absent and a null one is null."""
        projects.insert_one({"_id": 1, "owner": "ada", "name": None})
        projects.insert_one(damaged(2))
        found = sorted(ProjectStore(projects).iter_projects("ada"), key=lambda project: project["_id"])
        assert found == [{"_id": 1, "name": None}, {"_id": 2, "plan": b""}]
