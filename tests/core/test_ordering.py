"""Filtering and sorting of rows."""

import pytest

from flask_usage_stats._core.ordering import build_predicate, build_sort_key, is_after, sort_indexes
from flask_usage_stats._core.query import DEFAULT_QUERY, CursorPosition, UsageQuery


def test_no_filters_need_no_predicate():
    """No predicate is built if the query has no filters."""
    assert build_predicate(DEFAULT_QUERY) is None


@pytest.mark.parametrize(
    ("query", "passes"),
    [
        (UsageQuery(min_requests=5), True),
        (UsageQuery(min_requests=6), False),
        (UsageQuery(max_requests=5), True),
        (UsageQuery(max_requests=4), False),
        (UsageQuery(filters={"plan": frozenset({"pro", "x"})}), True),
        (UsageQuery(filters={"plan": frozenset({"x"})}), False),
        (UsageQuery(filters={"status": frozenset({"live"})}), False),
        (UsageQuery(filters={"projectType": frozenset({"node"})}), False),
        (UsageQuery(filters={"name": frozenset({"a\ufffd"})}), True),
        (UsageQuery(filters={"plan": frozenset({"pro"})}, max_requests=4), False),
    ],
)
def test_all_filters_must_match(query, passes):
    """Values are compared as returned, ignoring case; a missing or null value matches no filter."""
    row = {"name": "A\ud800", "plan": "PRO", "status": None, "totalRequest": 5}
    predicate = build_predicate(query)
    assert [predicate(5, row), predicate(5, row)] == [passes, passes]


@pytest.mark.parametrize(
    ("sort", "row", "key"),
    [
        ("totalRequest", {"totalRequest": 5}, 5),
        ("name", {"name": "Straße"}, "strasse"),
        ("name", {"name": None}, None),
        ("name", {}, None),
        ("createdAt", {"createdAt": "1970-01-01T00:00:00.001Z"}, 1),
        ("updatedAt", {}, None),
    ],
)
def test_sort_keys(sort, row, key):
    """Rows are sorted by their count, their casefolded name or their dates as instants."""
    assert build_sort_key(sort)(row) == key


def no_content_key(index):
    raise AssertionError("no row needs the key of its content")


@pytest.mark.parametrize(("descending", "order"), [(True, [3, 2, 0, 4, 1]), (False, [2, 0, 3, 4, 1])])
def test_rows_without_a_key_are_last_in_both_directions(descending, order):
    """Ties are sorted by id, ascending in both directions."""
    keys, id_keys = [1, None, 1, 2, None], [b"c", b"z", b"b", b"a", b"y"]
    assert sort_indexes(keys, id_keys, no_content_key, descending=descending) == order


@pytest.mark.parametrize("descending", [True, False])
def test_rows_after_a_position_follow_it_in_the_order(descending):
    """The position does not have to be that of an existing row."""
    keys = [5, 5, 7, None, 2, None]
    id_keys = [bytes([number]) for number in range(6)]
    order = sort_indexes(keys, id_keys, no_content_key, descending=descending)
    for number, index in enumerate(order):
        cursor = CursorPosition(keys[index], id_keys[index])
        after = [other for other in order if is_after(keys[other], id_keys[other], cursor, descending=descending)]
        assert after == order[number + 1 :]


def test_ties_are_sorted_by_content():
    """Only rows with the same sort key and the same id are sorted by their content."""
    keys, id_keys = [1, 1, 1, 2, None, None, 1], [b"a", b"b", b"a", b"a", b"a", b"a", b"c"]
    content = {0: b"z", 2: b"y", 4: b"x", 5: b"w"}
    assert sort_indexes(keys, id_keys, content.__getitem__, descending=True) == [3, 2, 0, 1, 6, 5, 4]


def test_long_names_have_keys_that_fit_into_a_cursor():
    """Names with the same beginning still have different keys."""
    one, other = (build_sort_key("name")({"name": "x" * 300 + end}) for end in "ab")
    assert len(one) == len(other) == 264
    assert one != other
