"""Inspection of the callables that an application passes."""

from inspect import iscoroutinefunction


def is_coroutine_callable(function: object) -> bool:
    """Return whether calling an object returns a coroutine."""
    method = getattr(function, "__call__", None)  # noqa: B004 # to inspect it, not to find out whether it exists
    return iscoroutinefunction(function) or iscoroutinefunction(method)
