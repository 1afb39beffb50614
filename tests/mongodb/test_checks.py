"""The checks of a collection on a real server, and the exit codes of their command."""

from datetime import datetime
from struct import pack
from uuid import UUID

import mongomock
import pytest
from bson import Decimal128, ObjectId, encode
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure

from flask_usage_stats import ConfigurationError, ProjectStore
from flask_usage_stats._mongodb.check_result import Status
from flask_usage_stats._mongodb.checks import run_checks

REACHABLE = "ok reachable: the database responds"
INDEX = "ok index: the query uses usage_stats_owner"
FIELDS = "ok fields: found in at least one project: totalRequest"
HEX = "507f1f77bcf86cd799439011"
OWNER_FILTER = "owner_filter selects the projects, so this cannot be checked"


def check(store, timeout=30, owner=None):
    """Run all checks and return one line per result."""
    store = store if isinstance(store, ProjectStore) else ProjectStore(store)
    return [f"{status} {name}: {detail}" for name, status, detail in run_checks(store, timeout, owner)]


@pytest.fixture
def indexed(projects):
    ProjectStore(projects).ensure_indexes()
    return projects


@pytest.fixture
def time_series(database):
    yield database.create_collection("series", timeseries={"timeField": "createdAt", "metaField": "meta"})
    database.drop_collection("series")  # before the other collections that the server created for it


@pytest.fixture
def fail_point(projects, mongodb_uri):
    """Return a function that makes commands fail, and returns the collection of the client whose commands fail."""
    admin = projects.database.client.admin

    with MongoClient(mongodb_uri, appname="checks") as client:

        def arm(command, mode="alwaysOn", **data):
            data |= {"failCommands": [command], "appName": "checks"}
            try:
                admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
            except OperationFailure as error:
                pytest.skip(f"the server has no fail points: {error.code}")
            return client[projects.database.name].projects

        yield arm
    admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.fixture
def refused_collations(projects, monkeypatch):
    """Return a collection whose operations fail if they have a collation."""

    def refusing(method):
        def call(self, *arguments, **options):
            commands = [argument for argument in arguments if isinstance(argument, dict)]
            if any(command.get("collation") is not None for command in [options, *commands]):
                raise OperationFailure("collations are not supported", 303)
            return method(self, *arguments, **options)

        return call

    for name in ("find", "aggregate", "count_documents"):
        monkeypatch.setattr(Collection, name, refusing(getattr(Collection, name)))
    monkeypatch.setattr(Database, "command", refusing(Database.command))
    return projects


@pytest.fixture
def explanation(monkeypatch):
    """Return a function that replaces the server's response to ``explain``."""

    def set_response(response):
        command = Database.command

        def explain(self, name, *arguments, **options):
            return response if name == "explain" else command(self, name, *arguments, **options)

        monkeypatch.setattr(Database, "command", explain)

    return set_response


def test_a_status_has_an_exit_code_and_a_name():
    """The value of a status is an exit code, its text is the printed name."""
    assert [(int(status), str(status)) for status in Status] == [(0, "ok"), (1, "problem"), (2, "unknown")]


