"""Recorders whose database, network or process fails, and projects that change meanwhile."""

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from faults.conftest import ROUNDS
from faults.counting import PROJECTS
from faults.test_replica_set import step_down
from support import ROOT

from flask_usage_stats._mongodb import writer_entries
from flask_usage_stats._recording import flusher, ledger

GROUP = "Counting"
#: How often a fault occurs within one test.
TIMES = 1 if ROUNDS == 1 else 5
INTERVAL = 0.2  # seconds between the flushes of processes that are killed
FLUSH = 0.5  # seconds that a flush may take on a busy machine

on_replica_set = pytest.mark.xdist_group("replica set")


def cut_some(proxy, share):
    """Reset the connection instead of a share of the replies to the recorders' commands."""
    chance = random.Random(share)  # noqa: S311 # not for secrets

    async def cut(reply, line):
        if chance.random() < share:
            proxy.cut += 1
            line.reset()
        else:
            await line.send(reply)

    proxy.cut = 0
    proxy.damage(cut, commands=("update", "find"))


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.injects("half of the replies to the writes of three recorders are lost", "every request is counted once")
def test_replies_lost(count_trial, server, proxy):
    """A write whose reply is lost is sent again until its result is known."""
    for _ in range(3):
        count_trial.recorder(proxy.uri)
    cut_some(proxy, 0.5)
    with count_trial.load():
        wait_for(lambda: proxy.cut >= 30 * TIMES)
    proxy.mend()
    count_trial.check_exact()


@on_replica_set
@pytest.mark.injects("the primary is killed while two recorders write", "every request is counted once")
def test_primary_killed_while_counting(count_trial, replica_set):
    """A batch that was applied before the primary died is found by the next one."""
    for _ in range(2):
        count_trial.recorder(replica_set.uri)
    with count_trial.load():
        for _ in range(TIMES):
            written = [recorder.stats.written for recorder in count_trial.recorders]
            wait_for(lambda written=written: count_trial.recorders[0].stats.written > written[0])
            replica_set.primary().stop()
            time.sleep(0.5)
            replica_set.heal()
    count_trial.check_exact()


@on_replica_set
@pytest.mark.injects("the primary steps down while two recorders write", "every request is counted once")
def test_step_down_while_counting(count_trial, replica_set):
    """A batch that was interrupted by an election is sent again."""
    for _ in range(2):
        count_trial.recorder(replica_set.uri)
    with count_trial.load():
        for _ in range(TIMES):
            step_down(replica_set)
            replica_set.primary()
            time.sleep(0.5)
    count_trial.check_exact()


@pytest.mark.injects(
    "the server's process is killed and stays down for several intervals", "every request is counted once"
)
def test_server_down(count_trial, server):
    """Counts wait until the server is back."""
    for _ in range(2):
        count_trial.recorder(server.uri, timeout=0.3)
    with count_trial.load():
        for _ in range(TIMES):
            time.sleep(0.3)
            server.stop()
            time.sleep(1)
            server.start()
    assert count_trial.failures
    count_trial.check_exact()


@pytest.mark.injects(
    "the server's process is down while more projects are counted than may wait",
    "every request is counted once or dropped as `full`",
)
def test_queue_is_full(count_trial, server):
    """What does not fit is dropped and said; everything else is written when the server is back."""
    recorder = count_trial.recorder(server.uri, timeout=0.2, max_pending=20)
    server.stop()
    with count_trial.load():
        time.sleep(2 * TIMES)
        assert recorder.stats.dropped["full"]
    server.start()
    count_trial.flush()
    count_trial.counted = count_trial.stored().total()
    full = count_trial.recorded.total() - count_trial.counted
    count_trial.others["full"] = full
    count_trial.check_statistics(written=count_trial.counted, full=full)
    assert not count_trial.stored() - count_trial.recorded
    assert count_trial.history() == count_trial.stored()


