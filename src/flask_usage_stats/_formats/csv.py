"""The CSV format: RFC 4180, in UTF-8 without a byte order mark.

No spreadsheet runs any part of a text as a formula, whether it assumes the comma, semicolon, bar or tab as separator.
"""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from .._core.calendar import format_instant
from .._core.fields import FROM, GROUP_SHARE, GROUP_SIZE, PARTIAL, TO, TOTAL, Kind
from .._core.groups import Group
from .._core.history_query import HistoryQuery
from .._core.output import Report
from .._core.platform_query import PlatformQuery
from .._core.platform_report import PlatformReport
from .._core.query import UsageQuery
from .._core.rows import RowBatch
from .._core.timeline import Timeline
from .._core.values import format_datetime

# Spreadsheets treat text that begins with these characters as a formula, also if they have split it at another
# separator than the comma: https://owasp.org/www-community/attacks/CSV_Injection
_SEPARATORS: Final = r',;|"\t\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029'
_BLANKS: Final = r"\x01-\x08\x0e-\x1b\x1f \x7f-\x84\x86-\xa0\u1680\u2000-\u200f\u202a-\u202f\u205f-\u2064\u3000\ufeff"
_FORMULA_STARTS: Final = r"=+\-@\uff1d\uff0b\uff0d\uff20\t\r"
_FORMULA: Final = re.compile(f"[{_SEPARATORS}][{_BLANKS}]*(?=[{_FORMULA_STARTS}])")
_UTC_DATES: Final = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


class CSVFormat:
    """Encodes reports as CSV; an :class:`~flask_usage_stats._core.output.OutputFormat`."""

    has_rows_with_groups = False

    def encode_rows(self, batch: RowBatch) -> list[bytes]:
        """Encode each row as a line with all fields; missing and null values are empty.

        :raises ValueError: a string has invalid Unicode, or an aware datetime cannot be encoded as it is.
        """
        # Converted by column, since the cells of a column have few types.
        columns = []
        for name, kind in batch.fields:
            cells = [row.get(name) for row in batch.rows]
            columns.append(_CELL_CONVERTERS[kind](cells))
        return _encode_lines(zip(*columns, strict=True))

    def encode_body(self, report: Report, query: UsageQuery, next_cursor: str | None) -> bytes:
        """Encode a header line and the rows or, if the query groups them, the groups instead of the rows."""
        del next_cursor  # it is in the Link header
        if report.groups is None:
            return b"".join([*_encode_lines([[name for name, _ in query.fields]]), *report.encoded_rows])
        return _encode_groups(query.group_by, report.groups)

    def encode_timeline(self, timeline: Timeline, query: HistoryQuery) -> bytes:
        """Encode a header line and each bucket; if the query groups them, a line for each group of each bucket."""
        lines: list[Sequence[object]] = [(FROM, TO, *query.group_by, TOTAL, PARTIAL)]
        for bucket in timeline.buckets:
            window = [format_instant(moment, query.zone) for moment in (bucket.start, bucket.end)]
            cells = [(*group, requests) for group, requests in zip(timeline.groups or [], bucket.groups, strict=False)]
            if not cells:
                cells = [(*(None for _ in query.group_by), bucket.total)]
            is_partial = str(bucket.is_partial).lower()
            lines += [[*window, *_escape_cells(list(each)), is_partial] for each in cells]
        return b"".join(_encode_lines(lines))

    def encode_platform(self, report: PlatformReport, query: PlatformQuery) -> bytes:
        """Encode the groups and, as a last line without values, the others; without groups, the projects."""
        if report.groups is None:
            names = [name for name, _ in report.rows.fields]
            return b"".join([*_encode_lines([names]), *self.encode_rows(report.rows)])
        others = [] if report.others is None else [report.others]
        return _encode_groups(query.group_by, [*report.groups, *others])


CSV: Final = CSVFormat()


class _Lines:
    """A file object for the csv module, which writes each line with one call."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.write = self.written.append


def _encode_groups(names: Sequence[str], groups: Iterable[Group]) -> bytes:
    columns = (*names, GROUP_SIZE, TOTAL, GROUP_SHARE)
    lines = [_escape_cells([group.get(name) for name in columns]) for group in groups]
    return b"".join(_encode_lines([columns, *lines]))


def _join_owners(cells: list[Any]) -> list[Any]:
    """Join the owners of each project with semicolons."""
    return _escape_cells(
        [
            ";".join("" if owner is None else str(owner) for owner in cell) if isinstance(cell, list) else cell
            for cell in cells
        ]
    )


def _encode_lines(rows: Iterable[Sequence[object]]) -> list[bytes]:
    lines = _Lines()
    csv.writer(lines).writerows(rows)
    return [line.encode() for line in lines.written]


def _escape_cells(cells: list[Any]) -> list[Any]:
    """Put an apostrophe before each formula in text, and remove NUL, which spreadsheets ignore."""
    text = "\n".join([cell for cell in cells if isinstance(cell, str)])
    if "\0" not in text and not _FORMULA.search("\n" + text):  # all cells at once is several times faster
        return cells
    return [_escape_text(cell) if isinstance(cell, str) else cell for cell in cells]


def _escape_text(text: str) -> str:
    return _FORMULA.sub(r"\g<0>'", "\n" + text.replace("\0", ""))[1:]


def _format_dates(cells: list[Any]) -> list[Any]:
    """Format datetimes in UTC with milliseconds; other cells are escaped as text."""
    if set(map(type, cells)) != {datetime}:
        return _escape_cells([format_datetime(cell) if isinstance(cell, datetime) else cell for cell in cells])
    # orjson formats datetimes several times faster than isoformat, but with six fractional digits, or none for whole
    # seconds: "2024-03-14T10:15:00Z" has 20 characters, 19 of them before the Z; milliseconds end after 23.
    texts = orjson.dumps(cells, option=_UTC_DATES).decode()[2:-2].split('","')
    if not all(text.endswith("Z") for text in texts):
        raise ValueError("a datetime is not in UTC")
    return [f"{text[:23]}Z" if len(text) > 20 else f"{text[:19]}.000Z" for text in texts]  # noqa: PLR2004


_CELL_CONVERTERS: Final[Mapping[Kind, Callable[[list[Any]], list[Any]]]] = {
    Kind.ID: _escape_cells,
    Kind.OWNER: _join_owners,
    Kind.TEXT: _escape_cells,
    Kind.COUNT: lambda cells: cells,
    Kind.DATE: _format_dates,
}
