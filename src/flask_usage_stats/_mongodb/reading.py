"""Reading the projects of one owner: a single query, in batches, within a time limit."""

import logging
from collections.abc import Generator, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from threading import Thread
from time import monotonic
from typing import Any, Final

import pymongo
from bson import Code, Int64
from bson.binary import OLD_UUID_SUBTYPE, UUID_SUBTYPE, Binary, UuidRepresentation
from bson.codec_options import CodecOptions
from bson.errors import InvalidBSON
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from .._core.fields import ID
from .._core.values import get_id_sort_key
from ..errors import StoreError
from ..protocols import Owner
from .driver import DRIVER_ERRORS, SIMPLE_COLLATION, TimeLimit, build_store_error, is_collation_refused
from .indexes import find_serving_index
from .mapping import CollectionMapping, Document
from .read_options import ReadOptions, ReadOptionsCache

_logger: Final = logging.getLogger("flask_usage_stats")

_BATCH_SIZE: Final = 2000  # documents; large enough for few round trips, small enough for little memory
_CLOSE_TIMEOUT: Final = 0.5  # seconds
_UUID_LENGTH: Final = 16  # bytes
_WARNING_INTERVAL: Final = 3600  # seconds
# The server's codes for a failed login, a hint that names no index, and a collation other than the one of a view.
_AUTHENTICATION_FAILED: Final = 18
_BAD_HINT: Final = 2
_VIEW_COLLATION: Final = 167

_last_warning: float | None = None


def read_projects(
    collection: Collection[Document],
    mapping: CollectionMapping,
    owner: Owner,
    timeout: float,
    cache: ReadOptionsCache,
) -> Generator[list[Document], None, None]:
    """Yield the projects of *owner* in batches, each of which is one reply of the server.

    A batch is cleared when the next one is requested. The query is sent again, without what was yielded
    before, only in these cases: the index of the hint no longer exists, the server does not support
    collations, or the driver cannot decode a value; the server then replaces such values by empty ones.

    :param timeout: seconds that the database may take for everything, including the queries of an *owner_filter*.
    :raises StoreError: the projects could not be read completely within the timeout.
    :raises ConfigurationError: *owner_filter* did not return a filter.
    :raises Exception: whatever *owner_filter* raises.
    """
    limit = TimeLimit(timeout)
    query_filter = mapping.build_filter(owner) if mapping.uses_owner_field else limit.run(mapping.build_filter, owner)
    if query_filter is None:
        return
    options = _find_options(collection, mapping, limit, cache)
    projection: Document = mapping.projection
    yielded = _YieldedIds(is_checked=options.hint is None)
    while True:
        collation = SIMPLE_COLLATION if options.has_collation else None
        cursor = collection.find(query_filter, projection, collation=collation, batch_size=_BATCH_SIZE)
        if options.hint is not None:
            cursor.hint(options.hint)
        try:
            for batch in _read_replies(cursor, limit):
                new = yielded.add(batch, is_last=not cursor.alive)
                if new:
                    yield mapping.rename_fields(new)
                new.clear()
                batch.clear()
        except InvalidBSON as error:
            if projection is not mapping.projection:  # an `_id` is returned as it is stored
                raise build_store_error("the projects could not be read", error) from error
            projection = _build_decodable_projection(mapping, collection.codec_options)
        except OperationFailure as error:
            options = _adapt_options(options, error, collection, cache)
        else:
            return
        yielded.is_checked = True


def _find_options(
    collection: Collection[Document], mapping: CollectionMapping, limit: TimeLimit, cache: ReadOptionsCache
) -> ReadOptions:
    options = cache.get(collection)
    if options is not None:
        return options
    if not mapping.uses_owner_field or not isinstance(collection, Collection):  # mongomock has no indexes to use
        return ReadOptions(hint=None)
    try:
        options = ReadOptions(limit.run(find_serving_index, collection, mapping.owner_path))
    except DRIVER_ERRORS as error:
        if not isinstance(error, OperationFailure) or error.timeout or error.code == _AUTHENTICATION_FAILED:
            raise build_store_error("the projects could not be read", error) from error
        options = ReadOptions(hint=None)  # a view, or the command is not permitted or not supported
    else:
        if options.hint is None:
            _warn_missing_index(mapping.owner_path)
    cache.set(collection, options)
    return options


def _warn_missing_index(path: str) -> None:
    global _last_warning  # noqa: PLW0603 # once an hour for the whole process
    now = monotonic()
    if _last_warning is None or now - _last_warning >= _WARNING_INTERVAL:
        _last_warning = now
        _logger.warning(
            "no index on (%s): a project updated during the read can be missed; run flask usage ensure-indexes", path
        )


def _adapt_options(
    options: ReadOptions, error: OperationFailure, collection: Collection[Document], cache: ReadOptionsCache
) -> ReadOptions:
    """Return the options for a second attempt.

    :raises StoreError: other options would not help.
    """
    if error.code == _BAD_HINT and options.hint is not None:
        cache.forget(collection)
        return options._replace(hint=None)
    if options.has_collation and is_collation_refused(error):
        options = options._replace(has_collation=False)
        cache.set(collection, options)
        return options
    if error.code == _VIEW_COLLATION:
        raise StoreError(
            "the view has a collation, so owners cannot be compared exactly: pass the underlying collection,"
            " or recreate the view without a collation"
        ) from error
    raise build_store_error("the projects could not be read", error) from error