@pytest.mark.injects(
    "a process that counts is killed",
    "at most the requests of its last interval are missing, and none is counted twice",
)
def test_process_killed(count_trial, server):
    """A process that is killed loses what it has not written."""
    for _ in range(3 * TIMES):
        count_trial.recorders.clear()  # the process is the recorder
        before, history_before = count_trial.stored().total(), count_trial.history().total()
        recorded, at_least = run_and_kill(server.uri, count_trial.name)
        count_trial.recorded["killed"] += recorded
        counted = count_trial.stored().total() - before
        assert at_least <= counted <= recorded
        # The process may have been killed after it has written a batch to the projects, and before the history.
        assert 0 <= counted - (count_trial.history().total() - history_before) <= recorded - at_least
        count_trial.counted += counted
    count_trial.others["lost"] = count_trial.recorded.total() - count_trial.counted


PROCESS = """
import sys, time
from pymongo import MongoClient
from flask_usage_stats import ProjectStore, UsageHistory, UsageRecorder

uri, database, interval, first, end = sys.argv[1:]
db = MongoClient(uri)[database]
recorder = UsageRecorder(ProjectStore(db.projects), history=UsageHistory(db.usage_history), interval=float(interval))
projects = range(int(first), int(end))
number = 0
while True:
    number += 1
    recorder.record(projects[number % len(projects)])
    print(time.time(), number, flush=True)
    time.sleep(0.001)
"""


