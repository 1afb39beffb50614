"""A cache of what the store has found out about collections: the index to use, and collation support."""

import weakref
from collections import OrderedDict
from time import monotonic
from typing import Any, Final, NamedTuple

from pymongo.collection import Collection

_LIFETIME: Final = 300  # seconds
_MAX_COLLECTIONS: Final = 1000


class ReadOptions(NamedTuple):
    """The options with which a collection is read."""

    #: The name of the index to use, or ``None`` if no index serves or the indexes cannot be listed.
    hint: str | None
    #: Whether the server supports collations.
    has_collation: bool = True
    #: Whether each ``_id`` occurs once, as in every collection. A view may repeat or omit it.
    has_unique_ids: bool = True


class ReadOptionsCache:
    """The options of up to 1,000 collections, by client and full name. Each entry expires after five minutes."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[int, str], tuple[weakref.ref[Any], float, ReadOptions]] = OrderedDict()

    def get(self, collection: Collection[Any]) -> ReadOptions | None:
        """Return the options of a collection, or ``None`` if they are unknown or expired."""
        entry = self._entries.get(_build_key(collection))
        if entry is None:
            return None
        client, expires, options = entry
        # The `id` of a client that no longer exists may have been reused for another client.
        return options if client() is collection.database.client and monotonic() < expires else None

    def set(self, collection: Collection[Any], options: ReadOptions) -> None:
        """Store the options of a collection. If the cache is full, the oldest entry is removed."""
        entry = weakref.ref(collection.database.client), monotonic() + _LIFETIME, options
        self._entries[_build_key(collection)] = entry
        while len(self._entries) > _MAX_COLLECTIONS:
            self._entries.popitem(last=False)

    def forget(self, collection: Collection[Any]) -> None:
        """Remove the options of a collection, so that the next read determines them again."""
        self._entries.pop(_build_key(collection), None)


def _build_key(collection: Collection[Any]) -> tuple[int, str]:
    return id(collection.database.client), collection.full_name
