"""The store for the usage of all owners."""

import weakref
from collections.abc import Callable, Hashable
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any, Final, NamedTuple

from pymongo.collection import Collection

from .._core import clock
from .._core.fields import FIELDS, PLATFORM_FIELDS
from .._core.platform_query import PlatformQuery, Selection
from .._core.platform_report import (
    PlatformReport,
    RankedRows,
    add_up,
    build_platform_report,
    group_labels,
    rank_rows,
    select_labels,
)
from .._core.shared_results import Result, SharedResults
from .._core.text import short_repr
from ..errors import ConfigurationError, StoreError
from . import platform_mongomock, platform_reading
from .driver import DRIVER_ERRORS, TimeLimit, build_store_error
from .mapping import Document
from .source import CollectionSource, build_opener
from .store import ProjectStore, get_mapping, open_store, validate_timeout

_MAX_AGE: Final = 86_400  # seconds
_LABELS: Final = "labels"


class PlatformStore:
    """Reads the usage of all owners from the collection of a :class:`~flask_usage_stats.ProjectStore`.

    .. code-block:: python

        from pymongo import ReadPreference

        secondary = db.get_collection("projects", read_preference=ReadPreference.SECONDARY_PREFERRED)
        platform_store = PlatformStore(ProjectStore(db.projects), collection=secondary)

    The database adds up the counts of all projects, which takes seconds if there are millions. So a process keeps what
    it has read for *max_age*, and reads only once at a time, however many requests there are.

    :param store: the ``ProjectStore``, which says where the fields are and which projects are deleted.
    :param collection: the same collection with other options, such as a read preference, or a callable that returns it.
        By default, the collection of *store*.
    :param timeout: the time that a request may wait for the database, in seconds, greater than 0 and at most 3600.
    :param max_age: for how many seconds the totals are kept, 0 to 86400. With 0, every request reads, but requests at
        the same time share what one of them reads.
    :raises ConfigurationError: *store* is not a ``ProjectStore``; *collection* is neither a collection nor a callable
        that can return one; or *timeout* or *max_age* is not a number in its range.

    .. versionadded:: 0.1.0
    """

    def __init__(
        self,
        store: ProjectStore,
        *,
        collection: CollectionSource | None = None,
        timeout: float = 30.0,
        max_age: float = 60.0,
    ) -> None:
        if not isinstance(store, ProjectStore):
            raise ConfigurationError(
                f"store must be a ProjectStore, such as ProjectStore(db.projects); got {short_repr(store)}"
            )
        if isinstance(max_age, bool) or not isinstance(max_age, int | float) or not 0 <= max_age <= _MAX_AGE:
            raise ConfigurationError(
                f"max_age must be a number of seconds from 0 to {_MAX_AGE}, got {short_repr(max_age)}"
            )
        self._open = partial(_open, store) if collection is None else build_opener(collection)
        self._mapping = get_mapping(store)
        self._timeout = validate_timeout(timeout)
        self._results = SharedResults(max_age)


class _Identity:
    """A key for an object, which it does not keep alive. Clients with the same address are equal, but not the same."""

    def __init__(self, value: object) -> None:
        self._reference, self._id = weakref.ref(value), id(value)

    def __hash__(self) -> int:
        return hash(self._id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self._reference() is other._reference() is not None


class _Reading(NamedTuple):
    """What was read, and when the reading began."""

    value: Any
    as_of: datetime


def _open(store: ProjectStore) -> Collection[Document]:
    collection, _ = open_store(store)
    return collection


def has_owners(store: PlatformStore) -> bool:
    """Return whether each project has its owner, rather than an *owner_filter* that decides."""
    return store._mapping.uses_owner_field  # noqa: SLF001 # the public class has no method for this


def read_platform(store: PlatformStore, query: PlatformQuery) -> PlatformReport:
    """Read the usage of all owners, or return what this process has read shortly before.

    :raises StoreError: the projects could not be read completely within the timeout, or they have more than 10,000
        combinations of plan, type and status.
    :raises ConfigurationError: *collection* did not return a collection.
    :raises Exception: whatever *collection* raises.
    """
    return _Reader(store).build_report(query)


class _Reader:
    """Reads for one request, within its time limit."""

    def __init__(self, store: PlatformStore) -> None:
        self._collection, self._mapping, self._results = store._open(), store._mapping, store._results  # noqa: SLF001 # as above
        self._deadline = monotonic() + store._timeout  # noqa: SLF001
        self._fields = PLATFORM_FIELDS if self._mapping.uses_owner_field else FIELDS
        # mongomock supports few of the operators.
        self._scan: Any = platform_reading if isinstance(self._collection, Collection) else platform_mongomock

    def build_report(self, query: PlatformQuery) -> PlatformReport:
        selection = query.selection
        if query.groups_owners:
            (totals, groups), as_of = self._get(("owners", selection), partial(self._read_owners, selection))
        else:
            all_labels, as_of = self._get(_LABELS, self._read_labels)
            labels = select_labels(all_labels, selection, self._mapping.excluded_statuses)
            totals = add_up(each.totals for each in labels)
            groups = group_labels(labels, query.group_by) if query.group_by else None
        rows = rank_rows([], self._fields)
        if query.limit:
            rows, rows_as_of = self._get(("rows", selection), partial(self._read_rows, selection))
            as_of = min(as_of, rows_as_of)
        return build_platform_report(query, totals, groups, rows, as_of)

    def _get(self, name: Hashable, read: Callable[[TimeLimit], Result]) -> _Reading:
        key = self._build_key(name)
        try:
            result = self._results.get(key, lambda seconds: read(TimeLimit(seconds)), self._deadline - monotonic())
        except TimeoutError as error:
            raise StoreError("the projects could not be read within the timeout, as other requests read") from error
        reading: _Reading = result.value
        return reading

    def _build_key(self, name: Hashable) -> Hashable:
        # The callable that an application passes may return another collection for each request.
        return _Identity(self._collection.database.client), self._collection.full_name, name

    def _read_labels(self, limit: TimeLimit) -> Result:
        return self._read(limit, self._scan.read_labels)

    def _read_owners(self, selection: Selection, limit: TimeLimit) -> Result:
        return self._read_selected(limit, self._scan.read_owners, selection)

    def _read_rows(self, selection: Selection, limit: TimeLimit) -> Result:
        def read(*arguments: Any) -> RankedRows:  # noqa: ANN401 # those of read_rows
            return rank_rows(self._scan.read_rows(*arguments, self._fields), self._fields)

        return self._read_selected(limit, read, selection)

    def _read_selected(self, limit: TimeLimit, read: Callable[..., object], selection: Selection) -> Result:
        """Read selected projects. The stored values that match filters in any case are those of the labels."""
        if not selection.filtered_names:
            return self._read(limit, read, selection, [])
        key = self._build_key(_LABELS)
        labels = self._results.find(key)
        if labels is None:
            labels = self._read_labels(limit)
            self._results.keep(key, labels)
        result = self._read(limit, read, selection, labels.value.value)
        # Values that were stored in the meantime are missing.
        return Result(_Reading(result.value.value, labels.value.as_of), labels.time)

    def _read(self, limit: TimeLimit, read: Callable[..., object], *arguments: object) -> Result:
        as_of, time = clock.get_now(), monotonic()
        try:
            return Result(_Reading(limit.run(read, self._collection, self._mapping, *arguments), as_of), time)
        except DRIVER_ERRORS as error:
            raise build_store_error("the projects could not be read", error) from error
