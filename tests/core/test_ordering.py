"""Filtering, sorting and pagination of rows."""

import pytest

from flask_usage_stats._core.ordering import build_predicate, paginate, sort_key_for, sorted_indexes
from flask_usage_stats._core.query import DEFAULT_QUERY, CursorPosition, UsageQuery


def test_no_filters_need_no_predicate():
    """A query without filters lets every row pass without asking."""
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
    assert sort_key_for(UsageQuery(sort=sort))(row) == key


@pytest.mark.parametrize(("descending", "order"), [(True, [3, 2, 0, 4, 1]), (False, [2, 0, 3, 4, 1])])
def test_rows_without_a_key_are_last_in_both_directions(descending, order):
    """Ties are sorted by id, ascending in both directions."""
    keys, id_keys = [1, None, 1, 2, None], [b"c", b"z", b"b", b"a", b"y"]
    assert sorted_indexes(keys, id_keys, descending=descending) == order


@pytest.mark.parametrize("keys", [[9, 5, 5, 5, 2, None, None, None], [1, 5, 5, 5, 7, None, None, None]])
@pytest.mark.parametrize("gone", range(7))
def test_page_starts_at_the_former_position_of_a_row_that_is_gone(keys, gone):
    """The position is found by the sort key first and the id second."""
    id_keys = [bytes([number]) for number in range(8)]
    order = [number for number in range(8) if number != gone]
    query = UsageQuery(limit=3, descending=keys[0] > keys[4], cursor=CursorPosition(keys[gone], id_keys[gone]))
    page, _ = paginate(order, keys, id_keys, query)
    assert page == list(range(gone + 1, 8))[:3]


@pytest.mark.parametrize(
    ("limit", "page", "last"),
    [(None, [2, 0, 1], None), (0, [], None), (1, [2], 2), (2, [2, 0], 0), (3, [2, 0, 1], None), (9, [2, 0, 1], None)],
)
def test_last_and_empty_pages_have_no_position(limit, page, last):
    """A page that ends with the last row, or has no rows, is the last page."""
    keys, id_keys = [5, 4, 6], [b"a", b"b", b"c"]
    position = None if last is None else CursorPosition(keys[last], id_keys[last])
    assert paginate([2, 0, 1], keys, id_keys, UsageQuery(limit=limit)) == (page, position)


def test_pages_after_long_names():
    """A name that is too long for a cursor is continued by its truncated key."""
    keys, id_keys = ["x" * 300 + end for end in "abc"], [b"a", b"b", b"c"]
    _, position = paginate([0, 1, 2], keys, id_keys, UsageQuery(limit=1, descending=False, sort="name"))
    assert len(position.sort_key) < 300
    query = UsageQuery(limit=1, descending=False, sort="name", cursor=position)
    assert paginate([0, 1, 2], keys, id_keys, query)[0] == [1]
