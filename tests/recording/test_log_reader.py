"""A log is read line by line while it grows, is rotated or comes through a pipe."""

import os
import shutil
from time import monotonic
from unittest.mock import Mock

import pytest
from support import raiser

from flask_usage_stats._recording import file_reader, pipe_reader, rotation
from flask_usage_stats._recording.ingest_state import IngestError
from flask_usage_stats._recording.log_reader import open_log
from flask_usage_stats._recording.rotation import find_later


@pytest.fixture
def log(tmp_path):
    return tmp_path / "access.log"


@pytest.fixture(autouse=True)
def now(monkeypatch):
    """Set the clock of the grace period."""
    now = [0.0]
    monkeypatch.setattr(file_reader, "monotonic", lambda: now[0])
    return now


def append(path, text):
    with path.open("ab") as file:
        file.write(text)


def read_all(reader):
    """Read to the present end."""
    found = b""
    while (data := reader.read()) is not None:
        found += data
    return found


def read_later(reader, now):
    """Read to the present end, and again after the grace period."""
    found = read_all(reader)
    now[0] += 3
    return found + read_all(reader)


@pytest.fixture
def follow(log):
    """Open the log to follow it, at a position."""
    readers, warnings = [], []

    def follow(position=None):
        reader = open_log(log, position, is_followed=True, warn=warnings.append)
        readers.append(reader)
        return reader

    follow.warnings = warnings
    yield follow
    for reader in readers:
        reader.close()


class TestFollowing:
    def test_a_growing_file(self, log, follow):
        """Lines are read once they have an end."""
        reader = follow()
        assert reader.read() is None
        append(log, b"1\n2\n3")
        assert read_all(reader) == b"1\n2\n"
        append(log, b"3\n")
        assert read_all(reader) == b"33\n"
        assert read_all(reader) == b""

    def test_a_renamed_file(self, log, follow, now):
        """It is read until its successor has been written to for some time, since its writer may be late."""
        append(log, b"1\n")
        reader = follow()
        assert read_all(reader) == b"1\n"
        old = log.rename(log.with_name("access.log.1"))
        append(old, b"2\n")
        assert read_all(reader) == b"2\n"
        log.touch()
        now[0] = 100.0
        append(old, b"3\n")
        assert read_all(reader) == b"3\n"
        append(log, b"new\n")
        append(old, b"4\n")
        assert read_all(reader) == b"4\n"
        append(old, b"5")
        now[0] += 1
        assert read_all(reader) == b""
        now[0] += 2
        assert read_all(reader) == b"5\nnew\n"
        append(log, b"newer\n")
        assert read_all(reader) == b"newer\n"
        assert follow.warnings == []

    @pytest.mark.parametrize("is_copied", [True, False])
    @pytest.mark.parametrize("new", [b"", b"n\n", b"a new line that is longer than all lines before\n"])
    def test_a_truncated_file(self, log, follow, now, is_copied, new):
        """Its new content is read from the beginning, and what was missed from the copy."""
        append(log, b"1\n2\n")
        reader = follow()
        assert read_all(reader) == b"1\n2\n"
        append(log, b"3\n")
        if is_copied:
            shutil.copy(log, log.with_name("access.log.1"))
        os.truncate(log, 0)
        append(log, new)
        assert read_later(reader, now) == (b"3\n" if is_copied else b"") + new
        append(log, b"later\n")
        assert read_later(reader, now) == b"later\n"
        assert len(follow.warnings) == (0 if is_copied else 1)

    def test_truncation_while_it_is_read(self, log, follow, now, monkeypatch):
        """A block counts only if the file still begins as before after it was read."""
        append(log, b"1\n" * 600)
        reader = follow()
        assert read_all(reader) == b"1\n" * 600
        append(log, b"2\n")
        real = os.fstat

        def truncate(descriptor):
            monkeypatch.setattr(os, "fstat", real)
            shutil.copy(log, log.with_name("access.log.1"))
            os.truncate(log, 0)
            return real(descriptor)

        monkeypatch.setattr(os, "fstat", truncate)
        assert read_all(reader) == b"2\n"
        append(log, b"3\n" * 700)
        assert read_later(reader, now) == b"3\n" * 700
        assert follow.warnings == []

    def test_a_truncated_first_line(self, log, follow, now):
        """A line that got its end before the file was copied and truncated is read from the copy."""
        append(log, b"1\n")
        reader = follow()
        assert read_all(reader) == b"1\n"
        log.rename(log.with_name("access.log.2"))
        append(log, b"2")
        assert read_later(reader, now) == b""
        append(log, b"2\n")
        shutil.copy(log, log.with_name("access.log.1"))
        os.truncate(log, 0)
        append(log, b"a longer line\n")
        assert read_later(reader, now) + read_later(reader, now) == b"22\na longer line\n"
        assert follow.warnings == []

    def test_a_position(self, log, follow, now):
        """A reader goes on where another one ended, also in a file that was renamed meanwhile."""
        append(log, b"1\n2\n")
        reader = follow()
        assert read_all(reader) == b"1\n2\n"
        position = reader.position
        append(log, b"3\n")
        log.rename(log.with_name("access.log.1"))
        append(log, b"4\n")
        assert read_later(follow(position), now) == b"3\n4\n"

    def test_a_rotation_while_the_next_file_is_opened(self, log, follow, now, monkeypatch):
        """The file that was renamed meanwhile is the next one."""
        append(log, b"1\n")
        reader = follow()
        assert read_all(reader) == b"1\n"
        log.rename(log.with_name("access.log.1"))
        append(log, b"2\n")
        assert read_all(reader) == b""
        now[0] += 3

        def rotate(path, file):
            later = find_later(path, file)
            if not log.with_name("access.log.2").exists():
                log.with_name("access.log.1").rename(log.with_name("access.log.2"))
                log.rename(log.with_name("access.log.1"))
                append(log, b"3\n")
            return later

        monkeypatch.setattr(file_reader, "find_later", rotate)
        assert [read_later(reader, now) for _ in range(2)] == [b"2\n", b"3\n"]

    def test_late_lines(self, log, follow, now):
        """Each line that is still written to the renamed file extends the wait."""
        append(log, b"1\n")
        reader = follow()
        assert read_all(reader) == b"1\n"
        old = log.rename(log.with_name("access.log.1"))
        append(log, b"new\n")
        for line in (b"2\n", b"3\n", b"4\n"):
            append(old, line)
            now[0] += 1.5
            assert read_all(reader) == line
        assert read_later(reader, now) == b"new\n"

    def test_a_file_that_disappears(self, log, follow, now, monkeypatch):
        """A file that is compressed while the files are listed is not the next one."""
        append(log, b"1\n")
        reader = follow()
        assert read_all(reader) == b"1\n"
        log.unlink()
        append(log, b"2\n")
        monkeypatch.setattr(rotation, "list_beside", lambda path: [path.with_name("access.log.1")])
        assert read_later(reader, now) == b"2\n"

    def test_a_missing_file(self, log, follow):
        """The log may appear later."""
        reader = follow()
        assert read_all(reader) == b""
        append(log, b"1\n")
        assert read_all(reader) == b"1\n"


