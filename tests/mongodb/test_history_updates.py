"""Batches of counts are added to the history once each, by project, day and quarter of an hour."""

import contextlib
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import mongomock
import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, WriteError
from support import fail_point, raiser

from flask_usage_stats import StoreError, UsageHistory
from flask_usage_stats._mongodb import history_updates
from flask_usage_stats._mongodb.bulk_updates import DUPLICATE_KEY, VALIDATION_FAILED, WRONG_TYPE, BulkUpdates
from flask_usage_stats._mongodb.history_updates import HistoryWriter

DAY = 20_782  # days since 1970
MIDNIGHT = datetime(2026, 11, 25)
QUARTER = DAY * 96
NUMBER = DAY * 86_400_000 + 5_000
OLDEST = QUARTER * 900.0 + 42


@pytest.fixture(params=["mongodb", "mongomock"])
def any_history(request):
    """Return a collection on the real server and one of mongomock."""
    if request.param == "mongomock":
        return mongomock.MongoClient().platform.usage_history
    return request.getfixturevalue("database").usage_history


@pytest.fixture
def history(database):
    return database.usage_history


def writer_for(collection, name="writer"):
    return HistoryWriter(UsageHistory(collection), name)


def days_of(collection):
    """Return what is stored of each day, without the document ``since`` and the entries."""
    return {
        (document["_id"]["p"], document["_id"]["d"]): (document["n"], document.get("q"))
        for document in collection.find({"_id": {"$ne": "since"}})
    }


def write(writer, counts, number=NUMBER, timeout=5):
    return writer.write(counts, number, timeout, OLDEST)


def test_days_have_a_count_for_each_quarter(any_history):
    """A document has the day's total and the quarters that have requests; further batches add to it."""
    project, writer = ObjectId(), writer_for(any_history)
    assert write(writer, {(project, QUARTER): 2, (project, QUARTER + 95): 3, ("blog", QUARTER - 1): 4}) == Counter()
    assert write(writer, {(project, QUARTER): 5, (project, QUARTER + 1): 1}, NUMBER + 1) == Counter()
    assert days_of(any_history) == {
        (project, MIDNIGHT): (11, {"0": 7, "95": 3, "1": 1}),
        ("blog", MIDNIGHT - timedelta(days=1)): (4, {"95": 4}),
    }
    entries = {document["_id"]["p"]: document["w"] for document in any_history.find({"_id": {"$ne": "since"}})}
    assert entries == {
        project: {"writer": MIDNIGHT + timedelta(milliseconds=5001)},
        "blog": {"writer": MIDNIGHT + timedelta(milliseconds=5000)},
    }


@pytest.mark.parametrize(
    "error",
    [
        OperationFailure("no collations", 115),
        BulkWriteError({"writeErrors": [{"index": 0, "code": 303}], "writeConcernErrors": []}),
    ],
    ids=type,
)
def test_days_are_inserted_without_collations(history, monkeypatch, error):
    """A server that does not support collations gets the updates again without, and inserts the days."""
    bulk_write, collations = Collection.bulk_write, []

    def refuse(collection, requests, **options):
        collations.append(requests[0]._collation)
        if collations[-1]:
            raise error
        return bulk_write(collection, requests, **options)

    monkeypatch.setattr(Collection, "bulk_write", refuse)
    writer = writer_for(history)
    for number in (NUMBER, NUMBER + 1):
        assert write(writer, {("blog", QUARTER): 2}, number) == Counter()
    assert days_of(history) == {("blog", MIDNIGHT): (4, {"0": 4})}
    assert [bool(collation) for collation in collations] == [True, False, False]


def test_a_batch_is_added_once(any_history):
    """Sending a batch again changes nothing, also if it was only applied in part."""
    counts = {(number, QUARTER + number % 3): number + 1 for number in range(20)}
    write(writer_for(any_history), {pair: counts[pair] for pair in list(counts)[:7]})
    writer = writer_for(any_history)
    for _ in range(2):
        assert write(writer, counts) == Counter()
    assert days_of(any_history) == {
        (number, MIDNIGHT): (number + 1, {str(number % 3): number + 1}) for number in range(20)
    }


