"""Reading a log in blocks of complete lines."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from .file_reader import FileReader
from .ingest_state import Position
from .pipe_reader import PipeReader


class LogReader(Protocol):
    """Reads a log once."""

    #: How many lines were too long.
    unreadable: int

    @property
    def position(self) -> Position | None:
        """Where the next block starts; ``None`` if the log cannot be read again."""

    @property
    def progress(self) -> float | None:
        """How much of the file was read, from 0 to 1; ``None`` if that is not known."""

    def read(self) -> bytes | None:
        """Return the next complete lines. Nothing if there is no complete line yet, and ``None`` at the present end.

        :raises IngestError: the log cannot be read.
        """

    def close(self) -> None:
        """Close the log."""


def open_log(path: Path, position: Position | None, *, is_followed: bool, warn: Callable[[str], None]) -> LogReader:
    """Open a log.

    :param position: where to start; ``None`` for the beginning.
    :param is_followed: whether to wait for the file, and to go over from a renamed file to its successor.
    :param warn: called with a message if lines may be missing.
    :raises IngestError: there is no log, or it cannot be opened.
    """
    if is_stream(path):
        return PipeReader(path)
    return FileReader(path, position, is_followed=is_followed, warn=warn)


def is_stream(path: Path) -> bool:
    """Return whether there is something at a path that is not a file, such as a pipe."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:  # found again when it is opened
        return False
