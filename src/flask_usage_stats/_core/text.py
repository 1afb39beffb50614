"""Text for error messages and log lines."""


def short_repr(value: object, limit: int = 80) -> str:
    """Return a value's ``repr``, truncated to *limit* characters; ``repr`` escapes non-printable characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def escape(text: str, limit: int = 500) -> str:
    """Truncate text to *limit* characters, then escape non-printable ones, so that it fits on one log line.

    Escapes make the result longer than *limit*.
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:limit])
