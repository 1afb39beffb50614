"""Batches that the projects have and the history has not yet. They wait without holding up the projects."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, time

from .._core.project_ids import ProjectId
from .._mongodb.history_updates import HistoryWriter
from .._mongodb.writer_entries import MAX_DOUBT
from .ledger import Batch


@dataclass(slots=True)
class _Part:
    """The part of a batch that the projects have."""

    #: The requests of each project by quarter of an hour since 1970.
    counts: Mapping[tuple[ProjectId, int], int]
    #: When it was added, in seconds of the monotonic clock.
    added: float
    #: Whether it may have been written.
    is_in_doubt: bool = False

    @property
    def requests(self) -> int:
        return sum(self.counts.values())


class HistoryQueue:
    """Writes batches to a history in their order. It must not be used by two threads at the same time.

    :param max_pairs: the maximum number of pairs of project and quarter of an hour that wait.
    """

    def __init__(self, writer: HistoryWriter, max_pairs: int) -> None:
        self.writer, self._max_pairs = writer, max_pairs
        self._parts: dict[Batch, _Part] = {}
        self._lost: Counter[str] = Counter()

    @property
    def requests(self) -> int:
        """The number of requests that wait."""
        return sum(part.requests for part in self._parts.values())

    def add(self, batch: Batch, dropped: Mapping[ProjectId, str]) -> None:
        """Let a batch wait, unless it does so already. If too many pairs wait, the oldest batches are lost.

        :param dropped: its projects that were not incremented.
        """
        counts = {pair: n for pair, n in batch.quarters.items() if pair[0] not in dropped}
        if counts:
            self._parts.setdefault(batch, _Part(counts, monotonic()))
        excess = sum(len(part.counts) for part in self._parts.values()) - self._max_pairs
        for other, part in list(self._parts.items())[:-1]:
            if excess > 0:
                excess -= len(part.counts)
                self._lose(other, "full")

    def write(self, timeout: float, deadline: float | None) -> None:
        """Write the batches until the deadline.

        :param timeout: the time limit for each batch, in seconds.
        :param deadline: when to stop, in seconds of the monotonic clock; ``None`` for never.
        :raises Exception: as :meth:`.HistoryWriter.write`; the batch will be sent again.
        """
        for batch, part in list(self._parts.items()):
            remaining = timeout if deadline is None else min(timeout, deadline - monotonic())
            if remaining <= 0:
                return
            # Later, entries could have been removed, and a batch that was written would not be recognized.
            if part.is_in_doubt and max(monotonic() - part.added, time() - batch.number / 1000) > MAX_DOUBT:
                self._lose(batch, "in_doubt")
                continue
            was_in_doubt, part.is_in_doubt = part.is_in_doubt, True
            try:
                lost = self.writer.write(part.counts, batch.number, remaining, batch.oldest)
            except Exception:
                part.is_in_doubt = was_in_doubt or self.writer.is_in_doubt
                raise
            del self._parts[batch]
            self._lost += lost

    def pop_lost(self) -> Counter[str]:
        """Return how many requests the history lacks, by cause, since the last call."""
        lost, self._lost = self._lost, Counter()
        return lost

    def _lose(self, batch: Batch, cause: str) -> None:
        self._lost[cause] += self._parts.pop(batch).requests
