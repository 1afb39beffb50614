"""Recorders under faults, and the account of what they recorded and what is stored."""

import contextlib
import json
import random
import secrets
import threading
import time
from collections import Counter
from pathlib import Path

from pymongo import MongoClient, WriteConcern

from flask_usage_stats import ProjectStore, UsageHistory, UsageRecorder

PROJECTS = 60
#: What the counts of projects are before a test, in turn; -1 stands for a missing one.
STORED = (None, 5, -1)


class CountTrial:
    """The projects and recorders of a test, and what was recorded under its fault.

    :param uri: of the server, without a proxy.
    """

    def __init__(self, uri):
        self._control = MongoClient(uri)
        self.name = f"counting_{secrets.token_hex(4)}"
        self.projects = self._control[self.name].get_collection(
            "projects", write_concern=WriteConcern("majority", j=True)
        )
        self.projects.insert_many(
            {"_id": number} | ({} if stored == -1 else {"totalRequest": stored})
            for number in range(PROJECTS)
            for stored in [STORED[number % 3]]
        )
        self.before = {number: max(0, STORED[number % 3] or 0) for number in range(PROJECTS)}
        self.recorders, self.clients = [], []
        #: The recorded requests of each project.
        self.recorded = Counter()
        #: How many requests were counted, and what became of the others, in words.
        self.counted, self.others = 0, Counter()
        self._lock = threading.Lock()

    def recorder(self, uri, **options):
        """Build a recorder with a client of its own."""
        client = MongoClient(uri, heartbeatFrequencyMS=500)
        self.clients.append(client)
        options = {"interval": 0.05, "timeout": 2.0} | options
        history = UsageHistory(client[self.name].usage_history)
        recorder = UsageRecorder(ProjectStore(client[self.name].projects), history=history, **options)
        self.recorders.append(recorder)
        return recorder

    def record(self, recorder, project, n=1):
        recorder.record(project, n)
        with self._lock:
            self.recorded[project] += n

    @contextlib.contextmanager
    def load(self, projects=range(PROJECTS)):
        """Record from a thread for each recorder inside a ``with`` block."""
        stop = threading.Event()

        def record(recorder, seed):
            chance = random.Random(seed)  # noqa: S311 # not for secrets
            while not stop.is_set():
                self.record(recorder, chance.choice(projects), chance.randint(1, 50))
                time.sleep(0.0005)

        threads = [threading.Thread(target=record, args=entry) for entry in zip(self.recorders, range(9), strict=False)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def flush(self, seconds=60):
        """Write everything that is pending, and stop the threads."""
        deadline = time.monotonic() + seconds
        for recorder in self.recorders:
            while not recorder.close():
                assert time.monotonic() < deadline, recorder.stats

    def stored(self):
        """Return by how much the count of each project has grown."""
        return Counter(
            {
                document["_id"]: (document.get("totalRequest") or 0) - self.before[document["_id"]]
                for document in self.projects.find()
            }
        )

    def history(self):
        """Return what the history has for each project."""
        total = Counter()
        for document in self._control[self.name].usage_history.find({"_id": {"$ne": "since"}}):
            assert sum(document["q"].values()) == document["n"]
            total[document["_id"]["p"]] += document["n"]
        return total

    def check_exact(self):
        """Check that each project and the history have exactly what was recorded, and that nothing was dropped."""
        self.flush()
        assert self.stored() == self.history() == self.recorded
        self.counted = self.stored().total()
        self.check_statistics(written=self.counted)

    def check_statistics(self, written, **dropped):
        """Check what the recorders say about the requests, which add up to what was recorded."""
        found = Counter()
        for recorder in self.recorders:
            stats = recorder.stats
            found += Counter(stats.dropped) + Counter({"written": stats.written, "pending": stats.pending})
        assert found == Counter(dropped) + Counter({"written": written})
        assert found.total() == self.recorded.total()

    @property
    def failures(self):
        return sum(recorder.stats.failures for recorder in self.recorders)

    def close(self):
        for recorder in self.recorders:
            recorder.close(0.1)
        for client in (*self.clients, self._control):
            client.close()


def write_down(node, running, results):
    """Append the result of a test to a file, for ``docs/reliability.md``."""
    fault, expected = node.get_closest_marker("injects").args
    line = {
        "test": node.originalname,
        "group": node.module.GROUP,
        "what": fault,
        "promise": expected,
        "recorded": running.recorded.total(),
        "counted": running.counted,
        "others": running.others,
        "failures": running.failures,
    }
    with Path(results).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
