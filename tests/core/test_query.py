"""The query of a request."""

from dataclasses import FrozenInstanceError

import pytest

from flask_usage_stats._core.query import DEFAULT_QUERY, CursorPosition, UsageQuery


def test_default_query_has_every_project_by_requests():
    """The default query returns every project, sorted by requests."""
    assert UsageQuery() == DEFAULT_QUERY
    assert (DEFAULT_QUERY.sort, DEFAULT_QUERY.descending, DEFAULT_QUERY.limit) == ("totalRequest", True, None)
    assert not DEFAULT_QUERY.filters
    assert not DEFAULT_QUERY.group_by


@pytest.mark.parametrize(
    ("value", "name"), [(DEFAULT_QUERY, "sort"), (CursorPosition(1, b""), "sort_key")], ids=["query", "position"]
)
def test_queries_are_immutable(value, name):
    """Queries cannot be changed, because all requests share the default query."""
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, None)
