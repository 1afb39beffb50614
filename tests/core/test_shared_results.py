"""Results that take long to compute are shared and kept."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import raiser

from flask_usage_stats._core.shared_results import Result, SharedResults, _Computation


def result_of(value, age=0.0):
    return Result(value, time.monotonic() - age)


def started(function, *arguments):
    """Start a thread and return it."""
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    return thread


class Blocked:
    """A computation that begins, waits until the test lets it end, and then returns 1 or raises an error."""

    def __init__(self, error=None):
        self.error, self.begun, self.end = error, threading.Event(), threading.Event()

    def __call__(self, _):
        self.begun.set()
        assert self.end.wait(10)
        if self.error is not None:
            raise self.error
        return result_of(1)

    def wait(self):
        assert self.begun.wait(10)


def test_result_is_kept():
    """A result is kept until it is too old."""
    results = SharedResults(60.0)
    assert results.get("key", lambda _: result_of(1), 1.0).value == 1
    assert results.get("key", raiser(AssertionError), 1.0).value == 1
    assert results.get("other", lambda _: result_of(2), 1.0).value == 2
    assert results.get("old", lambda _: result_of(3, age=61.0), 1.0).value == 3
    assert results.get("old", lambda _: result_of(4, age=59.0), 1.0).value == 4
    assert results.find("old").value == 4


def test_remaining_time():
    """A computation gets the time that remains."""
    seconds = []
    SharedResults(0.0).get("key", lambda remaining: seconds.append(remaining) or result_of(1), 5.0)
    assert 4.0 < seconds[0] <= 5.0


def test_few_results_are_kept():
    """Only the last results are kept, so that memory does not grow with the number of selections."""
    results = SharedResults(60.0)
    for number in range(100):
        results.get(number, lambda _, number=number: result_of(number), 1.0)
    assert sum(results.find(number) is not None for number in range(100)) == 16
    assert results.find(99).value == 99


def test_failures_are_not_kept():
    """After a failure, the next call computes."""
    results = SharedResults(60.0)
    with pytest.raises(KeyError):
        results.get("key", raiser(KeyError()), 1.0)
    assert results.get("key", lambda _: result_of(1), 1.0).value == 1


def test_a_computation_can_keep_another_result():
    """What a computation needs in addition is kept as well."""
    results = SharedResults(60.0)

    def compute(_):
        assert results.find("part") is None
        results.keep("part", result_of(1))
        return result_of(results.find("part").value + 1)

    assert results.get("key", compute, 1.0).value == 2
    assert results.get("part", raiser(AssertionError), 1.0).value == 1


def get_five_times(results, compute):
    """Get a result five times at once, of which only the first may compute it, and return the futures."""
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(results.get, "key", compute, 10.0)
        compute.wait()
        others = [pool.submit(results.get, "key", raiser(AssertionError), 10.0) for _ in range(4)]
        time.sleep(0.05)
        compute.end.set()
    return [first, *others]


def test_outcome_is_shared():
    """Who waits for the same result gets it, even if it is too old to be kept."""
    results, compute = SharedResults(0.0), Blocked()
    assert {each.result().value for each in get_five_times(results, compute)} == {1}


@pytest.mark.parametrize("fails", [True, False])
def test_other_keys_do_not_share(fails):
    """Who waits for another result gets neither a result nor an error of it, and only the remaining time."""
    results, compute, remaining = SharedResults(0.0), Blocked(KeyError() if fails else None), []

    def compute_other(seconds):
        remaining.append(seconds)
        return result_of(2)

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(results.get, "key", compute, 10.0)
        compute.wait()
        others = [pool.submit(results.get, f"other {n}", compute_other, 10.0) for n in range(3)]
        time.sleep(0.2)
        began = time.monotonic()
        compute.end.set()
        assert [each.result().value for each in others] == [2, 2, 2]
        assert time.monotonic() - began < 5
        assert isinstance(first.exception(), KeyError) == fails
    assert all(seconds < 9.9 for seconds in remaining)


def test_renewed_results_are_kept_longest():
    """A result that was computed again is not the first to be removed."""
    results = SharedResults(60.0)
    for number in range(16):
        results.keep(number, result_of(number))
    results.keep(0, result_of("renewed"))
    results.keep(16, result_of(16))
    assert results.find(0).value == "renewed"
    assert results.find(1) is None


def test_a_computation_that_never_ended():
    """If a thread was interrupted before it could end its computation, another one goes on after the time limit."""
    results = SharedResults(60.0)
    results._state.running = _Computation("key", time.monotonic() - 2.0)
    assert results.get("key", lambda _: result_of(1), 1.0).value == 1
    assert results._state.running is None


def test_a_computation_that_is_about_to_end():
    """A computation may end a little after its time limit, so it is waited for until then."""
    results = SharedResults(60.0)
    results._state.running = _Computation("key", time.monotonic() - 0.3)
    with pytest.raises(TimeoutError):
        results.get("key", raiser(AssertionError), 0.05)


def test_failures_are_shared():
    """Who waits for a result gets the error of its computation, which is not repeated."""
    results, compute = SharedResults(60.0), Blocked(KeyError())
    assert {each.exception() for each in get_five_times(results, compute)} == {compute.error}


def test_a_late_end_does_not_disturb():
    """A computation that ends after another has taken its place leaves that one alone."""
    results = SharedResults(0.0)

    def late(_):
        results._state.running = other
        return result_of(1)

    other = _Computation("other", time.monotonic() + 10)
    assert results.get("key", late, 1.0).value == 1
    assert results._state.running is other


def test_interruption_is_not_shared():
    """If the computing thread is interrupted, one of those who wait computes instead."""
    results, compute = SharedResults(60.0), Blocked(KeyboardInterrupt())

    def interrupted():
        with pytest.raises(KeyboardInterrupt):
            results.get("key", compute, 10.0)

    thread = started(interrupted)
    compute.wait()
    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(results.get, "key", lambda _: result_of(2), 10.0) for _ in range(2)]
        time.sleep(0.05)
        compute.end.set()
        assert [each.result().value for each in others] == [2, 2]
    thread.join()


def test_waiting_ends():
    """Waiting for another computation ends with the given time."""
    results, compute = SharedResults(60.0), Blocked()
    thread = started(results.get, "key", compute, 10.0)
    compute.wait()
    for key in ("key", "other"):
        with pytest.raises(TimeoutError):
            results.get(key, raiser(AssertionError), 0.05)
    compute.end.set()
    thread.join()


def test_another_process_has_its_own_results(monkeypatch):
    """Nothing that was kept before a fork is in the forked process, where nobody waits either."""
    results = SharedResults(60.0)
    results.get("key", lambda _: result_of(1), 1.0)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert results.find("key") is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_wait():
    """A forked process computes on its own, even if a thread of its parent was computing."""
    results, compute = SharedResults(60.0), Blocked()
    thread = started(results.get, "key", compute, 10.0)
    compute.wait()
    child = os.fork()
    if not child:
        value = results.get("key", lambda _: result_of(7), 0.5).value
        os._exit(0 if value == 7 else 1)
    assert os.waitpid(child, 0)[1] == 0
    compute.end.set()
    thread.join()
