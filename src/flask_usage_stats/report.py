"""From documents to ranked rows and their total. Pure: no Flask, no PyMongo."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from itertools import islice
from typing import Any, Final, TypeAlias

from bson import Code, Int64, ObjectId

from . import values
from .encoding import encode_row, encode_rows
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
        plain, others = _sorted_out(batch)
        encoded = encode_rows(plain) if plain else []
        if encoded is None:
            encoded, plain, others = [], [], batch
        counts += [document[COUNT] for document in plain]
        ids += [document[ID].binary for document in plain]
        rows += encoded
        for document in others:
            count, row = _row(document, changes)
            counts.append(count)
            ids.append(values.id_key(document.get(ID)))
            rows.append(encode_row(row))
    if set(map(type, ids)) - {bytes}:
        ids = [values.object_id_key(key) if type(key) is bytes else key for key in ids]
    # Two stable sorts by plain values are several times faster than one by pairs.
    order = sorted(range(len(rows)), key=ids.__getitem__)
    order.sort(key=counts.__getitem__, reverse=True)
    return Report(_total(counts), [rows[index] for index in order], changes)


_NAMES: Final = [name for name, _ in FIELDS]
_DATES: Final = [name for name, kind in FIELDS if kind is Kind.DATE]
_PLAIN: Final = {Kind.ID: ObjectId, Kind.TEXT: str, Kind.DATE: datetime}
_SHAPES: Final = [[_PLAIN.get(kind, count) for _, kind in FIELDS] for count in (int, Int64)]


def _sorted_out(batch: Iterable[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Tell the documents that are shown just as they are stored, nearly all of most collections, from the others."""
    plain, others = [], []
    created, updated = _DATES
    for document in batch:
        if (
            [*document] == _NAMES
            and [*map(type, document.values())] in _SHAPES
            and document[created].microsecond
            and document[updated].microsecond
        ):
            plain.append(document)
        else:
            others.append(document)
    return plain, others


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
