"""The commands that add one batch to the counts of projects.

Each document has an entry for every writer that has changed it in the last hour: the number of the writer's last batch.
An update with this number does not match a document that already has it, so a batch can be sent again at any time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

from bson import Decimal128
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, OperationFailure, ServerSelectionTimeoutError, WriteError

from .._core.fields import ID
from .._core.project_ids import ProjectId
from .driver import COLLATION_REFUSED, DRIVER_ERRORS, SIMPLE_COLLATION, is_collation_refused
from .mapping import CollectionMapping, Document, get_path

#: Naive in UTC, as PyMongo stores dates.
EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001

# Error codes of the server for one document: a value on a path has the wrong type, or the validator refused it.
_WRONG_TYPE: Final = (14, 28)
_VALIDATION_FAILED: Final = 121
# Error codes of the server for a command that was not run: the login failed or lacks a permission.
_NOT_PERMITTED: Final = (13, 18)
# Error codes of the server that are not about the document: interruptions, time limits, locks, conflicts, elections and
# stale routing tables. An update can succeed when it is sent again.
_TRANSIENT: Final = frozenset(
    {6, 7, 24, 46, 50, 63, 64, 89, 91, 112, 133, 134, 150, 189, 234, 262}
    | {9001, 10107, 11600, 11601, 11602, 13388, 13435, 13436}
)
# From these on, sums may be rounded. An increment is less than 2**63.
_MAX_DOUBLE: Final = 2**53
_MAX_DECIMAL: Final = 10**33
_DECIMAL_RANGE: Final = {"$gt": Decimal128(str(-_MAX_DECIMAL)), "$lt": Decimal128(str(_MAX_DECIMAL - 2**63))}

_Operation: TypeAlias = tuple[Document, Document]


class Increment(NamedTuple):
    """What a batch adds to one project."""

    #: The number of requests, greater than 0.
    requests: int
    #: The time of the latest one, naive in UTC.
    latest: datetime


class BatchUpdate:
    """The commands that apply one batch."""

    def __init__(
        self,
        collection: Collection[Document],
        mapping: CollectionMapping,
        writer: str,
        number: int,
        *,
        has_collation: bool,
    ) -> None:
        self._collection = collection
        self._mapping = mapping
        self._number = EPOCH + timedelta(milliseconds=number)
        self._entry = None if mapping.writers_path is None else f"{mapping.writers_path}.{writer}"
        # Without entries, an error after the first command must not cause the batch to be sent again.
        self._tolerated = suppress(*(DRIVER_ERRORS if self._entry is None else ()))
        #: Whether the server supports collations, as far as known.
        self.has_collation = has_collation
        #: Whether a command may have reached the server.
        self.is_sent = False

    def run(self, batch: Mapping[ProjectId, Increment]) -> dict[ProjectId, str]:
        """Send the batch, repair null values and send again what they prevented, and find out what did not match."""
        if not isinstance(self._collection, Collection):
            self._unset_nulls(batch)  # mongomock ignores increments below null
        matched, failed = self._increment(batch)
        broken = {project: batch[project] for project, code in failed.items() if code in _WRONG_TYPE}
        if broken:
            with self._tolerated:
                self._unset_nulls(broken)
            more, failed_again = self._increment(broken)
            matched += more
            failed = {project: code for project, code in failed.items() if project not in broken} | failed_again
        causes = {_VALIDATION_FAILED: "refused", None: "in_doubt"}
        dropped = {project: causes.get(code, "uncountable") for project, code in failed.items()}
        if matched < len(batch) - len(dropped):
            with self._tolerated:
                dropped |= self._find_unmatched({project: batch[project] for project in batch.keys() - dropped.keys()})
        return dropped

    def remove_entries(self, path: str, projects: Sequence[ProjectId], before: datetime) -> None:
        """Remove entries with numbers before a date."""
        operations: list[_Operation] = []
        for document in self._find(projects, path) if projects else ():
            entries = get_path(document, path.split("."))
            for name, number in entries.items() if isinstance(entries, dict) else ():
                entry = f"{path}.{name}"
                if isinstance(number, datetime) and number < before and name.isalnum() and entry != self._entry:
                    operations.append(({"_id": document["_id"], entry: {"$lt": before}}, {"$unset": {entry: ""}}))
        if operations:
            self._send(operations)

    def _increment(self, batch: Mapping[ProjectId, Increment]) -> tuple[int, dict[ProjectId, int | None]]:
        """Return how many documents matched, and the error code for each project that failed; ``None`` in doubt."""
        projects = list(batch)
        try:
            matched, errors = self._send([self._build_increment(project, batch[project]) for project in projects])
        except DRIVER_ERRORS:
            if self._entry is not None or not self.is_sent:
                raise
            return 0, dict.fromkeys(projects)  # must not be sent again
        return matched, {projects[index]: code for index, code in errors.items()}

    def _build_increment(self, project: ProjectId, increment: Increment) -> _Operation:
        path, requests = self._mapping.count_path, increment.requests
        inexact: list[Document] = [  # also NaN
            {path: {"$type": "double", "$not": {"$gt": -_MAX_DOUBLE, "$lt": _MAX_DOUBLE - requests}}},
            {path: {"$type": "decimal", "$not": _DECIMAL_RANGE}},
        ]
        match: Document = {**self._match_id(project), "$nor": inexact}
        update: Document = {"$inc": {path: requests}}
        if self._entry is not None:
            match[self._entry] = {"$not": {"$gte": self._number}}
            update["$set"] = {self._entry: self._number}
        if self._mapping.last_request_path is not None:
            update["$max"] = {self._mapping.last_request_path: increment.latest}
        return match, update

    def _match_id(self, project: ProjectId) -> Document:
        path, is_other = self._mapping.id_path, {"$not": {"$type": "array"}}
        if path == ID:  # never an array
            return {path: {"$eq": project}}
        # The server also compares the elements of arrays, but an array is not the id of a project.
        return {**dict.fromkeys(_iter_prefixes(path), is_other), path: {"$eq": project, **is_other}}

    def _unset_nulls(self, projects: Iterable[ProjectId]) -> None:
        """Remove null values that prevent the increment: `$inc` and nested paths do not replace them."""
        mapping = self._mapping
        paths = {*_iter_prefixes(mapping.count_path), mapping.count_path}
        if mapping.writers_path is not None:
            paths |= {*_iter_prefixes(mapping.writers_path), mapping.writers_path}
        if mapping.last_request_path is not None:
            paths |= {*_iter_prefixes(mapping.last_request_path)}
        is_null = {"$eq": None, "$exists": True, "$not": {"$type": "array"}}
        countable = {"$or": [{mapping.count_path: match} for match in ({"$exists": False}, None, {"$type": "number"})]}
        self._send(
            [
                ({"$and": [self._match_id(project), countable, {path: is_null}]}, {"$unset": {path: ""}})
                for project in projects
                for path in sorted(paths)
            ]
        )

    def _find_unmatched(self, batch: Mapping[ProjectId, Increment]) -> dict[ProjectId, str]:
        """Find out why documents did not match: there is none, it has the number already, or its count is inexact."""
        causes: dict[ProjectId, str | None] = dict.fromkeys(batch, "unknown")
        id_path, path = self._mapping.id_path.split("."), self._entry or self._mapping.count_path
        for document in self._find(list(batch), path):
            project, value = get_path(document, id_path), get_path(document, path.split("."))
            if isinstance(project, list):
                continue
            if self._entry is None:
                causes[project] = _find_cause(value, batch[project].requests)
            else:
                causes[project] = None if isinstance(value, datetime) and value >= self._number else "uncountable"
        return {project: cause for project, cause in causes.items() if cause is not None}

    def _find(self, projects: Sequence[ProjectId], path: str) -> Iterable[Document]:
        id_path = self._mapping.id_path
        return self._collection.find(
            {id_path: {"$in": list(projects)}},
            {id_path: 1, path: 1},
            collation=SIMPLE_COLLATION if self.has_collation else None,
        )

    def _send(self, operations: list[_Operation]) -> tuple[int, dict[int, int]]:
        """Send updates in one command. Return how many documents matched, and the error codes by index.

        :raises PyMongoError: it is unknown which of the updates were applied.
        """
        was_sent, self.is_sent = self.is_sent, True
        if not isinstance(self._collection, Collection):
            return _send_each(self._collection, operations)
        collation = SIMPLE_COLLATION if self.has_collation else None
        requests = [UpdateOne(match, update, collation=collation) for match, update in operations]
        try:
            return self._collection.bulk_write(requests, ordered=False).matched_count, {}
        except BulkWriteError as error:
            errors = {failure["index"]: failure["code"] for failure in error.details["writeErrors"]}
            if self.has_collation and not COLLATION_REFUSED.isdisjoint(errors.values()):
                return self._send_without_collation(operations)
            if error.details["writeConcernErrors"] or not _TRANSIENT.isdisjoint(errors.values()):
                raise
            matched: int = error.details["nMatched"]
            return matched, errors
        except OperationFailure as error:
            if self.has_collation and is_collation_refused(error):
                return self._send_without_collation(operations)
            if error.code in _NOT_PERMITTED:
                self.is_sent = was_sent
            raise
        except ServerSelectionTimeoutError:
            self.is_sent = was_sent
            raise

    def _send_without_collation(self, operations: list[_Operation]) -> tuple[int, dict[int, int]]:
        self.has_collation = False
        return self._send(operations)


def _send_each(collection: Any, operations: list[_Operation]) -> tuple[int, dict[int, int]]:  # noqa: ANN401 # mongomock
    """Send updates one by one to mongomock, which has no bulk updates."""
    matched, errors = 0, {}
    for index, (match, update) in enumerate(operations):
        try:
            matched += collection.update_one(match, update).matched_count
        except (TypeError, WriteError):
            errors[index] = _WRONG_TYPE[0]
    return matched, errors


def _find_cause(value: object, requests: int) -> str | None:
    """Return why a count was not incremented, ``"in_doubt"`` if it may have been, and ``None`` if it was."""
    if isinstance(value, Decimal128):
        number, bound, increment = value.to_decimal(), _MAX_DECIMAL, 2**63
    elif isinstance(value, float):
        number, bound, increment = Decimal(value), _MAX_DOUBLE, requests
    else:
        return None
    if number.is_nan() or number.copy_abs() >= bound:  # abs() would round
        return "uncountable"
    return None if number < bound - increment else "in_doubt"


def _iter_prefixes(path: str) -> Iterator[str]:
    """Yield the paths of the documents that contain a path."""
    parts = path.split(".")
    for end in range(1, len(parts)):
        yield ".".join(parts[:end])
