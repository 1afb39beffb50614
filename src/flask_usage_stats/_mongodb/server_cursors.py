"""Close cursors whose connection failed."""

from contextlib import suppress
from threading import Thread
from typing import Any, Final

import pymongo
from bson import Int64
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

#: The time limit for closing a cursor, in seconds.
CLOSE_TIMEOUT: Final = 0.5


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
