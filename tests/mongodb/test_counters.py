"""Writing counts: exact increments, each batch once, and why projects are not incremented."""

import contextlib
import secrets
import time
from datetime import UTC, datetime, timedelta

import mongomock
import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.collation import Collation
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, OperationFailure, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern
from support import fail_point, raiser

from flask_usage_stats import ProjectStore, StoreError
from flask_usage_stats._mongodb import writer_entries
from flask_usage_stats._mongodb.bulk_updates import BatchWriter, BulkUpdates
from flask_usage_stats._mongodb.count_updates import BatchUpdate, Increment
from flask_usage_stats._mongodb.counters import CountWriter
from flask_usage_stats._mongodb.mapping import get_path

NOON = datetime(2026, 11, 25, 12)
NUMBER = 1_795_000_000_000  # milliseconds since 1970, in November 2026

#: Stored counts and what they are after adding 2; ``None`` if they cannot be incremented exactly.
EXACT = {
    "null": (None, 2),
    "zero": (0, 2),
    "negative": (-3, -1),
    "int32 edge": (2**31 - 1, 2**31 + 1),
    "int64": (Int64(2**63 - 3), 2**63 - 1),
    "double": (1.5, 3.5),
    "double edge": (2.0**53 - 3, 2.0**53 - 1),
    "decimal": (Decimal128("7"), Decimal128("9")),
}
INEXACT = {
    "int64 overflow": Int64(2**63 - 2),
    "large double": 2.0**53,
    "huge double": 1e300,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "large decimal": Decimal128("1E+34"),
    "decimal NaN": Decimal128("NaN"),
    "string": "7",
    "boolean": True,
    "array": [1],
    "array of null": [None],
    "document": {"n": 1},
    "date": NOON,
    "ObjectId": ObjectId(),
}


def new_writer(store):
    return CountWriter(store, secrets.token_hex(4))


def batch_of(*projects, requests=2, latest=NOON):
    return {project: Increment(requests, latest) for project in projects}


def content(projects):
    """Return the documents by id, without what the writer adds, and as text because NaN is not equal to itself."""
    return {
        document["_id"]: repr(
            {name: value for name, value in document.items() if name not in ("usageWriters", "lastRequestAt")}
        )
        for document in projects.find()
    }


@pytest.fixture
def writer_of(mongodb_uri, projects):
    """Return a function that builds a writer with a client of its own, which fail points can address by name."""
    with contextlib.ExitStack() as stack:

        def build(app_name="writer", **options):
            client = stack.enter_context(MongoClient(mongodb_uri, appname=app_name, heartbeatFrequencyMS=500))
            return new_writer(ProjectStore(client[projects.database.name][projects.name], **options))

        yield build


@pytest.mark.parametrize("path", ["totalRequest", "stats.hits"])
@pytest.mark.parametrize("writers_field", ["usageWriters", "meta.writers", None])
class TestStoredValues:
    def store_values(self, projects, path, values):
        name, _, inner = path.partition(".")
        projects.insert_many(
            [
                {"_id": key, "kept": 1, name: {inner: value, "kept": 2} if inner else value}
                for key, value in values.items()
            ]
        )

    def test_numbers_are_incremented_exactly(self, projects, path, writers_field):
        """Numbers and null become the exact sum, also at a nested path, and nothing else of the document changes."""
        self.store_values(projects, path, {key: value for key, (value, _) in EXACT.items()})
        projects.insert_one({"_id": "missing", "kept": 1})
        writer = new_writer(ProjectStore(projects, fields={"totalRequest": path}, writers_field=writers_field))
        assert writer.write(batch_of(*EXACT, "missing"), NUMBER, 5) == {}
        for document in projects.find():
            total = document["totalRequest"] if path == "totalRequest" else document["stats"]["hits"]
            assert total == (2 if document["_id"] == "missing" else EXACT[document["_id"]][1])
            assert document["kept"] == 1
            assert path == "totalRequest" or document["_id"] == "missing" or document["stats"]["kept"] == 2
            assert document.keys() - {"_id", "kept", path.split(".")[0]} == (
                set() if writers_field is None else {writers_field.split(".")[0], "lastRequestAt"}
            )

    def test_other_values_are_unchanged(self, projects, path, writers_field):
        """A count that cannot be incremented exactly stays as it is, and the document as well."""
        self.store_values(projects, path, INEXACT)
        before = {document["_id"]: repr(document) for document in projects.find()}
        writer = new_writer(ProjectStore(projects, fields={"totalRequest": path}, writers_field=writers_field))
        assert writer.write(batch_of(*INEXACT), NUMBER, 5) == dict.fromkeys(INEXACT, "uncountable")
        assert {document["_id"]: repr(document) for document in projects.find()} == before


