"""The entries that writers leave in documents: the number of the last batch of each.

An update with a number does not match a document whose entry already has it, so a batch can be sent again at any time.
"""

from collections.abc import Hashable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from .bulk_updates import BulkUpdates, Operation
from .driver import DRIVER_ERRORS
from .mapping import get_path

#: How long a batch can be sent again: less than the lifetime of its entries, because clocks differ.
MAX_DOUBT: Final = 3300  # seconds

#: The first character of the names of ingests; those of recorders are hexadecimal.
INGEST_PREFIX: Final = "i"
#: The same for a batch of an ingest, which may be stopped for days.
MAX_INGEST_DOUBT: Final = 30 * 86_400 - 3600  # seconds

_ENTRY_LIFETIME: Final = timedelta(hours=1)
_INGEST_LIFETIME: Final = timedelta(days=30)
_MAX_PRUNED: Final = 100_000  # documents
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 # naive in UTC, as PyMongo stores dates


def to_entry(number: int) -> datetime:
    """Return the value of an entry for the number of a batch, which is in milliseconds since 1970."""
    return _EPOCH + timedelta(milliseconds=number)


class EntryPruner:
    """Removes the entries of writers that have been silent for an hour, at most once an hour per document.

    Entries of ingests stay for 30 days.

    :param path: the path of the entries in a document.
    :param id_path: the path of the document's id.
    :param writer: the name of a writer whose entries stay.
    """

    def __init__(self, path: str, id_path: str, writer: str) -> None:
        self._path, self._id_path, self._writer = path, id_path, writer
        self._pruned: set[Hashable] = set()
        self._pruned_until = _EPOCH

    def prune(self, updates: BulkUpdates, ids: Mapping[Hashable, object]) -> None:
        """Remove entries from documents. Errors are ignored, since it is repeated and nothing depends on it.

        :param ids: the ids of the documents by a hashable key.
        """
        now = datetime.now(UTC).replace(tzinfo=None)
        if now >= self._pruned_until or len(self._pruned) > _MAX_PRUNED:
            self._pruned.clear()
            self._pruned_until = now + _ENTRY_LIFETIME
        unpruned = {key: value for key, value in ids.items() if key not in self._pruned}
        if unpruned:
            with suppress(*DRIVER_ERRORS):
                self._remove_entries(updates, list(unpruned.values()), now)
                self._pruned.update(unpruned)

    def _remove_entries(self, updates: BulkUpdates, ids: list[object], now: datetime) -> None:
        operations: list[Operation] = []
        for document in updates.find(ids, self._id_path, self._path):
            entries = get_path(document, self._path.split("."))
            for name, number in entries.items() if isinstance(entries, dict) else ():
                before = now - (_INGEST_LIFETIME if name.startswith(INGEST_PREFIX) else _ENTRY_LIFETIME)
                entry = f"{self._path}.{name}"
                if isinstance(number, datetime) and number < before and name.isalnum() and name != self._writer:
                    operations.append(({"_id": document["_id"], entry: {"$lt": before}}, {"$unset": {entry: ""}}))
        if operations:
            updates.send(operations)
