"""Reading a log that is a pipe."""

import select
import sys
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import BinaryIO, Final

from .ingest_state import IngestError
from .log_files import BLOCK_SIZE, open_file

_WAIT: Final = 0.5  # seconds


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
        """Return lines, as :meth:`.LogReader.read` does."""
        try:
            file = self._file.result(_WAIT)
        except TimeoutError:
            return b""
        # Windows cannot wait for a pipe with a time limit.
        if sys.platform != "win32" and not select.select([file], [], [], _WAIT)[0]:
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
            self._file.set_result(open_file(path))
        except (OSError, IngestError) as error:  # raised by the next read
            self._file.set_exception(error)
