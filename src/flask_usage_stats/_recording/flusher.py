"""Writing what is pending: batch after batch, each exactly once, first to the projects and then to the history."""

import logging
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, time
from typing import Final

from .._core.project_ids import ProjectId
from .._core.text import escape
from .._mongodb.counters import CountWriter
from .._mongodb.history_updates import HistoryWriter
from .._mongodb.writer_entries import MAX_DOUBT
from ..errors import UsageStatsError
from .ledger import Batch, Ledger

_logger: Final = logging.getLogger("flask_usage_stats")


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
        history_writer: HistoryWriter | None,
        timeout: float,
        *,
        recorded_paths: Sequence[str],
        has_default_ids: bool,
    ) -> None:
        self.ledger, self.writer, self.history_writer = ledger, writer, history_writer
        #: The number of flushes that failed.
        self.failures = 0
        self._timeout, self._recorded_paths, self._has_default_ids = timeout, recorded_paths, has_default_ids
        # Held while batches are written.
        self._writing = threading.Lock()
        # The batch that was sent last.
        self._attempt: _Attempt | None = None
        # The dropped requests that were logged.
        self._logged: Counter[str] = Counter()
        # The requests that are missing in the history, since the last log message.
        self._lost: Counter[str] = Counter()

    def flush(self, deadline: float | None = None) -> bool:
        """Write what is pending, and log what failed or was dropped. Return whether nothing is pending.

        :param deadline: when to stop, in seconds of the monotonic clock; ``None`` for never.
        """
        if not self._writing.acquire(timeout=-1 if deadline is None else max(0.0, deadline - monotonic())):
            return False
        try:
            self._write_batches(deadline)
        except Exception as error:  # noqa: BLE001 # of the driver or the store's callable: the thread must survive
            self.failures += 1
            pending = self.ledger.measure().pending
            _logger.error(  # noqa: TRY400 # a traceback would have many lines and could contain values
                "counts of %d requests could not be written and stay pending: %s", pending, _describe(error)
            )
        finally:
            totals = self.ledger.measure()
            dropped, self._logged = Counter(totals.dropped) - self._logged, Counter(totals.dropped)
            lost, self._lost = self._lost, Counter()
            self._writing.release()
        if dropped:
            self._log_dropped(dropped)
        if lost:
            causes = ", ".join(f"{cause} {requests}" for cause, requests in sorted(lost.items()))
            _logger.error("the history lacks %d counted requests: %s", lost.total(), causes)
        return totals.pending == 0

    def _log_dropped(self, dropped: Counter[str]) -> None:
        remedies = {"refused": f"the collection's validator must allow {', '.join(self._recorded_paths)}"}
        if self._has_default_ids:
            remedies["unknown"] = "ids with 24 hexadecimal digits are ObjectIds, unless id_type=str is passed"
        causes = [
            f"{cause} {requests}" + (f" ({remedies[cause]})" if cause in remedies else "")
            for cause, requests in sorted(dropped.items())
        ]
        level = logging.ERROR if "refused" in dropped else logging.WARNING
        _logger.log(level, "counts of %d requests were dropped: %s", dropped.total(), ", ".join(causes))

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
        if self.history_writer is not None:
            counts = {pair: n for pair, n in batch.quarters.items() if pair[0] not in attempt.dropped}
            if is_too_late:
                self._lost["in_doubt"] += sum(counts.values())
            elif counts:
                self._lost += self.history_writer.write(counts, batch.number, timeout, batch.oldest)
        self.ledger.settle(batch, attempt.dropped)

    def _is_in_doubt(self, batch: Batch) -> bool:
        """Return whether a batch of the ledger may have been applied."""
        return self._attempt is not None and self._attempt.batch is batch


def _describe(error: Exception) -> str:
    return escape(str(error)) if isinstance(error, UsageStatsError) else type(error).__name__
