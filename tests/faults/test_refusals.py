"""Servers that answer, but say no."""

import pytest
from faults.application import armed

# The driver asks again after these: the server ends or is no primary, or a network broke behind it.
STATE_CHANGES = [91, 189, 10107, 11600, 11602, 13435, 13436]
PASSING = [6, 7, 89, 134, 262, 9001]
REFUSALS = {
    "Unauthorized": 13,
    "AuthenticationFailed": 18,
    "MaxTimeMSExpired": 50,
    "InternalError": 1,
    "BadValue": 2,
    "OperationFailed": 96,
    "ExceededMemoryLimit": 146,
    "QueryExceededMemoryLimit": 292,
    "Interrupted": 11601,
    "InterruptedDueToStorageChange": 355,
    "CappedPositionLost": 136,
    "NamespaceNotFound": 26,
    "TooManyFilesOpen": 264,
    "OutOfDiskSpace": 14031,
    "LockTimeout": 24,
    "TransactionTooLarge": 257,
    "TemporarilyUnavailable": 365,
    "IngressRequestRateLimitExceeded": 462,
    "CursorNotFound": 43,
    "a code that nobody knows": 987654,
}


def injects(what, promise):
    return pytest.mark.injects("Refusals", what, promise)


@pytest.mark.parametrize("times", [1, 2])
@injects("the server closes the connection instead of answering, once and twice", "whole answers")
def test_connection_closed(trial, server, times):
    """A connection that the server closes costs no answer."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, ["find"], {"times": times}, closeConnection=True):
        trial.serving(host)
    trial.healthy(host)


@pytest.mark.parametrize("command", ["find", "getMore"])
@injects("the server closes the connection instead of answering, always", "the error, then whole answers")
def test_connection_always_closed(trial, server, command):
    """A server that closes every connection is the error, also between two batches."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, [command], closeConnection=True):
        trial.failing(host)
    trial.healthy(host)


@pytest.mark.parametrize("code", STATE_CHANGES + PASSING)
@injects("the server answers once with each error code after which a driver asks again", "whole answers")
def test_retryable_once(trial, server, code):
    """A passing refusal costs no answer."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, ["find"], {"times": 1}, errorCode=code):
        trial.serving(host)
    trial.healthy(host)


@pytest.mark.parametrize("code", STATE_CHANGES + PASSING)
@injects("the server answers always with each of these codes", "the error, then whole answers")
def test_retryable_always(trial, server, code):
    """A refusal that does not pass is the error, in time."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, ["find"], errorCode=code):
        trial.failing(host)
    trial.healthy(host)


@pytest.mark.parametrize("code", [*STATE_CHANGES, *PASSING, *REFUSALS.values()])
@injects("the server answers with each code when it is asked for the second batch", "the error, then whole answers")
def test_refused_between_batches(trial, server, code):
    """A refusal behind the first batch is the error: never some of the rows."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, ["getMore"], {"times": 1}, errorCode=code):
        trial.failing(host)
    trial.healthy(host)


@pytest.mark.parametrize("mode", [{"times": 1}, "alwaysOn"], ids=["once", "always"])
@pytest.mark.parametrize("code", REFUSALS.values(), ids=REFUSALS.keys())
@injects(
    "the server answers, once and always: time-out, unauthorised, out of memory, overload and others",
    "the error, then whole answers",
)
def test_refused(trial, server, code, mode):
    """A refusal in earnest is the error, at once."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, ["find"], mode, errorCode=code):
        trial.failing(host)
    trial.healthy(host)


@pytest.mark.parametrize("labels", [["SystemOverloadedError"], ["SystemOverloadedError", "RetryableError"]])
@injects(
    "the server says always that it is overloaded, with the labels of newer servers", "the error, then whole answers"
)
def test_overloaded(trial, server, labels):
    """An overloaded server, to which the driver comes back ever more slowly, is the error in time."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, ["find"], errorCode=462, errorLabels=labels):
        trial.failing(host)
    trial.healthy(host)


@injects("the server refuses new connections at their handshake", "the error, then whole answers")
def test_handshake(trial, server):
    """A server that takes no new client is the error, in time."""
    host = trial.host(server.uri)
    with armed(server.uri, host, ["hello", "isMaster", "ismaster"], closeConnection=True):
        trial.failing(host)
    trial.healthy(host)
