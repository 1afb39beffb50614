"""The index on the owner's path, and whether a collection has it."""

from collections.abc import Mapping
from typing import Any, Final

from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from .._core.fields import ID
from ..errors import StoreError
from .driver import DRIVER_ERRORS, SIMPLE_COLLATION, is_collation_refused, store_error

# The server's codes if an index on the same path has another name or other options.
_CONFLICT_CODES: Final = (85, 86)


def index_serves(index: Mapping[str, Any], path: str) -> bool:
    """Return whether reading an owner's projects through an index returns each of them exactly once.

    A document moves within an index if an indexed value is updated. A read that is under way then misses
    it or returns it twice. So no path but the owner's may be indexed, except ``_id``, which never changes.

    :param index: an index as the server lists it.
    :param path: the path of the owner.
    """
    is_partial = any(index.get(option) for option in ("partialFilterExpression", "sparse", "hidden", "collation"))
    return not is_partial and _is_owner_key(index, path)


def find_serving_index(collection: Collection[Any], path: str) -> str | None:
    """Return the name of an index that serves, or None if there is none.

    :raises PyMongoError: the indexes cannot be listed.
    """
    return next((str(index["name"]) for index in collection.list_indexes() if index_serves(index, path)), None)


def ensure_index(collection: Collection[Any], path: str) -> str:
    """Create an index on *path*, unless one that serves exists.

    :returns: the name of the existing or new index.
    :raises StoreError: the database did not respond or rejected the command, or an index is in the way.
    """
    try:
        indexes = list(collection.list_indexes())
        for index in indexes:
            if index_serves(index, path):
                return str(index["name"])
        for index in indexes:
            if index.get("hidden") and _is_owner_key(index, path):
                raise StoreError(f"the index {index['name']!r} is hidden, so reads cannot use it: unhide or drop it")
        return _create_index(collection, path)
    except OperationFailure as error:
        if error.code in _CONFLICT_CODES:
            raise StoreError(
                f"an index on {path!r} already exists but cannot be used (it is partial, sparse or has a collation):"
                " drop it, or create a full index yourself"
            ) from error
        raise store_error("the index could not be created", error) from error
    except DRIVER_ERRORS as error:
        raise store_error("the index could not be created", error) from error


def _is_owner_key(index: Mapping[str, Any], path: str) -> bool:
    key = index.get("key")
    first, *others = key.items() if isinstance(key, Mapping) and key else [("", None)]
    if first[0] != path:
        return False
    return (not others and first[1] in (1, -1, "hashed")) or (
        first[1] in (1, -1) and [name for name, _ in others] == [ID] and others[0][1] in (1, -1)
    )


def _create_index(collection: Collection[Any], path: str) -> str:
    name = f"usage_stats_{path}"
    try:
        return collection.create_index([(path, 1)], name=name, collation=SIMPLE_COLLATION)
    except OperationFailure as error:
        if not is_collation_refused(error):
            raise
        return collection.create_index([(path, 1)], name=name)
