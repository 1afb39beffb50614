"""Documents in batches."""

import asyncio
import inspect
import types

import pytest

from flask_usage_stats import ConfigurationError
from flask_usage_stats._core.batches import BatchedDocuments, iter_batches


def read(log):
    try:
        yield [{"_id": 1}, {"_id": 2}]
        yield [{"_id": 3}]
    finally:
        log.append("closed")


def test_batches_of_a_store_are_kept():
    """A batch of a store is passed on unchanged."""
    assert [len(batch) for batch in iter_batches(BatchedDocuments(read([])))] == [2, 1]


def test_other_documents_are_batched_by_their_number():
    """Each batch is cleared when the next is requested, so that only one is in memory."""
    batches = []
    sizes = [batches.append(batch) or len(batch) for batch in iter_batches({"_id": n} for n in range(4001))]
    assert sizes == [2000, 2000, 1]
    assert not any(batches)


async def later():
    """Return a coroutine when called."""


@pytest.mark.parametrize(
    ("documents", "got"),
    [
        (None, "got NoneType"),
        (5, "got int"),
        (later(), "got coroutine"),
        ("blog", "got str"),
        ("", "got str"),
        (b"", "got bytes"),
        ({}, "got dict"),
        ([{}, object()], "got an iterable of object"),
        ([("name", "blog")], "got an iterable of tuple"),
        ([None], "got an iterable of NoneType"),
        ({"name": "blog"}, "got dict"),
        (asyncio.Future(loop=asyncio.new_event_loop()), "got Future"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_results_of_a_store_are_refused(documents, got):
    """The message says what a store must return and what it has returned."""
    with pytest.raises(ConfigurationError, match=f"iter_projects must return an iterable of mappings, .*; {got}"):
        list(iter_batches(documents))


def test_a_coroutine_is_closed():
    """Python does not warn that it was never awaited."""
    documents = later()
    with pytest.raises(ConfigurationError):
        list(iter_batches(documents))
    assert inspect.getcoroutinestate(documents) == inspect.CORO_CLOSED


def test_any_object_that_can_be_iterated_over_is_accepted():
    """Python can also iterate over an object with a method for its items."""

    class Items:
        def __getitem__(self, index):
            return [{}, {}][index]

    assert [len(batch) for batch in iter_batches(Items())] == [2]


def test_errors_of_an_iterable_are_not_replaced():
    """A TypeError of the store's own code is raised as it is, so that the log has its origin."""

    class Projects:
        def __iter__(self):
            return iter(len())

    with pytest.raises(TypeError, match="len"):
        list(iter_batches(Projects()))


def test_any_mapping_is_a_document():
    """A store may return mappings of any type."""
    assert [len(batch) for batch in iter_batches([{}, types.MappingProxyType({"_id": 1})])] == [2]


def test_iteration_yields_documents_and_closes_the_read():
    """A read that is abandoned is closed at once."""
    log = []
    documents = iter(BatchedDocuments(read(log)))
    assert next(documents) == {"_id": 1}
    documents.close()
    assert log == ["closed"]
    assert list(BatchedDocuments(read(log))) == [{"_id": 1}, {"_id": 2}, {"_id": 3}]
