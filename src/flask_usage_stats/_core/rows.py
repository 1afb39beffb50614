"""From documents to the rows that show them. Pure: no Flask, no PyMongo."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from types import NoneType
from typing import Any, Final, NamedTuple, TypeAlias

from bson import Code, Int64, ObjectId

from . import values
from .fields import COUNT, FIELDS, ID, Kind
from .values import IdKey, Number

#: One project: wire names in the contract's order; dates are naive UTC datetimes or text.
Row: TypeAlias = Mapping[str, Any]

_PROJECTS_NAMED: Final = 5


@dataclass(slots=True)
class Adjustments:
    """What did not fit the contract and was shown as something else, never with its value."""

    #: How many stored values were changed.
    number: int = 0
    #: The first projects concerned: the identity as it is shown, and each field with the type that it held.
    first: list[tuple[object, list[tuple[str, str]]]] = field(default_factory=list)

    def add(self, project: object, found: list[tuple[str, str]]) -> None:
        """Count the changed values of one project, and remember where they stand for the first few projects."""
        self.number += len(found)
        if len(self.first) < _PROJECTS_NAMED:
            self.first.append((project, found))


class Rows(NamedTuple):
    """Some rows, with what ranks them beside them."""

    counts: list[Number]
    #: The bytes of ObjectIds; of others the keys that sort them.
    identities: Sequence[bytes | IdKey]
    rows: Sequence[Row]
    #: How many datetimes each row ends with, where its values are shown as they are stored.
    dates: int | None

    def where(self, passes: Callable[[Number, Row], bool]) -> "Rows":
        """Keep the rows that pass."""
        kept = [index for index, row in enumerate(self.rows) if passes(self.counts[index], row)]
        return Rows(
            [self.counts[index] for index in kept],
            [self.identities[index] for index in kept],
            [self.rows[index] for index in kept],
            self.dates,
        )


def shown(documents: Iterable[Row], changes: Adjustments) -> Iterator[Rows]:
    """Show documents, those of one shape together, so that what a shape needs is found out once.

    Nearly all documents of most collections are shown as they are stored; they are not copied.
    """
    for shape, alike in _by_shape(documents).items():
        form = _form(shape)
        yield converted(alike, changes) if form is None else _as_stored(alike, form)


def converted(documents: Iterable[Row], changes: Adjustments) -> Rows:
    """Show documents value by value, and note what had to be changed."""
    counts, identities, rows = [], [], []
    for document in documents:
        count, row = _row(document, changes)
        counts.append(count)
        identities.append(values.id_sort_key(document.get(ID)))
        rows.append(row)
    return Rows(counts, identities, rows, None)


def _by_shape(documents: Iterable[Row]) -> Mapping[tuple[Any, ...], list[Row]]:
    """Put documents with the same names and types together."""
    alike: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    last: list[Any] = []
    for document in documents:
        shape = [*document, *map(type, document.values())]
        if shape != last or not alike:  # most are like the one before, and a list needs no hash
            last, add = shape, alike[*shape].append
        add(document)
    return alike


class _Form(NamedTuple):
    """How documents of a shape become rows without a look at their values."""

    names: list[str]
    in_order: bool
    dates: int
    identity: Callable[[Any], bytes | IdKey]


_AS_STORED: Final[Mapping[Kind, set[type]]] = {
    Kind.ID: {ObjectId, str, int, Int64},
    Kind.TEXT: {str, NoneType},
    Kind.COUNT: {int, Int64},
    Kind.DATE: {datetime},
}


@lru_cache
def _form(shape: tuple[Any, ...]) -> _Form | None:
    """Find the form of a shape; ``None`` where a value of such a type has to be looked at."""
    middle = len(shape) // 2
    types = dict(zip(shape[:middle], shape[middle:], strict=True))
    present = [(name, kind) for name, kind in FIELDS if name in types]
    if not {ID, COUNT} <= types.keys() or any(types[name] not in _AS_STORED[kind] for name, kind in present):
        return None
    names = [name for name, _ in present]
    identity = attrgetter("binary") if types[ID] is ObjectId else values.id_sort_key
    return _Form(names, names == list(types), sum(kind is Kind.DATE for _, kind in present), identity)


def _as_stored(documents: list[Row], form: _Form) -> Rows:
    if not form.in_order:
        documents = [{name: document[name] for name in form.names} for document in documents]
    counts = [document[COUNT] for document in documents]
    return Rows(counts, [form.identity(document[ID]) for document in documents], documents, form.dates)


_SHOWN: Final[Mapping[Kind, Callable[[object], str | Number | datetime | None]]] = {
    Kind.ID: values.to_id,
    Kind.TEXT: values.to_text,
    Kind.COUNT: values.to_count,
    Kind.DATE: values.to_date,
}


def _row(document: Row, changes: Adjustments) -> tuple[Number, Row]:
    row: dict[str, object] = {}
    count: Number = 0
    changed = []
    for name, kind in FIELDS:
        if name in document:
            value = document[name]
            row[name] = shown = _SHOWN[kind](value)
            if not _fits(value, shown, kind):
                changed.append((name, type(value).__name__))
        if kind is Kind.COUNT:
            row[name] = count = values.to_count(document.get(name)) or 0
    if changed:
        changes.add(row.get(ID), changed)
    return count, row


def _fits(value: object, shown: object, kind: Kind) -> bool:
    if value is None:
        return True
    if kind is Kind.TEXT or (isinstance(shown, str) and isinstance(value, str) and not isinstance(value, Code)):
        return shown == value
    return shown is not None
