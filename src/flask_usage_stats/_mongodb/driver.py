"""How PyMongo is used: codec options, collation, errors and the time limit."""

from collections.abc import Callable
from functools import lru_cache
from time import monotonic
from typing import Any, Final, TypeVar

import pymongo
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from pymongo.collation import Collation
from pymongo.collection import Collection
from pymongo.errors import ConnectionFailure, InvalidOperation, OperationFailure, PyMongoError

from .._core.text import short_repr
from ..errors import StoreError
from .mapping import Document

_T = TypeVar("_T")

SIMPLE_COLLATION: Final = Collation("simple")
# The decoder raises errors that are not subclasses of PyMongoError.
DRIVER_ERRORS: Final = (PyMongoError, BSONError, ValueError, OverflowError)

# Of MongoDB-compatible servers without collations: CommandNotSupported and, from Amazon DocumentDB, 303.
_COLLATION_REFUSED: Final = (115, 303)


class TimeLimit:
    """Seconds that the database may take, added over all calls. The time between the calls does not count.

    :param seconds: greater than 0.
    """

    def __init__(self, seconds: float) -> None:
        self._remaining = seconds

    def run(self, function: Callable[..., _T], *arguments: object) -> _T:
        """Call a function that uses the database.

        :raises StoreError: no time is left.
        :raises Exception: whatever the function raises.
        """
        if self._remaining <= 0:  # PyMongo takes a timeout of 0 for no timeout
            raise StoreError("the projects could not be read completely within the timeout")
        started = monotonic()
        try:
            with pymongo.timeout(self._remaining):
                return function(*arguments)
        finally:
            self._remaining -= monotonic() - started


def is_collation_refused(error: Exception) -> bool:
    """Return whether the server does not support collations at all."""
    return isinstance(error, OperationFailure) and error.code in _COLLATION_REFUSED


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
