"""Ingests under faults, and the account of what was logged and what is stored."""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC
from pathlib import Path

from faults.counting import CountTrial

_QUARTER = 900  # seconds
_HOURS = 6  # over which the times of requests are spread
_COMMAND = (sys.executable, "-m", "flask", "--app")
_APPLICATION = Path(__file__).with_name("ingested.py")


def _traefik(host, moment, method):
    start = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03}000000Z"
    return {"RequestHost": host, "RequestMethod": method, "StartUTC": start, "DownstreamStatus": 200}


def _caddy(host, moment, method):
    return {"level": "info", "ts": moment, "request": {"method": method, "host": host, "uri": "/"}, "status": 200}


def _nginx(host, moment, method):
    return {"msec": f"{moment:.3f}", "host": host, "request_method": method, "status": "200"}


class IngestTrial(CountTrial):
    """The projects, the log and the ingests of a test."""

    def __init__(self, uri, folder):
        super().__init__(uri)
        self.log = folder / "access.log"
        self.state = folder / "access.log.usage-state"
        self.uri = uri
        for number in self.before:
            self.projects.update_one({"_id": number}, {"$set": {"domains": [f"{number}.example"]}})
        #: The requests of each project and quarter of an hour that the history must have.
        self.quarters = Counter()
        self.interruptions = 0
        self._chance = random.Random()  # noqa: S311 # not for secrets
        self._writing = threading.Lock()
        self._processes = []
        self._file = self.log.open("ab", buffering=0)

    @property
    def failures(self):
        return self.interruptions

    # The log

    def write(self, number=None, project_of=lambda number: number):
        """Append the line of a request to one of the projects, or to an unknown host."""
        data, chance = self.build_line(number, project_of), self._chance
        with self._writing:
            # Not always in one piece, since a reader may see half a line.
            cut = chance.choice((len(data), chance.randrange(len(data))))
            self._file.write(data[:cut])
            if cut < len(data):
                self._file.write(data[cut:])

    def build_line(self, number=None, project_of=lambda number: number, times=1):
        """Return the line of a request to one of the projects, or to an unknown host, which is logged some times."""
        chance = self._chance
        number = chance.randrange(len(self.before) + 3) if number is None else number
        # Milliseconds that a float and all formats have exactly.
        moment = int(time.time() - chance.random() * _HOURS * 3600) + chance.randrange(8) / 8
        method = chance.choice(("GET", "GET", "POST", "HEAD"))
        line = chance.choice((_traefik, _caddy, _nginx))(f"{number}.EXAMPLE:443", moment, method)
        with self._lock:
            if method == "HEAD":
                self.others["skipped"] += times
            elif number not in self.before:
                self.others["unknown"] += times
            else:
                project = project_of(number)
                self.recorded[project] += times
                self.quarters[project, int(moment // _QUARTER)] += times
        return json.dumps(line).encode() + chance.choice((b"\n", b"\r\n"))

    def record(self, recorder, project, n=1):
        super().record(recorder, project, n)
        with self._lock:
            self.quarters[project, int(time.time() // _QUARTER)] += n

    @contextlib.contextmanager
    def traffic(self):
        """Append lines from a thread inside a ``with`` block."""
        stop = threading.Event()

        def write():
            while not stop.is_set():
                for _ in range(20):
                    self.write()
                time.sleep(0.005)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def rotate(self, way):
        """Rotate the log as logrotate does: *way* is ``"rename"`` or ``"copytruncate"``."""
        with self._writing:
            for number in range(99, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    self._rotated(number).rename(self._rotated(number + 1))
            if way == "copytruncate":
                shutil.copyfile(self.log, self._rotated(1))
                os.truncate(self.log, 0)
                return
            self.log.rename(self._rotated(1))
        # The proxy goes on writing to the renamed file until it is told to open the new one.
        time.sleep(0.05)
        with self._writing:
            self._file.close()
            self._file = self.log.open("ab", buffering=0)

    def _rotated(self, number):
        return self.log.with_name(f"{self.log.name}.{number}")

    # The ingests

    def start(self, *options, uri=None):
        """Start the command."""
        environment = os.environ | {"INGEST_URI": uri or self.uri, "INGEST_DATABASE": self.name}
        process = subprocess.Popen(
            [*_COMMAND, f"{_APPLICATION}:create_app", "usage", "ingest", *options, self.log],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def run(self, *options, **places):
        """Run the command to its end, and return its exit code and output."""
        process = self.start(*options, **places)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors

    def pipe(self, lines):
        """Pass lines to the command, and return its output and peak memory in bytes."""
        peak = self.log.with_name("peak")
        run = subprocess.run(
            [
                *_COMMAND,
                f"{_APPLICATION}:create_unchanged_app",
                "usage",
                "ingest",
                "--state",
                self.log.with_name("pipe.usage-state"),
                "/dev/stdin",
            ],
            env=os.environ | {"INGEST_URI": self.uri, "INGEST_DATABASE": self.name, "INGEST_PEAK": str(peak)},
            input=lines,
            stdout=subprocess.PIPE,
            check=True,
        )
        return run.stdout.decode(), int(peak.read_text()) * 1024

    def kill(self, process):
        process.kill()
        process.communicate()
        self.interruptions += 1

    def kill_at_random(self, process):
        """Kill a command at a random moment, which is mostly one at which it is writing a batch."""
        time.sleep(self._chance.uniform(0, 0.5))
        if self._chance.random() < 0.7:
            deadline = time.monotonic() + 10
            while not self.pending() and time.monotonic() < deadline:
                pass
            time.sleep(self._chance.uniform(0, 0.01))
        self.kill(process)

    def terminate(self, process):
        """End a command that follows the log, which writes what it has read."""
        process.terminate()
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        return output, errors

    def pending(self):
        """Return the batch of the state that has not been written for certain."""
        return json.loads(self.state.read_bytes())["counts"] if self.state.exists() else []

    def check_exact(self):
        """Read the log to its end, and check each count; a second run must not add anything."""
        code, _, errors = self.run()
        assert code == 0, errors
        assert self.run() == (0, "0 counted, 0 unknown, 0 unreadable, 0 skipped\n", "")
        self.flush()
        assert self.stored() == self.history() == self.recorded
        found = Counter()
        for document in self._control[self.name].usage_history.find({"_id": {"$ne": "since"}}):
            first = int(document["_id"]["d"].replace(tzinfo=UTC).timestamp()) // _QUARTER
            found.update({(document["_id"]["p"], first + int(index)): n for index, n in document["q"].items()})
        assert found == self.quarters
        self.counted = self.stored().total()

    def close(self):
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self._file.close()
        super().close()