class TestOk:
    def test_every_check_is_ok(self, indexed):
        """A collection without problems has six results."""
        indexed.insert_many(
            [
                {"owner": "ada", "totalRequest": 1},
                {"owner": ["ada", "bob"], "totalRequest": None},
                {"owner": "bob", "totalRequest": Decimal128("1.5")},
                {"owner": "bob"},
                {"owner": "bob", "totalRequest": -1.5, "status": "deleted"},
            ]
        )
        assert check(indexed) == [
            REACHABLE,
            INDEX,
            "ok counts: all counts are finite numbers or missing (4 checked)",
            "ok owner types: string 4",
            "ok no owner: all projects have an owner (4 checked)",
            FIELDS,
        ]

    def test_an_empty_collection_is_ok(self, indexed):
        """An empty collection has no owner to test the index with."""
        assert check(indexed) == [
            REACHABLE,
            "ok index: usage_stats_owner exists; there is no owner to test it with",
            "ok counts: all counts are finite numbers or missing (0 checked)",
            "ok owner types: no owners",
            "ok no owner: all projects have an owner (0 checked)",
            "ok fields: no projects",
        ]

    def test_numbers_are_one_owner_type(self, indexed):
        """Owners stored with several numeric types are ok, because MongoDB matches numbers by value."""
        indexed.insert_many([{"owner": 1}, {"owner": 2**40}, {"owner": 3.0}])
        assert check(indexed)[3] == "ok owner types: number 3"

    def test_mapped_fields_are_checked_at_their_paths(self, projects):
        """Mapped fields are checked where they are stored, and UUIDs are valid owners."""
        projects = projects.with_options(codec_options=CodecOptions(uuid_representation=UuidRepresentation.STANDARD))
        store = ProjectStore(
            projects,
            fields={"owner": "meta.user", "totalRequest": "stats.hits", "status": "state"},
            excluded_statuses=("$gone",),
        )
        store.ensure_indexes()
        owner = UUID("12345678-1234-5678-1234-567812345678")
        projects.insert_many(
            [
                {"meta": {"user": owner}, "stats": {"hits": 1}, "totalRequest": "x"},
                {"meta": "x", "stats": {"hits": "x"}, "state": "$gone"},
            ]
        )
        assert check(store) == [
            REACHABLE,
            "ok index: the query uses usage_stats_meta.user",
            "ok counts: all counts are finite numbers or missing (1 checked); affected excluded projects: 1 of 1",
            "ok owner types: binData 1",
            "ok no owner: all projects have an owner (1 checked); affected excluded projects: 1 of 1",
            "ok fields: found in at least one project: stats.hits (totalRequest), meta.user (owner), state (status)",
        ]

    def test_an_optional_field_may_be_missing(self, projects):
        """A field other than the count may be missing in all projects, unless it is mapped."""
        projects.insert_one({"owner": "ada", "totalRequest": None})
        assert check(projects)[5] == FIELDS

    def test_the_index_of_a_time_series(self, time_series):
        """The server explains a query of a time series as a pipeline."""
        time_series.insert_one({"createdAt": datetime(2024, 1, 1), "meta": {"owner": "ada"}, "totalRequest": 1})
        store = ProjectStore(time_series, fields={"owner": "meta.owner"})
        store.ensure_indexes()
        assert check(store)[1] == "ok index: the query uses usage_stats_meta.owner"

    def test_a_sharded_plan(self, indexed, explanation):
        """A plan is read with the plans of its shards, but without those that the server rejected."""
        indexed.insert_one({"owner": "ada"})
        used = {"stage": "FETCH", "inputStage": {"stage": "IXSCAN", "indexName": "usage_stats_owner"}}
        rejected = [{"stage": "COLLSCAN"}, {"stage": "IXSCAN", "indexName": "other"}]
        shards = [{"winningPlan": used, "rejectedPlans": rejected}]
        explanation({"queryPlanner": {"winningPlan": {"stage": "SHARD_MERGE", "shards": shards}}})
        assert check(indexed)[1] == INDEX

    @pytest.mark.parametrize("path", ["stage", "indexName"])
    def test_a_field_is_not_a_part_of_the_plan(self, projects, path):
        """Fields that are named like the keys of a plan do not change the result."""
        projects.insert_one({"owner": "ada", path: "COLLSCAN"})
        store = ProjectStore(projects, fields={"status": path}, excluded_statuses=("COLLSCAN", "deleted"))
        store.ensure_indexes()
        assert check(store)[1] == INDEX


