"""What must happen when a process forks or exits."""

import atexit
import os
import weakref
from collections.abc import Callable
from multiprocessing.util import Finalize
from typing import Any, Final, Protocol


class ProcessBound(Protocol):
    """An object with a state for each process."""

    def reset_after_fork(self) -> None:
        """Start anew in a forked process."""

    def close(self) -> bool:
        """Finish before the process exits."""


_objects: Final[weakref.WeakSet[Any]] = weakref.WeakSet()


def register_fork(bound: ProcessBound) -> None:
    """Call ``reset_after_fork`` in every process that is forked from this one."""
    _objects.add(bound)


def register_exit(bound: ProcessBound) -> None:
    """Call ``close`` when this process exits.

    Python's own exit handlers do not run in processes that :mod:`multiprocessing` starts, and its finalizers do not run
    in others.
    """
    close = _build_close(weakref.ref(bound))
    atexit.register(close)
    Finalize(None, close, exitpriority=10)


def _build_close(reference: "weakref.ref[ProcessBound]") -> Callable[[], None]:
    def close() -> None:
        bound = reference()
        if bound is not None:
            bound.close()

    return close


def _reset_all() -> None:
    for bound in list(_objects):
        bound.reset_after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch # not on Windows
    os.register_at_fork(after_in_child=_reset_all)
