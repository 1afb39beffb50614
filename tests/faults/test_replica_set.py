"""Replica sets of three whose members step down, die or freeze."""

import contextlib
import itertools
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

pytestmark = pytest.mark.xdist_group("replica set")
TIMEOUT = 5  # seconds: the default of a store, and longer than an election


def injects(what, promise):
    return pytest.mark.injects("Replica set of three", what, promise)


def step_down(replica_set):
    uri = replica_set.primary().uri
    with MongoClient(uri, directConnection=True) as client, contextlib.suppress(AutoReconnect):
        client.admin.command("replSetStepDown", 2, force=True)


@contextlib.contextmanager
def load(host, threads=8):
    """Let threads ask without a pause; the list is filled with their answers at the end."""
    answers, stop = [], threading.Event()

    def ask():
        mine = []
        while not stop.is_set():
            mine.append(host.get())
        return mine

    with ThreadPoolExecutor(threads) as pool:
        asking = [pool.submit(ask) for _ in range(threads)]
        try:
            time.sleep(0.3)
            yield answers
        finally:
            stop.set()
        answers.extend(itertools.chain.from_iterable(one.result() for one in asking))


def until_whole(trial, host, seconds=15):
    """Ask until an answer is whole again."""
    deadline = time.monotonic() + seconds
    answer = host.get()
    while answer.status != 200:
        trial.judge(host, answer, {500})
        assert time.monotonic() < deadline
        answer = host.get()
    trial.judge(host, answer, {200})


@injects("the primary steps down between two requests", "whole answers")
def test_step_down(trial, replica_set):
    """A step-down while nobody asks costs no answer: the request waits for the election."""
    host = trial.host(replica_set.uri, timeout=TIMEOUT)
    trial.healthy(host)
    step_down(replica_set)
    trial.serving(host)
    trial.healthy(host)


@injects("the primary steps down under 8 threads that ask without a pause", "whole answers")
def test_step_down_under_load(trial, replica_set):
    """A step-down under load costs no answer."""
    host = trial.host(replica_set.uri, owner="bob", timeout=TIMEOUT)
    trial.healthy(host)
    with load(host) as answers:
        step_down(replica_set)
        replica_set.primary()
        time.sleep(0.5)
    for answer in answers:
        trial.judge(host, answer, {200})


@injects("the primary is killed under 8 threads that ask without a pause", "whole answers")
def test_primary_killed(trial, replica_set):
    """A primary that dies under load costs no answer."""
    host = trial.host(replica_set.uri, owner="bob", timeout=TIMEOUT)
    trial.healthy(host)
    with load(host) as answers:
        replica_set.primary().stop()
        time.sleep(3)
    for answer in answers:
        trial.judge(host, answer, {200})
    trial.healthy(host)


@injects("the primary is frozen under 8 threads that ask without a pause", "whole or the error, then whole answers")
def test_primary_frozen(trial, replica_set):
    """A primary that stands still costs at most the answers that wait for it; then another one serves."""
    host = trial.host(replica_set.uri, owner="bob", timeout=2)
    trial.healthy(host)
    primary = replica_set.primary()
    with load(host) as answers:
        primary.send(signal.SIGSTOP)
        time.sleep(3)
    for answer in answers:
        trial.judge(host, answer, {200, 500})
    until_whole(trial, host)
    primary.send(signal.SIGCONT)
    trial.healthy(host)


@injects("two of the three are killed, and the client reads from the primary where there is one", "whole answers")
def test_two_down_with_primary_preferred(trial, replica_set):
    """With `primaryPreferred`, the last member serves."""
    host = trial.host(replica_set.uri, timeout=TIMEOUT, readPreference="primaryPreferred")
    trial.healthy(host)
    primary = replica_set.primary()
    for member in [one for one in replica_set.members if one is not primary][:1] + [primary]:
        member.stop()
    trial.serving(host)
    trial.serving(host)


@injects("two of the three are killed, and the client reads from a primary only", "the error, then whole answers")
def test_two_down(trial, replica_set):
    """Without a primary there is no answer, until there is one again."""
    host = trial.host(replica_set.uri, timeout=1)
    trial.healthy(host)
    primary = replica_set.primary()
    for member in [one for one in replica_set.members if one is not primary]:
        member.stop()
    while_it_steps_down(primary)
    trial.failing(host)
    replica_set.heal()
    until_whole(trial, host)


def while_it_steps_down(member):
    """Wait until a primary without a majority has seen that it is alone."""
    with MongoClient(member.uri, directConnection=True) as client:
        deadline = time.monotonic() + 30
        while client.admin.command("hello")["isWritablePrimary"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
