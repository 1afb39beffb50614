"""The recorder: it counts requests in memory, and a thread writes the counts to the projects."""

import logging
import secrets
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, time
from types import MappingProxyType
from typing import Final
from uuid import UUID

from bson import ObjectId

from .._core.owners import OwnerType
from .._core.project_ids import ProjectId, is_project_id
from .._core.text import escape, short_repr
from .._mongodb.counters import CountWriter
from .._mongodb.history import UsageHistory
from .._mongodb.history_updates import HistoryWriter
from .._mongodb.store import ProjectStore, add_recorder, get_mapping, validate_timeout
from .._mongodb.writer_entries import MAX_DOUBT
from ..errors import ConfigurationError, UsageStatsError
from .hooks import Application, CountRule, ProjectIdCallback, add_hooks
from .ledger import Batch, Ledger
from .processes import register_exit, register_fork

_logger: Final = logging.getLogger("flask_usage_stats")

_MAX_REQUESTS: Final = 2**53  # of one call
#: Why requests are dropped.
_CAUSES: Final = ("full", "unknown", "uncountable", "refused", "in_doubt", "invalid")


@dataclass(frozen=True, slots=True)
class RecorderStats:
    """What a recorder has done in this process. All numbers are requests, except *failures* and *oldest*.

    The sum of *written*, *pending* and *dropped* is what was recorded.

    .. versionadded:: 0.1.0
    """

    #: Added to the counts of projects.
    written: int
    #: Waiting to be written.
    pending: int
    #: Dropped, by cause: ``full`` (more than *max_pending* pairs), ``unknown`` (no project has the id), ``uncountable``
    #: (the stored count is not a number that can be incremented exactly), ``refused`` (by the collection's validator),
    #: ``in_doubt`` (perhaps written, and it can no longer be found out) and ``invalid`` (wrong arguments, one each).
    dropped: Mapping[str, int]
    #: The number of flushes that failed.
    failures: int
    #: The age of the oldest pending request, in seconds; 0.0 if there is none.
    oldest: float


@dataclass(slots=True, eq=False)
class _Attempt:
    """A batch that was sent. Its result is in doubt as long as the batch is in the ledger."""

    batch: Batch
    #: When it was sent for the first time, in seconds of the monotonic clock.
    started: float
    #: Why projects were not incremented; ``None`` until it is known which were.
    dropped: Mapping[ProjectId, str] | None = None


class _ProcessState:
    """Everything that belongs to one process.

    It is built when it is first used, after a fork and after gevent has replaced the locks of Python.
    """

    def __init__(
        self, ledger: Ledger, writer: CountWriter, history_writer: HistoryWriter | None, *, is_closed: bool
    ) -> None:
        self.ledger, self.writer, self.history_writer = ledger, writer, history_writer
        #: Held while batches are written.
        self.writing = threading.Lock()
        #: The batch that was sent last.
        self.attempt: _Attempt | None = None
        self.failures = 0
        #: The dropped requests that were logged.
        self.logged: Counter[str] = Counter()
        #: The requests that are missing in the history, since the last log message.
        self.lost: Counter[str] = Counter()
        #: Whether the thread was started, or must not be.
        self.is_started = is_closed
        self.starting = threading.Lock()
        self.thread: threading.Thread | None = None
        self.stop = threading.Event()

    def is_in_doubt(self, batch: Batch) -> bool:
        """Return whether a batch of the ledger may have been applied."""
        return self.attempt is not None and self.attempt.batch is batch


