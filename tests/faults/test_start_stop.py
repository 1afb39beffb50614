"""Servers and clients that start and stop."""

import itertools
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from faults.application import arm
from servers import free_port


def injects(what, promise):
    return pytest.mark.injects("Start and stop", what, promise)


@injects("the server is down when the application starts, and comes later", "the error, then whole answers")
def test_down_at_start(trial, server):
    """An application that starts before its database answers with the error, and whole once the database is there."""
    server.stop()
    host = trial.host(server.uri)
    trial.failing(host)
    trial.failing(host)
    server.start()
    trial.healthy(host)


@injects("the server shuts down between two requests, and comes back", "the error, then whole answers")
def test_down_then_up(trial, server):
    """A server that is shut down in good order costs answers only while it is down."""
    host = trial.host(server.uri)
    trial.healthy(host)
    server.shut_down()
    trial.failing(host)
    trial.failing(host)
    server.start()
    trial.healthy(host)


@injects("the server's process is killed between two requests", "the error, then whole answers")
def test_killed_between_queries(trial, server):
    """A server that is killed while nobody asks costs answers only until it is back."""
    host = trial.host(server.uri)
    trial.healthy(host)
    server.stop()
    trial.failing(host)
    server.start()
    trial.healthy(host)


@injects("the server's process is killed and back before the next request", "whole answers")
def test_killed_and_back(trial, server):
    """Connections that died unnoticed are replaced within the request."""
    host = trial.host(server.uri)
    trial.healthy(host)
    server.stop()
    server.start()
    trial.serving(host)


@pytest.mark.parametrize("command", ["find", "getMore"])
@injects("the server's process is killed while it works on a query", "the error, then whole answers")
def test_killed_during_query(trial, server, command):
    """A server that dies under a query, or between its batches, makes it the error: never some of the rows."""
    host = trial.host(server.uri)
    trial.healthy(host)
    arm(server.uri, host, [command], blockConnection=True, blockTimeMS=5000)
    killer = threading.Timer(0.3, server.stop)
    killer.start()
    trial.failing(host)
    killer.join()
    server.start()
    trial.healthy(host)


@injects(
    "the server's process is killed and started again under 16 threads that ask without a pause", "whole or the error"
)
def test_restarted_under_threads(trial, server):
    """Under load, each answer around a restart is whole or the error, each in time."""
    host = trial.host(server.uri, owner="bob")
    trial.healthy(host)
    stop = threading.Event()

    def ask():
        answers = []
        while not stop.is_set():
            answers.append(host.get())
        return answers

    with ThreadPoolExecutor(16) as pool:
        try:
            threads = [pool.submit(ask) for _ in range(16)]
            time.sleep(0.5)
            server.send(signal.SIGKILL)
            server.stop()
            time.sleep(0.5)
            server.start()
            time.sleep(1)
        finally:
            stop.set()
        answers = list(itertools.chain.from_iterable(thread.result() for thread in threads))
    for answer in answers:
        trial.judge(host, answer, {200, 500})
    assert {answer.status for answer in answers} == {200, 500}
    trial.healthy(host)


@injects("the host closes its client, then makes a new one", "the error, then whole answers")
def test_client_closed_by_host(trial, server):
    """A closed client is the error; the next client that the host's callable returns serves at once."""
    host = trial.host(server.uri)
    trial.healthy(host)
    host.client.close()
    trial.failing(host)
    host.connect(server.uri)
    trial.healthy(host)


@injects("nothing listens at the server's address", "the error")
def test_wrong_port(trial):
    """An address at which nothing listens is the error, in time."""
    trial.failing(trial.host(f"mongodb://127.0.0.1:{free_port()}"))
