"""Filtering and sorting of rows."""

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

from .fields import COUNT, NAME
from .query import CursorPosition, UsageQuery
from .rows import Row
from .values import Number, get_date_sort_key, to_text, truncate_key

#: What a row is sorted by: a count, a casefolded name or milliseconds; ``None`` sorts last in both directions.
SortKey: TypeAlias = Any


def build_predicate(query: UsageQuery) -> Callable[[Number, Row], bool] | None:
    """Build the row filter, or return None if the query has no filters."""
    minimum, maximum, search = query.min_requests, query.max_requests, query.search
    if not query.filters and not query.without and minimum is None and maximum is None and search is None:
        return None
    # Rows have few distinct values, so each value is compared once and the result is cached.
    criteria: list[tuple[str, frozenset[str], dict[object, bool]]] = [
        *((name, values, {}) for name, values in query.filters.items()),
        *((name, frozenset({""}), {}) for name in query.without),
    ]

    def predicate(count: Number, row: Row) -> bool:
        if (minimum is not None and count < minimum) or (maximum is not None and count > maximum):
            return False
        for name, values, matches in criteria:
            value = row.get(name)
            if value not in matches:
                matches[value] = _get_text(row, name) in values
            if not matches[value]:
                return False
        return search is None or search in _get_text(row, NAME)

    return predicate


def build_sort_key(name: str) -> Callable[[Row], SortKey]:
    """Return the function that computes a row's sort key for one of the sort fields."""
    if name == COUNT:
        return itemgetter(COUNT)
    return _get_name_key if name == NAME else lambda row: get_date_sort_key(row.get(name))


def sort_indexes(
    keys: Sequence[SortKey],
    id_keys: Sequence[bytes],
    get_content_key: Callable[[int], bytes],
    *,
    descending: bool,
) -> list[int]:
    """Return the indexes of rows in order: rows without a key last, ties by ascending ``_id``, then by their content.

    :param get_content_key: returns the key of the content of the row with this index; called only if the ``_id`` of
        tied rows is not unique.
    """
    # Two stable sorts by single values are several times faster than one by pairs.
    by_id = sorted(range(len(id_keys)), key=id_keys.__getitem__)
    with_key = [index for index in by_id if keys[index] is not None]
    with_key.sort(key=keys.__getitem__, reverse=descending)
    order = with_key
    if len(with_key) < len(by_id):
        order += [index for index in by_id if keys[index] is None]
    if len(set(id_keys)) == len(id_keys):
        return order
    ties = groupby(order, key=lambda index: (keys[index], id_keys[index]))
    return [index for _, tied in ties for index in _sort_ties(list(tied), get_content_key)]


def is_after(key: SortKey, id_key: bytes, position: CursorPosition, *, descending: bool) -> bool:
    """Return whether a row comes after all rows with the sort key and ``_id`` of a position."""
    if key == position.sort_key:
        return id_key > position.id_key
    if key is None or position.sort_key is None:
        return key is None
    return bool(key < position.sort_key) == descending


def _get_text(row: Row, name: str) -> str:
    """Return the casefolded text of a field as returned, even if the row is not converted yet; ``""`` for null."""
    return (to_text(row.get(name)) or "").casefold()


def _sort_ties(indexes: list[int], get_content_key: Callable[[int], bytes]) -> list[int]:
    return sorted(indexes, key=get_content_key) if len(indexes) > 1 else indexes


def _get_name_key(row: Row) -> str | None:
    return None if row.get(NAME) is None else truncate_key(_get_text(row, NAME))  # short enough for a cursor