class TestProblem:
    def test_counts_that_are_not_finite_numbers(self, indexed):
        """Invalid counts are reported by type; excluded projects are counted separately."""
        bad = [float("nan"), float("inf"), float("-inf"), Decimal128("NaN"), Decimal128("-1E400"), "5", True, [5], {}]
        values = [1.7e308, None, *bad]
        indexed.insert_many([{"_id": n, "owner": "ada", "totalRequest": value} for n, value in enumerate(values, -2)])
        indexed.insert_many([{"owner": "ada", "totalRequest": value, "status": "deleted"} for value in ["5", 5]])
        assert check(indexed)[2] == (
            "problem counts: 9 of 11 projects have a count that is not a finite number and is returned as 0"
            " (array 1, bool 1, decimal 2, double 3, object 1, string 1), for example: 0, 1, 2, 3, 4;"
            " affected excluded projects: 1 of 2"
        )

    def test_invalid_counts_have_the_ids_of_the_response(self, projects):
        """Ids have the form in which they are returned, at their path, and are escaped as in the log."""
        store = ProjectStore(projects, fields={"_id": "slug", "totalRequest": "hits"})
        store.ensure_indexes()
        slugs = [ObjectId(HEX), "a\x1b\u202e", 2**60, None]
        projects.insert_many([{"owner": "ada", "slug": slug, "hits": "5"} for slug in slugs] + [{"hits": "5"}])
        assert check(store)[2].endswith(rf"(string 5), for example: '{HEX}', 'a\x1b\u202e', '{2**60}', None, None")

    def test_invalid_counts_without_ids(self, indexed):
        """If the ids cannot be read, the counts are reported nevertheless."""
        document = encode({"owner": "ada", "totalRequest": "5"})
        binary = b"\5_id\0" + pack("<i", 2) + b"\2ab"  # the driver cannot decode it
        indexed.insert_one(RawBSONDocument(pack("<i", len(document) + len(binary)) + binary + document[4:]))
        assert check(indexed)[2].endswith("is returned as 0 (string 1)")

    def test_the_invalid_counts_are_those_that_are_0_in_the_response(self, get_usage, indexed, caplog):
        """The check and the response agree on which counts are invalid."""
        values = [Decimal128("1.7976931348623157E308"), Decimal128("1.7976931348623159E308"), float("nan"), "x", 5]
        indexed.insert_many([{"owner": "ada", "totalRequest": value} for value in values])
        assert check(indexed)[2].startswith("problem counts: 3 of 5 projects")
        get_usage(indexed)
        assert "(3)" in caplog.text

    def test_owners_of_two_types(self, indexed):
        """Owners with more than one type are a problem, also in arrays, but not those of excluded projects."""
        indexed.insert_many([{"owner": "ada"}, {"owner": "bob"}, {"owner": [ObjectId(), "ada"]}])
        indexed.insert_one({"owner": 5, "status": "deleted"})
        assert check(indexed)[3] == (
            "problem owner types: owners are stored with 2 types (objectId 1, string 3);"
            " affected excluded projects: 1 of 1"
        )

    @pytest.mark.parametrize("owner_type", [str, ObjectId, UUID])
    def test_owners_that_owner_type_does_not_match(self, indexed, owner_type):
        """A store with *owner_type* matches no owners if none has this type."""
        indexed.insert_many([{"owner": 5}, {"owner": [7]}, {"owner": None}])
        assert check(ProjectStore(indexed, owner_type=owner_type))[3] == (
            f"problem owner types: owner_type is {owner_type.__name__}, but owners are stored as number 2"
        )
        assert check(ProjectStore(indexed, owner_type=int))[3] == "ok owner types: number 2"

    def test_owner_type_without_owners(self, indexed):
        """Without owners, *owner_type* is not wrong."""
        assert check(ProjectStore(indexed, owner_type=int))[3] == "ok owner types: no owners"

    def test_owners_of_an_unsupported_type(self, indexed):
        """Owners with a type that ``authenticate`` cannot return match no user."""
        indexed.insert_many([{"owner": {"id": 1}}, {"owner": {}}])
        assert check(indexed)[1:4:2] == [
            "ok index: usage_stats_owner exists; there is no owner to test it with",
            "problem owner types: owners have a type that authenticate cannot return (object 2)",
        ]

    def test_projects_without_an_owner(self, indexed):
        """A project whose owner is missing, null or empty is not visible to any user."""
        indexed.insert_many([{"owner": "ada"}, {}, {"owner": None}, {"owner": ""}, {"owner": []}, {"owner": [None]}])
        indexed.insert_one({"status": "deleted"})
        assert check(indexed)[4] == (
            "problem no owner: 5 of 6 projects have no owner; affected excluded projects: 1 of 1"
        )

    def test_an_index_that_does_not_cover_every_document(self, projects):
        """A partial index does not count as an index."""
        projects.create_index("owner", sparse=True)
        assert check(projects)[1] == (
            "problem index: no index on (owner): a project updated during the read can be missed; run `flask usage ensure-indexes`"
        )

    def test_a_path_that_no_project_has(self, projects):
        """A mapped path that does not exist in any project is a problem, also within arrays of documents."""
        projects.insert_one({"owner": "ada", "totalRequest": 1, "name": "blog", "tags": [{"plan": "pro"}]})
        fields = {"name": "name", "totalRequest": "stat.hits.total", "plan": "tags.plam", "_id": "slug"}
        assert check(ProjectStore(projects, fields=fields))[5] == (
            "problem fields: not found in any project: stat.hits.total (totalRequest), tags.plam (plan), slug (_id)"
        )

    def test_a_count_that_no_project_has(self, indexed):
        """A new platform has no counts, which is mentioned because they could be stored at another path."""
        indexed.insert_one({"owner": "ada", "requests": 5})
        assert check(indexed)[5] == "ok fields: no project has totalRequest, so all counts are 0"
        mapped = ProjectStore(indexed, fields={"totalRequest": "totalRequest"})
        assert check(mapped)[5] == "problem fields: not found in any project: totalRequest"

    @pytest.mark.parametrize(
        ("usable", "plan"),
        [("sparse", "uses sparse"), ("wildcard", "uses wildcard"), ("none", "scans the entire collection")],
    )
    def test_an_index_that_the_query_does_not_use(self, projects, usable, plan):
        """An index that the query does not use is a problem, whatever the query uses instead of it."""
        projects.insert_one({"owner": "ada"})
        projects.create_index([("owner", 1), ("name", 1)], sparse=True, name="sparse")
        projects.create_index([("$**", 1)], name="wildcard")
        store = ProjectStore(projects)
        store.ensure_indexes()
        query = {"query": store._mapping.build_filter("ada"), "projection": store._mapping.rows.projection}
        projects.database.command(
            {"planCacheSetFilter": projects.name, **query, "collation": {"locale": "simple"}, "indexes": [usable]}
        )
        assert check(store)[1] == f"problem index: usage_stats_owner exists, but the query {plan}"

    def test_a_wildcard_index_does_not_serve(self, projects):
        """A wildcard index alone is not enough, although the server uses it."""
        projects.insert_one({"owner": "ada"})
        projects.create_index([("$**", 1)])
        assert check(projects)[1].startswith("problem index: no index on (owner)")

    def test_a_view_with_a_collation(self, projects):
        """A view with a collation is a problem, because its projects cannot be read; the detail says what to do."""
        options = {"viewOn": projects.name, "pipeline": [], "collation": {"locale": "en"}}
        view = projects.database.create_collection("view", **options)
        lines = check(view, owner="ada")[2:]
        assert [line.split(": ")[0] for line in lines] == [
            f"problem {name}" for name in ("counts", "owner types", "no owner", "fields", "owner")
        ]
        assert all(line.endswith("or recreate the view without a collation") for line in lines)

    def test_details_have_no_stored_values(self, indexed):
        """Stored values are never part of a result."""
        indexed.insert_many([{"owner": "hunter2", "totalRequest": "hunter2"}, {"owner": 5, "name": "hunter2"}])
        assert "hunter2" not in str(check(indexed))


