"""Limits how often something is logged."""

import pytest

from flask_usage_stats._core import hourly
from flask_usage_stats._core.hourly import HourlyLimit


@pytest.fixture
def clock(monkeypatch):
    """Return a list whose last element is the current time."""
    times = [0.0]
    monkeypatch.setattr(hourly, "monotonic", lambda: times[-1])
    return times


def test_each_key_is_allowed_once_an_hour(clock):
    """Keys do not affect each other, and a refusal does not extend the hour."""
    limit = HourlyLimit()
    for moment, allowed in ((0.0, True), (1.0, False), (3599.9, False), (3600.0, True), (3601.0, False)):
        clock.append(moment)
        assert limit.allows("ada") is allowed
        assert limit.allows() is allowed
        assert limit.allows(moment) is True


def test_a_thousand_keys_are_remembered(clock):
    """Memory is limited; the key that was allowed longest ago is forgotten."""
    limit = HourlyLimit()
    assert all(limit.allows(number) for number in range(1000))
    clock.append(3600.0)
    assert limit.allows(0)
    assert limit.allows(1000)
    assert not limit.allows(0)
    clock.append(3599.0)
    assert limit.allows(1)
    assert not limit.allows(3)


def test_a_lock_that_is_never_released_blocks_nobody(clock):
    """After a fork, another thread's lock stays locked; then nothing is allowed, but nobody waits."""
    limit = HourlyLimit()
    with limit._lock:
        assert limit.allows() is False
    assert limit.allows() is True
