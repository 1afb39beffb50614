"""Conversion of documents to rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from bson import Code

from . import values
from .fields import COUNT, FIELDS, ID, Kind
from .values import Number

#: One project: field names in the order of the response, to values that every format can encode.
Row: TypeAlias = Mapping[str, Any]

_MAX_EXAMPLES: Final = 5


@dataclass(slots=True)
class Adjustments:
    """Stored values that had to be converted to fit the API. Records field names and types, never the values."""

    #: The number of converted values.
    count: int = 0
    #: The first projects concerned: the returned ``_id`` and, for each field, its name and stored type.
    examples: list[tuple[object, list[tuple[str, str]]]] = field(default_factory=list)

    def add(self, project: object, fields: list[tuple[str, str]]) -> None:
        """Count the converted values of one project and keep the first few projects as examples."""
        self.count += len(fields)
        if len(self.examples) < _MAX_EXAMPLES:
            self.examples.append((project, fields))


class RowBatch(NamedTuple):
    """Rows, and the values by which they are ranked."""

    counts: list[Number]
    #: The sort keys of each row's ``_id``.
    id_keys: list[bytes]
    rows: Sequence[Row]
    #: How many naive UTC datetimes each row ends with. They are not formatted yet; other dates are text.
    trailing_dates: int

    def filter(self, predicate: Callable[[Number, Row], bool]) -> "RowBatch":
        """Return the rows for which the predicate holds."""
        selected = [index for index, row in enumerate(self.rows) if predicate(self.counts[index], row)]
        return RowBatch(
            [self.counts[index] for index in selected],
            [self.id_keys[index] for index in selected],
            [self.rows[index] for index in selected],
            self.trailing_dates,
        )


def convert_each(documents: Iterable[Row], adjustments: Adjustments) -> RowBatch:
    """Convert documents value by value and record what had to be adjusted."""
    counts, id_keys, rows = [], [], []
    for document in documents:
        row = _convert_document(document, adjustments)
        counts.append(row[COUNT])
        id_keys.append(values.get_id_sort_key(document.get(ID)))
        rows.append(row)
    return RowBatch(counts, id_keys, rows, trailing_dates=0)


_CONVERTERS: Final[Mapping[Kind, Callable[[object], str | Number | None]]] = {
    Kind.ID: values.to_id,
    Kind.TEXT: values.to_text,
    Kind.COUNT: lambda value: values.to_count(value) or 0,
    Kind.DATE: values.to_date,
}


def _convert_document(document: Row, adjustments: Adjustments) -> Row:
    row: dict[str, Any] = {}
    adjusted = []
    for name, kind in FIELDS:
        if name in document:
            value = document[name]
            row[name] = _CONVERTERS[kind](value)
            if _is_adjusted(value, row[name], kind):
                adjusted.append((name, type(value).__name__))
        elif kind is Kind.COUNT:
            row[name] = 0
    if adjusted:
        adjustments.add(row.get(ID), adjusted)
    return row


def _is_adjusted(value: object, converted: object, kind: Kind) -> bool:
    """Return whether a conversion lost something, rather than only writing the same value in the API's form."""
    if value is None:
        return False
    if kind is Kind.COUNT:
        return values.to_count(value) is None
    if kind is Kind.TEXT or (isinstance(converted, str) and isinstance(value, str) and not isinstance(value, Code)):
        return converted != value
    return converted is None