class TestUnknown:
    def test_a_database_that_does_not_respond(self):
        """If the server is down, there is only the first result."""
        with MongoClient("mongodb://localhost:1") as client:
            (line,) = check(client.platform.projects, timeout=0.3)
        assert line.startswith("unknown reachable: the database does not respond: ServerSelectionTimeoutError")

    @pytest.mark.usefixtures("indexed")
    def test_a_timeout_keeps_the_earlier_results(self, fail_point):
        """If the pass over the collection times out, the earlier results are returned."""
        slow = fail_point("aggregate", blockConnection=True, blockTimeMS=3000)
        lines = check(slow, timeout=0.5, owner="ada")
        assert lines[0] == REACHABLE
        assert lines[2:] == [
            f"unknown {name}: not finished within 0.5 seconds; increase --timeout"
            for name in ("counts", "owner types", "no owner", "fields", "owner")
        ]

    @pytest.mark.parametrize("code", [59, 115])
    def test_a_server_without_explain(self, indexed, fail_point, code):
        """If the server cannot explain a query, it is not known whether the query uses the index."""
        indexed.insert_one({"owner": "ada"})
        line = check(fail_point("explain", errorCode=code))[1]
        assert line.startswith(
            f"unknown index: usage_stats_owner exists, but the query cannot be explained: OperationFailure {code} Comm"
        )

    def test_a_slow_explanation(self, indexed, fail_point):
        """If the explanation times out, the time limit is named."""
        indexed.insert_one({"owner": "ada"})
        line = check(fail_point("explain", errorCode=50))[1]
        assert line == "unknown index: not finished within 30 seconds; increase --timeout"

    @pytest.mark.parametrize("response", [{"ok": 1.0}, {"queryPlanner": {"winningPlan": {"stage": "IXSCAN"}}}])
    def test_an_explanation_without_an_index(self, indexed, explanation, response):
        """If the explanation names no index, it is not known whether the query uses the index."""
        indexed.insert_one({"owner": "ada"})
        explanation(response)
        assert check(indexed)[1] == (
            "unknown index: usage_stats_owner exists, but the server does not report which index the query uses"
        )

    def test_a_rejected_command_does_not_affect_the_other_checks(self, indexed):
        """A view has no indexes, so that check fails, but the documents are counted."""
        indexed.insert_one({"totalRequest": 5})
        view = indexed.database.create_collection("seen", viewOn=indexed.name, pipeline=[])
        assert check(view) == [
            REACHABLE,
            "unknown index: the check failed: OperationFailure 166 CommandNotSupportedOnView",
            "ok counts: all counts are finite numbers or missing (1 checked)",
            "ok owner types: no owners",
            "problem no owner: 1 of 1 projects have no owner",
            FIELDS,
        ]

    def test_owner_filter_leaves_only_the_counts(self, projects):
        """With *owner_filter* the owner's field is not used, so only the counts and the fields are checked."""
        projects.insert_one({"team": 1, "totalRequest": 5})
        assert check(ProjectStore(projects, owner_filter=lambda owner: {"team": 1})) == [
            REACHABLE,
            f"unknown index: {OWNER_FILTER}",
            "ok counts: all counts are finite numbers or missing (1 checked)",
            f"unknown owner types: {OWNER_FILTER}",
            f"unknown no owner: {OWNER_FILTER}",
            FIELDS,
        ]

    def test_mongomock_is_not_checked(self):
        """A collection of mongomock has no server."""
        assert check(mongomock.MongoClient().platform.projects) == [
            "unknown reachable: not a PyMongo collection, so there is no server to check"
        ]

    @pytest.mark.parametrize("timeout", [0, float("nan"), 3601])
    def test_an_invalid_timeout_is_rejected(self, projects, timeout):
        """The timeout has the same range as that of a store."""
        with pytest.raises(ConfigurationError, match="a number of seconds greater than 0 and at most 3600"):
            check(projects, timeout)