def run_and_kill(uri, database, projects=range(PROJECTS)):
    """Run a process that counts, and kill it.

    :returns: how many requests it may have recorded, and how many must have been counted if flushes were fast.
    """
    command = [sys.executable, "-c", PROCESS, uri, database, *map(str, (INTERVAL, projects.start, projects.stop))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()  # the start takes long
        killer = threading.Timer(random.uniform(1, 2), process.kill)  # noqa: S311 # not for secrets
        killer.start()
        lines = [first, *process.stdout]
    entries = [tuple(map(float, line.split())) for line in lines if line.endswith("\n")]
    killed, recorded = entries[-1]
    written = [number for moment, number in entries if moment < killed - INTERVAL - FLUSH]
    return int(recorded) + 1, int(written[-1])  # the last request may have been recorded without its line


@pytest.mark.injects(
    "projects are deleted, and null counts are replaced by another program, while two recorders write",
    "every request is counted once, or dropped as `unknown` after the deletion",
)
def test_projects_change_while_they_are_counted(count_trial, server):
    """What other programs do to a project neither loses nor repeats the counts of recorders."""
    for _ in range(2):
        count_trial.recorder(server.uri, interval=0.01)
    deleted = Counter()
    with count_trial.load():
        for number in range(0, PROJECTS, 2):
            # As soon as there is a null value, it is replaced: a recorder may be about to do so as well.
            count_trial.projects.update_one({"_id": number + 1, "totalRequest": None}, {"$set": {"totalRequest": 0}})
            document = count_trial.projects.find_one_and_delete({"_id": number})
            deleted[number] = (document.get("totalRequest") or 0) - count_trial.before[number]
            count_trial.projects.update_one({"_id": number + 1}, {"$inc": {"totalRequest": 1000}})
            count_trial.before[number + 1] += 1000
            time.sleep(0.02 * TIMES)
    count_trial.flush()
    stored = count_trial.stored()
    assert stored == Counter({number: count_trial.recorded[number] for number in range(1, PROJECTS, 2)})
    assert stored <= count_trial.history() <= count_trial.recorded
    assert {number: count_trial.history()[number] for number in stored} == stored
    assert not deleted - count_trial.recorded
    count_trial.counted = stored.total() + deleted.total()
    count_trial.others["unknown"] = count_trial.recorded.total() - count_trial.counted
    # A request is also unknown if its project was deleted before the recorder saw that it had been counted.
    written = sum(recorder.stats.written for recorder in count_trial.recorders)
    assert stored.total() < written <= count_trial.counted
    count_trial.check_statistics(written=written, unknown=count_trial.recorded.total() - written)


@pytest.mark.injects(
    "the entries of a batch whose reply was lost are removed by another recorder before it is sent again",
    "the batch is dropped as `in_doubt`",
)
def test_entries_removed_while_in_doubt(count_trial, server, proxy, monkeypatch):
    """A batch that can no longer be recognized in the documents is never sent again."""
    monkeypatch.setattr(writer_entries, "_ENTRY_LIFETIME", timedelta(seconds=0.4))
    monkeypatch.setattr(flusher, "MAX_DOUBT", 0.3)
    cut, other = count_trial.recorder(proxy.uri, interval=3600), count_trial.recorder(server.uri, interval=3600)
    for number in range(PROJECTS):
        count_trial.record(cut, number, 2)
    cut_some(proxy, 1)
    assert not cut.flush()
    applied = count_trial.stored().total()
    time.sleep(0.5)
    for number in range(PROJECTS):
        count_trial.record(other, number, 3)
    assert other.flush()
    assert not count_trial.projects.count_documents(
        {f"usageWriters.{cut._state.flusher.writer.name}": {"$exists": True}}
    )
    proxy.mend()
    count_trial.flush()
    count_trial.counted = count_trial.stored().total()
    assert count_trial.counted == applied + 3 * PROJECTS
    # The null counts were not yet replaced when the reply was lost; the others were applied, and nobody can know.
    assert applied == 2 * (PROJECTS - len(range(0, PROJECTS, 3)))
    count_trial.others["in doubt"] = 2 * PROJECTS
    assert count_trial.history().total() == 3 * PROJECTS
    count_trial.check_statistics(written=3 * PROJECTS, in_doubt=2 * PROJECTS)


@pytest.mark.injects(
    "the clock is set back by half an hour while replies to two recorders are lost", "every request is counted once"
)
def test_clock_set_back(count_trial, server, proxy, monkeypatch):
    """The numbers of batches never decrease."""
    back = 0
    monkeypatch.setattr(ledger, "time", lambda: time.time() - back)
    for _ in range(2):
        count_trial.recorder(proxy.uri)
    cut_some(proxy, 0.3)
    with count_trial.load():
        for _ in range(3):
            wait_for(lambda: proxy.cut >= 5 * TIMES)
            proxy.cut = 0
            back += 600
    proxy.mend()
    count_trial.check_exact()


@on_replica_set
@pytest.mark.injects(
    "all at once: the primary of three is killed, the clock is set back, null counts are replaced, and projects are"
    " deleted, while two recorders and a process that is killed write",
    "every request of the recorders to the other projects is counted once",
)
def test_all_at_once(count_trial, replica_set, monkeypatch):
    """Faults that coincide do not add up to a wrong count."""
    back = 0
    monkeypatch.setattr(ledger, "time", lambda: time.time() - back)
    for _ in range(2):
        count_trial.recorder(replica_set.uri)
    kept, deleted, others = range(40), range(40, 50), range(50, PROJECTS)
    killed = 0
    with count_trial.load(projects=range(50)), ThreadPoolExecutor(1) as pool:
        for turn in range(TIMES):
            process = pool.submit(run_and_kill, replica_set.uri, count_trial.name, others)
            time.sleep(1.5)
            replica_set.primary().stop()
            back += 60
            killed += process.result()[0]
            replica_set.heal()
            count_trial.projects.delete_one({"_id": deleted[turn]})
    count_trial.flush()
    stored = count_trial.stored()
    assert {number: stored[number] for number in kept} == {number: count_trial.recorded[number] for number in kept}
    assert 0 < sum(stored[number] for number in others) <= killed
    assert {number: count_trial.history()[number] for number in kept} == {number: stored[number] for number in kept}
    count_trial.counted = sum(recorder.stats.written for recorder in count_trial.recorders)
    count_trial.others["unknown"] = count_trial.recorded.total() - count_trial.counted
    count_trial.check_statistics(written=count_trial.counted, **count_trial.others)
    assert count_trial.others["unknown"] <= sum(count_trial.recorded[number] for number in deleted)
