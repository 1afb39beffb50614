"""Add batches of counts to projects, each at most once, and remove what writers leave in the documents."""

import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import pymongo
from pymongo import ReadPreference, WriteConcern
from pymongo.read_concern import ReadConcern

from .._core.project_ids import ProjectId
from .count_updates import EPOCH, BatchUpdate, Increment
from .driver import DRIVER_ERRORS, build_store_error
from .store import ProjectStore, open_store

#: The maximum number of projects of a batch.
BATCH_SIZE: Final = 1000
#: How long a batch can be sent again: less than the lifetime of its entries, because clocks differ.
MAX_DOUBT: Final = 3300  # seconds

_ENTRY_LIFETIME: Final = timedelta(hours=1)
_MAX_PRUNED: Final = 100_000  # projects
# A server that is killed can lose increments that it acknowledged with w=1.
_WRITE_CONCERN: Final = WriteConcern("majority", j=True)


class CountWriter:
    """Adds batches to the projects of a store, one after the other. Each process must have its own writer."""

    def __init__(self, store: ProjectStore) -> None:
        #: The name of this writer's entries.
        self.name: Final = secrets.token_hex(4)
        #: Whether the batch of the last call may have been applied although the call raised an error.
        self.is_in_doubt = False
        self._store = store
        self._has_collation = True
        self._pruned: set[ProjectId] = set()
        self._pruned_until = EPOCH

    def write(
        self, batch: Mapping[ProjectId, Increment], number: int, timeout: float, *, is_repeated: bool = False
    ) -> dict[ProjectId, str]:
        """Add a batch to its projects, without creating any.

        :param batch: up to ``BATCH_SIZE`` projects. If the result is in doubt, the same batch must be sent again.
        :param number: milliseconds since 1970, greater than the number of every other batch.
        :param timeout: the time limit, in seconds, greater than 0.
        :param is_repeated: whether the batch may have been sent before.
        :returns: why projects were not incremented: ``"unknown"`` if no document has the id, ``"uncountable"`` if the
            count cannot be incremented exactly, ``"refused"`` if the collection's validator refused the change, and
            ``"in_doubt"`` if the result is unknown and the store has no *writers_field*.
        :raises StoreError: the database did not respond in time or rejected a command; :attr:`is_in_doubt` says whether
            the batch may have been applied.
        :raises ConfigurationError: the store's *collection* did not return a collection.
        :raises Exception: whatever the store's *collection* raises.
        """
        self.is_in_doubt = False
        collection, mapping = open_store(self._store)
        if is_repeated and mapping.writers_path is None:  # nothing in the documents tells whether it was applied
            return dict.fromkeys(batch, "in_doubt")
        collection = collection.with_options(
            write_concern=_WRITE_CONCERN, read_concern=ReadConcern("local"), read_preference=ReadPreference.PRIMARY
        )
        update = BatchUpdate(collection, mapping, self.name, number, has_collation=self._has_collation)
        with pymongo.timeout(timeout):
            try:
                dropped = update.run(batch)
            except DRIVER_ERRORS as error:
                raise build_store_error("the counts could not be written", error) from error
            finally:
                self.is_in_doubt = update.is_sent
            self._has_collation = update.has_collation
            if mapping.writers_path is not None:
                self._prune(update, mapping.writers_path, batch)
        self.is_in_doubt = False
        return dropped

    def _prune(self, update: BatchUpdate, path: str, projects: Iterable[ProjectId]) -> None:
        """Remove the entries of writers that have been silent for an hour, at most once an hour per project."""
        now = datetime.now(UTC).replace(tzinfo=None)
        if now >= self._pruned_until or len(self._pruned) > _MAX_PRUNED:
            self._pruned.clear()
            self._pruned_until = now + _ENTRY_LIFETIME
        unpruned = [project for project in projects if project not in self._pruned]
        with suppress(*DRIVER_ERRORS):  # nothing depends on it, and it is repeated
            update.remove_entries(path, unpruned, now - _ENTRY_LIFETIME)
            self._pruned.update(unpruned)