class TestServersWithoutCollations:
    @pytest.mark.parametrize("command", ["explain", "aggregate"])
    def test_a_rejected_collation_is_left_out(self, indexed, fail_point, command):
        """A command that the server rejects because of its collation is sent again without it."""
        indexed.insert_many([{"_id": 1, "owner": "ada", "totalRequest": "5"}, {"_id": 2, "owner": "ada"}])
        collection = fail_point(command, {"times": 1}, errorCode=115)
        lines = check(collection)
        assert lines[1] == INDEX
        assert lines[2].endswith("is returned as 0 (string 1), for example: 1")
        assert lines[3:] == ["ok owner types: string 2", "ok no owner: all projects have an owner (2 checked)", FIELDS]

    def test_ids_and_owners_are_found_without_a_collation(self, indexed, refused_collations):
        """A server that always rejects collations has every result."""
        indexed.insert_one({"_id": 1, "owner": "ada", "totalRequest": "5"})
        lines = check(refused_collations, owner="ada")
        assert lines[1] == INDEX
        assert lines[2].endswith("(string 1), for example: 1")
        assert lines[6] == "ok owner: projects that match str 'ada': 1, without excluded statuses: 1"


class TestOwner:
    """With an owner id, the last result says why the owner's list is empty or not."""

    @pytest.fixture
    def stored(self, indexed):
        owners = ["ada", ["bob", "ada"], 7, "8", ObjectId(HEX), HEX, "3" * 32]
        indexed.insert_many([{"owner": owner, "totalRequest": 1} for owner in owners])
        indexed.insert_many([{"owner": owner, "status": "deleted"} for owner in ("ada", "eve")])
        return indexed

    @pytest.mark.parametrize(
        ("owner", "owner_type", "expected"),
        [
            ("ada", None, "ok owner: projects that match str 'ada': 3, without excluded statuses: 2"),
            ("eve", None, "problem owner: projects that match str 'eve': 1, without excluded statuses: 0"),
            (HEX, None, f"ok owner: projects that match str '{HEX}' as ObjectId or str: 2, without excluded statuses: 2"),
            ("7", int, "ok owner: projects that match str '7' as int: 1, without excluded statuses: 1"),
            (7, str, "ok owner: projects that match int 7: 1, without excluded statuses: 1"),
            ("7", None, "problem owner: projects that match str '7': 0; that match int 7: 1 (use owner_type=int)"),
            (8, None, "problem owner: projects that match int 8: 0; that match str '8': 1 (return str from authenticate)"),
            ("ADA", None, "problem owner: projects that match str 'ADA': 0; the id with another type matches none either"),
            ("9", None, "problem owner: projects that match str '9': 0; the id with another type matches none either"),
            ("ada", int, "problem owner: str 'ada' cannot be converted to the store's owner_type, so it matches no projects; that match str 'ada': 3 (use owner_type=str)"),
            ("a\x1b", int, r"problem owner: str 'a\x1b' cannot be converted to the store's owner_type, so it matches no projects; the id with another type matches none either"),
            ("3" * 32, UUID, f"problem owner: projects that match str '{'3' * 32}' as UUID: 0; that match str '{'3' * 32}': 1 (use owner_type=str)"),
        ],
    )  # fmt: skip
    def test_the_owner_field(self, stored, owner, owner_type, expected):
        """The result says how the id is converted, what it matches, and the type with which it would match."""
        assert check(ProjectStore(stored, owner_type=owner_type), owner=owner)[6] == expected

    @pytest.mark.parametrize(
        ("owner", "expected"),
        [
            ("ada", "ok owner: projects that match str 'ada': 3, without excluded statuses: 2"),
            (HEX, f"ok owner: projects that match str '{HEX}': 1, without excluded statuses: 1"),
            ("7", "problem owner: projects that match str '7': 0; that match int 7: 1 (use owner_type=int)"),
            ("9", "problem owner: projects that match str '9': 0; the id with another type matches none either"),
        ],
    )
    def test_owner_filter(self, stored, owner, expected):
        """With *owner_filter*, the filter decides what matches."""
        store = ProjectStore(stored, owner_filter=lambda owner: {"owner": {"$eq": owner}})
        assert check(store, owner=owner)[6] == expected

    def test_owner_filter_for_one_type(self, stored):
        """A filter that fails with other types of ids is not an error."""
        store = ProjectStore(stored, owner_filter=lambda owner: {"owner": owner.lower()})
        assert check(store, owner="9")[6].endswith("'9': 0; the id with another type matches none either")

    def test_an_invalid_owner_filter(self, stored):
        """An error of the filter is raised, because every read fails with it."""
        with pytest.raises(ConfigurationError, match="owner_filter must return a non-empty dict"):
            check(ProjectStore(stored, owner_filter=lambda owner: {}), owner="ada")


