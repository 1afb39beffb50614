"""A faster conversion for documents whose values, apart from the count, are returned as stored.

That is true of nearly all documents in most collections; most of them are not even copied.
:func:`~.rows.convert_each` returns the same rows for any document, but is several times slower.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from math import isfinite
from operator import attrgetter, itemgetter
from types import NoneType
from typing import Any, Final, NamedTuple, TypeAlias

from bson import Int64, ObjectId

from .fields import ALL_FIELDS, COUNT, FIELDS, ID, Field, Kind
from .rows import Adjustments, Document, Row, RowBatch, convert_each
from .values import OBJECT_ID_PREFIX, Number, fits_int64, get_id_sort_key, is_safe_integer

#: The types of a document's values, followed by the field names.
_Shape: TypeAlias = tuple[Any, ...]


def convert_batch(
    documents: Iterable[Document], adjustments: Adjustments, fields: tuple[Field, ...] = FIELDS
) -> Iterator[RowBatch]:
    """Convert documents, grouped by shape, so that each shape is examined only once, and yield one batch per shape.

    Strings with invalid Unicode and aware datetimes pass through as well. A format that cannot encode them
    raises ValueError, and :mod:`~.ranking` then converts the batch with :func:`~.rows.convert_each`.

    :param fields: the fields that the rows may have, ``FIELDS`` or ``ALL_FIELDS``.
    """
    find_plan = _find_plan if fields is FIELDS else _find_full_plan
    for shape, group in _group_by_shape(documents).items():
        plan = find_plan(shape)
        batch = None if plan is None else _pass_through(group, plan)
        yield convert_each(group, adjustments, fields) if batch is None else batch


def _group_by_shape(documents: Iterable[Document]) -> Mapping[_Shape, list[Document]]:
    groups: defaultdict[_Shape, list[Document]] = defaultdict(list)
    last: list[Any] = []
    for document in documents:
        shape = [
            *map(type, document.values()),
            *document,
        ]  # types first: names differ less often
        if shape != last or not groups:  # usually the shape is the same; comparing lists avoids a hash
            last, add = shape, groups[*shape].append
        add(document)
    return groups


class _RowPlan(NamedTuple):
    """How documents of one shape become rows without looking at most of their values."""

    #: The stored types of the ``_id`` and of the count (``NoneType`` if it is missing).
    id_type: type
    count_type: type
    #: As in :class:`~.rows.RowBatch`.
    trailing_dates: int
    #: Whether a document has exactly the field names of its row, in the same order.
    is_row: bool
    #: Return the values of the fields before the count, and of those after it.
    values_before: Callable[[Document], tuple[Any, ...]]
    values_after: Callable[[Document], tuple[Any, ...]]
    #: The field names of a row, in order.
    names: tuple[str, ...]
    #: As in :class:`~.rows.RowBatch`.
    fields: tuple[Field, ...]


_UNCHANGED_TYPES: Final[Mapping[Kind, set[type]]] = {
    Kind.ID: {ObjectId, str, int, Int64},
    Kind.TEXT: {str, NoneType},
    Kind.COUNT: {int, Int64, float, NoneType},
    Kind.DATE: {datetime},
}
_get_id: Final = itemgetter(ID)
_get_count: Final = itemgetter(COUNT)
_get_binary: Final = attrgetter("binary")


# Two caches, because the hash of the fields would take longer than all else that is done once for a shape.
@lru_cache(maxsize=512)
def _find_plan(shape: _Shape) -> _RowPlan | None:
    return _build_row_plan(shape, FIELDS)


@lru_cache(maxsize=512)
def _find_full_plan(shape: _Shape) -> _RowPlan | None:
    return _build_row_plan(shape, ALL_FIELDS)


def _build_row_plan(shape: _Shape, fields: tuple[Field, ...]) -> _RowPlan | None:
    """Return the plan for a shape, or None if its documents have to be converted value by value."""
    middle = len(shape) // 2
    types = dict(zip(shape[middle:], shape[:middle], strict=True))
    present = [(name, kind) for name, kind in fields if name in types or name == COUNT]
    if ID not in types:
        return None
    if any(types.get(name, NoneType) not in _UNCHANGED_TYPES[kind] for name, kind in present):
        return None
    names = tuple(name for name, _ in present)
    before, after = names[: names.index(COUNT)], names[names.index(COUNT) + 1 :]
    return _RowPlan(
        id_type=types[ID],
        count_type=types.get(COUNT, NoneType),
        trailing_dates=sum(kind is Kind.DATE for _, kind in present),
        is_row=names == tuple(types),
        values_before=_build_getter(before),
        values_after=_build_getter(after),
        names=names,
        fields=fields,
    )


def _build_getter(names: tuple[str, ...]) -> Callable[[Document], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda document: tuple(document[name] for name in names)


def _pass_through(documents: list[Document], plan: _RowPlan) -> RowBatch | None:
    """Return the rows of documents of one shape, or None if some of them have to be converted."""
    if issubclass(plan.id_type, int) and not all(map(is_safe_integer, map(_get_id, documents))):
        return None
    counts: list[Number]
    if plan.count_type is NoneType:
        counts = [0] * len(documents)
    elif plan.count_type is float:
        stored = list(map(_get_count, documents))
        if not all(map(isfinite, stored)):
            return None
        counts = [int(count) if count.is_integer() else count for count in stored]
    else:
        integers: list[int] = list(map(_get_count, documents))
        if not (fits_int64(min(integers)) and fits_int64(max(integers))):  # of another store, perhaps beyond a double
            return None
        counts = [*integers]
    if plan.id_type is ObjectId:
        # Several times faster than a list comprehension.
        id_keys = list(map(OBJECT_ID_PREFIX.__add__, map(_get_binary, map(_get_id, documents))))
    else:
        id_keys = list(map(get_id_sort_key, map(_get_id, documents)))
    return RowBatch(counts, id_keys, _to_rows(documents, counts, plan), plan.trailing_dates, plan.fields)


def _to_rows(documents: list[Document], counts: list[Number], plan: _RowPlan) -> list[Row]:
    if not plan.is_row:
        before, after, names = plan.values_before, plan.values_after, plan.names
        return [
            dict(zip(names, (*before(document), count, *after(document)), strict=True))
            for document, count in zip(documents, counts, strict=True)
        ]
    if issubclass(plan.count_type, int):
        return documents
    return [{**document, COUNT: count} for document, count in zip(documents, counts, strict=True)]
