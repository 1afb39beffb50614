"""Which rows an answer holds, and in which order. Pure."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, TypeAlias

from . import values
from .fields import COUNT
from .query import CursorPosition, UsageQuery
from .rows import Row
from .values import Number

#: A row's place in the order that was asked for; ``None`` comes last in both directions.
Key: TypeAlias = Any

_MICROSECOND: Final = timedelta(microseconds=1)


def filter_of(question: UsageQuery) -> Callable[[Number, Row], bool] | None:
    """Make the function that tells whether a row is kept; ``None`` where every row is."""
    wanted: list[tuple[str, frozenset[str], dict[str | None, bool]]] = [
        (name, texts, {None: False}) for name, texts in question.filters.items()
    ]
    low, high = question.minimum, question.maximum
    if not wanted and low is None and high is None:
        return None

    def passes(count: Number, row: Row) -> bool:
        if (low is not None and count < low) or (high is not None and count > high):
            return False
        for name, texts, known in wanted:  # few different texts stand in many rows
            text: Any = row.get(name)
            if text not in known:
                known[text] = text.casefold() in texts
            if not known[text]:
                return False
        return True

    return passes


def key_of(question: UsageQuery) -> Callable[[Row], Key] | None:
    """Make the function that gives a row's sort key; ``None`` where rows are sorted by their counts."""
    sort = question.sort
    if sort == COUNT:
        return None
    if sort == "name":
        return lambda row: None if row.get(sort) is None else row[sort].casefold()
    return lambda row: values.date_sort_key(row.get(sort))


def order(keys: Sequence[Key], identities: Sequence[Any], *, descending: bool) -> list[int]:
    """Sort rows, given by their index: those without a key last, ties by identity, ascending, in both directions."""
    # Two stable sorts by plain values are several times faster than one by pairs.
    by_identity = sorted(range(len(identities)), key=identities.__getitem__)
    having = [index for index in by_identity if keys[index] is not None]
    having.sort(key=keys.__getitem__, reverse=descending)
    if len(having) == len(by_identity):
        return having
    return having + [index for index in by_identity if keys[index] is None]


def page(
    order: list[int], keys: Sequence[Key], identities: Sequence[Any], question: UsageQuery, digest: str
) -> tuple[list[int], CursorPosition | None]:
    """Cut out the page that was asked for, of rows in order.

    :returns: the page, and its end where more rows follow; no end behind an empty page, so that every walk ends.
    """
    if question.limit is None:
        return order, None
    start = 0
    if question.after is not None:
        places = [(_plain(keys[index]), _id_key(identities[index])) for index in order]
        start = _start(places, question.after, descending=question.descending)
    end = start + question.limit
    if not question.limit or end >= len(order):
        return order[start:end], None
    last = order[end - 1]
    return order[start:end], CursorPosition(_plain(keys[last]), _id_key(identities[last]), digest)


def _plain(key: Key) -> Key:
    """Make a key that a cursor can hold, and that fits into a URL."""
    if isinstance(key, timedelta):
        return key // _MICROSECOND
    return values.truncate_key(key) if isinstance(key, str) else key


def _id_key(identity: bytes | values.IdKey) -> values.IdKey:
    return values.object_id_key(identity) if isinstance(identity, bytes) else identity


def _start(places: Sequence[tuple[Key, values.IdKey]], after: CursorPosition, *, descending: bool) -> int:
    """Find where the next page begins: behind the last row, or, where that has moved, behind its old place."""
    try:
        return places.index((after.key, after.identity)) + 1
    except ValueError:
        behind = _behind(after, descending=descending)
        return next((place for place, found in enumerate(places) if behind(*found)), len(places))


def _behind(position: CursorPosition, *, descending: bool) -> Callable[[Key, values.IdKey], bool]:
    def behind(key: Key, identity: values.IdKey) -> bool:
        if key is None or position.key is None:
            return key is None and (position.key is not None or identity > position.identity)
        if key != position.key:
            return bool(key < position.key) == descending
        return identity > position.identity

    return behind
