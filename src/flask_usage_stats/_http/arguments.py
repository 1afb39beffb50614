"""Validation of the arguments of blueprints."""

from collections.abc import Callable

from .._core.callables import find_signature_problem, is_coroutine_callable
from .._core.text import short_repr
from ..errors import ConfigurationError


def validate_callback(name: str, callback: Callable[[], object], description: str) -> None:
    """Raise an error unless a function can be called without arguments during a request.

    :param name: the name of the argument.
    :param description: what the argument must be.
    :raises ConfigurationError: the function is not callable, requires arguments or is async.
    """
    if not callable(callback):
        raise ConfigurationError(f"{name} must be {description}; got {short_repr(callback)}")
    if is_coroutine_callable(callback):
        raise ConfigurationError(f"{name} must not be async: wrap it with asgiref.sync.async_to_sync")
    problem = find_signature_problem(callback)
    if problem is not None:
        raise ConfigurationError(
            f"{name} is called without arguments, but {short_repr(callback)} requires some ({problem}):"
            " read what it requires from flask.request"
        )


def validate_url_prefix(url_prefix: str) -> None:
    """Raise an error unless a prefix can precede the path of a route.

    :raises ConfigurationError: the prefix is neither ``""`` nor a string that begins with a slash.
    """
    if not isinstance(url_prefix, str) or url_prefix[:1] not in ("", "/"):
        raise ConfigurationError(
            f'url_prefix must be "" or begin with a slash, such as "/api"; got {short_repr(url_prefix)}'
        )
