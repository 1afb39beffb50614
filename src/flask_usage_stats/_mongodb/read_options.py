"""What reads need to know about a collection, remembered for a while."""

import weakref
from collections import OrderedDict
from time import monotonic
from typing import Any, Final, NamedTuple

from pymongo.collection import Collection

_LIFETIME: Final = 300  # seconds
_MAX_COLLECTIONS: Final = 1000


class ReadOptions(NamedTuple):
    """How a collection is read."""

    #: The name of the index to read through, or None if none serves or the indexes cannot be listed.
    hint: str | None
    #: Whether the server supports collations.
    has_collation: bool = True


class ReadOptionsCache:
    """Options by client and collection name: at most 1,000, each for five minutes."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[int, str], tuple[weakref.ref[Any], float, ReadOptions]] = OrderedDict()

    def get(self, collection: Collection[Any]) -> ReadOptions | None:
        """Return the options of a collection, or None if they are not known or too old."""
        entry = self._entries.get(_key_of(collection))
        if entry is None:
            return None
        client, expires, options = entry
        # The id of a client that no longer exists may belong to another one.
        return options if client() is collection.database.client and monotonic() < expires else None

    def set(self, collection: Collection[Any], options: ReadOptions) -> None:
        """Remember the options of a collection."""
        entry = weakref.ref(collection.database.client), monotonic() + _LIFETIME, options
        self._entries[_key_of(collection)] = entry
        while len(self._entries) > _MAX_COLLECTIONS:
            self._entries.popitem(last=False)

    def forget(self, collection: Collection[Any]) -> None:
        """Find the options out anew at the next read."""
        self._entries.pop(_key_of(collection), None)


def _key_of(collection: Collection[Any]) -> tuple[int, str]:
    return id(collection.database.client), collection.full_name
