"""What happens when a process forks or exits. The tests of the recorder do both."""

import atexit
import gc
import multiprocessing.util

import pytest

from flask_usage_stats._recording import processes


class Bound:
    def __init__(self):
        self.calls = []

    def reset_after_fork(self):
        self.calls.append("reset")

    def close(self):
        self.calls.append("closed")


@pytest.fixture
def hooks(monkeypatch):
    """Return the functions that are registered for the exit of the process, without registering them."""
    registered = []
    monkeypatch.setattr(atexit, "register", registered.append)
    monkeypatch.setattr(processes, "Finalize", lambda _, function, exitpriority: registered.append(function))
    return registered


def test_a_fork_resets_every_object():
    """Each object that still exists starts anew in the child."""
    objects = [Bound(), Bound()]
    for each in objects:
        processes.register_fork(each)
    processes._reset_all()
    assert [each.calls for each in objects] == [["reset"], ["reset"]]


def test_objects_are_closed_at_exit(hooks):
    """Both ways in which a process can exit close the object, unless it no longer exists."""
    bound = Bound()
    processes.register_exit(bound)
    assert len(hooks) == 2
    for hook in hooks:
        hook()
    assert bound.calls == ["closed", "closed"]
    calls = bound.calls
    del bound
    gc.collect()
    hooks[0]()
    assert calls == ["closed", "closed"]


def test_both_kinds_of_exit_are_registered():
    """The finalizer is one of multiprocessing."""
    assert processes.Finalize is multiprocessing.util.Finalize
