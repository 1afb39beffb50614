"""Counting the requests in an access log, each exactly once whatever happens."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import Final

from .._core.hosts import normalize_host
from .._core.project_ids import ProjectId
from .._mongodb.history import UsageHistory
from .._mongodb.host_lookup import HostLookup
from .._mongodb.store import ProjectStore
from .access_log import FORMATS, UnreadableLineError, parse_line
from .file_reader import has_position
from .ingest_state import Count, IngestError, load_state, save_state
from .ingest_writer import COUNTED, IngestWriter
from .log_reader import LogReader, is_stream, open_log
from .retrier import Retrier

_QUARTER: Final = 900  # seconds
_DAY: Final = 86_400  # seconds
_LOOKUP_TIMEOUT: Final = 5.0  # seconds, for each 500 hosts
_INTERVAL: Final = 5.0  # seconds
_MAX_LINES: Final = 200_000  # of a batch
_MAX_PAIRS: Final = 50_000  # of a batch: pairs of host and quarter of an hour
_MAX_HOSTS: Final = 10_000  # unknown ones whose requests are counted


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
        self._find_parts = FORMATS[format_name]
        self._retrier = Retrier(is_endless=is_followed, should_stop=should_stop)
        self._lookup = HostLookup(store, host_field, _LOOKUP_TIMEOUT)
        self._writer = IngestWriter(store, history, self._state.writer, self._retrier)
        self._lines = _Lines()

    def run(self, report: Callable[[float | None], None]) -> None:
        """Read the log to its end, or until the ingest is stopped.

        :param report: called after each block of lines with the progress in the log, from 0 to 1; ``None`` if that is
            not known.
        :raises IngestError: the log or the state cannot be read or written, or the database does not respond; the
            next run goes on where this one ended.
        :raises Exception: as :meth:`.CountWriter.write`, except for a :exc:`StoreError` that could be temporary.
        """
        self._check_log()
        if self._state.counts:
            self._write(is_repeated=True)
        reader = open_log(self._log, self._state.end, is_followed=self._is_followed, warn=self._warn)
        try:
            self._read_all(reader, report)
        finally:
            reader.close()

    def _read_all(self, reader: LogReader, report: Callable[[float | None], None]) -> None:
        is_at_end = False
        while not is_at_end and not self._should_stop():
            data = reader.read()
            self._read_lines(data or b"")
            self.tally.unreadable += reader.unreadable
            reader.unreadable = 0
            is_at_end = data is None and not self._is_followed
            if self._lines.is_due():
                self._commit(reader)
            report(reader.progress)
            if not data and not is_at_end:
                self._retrier.wait()
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
        known = {host for host in hosts.values() if host is not None}
        can_repeat = reader.position is not None or not lines.size
        projects = self._retrier.call(lambda: self._lookup.find(known), lines.size, can_repeat=can_repeat)
        counts = self._add_up(lines, {host: projects.get(name or "") for host, name in hosts.items()})
        state, position = self._state, reader.position
        if counts or position != state.end:
            state.log, state.start, state.end = self._log_name, state.end, position
            state.number = max(state.number + 1, int(time() * 1000))
            state.counts = counts
            save_state(self._state_path, state)
        if counts:
            self._write(is_repeated=False)

    def _add_up(self, lines: "_Lines", projects: Mapping[str, ProjectId | None]) -> list[Count]:
        """Return the counts of projects, and count the requests of unknown hosts."""
        counts: dict[object, Count] = {}
        for (host, quarter), (requests, latest) in lines.counts.items():
            project = projects[host]
            if project is None:
                self.tally.add_unknown(normalize_host(host) or host, requests)
                continue
            found = counts.get((project, quarter), Count(project, quarter, 0, 0))
            total, moment = found.requests + requests, max(found.latest, int(latest * 1000))
            counts[project, quarter] = Count(project, quarter, total, moment)
        return list(counts.values())

    def _write(self, *, is_repeated: bool) -> None:
        """Write the batch of the state."""
        state = self._state
        causes = self._writer.write(state.counts, state.number, is_repeated=is_repeated)
        state.counts = []
        save_state(self._state_path, state)
        self.tally.counted += causes.pop(COUNTED, 0)
        self.tally.unknown += causes.pop("unknown", 0)
        self.tally.dropped += causes.total()

    def _check_log(self) -> None:
        """Check that the state belongs to this log.

        :raises IngestError: it belongs to another one, whose lines would be counted again later.
        """
        log, end = self._state.log, self._state.end
        if log is None or log == self._log_name:
            return
        if end is None or is_stream(self._log) or not has_position(self._log, end):  # otherwise, the log was moved
            raise IngestError(f"the state {self._state_path} belongs to the log {log}: pass another one with --state")

    @property
    def _log_name(self) -> str:
        return str(self._log.absolute())


class _Lines:
    """The requests that were read and not yet stored."""

    def __init__(self) -> None:
        #: How many there are, and the time of the latest one in seconds since 1970, by host and quarter of an hour.
        self.counts: dict[tuple[str, int], tuple[int, float]] = {}
        #: How many lines these are.
        self.size = 0
        self._started = 0.0

    def add(self, host: str, moment: float) -> None:
        """Add a request."""
        self._started = self._started or monotonic()
        key = host, int(moment // _QUARTER)
        requests, latest = self.counts.get(key, (0, 0.0))
        self.counts[key] = requests + 1, max(latest, moment)
        self.size += 1

    def is_due(self) -> bool:
        """Return whether it is time to write."""
        if not self.counts:
            return False
        return self.size >= _MAX_LINES or len(self.counts) >= _MAX_PAIRS or monotonic() - self._started >= _INTERVAL
