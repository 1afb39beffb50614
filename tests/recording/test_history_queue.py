"""Batches wait for the history in their order, and those that cannot be written exactly are lost."""

from collections import Counter

import pytest

from flask_usage_stats import StoreError
from flask_usage_stats._recording import history_queue as module
from flask_usage_stats._recording.history_queue import HistoryQueue
from flask_usage_stats._recording.ledger import Batch

NOON = 1_795_608_000.0  # seconds since 1970


@pytest.fixture
def clocks(monkeypatch):
    """Return the readings of both clocks, which a test may change."""
    readings = {"monotonic": 50.0, "time": NOON}
    monkeypatch.setattr(module, "monotonic", lambda: readings["monotonic"])
    monkeypatch.setattr(module, "time", lambda: readings["time"])
    return readings


class RecordingWriter:
    """Remembers what is written; raises or returns the given results first."""

    def __init__(self, *results):
        self.results, self.calls, self.is_in_doubt = list(results), [], True

    def write(self, counts, number, timeout, oldest):
        self.calls.append((dict(counts), number, timeout, oldest))
        result = self.results.pop(0) if self.results else {}
        if isinstance(result, BaseException):
            raise result
        return Counter(result)

    @property
    def numbers(self):
        return [number for _, number, _, _ in self.calls]


def make_batch(order, *projects):
    """Return a batch with one request of each project."""
    return Batch(int(NOON * 1000) + order, NOON - 9, {}, dict.fromkeys(((project, 7) for project in projects), 1))


def build(*results, max_pairs=9):
    return HistoryQueue(RecordingWriter(*results), max_pairs)


def fail(queue, deadline=None):
    with pytest.raises(StoreError):
        queue.write(5, deadline)


def test_what_is_written(clocks):
    """The batches are written in order, without the projects that were not incremented."""
    queue = build()
    queue.add(make_batch(1, "blog", "wiki"), {"wiki": "unknown"})
    queue.add(make_batch(2, "blog"), {})
    queue.add(make_batch(3, "wiki"), {"wiki": "unknown"})
    assert queue.requests == 2
    queue.write(5, None)
    first, second = queue.writer.calls
    assert first == ({("blog", 7): 1}, int(NOON * 1000) + 1, 5, NOON - 9)
    assert second[1] == first[1] + 1
    assert (queue.requests, queue.pop_lost()) == (0, Counter())


def test_deadline(clocks):
    """A batch has the time that remains until the deadline, and none is written after it."""
    queue = build()
    queue.add(make_batch(1, "blog"), {})
    queue.write(5, 50.0)
    queue.write(5, 49.0)
    assert (queue.writer.calls, queue.requests) == ([], 1)
    queue.write(5, 53.0)
    queue.add(make_batch(2, "blog"), {})
    queue.write(5, 60.0)
    assert [timeout for _, _, timeout, _ in queue.writer.calls] == [3.0, 5]


def test_an_error_ends_the_write(clocks):
    """Later batches wait for the one that failed, which is sent first the next time."""
    queue = build(StoreError("x"))
    queue.add(make_batch(1, "blog"), {})
    queue.add(make_batch(2, "blog"), {})
    fail(queue)
    queue.write(5, None)
    assert [number - int(NOON * 1000) for number in queue.writer.numbers] == [1, 1, 2]


@pytest.mark.parametrize("clock", ["monotonic", "time"])
def test_a_batch_in_doubt_is_given_up_in_time(clocks, clock):
    """After nearly an hour by either clock it could be added twice; the others are written."""
    queue = build(StoreError("x"), StoreError("x"))
    queue.add(make_batch(0, "blog", "wiki"), {})
    queue.add(make_batch(1, "blog"), {})
    fail(queue)
    clocks[clock] += 3300
    fail(queue)
    clocks[clock] += 1
    queue.write(5, None)
    assert [number - int(NOON * 1000) for number in queue.writer.numbers] == [0, 0, 1]
    assert (queue.requests, queue.pop_lost()) == (0, {"in_doubt": 2})


def test_doubt_stays(clocks):
    """A batch that may have been written stays in doubt if it is added again, or if a later attempt sends nothing."""
    batch, queue = make_batch(1, "blog"), build(StoreError("x"), StoreError("x"))
    queue.add(batch, {})
    fail(queue)
    queue.add(batch, {})
    queue.writer.is_in_doubt = False
    fail(queue)
    clocks["monotonic"] += 3301
    queue.write(5, None)
    assert (len(queue.writer.calls), queue.pop_lost()) == (2, {"in_doubt": 1})


def test_an_interrupted_batch_is_in_doubt(clocks):
    """A signal handler can interrupt the writer after it has sent the batch."""
    queue = build(KeyboardInterrupt())
    queue.add(make_batch(1, "blog"), {})
    with pytest.raises(KeyboardInterrupt):
        queue.write(5, None)
    clocks["time"] += 3301
    queue.write(5, None)
    assert (len(queue.writer.calls), queue.pop_lost()) == (1, {"in_doubt": 1})


def test_the_oldest_are_lost_first():
    """As many batches are lost as necessary, but never the latest one."""
    queue = build(max_pairs=4)
    queue.add(make_batch(1, "a", "b"), {})
    queue.add(make_batch(2, "a", "b"), {})
    assert (queue.requests, queue.pop_lost()) == (4, Counter())
    queue.add(make_batch(3, "a"), {})
    assert (queue.requests, queue.pop_lost()) == (3, {"full": 2})
    queue.add(make_batch(4, "a", "b", "c", "d", "e"), {})
    assert (queue.requests, queue.pop_lost()) == (5, {"full": 3})


def test_pairs_are_counted_rather_than_requests():
    """Many requests of a project take no more memory than one."""
    queue = build(max_pairs=2)
    for number in (1, 2):
        queue.add(Batch(number, NOON, {}, {("blog", 7): 1000}), {})
    assert (queue.requests, queue.pop_lost()) == (2000, Counter())
    queue.add(Batch(3, NOON, {}, {("a", 7): 1, ("b", 7): 1}), {})
    assert (queue.requests, queue.pop_lost()) == (2, {"full": 2000})


def test_lost_requests_add_up_until_they_are_taken(clocks):
    """What the history refuses is counted over all batches of a flush, and once."""
    queue = build({"refused": 2}, {"refused": 3, "uncountable": 1})
    queue.add(make_batch(1, "blog"), {})
    queue.add(make_batch(2, "blog"), {})
    queue.write(5, None)
    assert queue.pop_lost() == {"refused": 5, "uncountable": 1}
    assert queue.pop_lost() == Counter()
