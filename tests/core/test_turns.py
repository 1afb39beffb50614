"""Large reports are computed one at a time."""

import os
from threading import Thread

import pytest

from flask_usage_stats._core import turns
from flask_usage_stats._core.batches import BatchedDocuments
from flask_usage_stats._core.query import DEFAULT_QUERY
from flask_usage_stats._core.report import build_report
from flask_usage_stats._core.turns import take_turn
from flask_usage_stats._formats.json import JSON


def report_of(size):
    batches = ([{"_id": number, "totalRequest": 1} for number in range(size)] for _ in range(1))
    return build_report(BatchedDocuments(batches), DEFAULT_QUERY, JSON)


def test_large_batches_wait_for_their_turn():
    """A report that has to wait for another is complete."""
    totals = []
    with take_turn(1000):
        large = Thread(target=lambda: totals.append(report_of(1000).total))
        large.start()
        large.join(0.2)
        assert totals == []
        assert report_of(499).total == 499  # a small report does not wait
    large.join()
    assert totals == [1000]


def test_turns_end_with_an_error():
    """An error in one report does not stop the others."""
    with pytest.raises(AttributeError):
        build_report(BatchedDocuments(iter([[5] * 1000])), DEFAULT_QUERY, JSON)
    assert report_of(1000).total == 1000


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="processes are not forked here")
def test_a_forked_process_has_its_own_lock(monkeypatch):
    """A new process has a new lock, because the thread that holds the old one does not exist in it."""
    monkeypatch.setattr(turns, "_lock", turns._lock)
    with take_turn(1000):
        turns._renew_lock()
        assert report_of(1000).total == 1000


def test_documents_of_other_stores_take_no_turn():
    """Their mappings may run any code while they are converted, even another report."""

    class Lazy(dict):
        def values(self):
            report_of(1000)
            return super().values()

    documents = [{"_id": number, "totalRequest": 1} for number in range(999)]
    assert build_report([*documents, Lazy(_id=999, totalRequest=1)], DEFAULT_QUERY, JSON).total == 1000
