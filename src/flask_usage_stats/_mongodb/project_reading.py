"""Read the projects of one owner from a collection: in batches, each project once, within a time limit."""

import logging
from collections.abc import Generator, Hashable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Final

import pymongo
from bson import Code, DBRef, ObjectId
from bson.errors import InvalidBSON
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from .._core.fields import ID
from .._core.hourly import HourlyLimit
from ..protocols import Owner
from .decodable import build_decodable_projection
from .driver import DRIVER_ERRORS, SIMPLE_COLLATION, TimeLimit, build_store_error, is_collation_refused
from .indexes import find_serving_index
from .mapping import CollectionMapping, Document
from .read_options import ReadOptions, ReadOptionsCache
from .server_cursors import CLOSE_TIMEOUT, kill_cursor

_logger: Final = logging.getLogger("flask_usage_stats")

_BATCH_SIZE: Final = 2000  # documents; large enough for few round trips, small enough for little memory
# Error codes of the server: the login failed; no index has the name in the hint; a view has no indexes.
_AUTHENTICATION_FAILED: Final = 18
_BAD_HINT: Final = 2
_NOT_SUPPORTED_ON_VIEW: Final = 166

#: Limits the warning about a missing index.
WARNING_LIMIT: Final = HourlyLimit()


def read_projects(  # noqa: PLR0913 # what is read, and how
    collection: Collection[Document],
    mapping: CollectionMapping,
    owner: Owner,
    limit: TimeLimit,
    cache: ReadOptionsCache,
    *,
    has_last_requests: bool = False,
) -> Generator[list[Document], None, None]:
    """Yield the projects of an owner in non-empty batches, one for each reply of the server.

    A batch is cleared when the next one is requested. The query is sent again if the index in its hint no longer
    exists, if the server does not support collations, or if the driver cannot decode a value; in the last case, the
    server replaces such values by empty ones. Documents that were already yielded are then skipped.

    :param limit: the time that the database may take, including the queries of *owner_filter*.
    :param cache: the read options of collections, which this function reads and updates.
    :param has_last_requests: whether the projects have ``lastRequestAt``.
    :raises StoreError: the projects could not be read completely within the timeout, or an ``_id`` cannot be decoded.
    :raises ConfigurationError: *owner_filter* did not return a non-empty ``dict``.
    :raises Exception: whatever *owner_filter* raises.
    """
    query_filter = mapping.build_filter(owner) if mapping.uses_owner_field else limit.run(mapping.build_filter, owner)
    if query_filter is None:
        return
    options = _find_options(collection, mapping, limit, cache)
    rows = mapping.full_rows if has_last_requests else mapping.rows
    projection: Document = rows.projection
    yielded = _YieldedIds(is_checked=options.hint is None and options.has_unique_ids)
    while True:
        collation = SIMPLE_COLLATION if options.has_collation else None
        # A copy, because mongomock changes the projection while it reads.
        cursor = collection.find(query_filter, dict(projection), collation=collation, batch_size=_BATCH_SIZE)
        if options.hint is not None:
            cursor.hint(options.hint)
        try:
            for batch in _read_replies(cursor, limit):
                new = yielded.add(batch, is_last=not cursor.alive)
                if new:
                    yield rows.rename_fields(new)
                new.clear()
                batch.clear()
        except InvalidBSON as error:
            # An id is not replaced. Without unique ids, what was yielded cannot be told from what was not.
            is_resumable = options.has_unique_ids or yielded.is_empty
            if projection is not rows.projection or not is_resumable:
                raise build_store_error("the projects could not be read", error) from error
            projection = build_decodable_projection(projection, mapping.id_path, collection.codec_options)
        except OperationFailure as error:
            options = _adapt_options(options, error, collection, cache)
        else:
            return
        yielded.is_checked = options.has_unique_ids


def _find_options(
    collection: Collection[Document], mapping: CollectionMapping, limit: TimeLimit, cache: ReadOptionsCache
) -> ReadOptions:
    """Return the cached options of a collection, or determine them by listing its indexes.

    :raises StoreError: the database did not respond in time, or the login failed.
    """
    options = cache.get(collection)
    if options is not None:
        return options
    if not isinstance(collection, Collection):  # mongomock, which has no indexes to use and reads everything at once
        return ReadOptions(hint=None, has_unique_ids=False)
    try:
        name = limit.run(find_serving_index, collection, mapping.owner_path)
        options = ReadOptions(name if mapping.uses_owner_field else None)
    except DRIVER_ERRORS as error:
        if not isinstance(error, OperationFailure) or error.timeout or error.code == _AUTHENTICATION_FAILED:
            raise build_store_error("the projects could not be read", error) from error
        # Otherwise listing indexes is not permitted or not supported.
        options = ReadOptions(hint=None, has_unique_ids=error.code != _NOT_SUPPORTED_ON_VIEW)
    else:
        if options.hint is None and mapping.uses_owner_field and WARNING_LIMIT.allows():
            _logger.warning(
                "no index on (%s): a project updated during the read can be missed; run flask usage ensure-indexes",
                mapping.owner_path,
            )
    cache.set(collection, options)
    return options


