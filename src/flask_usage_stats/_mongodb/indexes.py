"""The index on the owner's path."""

from collections.abc import Mapping
from typing import Any, Final

from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from ..errors import StoreError
from .reading import DRIVER_ERRORS, SIMPLE_COLLATION, store_error

# The server's codes if an index on the same path has another name or other options.
_CONFLICT_CODES: Final = (85, 86)


def index_covers(index: Mapping[str, Any], path: str) -> bool:
    """Return whether an index covers every document for queries on *path*."""
    first_path, kind = next(iter(index["key"].items()))
    is_partial = any(index.get(option) for option in ("partialFilterExpression", "sparse", "hidden", "collation"))
    return first_path == path and kind in (1, -1, "hashed") and not is_partial


def ensure_index(collection: Collection[Any], path: str) -> str:
    """Create an index on *path*, unless one that covers it exists.

    :returns: the name of the existing or new index.
    :raises StoreError: the database did not respond or rejected the command.
    """
    try:
        for index in collection.list_indexes():
            if index_covers(index, path):
                return str(index["name"])
        return collection.create_index([(path, 1)], name=f"usage_stats_{path}", collation=SIMPLE_COLLATION)
    except OperationFailure as error:
        if error.code in _CONFLICT_CODES:
            raise StoreError(
                f"an index on {path!r} already exists but cannot be used (it is hidden, partial, sparse or has a"
                " collation): unhide or drop it, or create a full index yourself"
            ) from error
        raise store_error("the index could not be created", error) from error
    except DRIVER_ERRORS as error:
        raise store_error("the index could not be created", error) from error