def test_a_closed_folder(log, monkeypatch):
    """A log that cannot be looked at is a file, whose error is reported when it is opened."""
    error = PermissionError(13, "Permission denied")
    monkeypatch.setattr("pathlib.Path.stat", raiser(error))
    monkeypatch.setattr("pathlib.Path.open", raiser(error))
    with pytest.raises(IngestError, match=r"the log .* cannot be opened: Permission denied"):
        open_log(log, None, is_followed=False, warn=lambda _: None)


def test_an_unreadable_file(log, follow, monkeypatch):
    """An error of the system is one message, and nothing was read."""
    append(log, b"1\n")
    reader = follow()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", Mock(side_effect=OSError(5, "Input/output error")))
        with pytest.raises(IngestError, match=r"the log .* cannot be read: Input/output error"):
            reader.read()
    assert read_all(reader) == b"1\n"
    reader.close()
    reader.close()


class TestPipe:
    @pytest.fixture
    def pipe(self, log):
        """Open a pipe, and return its reader and its writing end."""
        os.mkfifo(log)
        reader = open_log(log, None, is_followed=False, warn=lambda _: None)
        file = log.open("wb", buffering=0)
        yield reader, file
        file.close()
        reader.close()

    def test_lines(self, pipe, monkeypatch):
        """Lines are read once they have an end, and the last one at the end of the pipe."""
        monkeypatch.setattr(pipe_reader, "_WAIT", 0.01)
        reader, file = pipe
        assert reader.read() == b""
        file.write(b"1\n2")
        assert reader.read() == b"1\n"
        file.write(b"2\n3")
        assert reader.read() == b"22\n"
        assert reader.read() == b""
        file.close()
        assert [reader.read(), reader.read(), reader.read()] == [b"3", None, None]
        assert reader.position is None

    def test_long_lines(self, pipe, monkeypatch):
        """A line that is longer than a block is unreadable, and nothing else is lost."""
        monkeypatch.setattr(pipe_reader, "BLOCK_SIZE", 20)
        monkeypatch.setattr(pipe_reader, "_WAIT", 0.01)
        reader, file = pipe
        file.write(b"1\n" + b"x" * 70 + b"\n2\n" + b"y" * 70 + b"\n3\n4")
        file.close()
        assert read_all(reader) == b"1\n2\n3\n4"
        assert reader.unreadable == 2

    def test_the_end_of_a_long_line(self, pipe, monkeypatch):
        """It is not a line itself."""
        monkeypatch.setattr(pipe_reader, "BLOCK_SIZE", 20)
        reader, file = pipe
        file.write(b"x" * 35 + b"\n2")
        file.close()
        assert read_all(reader) == b"2"
        assert reader.unreadable == 1

    def test_a_folder(self, tmp_path):
        """What cannot be opened is an error."""
        reader = open_log(tmp_path, None, is_followed=False, warn=lambda _: None)
        with pytest.raises(IngestError, match="cannot be opened: Is a directory"):
            reader.read()
        reader.close()

    def test_without_a_writer(self, log, monkeypatch):
        """Reading does not wait for one, so that a signal can end the command."""
        monkeypatch.setattr(pipe_reader, "_WAIT", 0.01)
        os.mkfifo(log)
        reader = open_log(log, None, is_followed=False, warn=lambda _: None)
        assert reader.read() == b""
        reader.close()
        with log.open("wb") as file:
            file.write(b"1\n")
        deadline = monotonic() + 10
        while not (found := read_all(reader)) and monotonic() < deadline:
            pass
        assert found == b"1\n"
        reader.close()
