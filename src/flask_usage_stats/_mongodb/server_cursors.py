"""Read the results of pipelines, and close cursors whose connection failed."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Thread
from typing import Any, Final, TypeVar

import pymongo
from bson import Int64
from pymongo.collation import Collation
from pymongo.collection import Collection
from pymongo.errors import ConnectionFailure, PyMongoError

from .driver import call_with_collation
from .mapping import Document

_T = TypeVar("_T")

# The driver repeats a command that an election interrupts, but not the one for a second batch. All results are in the
# first batch, unless they exceed 16 MB.
_BATCH_SIZE: Final = 50_000

#: The time limit for closing a cursor, in seconds.
CLOSE_TIMEOUT: Final = 0.5


def run_pipeline(
    collection: Collection[Document], pipeline: list[Document], read: Callable[[Iterable[Document]], _T]
) -> _T:
    """Run a pipeline with the simple collation, and return what *read* returns for its results.

    :raises Exception: whatever *read* raises, and the driver's errors in ``DRIVER_ERRORS``.
    """

    def run(collation: Collation | None) -> _T:
        with collection.aggregate(pipeline, collation=collation, batchSize=_BATCH_SIZE, allowDiskUse=True) as cursor:
            try:
                return read(cursor)
            except ConnectionFailure:
                kill_cursor(collection, cursor.cursor_id)
                raise

    return call_with_collation(run)


def kill_cursor(collection: Collection[Any], cursor_id: int | None) -> None:
    """Close a cursor on the server after its connection failed, in a thread, without waiting for the result.

    PyMongo does not close such a cursor, and the server would keep it for ten minutes. The command may fail.

    :param cursor_id: the id, or 0 or ``None`` if the server has no cursor.
    """
    if not cursor_id:
        return
    command = {"killCursors": collection.name, "cursors": [Int64(cursor_id)]}

    def run() -> None:
        with suppress(PyMongoError), pymongo.timeout(CLOSE_TIMEOUT):
            collection.database.command(command, read_preference=collection.read_preference)

    Thread(target=run, name="flask-usage-stats-kill-cursor", daemon=True).start()
