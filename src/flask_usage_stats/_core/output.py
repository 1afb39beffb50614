"""The content of a response, and the protocol for the formats in which it is sent."""

from dataclasses import dataclass
from typing import Protocol

from .groups import Group
from .history_query import HistoryQuery
from .platform_query import PlatformQuery
from .platform_report import PlatformReport
from .query import CursorPosition, UsageQuery
from .rows import Adjustments, RowBatch
from .timeline import Timeline
from .values import Number


@dataclass(frozen=True, slots=True)
class Report:
    """One owner's ranked projects and their total."""

    #: The exact sum of the counts of every row that matches the filters, rounded once.
    total: Number
    #: The number of rows that match the filters.
    matching: int
    #: The rows of the requested page (without a limit, all matching rows), in order and encoded by the format.
    encoded_rows: list[bytes]
    #: The groups of all rows that match the filters, highest total first; ``None`` if the query does not group.
    groups: list[Group] | None
    #: The position of the last row of the page; ``None`` if no more rows follow or the page is empty.
    next_position: CursorPosition | None
    #: The stored values that were adjusted to fit the API.
    adjustments: Adjustments


class OutputFormat(Protocol):
    """A format of the response. Encodes rows one by one, and joins them to a body once they are sorted."""

    #: Whether the body contains the rows even if it contains groups. If not, no row is encoded for a query with groups.
    has_rows_with_groups: bool

    def encode_rows(self, batch: RowBatch, /) -> list[bytes]:
        """Encode each row separately, in the order given.

        :raises ValueError: a string has invalid Unicode, or an aware datetime cannot be encoded as it is.
            Batches returned by :func:`~.rows.convert_each` contain neither.
        """

    def encode_body(self, report: Report, query: UsageQuery, next_cursor: str | None, /) -> bytes:
        """Encode the complete response body, including the encoded rows.

        :param next_cursor: the encoded ``report.next_position``, if there is one.
        """

    def encode_timeline(self, timeline: Timeline, query: HistoryQuery, /) -> bytes:
        """Encode the complete response body of the history."""

    def encode_platform(self, report: PlatformReport, query: PlatformQuery, /) -> bytes:
        """Encode the complete response body of the platform view."""
