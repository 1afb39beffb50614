"""A recorder with a history: each batch is in the counts and in the history, or in neither."""

import contextlib
import logging
from collections import Counter

import mongomock
import pytest
from bson import ObjectId
from pymongo import MongoClient
from servers import free_port
from support import raiser

from flask_usage_stats import ConfigurationError, ProjectStore, StoreError, UsageHistory, UsageRecorder
from flask_usage_stats._mongodb.bulk_updates import BulkUpdates
from flask_usage_stats._recording import history_queue as module
from flask_usage_stats._recording import ledger

HEX = "507f1f77bcf86cd799439011"


@pytest.fixture
def any_history(any_projects):
    return any_projects.database.usage_history


@pytest.fixture
def recorder(any_projects, any_history):
    any_projects.insert_many([{"_id": ObjectId(HEX)}, {"_id": "blog", "totalRequest": 7}])
    recorder = UsageRecorder(ProjectStore(any_projects), history=UsageHistory(any_history), interval=3600)
    recorder._state.is_started = True  # no thread
    return recorder


class FailingWriter:
    """A history writer whose calls raise or return the given results, one after the other."""

    def __init__(self, *results, is_in_doubt=True):
        self.results, self.calls, self.is_in_doubt = list(results), [], is_in_doubt

    def write(self, counts, number, timeout, oldest):
        self.calls.append((dict(Counter({project: n for (project, _), n in counts.items()})), number))
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return Counter(result)


def sums(history):
    return {document["_id"]["p"]: document["n"] for document in history.find({"_id": {"$ne": "since"}})}


def counts(projects):
    return {document["_id"]: document.get("totalRequest") for document in projects.find()}


@pytest.mark.parametrize("history", ["x", mongomock.MongoClient().platform.usage_history])
def test_misuse_is_refused(any_projects, history):
    """The message says what to pass instead."""
    with pytest.raises(ConfigurationError, match=r"history must be a UsageHistory, such as UsageHistory\(db.usage"):
        UsageRecorder(ProjectStore(any_projects), history=history)


def test_the_history_has_what_was_counted(recorder, any_projects, any_history):
    """The sum of the history is that of the counts; what was dropped is in neither."""
    for project, n in ((HEX, 2), ("blog", 3), ("wiki", 4), ([], 1)):
        recorder.record(project, n)
    assert recorder.flush()
    assert counts(any_projects) == {ObjectId(HEX): 2, "blog": 10}
    assert sums(any_history) == {ObjectId(HEX): 2, "blog": 3}
    assert any_history.find_one({"_id": "since"})["format"] == 1
    assert recorder.stats.written == 5


def test_both_have_the_same_number(recorder, any_projects, any_history):
    """The entries in a project and in its days are equal."""
    recorder.record("blog")
    assert recorder.flush()
    day = any_history.find_one({"_id.p": "blog"})
    assert day["w"] == any_projects.find_one({"_id": "blog"})["usageWriters"] != {}


def test_the_history_is_repeated_alone(recorder, any_projects, caplog):
    """If only the history fails, the counts are not sent again, and those of later flushes do not wait for it."""
    error = StoreError("the history could not be written: AutoReconnect")
    writer = recorder._state.flusher.history.writer = FailingWriter(error, error, {}, {})
    recorder.record("blog", 2)
    assert not recorder.flush()
    recorder.record("blog", 5)
    assert not recorder.flush()
    assert counts(any_projects)["blog"] == 14
    assert (recorder.stats.written, recorder.stats.pending, recorder.stats.failures) == (7, 0, 2)
    assert recorder.flush()
    (first, *again, last) = writer.calls
    assert again == [first, first]
    assert (first[0], last[0]) == ({"blog": 2}, {"blog": 5})
    assert first[1] < last[1]
    failed = "%d counted requests could not be added to the history and wait: the history could not be written: AutoReconnect"
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.ERROR, failed % 2),
        (logging.ERROR, failed % 7),
    ]


