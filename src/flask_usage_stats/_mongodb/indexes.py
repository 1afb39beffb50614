"""Find or create an index through which an owner's projects are read."""

from collections.abc import Mapping
from typing import Any, Final

from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from .._core.fields import ID
from ..errors import StoreError
from .driver import DRIVER_ERRORS, build_store_error, call_with_collation

# Error codes of the server: an index with the same keys or name, but with another name or other options, exists.
_CONFLICT_CODES: Final = (85, 86)


def index_serves(index: Mapping[str, Any], path: str) -> bool:
    """Return whether a read of an owner's projects through an index returns each project exactly once.

    When an indexed value is updated, the document moves within the index, and a concurrent read can miss it or
    return it twice. Therefore the index must contain only the owner's path, optionally followed by ``_id``, which
    never changes. It must also contain every document and be usable for the query, so partial, sparse and hidden
    indexes and those with a collation do not serve.

    :param index: an index as ``list_indexes`` returns it.
    :param path: the path of the owner.
    """
    is_restricted = any(index.get(option) for option in ("partialFilterExpression", "sparse", "hidden", "collation"))
    return not is_restricted and _is_owner_key(index, path)


def find_serving_index(collection: Collection[Any], path: str) -> str | None:
    """Return the name of the first index that serves (see :func:`index_serves`), or ``None`` if none does.

    :raises PyMongoError: the indexes cannot be listed; the decoder's errors in ``DRIVER_ERRORS`` are also possible.
    """
    return next((str(index["name"]) for index in collection.list_indexes() if index_serves(index, path)), None)


def ensure_index(collection: Collection[Any], path: str) -> str:
    """Create an index on *path*, unless an index that serves exists (see :func:`index_serves`).

    :returns: the name of the existing or new index.
    :raises StoreError: an index that would serve is hidden; an existing index prevents the creation; or the database
        did not respond or rejected a command.
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
        raise build_store_error("the index could not be created", error) from error
    except DRIVER_ERRORS as error:
        raise build_store_error("the index could not be created", error) from error


def _is_owner_key(index: Mapping[str, Any], path: str) -> bool:
    """Return whether the keys of an index are the owner's path alone, or the path followed by ``_id``."""
    key = index.get("key")
    first, *others = key.items() if isinstance(key, Mapping) and key else [("", None)]
    if first[0] != path:
        return False
    return (not others and first[1] in (1, -1, "hashed")) or (
        first[1] in (1, -1) and [name for name, _ in others] == [ID] and others[0][1] in (1, -1)
    )


def _create_index(collection: Collection[Any], path: str) -> str:
    name = f"usage_stats_{path}"
    return call_with_collation(lambda collation: collection.create_index([(path, 1)], name=name, collation=collation))