@pytest.mark.parametrize(
    ("stored", "after"),
    [
        ({}, {"stats": {"hits": 2}}),
        ({"stats": None}, {"stats": {"hits": 2}}),
        ({"stats": {}}, {"stats": {"hits": 2}}),
        ({"stats": 5}, None),
        ({"stats": "x"}, None),
        ({"stats": [{"hits": 1}]}, None),
        ({"stats": [None]}, None),
        ({"stats": []}, None),
    ],
)
def test_parents_of_the_count(projects, stored, after):
    """A missing or null parent becomes a document, and any other parent stays as it is."""
    projects.insert_one({"_id": 1, **stored})
    writer = new_writer(ProjectStore(projects, fields={"totalRequest": "stats.hits"}))
    assert writer.write(batch_of(1), NUMBER, 5) == ({} if after else {1: "uncountable"})
    document = projects.find_one()
    assert {name: document[name] for name in document if name == "stats"} == (stored if after is None else after)


@pytest.mark.parametrize("stored", [{}, {"a": None}, {"a": {"b": None}}, {"a": {"b": {"c": None}}}])
def test_null_at_any_depth_is_replaced(projects, stored):
    """Each part of a long path may be null."""
    projects.insert_one({"_id": 1} | stored)
    writer = new_writer(ProjectStore(projects, fields={"totalRequest": "a.b.c"}))
    assert writer.write(batch_of(1), NUMBER, 5) == {}
    assert projects.find_one()["a"] == {"b": {"c": 2}}


@pytest.mark.parametrize(
    "stored", [{"usageWriters": None}, {"lastRequestAt": None}, {"totalRequest": None, "usageWriters": None}]
)
def test_null_bookkeeping_is_replaced(projects, stored):
    """An object-document mapper may store null for fields that it declares."""
    projects.insert_one({"_id": 1} | stored)
    writer = new_writer(ProjectStore(projects))
    assert writer.write(batch_of(1), NUMBER, 5) == {}
    document = projects.find_one()
    assert (document["totalRequest"], document["lastRequestAt"]) == (2, NOON)
    assert document["usageWriters"][writer.name] == datetime(1970, 1, 1) + timedelta(milliseconds=NUMBER)


@pytest.mark.parametrize(
    "stored", [{"meta": None}, {"meta": {"writers": None}}, {"seen": None}, {"seen": {"at": None}}]
)
def test_null_parents_of_the_bookkeeping_are_replaced(projects, stored):
    """Nulls above the paths of the entries and of the latest request are replaced as well."""
    projects.insert_one({"_id": 1, "totalRequest": 5} | stored)
    store = ProjectStore(projects, fields={"lastRequestAt": "seen.at"}, writers_field="meta.writers")
    assert new_writer(store).write(batch_of(1), NUMBER, 5) == {}
    document = projects.find_one()
    assert (document["totalRequest"], document["seen"]) == (7, {"at": NOON})
    assert len(document["meta"]["writers"]) == 1


@pytest.mark.parametrize("count", ["7", [1], [None], {"n": 1}, True, NOON])
@pytest.mark.parametrize("path", ["hits", "stats.hits"])
def test_documents_that_cannot_be_counted_keep_their_nulls(projects, path, count):
    """Nothing is repaired in a document whose count cannot be incremented afterwards."""
    stored = {"_id": 1, "hits": count, "stats": {"hits": count}, "usageWriters": None}
    projects.insert_many([stored, {"_id": 2, "stats": [{"hits": 1}], "hits": "x", "usageWriters": None}])
    writer = new_writer(ProjectStore(projects, fields={"totalRequest": path}))
    assert writer.write(batch_of(1, 2), NUMBER, 5) == {1: "uncountable", 2: "uncountable"}
    assert projects.find_one(1) == stored
    assert projects.find_one(2)["usageWriters"] is None


