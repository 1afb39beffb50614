"""Printing of a report as a table, with rich."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from rich import box
from rich.console import Console, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .._core.fields import (
    COUNT,
    CREATED_AT,
    FIELDS,
    GROUP_SHARE,
    GROUP_SIZE,
    ID,
    LAST_REQUEST_AT,
    NAME,
    OWNER,
    PLAN,
    PROJECT_TYPE,
    STATUS,
    TOTAL,
    UPDATED_AT,
)
from .._core.groups import Group
from .._core.output import Report
from .._core.query import UsageQuery
from .._core.text import escape
from .._core.values import Number

#: The titles of columns.
TITLES: Final = {NAME: "Project", PROJECT_TYPE: "Type", STATUS: "Status", PLAN: "Plan", OWNER: "Owner"}
_DATE_AND_TIME: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T.*", re.DOTALL)
_EMPTY: Final = "-"
_SCIENTIFIC_FROM: Final = 10**15  # counts from here on are printed with an exponent
_BAR_WIDTH: Final = 20  # characters
_UNLIMITED_WIDTH: Final = 10_000  # characters; without a terminal, no cell is truncated


class Column(NamedTuple):
    """A column of a table."""

    title: str
    cells: Sequence[RenderableType]
    is_number: bool = False


def print_table(report: Report, query: UsageQuery, next_cursor: str | None) -> None:
    """Print a report as a table of projects, or of groups if the query has ``group_by``, followed by the total.

    :param report: a report whose rows are encoded as JSON.
    :param query: the query of the report.
    :param next_cursor: the cursor of the next page, or ``None`` if this is the last page.
    """
    columns = (
        _project_columns(report, query) if report.groups is None else build_group_columns(report.groups, query.group_by)
    )
    console = build_console()
    if columns[0].cells:
        console.print(build_table(columns))
        console.print()
    elif query.limit != 0:
        console.print("No projects.")
    console.print(f"Total requests: {format_number(report.total)}")
    if next_cursor is not None and report.groups is None:
        console.print(Text(f"More projects follow: --cursor {next_cursor}"), soft_wrap=True)


def build_console() -> Console:
    """Return a console for standard output."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_UNLIMITED_WIDTH)


def build_table(columns: Sequence[Column]) -> Table:
    """Return a table of columns with equally many cells."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column.title, justify="right" if column.is_number else "left", no_wrap=column.is_number)
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return table


def _project_columns(report: Report, query: UsageQuery) -> list[Column]:
    rows = [json.loads(row) for row in report.encoded_rows]
    date, title = (CREATED_AT, "Created") if query.sort == CREATED_AT else (UPDATED_AT, "Updated")
    columns = [
        Column(TITLES[NAME], [render_text(row.get(NAME) or row.get(ID)) for row in rows]),
        *(Column(TITLES[name], [render_text(row.get(name)) for row in rows]) for name in (PROJECT_TYPE, STATUS, PLAN)),
        Column("Requests", [format_number(row[COUNT]) for row in rows], is_number=True),
        Column(title, [_format_date(row.get(date)) for row in rows]),
    ]
    if query.row_fields is not FIELDS:
        columns.append(Column("Last request", [_format_date(row.get(LAST_REQUEST_AT)) for row in rows]))
    return columns


def build_group_columns(groups: Sequence[Group], names: Sequence[str]) -> list[Column]:
    """Return the columns of a table of groups.

    :param names: the fields grouped by.
    """

    def cells(name: str, render: Callable[[Any], RenderableType]) -> list[RenderableType]:
        return [render(group[name]) for group in groups]

    return [
        *(Column(TITLES[name], cells(name, render_text)) for name in names),
        Column("Projects", cells(GROUP_SIZE, format_number), is_number=True),
        Column("Requests", cells(TOTAL, format_number), is_number=True),
        Column("Share", cells(GROUP_SHARE, _format_share), is_number=True),
        Column("", cells(GROUP_SHARE, build_bar)),
    ]


def render_text(value: object) -> Text:
    """Render a stored value without markup. Escape control characters and those not in the output's encoding."""
    encoding = sys.stdout.encoding or "utf-8"
    return Text(
        _EMPTY if value in (None, "") else escape(str(value), encoding=encoding),
        no_wrap=True,
        overflow="ellipsis" if encoding.lower().startswith("utf") else "crop",
    )


def _format_date(date: str | None) -> Text:
    return render_text(_DATE_AND_TIME.sub(r"\1", date or ""))


def format_number(number: Number) -> str:
    """Return a number with separators of thousands, and a very large one with an exponent."""
    if abs(number) >= _SCIENTIFIC_FROM:
        return f"{Decimal(number):.3e}"
    return f"{number:,}" if isinstance(number, int) else f"{number:,.2f}"


def _format_share(share: float | None) -> str:
    return _EMPTY if share is None else f"{share:.1%}"


def build_bar(share: float | None) -> ProgressBar:
    """Return a bar for a share from 0 to 1."""
    return ProgressBar(1, share or 0.0, width=_BAR_WIDTH, complete_style="green", finished_style="green")
