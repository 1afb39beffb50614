"""The state of an ingest: how far the log was read, and the batch that was read last.

A batch is stored before it is sent, so after a crash it is sent again as it is, and nothing is counted twice.
"""

import json
import os
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import UUID

from bson import json_util
from bson.binary import UuidRepresentation
from bson.errors import BSONError

from .._core.project_ids import ProjectId, is_project_id
from ..errors import UsageStatsError

if sys.platform == "win32":  # pragma: no cover
    import msvcrt
else:
    import fcntl

_FORMAT: Final = 1
_MAX: Final = 253_402_300_799_999  # milliseconds, the greatest date
_QUARTER: Final = 900_000  # milliseconds
_ID_OPTIONS: Final = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL, uuid_representation=UuidRepresentation.UNSPECIFIED, tz_aware=False
)


class IngestError(UsageStatsError):
    """The ingest cannot go on. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a log file. The file is recognized by its first bytes, since its name changes at a rotation."""

    #: The SHA-256 of the first bytes, in hexadecimal digits.
    fingerprint: str
    #: How many bytes these are.
    length: int
    #: The number of bytes that were read.
    offset: int


@dataclass(frozen=True, slots=True)
class Count:
    """The requests of a project in a quarter of an hour."""

    project: ProjectId
    #: Quarters of an hour since 1970.
    quarter: int
    requests: int
    #: The time of the latest request, in milliseconds since 1970.
    latest: int


@dataclass(slots=True)
class State:
    """What is stored.

    :param writer: the name of the writer's entries in documents.
    :param number: the number of the last batch.
    :param log: the path of the log, once some of it was read.
    :param start: where the last batch starts; ``None`` if the log is not a file.
    :param end: where it ends, and the next one starts.
    :param counts: the last batch, until it has been written.
    """

    writer: str = field(default_factory=lambda: f"i{secrets.token_hex(4)}")
    number: int = 0
    log: str | None = None
    start: Position | None = None
    end: Position | None = None
    counts: list[Count] = field(default_factory=list)


def load_state(path: Path) -> State:
    """Read a state, or begin a new one if there is no file.

    :raises IngestError: the file cannot be read, is damaged or was written by a later version of this package.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return State()
    except OSError as error:
        raise IngestError(f"the state {path} cannot be read: {error.strerror}") from error
    try:
        content = json.loads(data, object_hook=_decode_id)
        if _is_natural(content["format"]) and content["format"] > _FORMAT:
            raise IngestError(
                f"the state {path} was written by a later version of flask-usage-stats, which this command needs"
            )
        return _decode_state(content)
    except (ValueError, LookupError, TypeError, AttributeError, BSONError, RecursionError) as error:
        raise IngestError(
            f"the state {path} is damaged: remove it to count the log again from its beginning"
        ) from error


def save_state(path: Path, state: State) -> None:
    """Write a state to the disk, so that a crash leaves either the previous one or this one.

    :raises IngestError: the file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(_encode_state(state).encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise IngestError(f"the state {path} cannot be written: {error.strerror}") from error


@contextmanager
def lock_state(path: Path) -> Iterator[None]:
    """Prevent another process from using the same state.

    :raises IngestError: another process uses it, or the file for the lock cannot be created.
    """
    try:
        file = path.with_name(f"{path.name}.lock").open("ab")
    except OSError as error:
        raise IngestError(f"the state {path} cannot be locked: {error.strerror}") from error
    with file:
        if not _lock(file):
            raise IngestError(f"another process ingests this log: it uses the state {path}")
        yield


def _encode_state(state: State) -> str:
    content = {
        "format": _FORMAT,
        "writer": state.writer,
        "number": state.number,
        "log": state.log,
        "start": None if state.start is None else asdict(state.start),
        "end": None if state.end is None else asdict(state.end),
        "counts": [[count.project, count.quarter, count.requests, count.latest] for count in state.counts],
    }
    return json.dumps(content, default=_encode_id, separators=(",", ":"))


def _decode_state(content: Mapping[str, Any]) -> State:
    """Convert what was read.

    :raises Exception: a value is missing or has another type.
    """
    writer, number, log = content["writer"], content["number"], content["log"]
    if (
        content["format"] != _FORMAT
        or not re.fullmatch("i[0-9a-f]{8}", writer)
        or not _is_natural(number)
        or not isinstance(log, str | None)
    ):
        raise ValueError
    counts = [Count(*count) for count in content["counts"]]
    if not all(
        is_project_id(count.project, str)
        and _is_natural(count.quarter, count.requests, count.latest)
        and count.quarter <= _MAX // _QUARTER
        for count in counts
    ):
        raise ValueError
    return State(writer, number, log, _decode_position(content["start"]), _decode_position(content["end"]), counts)


def _decode_position(content: Mapping[str, Any] | None) -> Position | None:
    if content is None:
        return None
    position = Position(**content)
    if not re.fullmatch("[0-9a-f]{64}", position.fingerprint) or not _is_natural(position.length, position.offset):
        raise ValueError
    return position


def _is_natural(*values: object) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX for value in values)


def _encode_id(project: ProjectId) -> object:
    # Whether UUIDs are UUID or Binary depends on the options of the collection, so both must be restored as they are.
    return {"$uuid": str(project)} if isinstance(project, UUID) else json_util.default(project)


def _decode_id(document: Mapping[str, Any]) -> object:
    if document.keys() == {"$uuid"}:
        return UUID(document["$uuid"])
    return json_util.object_hook(document, _ID_OPTIONS) if any(key[:1] == "$" for key in document) else document


def _lock(file: BinaryIO) -> bool:
    """Return whether the file could be locked. The system unlocks it when the process ends."""
    try:
        if sys.platform == "win32":  # pragma: no cover
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Make a renamed file survive a power failure. Windows neither needs nor supports it."""
    if sys.platform != "win32":  # pragma: no branch
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