@pytest.mark.parametrize("entries", [[], [None], "x", 5])
def test_other_bookkeeping_is_not_replaced(projects, entries):
    """Only null is replaced by entries, and without an entry nothing is counted."""
    stored = {"_id": 1, "totalRequest": 5, "usageWriters": entries}
    projects.insert_one(stored)
    assert new_writer(ProjectStore(projects)).write(batch_of(1), NUMBER, 5) == {1: "uncountable"}
    assert projects.find_one() == stored


def test_latest_request_never_goes_back(projects):
    """The time of the latest request is the greatest of all writers."""
    projects.insert_one({"_id": 1})
    for hours in (0, 2, -3):
        new_writer(ProjectStore(projects)).write(batch_of(1, latest=NOON + timedelta(hours=hours)), NUMBER, 5)
    assert projects.find_one()["lastRequestAt"] == NOON + timedelta(hours=2)


def test_latest_request_has_a_path(projects):
    """``fields`` names the path of the time; without entries, it is only written if it has one."""
    projects.insert_many([{"_id": 1}, {"_id": 2}])
    new_writer(ProjectStore(projects, fields={"lastRequestAt": "seen.at"})).write(batch_of(1), NUMBER, 5)
    store = ProjectStore(projects, fields={"lastRequestAt": "seen.at"}, writers_field=None)
    new_writer(store).write(batch_of(2), NUMBER, 5)
    assert [document["seen"] for document in projects.find()] == [{"at": NOON}] * 2


class TestOnce:
    def test_a_batch_is_applied_once(self, any_projects):
        """Sending a batch again changes nothing and has the same result."""
        any_projects.insert_many(
            [{"_id": 1, "totalRequest": 5}, {"_id": 2, "totalRequest": None}, {"_id": 3, "totalRequest": "x"}]
        )
        writer = new_writer(ProjectStore(any_projects))
        results = [writer.write(batch_of(1, 2, 3, 4), NUMBER, 5) for _ in range(3)]
        assert results == [{3: "uncountable", 4: "unknown"}] * 3
        assert [document["totalRequest"] for document in any_projects.find()] == [7, 2, "x"]
        assert writer.write(batch_of(1), NUMBER + 1, 5) == {}
        assert any_projects.find_one(1)["totalRequest"] == 9

    def test_writers_do_not_affect_each_other(self, projects):
        """Two processes may use the same numbers."""
        projects.insert_one({"_id": 1})
        for _ in range(5):
            assert new_writer(ProjectStore(projects)).write(batch_of(1), NUMBER, 5) == {}
        assert projects.find_one()["totalRequest"] == 10

    @pytest.mark.parametrize("stored", [{}, {"totalRequest": None}])
    def test_lost_replies(self, mongo_client, projects, writer_of, stored):
        """If the reply of any command of a batch is lost, the batch is in doubt, and sending it again is exact."""
        projects.insert_many([{"_id": number} | (stored if number % 2 else {}) for number in range(40)])
        for skip in range(4):
            writer = writer_of(f"lossy{skip}")
            data = {"failCommands": ["update", "find"], "closeConnection": True, "appName": f"lossy{skip}"}
            before = {document["_id"]: document.get("totalRequest") or 0 for document in projects.find()}
            with fail_point(mongo_client, mode={"skip": skip}, **data), contextlib.suppress(StoreError):
                assert writer.write(batch_of(*range(41)), NUMBER, 0.5) == {40: "unknown"}
            assert writer.write(batch_of(*range(41)), NUMBER, 30) == {40: "unknown"}
            after = {document["_id"]: document["totalRequest"] for document in projects.find()}
            assert after == {project: count + 2 for project, count in before.items()}

    def test_null_may_be_repaired_by_another_writer(self, projects, monkeypatch):
        """The increment is sent again whatever the repair has matched."""
        projects.insert_one({"_id": 1, "totalRequest": None})
        unset_nulls = BatchUpdate._unset_nulls

        def be_late(update, broken):
            projects.update_one({"_id": 1}, {"$set": {"totalRequest": 10}})
            unset_nulls(update, broken)

        monkeypatch.setattr(BatchUpdate, "_unset_nulls", be_late)
        assert new_writer(ProjectStore(projects)).write(batch_of(1), NUMBER, 5) == {}
        assert projects.find_one()["totalRequest"] == 12


