"""Writing what is pending: batch after batch, each exactly once, first to the projects and then to the history."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, time

from .._core.project_ids import ProjectId
from .._mongodb.counters import CountWriter
from .._mongodb.writer_entries import MAX_DOUBT
from .history_queue import HistoryQueue
from .ledger import Batch, Ledger
from .messages import log_dropped, log_failure, log_missing


@dataclass(slots=True, eq=False)
class _Attempt:
    """A batch that was sent. Its result is in doubt as long as the batch is in the ledger."""

    batch: Batch
    #: When it was sent for the first time, in seconds of the monotonic clock.
    started: float
    #: Why projects were not incremented; ``None`` until it is known which were.
    dropped: Mapping[ProjectId, str] | None = None


class Flusher:
    """Writes the batches of a ledger, and logs what failed or was dropped. Each process must have its own.

    :param timeout: the time limit for writing a batch, in seconds.
    :param recorded_paths: the paths that are written, for the log.
    :param has_default_ids: whether strings are converted to ObjectIds by their look, for the log.
    """

    def __init__(  # noqa: PLR0913 # the parts of a process, and what the log says
        self,
        ledger: Ledger,
        writer: CountWriter,
        history: HistoryQueue | None,
        timeout: float,
        *,
        recorded_paths: Sequence[str],
        has_default_ids: bool,
    ) -> None:
        self.ledger, self.writer, self.history = ledger, writer, history
        #: The number of flushes that failed.
        self.failures = 0
        self._timeout, self._recorded_paths, self._has_default_ids = timeout, recorded_paths, has_default_ids
        # Held while batches are written.
        self._writing = threading.Lock()
        # The batch that was sent last.
        self._attempt: _Attempt | None = None
        # The dropped requests that were logged.
        self._logged: Counter[str] = Counter()
        # Why the history could not be written in this flush.
        self._history_error: Exception | None = None

    def flush(self, deadline: float | None = None) -> bool:
        """Write what is pending, and log what failed or was dropped. Return whether nothing is pending.

        :param deadline: when to stop, in seconds of the monotonic clock; ``None`` for never.
        """
        if not self._writing.acquire(timeout=-1 if deadline is None else max(0.0, deadline - monotonic())):
            return False
        error: Exception | None = None
        try:
            self._write_batches(deadline)
            self._write_history(deadline)
        except Exception as caught:  # noqa: BLE001 # of the driver or the store's callable: the thread must survive
            error = caught
        finally:
            totals = self.ledger.measure()
            dropped, self._logged = Counter(totals.dropped) - self._logged, Counter(totals.dropped)
            waiting = 0 if self.history is None else self.history.requests
            lost = Counter() if self.history is None else self.history.pop_lost()
            history_error, self._history_error = self._history_error, None
            if error is not None or history_error is not None:
                self.failures += 1
            self._writing.release()
        if error is not None:
            log_failure("counts of %d requests could not be written and stay pending: %s", totals.pending, error)
        if history_error is not None:
            log_failure("%d counted requests could not be added to the history and wait: %s", waiting, history_error)
        if dropped:
            log_dropped(dropped, self._recorded_paths, has_default_ids=self._has_default_ids)
        if lost:
            log_missing(lost)
        return totals.pending == waiting == 0

    def _write_batches(self, deadline: float | None) -> None:
        """Write the batch that is in doubt, and then everything that waits."""
        batches = self.ledger.get_batches()
        if batches and self._is_in_doubt(batches[0]):
            self._write(batches[0], deadline)
            batches = self.ledger.get_batches()
        try:
            while batches and (deadline is None or monotonic() < deadline):
                self._write(batches[0], deadline)
                batches.pop(0)
        finally:
            # A batch in doubt must be sent again with its number; any other gets a new one.
            self.ledger.put_back([batch for batch in batches if not self._is_in_doubt(batch)])

    def _write(self, batch: Batch, deadline: float | None) -> None:
        """Write a batch to the projects, and then to the history.

        An exception of a signal handler can interrupt this at any point, so the batch is in doubt before it is sent.
        """
        is_repeated = self._is_in_doubt(batch)
        if self._attempt is None or not is_repeated:
            self._attempt = _Attempt(batch, monotonic())
        attempt = self._attempt
        # Later, entries could have been removed, and a batch that was applied would not be recognized.
        is_too_late = is_repeated and max(monotonic() - attempt.started, time() - batch.number / 1000) > MAX_DOUBT
        timeout = self._timeout if deadline is None else min(self._timeout, max(0.001, deadline - monotonic()))
        if attempt.dropped is None and is_too_late:
            attempt.dropped = dict.fromkeys(batch.increments, "in_doubt")
        elif attempt.dropped is None:
            try:
                attempt.dropped = self.writer.write(batch.increments, batch.number, timeout, is_repeated=is_repeated)
            except Exception:
                if not is_repeated and not self.writer.is_in_doubt:
                    self._attempt = None
                raise
        if self.history is not None:
            self.history.add(batch, attempt.dropped)
        self.ledger.settle(batch, attempt.dropped)
        self._write_history(deadline)

    def _write_history(self, deadline: float | None) -> None:
        """Write what the history lacks, unless that has failed in this flush: the projects must not wait for it."""
        if self.history is None or self._history_error is not None:
            return
        try:
            self.history.write(self._timeout, deadline)
        except Exception as error:  # noqa: BLE001 # of the driver or the history's callable
            self._history_error = error

    def _is_in_doubt(self, batch: Batch) -> bool:
        """Return whether a batch of the ledger may have been applied."""
        return self._attempt is not None and self._attempt.batch is batch