class TestCommand:
    """The command prints one line per result, and its exit code depends on their statuses."""

    @pytest.fixture
    def run(self, app_factory):
        def run(store, *options):
            return app_factory(store).test_cli_runner().invoke(args=["usage", "check", *options])

        return run

    def test_no_problem_exits_with_0(self, run, indexed):
        """If all results are ok, the exit code is 0 and nothing is written to stderr."""
        result = run(indexed)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.splitlines()[0] == "ok       reachable: the database responds"
        assert result.stdout.count("\n") == 6

    def test_a_problem_exits_with_1(self, run, projects):
        """If there is a problem, the exit code is 1, even if another result is unknown."""
        projects.insert_one({"totalRequest": 5})
        assert run(projects).exit_code == 1
        view = projects.database.create_collection("seen", viewOn=projects.name, pipeline=[])
        result = run(view)
        assert (result.exit_code, result.stderr) == (1, "")
        assert {line.split(" ")[0] for line in result.stdout.splitlines()} == {"ok", "problem", "unknown"}

    def test_an_owner_is_checked_with_its_type(self, run, indexed):
        """The options of the owner are those of the report."""
        indexed.insert_one({"owner": 7, "totalRequest": 5})
        result = run(indexed, "--owner", "7", "--owner-type", "int")
        line = "ok       owner: projects that match int 7: 1, without excluded statuses: 1"
        assert (result.exit_code, result.stdout.splitlines()[6]) == (0, line)
        result = run(indexed, "--owner", "x", "--owner-type", "int")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == "Error: --owner must be an id of type int\n"

    def test_ids_are_escaped_for_the_encoding(self, app_factory, projects):
        """Characters that the output does not support are escaped."""
        projects.insert_one({"_id": "blög", "owner": "ada", "totalRequest": "5"})
        runner = app_factory(projects).test_cli_runner(charset="ascii")
        result = runner.invoke(args=["usage", "check"])
        assert result.exit_code == 1
        assert result.stdout.splitlines()[2].endswith(r"for example: 'bl\xf6g'")

    def test_index_names_are_escaped(self, run, projects):
        """An index name cannot control the terminal."""
        projects.create_index("owner", name="a\x1b[2J\n\u202e")
        assert run(projects).stdout.splitlines()[1].startswith(r"ok       index: a\x1b[2J\n\u202e exists; ")

    def test_an_unknown_result_exits_with_2(self, run):
        """If there is no problem but a result is unknown, the exit code is 2."""
        result = run(mongomock.MongoClient().platform.projects)
        assert (result.exit_code, result.stderr) == (2, "")
        assert result.stdout.startswith("unknown  reachable: ")

    @pytest.mark.parametrize("timeout", ["0", "nan", "3601"])
    def test_an_invalid_timeout_exits_with_2(self, run, projects, timeout):
        """An invalid timeout is an error on stderr."""
        result = run(projects, "--timeout", timeout)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(
            "Error: timeout must be a number of seconds greater than 0 and at most 3600, got "
        )
