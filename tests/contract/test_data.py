"""If documents are invalid or damaged, the response is strict JSON and has all valid rows."""

import json
from struct import pack

import pytest
from bson_values import DAMAGED, ELEMENTS, VALUES, document, element
from support import ids_of, usage_body

FIELDS = ["name", "projectType", "status", "plan", "totalRequest", "createdAt", "updatedAt"]
#: A value that older versions of the driver cannot decode.
SOMETIMES_DAMAGED = {"old UUID of a wrong length"}
#: Values that the server does not accept as an ``_id``.
NO_IDS = {
    "array",
    "pattern",
    "undefined",
    "pattern that is no UTF-8",
    "pattern with odd options",
    "array with odd keys",
    "reference with a number for a collection",
    "reference with too much",
}


ALL = pytest.mark.parametrize("value", [*VALUES.values(), *ELEMENTS.values()], ids=[*VALUES, *ELEMENTS])
OWNER = element("owner", "ada")


class TestBSONTypes:
    @ALL
    def test_each_field_alone(self, projects, get_usage, value):
        """A field with any value is returned, converted or null, and its row is never dropped."""
        for field in FIELDS:
            projects.delete_many({})
            projects.insert_one(document(element("_id", 1), OWNER, element(field, value)))
            (row,) = usage_body(get_usage(projects))["projectStats"]
            assert set(row) == {"_id", field, "totalRequest"}
            assert "secret" not in json.dumps(row)

    @ALL
    def test_all_fields_at_once(self, projects, get_usage, value, caplog):
        """A document with the value in every field does not affect valid rows, and the value is not logged."""
        odd = document(element("_id", -1), OWNER, *(element(field, value) for field in FIELDS))
        good = [{"_id": index, "owner": "ada", "name": "good", "totalRequest": index + 1} for index in range(1000)]
        projects.insert_many([*good[:500], odd, *good[500:]])
        rows = {row["_id"]: row for row in usage_body(get_usage(projects))["projectStats"]}
        odd_row = rows.pop(-1)
        assert set(odd_row) == {"_id", *FIELDS}
        assert rows == {row["_id"]: {name: row[name] for name in ("_id", "name", "totalRequest")} for row in good}
        assert len(caplog.records) <= 1
        assert "secret" not in caplog.text

    @pytest.mark.parametrize(
        "value",
        [value for name, value in (VALUES | ELEMENTS).items() if name not in NO_IDS | DAMAGED | SOMETIMES_DAMAGED],
        ids=[name for name in VALUES | ELEMENTS if name not in NO_IDS | DAMAGED | SOMETIMES_DAMAGED],
    )
    def test_id(self, projects, get_usage, value):
        """Any stored ``_id`` is returned as text, an integer or null, alone and among valid documents."""
        projects.insert_one(document(element("_id", value), OWNER))
        (row,) = usage_body(get_usage(projects))["projectStats"]
        assert isinstance(row["_id"], str | int | None)
        good = [{"_id": f"good {index}", "owner": "ada"} for index in range(1000)]
        projects.insert_many(good)
        rows = usage_body(get_usage(projects))["projectStats"]
        assert len(rows) == 1001
        assert {row["_id"] for row in rows} >= {row["_id"] for row in good}

    @pytest.mark.parametrize("name", sorted(DAMAGED))
    def test_damaged_id(self, projects, get_usage, name):
        """An ``_id`` that cannot be decoded results in the 500 response, never in a list without the project."""
        projects.insert_one(document(element("_id", ELEMENTS[name]), OWNER))
        projects.insert_one({"_id": 1, "owner": "ada"})
        response = get_usage(projects)
        assert (response.status_code, response.json["message"]) == (500, "Failed to fetch usage stats")

    @ALL
    def test_value_as_owner(self, projects, get_usage, value):
        """An owner value of any type matches no user, and other values in an array do not affect the owner."""
        owners = element("0", "ada") + element("1", value)
        array = pack("<i", len(owners) + 5) + owners + b"\0"
        projects.insert_many([document(element("_id", 1), element("owner", value)), {"_id": 2, "owner": "ada"}])
        projects.insert_one(document(element("_id", 3), element("owner", (0x04, array))))
        assert ids_of(usage_body(get_usage(projects))) == [2, 3]


