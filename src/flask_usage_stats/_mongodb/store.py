"""One read of one owner's projects, with PyMongo."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from inspect import iscoroutinefunction
from itertools import islice
from operator import methodcaller
from time import monotonic
from typing import Any, Final, TypeAlias, TypeGuard

import pymongo
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError, InvalidBSON
from pymongo.collation import Collation
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.errors import ConnectionFailure, InvalidOperation, OperationFailure, PyMongoError

from .._core.fields import ID
from .._core.owners import OwnerType
from .._core.text import is_coroutine_callable, short_repr
from ..errors import ConfigurationError, StoreError
from ..protocols import Owner
from . import salvage
from .mapping import Document, OwnerFilter, ProjectQuery

#: A PyMongo collection, or a callable that returns one and is called once per request.
#:
#: .. versionadded:: 0.1.0
CollectionSource: TypeAlias = Collection[Any] | Callable[[], Collection[Any]]

_LONGEST_TIMEOUT: Final = 3600  # seconds
_BATCH: Final = 2000  # documents: few round trips, and few documents held at a time
_CLOSING: Final = 0.5  # seconds to tell the server that a cursor is given up
SIMPLE_COLLATION: Final = Collation("simple")
_IDENTITY: Final = methodcaller("get", ID)
# What create_index answers where an index on the same path stands under another name or with other options.
_INDEX_CONFLICTS: Final = (85, 86)
# A damaged reply fails in the decoder, with errors that are not all PyMongo's.
DRIVER_ERRORS: Final = (PyMongoError, BSONError, ValueError, OverflowError)


class ProjectStore:
    """The projects of a MongoDB collection, one document per project.

    .. code-block:: python

        ProjectStore(db.projects, fields={"owner": "user_id", "totalRequest": "stats.hits"})

    :param collection: a PyMongo collection, or a callable that returns one and is called once per request
        (for application factories, Flask-PyMongo and servers that fork). No client is touched before.
    :param fields: wire names to stored paths, for collections that are named otherwise: the names of the
        contract, and ``owner``. A name that is left out is stored under itself.
    :param owner_filter: takes the identity and must return the filter that matches its projects, a ``dict`` that is
        not empty; it replaces the match on the owner's path (for teams).
    :param owner_type: the type in which owners are stored: ``str``, ``int``, ``ObjectId`` or ``UUID``. A text
        identity is converted to it, and owns nothing where it cannot be. By default text matches
        text and, where it has 24 hex digits, ObjectIds too.
    :param excluded_statuses: projects with exactly one of these statuses are left out and not counted.
    :param timeout: seconds, above 0 and up to 3600, in which a read ends, from when the collection is in hand.
        A shorter ``pymongo.timeout`` around the request wins.
    :raises ConfigurationError: an argument cannot work; the message says what to pass.

    .. versionadded:: 0.1.0
    """

    def __init__(  # noqa: PLR0913 # each is one fact about a host's collection
        self,
        collection: CollectionSource,
        *,
        fields: Mapping[str, str] | None = None,
        owner_filter: OwnerFilter | None = None,
        owner_type: OwnerType | None = None,
        excluded_statuses: Iterable[str] = ("deleted",),
        timeout: float = 5.0,
    ) -> None:
        self._source = _validate_source(collection)
        # Made once where it can be: a view of a collection with other options costs as much as Flask's routing.
        self._readable = _readable(self._source) if _is_collection(self._source) else None
        self._query = ProjectQuery(fields, owner_filter, owner_type, excluded_statuses)
        self._timeout = validate_timeout(timeout)

    def iter_projects(self, owner: Owner, /) -> Iterator[Mapping[str, object]]:
        """Read one owner's projects in a single query, a batch at a time, in no order.

        Only where the driver cannot decode a value is the query sent again, and read field by field.

        .. code-block:: python

            {"_id": ObjectId("507f1f77bcf86cd799439012"), "name": "api-service", "totalRequest": 89456}

        :param owner: the caller's identity.
        :returns: the documents under their wire names, with the fields of the contract and no others;
            datetimes are naive UTC. Nothing where the owner has no projects.
        :raises StoreError: the projects could not be read whole and in time; the driver's error is its cause.
        :raises ConfigurationError: *collection* returned no collection, or *owner_filter* no filter.
        :raises Exception: whatever *collection* and *owner_filter* raise themselves.
        """
        collection, _ = self._opened()
        deadline = monotonic() + self._timeout
        with pymongo.timeout(self._timeout):  # owner_filter may ask the database, too
            condition = self._query.filter(owner)
        if condition is None:
            return
        question = {"filter": condition, "projection": self._query.projection, "collation": SIMPLE_COLLATION}
        handed_out: list[object] = []
        try:
            for batch in _in_time(collection.find(**question, batch_size=_BATCH), _BATCH, deadline):
                yield from self._query.named(batch)
                if len(batch) == _BATCH:
                    handed_out.extend(map(_IDENTITY, batch))
                batch.clear()  # gone before the next is read
        except InvalidBSON:
            yield from self._query.named(_salvaged(collection, question, handed_out, deadline))

    def ensure_indexes(self) -> str:
        """Make the one index that the read needs, unless a full one that begins with the owner's path exists.

        The counter is no part of it, for then every increment would rewrite the index.
        Building takes as long as the collection is large: the store's *timeout* does not apply.

        :returns: the name of the index that serves.
        :raises ConfigurationError: *owner_filter* decides which projects match, so the host knows what to index;
            or *collection* returned no collection.
        :raises StoreError: the database did not answer, or refused; the driver's error is its cause.
        """
        collection = self._collection()
        path = self._query.owner_path
        if not self._query.matches_owner_path:
            raise ConfigurationError(
                "owner_filter decides which projects match: index the path that its filter names,"
                f' such as db.{collection.name}.create_index("team")'
            )
        try:
            for index in collection.list_indexes():
                if serves(index, path):
                    return str(index["name"])
            return collection.create_index([(path, 1)], name=f"usage_stats_{path}", collation=SIMPLE_COLLATION)
        except OperationFailure as error:
            if error.code in _INDEX_CONFLICTS:
                raise StoreError(
                    f"an index on {path!r} stands in the way and does not serve (it is hidden, partial, sparse or"
                    " collated): drop or unhide it, or make a full one by hand"
                ) from error
            raise failure("the index could not be made", error) from error
        except DRIVER_ERRORS as error:
            raise failure("the index could not be made", error) from error

    def _opened(self) -> tuple[Collection[Document], ProjectQuery]:
        """Give the collection as it is read, and what it is asked: for this room and the doctor's, not for hosts."""
        collection = self._readable
        return _readable(self._collection()) if collection is None else collection, self._query

    def _collection(self) -> Collection[Any]:
        if _is_collection(self._source):
            return self._source
        return _validate_collection(self._source())


