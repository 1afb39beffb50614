"""The use of the driver: error codes and the time limit."""

from time import sleep

import pymongo
import pytest
from pymongo.errors import ConnectionFailure, OperationFailure

from flask_usage_stats import StoreError
from flask_usage_stats._mongodb.driver import TimeLimit, is_collation_refused


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
