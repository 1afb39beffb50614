"""Filtering and sorting of rows."""

from collections.abc import Callable, Sequence
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
    minimum, maximum = query.min_requests, query.max_requests
    # Rows have few distinct values, so each value is compared once and the result is cached.
    criteria: list[tuple[str, frozenset[str], dict[str | None, bool]]] = [
        (name, values, {None: False}) for name, values in query.filters.items()
    ]
    if not criteria and minimum is None and maximum is None:
        return None

    def predicate(count: Number, row: Row) -> bool:
        if (minimum is not None and count < minimum) or (maximum is not None and count > maximum):
            return False
        for name, values, matches in criteria:
            value = row.get(name)
            if value not in matches:
                matches[value] = (to_text(value) or "").casefold() in values
            if not matches[value]:
                return False
        return True

    return predicate


def build_sort_key(name: str) -> Callable[[Row], SortKey]:
    """Return the function that computes a row's sort key for one of the sort fields."""
    if name == COUNT:
        return itemgetter(COUNT)
    return _get_name_key if name == NAME else lambda row: get_date_sort_key(row.get(name))


def sort_indexes(keys: Sequence[SortKey], id_keys: Sequence[bytes], *, descending: bool) -> list[int]:
    """Return the indexes of rows in order: rows without a key last, ties by ascending ``_id``."""
    # Two stable sorts by single values are several times faster than one by pairs.
    by_id = sorted(range(len(id_keys)), key=id_keys.__getitem__)
    with_key = [index for index in by_id if keys[index] is not None]
    with_key.sort(key=keys.__getitem__, reverse=descending)
    if len(with_key) == len(by_id):
        return with_key
    return with_key + [index for index in by_id if keys[index] is None]


def is_after(key: SortKey, id_key: bytes, position: CursorPosition, *, descending: bool) -> bool:
    """Return whether a row comes after a position in the order of :func:`sort_indexes`."""
    if key == position.sort_key:
        return id_key > position.id_key
    if key is None or position.sort_key is None:
        return key is None
    return bool(key < position.sort_key) == descending


def _get_name_key(row: Row) -> str | None:
    name = row.get(NAME)
    if name is None:
        return None
    # Computed from the name as returned, even if the row is not converted yet, and short enough for a cursor.
    return truncate_key((to_text(name) or "").casefold())