def _in_time(cursor: Cursor[Any], count: int, deadline: float) -> Iterator[list[Any]]:
    """Take what a cursor has, *count* at a time. The driver's limit is closed before each yield: it would leak.

    :raises InvalidBSON: a reply holds what the driver's decoder refuses.
    :raises StoreError: the rest could not be read.
    """
    # A fifth faster than by iteration; mongomock has only that.
    take = getattr(cursor, "to_list", lambda count: list(islice(cursor, count)))
    try:
        while True:
            remaining = deadline - monotonic()
            if remaining <= 0:
                raise StoreError("the projects could not be read in time")
            try:
                with pymongo.timeout(remaining):
                    taken = take(count)
            except InvalidBSON:  # it may be single values
                raise
            except DRIVER_ERRORS as error:
                raise failure("the projects could not be read", error) from error
            last = len(taken) < count
            yield taken
            if last:
                return
    finally:
        if cursor.alive:  # at its end a cursor has nothing left to close
            with suppress(PyMongoError), pymongo.timeout(_CLOSING):
                cursor.close()


def _salvaged(
    collection: Collection[Document], question: Mapping[str, Any], handed_out: Iterable[object], deadline: float
) -> Iterator[Document]:
    """Read the projects again, undecoded, and hand out those that were not handed out before."""
    known = set(map(repr, handed_out))
    try:
        cursor = collection.find_raw_batches(**question, batch_size=_BATCH)
        for batches in _in_time(cursor, 1, deadline):
            for batch in batches:
                for document in salvage.documents(batch, collection.codec_options):
                    if repr(_IDENTITY(document)) not in known:
                        yield document
    except (PyMongoError, InvalidBSON) as error:  # a client that encrypts; a reply that is damaged beyond its values
        raise failure("the projects could not be read", error) from error