class TestDocuments:
    def test_all_invalid_documents_together(self, projects, get_usage, caplog):
        """All invalid documents together do not affect valid rows and are logged on one line."""
        odd = [
            document(element("_id", -index), OWNER, *(element(field, value) for field in FIELDS))
            for index, value in enumerate([*VALUES.values(), *ELEMENTS.values()], 1)
        ]
        good = [{"_id": index, "owner": "ada"} for index in range(1000)]
        projects.insert_many([*odd, *good])
        rows = usage_body(get_usage(projects))["projectStats"]
        assert sorted(row["_id"] for row in rows) == list(range(-len(odd), 0)) + list(range(1000))
        assert len(caplog.records) == 1

    def test_duplicate_field_is_returned_once(self, projects, get_usage):
        """A field that a document has twice is returned once."""
        projects.insert_one(document(element("_id", 1), OWNER, *[element("name", one) for one in ("first", "second")]))
        projects.insert_one({"_id": 2, "owner": "ada"})
        rows = usage_body(get_usage(projects))["projectStats"]
        assert [row["_id"] for row in rows] == [1, 2]
        assert rows[0]["name"] in ("first", "second")

    def test_unusual_keys_are_ignored(self, projects, get_usage):
        """Keys that are invalid UTF-8, empty, dotted or look like operators are ignored."""
        odd = [b"\x0a\xff\xfe\0", b"\x0a\0", element("a.b", 1), element("$set", 1), element("name ", "x")]
        projects.insert_one(document(element("_id", 1), OWNER, element("name", "blog"), *odd))
        assert usage_body(get_usage(projects))["projectStats"] == [{"_id": 1, "name": "blog", "totalRequest": 0}]

    def test_thousands_of_owners(self, projects, get_usage):
        """A project with an array of owners belongs to each of them."""
        projects.insert_one({"_id": 1, "owner": [f"user {index}" for index in range(50_000)] + ["ada"]})
        assert len(usage_body(get_usage(projects))["projectStats"]) == 1
        assert len(usage_body(get_usage(projects, "user 7"))["projectStats"]) == 1
        assert usage_body(get_usage(projects, "user"))["projectStats"] == []

    def test_nested_owner_is_not_an_owner(self, projects, get_usage):
        """An owner in a nested array or document does not own the project."""
        projects.insert_many([{"owner": [["ada"]]}, {"owner": {"ada": "ada"}}, {"owner": [{"owner": "ada"}]}])
        assert usage_body(get_usage(projects))["projectStats"] == []

    def test_missing_and_empty_collections(self, database, get_usage):
        """A missing collection, an empty collection and an empty view result in an empty list."""
        database.create_collection("empty")
        database.create_collection("view", viewOn="empty", pipeline=[])
        for name in ("missing", "empty", "view"):
            assert usage_body(get_usage(database[name])) == {"success": True, "totalRequests": 0, "projectStats": []}

    def test_views_and_capped_collections(self, database, get_usage):
        """Views and capped collections are read like any other."""
        database.create_collection("capped", capped=True, size=2**16)
        database.capped.insert_one({"_id": 1, "owner": "ada"})
        database.create_collection("view", viewOn="capped", pipeline=[{"$set": {"name": "seen"}}])
        assert usage_body(get_usage(database.capped))["projectStats"] == [{"_id": 1, "totalRequest": 0}]
        assert usage_body(get_usage(database.view))["projectStats"] == [{"_id": 1, "name": "seen", "totalRequest": 0}]

    def test_nothing_is_cached_between_requests(self, projects, get_usage):
        """Each request returns what is stored at that time."""
        projects.insert_one({"_id": 1, "owner": "ada", "totalRequest": 1})
        assert usage_body(get_usage(projects))["totalRequests"] == 1
        projects.update_one({"_id": 1}, {"$inc": {"totalRequest": 1}, "$set": {"name": "new"}})
        assert usage_body(get_usage(projects))["projectStats"] == [{"_id": 1, "name": "new", "totalRequest": 2}]
        projects.update_one({"_id": 1}, {"$set": {"status": "deleted"}})
        assert usage_body(get_usage(projects))["projectStats"] == []
        projects.drop()
        assert usage_body(get_usage(projects))["projectStats"] == []
