"""The collection of the usage history: its options, its index and the time since which it has counts.

.. code-block:: text

    {"_id": {"p": <id of the project>, "d": <start of a day in UTC>},
     "n": 5, "q": {"0": 2, "95": 3},                 requests of the day, and of its quarters of an hour
     "w": {<name of a writer>: <its last batch>}}
    {"_id": "since", "at": <start of the oldest quarter>, "format": 1}
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from .._core.text import short_repr
from ..errors import ConfigurationError, StoreError
from .driver import DRIVER_ERRORS, build_store_error
from .mapping import Document
from .source import CollectionSource, build_opener

SINCE_ID: Final = "since"
FORMAT: Final = 1

_DAY: Final = "_id.d"
_MAX_RETENTION: Final = 36_500  # days
_SECONDS_PER_DAY: Final = 86_400
# Error code of the server: an index with the same keys, but with another name or other options, exists.
_OPTIONS_CONFLICT: Final = 85


class UsageHistory:
    """Keeps the requests of each project by quarter of an hour, in a separate collection.

    .. code-block:: python

        history = UsageHistory(db.usage_history, retention_days=90)
        history.ensure_indexes()

    :param collection: a PyMongo collection, or a callable without arguments that returns one, as for
        :class:`~flask_usage_stats.ProjectStore`. Nothing else may be stored in it.
    :param retention_days: for how many days counts are kept, from 1 to 36500. The index of :meth:`ensure_indexes`
        removes older ones.
    :raises ConfigurationError: an argument is invalid; the message says what to pass instead.

    .. versionadded:: 0.1.0
    """

    def __init__(self, collection: CollectionSource, *, retention_days: int = 400) -> None:
        if (
            isinstance(retention_days, bool)
            or not isinstance(retention_days, int)
            or not 1 <= retention_days <= _MAX_RETENTION
        ):
            raise ConfigurationError(
                f"retention_days must be an integer from 1 to {_MAX_RETENTION}, got {short_repr(retention_days)}"
            )
        self._open = build_opener(collection)
        self._retention = timedelta(days=retention_days)

    def ensure_indexes(self) -> str:
        """Create the index that removes old counts, or set its lifetime if *retention_days* has changed.

        :returns: the name of the index.
        :raises ConfigurationError: *collection* did not return a collection.
        :raises StoreError: the database did not respond or rejected a command. The driver's error is the ``__cause__``.
        :raises Exception: whatever *collection* raises.
        """
        collection = self._open()
        seconds = int(self._retention.total_seconds())
        try:
            return _ensure_expiry(collection, seconds)
        except DRIVER_ERRORS as error:
            raise build_store_error("the index could not be created", error) from error


def open_history(history: UsageHistory) -> Collection[Document]:
    """Return the collection of a history.

    :raises ConfigurationError: *collection* did not return a collection.
    :raises Exception: whatever *collection* raises.
    """
    return history._open()  # noqa: SLF001 # the public class has no method for this


def get_retention_start(history: UsageHistory, now: datetime) -> datetime:
    """Return the start of the first day, in UTC, whose counts are not removed yet.

    :param now: the current time, aware.
    """
    moment = (now - get_retention(history)).astimezone(UTC)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(days=1)


def read_since(history: UsageHistory, now: datetime) -> datetime | None:
    """Return the time since which all requests are in the history, aware in UTC; ``None`` if nothing was counted yet.

    It is the later one of the start of counting and the end of what is removed.

    :param now: the current time, aware.
    :raises Exception: as :func:`read_counting_start`.
    """
    start = read_counting_start(history)
    return None if start is None else max(start, get_retention_start(history, now))


def read_counting_start(history: UsageHistory) -> datetime | None:
    """Return the time since which requests are counted, aware in UTC; ``None`` if nothing was counted yet.

    Unlike that of :func:`read_since`, it may be before what is removed: projects keep the time of their latest request.

    :raises StoreError: the database did not respond or rejected the command; or a later version of this package has
        written to the collection.
    :raises Exception: whatever *collection* raises.
    """
    try:
        found = open_history(history).find_one({"_id": SINCE_ID})
    except DRIVER_ERRORS as error:
        raise build_store_error("the history could not be read", error) from error
    if found is None:
        return None
    if not has_known_format(found):
        raise StoreError("the history was written by a later version of flask-usage-stats, which this process needs")
    at = found.get("at")
    if not isinstance(at, datetime):
        raise StoreError("the history could not be read: its document 'since' has no date")
    return at.replace(tzinfo=UTC)


def has_known_format(document: Document) -> bool:
    """Return whether this version can read and write a history.

    :param document: the document ``since``.
    """
    return document.get("format") == FORMAT


def get_retention(history: UsageHistory) -> timedelta:
    """Return for how long counts are kept."""
    return history._retention  # noqa: SLF001 # the public class has no method for this


def find_expiry(collection: Collection[Any]) -> tuple[str, float] | None:
    """Return the name of the index that removes old days, and after how many seconds, if there is one.

    :raises PyMongoError: the indexes cannot be listed; the decoder's errors in ``DRIVER_ERRORS`` are also possible.
    """
    for index in collection.list_indexes():
        if list(index["key"].items()) == [(_DAY, 1)] and "expireAfterSeconds" in index:
            return str(index["name"]), index["expireAfterSeconds"]
    return None


def _ensure_expiry(collection: Collection[Any], seconds: int) -> str:
    name = "usage_history_expiry"
    try:
        return collection.create_index([(_DAY, 1)], name=name, expireAfterSeconds=seconds)
    except OperationFailure as error:
        if error.code != _OPTIONS_CONFLICT:
            raise
    (existing,) = [index["name"] for index in collection.list_indexes() if list(index["key"].items()) == [(_DAY, 1)]]
    options = {"name": existing, "expireAfterSeconds": seconds}
    collection.database.command("collMod", collection.name, index=options)
    return str(existing)
