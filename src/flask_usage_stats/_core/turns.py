"""Turns at computing, for threads that work on large reports at the same time.

Only one thread runs Python code at a time anyway. If many compete for the interpreter, one that has got a
reply of the database waits so long for it that the time limit of its read expires, although the database
is fast. If the others wait for a lock instead, it continues almost at once.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Final

_MIN_SIZE: Final = 500  # documents; fewer take less than a millisecond
_NO_TURN: Final = nullcontext()

_lock = Lock()


def take_turn(size: int) -> AbstractContextManager[object]:
    """Return what to hold while *size* documents are converted: a lock, unless they are few."""
    return _NO_TURN if size < _MIN_SIZE else _lock


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 # the thread that held it does not exist in a forked process
    _lock = Lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)
