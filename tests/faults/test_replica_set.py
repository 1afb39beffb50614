"""Replica sets whose members step down, die or freeze."""

import contextlib
import signal
import time

import pytest
from faults.application import load
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

pytestmark = pytest.mark.xdist_group("replica set")
TIMEOUT = 5  # seconds: the default of a store, and longer than an election


GROUP = "Replica set of three"


def step_down(replica_set):
    uri = replica_set.primary().uri
    with MongoClient(uri, directConnection=True) as client, contextlib.suppress(AutoReconnect):
        client.admin.command("replSetStepDown", 2, force=True)


def check_recovery(trial, host, seconds=15):
    """Send requests until a response is complete again."""
    deadline = time.monotonic() + seconds
    result = host.get()
    while result.status != 200:
        trial.check(host, result, {500})
        assert time.monotonic() < deadline
        result = host.get()
    trial.check(host, result, {200})


@pytest.mark.injects("the primary steps down between two requests", "complete responses")
def test_step_down(trial, replica_set):
    """After a step-down the next request waits for the election."""
    host = trial.host(replica_set.uri, timeout=TIMEOUT)
    trial.healthy(host)
    step_down(replica_set)
    trial.serving(host)
    trial.healthy(host)


@pytest.mark.injects("the primary steps down while 8 threads send requests", "complete responses")
def test_step_down_under_load(trial, replica_set):
    """During a step-down requests wait for the election."""
    host = trial.host(replica_set.uri, owner="bob", timeout=TIMEOUT)
    trial.healthy(host)
    with load(host, threads=8) as results:
        step_down(replica_set)
        replica_set.primary()
        time.sleep(0.5)
    for result in results:
        trial.check(host, result, {200})


@pytest.mark.injects("the primary is killed while 8 threads send requests", "complete responses")
def test_primary_killed(trial, replica_set):
    """If the primary dies, requests wait for the election."""
    host = trial.host(replica_set.uri, owner="bob", timeout=TIMEOUT)
    trial.healthy(host)
    with load(host, threads=8) as results:
        replica_set.primary().stop()
        time.sleep(3)
    for result in results:
        trial.check(host, result, {200})
    trial.healthy(host)


@pytest.mark.injects(
    "the primary is frozen while 8 threads send requests", "complete or the error, then complete responses"
)
def test_primary_frozen(trial, replica_set):
    """If the primary is frozen, only the requests that wait for it may fail."""
    host = trial.host(replica_set.uri, owner="bob", timeout=2)
    trial.healthy(host)
    primary = replica_set.primary()
    with load(host, threads=8) as results:
        primary.send(signal.SIGSTOP)
        time.sleep(3)
    for result in results:
        trial.check(host, result, {200, 500})
    check_recovery(trial, host)
    primary.send(signal.SIGCONT)
    trial.healthy(host)


@pytest.mark.injects(
    "two of the three are killed, and the client prefers the primary but reads from any member", "complete responses"
)
def test_two_down_with_primary_preferred(trial, replica_set):
    """With `primaryPreferred`, requests read from the last member."""
    host = trial.host(replica_set.uri, timeout=TIMEOUT, readPreference="primaryPreferred")
    trial.healthy(host)
    primary = replica_set.primary()
    for member in [one for one in replica_set.members if one is not primary][:1] + [primary]:
        member.stop()
    trial.serving(host)
    trial.serving(host)


@pytest.mark.injects(
    "two of the three are killed, and the client reads from the primary only", "the error, then complete responses"
)
def test_two_down(trial, replica_set):
    """Without a primary the result is the error response, until there is a primary again."""
    host = trial.host(replica_set.uri, timeout=1)
    trial.healthy(host)
    primary = replica_set.primary()
    for member in [one for one in replica_set.members if one is not primary]:
        member.stop()
    wait_for_step_down(primary)
    trial.failing(host)
    replica_set.heal()
    check_recovery(trial, host)


def wait_for_step_down(member):
    """Wait until a primary without a majority has stepped down."""
    with MongoClient(member.uri, directConnection=True) as client:
        deadline = time.monotonic() + 30
        while client.admin.command("hello")["isWritablePrimary"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