class UsageRecorder:
    """Counts requests in memory and adds them to the counts of projects at intervals, each exactly once.

    .. code-block:: python

        recorder = UsageRecorder(store)
        recorder.init_app(app, project_id=lambda: g.get("project_id"))

    The first call of :meth:`record` in a process starts a thread, which writes every *interval* seconds and when the
    process exits. Each process (also a forked one) counts on its own. An update never creates a project.

    :param store: its collection, *fields* and *writers_field* say where the counts are.
    :param history: also keeps the counts by quarter of an hour.
    :param id_type: the type in which the ids of projects are stored: ``str``, ``int``, ``ObjectId`` or ``UUID``.
        Strings are converted to it. By default, a string with 24 hexadecimal digits is an ObjectId, and any other a
        string.
    :param interval: seconds between two flushes, greater than 0 and at most 3600. If a process is killed, the counts of
        up to one interval are lost.
    :param timeout: the time limit for writing to each thousand projects, in seconds, greater than 0 and at most 3600.
    :param max_pending: the maximum number of different pairs of project and quarter of an hour that wait, greater than
        0. Requests beyond it are dropped. Each pair takes about 350 bytes, and about 1,050 bytes while it is written.
    :raises ConfigurationError: an argument is invalid; the message says what to pass instead.

    .. versionadded:: 0.1.0
    """

    def __init__(  # noqa: PLR0913 # each parameter describes one aspect of counting
        self,
        store: ProjectStore,
        *,
        history: UsageHistory | None = None,
        id_type: OwnerType | None = None,
        interval: float = 5.0,
        timeout: float = 5.0,
        max_pending: int = 100_000,
    ) -> None:
        if not isinstance(store, ProjectStore):
            raise ConfigurationError(
                f"store must be a ProjectStore, such as ProjectStore(db.projects); got {short_repr(store)}"
            )
        if history is not None and not isinstance(history, UsageHistory):
            raise ConfigurationError(
                f"history must be a UsageHistory, such as UsageHistory(db.usage_history); got {short_repr(history)}"
            )
        if isinstance(max_pending, bool) or not isinstance(max_pending, int) or max_pending < 1:
            raise ConfigurationError(f"max_pending must be an integer greater than 0, got {short_repr(max_pending)}")
        self._store, self._history = store, history
        self._id_type = _validate_id_type(id_type)
        self._interval = validate_timeout(interval, "interval")
        self._timeout = validate_timeout(timeout)
        self._max_pending = max_pending
        self._is_closed = False
        self._states: dict[None, _ProcessState] = {}
        register_fork(self)
        add_recorder(store, self._id_type)

    def record(self, project_id: object, n: int = 1) -> None:
        """Count requests of a project. This takes about a microsecond, never waits and never raises an error.

        It may be called from any thread and from a signal handler.

        :param project_id: the project's ``_id`` as the API returns it, or as it is stored.
        :param n: the number of requests, from 1 to 2**53.
        """
        state = self._state
        if (
            isinstance(n, int)
            and 0 < n <= _MAX_REQUESTS
            and not isinstance(n, bool)
            and is_project_id(project_id, self._id_type)
        ):
            state.ledger.add(project_id, n)
        else:
            state.ledger.add(None, 1)
        if not state.is_started:
            self._start(state)

    def init_app(
        self, app: Application, *, project_id: ProjectIdCallback, should_count: CountRule | None = None
    ) -> None:
        """Count the requests of an application.

        Each request is counted once, after its response, also if a function of the application raises an error.
        If one of the two callbacks raises an error, the request is not counted, and there is one warning an hour.

        :param app: the application. It gets an ``after_request`` and two teardown functions.
        :param project_id: a function without arguments that is called after each request, in its context, and must
            return the id of the project that the request belongs to, or ``None`` if it is not counted.
        :param should_count: a function that takes the response and returns whether the request is counted. By default,
            requests with all methods except OPTIONS and HEAD are, whatever their status. If there is no response
            because a function of the application raised an error, this rule applies as well.
        :raises ConfigurationError: *app* is not a Flask application, or a callback is not callable or async.
        """
        add_hooks(app, self.record, project_id, should_count)

    def flush(self) -> bool:
        """Write everything that is pending in this process. Failures are logged, and their counts stay pending.

        :returns: whether nothing is pending.
        """
        return self._flush(self._state)

    def close(self, timeout: float = 5.0) -> bool:
        """Stop the thread after it has written what is pending.

        Later calls of :meth:`record` are accepted, but no thread starts: :meth:`flush` or :meth:`close` write them.

        :param timeout: how long to wait, in seconds.
        :returns: whether nothing is pending.
        """
        state, deadline = self._state, monotonic() + timeout
        self._is_closed = True
        state.is_started = True
        state.stop.set()
        if state.thread is not None:
            state.thread.join(timeout)
        return self._flush(state, deadline)

    @property
    def stats(self) -> RecorderStats:
        """What this process has recorded so far."""
        state = self._state
        totals = state.ledger.measure()
        dropped = MappingProxyType({cause: totals.dropped.get(cause, 0) for cause in _CAUSES})
        oldest = 0.0 if totals.oldest is None else max(0.0, time() - totals.oldest)
        return RecorderStats(totals.written, totals.pending, dropped, state.failures, oldest)

    def reset_after_fork(self) -> None:
        """Start with zero in a forked process. What was pending before the fork is written by its parent."""
        self._states = {}

    @property
    def _state(self) -> _ProcessState:
        state = self._states.get(None)
        if state is None:
            name = secrets.token_hex(4)
            state = _ProcessState(
                Ledger(self._max_pending, self._id_type),
                CountWriter(self._store, name),
                None if self._history is None else HistoryWriter(self._history, name),
                is_closed=self._is_closed,
            )
            # Another thread may have built one meanwhile.
            state = self._states.setdefault(None, state)
        return state

    def _start(self, state: _ProcessState) -> None:
        """Start the thread, unless another thread or the function that a signal handler interrupts does so."""
        if not state.starting.acquire(blocking=False):
            return
        try:
            if not state.is_started:
                state.is_started = True
                thread = threading.Thread(
                    target=self._run, args=(state,), name="flask-usage-stats-recorder", daemon=True
                )
                thread.start()
                state.thread = thread
                register_exit(self)
        except RuntimeError:  # no more threads can be started, for example because the interpreter is about to exit
            state.is_started = False
        finally:
            state.starting.release()

    def _run(self, state: _ProcessState) -> None:
        while not state.stop.wait(self._interval):
            self._flush(state)
        self._flush(state)

    def _flush(self, state: _ProcessState, deadline: float | None = None) -> bool:
        """Write what is pending, and log what failed or was dropped. Return whether nothing is pending."""
        if not state.writing.acquire(timeout=-1 if deadline is None else max(0.0, deadline - monotonic())):
            return False
        try:
            self._write_batches(state, deadline)
        except Exception as error:  # noqa: BLE001 # of the driver or the store's callable: the thread must survive
            state.failures += 1
            pending = state.ledger.measure().pending
            _logger.error(  # noqa: TRY400 # a traceback would have many lines and could contain values
                "counts of %d requests could not be written and stay pending: %s", pending, _describe(error)
            )
        finally:
            totals = state.ledger.measure()
            dropped, state.logged = Counter(totals.dropped) - state.logged, Counter(totals.dropped)
            lost, state.lost = state.lost, Counter()
            state.writing.release()
        if dropped:
            self._log_dropped(dropped)
        if lost:
            causes = ", ".join(f"{cause} {requests}" for cause, requests in sorted(lost.items()))
            _logger.error("the history lacks %d counted requests: %s", lost.total(), causes)
        return totals.pending == 0

    def _log_dropped(self, dropped: Counter[str]) -> None:
        remedies = {
            "refused": f"the collection's validator must allow {', '.join(get_mapping(self._store).recorded_paths)}"
        }
        if self._id_type is None:
            remedies["unknown"] = "ids with 24 hexadecimal digits are ObjectIds, unless id_type=str is passed"
        causes = [
            f"{cause} {requests}" + (f" ({remedies[cause]})" if cause in remedies else "")
            for cause, requests in sorted(dropped.items())
        ]
        level = logging.ERROR if "refused" in dropped else logging.WARNING
        _logger.log(level, "counts of %d requests were dropped: %s", dropped.total(), ", ".join(causes))

    def _write_batches(self, state: _ProcessState, deadline: float | None) -> None:
        """Write the batch that is in doubt, and then everything that waits."""
        batches = state.ledger.get_batches()
        if batches and state.is_in_doubt(batches[0]):
            self._write(state, batches[0], deadline)
            batches = state.ledger.get_batches()
        try:
            while batches and (deadline is None or monotonic() < deadline):
                self._write(state, batches[0], deadline)
                batches.pop(0)
        finally:
            # A batch in doubt must be sent again with its number; any other gets a new one.
            state.ledger.put_back([batch for batch in batches if not state.is_in_doubt(batch)])

    def _write(self, state: _ProcessState, batch: Batch, deadline: float | None) -> None:
        """Write a batch to the projects, and then to the history.

        An exception of a signal handler can interrupt this at any point, so the batch is in doubt before it is sent.
        """
        is_repeated = state.is_in_doubt(batch)
        if state.attempt is None or not is_repeated:
            state.attempt = _Attempt(batch, monotonic())
        attempt = state.attempt
        # Later, entries could have been removed, and a batch that was applied would not be recognized.
        is_too_late = is_repeated and max(monotonic() - attempt.started, time() - batch.number / 1000) > MAX_DOUBT
        timeout = self._timeout if deadline is None else min(self._timeout, max(0.001, deadline - monotonic()))
        if attempt.dropped is None and is_too_late:
            attempt.dropped = dict.fromkeys(batch.increments, "in_doubt")
        elif attempt.dropped is None:
            try:
                attempt.dropped = state.writer.write(batch.increments, batch.number, timeout, is_repeated=is_repeated)
            except Exception:
                if not is_repeated and not state.writer.is_in_doubt:
                    state.attempt = None
                raise
        if state.history_writer is not None:
            counts = {pair: n for pair, n in batch.quarters.items() if pair[0] not in attempt.dropped}
            if is_too_late:
                state.lost["in_doubt"] += sum(counts.values())
            elif counts:
                state.lost += state.history_writer.write(counts, batch.number, timeout, batch.oldest)
        state.ledger.settle(batch, attempt.dropped)


def _validate_id_type(id_type: OwnerType | None) -> OwnerType | None:
    if id_type not in (None, str, int, ObjectId, UUID):
        raise ConfigurationError(f"id_type must be str, int, ObjectId or UUID, got {short_repr(id_type)}")
    return id_type


def _describe(error: Exception) -> str:
    return escape(str(error)) if isinstance(error, UsageStatsError) else type(error).__name__
