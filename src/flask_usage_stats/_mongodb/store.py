"""The store for projects in a MongoDB collection."""

from collections.abc import Iterable, Mapping
from typing import Final

from pymongo.collection import Collection

from .._core.batches import BatchedDocuments
from .._core.owners import OwnerType
from .._core.text import short_repr
from ..errors import ConfigurationError
from ..protocols import Owner
from .driver import TimeLimit
from .indexes import ensure_index
from .mapping import CollectionMapping, Document, OwnerFilter
from .project_reading import read_projects
from .read_options import ReadOptionsCache
from .source import CollectionSource, build_opener

_MAX_TIMEOUT: Final = 3600  # seconds


class ProjectStore:
    """Reads projects from a MongoDB collection with one document per project.

    .. code-block:: python

        ProjectStore(db.projects, fields={"owner": "user_id", "totalRequest": "stats.hits"})

    :param collection: a PyMongo collection, or a callable without arguments that returns one. The callable is called
        once per read; use it with application factories, Flask-PyMongo and servers that fork. The client is not used
        before the first read.
    :param fields: maps field names to the paths where they are stored. The names are those of the response fields,
        ``owner``, and ``lastRequestAt``, which a :class:`~flask_usage_stats.UsageRecorder` writes. The default path of
        a field is its name.
    :param owner_filter: a function that is called once per read with the owner id (converted to *owner_type*) and
        must return a MongoDB filter for the owner's projects, a non-empty ``dict``. It replaces the match on the
        owner's path, for example if projects belong to teams.
    :param owner_type: the type in which owners are stored: ``str``, ``int``, ``ObjectId`` or ``UUID``. An owner id
        that is a string is converted to it; a string that cannot be converted matches no projects. By default, a
        string matches equal strings and, if it has 24 hexadecimal digits, the ObjectId with these digits.
    :param excluded_statuses: projects whose status equals one of these strings are neither returned nor counted.
    :param timeout: the time that the database may take for one read, in seconds, greater than 0 and at most 3600. It
        includes the queries of *owner_filter*, but not the call of *collection*. A shorter ``pymongo.timeout`` context
        takes precedence.
    :param writers_field: the path at which a :class:`~flask_usage_stats.UsageRecorder` keeps track of what it has
        written, so that no count is added twice. ``None`` if documents must not have an additional field; counts whose
        write is not confirmed are then dropped.
    :raises ConfigurationError: an argument is invalid; the message says what to pass instead.

    .. versionadded:: 0.1.0
    """

    def __init__(  # noqa: PLR0913 # each parameter describes one aspect of the collection
        self,
        collection: CollectionSource,
        *,
        fields: Mapping[str, str] | None = None,
        owner_filter: OwnerFilter | None = None,
        owner_type: OwnerType | None = None,
        excluded_statuses: Iterable[str] = ("deleted",),
        timeout: float = 5.0,
        writers_field: str | None = "usageWriters",
    ) -> None:
        self._open = build_opener(collection)
        self._mapping = CollectionMapping(fields, owner_filter, owner_type, excluded_statuses, writers_field)
        self._timeout = validate_timeout(timeout)
        self._read_options = ReadOptionsCache()
        self._recorded_types: set[OwnerType | None] = set()

    def iter_projects(self, owner: Owner, /) -> Iterable[Mapping[str, object]]:
        """Read the projects of one owner, each once and in no particular order.

        Iterating over the result sends one query and reads its documents in batches. The query is sent again only if
        its index was dropped, if the server does not support collations, or if the driver cannot decode a value. In
        the last case, arrays, documents and binary data other than UUIDs are returned as empty values.

        .. code-block:: python

            {"_id": ObjectId("507f1f77bcf86cd799439012"), "name": "api-service", "totalRequest": 89456}

        Errors of *collection* are raised by the call, all others during the iteration.

        :param owner: the owner id, as returned by ``authenticate``.
        :returns: an iterable of documents, to be consumed once. Their keys are names of response fields. Dates are
            naive datetimes in UTC, or ``DatetimeMS`` outside the years 1 to 9999. Empty if the owner has no projects.
        :raises StoreError: the projects could not be read completely within the timeout, or an ``_id`` cannot be
            decoded. If the driver raised an error, it is the ``__cause__``.
        :raises ConfigurationError: *collection* did not return a collection, or *owner_filter* did not return a
            non-empty ``dict``.
        :raises Exception: whatever *collection* and *owner_filter* raise.
        """
        return iter_projects_within(self, owner, TimeLimit(self._timeout), has_last_requests=False)

    def ensure_indexes(self) -> str:
        """Create an index on the owner's path, unless an index that serves the query exists.

        An existing index serves if its only key is the owner's path (ascending, descending or hashed) or if its keys
        are the owner's path and ``_id``, and if it is not partial, sparse or hidden and has no collation.
        An index with other keys does not serve: a project that is updated during a read could be missed or read twice.
        The store's *timeout* does not apply, because large collections take longer to index.

        :returns: the name of the existing or new index.
        :raises ConfigurationError: the store has an *owner_filter*, so the paths to index are not known; or
            *collection* did not return a collection.
        :raises StoreError: an index that would serve is hidden; an existing index prevents the creation; or the
            database did not respond or rejected a command. If the driver raised an error, it is the ``__cause__``.
        :raises Exception: whatever *collection* raises.
        """
        collection = self._open()
        if not self._mapping.uses_owner_field:
            raise ConfigurationError(
                "owner_filter decides which projects match: index the paths that it uses,"
                f' for example with db.{collection.name}.create_index("team")'
            )
        self._read_options.forget(collection)
        return ensure_index(collection, self._mapping.owner_path)


