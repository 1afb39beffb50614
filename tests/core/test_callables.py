"""Inspection of callables."""

from functools import partial

import pytest

from flask_usage_stats._core.callables import is_coroutine_callable


async def coroutine_function():
    """Return a coroutine when called."""


class AsyncCall:
    async def __call__(self):
        """Return a coroutine when called."""


@pytest.mark.parametrize(
    ("function", "result"),
    [(coroutine_function, True), (AsyncCall(), True), (partial(coroutine_function), True), (len, False), (5, False)],
    ids=["function", "object", "partial", "builtin", "number"],
)
def test_coroutine_callables_are_recognized(function, result):
    """Functions, objects and partial functions whose call returns a coroutine."""
    assert is_coroutine_callable(function) is result
