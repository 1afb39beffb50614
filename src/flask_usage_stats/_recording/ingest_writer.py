"""Writing a batch of an ingest: to the projects, and then to the history."""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from time import time
from typing import Final

from .._core.project_ids import ProjectId
from .._mongodb.count_updates import Increment
from .._mongodb.counters import BATCH_SIZE, CountWriter
from .._mongodb.history import UsageHistory
from .._mongodb.history_updates import HistoryWriter
from .._mongodb.store import ProjectStore, get_mapping
from .._mongodb.writer_entries import MAX_INGEST_DOUBT
from .ingest_state import Count
from .messages import log_dropped, log_missing
from .retrier import Retrier

#: The cause of a request that was added to its project.
COUNTED: Final = "counted"

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 # naive in UTC, as PyMongo stores dates
_QUARTER: Final = 900  # seconds
_TIMEOUT: Final = 5.0  # seconds, for each thousand projects


class IngestWriter:
    """Writes batches, one after the other.

    :param name: the name of the writer's entries.
    """

    def __init__(self, store: ProjectStore, history: UsageHistory | None, name: str, retrier: Retrier) -> None:
        self._writer = CountWriter(store, name)
        self._history_writer = None if history is None else HistoryWriter(history, name, counts_past=True)
        self._recorded_paths = get_mapping(store).recorded_paths
        self._retrier = retrier

    def write(self, counts: Collection[Count], number: int, *, is_repeated: bool) -> Counter[str]:
        """Write a batch, and log what was dropped.

        :param number: as for :meth:`.CountWriter.write`.
        :param is_repeated: whether the batch may have been sent before.
        :returns: what became of the requests: ``COUNTED``, or the cause that :meth:`.CountWriter.write` returns.
        :raises IngestError: the database does not respond; the batch can be sent again.
        :raises Exception: as :meth:`.CountWriter.write`, except for a :exc:`StoreError`.
        """
        increments = _add_up(counts)
        if is_repeated and time() - number / 1000 > MAX_INGEST_DOUBT:
            dropped: dict[ProjectId, str] = dict.fromkeys(increments, "in_doubt")
        else:
            dropped = self._write_counts(increments, number, is_repeated=is_repeated)
            self._write_history([count for count in counts if count.project not in dropped], number)
        causes: Counter[str] = Counter()
        for project, increment in increments.items():
            causes[dropped.get(project, COUNTED)] += increment.requests
        if dropped:
            lost = Counter({cause: requests for cause, requests in causes.items() if cause != COUNTED})
            log_dropped(lost, self._recorded_paths, has_default_ids=False)
        return causes

    def _write_counts(
        self, increments: Mapping[ProjectId, Increment], number: int, *, is_repeated: bool
    ) -> dict[ProjectId, str]:
        dropped: dict[ProjectId, str] = {}
        items = list(increments.items())
        for start in range(0, len(items), BATCH_SIZE):
            batch = dict(items[start : start + BATCH_SIZE])
            write = partial(self._writer.write, batch, number, _TIMEOUT, is_repeated=is_repeated)
            dropped |= self._retrier.call(write, sum(increment.requests for increment in batch.values()))
        return dropped

    def _write_history(self, counts: Collection[Count], number: int) -> None:
        writer = self._history_writer
        if writer is None or not counts:
            return
        requests = {(count.project, count.quarter): count.requests for count in counts}
        oldest = min(count.quarter for count in counts) * float(_QUARTER)
        timeout = _TIMEOUT * (1 + len(counts) // BATCH_SIZE)
        missing = self._retrier.call(lambda: writer.write(requests, number, timeout, oldest), sum(requests.values()))
        if missing:
            log_missing(missing)


def _add_up(counts: Collection[Count]) -> dict[ProjectId, Increment]:
    """Return what is added to each project."""
    increments: dict[ProjectId, Increment] = {}
    for count in counts:
        requests, latest = increments.get(count.project, (0, _EPOCH))
        moment = _EPOCH + timedelta(milliseconds=count.latest)
        increments[count.project] = Increment(requests + count.requests, max(latest, moment))
    return increments
