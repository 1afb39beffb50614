"""From documents to ranked rows and their total. Pure: no Flask, no PyMongo."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from types import NoneType
from typing import Any, Final, NamedTuple, TypeAlias

from bson import Code, Int64, ObjectId

from . import values
from .encoding import encode, encode_rows
from .fields import COUNT, FIELDS, ID, Kind
from .values import Number

#: One project as it is shown: wire names in the contract's order; dates are naive UTC datetimes or text.
Row: TypeAlias = dict[str, str | Number | datetime | None]

_BATCH: Final = 2000  # documents that are held at a time; the store's reads are as long
_PROJECTS_NAMED: Final = 5


@dataclass(slots=True)
class Changes:
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


@dataclass(frozen=True, slots=True)
class Report:
    """The projects of one owner, ranked, with their total.

    A document becomes bytes as soon as its batch is read, for as a dictionary it takes five times the memory.
    """

    #: The sum of the counts that are shown, exact, rounded once.
    total: Number
    #: The count that is shown, highest first; ties by ``_id``, ascending. In the form of the encoder.
    rows: list[bytes]
    changes: Changes


def rank(documents: Iterable[Mapping[str, object]]) -> Report:
    """Read every document once, rank the rows by the count that they show and add the counts up.

    :param documents: mappings with wire names, in any order; consumed whole.
    :returns: the report; without rows and with a total of 0 where there are no documents.
    :raises Exception: whatever iterating over the documents raises.
    """
    changes = Changes()
    counts: list[Number] = []
    ids: list[Any] = []  # the bytes of ObjectIds, and keys of any other identity
    rows: list[bytes] = []
    unread = iter(documents)
    while batch := list(islice(unread, _BATCH)):
        for shape, alike in _by_shape(batch).items():
            form = _form(shape)
            encoded = None if form is None else _encoded_as_stored(alike, form)
            if encoded is not None:
                counts += [document[COUNT] for document in alike]
                ids += [document[ID].binary for document in alike]
                rows += encoded
                continue
            for document in alike:
                count, row = _row(document, changes)
                counts.append(count)
                ids.append(values.id_key(document.get(ID)))
                rows.append(encode(row))
    if set(map(type, ids)) - {bytes}:
        ids = [values.object_id_key(key) if type(key) is bytes else key for key in ids]
    # Two stable sorts by plain values are several times faster than one by pairs.
    order = sorted(range(len(rows)), key=ids.__getitem__)
    order.sort(key=counts.__getitem__, reverse=True)
    return Report(_total(counts), [rows[index] for index in order], changes)


def _by_shape(batch: Iterable[Mapping[str, Any]]) -> Mapping[tuple[object, ...], list[Mapping[str, Any]]]:
    """Put documents with the same names and types together, so that what they need is found out once."""
    alike = defaultdict(list)
    for document in batch:
        alike[*document, *map(type, document.values())].append(document)
    return alike


class _Form(NamedTuple):
    """How documents of one shape are written as they are stored."""

    names: list[str]
    in_order: bool
    dates: int


_AS_STORED: Final[Mapping[Kind, set[type]]] = {
    Kind.ID: {ObjectId},
    Kind.TEXT: {str, NoneType},
    Kind.COUNT: {int, Int64},
    Kind.DATE: {datetime},
}


@lru_cache
def _form(shape: tuple[Any, ...]) -> _Form | None:
    """Tell how documents of a shape are written; ``None`` where a value has to be looked at first."""
    types = dict(zip(shape[: len(shape) // 2], shape[len(shape) // 2 :], strict=True))
    shown = [(name, kind) for name, kind in FIELDS if name in types]
    names = [name for name, _ in shown]
    if not {ID, COUNT} <= types.keys() or any(types[name] not in _AS_STORED[kind] for name, kind in shown):
        return None
    return _Form(names, names == list(types), sum(kind is Kind.DATE for _, kind in shown))


def _encoded_as_stored(documents: Sequence[Mapping[str, Any]], form: _Form) -> list[bytes] | None:
    if not form.in_order:
        documents = [{name: document[name] for name in form.names} for document in documents]
    try:
        return encode_rows(documents, form.dates)
    except TypeError:  # a text that is no Unicode, or an integer beyond 64 bits: each row by itself
        return None


_SHOWN: Final[Mapping[Kind, Callable[[object], str | Number | datetime | None]]] = {
    Kind.ID: values.id_of,
    Kind.TEXT: values.text_of,
    Kind.COUNT: values.count_of,
    Kind.DATE: values.date_of,
}


def _row(document: Mapping[str, object], changes: Changes) -> tuple[Number, Row]:
    row: Row = {}
    count: Number = 0
    changed = []
    for name, kind in FIELDS:
        if name in document:
            value = document[name]
            row[name] = shown = _SHOWN[kind](value)
            if not _fits(value, shown, kind):
                changed.append((name, type(value).__name__))
        if kind is Kind.COUNT:
            row[name] = count = values.count_of(document.get(name)) or 0
    if changed:
        changes.add(row.get(ID), changed)
    return count, row


def _fits(value: object, shown: object, kind: Kind) -> bool:
    if value is None:
        return True
    if kind is Kind.TEXT or (isinstance(shown, str) and isinstance(value, str) and not isinstance(value, Code)):
        return shown == value
    return shown is not None


def _total(counts: Sequence[Number]) -> Number:
    if float not in set(map(type, counts)):
        return sum(counts)
    whole = sum(count for count in counts if isinstance(count, int))
    exact = whole + sum((Fraction(count) for count in counts if isinstance(count, float)), Fraction())
    if exact.denominator == 1:
        return exact.numerator
    try:
        double = float(exact)
    except OverflowError:  # beyond a double nothing but whole numbers is left
        return round(exact)
    return int(double) if double.is_integer() else double