def _adapt_options(
    options: ReadOptions, error: OperationFailure, collection: Collection[Document], cache: ReadOptionsCache
) -> ReadOptions:
    """Return the options with which to send a rejected query again.

    :raises StoreError: the query would be rejected with any options.
    """
    if error.code == _BAD_HINT and options.hint is not None:
        cache.forget(collection)
        return options._replace(hint=None)
    if options.has_collation and is_collation_refused(error):
        options = options._replace(has_collation=False)
        cache.set(collection, options)
        return options
    raise build_store_error("the projects could not be read", error) from error


class _YieldedIds:
    """The ids of the documents that were yielded, so that no document is yielded twice.

    :param is_checked: whether :meth:`add` removes documents that were yielded before. This is not necessary while
        reading through an index that serves; ids are then only collected in case the query must be sent again.
    """

    def __init__(self, *, is_checked: bool) -> None:
        self.is_checked = is_checked
        #: Whether no documents were added yet.
        self.is_empty = True
        self._pending: list[object] = []
        self._known: set[Hashable] = set()

    def add(self, batch: list[Document], *, is_last: bool) -> list[Document]:
        """Add the ids of a batch and return its documents, or only the new ones if the ids are checked.

        Every document must have an ``_id`` if the ids are checked, now or later. The ids of the last batch are only
        necessary if they are checked.
        """
        self.is_empty = self.is_empty and not batch
        if not self.is_checked:
            if not is_last:
                self._pending += [document.get(ID) for document in batch]
            return batch
        self._known.update(map(_identify, self._pending))
        self._pending.clear()
        new = []
        for document in batch:
            identity = _identify(document[ID])
            if identity not in self._known:
                self._known.add(identity)
                new.append(document)
        return new


def _identify(value: object) -> Hashable:  # noqa: PLR0911 # one for each kind of value
    """Return what only an ``_id`` of the same type and value is equal to. Python takes 1, 1.0 and True for equal."""
    if isinstance(value, ObjectId):
        return value.binary  # several times faster, and most ids are one
    if isinstance(value, bytes):  # the repr of binary data need not contain it
        return type(value), getattr(value, "subtype", 0), bytes(value)
    if isinstance(value, Code):
        return Code, str(value), _identify(value.scope)
    if isinstance(value, DBRef):
        return DBRef, _identify(value.as_doc())
    if isinstance(value, Mapping):
        return dict, tuple((name, _identify(each)) for name, each in value.items())
    if isinstance(value, list):
        return list, tuple(map(_identify, value))
    return type(value), repr(value)


def _read_replies(cursor: Cursor[Document], limit: TimeLimit) -> Iterator[list[Document]]:
    """Yield the documents of each reply of the server, and close the cursor at the end.

    :raises InvalidBSON: the driver cannot decode a document.
    :raises OperationFailure: the server rejected the query before it returned any documents.
    :raises StoreError: reading failed in any other way, or did not finish in time.
    """
    read = 0
    try:
        while True:
            try:
                # The timeout context must not be open at the `yield`: it would apply to the caller's operations.
                reply = limit.run(_fetch_reply, cursor, read)
            except InvalidBSON:
                raise
            except DRIVER_ERRORS as error:
                if isinstance(error, OperationFailure) and not read:
                    raise
                if isinstance(error, ConnectionFailure):
                    kill_cursor(cursor.collection, cursor.cursor_id)
                raise build_store_error("the projects could not be read", error) from error
            if reply:
                read += len(reply)
                yield reply
            if not cursor.alive:
                return
    finally:
        if cursor.alive:
            with suppress(PyMongoError), pymongo.timeout(CLOSE_TIMEOUT):
                cursor.close()


def _fetch_reply(cursor: Cursor[Document], read: int) -> list[Document]:
    """Return the documents of the next reply, or an empty list at the end.

    :param read: the number of documents that were fetched before.
    """
    first = next(cursor, None)
    if first is None:
        return []
    if not isinstance(cursor, Cursor):  # mongomock has no replies, so the batches have a fixed size
        return [first, *islice(cursor, _BATCH_SIZE - 1)]
    rest = cursor.retrieved - read - 1
    # `to_list` is about 20 % faster than iteration.
    return [first, *cursor.to_list(rest)] if rest else [first]
