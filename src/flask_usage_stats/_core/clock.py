"""The current time. Tests replace it."""

from datetime import UTC, datetime


def get_now() -> datetime:
    """Return the current time, aware in UTC."""
    return datetime.now(UTC)
