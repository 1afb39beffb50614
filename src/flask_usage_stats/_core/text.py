"""Text for error messages and log lines."""

from inspect import iscoroutinefunction


def short_repr(value: object, limit: int = 80) -> str:
    """Show a value by its ``repr``, which escapes control characters, cut short."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def escape(text: str, limit: int = 500) -> str:
    """Escape what is no printable character, so that a line of a log stays one line, and cut the text short."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:limit])


def is_coroutine_callable(function: object) -> bool:
    """Tell whether a call gives a coroutine rather than the value."""
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 # not asked whether, but how
