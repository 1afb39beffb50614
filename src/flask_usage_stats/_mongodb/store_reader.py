"""Read the projects of any store, with the time of their latest request if a query needs it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final, TypeGuard

from .._core import clock
from .._core.fields import FIELDS
from .._core.query import UsageQuery
from ..errors import InvalidParametersError
from ..protocols import Owner, UsageStore
from .driver import TimeLimit
from .history import UsageHistory, read_counting_start
from .store import ProjectStore, get_mapping, iter_projects_within, start_time_limit

_ITER_PROJECTS: Final = ProjectStore.iter_projects
_DEFAULT_TIMEOUT: Final = 5.0  # seconds; a store for another database has no limit of its own


class StoreReader:
    """Reads the projects of a store as a query needs them.

    :param store: a :class:`~flask_usage_stats.ProjectStore`, or a store for another database.
    :param history: the history of the projects' requests, if there is one.
    """

    def __init__(self, store: UsageStore, history: UsageHistory | None) -> None:
        self.store: Final = store
        self.history: Final = history
        #: Whether projects have the time of their latest request.
        self.has_last_requests: Final = _has_last_requests(store, history)
        # An application that says where the time is may have written it before anything was counted.
        is_mapped = isinstance(store, ProjectStore) and get_mapping(store).maps_last_request
        self._start_history = None if is_mapped else history

    def start_time_limit(self) -> TimeLimit:
        """Return a new limit of the time that the database may take for one request: the store's *timeout*."""
        return start_time_limit(self.store) if isinstance(self.store, ProjectStore) else TimeLimit(_DEFAULT_TIMEOUT)

    def resolve_idle_days(self, query: UsageQuery, limit: TimeLimit) -> UsageQuery:
        """Return a query that has *idle_since* if it has *idle_days*.

        :param limit: the time that the database may take.
        :raises InvalidParametersError: requests are not counted for as long. Otherwise, on the first day of counting,
            every project would seem to be idle.
        :raises StoreError: the history could not be read in time.
        :raises Exception: whatever the *collection* of the history raises.
        """
        if query.idle_days is None:
            return query
        idle_since = clock.get_now() - timedelta(days=query.idle_days)
        if self._start_history is not None:
            start = limit.run(read_counting_start, self._start_history)
            if start is None or idle_since < start:
                date = "counting began" if start is None else f"{start:%Y-%m-%d}"
                raise InvalidParametersError({"idleDays": [f"idleDays must not reach back before {date}"]})
        return replace(query, idle_since=idle_since)

    def read_projects(self, owner: Owner, query: UsageQuery, limit: TimeLimit) -> Iterable[Mapping[str, object]]:
        """Read the projects of an owner as :meth:`~flask_usage_stats.UsageStore.iter_projects` does.

        :param limit: the time that the database may take.
        :returns: the projects, which have ``lastRequestAt`` if the query needs it.
        """
        if not _reads_itself(self.store):
            return self.store.iter_projects(owner)
        needs_last_requests = query.idle_days is not None or query.row_fields is not FIELDS
        return iter_projects_within(self.store, owner, limit, has_last_requests=needs_last_requests)


def _reads_itself(store: UsageStore) -> TypeGuard[ProjectStore]:
    """Return whether a store is a ProjectStore whose method was not replaced."""
    return isinstance(store, ProjectStore) and getattr(store.iter_projects, "__func__", None) is _ITER_PROJECTS


def _has_last_requests(store: UsageStore, history: UsageHistory | None) -> bool:
    if not isinstance(store, ProjectStore):
        return history is not None
    if not _reads_itself(store):
        return False  # what a subclass returns instead cannot be asked for the time
    mapping = get_mapping(store)
    # Without entries of writers, a recorder writes the time only if it is mapped.
    return mapping.maps_last_request or (history is not None and mapping.last_request_path is not None)
