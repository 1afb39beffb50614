"""The ledger accounts for every recorded request."""

import threading
import time
from datetime import datetime

import pytest
from bson import ObjectId

from flask_usage_stats._recording import ledger as module
from flask_usage_stats._recording.ledger import Ledger

NOON = 1_795_608_000.0  # seconds since 1970
HEX = "507f1f77bcf86cd799439011"


@pytest.fixture
def clock(monkeypatch):
    """Return a list whose last element is the current time."""
    times = [NOON]
    monkeypatch.setattr(module, "time", lambda: times[-1])
    return times


def total(ledger):
    totals = ledger.measure()
    return totals.written + totals.pending + sum(totals.dropped.values())


def test_batches_have_the_sum_and_the_latest_time_of_each_project(clock):
    """Requests of one project are one increment, with a count for each quarter of an hour."""
    ledger = Ledger(100, None)
    ledger.add("blog", 2)
    clock.append(NOON + 1000)
    ledger.add("blog", 3)
    ledger.add(HEX, 1)
    clock.append(NOON + 1001)
    ledger.add(ObjectId(HEX), 4)
    (batch,) = ledger.get_batches()
    assert batch.number == int((NOON + 1001) * 1000)
    assert batch.oldest == NOON
    assert {project: increment.requests for project, increment in batch.increments.items()} == {
        "blog": 5,
        ObjectId(HEX): 5,
    }
    assert batch.increments["blog"].latest == datetime(2026, 11, 25, 12, 16, 40)
    quarter = int(NOON // 900)
    assert batch.quarters == {("blog", quarter): 2, ("blog", quarter + 1): 3, (ObjectId(HEX), quarter + 1): 5}


def test_batches_have_up_to_a_thousand_projects(clock):
    """More projects are several batches, with the same number."""
    ledger = Ledger(10_000, None)
    for project in range(2001):
        ledger.add(project, 1)
    batches = ledger.get_batches()
    assert [len(batch.increments) for batch in batches] == [1000, 1000, 1]
    assert len({batch.number for batch in batches}) == 1


def test_numbers_increase_even_if_the_clock_goes_back(clock):
    """Each set of batches has a greater number than the one before."""
    ledger = Ledger(100, None)
    numbers = []
    for moment in (NOON, NOON, NOON - 3600, NOON + 1):
        clock.append(moment)
        ledger.add("blog", 1)
        (batch,) = ledger.get_batches()
        ledger.settle(batch, {})
        numbers.append(batch.number)
    assert numbers == [int(NOON * 1000), int(NOON * 1000) + 1, int(NOON * 1000) + 2, int(NOON * 1000) + 1000]


def test_unsettled_batches_are_returned_again(clock):
    """A batch stays as it is until it is settled, whatever is recorded meanwhile."""
    ledger = Ledger(100, None)
    ledger.add("blog", 1)
    batches = ledger.get_batches()
    ledger.add("blog", 1)
    assert ledger.get_batches() == batches
    assert ledger.measure().pending == 2
    ledger.settle(batches[0], {})
    assert ledger.get_batches() != batches


def test_put_back_counts_wait_again(clock):
    """Counts that were not sent are part of the next batches, with their time and quarters."""
    ledger = Ledger(100, None)
    ledger.add("blog", 2)
    (first,) = ledger.get_batches()
    clock.append(NOON - 50)
    ledger.add("blog", 1)
    ledger.put_back([first])
    assert ledger.measure() == (0, 3, {}, NOON - 50)
    (second,) = ledger.get_batches()
    assert (second.requests, second.oldest) == (3, NOON - 50)
    assert second.increments["blog"].latest == datetime(2026, 11, 25, 12)
    ledger.put_back([second])
    assert ledger.measure() == (0, 3, {}, NOON - 50)


def test_put_back_counts_may_be_newer_than_others(clock):
    """The oldest time is that of all counts that wait, also if the clock was set back meanwhile."""
    ledger = Ledger(100, None)
    ledger.add("blog", 2)
    batches = ledger.get_batches()
    clock.append(NOON - 50)
    ledger.add("blog", 1)
    assert ledger.measure().oldest == NOON - 50
    ledger.put_back(batches)
    assert ledger.measure().oldest == NOON - 50


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the system has no such time zone")
def test_put_back_counts_do_not_depend_on_the_local_time(clock, monkeypatch):
    """The time of a request is stored in UTC, wherever the process runs."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        ledger = Ledger(100, None)
        ledger.add("blog", 2)
        ledger.put_back(ledger.get_batches())
        (batch,) = ledger.get_batches()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert batch.increments["blog"].latest == datetime(2026, 11, 25, 12)


def test_put_back_counts_are_limited(clock):
    """While nothing can be sent, no more pairs wait than are allowed; those that were recorded last are dropped."""
    ledger = Ledger(3, None)
    for project, n in (("a", 1), ("b", 2)):
        ledger.add(project, n)
    for _ in range(2):
        batches = ledger.get_batches()
        for project, n in (("b", 10), ("c", 20), ("d", 40)):
            ledger.add(project, n)
        assert ledger.measure().dropped.get("full", 0) in (0, 40)
        ledger.put_back(batches)
    (batch,) = ledger.get_batches()
    assert {project: increment.requests for project, increment in batch.increments.items()} == {
        "a": 1,
        "b": 22,
        "c": 40,
    }
    assert ledger.measure() == (0, 63, {"full": 80}, NOON)


def test_dropped_requests_are_counted_by_cause(clock):
    """What is written, pending and dropped is what was recorded."""
    ledger = Ledger(2, None)
    for project in ("a", "b", "c", "a", None):
        ledger.add(project, 10)
    (batch,) = ledger.get_batches()
    ledger.settle(batch, {"b": "unknown"})
    assert ledger.measure() == (20, 0, {"full": 10, "invalid": 10, "unknown": 10}, None)
    assert total(ledger) == 50


def test_dropped_requests_are_added_up(clock):
    """A cause has the requests of all of its projects."""
    ledger = Ledger(10, str)
    assert ledger.measure() == (0, 0, {}, None)
    assert ledger.get_batches() == []
    for project in ("a", HEX, None, None):
        ledger.add(project, 10)
    (batch,) = ledger.get_batches()
    ledger.settle(batch, {"a": "unknown", HEX: "unknown"})
    assert ledger.measure() == (0, 0, {"invalid": 20, "unknown": 20}, None)


def test_too_many_requests_for_an_integer(clock):
    """Counts that would not fit into a stored integer are dropped."""
    ledger = Ledger(2, None)
    for _ in range(600):
        ledger.add("a", 2**53)
    (batch,) = ledger.get_batches()
    assert batch.requests == 2**55
    assert ledger.measure().dropped["uncountable"] == 600 * 2**53 - batch.requests


def test_a_long_queue_is_merged_by_the_caller(clock, monkeypatch):
    """Memory is limited even if nothing is written."""
    monkeypatch.setattr(module, "_MAX_QUEUE", 10)
    ledger = Ledger(3, None)
    for number in range(100):
        ledger.add(number, 1)
        assert len(ledger._queue) <= 11
    assert ledger.measure() == (0, 3, {"full": 97}, NOON)


def test_add_never_waits(clock, monkeypatch):
    """A signal handler can add while the code that it interrupts holds the lock."""
    monkeypatch.setattr(module, "_MAX_QUEUE", 0)
    ledger = Ledger(3, None)
    with ledger._lock:
        ledger.add("a", 1)
    assert ledger.measure().pending == 1


def test_an_error_while_batches_are_made_loses_nothing(clock, monkeypatch):
    """What waits is taken only when the batches are complete."""
    ledger = Ledger(100, None)
    ledger.add("blog", 2)
    with monkeypatch.context() as patch:
        patch.setattr(module, "convert_project_id", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            ledger.get_batches()
    (batch,) = ledger.get_batches()
    assert batch.requests == ledger.measure().pending == 2


def raise_interrupt(*_):
    raise KeyboardInterrupt


def test_no_count_is_lost_between_threads(monkeypatch):
    """Threads add while others take batches."""
    monkeypatch.setattr(module, "_MAX_QUEUE", 100)
    ledger, found, stop = Ledger(1000, None), [], threading.Event()

    def write():
        while not stop.is_set() or ledger.measure().pending:
            for batch in ledger.get_batches():
                found.append(batch.requests)
                ledger.settle(batch, {})

    def add():
        for number in range(20_000):
            ledger.add(number % 7, 1)

    writer, adders = threading.Thread(target=write), [threading.Thread(target=add) for _ in range(4)]
    for thread in (writer, *adders):
        thread.start()
    for thread in adders:
        thread.join()
    stop.set()
    writer.join()
    assert sum(found) == ledger.measure().written == 80_000