def test_a_history_that_fails_is_tried_once_in_a_flush(recorder, any_projects, monkeypatch):
    """Each batch of counts is written, and only the first one waits for the history."""
    monkeypatch.setattr(ledger, "BATCH_SIZE", 2)
    any_projects.insert_many({"_id": number} for number in range(3))
    writer = recorder._state.flusher.history.writer = FailingWriter(StoreError("x"), {}, {})
    for number in range(3):
        recorder.record(number)
    assert not recorder.flush()
    assert (recorder.stats.written, len(writer.calls)) == (3, 1)
    assert recorder.flush()
    assert [len(call[0]) for call in writer.calls] == [2, 2, 1]


def test_the_history_does_not_wait_for_later_batches(recorder, any_history, monkeypatch):
    """What was counted is in the history even if a later batch of the same flush fails."""
    monkeypatch.setattr(ledger, "BATCH_SIZE", 1)
    writer = recorder._state.flusher.writer
    write = writer.write

    def write_once(*arguments, **options):
        monkeypatch.setattr(writer, "write", raiser(StoreError("x")))
        return write(*arguments, **options)

    monkeypatch.setattr(writer, "write", write_once)
    recorder.record("blog", 2)
    recorder.record(HEX, 3)
    assert not recorder.flush()
    assert sums(any_history) == {"blog": 2}


def test_the_last_flush_ends_in_time(recorder, monkeypatch):
    """The projects and the history have the time that remains."""
    flusher, timeouts = recorder._state.flusher, []
    for writer in (flusher.writer, flusher.history.writer):
        monkeypatch.setattr(writer, "write", lambda *arguments, **_: timeouts.append(arguments[2]) or Counter())
    recorder.record("blog")
    assert recorder.close(timeout=2)
    assert len(timeouts) == 2
    assert 0 < timeouts[1] <= timeouts[0] <= 2


def test_nothing_is_sent_after_the_deadline(recorder, any_projects, any_history):
    """What cannot be written in time stays pending, for a later flush."""
    recorder.record("blog", 2)
    assert not recorder.close(timeout=0)
    assert (counts(any_projects)["blog"], sums(any_history), recorder.stats.pending) == (7, {}, 2)
    assert recorder.close()
    assert (counts(any_projects)["blog"], sums(any_history)) == (9, {"blog": 2})


def test_too_many_pairs_wait_for_the_history(any_projects, any_history, caplog):
    """The oldest batches are lost, also of the history's own queue."""
    any_projects.insert_many({"_id": number} for number in range(3))
    recorder = UsageRecorder(
        ProjectStore(any_projects), history=UsageHistory(any_history), interval=3600, max_pending=3
    )
    recorder._state.is_started = True
    real = recorder._state.flusher.history.writer
    recorder._state.flusher.history.writer = FailingWriter(*[StoreError("x")] * 3)
    for number, n in ((0, 2), (1, 3), (2, 4)):
        recorder.record(number, n)
        recorder.record((number + 1) % 3)
        assert not recorder.flush()
    assert [message for message in caplog.messages if "lacks" in message] == [
        "the history lacks 3 counted requests: full 3",
        "the history lacks 4 counted requests: full 4",
    ]
    recorder._state.flusher.history.writer = real
    assert recorder.flush()
    assert sums(any_history) == {2: 4, 0: 1}


def test_without_entries(any_projects, any_history):
    """The history has entries of its own, so it is exact even if the projects have none."""
    any_projects.insert_one({"_id": "blog"})
    store = ProjectStore(any_projects, writers_field=None)
    recorder = UsageRecorder(store, history=UsageHistory(any_history), interval=3600)
    recorder._state.is_started = True
    queue = recorder._state.flusher.history
    real, queue.writer = queue.writer, FailingWriter(StoreError("x"))
    recorder.record("blog", 2)
    assert not recorder.flush()
    queue.writer = real
    assert recorder.flush()
    assert (counts(any_projects), sums(any_history)) == ({"blog": 2}, {"blog": 2})
    assert recorder.stats.written == 2


