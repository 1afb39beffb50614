"""Limits how often something is logged."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from time import monotonic
from typing import Final

_INTERVAL: Final = 3600  # seconds
_MAX_KEYS: Final = 1000
_MAX_WAIT: Final = 0.1  # seconds


class HourlyLimit:
    """Allows something once an hour for each of the last 1,000 keys, in one process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._times: OrderedDict[Hashable, float] = OrderedDict()

    def allows(self, key: Hashable = None) -> bool:
        """Return whether nothing was allowed for the key in the last hour."""
        # In a forked process, the lock may be held by a thread that does not exist there.
        if not self._lock.acquire(timeout=_MAX_WAIT):
            return False
        try:
            return self._allow(key, monotonic())
        finally:
            self._lock.release()

    def _allow(self, key: Hashable, now: float) -> bool:
        last = self._times.get(key)
        if last is not None and now - last < _INTERVAL:
            return False
        self._times[key] = now
        self._times.move_to_end(key)
        while len(self._times) > _MAX_KEYS:
            self._times.popitem(last=False)
        return True
