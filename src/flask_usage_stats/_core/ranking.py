"""Collecting and sorting the rows of a response while documents are read."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from .fields import COUNT
from .ordering import SortKey, build_sort_key, is_after, sort_indexes
from .output import OutputFormat
from .query import CursorPosition, UsageQuery
from .rows import Adjustments, Row, RowBatch, convert_each, get_content_key, get_encoded_content_key


class Ranking(Protocol):
    """Collects rows and returns those of the response, encoded and in order."""

    def add(self, batch: RowBatch, /) -> None:
        """Add the rows of a batch."""

    def finish(self) -> tuple[list[bytes], CursorPosition | None]:
        """Return the encoded rows, and the position of the last one if more rows follow, otherwise None."""


def build_ranking(query: UsageQuery, output: OutputFormat, adjustments: Adjustments) -> Ranking:
    """Build the ranking for a query: of all rows, of one page, or of none if the format returns only the groups."""
    limit = 0 if query.group_by and not output.has_rows_with_groups else query.limit
    if limit is None:
        return _AllRows(query, output, adjustments)
    return _Page(query, limit, output, adjustments)


class _AllRows:
    """Encodes rows as soon as they are added, since dictionaries take five times as much memory."""

    def __init__(self, query: UsageQuery, output: OutputFormat, adjustments: Adjustments) -> None:
        self._query, self._output, self._adjustments = query, output, adjustments
        self._sort_keys: list[SortKey] = []
        self._id_keys: list[bytes] = []
        self._encoded_rows: list[bytes] = []

    def add(self, batch: RowBatch) -> None:
        self._encoded_rows += _encode(batch.select_fields(self._query.fields), self._output, self._adjustments)
        self._sort_keys += _get_sort_keys(batch, self._query)
        self._id_keys += batch.id_keys

    def finish(self) -> tuple[list[bytes], CursorPosition | None]:
        order = sort_indexes(self._sort_keys, self._id_keys, self._get_content_key, descending=self._query.descending)
        return [self._encoded_rows[index] for index in order], None

    def _get_content_key(self, index: int) -> bytes:
        return get_encoded_content_key(self._encoded_rows[index])


class _Page:
    """Keeps only the first rows after the query's position, and encodes those of the page at the end."""

    def __init__(self, query: UsageQuery, limit: int, output: OutputFormat, adjustments: Adjustments) -> None:
        self._query, self._output, self._adjustments = query, output, adjustments
        self._limit = limit
        self._size = limit + 1 if limit else 0  # one more row shows that another page follows
        self._sort_keys: list[SortKey] = []
        self._id_keys: list[bytes] = []
        self._rows: list[Row] = []
        self._trailing_dates: list[int] = []
        self._unskipped = query.position.returned if query.position else 0  # rows of earlier pages still to come

    def add(self, batch: RowBatch) -> None:
        if not self._size:  # with limit=0 there is no next page, since it would be empty as well
            return
        keys, start = _get_sort_keys(batch, self._query), self._query.position
        selected: Sequence[int] = range(len(keys))
        if start is not None:
            selected = [i for i in selected if self._follows(start, keys[i], batch.id_keys[i], batch.rows[i])]
        self._sort_keys += [keys[index] for index in selected]
        self._id_keys += [batch.id_keys[index] for index in selected]
        self._rows += [batch.rows[index] for index in selected]
        self._trailing_dates += [batch.trailing_dates] * len(selected)
        if len(self._rows) > 2 * self._size:
            self._keep_first()

    def finish(self) -> tuple[list[bytes], CursorPosition | None]:
        self._keep_first()
        position = self._build_position() if len(self._rows) > self._limit else None
        encoded = [b""] * min(self._limit, len(self._rows))
        indexes_by_dates: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for index in range(len(encoded)):
            names = tuple(self._rows[index])
            indexes_by_dates[names[len(names) - self._trailing_dates[index] :]].append(index)
        for dates, indexes in indexes_by_dates.items():
            rows = [self._rows[index] for index in indexes]
            batch = RowBatch([row[COUNT] for row in rows], [], rows, len(dates), self._query.row_fields)
            batch = batch.select_fields(self._query.fields)
            for index, row in zip(indexes, _encode(batch, self._output, self._adjustments), strict=True):
                encoded[index] = row
        return encoded, position

    def _follows(self, start: CursorPosition, key: SortKey, id_key: bytes, row: Row) -> bool:
        if not start.content_key or (key, id_key) != (start.sort_key, start.id_key):
            return is_after(key, id_key, start, descending=self._query.descending)
        content_key = get_content_key(row)
        if content_key == start.content_key and self._unskipped:
            self._unskipped -= 1
            return False
        return content_key >= start.content_key

    def _build_position(self) -> CursorPosition:
        """Build the position of the last row of the page, which at least one row follows."""
        start, last = self._query.position, self._limit - 1
        position = CursorPosition(self._sort_keys[last], self._id_keys[last])
        if (self._sort_keys[last + 1], self._id_keys[last + 1]) != (position.sort_key, position.id_key):
            return position
        position = replace(position, content_key=self._get_content_key(last))
        returned = 0
        while returned < self._limit and self._is_alike(last - returned, position):
            returned += 1
        if start is not None and replace(start, returned=0) == position:  # the entire page consists of alike rows
            returned += start.returned
        return replace(position, returned=returned)

    def _is_alike(self, index: int, position: CursorPosition) -> bool:
        keys = self._sort_keys[index], self._id_keys[index]
        return keys == (position.sort_key, position.id_key) and self._get_content_key(index) == position.content_key

    def _get_content_key(self, index: int) -> bytes:
        return get_content_key(self._rows[index])

    def _keep_first(self) -> None:
        order = sort_indexes(self._sort_keys, self._id_keys, self._get_content_key, descending=self._query.descending)[
            : self._size
        ]
        self._sort_keys = [self._sort_keys[index] for index in order]
        self._id_keys = [self._id_keys[index] for index in order]
        self._rows = [self._rows[index] for index in order]
        self._trailing_dates = [self._trailing_dates[index] for index in order]


def _get_sort_keys(batch: RowBatch, query: UsageQuery) -> Sequence[SortKey]:
    return batch.counts if query.sort == COUNT else list(map(build_sort_key(query.sort), batch.rows))


def _encode(batch: RowBatch, output: OutputFormat, adjustments: Adjustments) -> list[bytes]:
    try:
        return output.encode_rows(batch)
    except ValueError:  # a value that passed through unconverted
        return output.encode_rows(convert_each(batch.rows, adjustments, batch.fields))
