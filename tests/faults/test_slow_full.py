"""Servers that are slow or frozen, and clients that are full."""

import signal
import threading
import time

import pymongo
import pytest
from faults.application import TIMEOUT, armed, connections_of


def injects(what, promise):
    return pytest.mark.injects("Slow and full", what, promise)


@pytest.mark.parametrize("command", ["find", "getMore"])
@injects("the server takes 3 s over a command", "the error, then whole answers")
def test_blocked_command(trial, server, command):
    """A command that takes too long is the error in time, also behind the first batch."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, [command], blockConnection=True, blockTimeMS=3000):
        trial.failing(host)
        trial.failing(host)
    trial.healthy(host)


@injects("the server takes a little over a command", "whole answers")
def test_slow_in_time(trial, server):
    """A command that is slow but in time costs no answer."""
    host = trial.host(server.uri)
    with armed(server.uri, host, ["find"], blockConnection=True, blockTimeMS=300):
        trial.serving(host)


@injects("the query needs minutes of the server's work", "the error, and no operation left on the server")
def test_slow_query(trial, server):
    """A query that is too slow is ended on the server, too."""
    slow = [True]

    def owner_filter(owner):
        return {"owner": owner} | ({"$where": "sleep(100) || true"} if slow[0] else {})

    host = trial.host(server.uri, owner_filter=owner_filter)
    asking = threading.Thread(target=trial.failing, args=[host])
    asking.start()
    time.sleep(0.5)
    assert queries(server, host)
    asking.join()
    deadline = time.monotonic() + 1
    while queries(server, host):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    slow[0] = False
    trial.healthy(host)


def queries(server, host):
    """Say which queries the server works on for a host."""
    return [one for one in connections_of(server.uri, host.name) if one["active"] and "find" in one.get("command", {})]


@injects("the host's other work holds every connection of the pool", "the error, then whole answers")
def test_exhausted_pool(trial, server):
    """A pool without a free connection is the error in time, where the driver alone would wait for ever."""
    host = trial.host(server.uri, maxPoolSize=1)
    trial.healthy(host)
    with armed(server.uri, host, ["count"], blockConnection=True, blockTimeMS=2500):
        holder = threading.Thread(target=lambda: host.client.platform.command("count", "projects"))
        holder.start()
        time.sleep(0.2)
        trial.failing(host)
        holder.join()
    trial.healthy(host)


@injects("the server's process is frozen", "the error, then whole answers")
def test_frozen(trial, server):
    """A process that stands still is the error in time; once it goes on, so does the host."""
    host = trial.host(server.uri)
    trial.healthy(host)
    server.send(signal.SIGSTOP)
    try:
        trial.failing(host)
        trial.failing(host)
    finally:
        server.send(signal.SIGCONT)
    trial.healthy(host)


@injects("the server's process is frozen under 16 threads", "the error, then whole answers")
def test_frozen_under_threads(trial, server):
    """Each of many requests that wait at once ends in time."""
    host = trial.host(server.uri, owner="bob")
    trial.healthy(host)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(host.get())) for _ in range(16)]
    server.send(signal.SIGSTOP)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT + 10)
    finally:
        server.send(signal.SIGCONT)
    assert len(answers) == 16
    for answer in answers:
        trial.judge(host, answer, {500})
    trial.healthy(host)


@injects("the server is blocked, and the host gives the request 0.3 s in all", "the error in the host's time")
def test_outer_deadline(trial, server):
    """A shorter limit that the host has set around the request wins, and stays the host's."""
    host = trial.host(server.uri, timeout=30)
    with armed(server.uri, host, ["find"], blockConnection=True, blockTimeMS=3000), pymongo.timeout(0.3):
        trial.failing(host, within=0.3)
    trial.healthy(host)


@pytest.mark.parametrize("timeout", [0.05, 0.3, 2])
@injects("the server is blocked for longer than stores of other time limits wait", "the error in each store's time")
def test_other_timeouts(trial, server, timeout):
    """The bound follows the store's own time limit."""
    host = trial.host(server.uri, timeout=timeout)
    with armed(server.uri, host, ["find"], blockConnection=True, blockTimeMS=4000):
        trial.failing(host)


@injects("requests come from 16 threads through a pool of one connection", "whole answers")
def test_small_pool(trial, server):
    """A pool that is too small only makes requests wait for each other."""
    host = trial.host(server.uri, owner="bob", maxPoolSize=1, timeout=5)
    answers = []
    threads = [threading.Thread(target=lambda: answers.extend([host.get() for _ in range(5)])) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16 * 5
    for answer in answers:
        trial.judge(host, answer, {200})
