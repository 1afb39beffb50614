"""Each line is read once, in whatever order a log is written, rotated and read, and readers are killed."""

import os
import random
import shutil
from collections import Counter

import pytest

from flask_usage_stats._recording import file_reader
from flask_usage_stats._recording.log_reader import open_log


class Log:
    """A log with numbered lines, and a reader of it that may be killed."""

    def __init__(self, folder, chance, ways):
        self._path, self._chance, self._ways = folder / "access.log", chance, ways
        self._file = self._path.open("ab", buffering=0)
        self._rest = b""
        self._reader, self._position = None, None
        self.written, self.warnings = 0, []
        #: The blocks that were read since the last commit, and those that were read before.
        self._pending, self.read_blocks = [], []
        self.write(2)
        self.restart()
        self.read()
        self.commit()

    def write(self, lines):
        for _ in range(lines):
            self._file.write(self._rest or self._build_line())
            self._rest = b""

    def write_half(self):
        if not self._rest:
            line = self._build_line()
            end = self._chance.randrange(1, len(line))
            self._file.write(line[:end])
            self._rest = line[end:]

    def _build_line(self):
        self.written += 1
        return f"{self.written} {'x' * self._chance.choice((0, 5, 30, 40))}\n".encode()

    def rotate(self):
        if self._rest:
            self.write(1)
        for number in range(50, 0, -1):
            path = self._path.with_name(f"access.log.{number}")
            if path.exists():
                path.rename(self._path.with_name(f"access.log.{number + 1}"))
        if self._chance.choice(self._ways) == "copytruncate":
            shutil.copyfile(self._path, self._path.with_name("access.log.1"))
            os.truncate(self._path, 0)
            return
        self._path.rename(self._path.with_name("access.log.1"))
        self.write(self._chance.randrange(2))  # late
        self._file.close()
        self._file = self._path.open("ab", buffering=0)
        self.write(self._chance.randrange(3))

    def read(self):
        """Read a block. Return whether there was one, and start again if a reader that does not follow is at its end."""
        block = self._reader.read()
        self._pending.append(block or b"")
        if block is None:
            self.commit()
            self.restart()
        return block is not None

    def commit(self):
        self.read_blocks += self._pending
        self._pending.clear()
        self._position = self._reader.position

    def restart(self, is_followed=None):
        """Kill the reader, and start another one."""
        self._pending.clear()
        self.close()
        is_followed = self._chance.random() < 0.6 if is_followed is None else is_followed
        self._reader = open_log(self._path, self._position, is_followed=is_followed, warn=self.warnings.append)

    def close(self):
        if self._reader is not None:
            self._reader.close()

    def finish(self):
        """Write the last line, and read to the end."""
        if self._rest:
            self.write(1)
        self.restart(is_followed=False)
        while self.read():
            pass
        self.close()
        self._file.close()


@pytest.mark.parametrize("ways", [("rename",), ("copytruncate",), ("rename", "copytruncate")], ids="-".join)
@pytest.mark.parametrize("seeds", [range(start, start + 50) for start in range(0, 200, 50)], ids=str)
def test_random_rotations(tmp_path, monkeypatch, ways, seeds):
    """No order of events loses a line or repeats one."""
    now = 0.0
    monkeypatch.setattr(file_reader, "monotonic", lambda: now)
    for seed in seeds:
        chance = random.Random(seed)  # noqa: S311 # not for secrets
        folder = tmp_path / str(seed)
        folder.mkdir()
        monkeypatch.setattr(file_reader, "BLOCK_SIZE", chance.choice((64, 200, 2**20)))
        log = Log(folder, chance, ways)
        for _ in range(chance.randrange(5, 60)):
            step = chance.choice(("write", "write", "half", "rotate", "read", "read", "read", "commit", "kill", "time"))
            now += 3 if step == "time" else 0
            {
                "write": lambda log=log, chance=chance: log.write(chance.randrange(5)),
                "half": log.write_half,
                "rotate": log.rotate,
                "read": log.read,
                "commit": log.commit,
                "kill": log.restart,
                "time": lambda: None,
            }[step]()
        with monkeypatch.context() as patch:
            patch.setattr(file_reader, "_GRACE", 0.0)
            log.finish()
        found = Counter(int(line.split()[0]) for line in b"".join(log.read_blocks).splitlines() if line)
        assert (seed, found) == (seed, Counter(range(1, log.written + 1)))
        assert log.warnings == []
