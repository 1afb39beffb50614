"""From documents to the answer's rows, ranked, and their totals. Pure: no Flask, no PyMongo."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from .._formats.json import encode, encode_rows
from . import ordering as selection
from . import values
from .groups import Group, Groups
from .query import DEFAULT_QUERY, CursorPosition, UsageQuery
from .rows import Adjustments, Row, Rows, converted, shown
from .values import IdKey, Number

_BATCH: Final = 2000  # documents that are held at a time; the store's reads are as long


@dataclass(frozen=True, slots=True)
class Report:
    """What a request is answered: one owner's projects, ranked, with their total."""

    #: The sum of the counts of every row that the question keeps, exact, rounded once.
    total: Number
    #: The rows of the page that was asked for, as they are written.
    rows: list[bytes]
    #: Where groups were asked for: every row that the question keeps, added up.
    groups: list[Group] | None
    #: Where the page ends; ``None`` where nothing follows.
    end: CursorPosition | None
    changes: Adjustments


def build_report(
    documents: Iterable[Row],
    question: UsageQuery = DEFAULT_QUERY,
    *,
    digest: str = "",
    write: Callable[[Row], bytes] | None = None,
) -> Report:
    """Read every document once, keep and rank the rows that were asked for, and add their counts up.

    A row becomes bytes as soon as its batch is read, for as a dictionary it takes five times the memory.

    :param documents: mappings with wire names, in any order; consumed whole.
    :param digest: of the walk that the report's end belongs to.
    :param write: writes a row in another form than JSON.
    :returns: the report; without rows and with a total of 0 where nothing is kept.
    :raises Exception: whatever iterating over the documents raises.
    """
    ranking = _Ranking(question, write)
    unread = iter(documents)
    # No name here holds a batch, so that one is gone before the next is read: memory that is warm is used again.
    while ranking.add(list(islice(unread, _BATCH))):
        pass
    return ranking.report(digest)


class _Ranking:
    """Takes documents a batch at a time, and keeps of each what ranks it, and its bytes."""

    def __init__(self, question: UsageQuery, write: Callable[[Row], bytes] | None) -> None:
        self._question = question
        self._write = write
        self._passes = selection.filter_of(question)
        self._key = selection.key_of(question)
        self._groups = Groups(question.group_by) if question.group_by else None
        self._changes = Adjustments()
        self._counts: list[Number] = []
        self._identities: list[Any] = []
        self._keys: list[Any] = []
        self._rows: list[bytes] = []

    def add(self, batch: list[Row]) -> bool:
        """Take some documents; tell whether there were any."""
        if self._write is not None:
            self._take(converted(batch, self._changes))
            return bool(batch)
        for rows in shown(batch, self._changes):
            try:
                self._take(rows)
            except TypeError:  # a text that is no Unicode, an integer beyond 64 bits, a time zone: one by one
                self._take(converted(rows.rows, self._changes))
        return bool(batch)

    def _take(self, rows: Rows) -> None:
        if self._passes is not None:
            rows = rows.where(self._passes)
        encoded = self._encoded(rows)
        self._counts += rows.counts
        self._identities += rows.identities
        self._rows += encoded
        if self._key is not None:
            self._keys += map(self._key, rows.rows)
        if self._groups is not None:
            self._groups.add(rows)

    def _encoded(self, rows: Rows) -> list[bytes]:
        if self._write is not None:
            return list(map(self._write, rows.rows))
        if rows.dates is None:
            return list(map(encode, rows.rows))
        return encode_rows(rows.rows, rows.dates)

    def report(self, digest: str) -> Report:
        """Rank what was taken."""
        identities: Sequence[bytes] | Sequence[IdKey] = self._identities
        if set(map(type, identities)) - {bytes}:
            identities = [values.object_id_key(key) if type(key) is bytes else key for key in self._identities]
        keys = self._counts if self._key is None else self._keys
        order = selection.order(keys, identities, descending=self._question.descending)
        order, end = selection.page(order, keys, identities, self._question, digest)
        total = values.exact_sum(self._counts)
        groups = None if self._groups is None else self._groups.ranked(total)
        return Report(total, [self._rows[index] for index in order], groups, end, self._changes)
