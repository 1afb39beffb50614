"""Add batches of counts to projects, each at most once."""

from collections.abc import Mapping
from typing import Final

from .._core.project_ids import ProjectId
from .bulk_updates import BatchWriter
from .count_updates import BatchUpdate, Increment
from .store import ProjectStore, get_mapping, open_store
from .writer_entries import EntryPruner

#: The maximum number of projects of a batch.
BATCH_SIZE: Final = 1000


class CountWriter(BatchWriter):
    """Adds batches to the projects of a store, one after the other. Each process must have its own writer.

    :param name: the name of this writer's entries.
    """

    def __init__(self, store: ProjectStore, name: str) -> None:
        super().__init__("the counts could not be written")
        #: The name of this writer's entries.
        self.name: Final = name
        self._store = store
        mapping = get_mapping(store)
        path = mapping.writers_path
        self._pruner = None if path is None else EntryPruner(path, mapping.id_path, name)

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
        with self.begin(collection, timeout) as updates:
            dropped = BatchUpdate(updates, mapping, self.name, number).run(batch)
            if self._pruner is not None:
                self._pruner.prune(updates, {project: project for project in batch})
        return dropped
