"""Limits how often something is logged."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from time import monotonic
from typing import Final

_INTERVAL: Final = 3600  # seconds
_MAX_KEYS: Final = 1000


class HourlyLimit:
    """Allows something once an hour for each of the last 1,000 keys, in one process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._times: OrderedDict[Hashable, float] = OrderedDict()

    def allows(self, key: Hashable = None) -> bool:
        """Return whether nothing was allowed for the key in the last hour."""
        now = monotonic()
        with self._lock:
            last = self._times.get(key)
            if last is not None and now - last < _INTERVAL:
                return False
            self._times[key] = now
            self._times.move_to_end(key)
            while len(self._times) > _MAX_KEYS:
                self._times.popitem(last=False)
            return True