def iter_projects_within(
    store: ProjectStore, owner: Owner, limit: TimeLimit, *, has_last_requests: bool
) -> Iterable[Mapping[str, object]]:
    """Read the projects of one owner as :meth:`ProjectStore.iter_projects` does, but within a given time limit.

    :param limit: the time that the database may take.
    :param has_last_requests: whether documents have ``lastRequestAt``.
    """
    collection, mapping, cache = store._open(), store._mapping, store._read_options  # noqa: SLF001 # the public class has no method for this
    return BatchedDocuments(
        read_projects(collection, mapping, owner, limit, cache, has_last_requests=has_last_requests)
    )


def start_time_limit(store: ProjectStore) -> TimeLimit:
    """Return a new limit of the time that the database may take for one request."""
    return TimeLimit(store._timeout)  # noqa: SLF001 # the public class has no method for this


def open_store(store: ProjectStore) -> tuple[Collection[Document], CollectionMapping]:
    """Return the collection and the mapping of a store, for other modules of this package.

    :raises ConfigurationError: the store's *collection* did not return a collection.
    :raises Exception: whatever *collection* raises.
    """
    return store._open(), store._mapping  # noqa: SLF001 # the public class has no method for this


def get_mapping(store: ProjectStore) -> CollectionMapping:
    """Return the mapping of a store, without its collection."""
    return store._mapping  # noqa: SLF001 # the public class has no method for this


def add_recorder(store: ProjectStore, id_type: OwnerType | None) -> None:
    """Remember that a recorder with an *id_type* writes to the projects of a store, so that the checks include it."""
    store._recorded_types.add(id_type)  # noqa: SLF001 # the public class has no method for this


def get_recorded_types(store: ProjectStore) -> set[OwnerType | None]:
    """Return the *id_type* of each recorder that writes to the projects of a store."""
    return store._recorded_types  # noqa: SLF001 # the public class has no method for this


def validate_timeout(timeout: float, name: str = "timeout") -> float:
    """Return a number of seconds if it is valid.

    :param name: the name of the argument.
    :raises ConfigurationError: *timeout* is not a number, or not greater than 0 and at most 3600.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= _MAX_TIMEOUT:
        raise ConfigurationError(
            f"{name} must be a number of seconds greater than 0 and at most {_MAX_TIMEOUT}, got {short_repr(timeout)}"
        )
    return timeout
