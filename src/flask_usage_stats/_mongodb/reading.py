"""Read the projects of one owner: a single query within a deadline."""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from operator import methodcaller
from time import monotonic
from typing import Any, Final

import pymongo
from bson import Code
from bson.binary import OLD_UUID_SUBTYPE, UUID_SUBTYPE, Binary, UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError, InvalidBSON
from pymongo.collation import Collation
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.errors import ConnectionFailure, InvalidOperation, OperationFailure, PyMongoError

from .._core.fields import ID
from .._core.text import short_repr
from ..errors import StoreError
from ..protocols import Owner
from .mapping import CollectionMapping, Document

SIMPLE_COLLATION: Final = Collation("simple")
# The decoder raises errors that are not subclasses of PyMongoError.
DRIVER_ERRORS: Final = (PyMongoError, BSONError, ValueError, OverflowError)

_BATCH_SIZE: Final = 2000  # documents; large enough for few round trips, small enough for little memory
_CLOSE_TIMEOUT: Final = 0.5  # seconds
_UUID_LENGTH: Final = 16  # bytes
_get_id: Final = methodcaller("get", ID)


def read_projects(
    collection: Collection[Document], mapping: CollectionMapping, owner: Owner, timeout: float
) -> Iterator[Document]:
    """Yield the projects of *owner*, read in batches by a single query.

    If the driver cannot decode a value, the query is sent once more with a projection that
    replaces such values with empty ones. Projects that were already yielded are not repeated.

    :param timeout: seconds for everything, including the second query and the queries of an *owner_filter*.
    :raises StoreError: the projects could not be read completely within the timeout.
    :raises ConfigurationError: *owner_filter* did not return a filter.
    :raises Exception: whatever *owner_filter* raises.
    """
    deadline = monotonic() + timeout
    with pymongo.timeout(timeout):  # an owner_filter may query the database too
        query_filter = mapping.filter_for(owner)
    if query_filter is None:
        return
    find_arguments = {"filter": query_filter, "collation": SIMPLE_COLLATION, "batch_size": _BATCH_SIZE}
    yielded_ids: list[object] = []
    try:
        for batch in _read_batches(collection.find(projection=mapping.projection, **find_arguments), deadline):
            yield from mapping.rename_fields(batch)
            if len(batch) == _BATCH_SIZE:
                yielded_ids.extend(map(_get_id, batch))
            batch.clear()  # free the documents before the next batch is read
    except InvalidBSON:
        known = set(map(repr, yielded_ids))
        projection = _decodable_projection(mapping, collection.codec_options)
        try:
            for batch in _read_batches(collection.find(projection=projection, **find_arguments), deadline):
                yield from mapping.rename_fields(
                    [document for document in batch if repr(_get_id(document)) not in known]
                )
        except InvalidBSON as error:  # an `_id` is returned as it is stored
            raise store_error("the projects could not be read", error) from error


def _read_batches(cursor: Cursor[Document], deadline: float) -> Iterator[list[Document]]:
    """Yield the documents of a cursor in lists of ``_BATCH_SIZE``; only the last one is shorter.

    :raises InvalidBSON: the driver cannot decode a document.
    :raises StoreError: the query failed or did not finish before the deadline.
    """
    # `to_list` is a fifth faster than iteration; mongomock does not have it.
    fetch = getattr(cursor, "to_list", lambda count: list(islice(cursor, count)))
    try:
        while True:
            remaining = deadline - monotonic()
            if remaining <= 0:  # PyMongo takes a timeout of 0 for no timeout
                raise StoreError("the projects could not be read completely within the timeout")
            try:
                # Leave the context before yielding, or the timeout would also apply to the caller's operations.
                with pymongo.timeout(remaining):
                    batch = fetch(_BATCH_SIZE)
            except InvalidBSON:
                raise
            except DRIVER_ERRORS as error:
                raise store_error("the projects could not be read", error) from error
            is_last = len(batch) < _BATCH_SIZE
            yield batch
            if is_last:
                return
    finally:
        if cursor.alive:
            with suppress(PyMongoError), pymongo.timeout(_CLOSE_TIMEOUT):
                cursor.close()


def _decodable_projection(mapping: CollectionMapping, options: CodecOptions[Document]) -> Document:
    """Build a projection in which the server replaces every value that the driver may be unable to decode."""
    uuid_subtype = UUID_SUBTYPE if options.uuid_representation == UuidRepresentation.STANDARD else OLD_UUID_SUBTYPE
    return {path: 1 if path == ID else _decodable_value(f"${path}", uuid_subtype) for path in mapping.projection}


def _decodable_value(value: str, uuid_subtype: int) -> Document:
    """Build the expression for a value: containers and binary data other than UUIDs become empty."""
    value_type = {"$type": value}
    # BSON compares binary values by length, then by subtype, then by content.
    first_uuid, last_uuid = (Binary(bytes([byte]) * _UUID_LENGTH, uuid_subtype) for byte in (0x00, 0xFF))
    is_uuid = {"$and": [{"$gte": [value, first_uuid]}, {"$lte": [value, last_uuid]}]}
    replacements = [
        ({"$eq": [value_type, "array"]}, []),
        ({"$eq": [value_type, "object"]}, {}),
        ({"$eq": [value_type, "javascriptWithScope"]}, Code("")),
        ({"$and": [{"$eq": [value_type, "binData"]}, {"$not": is_uuid}]}, Binary(b"")),
    ]
    branches = [{"case": condition, "then": {"$literal": empty}} for condition, empty in replacements]
    return {"$switch": {"branches": branches, "default": value}}


def store_error(what: str, error: Exception) -> StoreError:
    """Build the error for a failed operation, with the driver's message only if it cannot contain stored values."""
    detail = ""
    if isinstance(error, OperationFailure):
        detail = f" {error.code} {(error.details or {}).get('codeName', '')}".rstrip()
    elif isinstance(error, ConnectionFailure | InvalidOperation):
        detail = f": {short_repr(str(error), 300)}"
    return StoreError(f"{what}: {type(error).__name__}{detail}")


def with_tolerant_codec(collection: Collection[Any]) -> Collection[Document]:
    """Return the collection with options that decode invalid text and any date, regardless of its own options."""
    try:
        return collection.with_options(codec_options=_codec_options(collection.codec_options.uuid_representation))
    except NotImplementedError:  # mongomock, which does not support these options
        return collection


@lru_cache
def _codec_options(uuid_representation: int) -> CodecOptions[Document]:
    return CodecOptions(
        uuid_representation=uuid_representation or UuidRepresentation.STANDARD,
        # Invalid bytes become lone surrogates, so that the values can be recognized and logged later.
        unicode_decode_error_handler="surrogateescape",
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    )
