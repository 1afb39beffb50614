"""The collection that an application passes, or the function that returns it."""

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, TypeAlias, TypeGuard

from pymongo.collection import Collection

from .._core.callables import close_coroutine, find_signature_problem, is_coroutine_callable
from .._core.text import short_repr
from ..errors import ConfigurationError
from .driver import set_tolerant_codec
from .mapping import Document

#: A PyMongo collection, or a callable without arguments that returns one and is called once per read.
#:
#: .. versionadded:: 0.1.0
CollectionSource: TypeAlias = Collection[Any] | Callable[[], Collection[Any]]


def build_opener(source: CollectionSource) -> Callable[[], Collection[Document]]:
    """Return a function that returns the collection, with codec options that decode every document.

    The function raises a :class:`~flask_usage_stats.ConfigurationError` if a callable *source* does not return a
    collection, and whatever *source* raises.

    :raises ConfigurationError: *source* is neither a collection nor a callable that can return one.
    """
    source = _validate_source(source)
    if not _is_collection(source):
        return lambda: set_tolerant_codec(_validate_collection(source()))
    # `with_options` takes as long as Flask's routing, so call it only once if a collection was passed.
    collection = set_tolerant_codec(source)
    return lambda: collection


def _is_collection(source: CollectionSource) -> TypeGuard[Collection[Any]]:
    # Test the class: an instance of Database or Collection has every attribute, and both are callable.
    return all(hasattr(source.__class__, name) for name in ("find_one", "with_options"))


def _validate_source(source: CollectionSource) -> CollectionSource:
    kind = source.__class__
    if any(hasattr(kind, name) for name in ("find", "get_collection", "get_database")) or not callable(source):
        return _validate_collection(source)
    if is_coroutine_callable(source):
        raise ConfigurationError(
            "collection must not be async: it must return a collection of a synchronous MongoClient"
        )
    problem = find_signature_problem(source)
    if problem is not None:
        raise ConfigurationError(f"collection is called without arguments, but {short_repr(source)}: {problem}")
    return source


def _validate_collection(collection: Any) -> Collection[Any]:  # noqa: ANN401 # whatever the application passes
    kind = collection.__class__
    if hasattr(kind, "get_collection"):
        raise ConfigurationError(
            f"collection must be a PyMongo collection, got the database {collection.name!r}: pass `db.projects`"
        )
    if hasattr(kind, "get_database"):
        raise ConfigurationError(
            "collection must be a PyMongo collection, got a client: pass `client.platform.projects`"
        )
    if not _is_collection(collection):
        close_coroutine(collection)
        raise ConfigurationError(
            "collection must be a PyMongo collection such as `db.projects`, or a callable that returns one;"
            f" got {kind.__name__}"
        )
    if iscoroutinefunction(kind.find_one) or kind.__module__.startswith("motor"):
        raise ConfigurationError(
            f"collection must be a collection of a synchronous MongoClient, got the asynchronous {kind.__name__}:"
            " create a pymongo.MongoClient for the blueprint"
        )
    return collection
