"""The current time."""

from datetime import UTC, datetime, timedelta

from flask_usage_stats._core.clock import get_now


def test_the_time_is_aware():
    """The time is that of the system, aware in UTC."""
    assert get_now().tzinfo is UTC
    assert abs(get_now() - datetime.now(UTC)) < timedelta(seconds=30)
