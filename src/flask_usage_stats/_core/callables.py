"""Inspection of the callables that an application passes."""

from inspect import isasyncgenfunction, iscoroutinefunction


def is_coroutine_callable(function: object) -> bool:
    """Return whether calling an object returns a coroutine or an asynchronous generator."""
    method = getattr(function, "__call__", None)  # noqa: B004 # to inspect it, not to find out whether it exists
    return any(is_async(each) for is_async in (iscoroutinefunction, isasyncgenfunction) for each in (function, method))
