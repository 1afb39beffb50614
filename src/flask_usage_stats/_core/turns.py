"""Turns for threads that compute large reports at the same time.

Only one thread runs Python code at a time. If many threads compete for the interpreter, one that has received
a reply from the database may wait so long for its turn that the time limit of its read expires, although the
database is fast. If the other threads wait for a lock instead, it continues almost immediately.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Final

_MIN_SIZE: Final = 500  # documents; fewer take less than a millisecond
_NO_TURN: Final = nullcontext()

_lock = Lock()


def take_turn(size: int) -> AbstractContextManager[object]:
    """Return a context manager for the conversion of *size* documents: a lock, unless they are few.

    Only for documents of this package's store: mappings of others may run any code while they are converted,
    such as waiting for a database or building another report.
    """
    return _NO_TURN if size < _MIN_SIZE else _lock


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 # the thread that holds it does not exist in a forked process
    _lock = Lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)
