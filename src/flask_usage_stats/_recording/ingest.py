"""Counting the requests in an access log, each exactly once whatever happens."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic, sleep, time
from typing import Final, TypeVar

from .._core.hosts import normalize_host
from .._core.project_ids import ProjectId
from .._mongodb.count_updates import Increment
from .._mongodb.counters import BATCH_SIZE, CountWriter
from .._mongodb.history import UsageHistory
from .._mongodb.history_updates import HistoryWriter
from .._mongodb.host_lookup import HostLookup
from .._mongodb.store import ProjectStore, get_mapping
from .._mongodb.writer_entries import MAX_INGEST_DOUBT
from ..errors import StoreError
from .access_log import FORMATS, UnreadableLineError, parse_line
from .ingest_state import Count, IngestError, load_state, save_state
from .log_reader import LogReader, open_log
from .messages import log_dropped, log_failure, log_missing

_T = TypeVar("_T")

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 # naive in UTC, as PyMongo stores dates
_QUARTER: Final = 900  # seconds
_DAY: Final = 86_400  # seconds
_TIMEOUT: Final = 5.0  # seconds, for each thousand projects
_INTERVAL: Final = 5.0  # seconds
_POLL_INTERVAL: Final = 0.25  # seconds
_MAX_LINES: Final = 200_000  # of a batch
_MAX_PAIRS: Final = 50_000  # of a batch: pairs of host and quarter of an hour
_MAX_HOSTS: Final = 10_000  # unknown ones whose requests are counted
_RETRY_INTERVALS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # seconds


@dataclass(slots=True)
class Tally:
    """What became of the lines."""

    counted: int = 0
    unknown: int = 0
    unreadable: int = 0
    skipped: int = 0
    #: The requests that could not be added to their project.
    dropped: int = 0
    #: The requests of unknown hosts; rare ones are forgotten if there are too many.
    unknown_hosts: Counter[str] = field(default_factory=Counter)

    def add_unknown(self, host: str, requests: int) -> None:
        """Count requests of an unknown host."""
        self.unknown += requests
        self.unknown_hosts[host] += requests
        if len(self.unknown_hosts) > _MAX_HOSTS:
            self.unknown_hosts = Counter(dict(self.unknown_hosts.most_common(_MAX_HOSTS // 2)))


class Ingest:
    """Reads a log and counts its requests.

    A batch is stored in the state before it is sent, and sent until it was written; only then is the next one stored.

    :param log: the path of the log.
    :param state: the path of the state, which this process must have locked.
    :param host_field: the path of the host, or of an array of hosts, in the documents of projects.
    :param format_name: one of ``FORMATS``.
    :param is_followed: whether to wait for more lines at the end of the log.
    :param should_stop: called often; once it returns true, what was read is written, and the ingest ends.
    :param warn: called with a message if lines may be missing.
    :raises IngestError: the state is damaged.
    """

    def __init__(  # noqa: PLR0913 # each parameter is an option of the command
        self,
        store: ProjectStore,
        history: UsageHistory | None,
        *,
        log: Path,
        state: Path,
        host_field: str,
        format_name: str | None,
        is_followed: bool,
        should_stop: Callable[[], bool],
        warn: Callable[[str], None],
    ) -> None:
        #: What became of the lines so far.
        self.tally = Tally()
        self._log, self._state_path, self._is_followed = log, state, is_followed
        self._should_stop, self._warn = should_stop, warn
        self._state = load_state(state)
        self._lookup = HostLookup(store, host_field, _TIMEOUT)
        self._find_parts = FORMATS[format_name]
        self._writer = CountWriter(store, self._state.writer)
        self._history_writer = None if history is None else HistoryWriter(history, self._state.writer, counts_past=True)
        self._recorded_paths = get_mapping(store).recorded_paths
        self._lines = _Lines()

    def run(self, report: Callable[[float | None], None]) -> None:
        """Read the log to its end, or until the ingest is stopped.

        :param report: called after each block of lines with the progress in the log, from 0 to 1; ``None`` if that is
            not known.
        :raises IngestError: the log or the state cannot be read or written, or the database does not respond; the
            next run goes on where this one ended.
        :raises Exception: as :meth:`.CountWriter.write`, except for a :exc:`StoreError` that could be temporary.
        """
        if self._state.counts:
            self._write_batch(is_repeated=True)
        reader = open_log(self._log, self._state.end, is_followed=self._is_followed, warn=self._warn)
        try:
            self._read_all(reader, report)
        finally:
            self.tally.unreadable += reader.unreadable
            reader.close()

    def _read_all(self, reader: LogReader, report: Callable[[float | None], None]) -> None:
        is_at_end = False
        while not is_at_end and not self._should_stop():
            data = reader.read()
            self._read_lines(data or b"")
            is_at_end = data is None and not self._is_followed
            if self._lines.is_due():
                self._commit(reader)
            report(reader.progress)
            if data is None and not is_at_end:
                sleep(_POLL_INTERVAL)
        self._commit(reader)

    def _read_lines(self, data: bytes) -> None:
        lines, tally, find_parts = self._lines, self.tally, self._find_parts
        latest = time() + _DAY
        for line in data.splitlines():
            try:
                request = parse_line(line, find_parts, latest)
            except UnreadableLineError:
                tally.unreadable += 1
                continue
            if request is None:
                tally.skipped += 1
            else:
                lines.add(request.host, request.time)

    def _commit(self, reader: LogReader) -> None:
        """Store what was read, and write it."""
        lines, self._lines = self._lines, _Lines()
        hosts = {host: normalize_host(host) for host, _ in lines.counts}
        projects = self._try(lambda: self._lookup.find(host for host in hosts.values() if host is not None))
        counts: dict[tuple[ProjectId, int], Count] = {}
        for (host, quarter), (requests, latest) in lines.counts.items():
            project = projects.get(hosts[host] or "")
            if project is None:
                self.tally.add_unknown(hosts[host] or host, requests)
                continue
            found = counts.get((project, quarter), Count(project, quarter, 0, 0))
            counts[project, quarter] = Count(
                project, quarter, found.requests + requests, max(found.latest, int(latest * 1000))
            )
        state, position = self._state, reader.position
        if counts or position != state.end:
            state.start, state.end = state.end, position
            state.number = max(state.number + 1, int(time() * 1000))
            state.counts = list(counts.values())
            save_state(self._state_path, state)
        if counts:
            self._write_batch(is_repeated=False)

    def _write_batch(self, *, is_repeated: bool) -> None:
        """Write the batch of the state to the projects, and then to the history."""
        state = self._state
        increments: dict[ProjectId, Increment] = {}
        for count in state.counts:
            requests, latest = increments.get(count.project, (0, _EPOCH))
            moment = _EPOCH + timedelta(milliseconds=count.latest)
            increments[count.project] = Increment(requests + count.requests, max(latest, moment))
        if is_repeated and time() - state.number / 1000 > MAX_INGEST_DOUBT:
            dropped: dict[ProjectId, str] = dict.fromkeys(increments, "in_doubt")
        else:
            dropped = self._write_counts(increments, is_repeated=is_repeated)
            self._write_history({count for count in state.counts if count.project not in dropped})
        state.counts = []
        save_state(self._state_path, state)
        causes: Counter[str] = Counter()
        for project, increment in increments.items():
            causes[dropped.get(project, "counted")] += increment.requests
        self.tally.counted += causes.pop("counted", 0)
        self.tally.unknown += causes.get("unknown", 0)
        self.tally.dropped += causes.total() - causes.get("unknown", 0)
        if causes:
            log_dropped(causes, self._recorded_paths, has_default_ids=False)

    def _write_counts(self, increments: Mapping[ProjectId, Increment], *, is_repeated: bool) -> dict[ProjectId, str]:
        dropped: dict[ProjectId, str] = {}
        items = list(increments.items())
        for start in range(0, len(items), BATCH_SIZE):
            batch = dict(items[start : start + BATCH_SIZE])
            in_doubt = is_repeated

            def write(batch: dict[ProjectId, Increment] = batch) -> dict[ProjectId, str]:
                nonlocal in_doubt
                try:
                    return self._writer.write(batch, self._state.number, _TIMEOUT, is_repeated=in_doubt)
                finally:
                    in_doubt = in_doubt or self._writer.is_in_doubt

            dropped |= self._try(write)
        return dropped

    def _write_history(self, counts: Collection[Count]) -> None:
        writer = self._history_writer
        if writer is None or not counts:
            return
        requests = {(count.project, count.quarter): count.requests for count in counts}
        oldest = min(count.quarter for count in counts) * float(_QUARTER)
        timeout = _TIMEOUT * (1 + len(counts) // BATCH_SIZE)
        missing = self._try(lambda: writer.write(requests, self._state.number, timeout, oldest))
        if missing:
            log_missing(missing)

    def _try(self, action: Callable[[], _T]) -> _T:
        """Call a function until the database responds.

        :raises IngestError: it does not for half a minute, unless the log is followed; or the ingest is stopped.
        """
        intervals = iter(_RETRY_INTERVALS)
        while True:
            try:
                return action()
            except StoreError as error:
                interval = next(intervals, _RETRY_INTERVALS[-1] if self._is_followed else None)
                if interval is None or self._should_stop():
                    raise IngestError(f"{error}; nothing is lost: the next run goes on here") from error
                log_failure("counts of %d requests could not be written and wait: %s", self._count_waiting(), error)
            self._wait(interval)

    def _count_waiting(self) -> int:
        return sum(count.requests for count in self._state.counts)

    def _wait(self, seconds: float) -> None:
        end = monotonic() + seconds
        while monotonic() < end and not self._should_stop():
            sleep(min(_POLL_INTERVAL, seconds))


class _Lines:
    """The requests that were read and not yet stored."""

    def __init__(self) -> None:
        #: How many there are, and the time of the latest one in seconds since 1970, by host and quarter of an hour.
        self.counts: dict[tuple[str, int], tuple[int, float]] = {}
        self._size = 0
        self._started = 0.0

    def add(self, host: str, moment: float) -> None:
        """Add a request."""
        key = host, int(moment // _QUARTER)
        requests, latest = self.counts.get(key, (0, 0.0))
        self.counts[key] = requests + 1, max(latest, moment)
        self._size += 1

    def is_due(self) -> bool:
        """Return whether it is time to write."""
        if not self.counts:
            return False
        self._started = self._started or monotonic()
        return self._size >= _MAX_LINES or len(self.counts) >= _MAX_PAIRS or monotonic() - self._started >= _INTERVAL
