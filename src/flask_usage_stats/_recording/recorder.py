"""The recorder: it counts requests in memory, and its thread writes them at intervals."""

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, time
from types import MappingProxyType
from typing import Final
from uuid import UUID

from bson import ObjectId

from .._core.owners import OwnerType
from .._core.project_ids import is_project_id
from .._core.text import short_repr
from .._mongodb.counters import CountWriter
from .._mongodb.history import UsageHistory
from .._mongodb.history_updates import HistoryWriter
from .._mongodb.store import ProjectStore, add_recorder, get_mapping, validate_timeout
from ..errors import ConfigurationError
from .flusher import Flusher
from .history_queue import HistoryQueue
from .hooks import Application, CountRule, ProjectIdCallback, add_hooks
from .ledger import Ledger
from .processes import register_exit, register_fork

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


class _ProcessState:
    """Everything that belongs to one process.

    It is built when it is first used, after a fork and after gevent has replaced the locks of Python.
    """

    def __init__(self, flusher: Flusher, *, is_closed: bool) -> None:
        self.flusher = flusher
        #: Whether the thread was started, or must not be.
        self.is_started = is_closed
        self.starting = threading.Lock()
        self.thread: threading.Thread | None = None
        self.stop = threading.Event()


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
            state.flusher.ledger.add(project_id, n)
        else:
            state.flusher.ledger.add(None, 1)
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
        return self._state.flusher.flush()

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
        return state.flusher.flush(deadline)

    @property
    def stats(self) -> RecorderStats:
        """What this process has recorded so far."""
        state = self._state
        totals = state.flusher.ledger.measure()
        dropped = MappingProxyType({cause: totals.dropped.get(cause, 0) for cause in _CAUSES})
        oldest = 0.0 if totals.oldest is None else max(0.0, time() - totals.oldest)
        return RecorderStats(totals.written, totals.pending, dropped, state.flusher.failures, oldest)

    def reset_after_fork(self) -> None:
        """Start with zero in a forked process. What was pending before the fork is written by its parent."""
        self._states = {}

    @property
    def _state(self) -> _ProcessState:
        state = self._states.get(None)
        if state is None:
            name = secrets.token_hex(4)
            flusher = Flusher(
                Ledger(self._max_pending, self._id_type),
                CountWriter(self._store, name),
                None if self._history is None else HistoryQueue(HistoryWriter(self._history, name), self._max_pending),
                self._timeout,
                recorded_paths=get_mapping(self._store).recorded_paths,
                has_default_ids=self._id_type is None,
            )
            state = _ProcessState(flusher, is_closed=self._is_closed)
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
            state.flusher.flush()
        state.flusher.flush()


def _validate_id_type(id_type: OwnerType | None) -> OwnerType | None:
    if id_type not in (None, str, int, ObjectId, UUID):
        raise ConfigurationError(f"id_type must be str, int, ObjectId or UUID, got {short_repr(id_type)}")
    return id_type
