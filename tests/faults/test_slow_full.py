"""Slow or frozen servers, and exhausted connection pools."""

import signal
import threading
import time

import pymongo
import pytest
from faults.application import armed, connections_of, get_in_threads

GROUP = "Slow and full"


@pytest.mark.parametrize("command", ["find", "getMore"])
@pytest.mark.injects("the server takes 3 s for a command", "the error, then complete responses")
def test_blocked_command(trial, server, command):
    """A command that takes too long results in the error response within the time limit, even after the first batch."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, [command], blockConnection=True, blockTimeMS=3000):
        trial.failing(host)
        trial.failing(host)
    trial.healthy(host)


@pytest.mark.injects("the server takes 0.3 s for a command", "complete responses")
def test_slow_in_time(trial, server):
    """A slow command within the timeout succeeds."""
    host = trial.host(server.uri)
    with armed(server.uri, host, ["find"], blockConnection=True, blockTimeMS=300):
        trial.serving(host)


@pytest.mark.injects("the query takes minutes on the server", "the error, and the operation ends on the server")
def test_slow_query(trial, server):
    """A query that exceeds the timeout is ended on the server."""
    slow = [True]

    def owner_filter(owner):
        return {"owner": owner} | ({"$where": "sleep(100) || true"} if slow[0] else {})

    host = trial.host(server.uri, owner_filter=owner_filter)
    request = threading.Thread(target=trial.failing, args=[host])
    request.start()
    time.sleep(0.5)
    assert queries(server, host)
    request.join()
    deadline = time.monotonic() + 1
    while queries(server, host):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    slow[0] = False
    trial.healthy(host)


def queries(server, host):
    """Return the running queries of an application on the server."""
    return [one for one in connections_of(server.uri, host.name) if one["active"] and "find" in one.get("command", {})]


@pytest.mark.injects(
    "the application uses every connection of the pool for other work", "the error, then complete responses"
)
def test_exhausted_pool(trial, server):
    """A pool without a free connection results in the error response within the time limit; the driver alone would wait forever."""
    host = trial.host(server.uri, maxPoolSize=1)
    trial.healthy(host)
    with armed(server.uri, host, ["count"], blockConnection=True, blockTimeMS=2500):
        holder = threading.Thread(target=lambda: host.client.platform.command("count", "projects"))
        holder.start()
        time.sleep(0.2)
        trial.failing(host)
        holder.join()
    trial.healthy(host)


@pytest.mark.injects("the server's process is frozen", "the error, then complete responses")
def test_frozen(trial, server):
    """A frozen server results in the error response within the time limit; when it continues, requests succeed."""
    host = trial.host(server.uri)
    trial.healthy(host)
    server.send(signal.SIGSTOP)
    try:
        trial.failing(host)
        trial.failing(host)
    finally:
        server.send(signal.SIGCONT)
    trial.healthy(host)


@pytest.mark.injects(
    "the server's process is frozen while 16 threads send requests", "the error, then complete responses"
)
def test_frozen_under_threads(trial, server):
    """Each of many waiting requests ends within the time limit."""
    host = trial.host(server.uri, owner="bob")
    trial.healthy(host)
    server.send(signal.SIGSTOP)
    try:
        results = get_in_threads(host)
    finally:
        server.send(signal.SIGCONT)
    for result in results:
        trial.check(host, result, {500})
    trial.healthy(host)


@pytest.mark.injects("the server is blocked, and the application limits the request to 0.3 s", "the error within 0.3 s")
def test_outer_deadline(trial, server):
    """A shorter limit set by the application takes precedence."""
    host = trial.host(server.uri, timeout=30)
    with armed(server.uri, host, ["find"], blockConnection=True, blockTimeMS=3000), pymongo.timeout(0.3):
        trial.failing(host, within=0.3)
    trial.healthy(host)


@pytest.mark.parametrize("timeout", [0.05, 0.3, 2])
@pytest.mark.injects(
    "the server is blocked for longer than the timeouts of several stores", "the error within each timeout"
)
def test_other_timeouts(trial, server, timeout):
    """The time limit is the timeout of the store."""
    host = trial.host(server.uri, timeout=timeout)
    with armed(server.uri, host, ["find"], blockConnection=True, blockTimeMS=4000):
        trial.failing(host)


@pytest.mark.injects("16 threads send requests through a pool of one connection", "complete responses")
def test_small_pool(trial, server):
    """With a small pool requests wait for each other and succeed."""
    host = trial.host(server.uri, owner="bob", maxPoolSize=1, timeout=5)
    for result in get_in_threads(host, times=5):
        trial.check(host, result, {200})
