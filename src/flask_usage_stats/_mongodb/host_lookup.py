"""Find the projects that hosts belong to."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from time import monotonic
from typing import Final

import pymongo
from pymongo.collation import Collation
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from .._core.hosts import list_spellings, normalize_host
from .._core.project_ids import ProjectId, is_project_id
from .driver import DRIVER_ERRORS, build_store_error, is_collation_refused
from .mapping import CollectionMapping, Document, get_path
from .store import ProjectStore, open_store

#: Two strings are equal if only the case of their letters differs.
CASE_INSENSITIVE: Final = Collation("en", strength=2)
_LIFETIME: Final = 60.0  # seconds
_MAX_CACHED: Final = 100_000  # hosts
_BATCH_SIZE: Final = 500  # hosts


class HostLookup:
    """Finds projects by their hosts. What it has found, it looks up again after a minute.

    :param path: where the documents have a host, or an array of hosts.
    :param timeout: the time limit for each 500 hosts, in seconds.
    """

    def __init__(self, store: ProjectStore, path: str, timeout: float) -> None:
        self._store, self._path, self._timeout = store, path, timeout
        #: The project of each host, or ``None``, and when it is looked up again.
        self._cache: dict[str, tuple[ProjectId | None, float]] = {}

    def find(self, hosts: Iterable[str]) -> dict[str, ProjectId]:
        """Return the project of each host that belongs to exactly one, and is not deleted.

        :param hosts: as :func:`~flask_usage_stats._core.hosts.normalize_host` returns them.
        :raises StoreError: the database did not respond in time or rejected a command.
        :raises ConfigurationError: the store's *collection* did not return a collection.
        :raises Exception: whatever the store's *collection* raises.
        """
        now, wanted = monotonic(), set(hosts)
        missing = [host for host in wanted if host not in self._cache or self._cache[host][1] <= now]
        if len(self._cache) + len(missing) > _MAX_CACHED:
            missing = list(wanted)
            self._cache.clear()
        for start in range(0, len(missing), _BATCH_SIZE):
            batch = missing[start : start + _BATCH_SIZE]
            found = self._read(batch)
            self._cache.update((host, (found.get(host), now + _LIFETIME)) for host in batch)
        projects = {host: self._cache[host][0] for host in wanted}
        return {host: project for host, project in projects.items() if project is not None}

    def _read(self, hosts: Sequence[str]) -> dict[str, ProjectId]:
        collection, mapping = open_store(self._store)
        projects: defaultdict[str, list[ProjectId]] = defaultdict(list)
        try:
            with pymongo.timeout(self._timeout):
                for document in _find(collection, mapping, self._path, hosts):
                    project = get_path(document, mapping.id_path.split("."))
                    # Not in the query, where the case of a status would be ignored.
                    is_deleted = get_path(document, mapping.status_path.split(".")) in mapping.excluded_statuses
                    if not is_deleted and is_project_id(project, str):
                        for host in set(_list_hosts(document, self._path.split("."))):
                            projects[host].append(project)
        except DRIVER_ERRORS as error:
            raise build_store_error("the hosts could not be looked up", error) from error
        return {host: found[0] for host, found in projects.items() if len(found) == 1}


def _find(
    collection: Collection[Document], mapping: CollectionMapping, path: str, hosts: Sequence[str]
) -> Iterator[Document]:
    spellings = [text for host in hosts for text in list_spellings(host)]
    match = {path: {"$in": spellings}}
    projection = {mapping.id_path: 1, mapping.status_path: 1, path: 1}
    if not isinstance(collection, Collection):  # mongomock does not support collations
        yield from collection.find(match, projection)
        return
    try:
        yield from collection.find(match, projection, collation=CASE_INSENSITIVE)
    except OperationFailure as error:
        if not is_collation_refused(error):
            raise
        yield from collection.find(match, projection)


def _list_hosts(value: object, path: Sequence[str]) -> list[str]:
    """Return the hosts at a path. Any part of it may be an array."""
    if isinstance(value, list):
        return [host for element in value for host in _list_hosts(element, path)]
    if path:
        return _list_hosts(value.get(path[0]), path[1:]) if isinstance(value, dict) else []
    host = normalize_host(value) if isinstance(value, str) else None
    return [] if host is None else [host]
