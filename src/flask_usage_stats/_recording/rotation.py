"""The files in the folder of a log that were renamed or copied when it was rotated."""

import glob
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

#: The pattern of the name, and a number that increases from one rotation to the next.
_Rank: TypeAlias = tuple[str, int]

# Newer versions of Caddy add the reason of the rotation.
_STAMP: Final = r"[-._](\d[\dTZ:._-]*?)(?:-[a-z]+)?"
_DATE_DIGITS: Final = 6  # at least; a number with fewer is not a date, and the newest file has the lowest one


def list_beside(log: Path) -> Iterator[Path]:
    """Yield the other files whose names begin like that of a log, and all files in the folder of a link's target.

    Those with a name that a rotation gives are the first.
    """
    patterns = [(log, f"{glob.escape(log.stem)}*")]
    if log.is_symlink():
        patterns.append((log.resolve(), "*"))
    for base, pattern in patterns:
        paths = sorted(base.parent.glob(pattern))
        for path in sorted(paths, key=lambda path: _get_rank(log, path) is None):
            with suppress(OSError):
                if path not in (log, base) and path.is_file():
                    yield path


def find_later(log: Path, file: BinaryIO) -> Path | None:
    """Return the file that was begun after a rotated one and rotated as well; ``None`` if that is still the log.

    :param file: an open file that was the log.
    """
    beside = list(list_beside(log))
    ranks = {path: rank for path in beside if (rank := _get_rank(log, path)) is not None}
    present = next((rank for path, rank in ranks.items() if _is_same(path, file)), None)
    if present is None and any(_is_same(path, file) for path in beside):  # a copy that no rotation made
        return None
    if present is None:  # it was compressed or deleted meanwhile; earlier ones were so before
        later = [path for path in ranks if _is_newer(path, file)]
    else:
        later = [path for path, rank in ranks.items() if rank[0] == present[0] and rank > present]
    return min(later, key=ranks.__getitem__, default=None)


def _get_rank(log: Path, path: Path) -> _Rank | None:
    """Return the order of a file; ``None`` if its name is not one that a rotation gives."""
    for base in {log, log.resolve()}:
        after = re.fullmatch(re.escape(base.name) + _STAMP, path.name)
        before = re.fullmatch(re.escape(base.stem) + _STAMP + re.escape(base.suffix), path.name)
        for pattern, match in (("after", after), ("before", before)):
            digits = "" if match is None else re.sub(r"\D", "", match[1])
            if len(digits) >= _DATE_DIGITS:
                return f"date {pattern}", int(digits)
            if digits and pattern == "after":  # access-1.log may be another log
                return "number", -int(digits)
    return None


def _is_same(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False


def _is_newer(path: Path, file: BinaryIO) -> bool:
    try:
        return path.stat().st_mtime_ns > os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return False
