"""The use of the driver: error codes and the time limit."""

from time import sleep

import pymongo
import pytest
from pymongo.errors import ConnectionFailure, OperationFailure

from flask_usage_stats import StoreError
from flask_usage_stats._mongodb.driver import SIMPLE_COLLATION, TimeLimit, call_with_collation, is_collation_refused


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (OperationFailure("refused", 303), True),
        (OperationFailure("refused", 115), True),
        (OperationFailure("refused", 2), False),
        (OperationFailure("refused"), False),
        (ConnectionFailure("refused"), False),
    ],
    ids=repr,
)
def test_servers_without_collations_have_these_codes(error, result):
    """A missing collation is recognized by 303 (Amazon DocumentDB) and 115 (CommandNotSupported)."""
    assert is_collation_refused(error) is result


@pytest.mark.parametrize(("code", "expected"), [(303, [SIMPLE_COLLATION, None]), (2, [SIMPLE_COLLATION])])
def test_an_unsupported_collation_is_left_out(code, expected):
    """A function is called again without a collation, but not if it failed for another reason."""
    passed = []

    def find(collation):
        passed.append(collation)
        if collation is not None:
            raise OperationFailure("refused", code)
        return "found"

    if code == 303:
        assert call_with_collation(find) == "found"
    else:
        with pytest.raises(OperationFailure):
            call_with_collation(find)
    assert passed == expected


def test_only_the_time_of_the_database_counts():
    """The time between two calls does not count; within a call the limit is the remaining time."""
    limit = TimeLimit(0.2)
    first = limit.run(pymongo._csot.get_timeout)
    sleep(0.3)
    second = limit.run(pymongo._csot.get_timeout)
    assert first == 0.2
    assert 0.19 < second < 0.2
    assert pymongo._csot.get_timeout() is None
    limit.run(sleep, 0.3)
    with pytest.raises(StoreError, match="within the timeout"):
        limit.run(sleep, 0)