class TestWithoutEntries:
    def test_only_the_count_changes(self, projects):
        """``writers_field=None`` adds nothing to the documents."""
        projects.insert_one({"_id": 1, "totalRequest": 3})
        assert new_writer(ProjectStore(projects, writers_field=None)).write(batch_of(1, 2), NUMBER, 5) == {2: "unknown"}
        assert projects.find_one() == {"_id": 1, "totalRequest": 5}

    @pytest.mark.parametrize("value", [2.0**53 - 3, 2.0**53 - 2, Decimal128(str(10**33 - 1))])
    def test_counts_at_the_edge(self, projects, value):
        """Without an entry, a number that is too large for the sum may be the sum itself."""
        projects.insert_many([{"_id": 1, "totalRequest": value}, {"_id": 3, "totalRequest": 2.0**53 - 4}])
        writer = new_writer(ProjectStore(projects, writers_field=None))
        assert writer.write(batch_of(1, 2, 3), NUMBER, 5) == {1: "in_doubt", 2: "unknown", 3: "in_doubt"}
        assert projects.find_one(3)["totalRequest"] == 2.0**53 - 2

    def test_numbers_below_the_edge(self, projects):
        """Other numbers were incremented if they are far enough below the edge."""
        edge = 10**33 - 2**63
        values = [1.5, 2.0**53 - 5, -7.0, Decimal128("7"), Decimal128(str(edge - 3)), Decimal128(str(edge - 2)), 5]
        projects.insert_many([{"_id": number, "totalRequest": value} for number, value in enumerate(values)])
        writer = new_writer(ProjectStore(projects, writers_field=None))
        assert writer.write(batch_of(*range(8)), NUMBER, 5) == {5: "in_doubt", 7: "unknown"}

    def test_a_repeated_batch_is_not_sent(self, projects):
        """Nothing in the documents tells whether a batch that may have been sent before was applied."""
        projects.insert_one({"_id": 1})
        writer = new_writer(ProjectStore(projects, writers_field=None))
        assert writer.write(batch_of(1, 2), NUMBER, 5, is_repeated=True) == {1: "in_doubt", 2: "in_doubt"}
        assert projects.find_one() == {"_id": 1}

    def test_lost_reply_is_in_doubt(self, mongo_client, projects, writer_of):
        """A batch whose reply is lost is dropped, because it must not be sent again."""
        projects.insert_many([{"_id": 1}, {"_id": 2}])
        writer = writer_of("none", writers_field=None)
        data = {"failCommands": ["update"], "closeConnection": True, "appName": "none"}
        with fail_point(mongo_client, mode={"times": 1}, **data):
            assert writer.write(batch_of(1, 2), NUMBER, 5) == {1: "in_doubt", 2: "in_doubt"}

    @pytest.mark.parametrize("skip", [1, 2, 3])
    def test_later_errors_do_not_repeat_the_batch(self, mongo_client, projects, writer_of, skip):
        """Errors of the repair and of the search for missing projects drop at most what they concern."""
        projects.insert_many([{"_id": 1}, {"_id": 2, "totalRequest": None}])
        writer = writer_of(f"none{skip}", writers_field=None)
        data = {"failCommands": ["update", "find"], "closeConnection": True, "appName": f"none{skip}"}
        with fail_point(mongo_client, mode={"skip": skip}, **data):
            dropped = writer.write(batch_of(1, 2, 3), NUMBER, 1)
        assert dropped.keys() <= {2, 3}
        assert projects.find_one(1)["totalRequest"] == 2
        assert projects.find_one(2).get("totalRequest") == 2 or dropped[2] in ("in_doubt", "uncountable")


