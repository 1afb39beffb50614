"""Servers and clients that start and stop."""

import threading
import time

import pytest
from faults.application import arm, load
from servers import free_port

GROUP = "Start and stop"


@pytest.mark.injects("the server starts after the application", "the error, then complete responses")
def test_down_at_start(trial, server):
    """An application that starts before its server recovers when the server is available."""
    server.stop()
    host = trial.host(server.uri)
    trial.failing(host)
    trial.failing(host)
    server.start()
    trial.healthy(host)


@pytest.mark.injects("the server shuts down between two requests, and restarts", "the error, then complete responses")
def test_down_then_up(trial, server):
    """Requests fail only while the server is shut down."""
    host = trial.host(server.uri)
    trial.healthy(host)
    server.shut_down()
    trial.failing(host)
    trial.failing(host)
    server.start()
    trial.healthy(host)


@pytest.mark.injects("the server's process is killed between two requests", "the error, then complete responses")
def test_killed_between_queries(trial, server):
    """After the server was killed, requests fail only until it restarts."""
    host = trial.host(server.uri)
    trial.healthy(host)
    server.stop()
    trial.failing(host)
    server.start()
    trial.healthy(host)


@pytest.mark.injects("the server's process is killed and restarted between two requests", "complete responses")
def test_killed_and_back(trial, server):
    """Broken connections are replaced within the request."""
    host = trial.host(server.uri)
    trial.healthy(host)
    server.stop()
    server.start()
    trial.serving(host)


@pytest.mark.parametrize("command", ["find", "getMore"])
@pytest.mark.injects("the server's process is killed during a query", "the error, then complete responses")
def test_killed_during_query(trial, server, command):
    """A server that dies during a query or between batches results in the error response, never in some of the rows."""
    host = trial.host(server.uri)
    trial.healthy(host)
    arm(server.uri, host, [command], blockConnection=True, blockTimeMS=5000)
    killer = threading.Timer(0.3, server.stop)
    killer.start()
    trial.failing(host)
    killer.join()
    server.start()
    trial.healthy(host)


@pytest.mark.injects(
    "the server's process is killed and restarted while 16 threads send requests", "complete or the error"
)
def test_restarted_under_threads(trial, server):
    """Every response during a restart is complete or the error response, within the time limit."""
    host = trial.host(server.uri, owner="bob")
    trial.healthy(host)
    with load(host, threads=16) as results:
        time.sleep(0.2)
        server.stop()
        time.sleep(0.5)
        server.start()
        time.sleep(1)
    for result in results:
        trial.check(host, result, {200, 500})
    assert {result.status for result in results} == {200, 500}
    trial.healthy(host)


@pytest.mark.injects("the application closes its client, then creates a new one", "the error, then complete responses")
def test_client_closed_by_host(trial, server):
    """A closed client results in the error response; the next client of the application is used at once."""
    host = trial.host(server.uri)
    trial.healthy(host)
    host.client.close()
    trial.failing(host)
    host.connect(server.uri)
    trial.healthy(host)


@pytest.mark.injects("nothing listens on the server's address", "the error")
def test_wrong_port(trial):
    """An address on which nothing listens results in the error response within the time limit."""
    trial.failing(trial.host(f"mongodb://127.0.0.1:{free_port()}"))
