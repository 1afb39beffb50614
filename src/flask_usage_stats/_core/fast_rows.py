"""A faster conversion for documents whose values are returned as they are stored.

Nearly all documents of most collections are; they are not even copied.
Without this module :func:`~.rows.convert_each` does the same work, several times slower.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from operator import attrgetter, itemgetter
from types import NoneType
from typing import Any, Final, NamedTuple, TypeAlias

from bson import Int64, ObjectId

from .fields import COUNT, FIELDS, ID, Kind
from .rows import Adjustments, Row, RowBatch, convert_each
from .values import OBJECT_ID_RANK, id_sort_key, is_safe_integer

#: The names of a document, then the types of their values.
_Shape: TypeAlias = tuple[Any, ...]


def convert_batch(documents: Iterable[Row], adjustments: Adjustments) -> Iterator[RowBatch]:
    """Convert documents, grouped by shape, so that each shape is examined only once.

    Strings with invalid Unicode and aware datetimes pass through as well. Formats refuse to encode them,
    and :func:`~.report.build_report` then converts the batch by :func:`~.rows.convert_each`.
    """
    for shape, group in _group_by_shape(documents).items():
        plan = _row_plan(shape)
        if plan is None or (plan.has_integer_ids and not all(is_safe_integer(document[ID]) for document in group)):
            yield convert_each(group, adjustments)
        else:
            yield _pass_through(group, plan)


def _group_by_shape(documents: Iterable[Row]) -> Mapping[_Shape, list[Row]]:
    groups: defaultdict[_Shape, list[Row]] = defaultdict(list)
    last: list[Any] = []
    for document in documents:
        shape = [*document, *map(type, document.values())]
        if shape != last or not groups:  # most documents are like the one before, and a list needs no hash
            last, add = shape, groups[*shape].append
        add(document)
    return groups


class _RowPlan(NamedTuple):
    """How documents of one shape become rows without looking at their values."""

    names: list[str]
    in_order: bool
    trailing_dates: int
    has_object_ids: bool
    has_integer_ids: bool


_UNCHANGED_TYPES: Final[Mapping[Kind, set[type]]] = {
    Kind.ID: {ObjectId, str, int, Int64},
    Kind.TEXT: {str, NoneType},
    Kind.COUNT: {int, Int64},
    Kind.DATE: {datetime},
}


_GET_ID: Final = itemgetter(ID)
_GET_BINARY: Final = attrgetter("binary")


@lru_cache
def _row_plan(shape: _Shape) -> _RowPlan | None:
    """Return the plan for a shape, or None if values of such types have to be converted."""
    middle = len(shape) // 2
    types = dict(zip(shape[:middle], shape[middle:], strict=True))
    present = [(name, kind) for name, kind in FIELDS if name in types]
    if not {ID, COUNT} <= types.keys() or any(types[name] not in _UNCHANGED_TYPES[kind] for name, kind in present):
        return None
    names = [name for name, _ in present]
    trailing_dates = sum(kind is Kind.DATE for _, kind in present)
    return _RowPlan(names, names == list(types), trailing_dates, types[ID] is ObjectId, issubclass(types[ID], int))


def _pass_through(documents: list[Row], plan: _RowPlan) -> RowBatch:
    if not plan.in_order:
        documents = [{name: document[name] for name in plan.names} for document in documents]
    counts = [document[COUNT] for document in documents]
    if plan.has_object_ids:
        # Several times faster than a list comprehension.
        id_keys = list(map(OBJECT_ID_RANK.__add__, map(_GET_BINARY, map(_GET_ID, documents))))
    else:
        id_keys = [id_sort_key(document[ID]) for document in documents]
    return RowBatch(counts, id_keys, documents, plan.trailing_dates)
