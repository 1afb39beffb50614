"""The counts of one process: those that wait, those in batches that are being written, and what became of others."""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from typing import Final, NamedTuple

from .._core.owners import OwnerType
from .._core.project_ids import ProjectId, convert_project_id
from .._mongodb.count_updates import Increment
from .._mongodb.counters import BATCH_SIZE

_MAX_QUEUE: Final = 100_000  # calls
_QUARTER: Final = 900  # seconds
_MAX_COUNT: Final = 2**55  # of one pair, so that the sum of 256 quarters is less than 2**63, as BSON requires


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What is written to up to 1,000 projects at once."""

    #: Milliseconds since 1970, greater than the number of every earlier batch.
    number: int
    #: The time of the oldest request, in seconds since 1970.
    oldest: float
    increments: Mapping[ProjectId, Increment]
    #: The requests of each project by quarter of an hour since 1970.
    quarters: Mapping[tuple[ProjectId, int], int]

    @property
    def requests(self) -> int:
        """The number of requests."""
        return sum(increment.requests for increment in self.increments.values())


class Totals(NamedTuple):
    """The numbers of requests in a ledger, and the time of the oldest pending one in seconds since 1970."""

    written: int
    pending: int
    dropped: dict[str, int]
    oldest: float | None


class Ledger:
    """Accounts for every recorded request of a process.

    :meth:`add` only appends to a queue, so it can be called from any thread and from a signal handler. The queue is
    merged by the other methods, and by :meth:`add` if it is long.

    :param max_pairs: the maximum number of different pairs of project and quarter of an hour.
    :param id_type: as for :func:`~flask_usage_stats._core.project_ids.convert_project_id`.
    """

    def __init__(self, max_pairs: int, id_type: OwnerType | None) -> None:
        self._max_pairs, self._id_type = max_pairs, id_type
        self._queue: deque[tuple[ProjectId, int, float]] = deque()
        self._lock = threading.Lock()
        self._counts: dict[tuple[ProjectId, int], int] = {}
        self._latest: dict[ProjectId, float] = {}
        self._oldest: float | None = None
        self._batches: list[Batch] = []
        self._number = 0
        self._written = 0
        self._dropped: Counter[str] = Counter()

    def add(self, project: ProjectId, requests: int) -> None:
        """Add requests of a project. Without a project, they are dropped as invalid."""
        self._queue.append((project, requests, time()))
        # In a signal handler, this thread may hold the lock already.
        if len(self._queue) > _MAX_QUEUE and self._lock.acquire(blocking=False):
            try:
                self._merge()
            finally:
                self._lock.release()

    def measure(self) -> Totals:
        """Return the current totals."""
        with self._lock:
            self._merge()
            pending = sum(self._counts.values()) + sum(batch.requests for batch in self._batches)
            times = [batch.oldest for batch in self._batches] + ([] if self._oldest is None else [self._oldest])
            return Totals(self._written, pending, dict(self._dropped), min(times, default=None))

    def get_batches(self) -> list[Batch]:
        """Return the batches that are to be written. If there are none, make them of everything that waits."""
        with self._lock:
            if not self._batches:
                self._merge()
                batches = self._build_batches()
                # One statement without a call: no exception of a signal handler can occur in the middle of it.
                self._batches, self._counts, self._latest, self._oldest = batches, {}, {}, None
            return list(self._batches)

    def settle(self, batch: Batch, dropped: Mapping[ProjectId, str]) -> None:
        """Account for a batch that was written, except for some projects.

        :param dropped: the causes by project.
        """
        lost: Counter[str] = Counter()
        for project, cause in dropped.items():
            lost[cause] += batch.increments[project].requests
        with self._lock:
            self._batches.remove(batch)
            self._written += batch.requests - lost.total()
            self._dropped += lost

    def put_back(self, batches: Iterable[Batch]) -> None:
        """Let batches that were not sent wait again, since their number may be too old when they can be.

        If there are more pairs than may wait, those that were recorded meanwhile are dropped.
        """
        with self._lock:
            newer, self._counts = self._counts, {}
            for batch in batches:
                self._batches.remove(batch)
                for (project, quarter), requests in batch.quarters.items():
                    moment = batch.increments[project].latest.replace(tzinfo=UTC).timestamp()
                    self._count(project, quarter, requests, moment)
                self._oldest = min(self._oldest or batch.oldest, batch.oldest)
            for (project, quarter), requests in newer.items():
                self._count(project, quarter, requests, self._latest[project])

    def _build_batches(self) -> list[Batch]:
        counts, latest, oldest = self._counts, self._latest, self._oldest
        if not counts or oldest is None:
            return []
        self._number = max(self._number + 1, int(time() * 1000))
        projects: defaultdict[ProjectId, dict[int, int]] = defaultdict(dict)
        times: defaultdict[ProjectId, float] = defaultdict(float)
        for (recorded, quarter), requests in counts.items():
            project = convert_project_id(recorded, self._id_type)
            projects[project][quarter] = projects[project].get(quarter, 0) + requests
            times[project] = max(times[project], latest[recorded])
        items = list(projects.items())
        return [
            self._build_batch(dict(items[start : start + BATCH_SIZE]), times, oldest)
            for start in range(0, len(items), BATCH_SIZE)
        ]

    def _build_batch(
        self, projects: Mapping[ProjectId, Mapping[int, int]], times: Mapping[ProjectId, float], oldest: float
    ) -> Batch:
        return Batch(
            number=self._number,
            oldest=oldest,
            increments={
                project: Increment(sum(quarters.values()), _to_datetime(times[project]))
                for project, quarters in projects.items()
            },
            quarters={
                (project, quarter): requests
                for project, quarters in projects.items()
                for quarter, requests in quarters.items()
            },
        )

    def _merge(self) -> None:
        """Move the queue to the counts. The caller must hold the lock."""
        pop = self._queue.popleft
        for _ in range(len(self._queue)):  # calls that are added meanwhile wait for the next time
            project, requests, moment = pop()
            if project is None:
                self._dropped["invalid"] += requests
            else:
                self._count(project, int(moment // _QUARTER), requests, moment)

    def _count(self, project: ProjectId, quarter: int, requests: int, moment: float) -> None:
        counts, pair = self._counts, (project, quarter)
        total = counts.get(pair, 0) + requests
        if total == requests and len(counts) >= self._max_pairs:
            self._dropped["full"] += requests
        elif total > _MAX_COUNT:
            self._dropped["uncountable"] += requests
        else:
            counts[pair] = total
            self._latest[project] = max(self._latest.get(project, 0.0), moment)
            self._oldest = min(self._oldest or moment, moment)


def _to_datetime(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)
