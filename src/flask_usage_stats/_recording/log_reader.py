"""Reading a log that grows, that is rotated or that is a pipe, in blocks of complete lines."""

import hashlib
import os
import select
import stat
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import BinaryIO, Final, Protocol

from .ingest_state import IngestError, Position
from .rotation import find_later, list_beside

#: The maximum size of a block, and thus of a line.
BLOCK_SIZE: Final = 2**20  # bytes
_FINGERPRINT_SIZE: Final = 1024  # bytes
# A proxy may go on writing to a renamed log until all of its workers have opened the new one.
_GRACE: Final = 2.0  # seconds
_PIPE_WAIT: Final = 0.5  # seconds


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


class PipeReader:
    """Reads a pipe until all who write to it have closed it."""

    position: None = None
    progress: None = None

    def __init__(self, path: Path) -> None:
        self.unreadable = 0
        self._file: Future[BinaryIO] = Future()
        self._rest = b""
        self._is_skipping = False
        # In a thread, because it waits until somebody writes to the pipe, also after SIGTERM.
        Thread(target=self._open, args=(path,), daemon=True).start()

    def read(self) -> bytes | None:
        """Return lines, as the protocol says."""
        try:
            file = self._file.result(_PIPE_WAIT)
        except TimeoutError:
            return b""
        # Windows cannot wait for a pipe with a time limit.
        if sys.platform != "win32" and not select.select([file], [], [], _PIPE_WAIT)[0]:
            return b""
        data = file.read(BLOCK_SIZE // 2)
        if not data:
            rest, self._rest = self._rest, b""
            return rest or None
        end = data.rfind(b"\n") + 1
        if end:
            start = data.find(b"\n") + 1 if self._is_skipping else 0
            lines, self._rest, self._is_skipping = self._rest + data[start:end], data[end:], False
            return lines
        if not self._is_skipping:
            self._rest += data
        if len(self._rest) > BLOCK_SIZE:
            self.unreadable += 1
            self._is_skipping, self._rest = True, b""
        return b""

    def close(self) -> None:
        """Close the pipe."""
        if self._file.done() and self._file.exception() is None:
            self._file.result().close()

    def _open(self, path: Path) -> None:
        try:
            self._file.set_result(_open(path))
        except (OSError, IngestError) as error:  # raised by the next read
            self._file.set_exception(error)


class FileReader:
    """Reads a file, and what is missing of a renamed or copied one before.

    A block counts only if the file begins as it did after the block was read: otherwise it was truncated meanwhile.
    """

    def __init__(
        self, path: Path, position: Position | None, *, is_followed: bool, warn: Callable[[str], None]
    ) -> None:
        self.unreadable = 0
        self._path, self._is_followed, self._warn = path, is_followed, warn
        self._file: BinaryIO | None = None
        # The first bytes of the file, as far as they were read.
        self._head = b""
        self._offset = 0
        # Whether the file was found beside the path.
        self._is_old = False
        # Where the previous file was left.
        self._previous: Position | None = None
        # When the file at the path was seen to be another one.
        self._replaced_at: float | None = None
        self._resume(position)
        if self._file is None and not is_followed:
            raise IngestError(f"there is no log {path}")

    @property
    def position(self) -> Position:
        """Where the next block starts. That is the end of the previous file until something of the next one was read.

        Otherwise, the next file could not be recognized if it was renamed now.
        """
        if self._offset == 0 and self._previous is not None:
            return self._previous
        return Position(_hash(self._head), len(self._head), self._offset)

    @property
    def progress(self) -> float | None:
        """How much of the file was read."""
        return None if self._file is None else self._offset / max(1, os.fstat(self._file.fileno()).st_size)

    def read(self) -> bytes | None:
        """Return lines, as the protocol says."""
        if self._file is None and not self._begin():
            return None
        position = self.position
        try:
            data = self._read_block()
            if data is None:
                self.close()
                self._resume(position)
                return b""
            return data or self._go_over()
        except OSError as error:
            raise IngestError(f"the log {self._path} cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _resume(self, position: Position | None) -> None:
        """Open the file that has a position, or the one at the path from its beginning."""
        if position is None or position.length == 0:
            self._begin()
            return
        self._previous = position
        with suppress(FileNotFoundError):
            file = _open(self._path)
            if _has(file, position):
                self._use(file, position)
                return
            file.close()
        copy = self._find_copy(position)
        if copy is None:
            self._warn(
                f"{self._path} was replaced, and the previous file was not found beside it:"
                f" what was written after byte {position.offset:,} of it and before the present file is not counted"
            )
            self._begin()
        else:
            self._use(copy, position)
            self._is_old = True

    def _begin(self) -> bool:
        """Open the file at the path. Return whether there is one."""
        try:
            file = _open(self._path)
        except FileNotFoundError:
            return False
        self._use(file, Position(_hash(b""), 0, 0))
        return True

    def _use(self, file: BinaryIO, position: Position) -> None:
        file.seek(0)
        self._file, self._head, self._offset = file, file.read(position.length), position.offset
        self._is_old, self._replaced_at = False, None

    def _find_copy(self, position: Position) -> BinaryIO | None:
        """Find the renamed or copied file that has a position, beside the path: its name begins alike."""
        for path in list_beside(self._path):
            with suppress(OSError):
                file = path.open("rb", buffering=0)
                if _has(file, position):
                    return file
                file.close()
        return None

    def _read_block(self) -> bytes | None:
        """Return complete lines; ``None`` if the file was truncated."""
        file = self._get_file()
        while True:
            file.seek(self._offset)
            data = file.read(BLOCK_SIZE)
            end = data.rfind(b"\n") + 1
            skipped = _find_line_end(file, data) if end == 0 and len(data) == BLOCK_SIZE else 0
            offset = self._offset + (end or skipped)
            file.seek(0)
            head = file.read(min(_FINGERPRINT_SIZE, offset))
            # Of the first lines, what was read must be what is there now.
            known = self._head + data if len(self._head) == self._offset else self._head
            if not head.startswith(known[: len(head)]) or os.fstat(file.fileno()).st_size < offset:
                return None
            self._offset, self._head = offset, head
            if not skipped:
                return data[:end]
            self.unreadable += 1

    def _go_over(self) -> bytes | None:
        """Go over to the next file if the present one is at its end and no longer written to."""
        if not (self._is_replaced() if self._is_followed else self._is_old):
            return None
        successor, is_old = self._open_successor()
        if successor is None:
            return None
        file = self._get_file()
        file.seek(self._offset)
        rest = file.read(BLOCK_SIZE)  # a line without an end, which cannot get one any more
        self._offset += len(rest)
        self._head += rest[: _FINGERPRINT_SIZE - len(self._head)]
        position = self.position
        self.close()
        self._use(successor, Position(_hash(b""), 0, 0))
        self._is_old, self._previous = is_old, position
        # At once, since nothing could recognize a file that was truncated before any of it was read.
        data = self._read_block() or b""
        return rest.removesuffix(b"\n") + b"\n" + data if rest else data

    def _open_successor(self) -> tuple[BinaryIO | None, bool]:
        """Open the file that was begun after the present one. Return also whether that one was rotated as well.

        There is none as long as the file at the path is missing or empty.
        """
        file, later = None, find_later(self._path, self._get_file())
        while True:
            with suppress(FileNotFoundError):
                file = _open(later or self._path)
            previous, later = later, find_later(self._path, self._get_file())
            if previous == later:  # no rotation went on meanwhile
                break
            if file is not None:
                file.close()
                file = None
        if file is not None and later is None and os.fstat(file.fileno()).st_size == 0:
            file.close()
            file = None
        return file, later is not None

    def _is_replaced(self) -> bool:
        """Return whether another file is at the path, and has been written to for some time."""
        try:
            successor = self._path.stat()
        except FileNotFoundError:
            return False
        if os.path.samestat(successor, os.fstat(self._get_file().fileno())) or successor.st_size == 0:
            return False
        if self._replaced_at is None:
            self._replaced_at = monotonic()
        return monotonic() - self._replaced_at > _GRACE

    def _get_file(self) -> BinaryIO:
        if self._file is None:
            raise RuntimeError("the log is closed")
        return self._file


def _open(path: Path) -> BinaryIO:
    """Open a file without a buffer.

    :raises FileNotFoundError: it does not exist.
    :raises IngestError: it cannot be opened.
    """
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise IngestError(f"the log {path} cannot be opened: {error.strerror}") from error


def _has(file: BinaryIO, position: Position) -> bool:
    """Return whether a position belongs to a file."""
    if os.fstat(file.fileno()).st_size < position.offset:
        return False
    file.seek(0)
    return _hash(file.read(position.length)) == position.fingerprint


def _hash(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()


def _find_line_end(file: BinaryIO, data: bytes) -> int:
    """Return the length of a line that begins with *data*; 0 if it has no end yet."""
    length = len(data)
    while data:
        data = file.read(BLOCK_SIZE)
        end = data.find(b"\n") + 1
        if end:
            return length + end
        length += len(data)
    return 0
