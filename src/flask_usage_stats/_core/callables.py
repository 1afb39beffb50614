"""Inspection of the callables that an application passes."""

from inspect import iscoroutinefunction


def is_coroutine_callable(function: object) -> bool:
    """Return whether calling an object returns a coroutine."""
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 # not whether it is callable, but how
