"""Text for error messages and log lines."""


def short_repr(value: object, limit: int = 80) -> str:
    """Return a value's ``repr``, which escapes control characters, truncated."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def escape(text: str, limit: int = 500) -> str:
    """Escape non-printable characters and truncate, so that the text fits on one log line."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:limit])
