"""Opening the files of a log."""

from pathlib import Path
from typing import BinaryIO, Final

from .ingest_state import IngestError

#: The maximum size of a block, and thus of a line.
BLOCK_SIZE: Final = 2**20  # bytes


def open_file(path: Path) -> BinaryIO:
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