def failure(what: str, error: Exception) -> StoreError:
    """Say what failed, with the driver's own words only where they cannot quote a document."""
    detail = ""
    if isinstance(error, OperationFailure):
        detail = f" {error.code} {(error.details or {}).get('codeName', '')}".rstrip()
    elif isinstance(error, ConnectionFailure | InvalidOperation):
        detail = f": {short_repr(str(error), 300)}"
    return StoreError(f"{what}: {type(error).__name__}{detail}")


def _readable(collection: Collection[Any]) -> Collection[Document]:
    """Read plain documents, tolerant of bad text and dates, whatever the host's own options are."""
    try:
        return collection.with_options(codec_options=_options(collection.codec_options.uuid_representation))
    except NotImplementedError:  # mongomock knows no tolerant options, and has no bad text to read
        return collection


@lru_cache
def _options(uuid_representation: int) -> CodecOptions[Document]:
    return CodecOptions(
        uuid_representation=uuid_representation or UuidRepresentation.STANDARD,
        # Bad bytes arrive as lone surrogates, so that it can be seen and said that they were bad.
        unicode_decode_error_handler="surrogateescape",
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    )


def serves(index: Mapping[str, Any], path: str) -> bool:
    """Tell whether an index finds every document by a path."""
    first, kind = next(iter(index["key"].items()))
    partly = any(index.get(option) for option in ("partialFilterExpression", "sparse", "hidden", "collation"))
    return first == path and kind in (1, -1, "hashed") and not partly


def _is_collection(source: CollectionSource) -> TypeGuard[Collection[Any]]:
    # Asked of the class: an instance of a database seems to have every attribute, and a collection is callable.
    return all(hasattr(source.__class__, name) for name in ("find_one", "with_options"))


def _validate_source(source: CollectionSource) -> CollectionSource:
    kind = source.__class__
    if any(hasattr(kind, name) for name in ("find", "get_collection", "get_database")) or not callable(source):
        return _validate_collection(source)
    if is_coroutine_callable(source):
        raise ConfigurationError(
            "collection must not be async: it must return a collection of a synchronous MongoClient"
        )
    return source


def _validate_collection(collection: Any) -> Collection[Any]:  # noqa: ANN401 # whatever a host passes
    kind = collection.__class__
    if hasattr(kind, "get_collection"):
        raise ConfigurationError(
            f"collection must be a PyMongo collection, got the database {collection.name!r}: pass `db.projects`"
        )
    if hasattr(kind, "get_database"):
        raise ConfigurationError(
            "collection must be a PyMongo collection, got a client: pass `client.platform.projects`"
        )
    if not _is_collection(collection):
        raise ConfigurationError(
            "collection must be a PyMongo collection such as `db.projects`, or a callable that returns one;"
            f" got {kind.__name__}"
        )
    if iscoroutinefunction(kind.find_one) or kind.__module__.startswith("motor"):
        raise ConfigurationError(
            f"collection must be a collection of a synchronous MongoClient, got the asynchronous {kind.__name__}:"
            " give the blueprint a pymongo.MongoClient of its own"
        )
    return collection


def validate_timeout(timeout: float) -> float:
    """Let seconds pass that a read can end in.

    :raises ConfigurationError: they are no finite number, or out of range.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= _LONGEST_TIMEOUT:
        raise ConfigurationError(
            f"timeout must be seconds, above 0 and up to {_LONGEST_TIMEOUT}; got {short_repr(timeout)}"
        )
    return timeout
