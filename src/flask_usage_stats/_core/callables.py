"""Inspection of the callables that an application passes, and of what they return."""

from collections.abc import Callable, Coroutine
from inspect import isasyncgenfunction, iscoroutinefunction, signature
from typing import Any


def is_coroutine_callable(function: object) -> bool:
    """Return whether calling an object returns a coroutine or an asynchronous generator."""
    if isinstance(function, type):  # calling it returns an instance
        return False
    method = getattr(function, "__call__", None)  # noqa: B004 # to inspect it, not to find out whether it exists
    return any(is_async(each) for is_async in (iscoroutinefunction, isasyncgenfunction) for each in (function, method))


def find_signature_problem(function: Callable[..., object], *arguments: object) -> str | None:
    """Return why a function cannot be called with these arguments, or ``None`` if it can or this is not known."""
    try:
        signature(function).bind(*arguments)
    except TypeError as error:
        return str(error)
    except ValueError:  # some built-in callables have no signature
        pass
    return None


def close_coroutine(value: Any) -> None:  # noqa: ANN401 # whatever a callable returned
    """Close a coroutine that is not awaited, for which Python would write a warning to standard error."""
    if isinstance(value, Coroutine):
        value.close()
