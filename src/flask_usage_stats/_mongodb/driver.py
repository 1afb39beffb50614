"""Codec options, collation, errors and the time limit of operations with PyMongo."""

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
# Not all errors of the BSON decoder are subclasses of PyMongoError.
DRIVER_ERRORS: Final = (PyMongoError, BSONError, ValueError, OverflowError)

# Error code of the server: the view has another collation.
_VIEW_COLLATION: Final = 167
# Error codes of MongoDB-compatible servers that do not support collations: CommandNotSupported, and 303 of
# Amazon DocumentDB.
COLLATION_REFUSED: Final = frozenset({115, 303})


class TimeLimit:
    """Limits the total time of several calls that use the database. The time between the calls does not count.

    :param seconds: the total time, in seconds, greater than 0.
    """

    def __init__(self, seconds: float) -> None:
        self._remaining = seconds

    def run(self, function: Callable[..., _T], *arguments: object) -> _T:
        """Call a function that uses the database, with the remaining time as PyMongo's timeout.

        :returns: what the function returns.
        :raises StoreError: no time remains; the function is not called.
        :raises Exception: whatever the function raises, including PyMongo's errors after a timeout.
        """
        if self._remaining <= 0:  # PyMongo interprets a timeout of 0 as no timeout
            raise StoreError("the projects could not be read completely within the timeout")
        started = monotonic()
        try:
            with pymongo.timeout(self._remaining):
                return function(*arguments)
        finally:
            self._remaining -= monotonic() - started


def is_collation_refused(error: Exception) -> bool:
    """Return whether an operation failed because the server does not support collations."""
    return isinstance(error, OperationFailure) and error.code in COLLATION_REFUSED


def is_view_collation_refused(error: Exception) -> bool:
    """Return whether an operation failed because the view has another collation."""
    return isinstance(error, OperationFailure) and error.code == _VIEW_COLLATION


def call_with_collation(function: Callable[[Collation | None], _T]) -> _T:
    """Call a function with the simple collation, or again with ``None`` if the server does not support collations.

    :returns: what the function returns.
    :raises Exception: whatever the function raises, except for an unsupported collation in the first call.
    """
    try:
        return function(SIMPLE_COLLATION)
    except OperationFailure as error:
        if not is_collation_refused(error):
            raise
        return function(None)


def build_store_error(what: str, error: Exception) -> StoreError:
    """Build the error for a failed operation. It has the driver's message only if that cannot contain stored values.

    For a view with a collation, it says what to do.

    :param what: what failed, as the beginning of the message.
    :param error: the error of the driver; the caller sets it as the ``__cause__``.
    """
    if is_view_collation_refused(error):
        return StoreError(
            "the view has a collation, so owners cannot be compared exactly: pass the underlying collection,"
            " or recreate the view without a collation"
        )
    message = f"{what}: {type(error).__name__}"
    if isinstance(error, OperationFailure):
        return StoreError(f"{message} {error.code} {(error.details or {}).get('codeName', '')}".rstrip())
    if isinstance(error, ConnectionFailure | InvalidOperation):
        return StoreError(message, short_repr(str(error), 300))
    return StoreError(message)


def set_tolerant_codec(collection: Collection[Any]) -> Collection[Document]:
    """Return the collection with codec options that decode invalid UTF-8 and every date, and its UUID option."""
    try:
        return collection.with_options(codec_options=_codec_options(collection.codec_options.uuid_representation))
    except NotImplementedError:  # mongomock, which does not support these options
        return collection


@lru_cache
def _codec_options(uuid_representation: int) -> CodecOptions[Document]:
    return CodecOptions(
        uuid_representation=uuid_representation or UuidRepresentation.STANDARD,
        # Invalid bytes become lone surrogates, so that such strings are recognized, replaced and logged later.
        unicode_decode_error_handler="surrogateescape",
        # Dates outside the years 1 to 9999 become DatetimeMS.
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    )