def test_results_of_updates(any_projects):
    """The result has the number of documents that matched, and the server's error codes; mongomock's is the same."""
    any_projects.insert_many([{"_id": 1, "n": 1}, {"_id": 2, "n": 1}, {"_id": 3, "n": "x"}])
    updates = BulkUpdates(any_projects, has_collation=True)
    assert updates.send([({"_id": number}, {"$inc": {"n": 1}}) for number in (1, 2, 3, 4)]) == (2, {2: 14})
    assert [document["n"] for document in any_projects.find()] == [2, 2, "x"]
    duplicate = ({"_id": 1, "n": 5}, {"$set": {"n": 6}})
    assert updates.send([duplicate, ({"_id": 5}, {"$set": {"n": 1}})], upsert=True) == (0, {0: 11000})
    assert any_projects.find_one(5) == {"_id": 5, "n": 1}


@pytest.mark.parametrize("error", [OperationFailure("not permitted", 13), ServerSelectionTimeoutError()], ids=type)
def test_commands_after_the_first(projects, monkeypatch, error):
    """Once a command was sent, the batch may have been applied, although the next command is not."""
    projects.insert_one({"_id": 1})
    updates = BulkUpdates(projects, has_collation=True)
    updates.send([({"_id": 1}, {"$inc": {"n": 1}})])
    monkeypatch.setattr(Collection, "bulk_write", raiser(error))
    with pytest.raises(type(error)):
        updates.send([({"_id": 1}, {"$inc": {"n": 1}})])
    assert updates.is_sent is True


def test_lost_reply_after_a_repair(mongo_client, projects, writer_of):
    """Without entries, only the projects that were repaired are in doubt, and unknown ones are still found."""
    projects.insert_many([{"_id": 1}, {"_id": 2, "totalRequest": None}])
    writer = writer_of("repair", writers_field=None)
    data = {"failCommands": ["update"], "closeConnection": True, "appName": "repair"}
    with fail_point(mongo_client, mode={"skip": 2}, **data):
        assert writer.write(batch_of(1, 2, 3), NUMBER, 5) == {2: "in_doubt", 3: "unknown"}


def test_options_of_the_collection(projects):
    """Whatever the options of the host's collection, a majority confirms writes, and reads see them."""
    collection = projects.with_options(
        write_concern=WriteConcern(0),
        read_concern=ReadConcern("majority"),
        read_preference=ReadPreference.SECONDARY_PREFERRED,
    )
    with BatchWriter("").begin(collection, 5) as updates:
        assert updates.collection.write_concern == WriteConcern("majority", j=True)
        assert updates.collection.read_concern == ReadConcern("local")
        assert updates.collection.read_preference == ReadPreference.PRIMARY
        assert updates.collection.full_name == projects.full_name


