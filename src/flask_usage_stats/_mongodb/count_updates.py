"""The commands that add one batch to the counts of projects."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from bson import Decimal128
from pymongo.collection import Collection

from .._core.fields import ID
from .._core.project_ids import ProjectId
from .bulk_updates import VALIDATION_FAILED, WRONG_TYPE, BulkUpdates, Operation
from .driver import DRIVER_ERRORS
from .mapping import CollectionMapping, Document, get_path
from .writer_entries import to_entry

# From these on, sums may be rounded. An increment is less than 2**63.
_MAX_DOUBLE: Final = 2**53
_MAX_DECIMAL: Final = 10**33
_DECIMAL_RANGE: Final = {"$gt": Decimal128(str(-_MAX_DECIMAL)), "$lt": Decimal128(str(_MAX_DECIMAL - 2**63))}


class Increment(NamedTuple):
    """What a batch adds to one project."""

    #: The number of requests, greater than 0.
    requests: int
    #: The time of the latest one, naive in UTC.
    latest: datetime


class BatchUpdate:
    """The commands that apply one batch."""

    def __init__(self, updates: BulkUpdates, mapping: CollectionMapping, writer: str, number: int) -> None:
        self._updates, self._mapping = updates, mapping
        self._number = to_entry(number)
        self._entry = None if mapping.writers_path is None else f"{mapping.writers_path}.{writer}"
        # Without entries, an error after the first command must not cause the batch to be sent again.
        self._tolerated = suppress(*(DRIVER_ERRORS if self._entry is None else ()))

    def run(self, batch: Mapping[ProjectId, Increment]) -> dict[ProjectId, str]:
        """Send the batch, repair null values and send again what they prevented, and find out what did not match."""
        if not isinstance(self._updates.collection, Collection):
            self._unset_nulls(batch)  # mongomock ignores increments below null
        matched, failed = self._increment(batch)
        broken = {project: batch[project] for project, code in failed.items() if code in WRONG_TYPE}
        if broken:
            with self._tolerated:
                self._unset_nulls(broken)
            more, failed_again = self._increment(broken)
            matched += more
            failed = {project: code for project, code in failed.items() if project not in broken} | failed_again
        causes = {VALIDATION_FAILED: "refused", None: "in_doubt"}
        dropped = {project: causes.get(code, "uncountable") for project, code in failed.items()}
        if matched < len(batch) - len(dropped):
            with self._tolerated:
                dropped |= self._find_unmatched({project: batch[project] for project in batch.keys() - dropped.keys()})
        return dropped

    def _increment(self, batch: Mapping[ProjectId, Increment]) -> tuple[int, dict[ProjectId, int | None]]:
        """Return how many documents matched, and the error code for each project that failed; ``None`` in doubt."""
        projects = list(batch)
        try:
            matched, errors = self._updates.send(
                [self._build_increment(project, batch[project]) for project in projects]
            )
        except DRIVER_ERRORS:
            if self._entry is not None or not self._updates.is_sent:
                raise
            return 0, dict.fromkeys(projects)  # must not be sent again
        return matched, {projects[index]: code for index, code in errors.items()}

    def _build_increment(self, project: ProjectId, increment: Increment) -> Operation:
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
        countable: Document = {
            "$or": [{mapping.count_path: match} for match in ({"$exists": False}, None, {"$type": "number"})],
            "$nor": [{path: {"$type": "array"}} for path in (*_iter_prefixes(mapping.count_path), mapping.count_path)],
        }
        self._updates.send(
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
        for document in self._updates.find(list(batch), self._mapping.id_path, path):
            project, value = get_path(document, id_path), get_path(document, path.split("."))
            if isinstance(project, list):
                continue
            if self._entry is None:
                causes[project] = _find_cause(value, batch[project].requests)
            else:
                causes[project] = None if isinstance(value, datetime) and value >= self._number else "uncountable"
        return {project: cause for project, cause in causes.items() if cause is not None}


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
