"""Reading a log file that grows and is rotated."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import BinaryIO, Final

from .ingest_state import IngestError, Position
from .log_files import BLOCK_SIZE, open_file
from .rotation import find_later, list_beside

_FINGERPRINT_SIZE: Final = 1024  # bytes
# A proxy may go on writing to a renamed log until all of its workers have opened the new one.
_GRACE: Final = 2.0  # seconds


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
        # What the file has of its first line, as long as that has no end.
        self._first_line = b""
        # Whether the file was renamed or copied from the path.
        self._is_old = False
        # Where the previous file was left.
        self._previous: Position | None = None
        # Since when there has been another file and nothing more in this one.
        self._ended: float | None = None
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
        """Return lines, as :meth:`.LogReader.read` does."""
        file = self._file or self._begin()
        if file is None:
            return None
        position = self.position
        try:
            data = self._read_block(file)
            if data is None:
                self.close()
                self._resume(position)
                return b""
            if data:
                self._ended = None
            return data or self._open_next(file)
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
            file = open_file(self._path)
            if _has(file, position):
                self._use(file, position)
                return
            file.close()
        copy = self._find_copy(position)
        if copy is not None:
            self._use(copy, position)
            self._is_old = True
        elif not self._use_shortened(position):
            self._warn(
                f"{self._path} was replaced, and the previous file was not found beside it:"
                f" what was written after byte {position.offset:,} of it and before the present file is not counted"
            )
            self._begin()

    def _use_shortened(self, position: Position) -> bool:
        """Go on at the end of the file if it has lost its own, as after a power failure. Return whether it has."""
        try:
            file = open_file(self._path)
        except FileNotFoundError:
            return False
        size = os.fstat(file.fileno()).st_size
        if size < position.length or not _has(file, replace(position, offset=size)):
            file.close()
            return False
        self._warn(f"{self._path} has lost its end: the lines after byte {size:,} were counted, and new ones follow")
        self._use(file, replace(position, offset=size))
        return True

    def _begin(self) -> BinaryIO | None:
        """Open the file at the path, if there is one."""
        try:
            file = open_file(self._path)
        except FileNotFoundError:
            return None
        self._use(file, Position(_hash(b""), 0, 0))
        return file

    def _use(self, file: BinaryIO, position: Position) -> None:
        file.seek(0)
        self._file, self._head, self._offset = file, file.read(position.length), position.offset
        self._first_line, self._is_old, self._ended = b"", False, None

    def _find_copy(self, position: Position) -> BinaryIO | None:
        """Find the renamed or copied file that has a position, in the folder of the path."""
        for path in list_beside(self._path):
            with suppress(OSError):
                file = path.open("rb", buffering=0)
                if _has(file, position):
                    return file
                file.close()
        return None

    def _read_block(self, file: BinaryIO) -> bytes | None:
        """Return complete lines; ``None`` if the file was truncated."""
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
            if self._offset == 0 and not data.startswith(self._first_line):
                return None
            self._offset, self._head, self._first_line = offset, head, b"" if offset else data
            if not skipped:
                return data[:end]
            self.unreadable += 1

    def _open_next(self, file: BinaryIO) -> bytes | None:
        """Go over to the next file if the present one is at its end and no longer written to.

        :returns: the first lines of the next file, nothing while the present one may still be written to, or ``None``.
        """
        successor, is_old = self._open_successor(file) if self._is_old or self._is_followed else (None, False)
        if successor is None:
            return None
        if self._ended is None:
            self._ended = monotonic()
        if not is_old and monotonic() - self._ended < _GRACE:
            successor.close()
            return None if self._is_followed else b""  # that is not the end, unless the log is followed
        file.seek(self._offset)
        rest = file.read(BLOCK_SIZE)  # a line without an end, which cannot get one any more
        self._offset += len(rest)
        self._head += rest[: _FINGERPRINT_SIZE - len(self._head)]
        position = self.position
        self.close()
        self._use(successor, Position(_hash(b""), 0, 0))
        self._is_old, self._previous = is_old, position
        # At once, since nothing could recognize a file that was truncated before any of it was read.
        data = self._read_block(successor) or b""
        return rest.removesuffix(b"\n") + b"\n" + data if rest else data

    def _open_successor(self, file: BinaryIO) -> tuple[BinaryIO | None, bool]:
        """Open the file that was begun after the present one. Return also whether that one was rotated as well.

        There is none as long as the file at the path is this one, missing or empty, or if a rotation goes on.
        """
        with suppress(FileNotFoundError):
            if os.path.samestat(self._path.stat(), os.fstat(file.fileno())):
                return None, False
        later = find_later(self._path, file)
        try:
            successor = open_file(later or self._path)
        except FileNotFoundError:
            return None, False
        is_empty = later is None and os.fstat(successor.fileno()).st_size == 0
        if is_empty or find_later(self._path, file) != later:
            successor.close()
            return None, False
        return successor, later is not None


def has_position(path: Path, position: Position) -> bool:
    """Return whether a position belongs to the file at a path.

    :raises IngestError: the file cannot be opened.
    """
    try:
        with open_file(path) as file:
            return _has(file, position)
    except FileNotFoundError:
        return False


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