def test_the_history_is_given_up_when_its_entries_may_be_gone(recorder, any_projects, monkeypatch, caplog):
    """After nearly an hour, the history lacks the batch, since it could be added twice; the counts have it."""
    recorder._state.flusher.history.writer = writer = FailingWriter(StoreError("x"))
    recorder.record("blog", 2)
    assert not recorder.flush()
    monkeypatch.setattr(module, "MAX_DOUBT", -1)
    assert recorder.flush()
    assert len(writer.calls) == 1
    assert counts(any_projects)["blog"] == 9
    assert recorder.stats.written == 2
    assert caplog.messages[-1] == "the history lacks 2 counted requests: in_doubt 2"


def test_the_history_is_not_given_up_if_nothing_reached_it(recorder, any_projects, monkeypatch):
    """A batch that was certainly not written can be sent at any time."""
    monkeypatch.setattr(module, "MAX_DOUBT", -1)
    recorder._state.flusher.history.writer = writer = FailingWriter(StoreError("x"), {}, is_in_doubt=False)
    recorder.record("blog", 2)
    assert not recorder.flush()
    assert recorder.flush()
    assert [call[0] for call in writer.calls] == [{"blog": 2}] * 2


@pytest.mark.parametrize("cause", ["callable", "server"])
def test_a_history_that_cannot_be_opened(any_projects, any_history, cause):
    """The counts are written without it, and the history gets them later."""
    any_projects.insert_one({"_id": "blog"})
    client = MongoClient("localhost", free_port(), serverSelectionTimeoutMS=10)
    failing = [True] if cause == "server" else [True, True]

    def open_history():
        if not failing:
            return any_history
        if cause == "callable":
            raise RuntimeError("secret")
        return client.platform.usage_history

    recorder = UsageRecorder(ProjectStore(any_projects), history=UsageHistory(open_history), interval=3600, timeout=1)
    recorder._state.is_started = True
    expected = {"blog": len(failing)}
    while failing:
        recorder.record("blog")
        assert not recorder.flush()
        failing.pop()
    assert counts(any_projects) == expected
    assert recorder.flush()
    assert sums(any_history) == expected
    client.close()


def test_what_the_history_lacks_is_logged_once(recorder, caplog):
    """One line for each flush says how many requests are missing, by cause."""
    recorder._state.flusher.history.writer = FailingWriter({"refused": 2, "uncountable": 1}, {})
    recorder.record("blog", 3)
    assert recorder.flush()
    recorder.record("blog", 3)
    assert recorder.flush()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message == "the history lacks 3 counted requests: refused 2, uncountable 1"


def test_a_batch_that_is_dropped_does_not_reach_the_history(recorder, any_history):
    """Without a project, nothing is added."""
    recorder.record("wiki")
    assert recorder.flush()
    assert sums(any_history) == {}
    assert any_history.count_documents({}) == 0


@pytest.mark.parametrize("skip", range(6))
def test_an_interruption_adds_nothing_twice(recorder, any_projects, any_history, monkeypatch, skip):
    """An exception of a signal handler after any command leaves the batch in doubt, and it is sent again."""
    send, calls = BulkUpdates.send, []

    def interrupt(*arguments, **options):
        result = send(*arguments, **options)
        calls.append(result)
        if len(calls) == skip + 1:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(BulkUpdates, "send", interrupt)
    for n in (2, 3):
        recorder.record("blog", n)
        with contextlib.suppress(KeyboardInterrupt):
            recorder.flush()
    assert recorder.flush()
    assert counts(any_projects)["blog"] == 12
    assert sums(any_history) == {"blog": 5}


@pytest.mark.parametrize("is_settled", [True, False])
def test_an_interruption_between_the_two(recorder, any_projects, any_history, monkeypatch, is_settled):
    """A batch that the projects have reaches the history once, wherever a signal handler interrupts the flush."""
    flusher = recorder._state.flusher
    settle = flusher.ledger.settle

    def interrupt(*arguments):
        if is_settled:
            settle(*arguments)
        raise KeyboardInterrupt

    recorder.record("blog", 2)
    with monkeypatch.context() as patch:
        patch.setattr(flusher.ledger, "settle", interrupt)
        with pytest.raises(KeyboardInterrupt):
            recorder.flush()
    assert recorder.flush()
    assert counts(any_projects)["blog"] == 9
    assert sums(any_history) == {"blog": 2}