class _YieldedIds:
    """The ids of the documents that were yielded, to recognize those that are read again.

    :param is_checked: whether documents with a known id are left out from now on. Reads through an index
        that serves need no check, so their ids are only kept in case the query has to be sent again.
    """

    def __init__(self, *, is_checked: bool) -> None:
        self.is_checked = is_checked
        self._pending: list[object] = []
        self._keys: set[bytes] = set()

    def add(self, batch: list[Document], *, is_last: bool) -> list[Document]:
        """Return the documents of a batch that were not yielded before. Documents without an id are new."""
        if not self.is_checked:
            if not is_last:
                self._pending += [document[ID] for document in batch if ID in document]
            return batch
        self._keys.update(map(get_id_sort_key, self._pending))
        self._pending.clear()
        new = []
        for document in batch:
            key = get_id_sort_key(document[ID]) if ID in document else None
            if key not in self._keys:
                new.append(document)
                if key is not None:
                    self._keys.add(key)
        return new


def _read_replies(cursor: Cursor[Document], limit: TimeLimit) -> Iterator[list[Document]]:
    """Yield the documents of each reply of the server.

    :raises InvalidBSON: the driver cannot decode a document.
    :raises OperationFailure: the server refused the query; it was not sent for longer than the first reply.
    :raises StoreError: the query failed later or did not finish in time.
    """
    read = 0
    try:
        while True:
            try:
                # Not within a context that is left open at the yield: it would apply to the caller's operations.
                reply = limit.run(_fetch_reply, cursor, read)
            except InvalidBSON:
                raise
            except DRIVER_ERRORS as error:
                if isinstance(error, OperationFailure) and not read:
                    raise
                if isinstance(error, ConnectionFailure) and cursor.cursor_id:
                    _kill_cursor(cursor)
                raise build_store_error("the projects could not be read", error) from error
            if reply:
                read += len(reply)
                yield reply
            if not cursor.alive:
                return
    finally:
        if cursor.alive:
            with suppress(PyMongoError), pymongo.timeout(_CLOSE_TIMEOUT):
                cursor.close()


def _fetch_reply(cursor: Cursor[Document], read: int) -> list[Document]:
    """Return all documents of the next reply, or none at the end; *read* is the number of earlier documents."""
    first = next(cursor, None)
    if first is None:
        return []
    if not isinstance(cursor, Cursor):  # mongomock, which has everything in memory
        return [first, *islice(cursor, _BATCH_SIZE - 1)]
    rest = cursor.retrieved - read - 1
    # `to_list` is a fifth faster than iteration.
    return [first, *cursor.to_list(rest)] if rest else [first]


def _kill_cursor(cursor: Cursor[Document]) -> None:
    """Close a cursor on the server whose connection failed, without waiting for it.

    PyMongo forgets such a cursor, and the server keeps it for ten minutes.
    """
    collection = cursor.collection
    command = {"killCursors": collection.name, "cursors": [Int64(cursor.cursor_id or 0)]}
    kill = partial(collection.database.command, command, read_preference=collection.read_preference)

    def run() -> None:
        with suppress(PyMongoError), pymongo.timeout(_CLOSE_TIMEOUT):
            kill()

    Thread(target=run, name="flask-usage-stats-kill-cursor", daemon=True).start()


def _build_decodable_projection(mapping: CollectionMapping, options: CodecOptions[Document]) -> Document:
    """Build a projection in which the server replaces every value that the driver may be unable to decode."""
    uuid_subtype = UUID_SUBTYPE if options.uuid_representation == UuidRepresentation.STANDARD else OLD_UUID_SUBTYPE
    return {path: 1 if path == ID else _build_decodable_value(f"${path}", uuid_subtype) for path in mapping.projection}


def _build_decodable_value(value: str, uuid_subtype: int) -> Document:
    """Build the expression for a value: containers and binary data other than UUIDs become empty."""
    value_type = {"$type": value}
    # BSON compares binary values by length, then by subtype, then by content.
    first_uuid, last_uuid = (Binary(bytes([byte]) * _UUID_LENGTH, uuid_subtype) for byte in (0x00, 0xFF))
    is_uuid = {"$and": [{"$gte": [value, first_uuid]}, {"$lte": [value, last_uuid]}]}
    replacements: list[tuple[Document, Any]] = [
        ({"$eq": [value_type, "array"]}, []),
        ({"$eq": [value_type, "object"]}, {}),
        ({"$eq": [value_type, "javascriptWithScope"]}, Code("")),
        ({"$and": [{"$eq": [value_type, "binData"]}, {"$not": is_uuid}]}, Binary(b"")),
    ]
    branches = [{"case": condition, "then": {"$literal": empty}} for condition, empty in replacements]
    return {"$switch": {"branches": branches, "default": value}}
