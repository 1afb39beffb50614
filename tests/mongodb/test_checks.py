"""``flask usage doctor`` on the real server: what it finds, and how it ends."""

from uuid import UUID

import mongomock
import pytest
from bson import Decimal128, ObjectId
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from flask_usage_stats import ProjectStore

REACHABLE = "sound        reachable: the database answers\n"
INDEX = "sound        index: the read uses usage_stats_owner\n"
OWNER_FILTER = "owner_filter decides which projects match, and only you know what it reads"


@pytest.fixture
def doctor(app_factory):
    """Run the doctor on a store; give the exit code and what it prints, which goes to stdout."""

    def run(store, *options):
        result = app_factory(store).test_cli_runner().invoke(args=["usage", "doctor", *options])
        assert result.stderr == "", result.stderr
        return result.exit_code, result.stdout

    return run


@pytest.fixture
def slow_passes(projects, mongodb_uri):
    """Give the collection through a client whose aggregations the server keeps waiting."""
    admin, fault = projects.database.client.admin, {"configureFailPoint": "failCommand"}
    data = {"failCommands": ["aggregate"], "blockConnection": True, "blockTimeMS": 3000, "appName": "doctor"}
    try:
        admin.command(fault | {"mode": "alwaysOn", "data": data})
    except OperationFailure as error:
        pytest.skip(f"the server has no fail points: {error.code}")
    with MongoClient(mongodb_uri, appname="doctor") as client:
        yield client[projects.database.name].projects
    admin.command(fault | {"mode": "off"})


@pytest.fixture
def indexed(projects):
    ProjectStore(projects).ensure_indexes()
    return projects


class TestSound:
    def test_sound(self, doctor, indexed):
        """A sound collection: a line a check, and exit code 0."""
        indexed.insert_many(
            [
                {"owner": "ada", "totalRequest": 1},
                {"owner": ["ada", "bob"], "totalRequest": None},
                {"owner": "bob", "totalRequest": Decimal128("1.5")},
                {"owner": "bob"},
                {"owner": "bob", "totalRequest": -1.5, "status": "deleted"},
            ]
        )
        assert doctor(indexed) == (
            0,
            REACHABLE
            + INDEX
            + "sound        counts: each of 4 projects has a finite number, or none\n"
            + "sound        owner types: string 4\n"
            + "sound        no owner: each of 4 projects has an owner\n",
        )

    def test_empty(self, doctor, indexed):
        """An empty collection has nobody to try the index with."""
        assert doctor(indexed) == (
            0,
            REACHABLE
            + "sound        index: usage_stats_owner is there; there is no owner to try it with\n"
            + "sound        counts: each of 0 projects has a finite number, or none\n"
            + "sound        owner types: no owners\n"
            + "sound        no owner: each of 0 projects has an owner\n",
        )

    def test_numbers(self, doctor, indexed):
        """Numbers of every type are one type of owner, for an identity matches them by value."""
        indexed.insert_many([{"owner": 1}, {"owner": 2**40}, {"owner": 3.0}])
        code, output = doctor(indexed)
        assert (code, "sound        owner types: number 3\n" in output) == (0, True)

    def test_stored_elsewhere(self, doctor, projects):
        """Fields with other names are looked at where they are stored, and UUIDs are asked for as they are."""
        options = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)
        store = ProjectStore(
            projects.with_options(codec_options=options),
            fields={"owner": "meta.user", "totalRequest": "stats.hits", "status": "state"},
            excluded_statuses=("$gone",),
        )
        store.ensure_indexes()
        owner = UUID("12345678-1234-5678-1234-567812345678")
        projects.with_options(codec_options=options).insert_many(
            [
                {"meta": {"user": owner}, "stats": {"hits": 1}, "totalRequest": "x"},
                {"meta": "x", "stats": {"hits": "x"}, "state": "$gone"},
            ]
        )
        assert doctor(store) == (
            0,
            REACHABLE
            + "sound        index: the read uses usage_stats_meta.user\n"
            + "sound        counts: each of 1 projects has a finite number, or none; deleted: 1 of 1\n"
            + "sound        owner types: binData 1\n"
            + "sound        no owner: each of 1 projects has an owner; deleted: 1 of 1\n",
        )


