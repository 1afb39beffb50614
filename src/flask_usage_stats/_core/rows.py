"""Conversion of documents to rows."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from bson import Code

from . import values
from .fields import ALL_FIELDS, COUNT, FIELDS, ID, Field, Kind
from .values import Number

#: One project as its store returns it: field names of the response (others are ignored) to stored values.
Document: TypeAlias = Mapping[str, Any]

#: One project as it is returned: field names in the order of the response, to values that every format can encode.
Row: TypeAlias = Mapping[str, Any]

_MAX_EXAMPLES: Final = 5
_CONTENT_KEY_SIZE: Final = 16  # bytes


@dataclass(slots=True)
class Adjustments:
    """Stored values that were adjusted to fit the API. Records ids, field names and types, but not the values."""

    #: The number of adjusted values.
    count: int = 0
    #: The number of documents that have fields, but none of a row: their store uses other names.
    unnamed: int = 0
    #: Up to five projects: the returned ``_id`` and, for each adjusted field, its name and stored type.
    examples: list[tuple[object, list[tuple[str, str]]]] = field(default_factory=list)

    def add(self, project: object, fields: list[tuple[str, str]]) -> None:
        """Count the adjusted values of one project, and keep the first five projects as examples."""
        self.count += len(fields)
        if len(self.examples) < _MAX_EXAMPLES:
            self.examples.append((project, fields))


class RowBatch(NamedTuple):
    """Rows with the values used to total and rank them. The lists have the same length and order."""

    #: The count of each row.
    counts: list[Number]
    #: The sort key of each row's ``_id``; empty if the rows are only encoded.
    id_keys: list[bytes]
    #: The rows, in any order; aware datetimes and invalid Unicode only if they passed through unconverted.
    rows: Sequence[Row]
    #: The number of datetimes (0 to 3) that each row ends with, in the same fields. They are in UTC and not formatted
    #: yet; other dates are text.
    trailing_dates: int
    #: The fields that the rows may have.
    fields: tuple[Field, ...] = FIELDS

    def filter(self, predicate: Callable[[Number, Row], bool]) -> "RowBatch":
        """Return a batch of the rows for which the predicate is true."""
        selected = [index for index, row in enumerate(self.rows) if predicate(self.counts[index], row)]
        return RowBatch(
            [self.counts[index] for index in selected],
            [self.id_keys[index] for index in selected],
            [self.rows[index] for index in selected],
            self.trailing_dates,
            self.fields,
        )

    def select_fields(self, fields: tuple[Field, ...]) -> "RowBatch":
        """Return a batch whose rows only have these fields."""
        if fields is self.fields:
            return self
        names = {name for name, _ in fields}
        rows = [{name: value for name, value in row.items() if name in names} for row in self.rows]
        dates = list(self.rows[0])[-self.trailing_dates :] if rows and self.trailing_dates else []
        return self._replace(rows=rows, trailing_dates=len(names.intersection(dates)), fields=fields)


def get_content_key(row: Row, fields: tuple[Field, ...] = ALL_FIELDS) -> bytes:
    """Return a hash of a row, the same whether or not the row passed through unconverted.

    :param fields: the fields that the row may have.
    """
    return _hash_row(_convert_document(row, Adjustments(), fields))


def get_encoded_content_key(encoded: bytes) -> bytes:
    """Return the content key of a row that is encoded as JSON; for another format, a hash of the encoded row."""
    try:
        return _hash_row(json.loads(encoded))
    except ValueError:
        return _hash(encoded)


def convert_each(
    documents: Iterable[Document], adjustments: Adjustments, fields: tuple[Field, ...] = FIELDS
) -> RowBatch:
    """Convert documents value by value and record what had to be adjusted.

    The content of a row without an ``_id`` is part of its sort key, because nothing else identifies it.

    :param fields: the fields that the rows may have.
    """
    counts, id_keys, rows = [], [], []
    for document in documents:
        row = _convert_document(document, adjustments, fields)
        id_key = values.get_id_sort_key(document.get(ID))
        counts.append(row[COUNT])
        id_keys.append(id_key if row.get(ID) is not None else id_key + _hash_row(row))
        rows.append(row)
    return RowBatch(counts, id_keys, rows, trailing_dates=0, fields=fields)


_CONVERTERS: Final[Mapping[Kind, Callable[[object], object]]] = {
    Kind.ID: values.to_id,
    Kind.OWNER: values.to_owner,
    Kind.TEXT: values.to_text,
    Kind.COUNT: lambda value: values.to_count(value) or 0,
    Kind.DATE: values.to_date,
}


def _convert_document(document: Document, adjustments: Adjustments, fields: tuple[Field, ...]) -> Row:
    row: dict[str, Any] = {}
    adjusted = []
    for name, kind in fields:
        if name in document:
            value = document[name]
            row[name] = _CONVERTERS[kind](value)
            if _is_adjusted(value, row[name], kind):
                adjusted.append((name, type(value).__name__))
        elif kind is Kind.COUNT:
            row[name] = 0
    if len(row) == 1 and document and COUNT not in document:
        adjustments.unnamed += 1
    if adjusted:
        adjustments.add(row.get(ID), adjusted)
    return row


def _hash_row(row: Row) -> bytes:
    return _hash(json.dumps(row).encode())


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:_CONTENT_KEY_SIZE]


def _is_adjusted(value: object, converted: object, kind: Kind) -> bool:
    """Return whether a stored value did not fit its field, rather than only being written in the format of the API."""
    if value is None:
        return False
    if kind is Kind.COUNT:
        return values.to_count(value) is None
    if kind is Kind.TEXT or (isinstance(converted, str) and isinstance(value, str) and not isinstance(value, Code)):
        return converted != value
    return converted is None