class TestErrors:
    def test_nothing_was_sent(self):
        """If no server can be reached, the batch is not in doubt."""
        with MongoClient("mongodb://127.0.0.1:9", connectTimeoutMS=200) as client:
            writer = new_writer(ProjectStore(client.platform.projects))
            with pytest.raises(StoreError, match="the counts could not be written: ServerSelectionTimeoutError"):
                writer.write(batch_of(1), NUMBER, 0.3)
        assert not writer.is_in_doubt

    @pytest.mark.parametrize(("code", "in_doubt"), [(13, False), (11600, True), (91, True), (8000, True)])
    def test_rejected_commands(self, mongo_client, projects, writer_of, code, in_doubt):
        """A missing permission prevents the command; after other errors, it may have been run."""
        projects.insert_one({"_id": 1})
        writer = writer_of(f"rejected{code}")
        data = {"failCommands": ["update"], "errorCode": code, "appName": f"rejected{code}"}
        with (
            fail_point(mongo_client, mode={"times": 1}, **data),
            pytest.raises(StoreError, match="could not be written"),
        ):
            writer.write(batch_of(1), NUMBER, 5)
        assert writer.is_in_doubt == in_doubt

    def test_slow_server(self, mongo_client, projects, writer_of):
        """The time limit applies to the batch, which is then in doubt."""
        projects.insert_one({"_id": 1})
        writer = writer_of("slow")
        writer.write(batch_of(1), NUMBER, 5)
        data = {"failCommands": ["update"], "blockConnection": True, "blockTimeMS": 1000, "appName": "slow"}
        with fail_point(mongo_client, **data), pytest.raises(StoreError):
            writer.write(batch_of(1), NUMBER + 1, 0.3)
        assert writer.is_in_doubt

    def test_unconfirmed_write_concern(self, mongo_client, projects, writer_of):
        """A write that was not confirmed is in doubt."""
        projects.insert_one({"_id": 1})
        writer = writer_of("concern")
        concern = {"code": 64, "codeName": "WriteConcernTimeout", "errmsg": "too slow"}
        data = {"failCommands": ["update"], "writeConcernError": concern, "appName": "concern"}
        with fail_point(mongo_client, mode={"times": 1}, **data), pytest.raises(StoreError):
            writer.write(batch_of(1), NUMBER, 5)
        assert writer.is_in_doubt
        assert writer.write(batch_of(1), NUMBER, 5) == {}
        assert projects.find_one()["totalRequest"] == 2

    def test_a_collection_that_cannot_be_opened(self, projects):
        """Nothing was sent, so the batch is not in doubt, even if the one before was."""
        writer = new_writer(ProjectStore(raiser(KeyError("secret"))))
        writer.is_in_doubt = True
        with pytest.raises(KeyError):
            writer.write(batch_of(1), NUMBER, 5)
        assert not writer.is_in_doubt

    def test_interruption(self, projects, monkeypatch):
        """A batch that a signal handler's exception interrupts is in doubt."""
        projects.insert_one({"_id": 1})
        writer = new_writer(ProjectStore(projects))

        def interrupt(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(Collection, "bulk_write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            writer.write(batch_of(1), NUMBER, 5)
        assert writer.is_in_doubt

    def test_collation_refused_for_each_update(self, projects, monkeypatch):
        """Some servers report the refused collation for each update instead of the command."""
        projects.insert_one({"_id": "a"})
        bulk_write = Collection.bulk_write

        def refuse(collection, requests, **options):
            if any(request._collation for request in requests):
                raise BulkWriteError({"writeErrors": [{"index": 0, "code": 303}], "writeConcernErrors": []})
            return bulk_write(collection, requests, **options)

        monkeypatch.setattr(Collection, "bulk_write", refuse)
        assert new_writer(ProjectStore(projects)).write(batch_of("a"), NUMBER, 5) == {}
        assert projects.find_one()["totalRequest"] == 2

    def test_transient_error_of_an_update(self, projects, monkeypatch):
        """An update that was interrupted on the server is sent again with its batch."""
        projects.insert_many([{"_id": 1}, {"_id": 2}])
        writer = new_writer(ProjectStore(projects))
        bulk_write = Collection.bulk_write

        def interrupt(collection, requests, **options):
            bulk_write(collection, requests[:1], **options)
            raise BulkWriteError({"writeErrors": [{"index": 1, "code": 11601}], "writeConcernErrors": []})

        monkeypatch.setattr(Collection, "bulk_write", interrupt)
        with pytest.raises(StoreError):
            writer.write(batch_of(1, 2), NUMBER, 5)
        monkeypatch.setattr(Collection, "bulk_write", bulk_write)
        assert writer.is_in_doubt
        assert writer.write(batch_of(1, 2), NUMBER, 5) == {}
        assert [document["totalRequest"] for document in projects.find()] == [2, 2]

    def test_validator(self, database):
        """Documents that a validator refuses are unchanged."""
        projects = database.create_collection("strict", validator={"usageWriters": {"$exists": False}})
        projects.insert_one({"_id": 1, "totalRequest": 1})
        assert new_writer(ProjectStore(projects)).write(batch_of(1), NUMBER, 5) == {1: "refused"}
        assert projects.find_one() == {"_id": 1, "totalRequest": 1}

    def test_server_without_collations(self, mongo_client, projects, writer_of, monkeypatch):
        """A server that does not support collations gets none, also not to find old entries, and is not asked again."""
        projects.insert_one({"_id": "a"})
        writer, find, collations = writer_of("plain"), Collection.find, []
        monkeypatch.setattr(
            Collection,
            "find",
            lambda *args, **kwargs: collations.append(kwargs.get("collation")) or find(*args, **kwargs),
        )
        data = {"failCommands": ["update"], "errorCode": 115, "appName": "plain"}
        with fail_point(mongo_client, mode={"times": 1}, **data):
            assert writer.write(batch_of("a"), NUMBER, 5) == {}
        assert collations == [None]
        assert not writer._has_collation
        assert projects.find_one()["totalRequest"] == 2


def test_ids_are_matched_exactly(database):
    """The collection's collation does not make other projects match."""
    projects = database.create_collection("collated", collation=Collation("en", strength=1))
    projects.insert_one({"_id": "blog"})
    assert new_writer(ProjectStore(projects)).write(batch_of("BLOG"), NUMBER, 5) == {"BLOG": "unknown"}
    assert projects.find_one() == {"_id": "blog"}


def test_mapped_ids(projects):
    """Projects can be recorded by the path that their ``_id`` is mapped to."""
    projects.insert_many([{"_id": 1, "meta": {"slug": "blog"}}, {"_id": 2, "meta": {"slug": "api"}}, {"_id": 3}])
    writer = new_writer(ProjectStore(projects, fields={"_id": "meta.slug"}))
    for number in (NUMBER, NUMBER, NUMBER + 1):
        assert writer.write(batch_of("blog", "wiki"), number, 5) == {"wiki": "unknown"}
    assert [document.get("totalRequest") for document in projects.find()] == [4, None, None]


@pytest.mark.parametrize("path", ["slug", "meta.slug"])
def test_arrays_are_no_ids(any_projects, path):
    """The server compares the elements of an array as well, but the response has no id for such a project."""
    stored = [
        {"_id": 1, "slug": ["blog", "api"]},
        {"_id": 2, "meta": [{"slug": "blog"}]},
        {"_id": 3, "meta": {"slug": ["blog"]}},
    ]
    any_projects.insert_many(stored)
    writer = new_writer(ProjectStore(any_projects, fields={"_id": path}))
    assert writer.write(batch_of("blog", "wiki"), NUMBER, 5) == {"blog": "unknown", "wiki": "unknown"}
    assert list(any_projects.find()) == stored


def test_arrays_do_not_hide_ids(any_projects):
    """A batch that is sent again finds the project, although an array that contains its id comes first."""
    any_projects.insert_many([{"_id": 1, "slug": ["blog"]}, {"_id": 2, "slug": "blog"}])
    writer = new_writer(ProjectStore(any_projects, fields={"_id": "slug"}))
    for _ in range(2):
        assert writer.write(batch_of("blog"), NUMBER, 5) == {}
    assert [document.get("totalRequest") for document in any_projects.find()] == [None, 2]


class TestPruning:
    @pytest.mark.parametrize("path", ["usageWriters", "usage.writers"])
    def test_silent_writers_are_removed(self, projects, path):
        """Entries that are older than an hour are removed, but not those of writers that are active."""
        now = datetime.now()
        entries = {"old": now - timedelta(days=1), "young": now + timedelta(days=1), "odd.name": NOON, "text": "x"}
        projects.insert_many([{"_id": 1}, {"_id": 2}])
        projects.update_one({"_id": 1}, {"$set": {path: entries}})
        writer = new_writer(ProjectStore(projects, writers_field=path))
        writer.write(batch_of(1, 2), NUMBER, 5)
        assert get_path(projects.find_one(1), path.split(".")).keys() == {"young", "odd.name", "text", writer.name}

    @pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone of a process cannot be set here")
    def test_the_time_zone_of_the_system_makes_no_difference(self, projects, monkeypatch):
        """An entry of half an hour ago stays, wherever the process runs."""
        recent = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=30)
        projects.insert_one({"_id": 1, "usageWriters": {"recent": recent}})
        try:
            with monkeypatch.context() as patch:
                patch.setenv("TZ", "Asia/Tokyo")
                time.tzset()
                new_writer(ProjectStore(projects)).write(batch_of(1), NUMBER, 5)
        finally:
            time.tzset()
        assert "recent" in projects.find_one()["usageWriters"]

    def test_nothing_is_read_without_entries(self, projects, monkeypatch):
        """A store without entries has none to remove."""
        projects.insert_one({"_id": 1})
        monkeypatch.setattr(BulkUpdates, "find", raiser(AssertionError()))
        assert new_writer(ProjectStore(projects, writers_field=None)).write(batch_of(1), NUMBER, 5) == {}

    def test_entries_of_ingests_stay_for_a_month(self, projects):
        """An ingest may be stopped for days before it sends its last batch again."""
        now = datetime.now()
        entries = {"i1": now - timedelta(days=29), "i2": now - timedelta(days=31), "x1": now - timedelta(days=29)}
        projects.insert_one({"_id": 1, "usageWriters": entries})
        writer = new_writer(ProjectStore(projects))
        writer.write(batch_of(1), NUMBER, 5)
        assert projects.find_one()["usageWriters"].keys() == {"i1", writer.name}

    def test_few_documents_are_remembered(self, projects, monkeypatch):
        """A writer of many projects forgets which it has checked, so that its memory does not grow."""
        monkeypatch.setattr(writer_entries, "_MAX_PRUNED", 1)
        projects.insert_many([{"_id": number} for number in range(3)])
        writer = new_writer(ProjectStore(projects))
        for number, project in enumerate((0, 1, 2)):
            writer.write(batch_of(project), NUMBER + number, 5)
        projects.update_many({}, {"$set": {"usageWriters.old": NOON - timedelta(days=1)}})
        writer.write(batch_of(0, 1, 2), NUMBER + 3, 5)
        assert ["old" in document["usageWriters"] for document in projects.find()] == [False, False, True]

    def test_documents_are_checked_once_an_hour(self, projects):
        """A second batch does not look for old entries again, but one after an hour does."""
        projects.insert_one({"_id": 1})
        writer = new_writer(ProjectStore(projects))
        writer.write(batch_of(1), NUMBER, 5)
        projects.update_one({}, {"$set": {"usageWriters.old": NOON - timedelta(days=1)}})
        writer.write(batch_of(1), NUMBER + 1, 5)
        assert "old" in projects.find_one()["usageWriters"]
        writer._pruner._pruned_until -= timedelta(hours=1)
        writer.write(batch_of(1), NUMBER + 2, 5)
        assert "old" not in projects.find_one()["usageWriters"]

    def test_a_writer_that_returns_keeps_its_entry(self, projects, monkeypatch):
        """An entry that is renewed after it was read is not removed, so that its batch is not applied twice."""
        projects.insert_one({"_id": 1, "usageWriters": {"other": NOON - timedelta(days=1)}})
        send = BulkUpdates.send

        def renew_first(updates, operations, **options):
            if "$unset" in operations[0][1]:
                projects.update_one({}, {"$set": {"usageWriters.other": datetime(2100, 1, 1)}})
            return send(updates, operations, **options)

        monkeypatch.setattr(BulkUpdates, "send", renew_first)
        new_writer(ProjectStore(projects)).write(batch_of(1), NUMBER, 5)
        assert "other" in projects.find_one()["usageWriters"]

    def test_failure_is_ignored(self, mongo_client, projects, writer_of):
        """The batch was applied, so it is not in doubt if looking for old entries fails."""
        projects.insert_one({"_id": 1})
        writer = writer_of("pruner")
        data = {"failCommands": ["find"], "errorCode": 11600, "appName": "pruner"}
        with fail_point(mongo_client, **data):
            assert writer.write(batch_of(1), NUMBER, 0.5) == {}
        assert not writer.is_in_doubt


def test_projects_are_never_created(any_projects):
    """An unknown project is dropped, even by mongomock."""
    assert new_writer(ProjectStore(any_projects)).write(batch_of(1), NUMBER, 5) == {1: "unknown"}
    assert any_projects.count_documents({}) == 0


def test_mongomock_replaces_null_parents():
    """Mongomock ignores an increment below null, so the parent is removed first."""
    projects = mongomock.MongoClient().platform.projects
    projects.insert_many([{"_id": 1, "stats": None}, {"_id": 2, "stats": 5}])
    writer = new_writer(ProjectStore(projects, fields={"totalRequest": "stats.hits"}))
    writer.write(batch_of(1), NUMBER, 5)
    assert projects.find_one(1)["stats"] == {"hits": 2}