class TestFindings:
    def test_counts(self, doctor, indexed):
        """Counts that are shown as 0 are counted by type, those of deleted projects apart."""
        bad = [float("nan"), float("inf"), float("-inf"), Decimal128("NaN"), Decimal128("-1E400"), "5", True, [5], {}]
        indexed.insert_many([{"owner": "ada", "totalRequest": value} for value in [*bad, 1.7e308, None]])
        indexed.insert_many([{"owner": "ada", "totalRequest": value, "status": "deleted"} for value in ["5", 5]])
        code, output = doctor(indexed)
        assert code == 1
        assert output.splitlines()[2] == (
            "finding      counts: 9 of 11 projects have no finite number and show 0"
            " (array 1, bool 1, decimal 2, double 3, object 1, string 1); deleted: 1 of 2"
        )

    def test_as_the_route_has_them(self, doctor, ask, indexed, caplog):
        """The doctor finds as many counts as the route has to change."""
        values = [Decimal128("1.7976931348623157E308"), Decimal128("1.7976931348623159E308"), float("nan"), "x", 5]
        indexed.insert_many([{"owner": "ada", "totalRequest": value} for value in values])
        assert "finding      counts: 3 of 5 projects" in doctor(indexed)[1]
        ask(indexed)
        assert "3 stored values" in caplog.text

    def test_owner_types(self, doctor, indexed):
        """Owners of two types are a finding, in an array too; those of deleted projects are not."""
        indexed.insert_many([{"owner": "ada"}, {"owner": "bob"}, {"owner": [ObjectId(), "ada"]}])
        indexed.insert_one({"owner": 5, "status": "deleted"})
        code, output = doctor(indexed)
        assert code == 1
        assert output.splitlines()[3] == (
            "finding      owner types: owners are stored in 2 types (objectId 1, string 3); deleted: 1 of 1"
        )

    def test_strange_owners(self, doctor, indexed):
        """Owners of a type that no identity has are seen by nobody."""
        indexed.insert_many([{"owner": {"id": 1}}, {"owner": {}}])
        code, output = doctor(indexed)
        assert code == 1
        assert output.splitlines()[1:4:2] == [
            "sound        index: usage_stats_owner is there; there is no owner to try it with",
            "finding      owner types: owners are of a type that no identity has (object 2)",
        ]

    def test_no_owner(self, doctor, indexed):
        """Missing, null, empty: nobody sees such a project."""
        indexed.insert_many([{"owner": "ada"}, {}, {"owner": None}, {"owner": ""}, {"owner": []}, {"owner": [None]}])
        indexed.insert_one({"status": "deleted"})
        code, output = doctor(indexed)
        assert code == 1
        assert output.splitlines()[4] == "finding      no owner: 5 of 6 projects have no owner; deleted: 1 of 1"

    def test_no_index(self, doctor, projects):
        """An index that does not serve is none."""
        projects.create_index("owner", sparse=True)
        assert doctor(projects)[1].splitlines()[1] == (
            "finding      index: no full index begins with 'owner'; make one with ensure-indexes"
        )

    def test_index_not_used(self, doctor, projects):
        """An index that the read does not use is a finding, whatever it uses in its place."""
        projects.insert_one({"owner": "ada"})
        projects.create_index([("owner", 1), ("name", 1)], sparse=True, name="partly")
        store = ProjectStore(projects)
        store.ensure_indexes()
        asked = {"query": store._query.filter("ada"), "projection": store._query.projection}
        for usable, instead in (("partly", "uses partly"), ("none", "goes through the whole collection")):
            projects.database.command(
                {"planCacheSetFilter": projects.name, **asked, "collation": {"locale": "simple"}, "indexes": [usable]}
            )
            found = f"finding      index: usage_stats_owner is there, but the read {instead}"
            assert doctor(store)[1].splitlines()[1] == found

    def test_values_are_not_told(self, doctor, indexed):
        """No stored value is ever printed."""
        indexed.insert_many([{"owner": "hunter2", "totalRequest": "hunter2"}, {"owner": 5, "name": "hunter2"}])
        assert "hunter2" not in doctor(indexed)[1]


class TestCannotTell:
    def test_unreachable(self, doctor):
        """Where the server is down, the one line says so."""
        with MongoClient("mongodb://localhost:1") as client:
            code, output = doctor(client.platform.projects, "--timeout", "0.3")
        assert code == 2
        assert output.startswith("cannot tell  reachable: the database does not answer: ServerSelectionTimeoutError")
        assert output.count("\n") == 1

    def test_timed_out(self, doctor, indexed, slow_passes):
        """A pass that takes too long is given up, and what was known before is told."""
        code, output = doctor(slow_passes, "--timeout", "0.5")
        late = "not within 0.5 seconds; give it more with --timeout"
        assert code == 2
        assert output.splitlines()[2:] == [
            f"cannot tell  {name}: {late}" for name in ("counts", "owner types", "no owner")
        ]

    def test_refused(self, doctor, indexed):
        """A view has no indexes of its own, so nothing is known of them, but the documents are counted."""
        indexed.insert_one({"totalRequest": 5})
        view = indexed.database.create_collection("seen", viewOn=indexed.name, pipeline=[])
        assert doctor(view) == (
            1,
            REACHABLE
            + "cannot tell  index: the database did not answer: OperationFailure 166 CommandNotSupportedOnView\n"
            + "sound        counts: each of 1 projects has a finite number, or none\n"
            + "sound        owner types: no owners\n"
            + "finding      no owner: 1 of 1 projects have no owner\n",
        )

    def test_owned_by(self, doctor, projects):
        """Where the host decides which projects match, the counts alone are judged."""
        projects.insert_one({"team": 1})
        assert doctor(ProjectStore(projects, owner_filter=lambda owner: {"team": 1})) == (
            2,
            REACHABLE
            + f"cannot tell  index: {OWNER_FILTER}\n"
            + "sound        counts: each of 1 projects has a finite number, or none\n"
            + f"cannot tell  owner types: {OWNER_FILTER}\n"
            + f"cannot tell  no owner: {OWNER_FILTER}\n",
        )

    def test_mongomock(self, doctor):
        """A stand-in for a server is not judged."""
        assert doctor(mongomock.MongoClient().platform.projects) == (
            2,
            "cannot tell  reachable: the collection is a stand-in, not one of a MongoDB server\n",
        )

    @pytest.mark.parametrize("timeout", ["0", "nan", "3601"])
    def test_bad_timeout(self, app_factory, projects, timeout):
        """A time limit that cannot work is refused."""
        result = app_factory(projects).test_cli_runner().invoke(args=["usage", "doctor", "--timeout", timeout])
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("Error: timeout must be seconds, above 0 and up to 3600; got ")
