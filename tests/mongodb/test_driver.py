"""How the driver is used."""

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
    """303 is Amazon DocumentDB's, 115 is CommandNotSupported."""
    assert is_collation_refused(error) is result


def test_only_the_time_of_the_database_counts():
    """Between two calls the caller may take any time; within them the driver's limit is what remains."""
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