def test_a_command_that_arrives_late_adds_nothing(any_history):
    """A batch is not added after a later one of the same writer: its sender has seen it fail and sent it again."""
    writer = writer_for(any_history)
    for number in (NUMBER + 1, NUMBER):
        assert write(writer, {(1, QUARTER): 2}, number) == Counter()
    assert days_of(any_history) == {(1, MIDNIGHT): (2, {"0": 2})}


def test_more_days_than_one_command_has(history, monkeypatch):
    """Counts that have waited for long are sent in several commands."""
    monkeypatch.setattr(history_updates, "_MAX_OPERATIONS", 3)
    write(writer_for(history), {(1, QUARTER + 96 * number): 1 for number in range(7)})
    assert sum(n for n, _ in days_of(history).values()) == 7


def test_a_new_day_of_eight_writers(history):
    """Writers that insert the same days at once lose no count."""
    writers = [writer_for(history, f"w{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for day in range(4):
            counts = {(project, QUARTER + 96 * day): 1 for project in range(50)}
            dropped = pool.map(lambda writer, counts=counts, day=day: write(writer, counts, NUMBER + day), writers)
            assert list(dropped) == [Counter()] * 8
    assert list(days_of(history).values()) == [(8, {"0": 8})] * 200


def test_lost_replies(mongo_client, mongodb_uri, history):
    """If the connection fails at any command, sending the batch again is exact."""
    for skip in range(5):
        name = f"history{skip}"
        data = {"failCommands": ["update", "find"], "closeConnection": True, "appName": name}
        counts = {(project, QUARTER): 1 for project in range(30)}
        with MongoClient(mongodb_uri, appname=name, heartbeatFrequencyMS=500) as client:
            writer = writer_for(client[history.database.name].usage_history, name)
            with fail_point(mongo_client, mode={"skip": skip}, **data), contextlib.suppress(StoreError):
                write(writer, counts, timeout=0.5)
                assert skip >= 3, "since, its format and the counts are necessary"
            assert write(writer, counts) == Counter()
        assert list(days_of(history).values()) == [(skip + 1, {"0": skip + 1})] * 30


def test_nothing_was_sent():
    """If no server can be reached, the batch is not in doubt."""
    with MongoClient("mongodb://127.0.0.1:9", connectTimeoutMS=200) as client:
        writer = writer_for(client.platform.usage_history)
        with pytest.raises(StoreError, match="the history could not be written: ServerSelectionTimeoutError"):
            write(writer, {(1, QUARTER): 1}, timeout=0.2)


def test_a_collection_that_cannot_be_opened():
    """Nothing was sent, so the batch is not in doubt, even if the one before was."""
    writer = writer_for(raiser(KeyError("secret")))
    writer.is_in_doubt = True
    with pytest.raises(KeyError):
        write(writer, {(1, QUARTER): 1})
    assert not writer.is_in_doubt


def test_slow_server(mongo_client, mongodb_uri, history):
    """The time limit applies to the batch, which is then in doubt."""
    with MongoClient(mongodb_uri, appname="slow history", heartbeatFrequencyMS=500) as client:
        writer = writer_for(client[history.database.name].usage_history)
        assert write(writer, {(1, QUARTER): 1}) == Counter()
        data = {"failCommands": ["update"], "blockConnection": True, "blockTimeMS": 1000, "appName": "slow history"}
        with fail_point(mongo_client, **data), pytest.raises(StoreError):
            write(writer, {(1, QUARTER): 1}, NUMBER + 1, timeout=0.3)
    assert writer.is_in_doubt


def test_damaged_days(history):
    """A day with other values than numbers stays as it is, and its requests are dropped."""
    history.insert_many(
        [{"_id": {"p": 1, "d": MIDNIGHT}, "n": "7"}, {"_id": {"p": 2, "d": MIDNIGHT}, "n": 1, "q": {"0": "1"}}]
    )
    dropped = write(writer_for(history), {(1, QUARTER): 2, (2, QUARTER): 3, (3, QUARTER): 4})
    assert dropped == {"uncountable": 5}
    assert days_of(history)[3, MIDNIGHT] == (4, {"0": 4})
    assert [document["n"] for document in history.find({"_id.p": {"$lt": 3}})] == ["7", 1]


def test_validator(database):
    """Days that a validator refuses are dropped."""
    collection = database.create_collection("strict", validator={"n": {"$lt": 3}})
    collection.insert_one({"_id": "since", "n": 0, "at": MIDNIGHT, "format": 1})
    assert write(writer_for(collection), {(1, QUARTER): 2, (2, QUARTER): 3}) == {"refused": 3}


def test_a_day_that_is_refused_on_the_second_attempt(history, monkeypatch):
    """What another writer has inserted meanwhile may have no number; the requests of that day are dropped."""
    answers = iter([(0, {0: WRONG_TYPE[0], 1: DUPLICATE_KEY, 2: DUPLICATE_KEY}), (0, {1: VALIDATION_FAILED})])
    monkeypatch.setattr(BulkUpdates, "send", lambda *_, **__: next(answers))
    counts = {(1, QUARTER): 2, (2, QUARTER): 3, (3, QUARTER): 4}
    assert write(writer_for(history), counts) == {"uncountable": 2, "refused": 4}


class TestSince:
    def test_the_first_flush_decides(self, any_history):
        """The time is the start of the oldest quarter in the first flush of any process."""
        for number, oldest in enumerate((OLDEST, OLDEST - 5000, OLDEST + 5000)):
            writer = writer_for(any_history, f"w{number}")
            writer.write({(1, QUARTER + 2): 1}, NUMBER, 5, oldest)
        assert any_history.find_one({"_id": "since"}) == {"_id": "since", "at": MIDNIGHT, "format": 1}

    def test_a_log_may_begin_earlier(self, any_history):
        """Each batch of a log can move the time back, but none of a recorder."""
        now = int(time.time()) // 900 * 900
        past, recorder = HistoryWriter(UsageHistory(any_history), "i1", counts_past=True), writer_for(any_history)
        for number, (writer, age, expected) in enumerate([(past, 5, 5), (past, 2, 5), (past, 9, 9), (recorder, 20, 9)]):
            oldest = now - age * 900
            writer.write({(1, oldest // 900): 1}, NUMBER + number, 5, oldest)
            stored = any_history.find_one({"_id": "since"})
            assert (stored.keys(), stored["format"]) == ({"_id", "at", "format"}, 1)
            at = stored["at"]
            assert (now - at.replace(tzinfo=UTC).timestamp()) / 900 == expected

    @pytest.mark.parametrize("validator", [{"n": {"$exists": True}}, {"at": {"$type": "string"}}])
    def test_a_validator_that_refuses_it(self, database, validator):
        """Without it, nothing can be read, so the counts are dropped; a later one is written if it is allowed then."""
        collection = database.create_collection("strict", validator=validator)
        writer = writer_for(collection)
        assert write(writer, {(1, QUARTER): 2, (2, QUARTER): 3}) == {"refused": 5}
        assert collection.count_documents({}) == 0
        database.command("collMod", "strict", validator={})
        assert write(writer, {(1, QUARTER): 1}, NUMBER + 1) == {}
        assert collection.count_documents({}) == 2

    def test_another_process_is_first(self, history, monkeypatch):
        """If another process stores the document at the same moment, the counts are added."""
        monkeypatch.setattr(Collection, "update_one", raiser(DuplicateKeyError("secret", DUPLICATE_KEY)))
        assert write(writer_for(history), {(1, QUARTER): 2}) == Counter()
        assert days_of(history) == {(1, MIDNIGHT): (2, {"0": 2})}

    def test_other_errors(self, history, monkeypatch):
        """Only what a validator refuses is dropped: after any other error the batch is sent again."""
        monkeypatch.setattr(Collection, "update_one", raiser(WriteError("secret", 14_031)))
        with pytest.raises(StoreError, match="the history could not be written: WriteError 14031"):
            write(writer_for(history), {(1, QUARTER): 2})

    def test_a_removed_document_is_stored_again(self, any_history, monkeypatch):
        """The document is stored again within an hour."""
        now = [0.0]
        monkeypatch.setattr(history_updates, "monotonic", lambda: now[0])
        writer = writer_for(any_history)
        for moment, expected in ((10, 1), (3600, 0), (3611, 1)):
            now.append(moment)
            now.reverse()
            write(writer, {(1, QUARTER): 1}, NUMBER + moment)
            assert any_history.count_documents({"_id": "since"}) == expected
            any_history.delete_one({"_id": "since"})

    @pytest.mark.parametrize(("counts_past", "later"), [(False, -900), (False, 900), (True, 0), (True, 900)])
    def test_the_document_is_known_for_an_hour(self, history, counts_past, later):
        """It is not written again if the requests cannot change it."""
        writer = HistoryWriter(UsageHistory(history), "i1", counts_past=counts_past)
        oldest = time.time() // 900 * 900 - 9000
        writer.write({(1, QUARTER): 1}, NUMBER, 5, oldest)
        history.delete_one({"_id": "since"})
        writer.write({(1, QUARTER): 1}, NUMBER + 1, 5, oldest + later)
        assert history.count_documents({"_id": "since"}) == 0

    def test_a_log_that_is_older_than_the_history(self, history):
        """The history begins with the first day whose counts are kept, which is a day in UTC."""
        writer = HistoryWriter(UsageHistory(history, retention_days=2), "i1", counts_past=True)
        writer.write({(1, QUARTER): 1}, NUMBER, 5, OLDEST - 90 * 86_400)
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        assert history.find_one({"_id": "since"})["at"] in (today - timedelta(days=1), today - timedelta(days=2))

    def test_later_format(self, any_history):
        """A history of a later version is not written, and nothing of it changes."""
        any_history.insert_one({"_id": "since", "at": MIDNIGHT, "format": 2})
        writer = writer_for(any_history)
        for number in (NUMBER, NUMBER + 1):
            assert write(writer, {(1, QUARTER): 2, (2, QUARTER): 3}, number) == {"later format": 5}
        assert list(any_history.find()) == [{"_id": "since", "at": MIDNIGHT, "format": 2}]


def test_silent_writers_are_removed(history):
    """Entries of processes that have not written for an hour are removed from the days that are written."""
    now = datetime.now(UTC)
    entries = {"old": now - timedelta(days=1), "young": now + timedelta(minutes=30)}
    days = [MIDNIGHT, MIDNIGHT + timedelta(days=1)]
    history.insert_many([{"_id": {"p": 1, "d": day}, "w": entries} for day in days])
    write(writer_for(history), {(1, QUARTER): 1, (1, QUARTER + 96): 1, (2, QUARTER): 1})
    assert [day["w"].keys() for day in history.find({"_id.p": 1})] == [{"young", "writer"}] * 2


def test_the_collation_of_the_collection_is_ignored(database):
    """Ids that differ in case are different projects."""
    collection = database.create_collection("collated", collation={"locale": "en", "strength": 1})
    write(writer_for(collection), {("blog", QUARTER): 1, ("other", QUARTER): 1})
    assert set(days_of(collection)) == {("blog", MIDNIGHT), ("other", MIDNIGHT)}


def test_an_interruption_adds_nothing_twice(history, monkeypatch):
    """A signal handler can interrupt the writer after a command."""
    send, writer = BulkUpdates.send, writer_for(history)

    def interrupt(*arguments, **options):
        send(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BulkUpdates, "send", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(writer, {(1, QUARTER): 2})
    assert writer.is_in_doubt
    assert write(writer, {(1, QUARTER): 2}) == Counter()
    assert days_of(history) == {(1, MIDNIGHT): (2, {"0": 2})}
