"""The check says why a recorder cannot write to a collection."""

import pytest
from pymongo import MongoClient

from flask_usage_stats import ProjectStore, UsageRecorder
from flask_usage_stats._mongodb.check_result import Status
from flask_usage_stats._mongodb.checks import run_checks


def check(collection, *, id_type=None, **options):
    store = ProjectStore(collection, **options)
    UsageRecorder(store, id_type=id_type)
    (result,) = [result for result in run_checks(store, 30) if result.name == "counting"]
    return result.status, result.detail


OK = (Status.OK, "a recorder can write to all projects")


def test_stores_without_a_recorder_are_not_checked(projects):
    """An application that does not count gets no line about counting."""
    names = [result.name for result in run_checks(ProjectStore(projects), 30)]
    assert "counting" not in names
    assert "reachable" in names


def test_good_collection(projects):
    """A collection is good before and after a recorder has written to it, and if it is empty."""
    assert check(projects) == OK
    projects.insert_many([{"_id": 1}, {"_id": 2, "usageWriters": {"a": 1}}, {"_id": 3, "usageWriters": None}])
    assert check(projects) == OK
    assert check(projects, writers_field=None) == OK


@pytest.mark.parametrize("value", [5, "x", [], [{}]])
def test_other_values_at_the_path_of_the_entries(projects, value):
    """A project whose path of the entries has another value cannot be counted."""
    projects.insert_many([{"usageWriters": value}, {"meta": {"writers": value}}, {}])
    detail = "1 projects have another value at {}, so they are not counted"
    assert check(projects) == (Status.PROBLEM, detail.format("usageWriters"))
    assert check(projects, writers_field="meta.writers") == (Status.PROBLEM, detail.format("meta.writers"))


def test_ids_that_are_taken_for_object_ids(projects):
    """Strings with 24 hexadecimal digits are only counted with ``id_type=str``."""
    projects.insert_many(
        [{"_id": "507f1f77bcf86cd799439011", "slug": 1}, {"_id": "507f1f77bcf86cd79943901g"}, {"_id": 7}]
    )
    detail = (
        "1 projects have strings with 24 hexadecimal digits as _id, so they are not counted:"
        " pass id_type=str to UsageRecorder"
    )
    assert check(projects) == check(projects, writers_field=None) == (Status.PROBLEM, detail)
    assert check(projects, id_type=str) == OK


def test_too_many_writers(projects):
    """Each process adds an entry, so a document with very many becomes large."""
    projects.insert_one({"usageWriters": {f"w{number}": 1 for number in range(999)}})
    assert check(projects) == OK
    projects.update_one({}, {"$set": {"usageWriters.last": 1}})
    status, detail = check(projects)
    assert status is Status.PROBLEM
    assert detail == "a project has 1,000 writers at usageWriters: count with fewer processes"


@pytest.mark.parametrize(
    ("options", "serves"),
    [
        (None, False),
        ({}, False),
        ({"unique": True}, True),
        ({"unique": True, "sparse": True}, False),
        ({"unique": True, "partialFilterExpression": {"slug": {"$exists": True}}}, False),
    ],
)
def test_index_of_a_mapped_id(projects, options, serves):
    """A mapped id needs a full unique index; `_id` always has one."""
    if options is not None:
        projects.create_index("slug", **options)
    detail = "no full unique index on (slug): without it, each update scans the collection"
    assert check(projects, fields={"_id": "slug"})[1].startswith(detail) is not serves
    assert check(projects) == OK


@pytest.mark.parametrize(
    ("schema", "refused"),
    [
        ({"properties": {"_id": {}}}, None),
        ({"properties": {"_id": {}}, "additionalProperties": True}, None),
        ({"properties": {"_id": {}, "totalRequest": {}}, "additionalProperties": False}, "usageWriters, lastRequestAt"),
        ({"additionalProperties": False}, "usageWriters, lastRequestAt, totalRequest"),
        ({"patternProperties": {"^(usage|last|total|_id)": {}}, "additionalProperties": False}, None),
        ({"patternProperties": {"(?|x)": {}}, "additionalProperties": False}, None),
    ],
)
def test_validator(database, schema, refused):
    """A schema that allows no other properties must have those of the recorder."""
    projects = database.create_collection("validated", validator={"$jsonSchema": schema})
    if refused is None:
        assert check(projects) == OK
    else:
        expected = f"the collection's validator refuses {refused}: add it to the properties of the schema"
        assert check(projects) == (Status.PROBLEM, expected)


def test_failed_command(mongo_client, mongodb_uri, projects):
    """A command that fails makes the result unknown."""
    name = "counting-check"
    data = {"failCommands": ["listCollections"], "errorCode": 13, "appName": name}
    mongo_client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)
    try:
        with MongoClient(mongodb_uri, appname=name) as client:
            status, detail = check(client[projects.database.name][projects.name])
    finally:
        mongo_client.admin.command("configureFailPoint", "failCommand", mode="off")
    assert status is Status.UNKNOWN
    assert detail == "the check failed: OperationFailure 13 Unauthorized"
