"""Trying again while the database does not respond."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import Final, TypeVar

from ..errors import StoreError
from .ingest_state import IngestError
from .messages import log_failure

_T = TypeVar("_T")

_INTERVALS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # seconds
_POLL_INTERVAL: Final = 0.25  # seconds


class Retrier:
    """Calls functions until the database responds, with growing intervals.

    :param is_endless: whether to try again without end, and not only six times, with half a minute of waiting in all.
    :param should_stop: called often; once it returns true, nothing is tried again.
    """

    def __init__(self, *, is_endless: bool, should_stop: Callable[[], bool]) -> None:
        self._is_endless, self._should_stop = is_endless, should_stop

    def call(self, function: Callable[[], _T], requests: int, *, can_repeat: bool = True) -> _T:
        """Call a function, and return what it returns.

        :param requests: how many requests wait, for the log.
        :param can_repeat: whether the next run has them as well, for the error.
        :raises IngestError: the database has not responded for too long, or nothing is tried again.
        :raises Exception: whatever the function raises, except for a :exc:`StoreError`.
        """
        intervals = iter(_INTERVALS)
        while True:
            try:
                return function()
            except StoreError as error:
                interval = next(intervals, _INTERVALS[-1] if self._is_endless else None)
                if interval is None or self._should_stop():
                    outcome = "nothing is lost: the next run goes on here"
                    if not can_repeat:
                        outcome = f"{requests} requests that were read from the pipe are lost"
                    raise IngestError(f"{error}; {outcome}") from error
                log_failure("counts of %d requests could not be written and wait: %s", requests, error)
            self.wait(interval)

    def wait(self, seconds: float = _POLL_INTERVAL) -> None:
        """Wait, but not after the end of the ingest."""
        end = monotonic() + seconds
        while monotonic() < end and not self._should_stop():
            sleep(min(_POLL_INTERVAL, seconds))
