"""Results that take long to compute: one at a time, shared by all who ask for them, and kept for a while."""

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Condition
from time import monotonic
from typing import Any, Final, NamedTuple

_MAX_KEPT: Final = 16
_GRACE: Final = 1.0  # seconds


class Result(NamedTuple):
    """A result, and the time by the monotonic clock when its computation began, from which its age counts."""

    value: Any
    time: float


@dataclass(slots=True)
class _Computation:
    key: Hashable
    #: The time at which it must be over. If it is not, its thread was interrupted before it could say so.
    deadline: float
    is_over: bool = False
    #: The outcome: either of them, or none if the thread was interrupted.
    result: Result | None = None
    error: Exception | None = None


@dataclass(slots=True)
class _State:
    """What belongs to one process: a forked one cannot wait for a thread of its parent."""

    pid: int = field(default_factory=os.getpid)
    changed: Condition = field(default_factory=Condition)
    kept: OrderedDict[Hashable, Result] = field(default_factory=OrderedDict)
    running: _Computation | None = None


class SharedResults:
    """Computes results in one thread at a time. Whoever asks for the same result meanwhile waits for its outcome.

    A failure is shared with those who wait, but not kept.

    :param max_age: for how many seconds a result is kept, from the time that it states.
    """

    def __init__(self, max_age: float) -> None:
        self._max_age = max_age
        self._state = _State()

    def get(self, key: Hashable, compute: Callable[[float], Result], seconds: float) -> Result:
        """Return a kept result, the outcome of a computation that is running, or that of a new one.

        :param compute: called with the remaining seconds, if the result is neither kept nor being computed.
        :param seconds: how long to wait for other computations.
        :raises TimeoutError: other computations took longer.
        :raises Exception: whatever *compute* raises, also if another thread called it.
        """
        state, deadline = self._get_state(), monotonic() + seconds
        with state.changed:
            while (kept := self._find(state, key)) is None and (running := state.running) is not None:
                if monotonic() > running.deadline + _GRACE:
                    break
                if not state.changed.wait_for(lambda: running.is_over, deadline - monotonic()):  # called at once
                    raise TimeoutError
                if running.key == key and running.error is not None:
                    raise running.error
                if running.key == key and running.result is not None:
                    return running.result
            if kept is not None:
                return kept
            own = state.running = _Computation(key, deadline)
        try:
            own.result = compute(deadline - monotonic())
        except Exception as error:
            own.error = error
            raise
        finally:
            with state.changed:
                own.is_over = True
                if state.running is own:
                    state.running = None
                if own.result is not None:
                    self._keep(state, key, own.result)
                state.changed.notify_all()
        return own.result

    def find(self, key: Hashable) -> Result | None:
        """Return a result if it is kept. Unlike :meth:`get`, this may be called by a computation."""
        state = self._get_state()
        with state.changed:
            return self._find(state, key)

    def keep(self, key: Hashable, result: Result) -> None:
        """Keep a result that a computation has computed in addition to its own."""
        state = self._get_state()
        with state.changed:
            self._keep(state, key, result)

    def _get_state(self) -> _State:
        # The process id is compared, since uWSGI forks without calling the functions that Python registers for it.
        if self._state.pid != os.getpid():
            self._state = _State()
        return self._state

    def _find(self, state: _State, key: Hashable) -> Result | None:
        result = state.kept.get(key)
        return result if result is not None and monotonic() < result.time + self._max_age else None

    def _keep(self, state: _State, key: Hashable, result: Result) -> None:
        state.kept[key] = result
        state.kept.move_to_end(key)
        while len(state.kept) > _MAX_KEPT:
            state.kept.popitem(last=False)
