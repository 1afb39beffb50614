"""What a response contains, and the protocol for the forms in which it is sent."""

from dataclasses import dataclass
from typing import Protocol

from .groups import Group
from .query import CursorPosition, UsageQuery
from .rows import Adjustments, RowBatch
from .values import Number


@dataclass(frozen=True, slots=True)
class Report:
    """One owner's projects, ranked, with their total."""

    #: The exact sum of the counts of every row that matches the filters, rounded once.
    total: Number
    #: The rows of the requested page, encoded by the format.
    encoded_rows: list[bytes]
    #: The totals of every row that matches the filters, if the query groups them.
    groups: list[Group] | None
    #: The last row of the page, if more rows follow.
    next_position: CursorPosition | None
    adjustments: Adjustments


class OutputFormat(Protocol):
    """A form of the response. Rows are encoded while they are read, and joined once they are sorted."""

    def encode_rows(self, batch: RowBatch, /) -> list[bytes]:
        """Encode each row by itself, in the order given.

        :raises ValueError: a string has invalid Unicode or a datetime is aware.
            Batches of :func:`~.rows.convert_each` have neither.
        """

    def encode_body(self, report: Report, query: UsageQuery, next_cursor: str | None, /) -> bytes:
        """Encode the complete body around the encoded rows."""
