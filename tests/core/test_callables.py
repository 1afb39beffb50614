"""Inspection of callables."""

from functools import partial

import pytest

from flask_usage_stats._core.callables import close_coroutine, find_signature_problem, is_coroutine_callable


async def coroutine_function():
    """Return a coroutine when called."""


async def generator_function():
    """Return an asynchronous generator when called."""
    yield


class AsyncCall:
    async def __call__(self):
        """Return a coroutine when called."""


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (coroutine_function, True),
        (generator_function, True),
        (AsyncCall(), True),
        (AsyncCall, False),
        (partial(coroutine_function), True),
        (len, False),
        (5, False),
    ],
    ids=["function", "generator", "object", "class", "partial", "builtin", "number"],
)
def test_coroutine_callables_are_recognized(function, result):
    """Functions, objects and partial functions whose call returns a coroutine."""
    assert is_coroutine_callable(function) is result


@pytest.mark.parametrize(
    ("function", "arguments", "problem"),
    [
        (lambda: 1, (), None),
        (lambda _: 1, (), "missing a required argument: '_'"),
        (lambda: 1, ("ada",), "too many positional arguments"),
        (dict, ("ada",), None),
        (lambda *_: 1, ("ada",), None),
    ],
)
def test_signature_problems(function, arguments, problem):
    """The problem is that of Python; functions without a signature are accepted."""
    assert find_signature_problem(function, *arguments) == problem


def test_coroutines_are_closed():
    """Python does not warn about a coroutine that is closed, and other values are unchanged."""
    close_coroutine(coroutine_function())
    close_coroutine(5)
