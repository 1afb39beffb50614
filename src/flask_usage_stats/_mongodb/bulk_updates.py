"""Send many updates in one command, and find out whether they were applied."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import pymongo
from pymongo import ReadPreference, UpdateOne, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, ServerSelectionTimeoutError, WriteError
from pymongo.read_concern import ReadConcern

from .driver import COLLATION_REFUSED, DRIVER_ERRORS, SIMPLE_COLLATION, build_store_error, is_collation_refused
from .mapping import Document

#: The filter and the update of one document.
Operation: TypeAlias = tuple[Document, Document]

#: Error codes of the server for one document: a value on a path has the wrong type; the validator refused it; another
#: document with this ``_id`` was inserted meanwhile.
WRONG_TYPE: Final = (14, 28)
VALIDATION_FAILED: Final = 121
DUPLICATE_KEY: Final = 11000

# A server that is killed can lose updates that it acknowledged with w=1.
_WRITE_CONCERN: Final = WriteConcern("majority", j=True)
# Error codes of the server for a command that was not run: the login failed or lacks a permission.
_NOT_PERMITTED: Final = (13, 18)
# Error codes of the server that are not about the document: interruptions, time limits, locks, conflicts, elections and
# stale routing tables. An update can succeed when it is sent again.
_TRANSIENT: Final = frozenset(
    {6, 7, 24, 46, 50, 63, 64, 89, 91, 112, 133, 134, 150, 189, 234, 262}
    | {9001, 10107, 11600, 11601, 11602, 13388, 13435, 13436}
)


class BulkUpdates:
    """Sends updates to a collection.

    :param has_collation: whether the server supports collations, as far as known.
    """

    def __init__(self, collection: Collection[Document], *, has_collation: bool) -> None:
        self.collection = collection
        #: Whether the server supports collations, as far as known.
        self.has_collation = has_collation
        #: Whether a command may have reached the server.
        self.is_sent = False

    def send(self, operations: Sequence[Operation], *, upsert: bool = False) -> tuple[int, dict[int, int]]:
        """Send updates in one command. Return how many documents matched, and the error codes by index.

        :raises PyMongoError: it is unknown which of the updates were applied.
        """
        was_sent, self.is_sent = self.is_sent, True
        if not isinstance(self.collection, Collection):
            return _send_each(self.collection, operations, upsert=upsert)
        collation = SIMPLE_COLLATION if self.has_collation else None
        requests = [UpdateOne(match, update, collation=collation, upsert=upsert) for match, update in operations]
        try:
            return self.collection.bulk_write(requests, ordered=False).matched_count, {}
        except BulkWriteError as error:
            errors = {failure["index"]: failure["code"] for failure in error.details["writeErrors"]}
            if self.has_collation and not COLLATION_REFUSED.isdisjoint(errors.values()):
                return self._send_without_collation(operations, upsert=upsert)
            if error.details["writeConcernErrors"] or not _TRANSIENT.isdisjoint(errors.values()):
                raise
            matched: int = error.details["nMatched"]
            return matched, errors
        except OperationFailure as error:
            if self.has_collation and is_collation_refused(error):
                return self._send_without_collation(operations, upsert=upsert)
            if error.code in _NOT_PERMITTED:
                self.is_sent = was_sent
            raise
        except ServerSelectionTimeoutError:
            self.is_sent = was_sent
            raise

    def find(self, ids: Sequence[object], id_path: str, path: str) -> Iterator[Document]:
        """Read the ids and the values at a path of the documents with some ids."""
        collation = SIMPLE_COLLATION if self.has_collation else None
        yield from self.collection.find({id_path: {"$in": list(ids)}}, {id_path: 1, path: 1}, collation=collation)

    def _send_without_collation(self, operations: Sequence[Operation], *, upsert: bool) -> tuple[int, dict[int, int]]:
        self.has_collation = False
        return self.send(operations, upsert=upsert)


class BatchWriter:
    """Writes batches to a collection, one after the other.

    :param what: what fails if a batch cannot be written, as the beginning of the message.
    """

    def __init__(self, what: str) -> None:
        #: Whether the last batch may have been applied although it raised an error.
        self.is_in_doubt = False
        self._what = what
        self._has_collation = True

    @contextmanager
    def begin(self, collection: Collection[Document], timeout: float) -> Iterator[BulkUpdates]:
        """Begin to write a batch to a collection; yield an object to send its updates.

        :param timeout: the time limit, in seconds, greater than 0.
        :raises StoreError: the driver raised an error within the context.
        """
        collection = collection.with_options(
            write_concern=_WRITE_CONCERN, read_concern=ReadConcern("local"), read_preference=ReadPreference.PRIMARY
        )
        updates = BulkUpdates(collection, has_collation=self._has_collation)
        with pymongo.timeout(timeout):
            try:
                yield updates
            except DRIVER_ERRORS as error:
                raise build_store_error(self._what, error) from error
            finally:
                self.is_in_doubt, self._has_collation = updates.is_sent, updates.has_collation
        self.is_in_doubt = False


def _send_each(
    collection: Any,  # noqa: ANN401 # mongomock
    operations: Sequence[Operation],
    *,
    upsert: bool,
) -> tuple[int, dict[int, int]]:
    """Send updates one by one to mongomock, which has no bulk updates."""
    matched, errors = 0, {}
    for index, (match, update) in enumerate(operations):
        try:
            matched += collection.update_one(match, update, upsert=upsert).matched_count
        except DuplicateKeyError:
            errors[index] = DUPLICATE_KEY
        except (TypeError, WriteError):
            errors[index] = WRONG_TYPE[0]
    return matched, errors
