"""Filtering, sorting and pagination of rows."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from .fields import COUNT, NAME
from .query import CursorPosition, UsageQuery
from .rows import Row
from .values import Number, date_sort_key, to_text, truncate_key

#: What a row is sorted by: a count, a casefolded name or milliseconds; ``None`` sorts last in both directions.
SortKey: TypeAlias = Any


def build_predicate(query: UsageQuery) -> Callable[[Number, Row], bool] | None:
    """Build the row filter, or return None if the query has no filters."""
    minimum, maximum = query.min_requests, query.max_requests
    # Rows share few distinct values, so each is compared once and the result is cached.
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


def sort_key_for(query: UsageQuery) -> Callable[[Row], SortKey]:
    """Return the function that computes a row's sort key."""
    name = query.sort
    if name == COUNT:
        return itemgetter(COUNT)
    if name == NAME:
        return lambda row: None if row.get(name) is None else row[name].casefold()
    return lambda row: date_sort_key(row.get(name))


def sorted_indexes(keys: Sequence[SortKey], id_keys: Sequence[bytes], *, descending: bool) -> list[int]:
    """Return the indexes of rows in order: rows without a key last, ties by ``_id``, ascending in both directions."""
    # Two stable sorts by plain values are several times faster than one by pairs.
    by_id = sorted(range(len(id_keys)), key=id_keys.__getitem__)
    with_key = [index for index in by_id if keys[index] is not None]
    with_key.sort(key=keys.__getitem__, reverse=descending)
    if len(with_key) == len(by_id):
        return with_key
    return with_key + [index for index in by_id if keys[index] is None]


def paginate(
    order: list[int], keys: Sequence[SortKey], id_keys: Sequence[bytes], query: UsageQuery
) -> tuple[list[int], CursorPosition | None]:
    """Return the requested page of the sorted rows, and its last position if more rows follow."""
    if query.limit is None:
        return order, None
    start = 0
    if query.cursor is not None:
        positions = [CursorPosition(_cursor_key(keys[index]), id_keys[index]) for index in order]
        start = _page_start(positions, query.cursor, descending=query.descending)
    end = start + query.limit
    if not query.limit or end >= len(order):  # an empty page ends the pagination, since the next would be the same
        return order[start:end], None
    last = order[end - 1]
    return order[start:end], CursorPosition(_cursor_key(keys[last]), id_keys[last])


def _cursor_key(key: SortKey) -> SortKey:
    return truncate_key(key) if isinstance(key, str) else key


def _page_start(positions: Sequence[CursorPosition], cursor: CursorPosition, *, descending: bool) -> int:
    """Find the start of the next page: after the cursor's row or, if that row has moved, after its former position."""
    try:
        return positions.index(cursor) + 1
    except ValueError:
        following = (index for index, row in enumerate(positions) if _is_after(row, cursor, descending=descending))
        return next(following, len(positions))


def _is_after(row: CursorPosition, cursor: CursorPosition, *, descending: bool) -> bool:
    if row.sort_key == cursor.sort_key:
        return row.id_key > cursor.id_key
    if row.sort_key is None or cursor.sort_key is None:
        return row.sort_key is None
    return bool(row.sort_key < cursor.sort_key) == descending  # type: ignore[operator]  # one query's keys have one type
