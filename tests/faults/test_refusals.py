"""Servers that reject commands or connections."""

import pytest
from faults.application import armed

# The driver retries after these codes: the server shuts down, is not the primary, or has lost its network.
STATE_CHANGES = [91, 189, 10107, 11600, 11602, 13435, 13436]
TRANSIENT = [6, 7, 89, 134, 262, 9001]
ERRORS = {
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
    "an unknown code": 987654,
}


GROUP = "Refusals"


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.injects("the server closes the connection without a reply, once and twice", "complete responses")
def test_connection_closed(trial, server, times):
    """A connection that the server closes is replaced."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, ["find"], {"times": times}, closeConnection=True):
        trial.serving(host)
    trial.healthy(host)


@pytest.mark.parametrize("command", ["find", "getMore"])
@pytest.mark.injects("the server always closes the connection without a reply", "the error, then complete responses")
def test_connection_always_closed(trial, server, command):
    """A server that closes every connection results in the error response, even between two batches."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, [command], closeConnection=True):
        trial.failing(host)
    trial.healthy(host)


@pytest.mark.parametrize("code", STATE_CHANGES + TRANSIENT)
@pytest.mark.injects("the server replies once with each error code after which a driver retries", "complete responses")
def test_retryable_once(trial, server, code):
    """A transient error is retried."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, ["find"], {"times": 1}, errorCode=code):
        trial.serving(host)
    trial.healthy(host)


@pytest.mark.parametrize("code", STATE_CHANGES + TRANSIENT)
@pytest.mark.injects("the server always replies with each of these codes", "the error, then complete responses")
def test_retryable_always(trial, server, code):
    """A retryable error that persists results in the error response within the time limit."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, ["find"], errorCode=code):
        trial.failing(host)
    trial.healthy(host)


@pytest.mark.parametrize("code", [*STATE_CHANGES, *TRANSIENT, *ERRORS.values()])
@pytest.mark.injects(
    "the server replies with each code to the request of the second batch", "the error, then complete responses"
)
def test_refused_between_batches(trial, server, code):
    """An error after the first batch results in the error response, never in some of the rows."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, ["getMore"], {"times": 1}, errorCode=code):
        trial.failing(host)
    trial.healthy(host)


@pytest.mark.parametrize("mode", [{"times": 1}, "alwaysOn"], ids=["once", "always"])
@pytest.mark.parametrize("code", ERRORS.values(), ids=ERRORS.keys())
@pytest.mark.injects(
    "the server replies, once and always: timeout, unauthorized, out of memory, overload and others",
    "the error, then complete responses",
)
def test_refused(trial, server, code, mode):
    """An error that is not retryable results in the error response at once."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, ["find"], mode, errorCode=code):
        trial.failing(host)
    trial.healthy(host)


@pytest.mark.parametrize("labels", [["SystemOverloadedError"], ["SystemOverloadedError", "RetryableError"]])
@pytest.mark.injects(
    "the server always replies that it is overloaded, with the labels of newer servers",
    "the error, then complete responses",
)
def test_overloaded(trial, server, labels):
    """An overloaded server, for which the driver backs off, results in the error response within the time limit."""
    host = trial.host(server.uri)
    trial.healthy(host)
    with armed(server.uri, host, ["find"], errorCode=462, errorLabels=labels):
        trial.failing(host)
    trial.healthy(host)


@pytest.mark.injects("the server closes new connections during the handshake", "the error, then complete responses")
def test_handshake(trial, server):
    """A server that accepts no new connections results in the error response within the time limit."""
    host = trial.host(server.uri)
    with armed(server.uri, host, ["hello", "isMaster", "ismaster"], closeConnection=True):
        trial.failing(host)
    trial.healthy(host)
