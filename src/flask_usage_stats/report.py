"""From documents to ranked rows and their total. Pure: no Flask, no PyMongo."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from operator import itemgetter
from typing import Final, TypeAlias

from bson import Code

from . import values
from .fields import FIELDS, ID, Kind
from .values import Number

#: One project as it is shown: wire names in the contract's order; dates are naive UTC datetimes or text.
Row: TypeAlias = dict[str, str | Number | datetime | None]


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

    .. code-block:: python

        Report(total=12890, rows=[{"_id": 7, "name": "blog", "totalRequest": 12890}], changes=Changes())
    """

    #: The sum of the counts that are shown, exact, rounded once.
    total: Number
    #: The count that is shown, highest first; ties by ``_id``, ascending.
    rows: list[Row]
    changes: Changes


def rank(documents: Iterable[Mapping[str, object]]) -> Report:
    """Read every document once, rank the rows by the count that they show and add the counts up.

    :param documents: mappings with wire names, in any order; consumed whole.
    :returns: the report; without rows and with a total of 0 where there are no documents.
    :raises Exception: whatever iterating over the documents raises.
    """
    changes = Changes()
    ranked: list[tuple[Number, values.IdKey, Row]] = []
    for document in documents:
        count, row = _row(document, changes)
        ranked.append((-count, values.id_key(document.get(ID)), row))
    ranked.sort(key=itemgetter(0, 1))
    return Report(_total([-count for count, _, _ in ranked]), [row for _, _, row in ranked], changes)


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
    whole = sum(count for count in counts if isinstance(count, int))
    exact = whole + sum((Fraction(count) for count in counts if isinstance(count, float)), Fraction())
    if exact.denominator == 1:
        return exact.numerator
    try:
        double = float(exact)
    except OverflowError:  # beyond a double nothing but whole numbers is left
        return round(exact)
    return int(double) if double.is_integer() else double
