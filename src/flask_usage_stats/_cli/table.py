"""A report for people at a terminal: a table by rich, or plain text in columns."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from unicodedata import combining, east_asian_width

import click

from .._core import cursors as cursor
from .._core.fields import COUNT, GROUP_SHARE, GROUP_SIZE, ID, STATUS, TOTAL
from .._core.groups import Group
from .._core.query import UsageQuery
from .._core.report import Report
from .._core.text import escape
from .._core.values import Number

if TYPE_CHECKING:
    from rich.console import Console

_TITLES: Final = {"name": "Project", "projectType": "Type", STATUS: "Status", "plan": "Plan"}
_DAY: Final = re.compile(r"([+-]?[0-9]{4,6}-[0-9]{2}-[0-9]{2})T.*", re.DOTALL)
_NOTHING: Final = "-"
_LARGE: Final = 10**15  # from here on, digits would only fill the line
_BAR: Final = 20  # characters


class _Column(NamedTuple):
    title: str
    cells: list[str]
    is_number: bool = False
    shares: list[float] | None = None


def show(report: Report, question: UsageQuery) -> None:
    """Print a report of rows in JSON; where there are groups, they stand in for the rows, as in CSV."""
    columns = _projects(report, question) if report.groups is None else _groups(report.groups, question)
    notes = [] if columns[0].cells or question.limit == 0 else ["No projects."]
    notes.append(f"Total requests: {_number(report.total)}")
    if report.end is not None and report.groups is None:
        notes.append(f"More projects follow: --cursor {cursor.write(report.end)}")
    console = _terminal()
    if console is not None:
        _rich(console, columns, notes)
    else:
        click.echo("\n".join(_plain(columns, notes)))


def _projects(report: Report, question: UsageQuery) -> list[_Column]:
    rows = [json.loads(row) for row in report.rows]
    date, title = ("createdAt", "Created") if question.sort == "createdAt" else ("updatedAt", "Updated")
    return [
        _Column(_TITLES["name"], [_text(row.get("name") or row.get(ID)) for row in rows]),
        *(_Column(_TITLES[name], [_text(row.get(name)) for row in rows]) for name in ("projectType", STATUS, "plan")),
        _Column("Requests", [_number(row[COUNT]) for row in rows], is_number=True),
        _Column(title, [_DAY.sub(r"\1", _text(row.get(date))) for row in rows]),
    ]


def _groups(groups: Sequence[Group], question: UsageQuery) -> list[_Column]:
    def of(name: str, shown: Callable[[Any], str]) -> list[str]:
        return [shown(group[name]) for group in groups]

    shares: list[Any] = [group[GROUP_SHARE] for group in groups]
    return [
        *(_Column(_TITLES[name], of(name, _text)) for name in question.group_by),
        _Column("Projects", of(GROUP_SIZE, _number), is_number=True),
        _Column("Requests", of(TOTAL, _number), is_number=True),
        _Column("Share", of(GROUP_SHARE, _percentage), is_number=True, shares=[share or 0.0 for share in shares]),
    ]


def _text(value: object) -> str:
    """Show what a project's owner wrote so that it cannot command a terminal, nor what the terminal cannot show."""
    text = _NOTHING if value in (None, "") else escape(str(value))
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _number(number: Number) -> str:
    if abs(number) >= _LARGE:
        return f"{Decimal(number):.3e}"
    return f"{number:,}" if isinstance(number, int) else f"{number:,.2f}"


def _percentage(share: float | None) -> str:
    return _NOTHING if share is None else f"{share:.1%}"


def _plain(columns: Sequence[_Column], notes: Sequence[str]) -> list[str]:
    lines = []
    if columns[0].cells:
        widths = [max(map(_width, [column.title, *column.cells])) for column in columns]
        for cells in zip(*([column.title, *column.cells] for column in columns), strict=True):
            padded = [
                f"{' ' * (width - _width(cell))}{cell}" if column.is_number else f"{cell}{' ' * (width - _width(cell))}"
                for column, cell, width in zip(columns, cells, widths, strict=True)
            ]
            lines.append("  ".join(padded).rstrip())
        lines.append("")
    return [*lines, *notes]


def _width(text: str) -> int:
    return sum(0 if combining(char) else 1 + (east_asian_width(char) in "WF") for char in text)


def _terminal() -> "Console | None":
    """Give a console where rich is installed and somebody looks."""
    try:
        from rich.console import Console  # noqa: PLC0415 # an extra, and slow to import for those who do not look
    except ImportError:
        return None
    console = Console(highlight=False)
    # Its lines and dots are no ASCII.
    return console if console.is_terminal and console.encoding.startswith("utf") else None


def _rich(console: "Console", columns: Sequence[_Column], notes: Sequence[str]) -> None:
    from rich import box  # noqa: PLC0415 # as above
    from rich.progress_bar import ProgressBar  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if columns[0].cells:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        filled: list[list[Any]] = []
        for column in columns:
            table.add_column(column.title, justify="right" if column.is_number else "left", no_wrap=column.is_number)
            # Text, for a string would be read as markup.
            filled.append([Text(cell, no_wrap=True, overflow="ellipsis") for cell in column.cells])
            if column.shares is not None:
                table.add_column("")
                filled.append(
                    [
                        ProgressBar(1, share, width=_BAR, complete_style="green", finished_style="green")
                        for share in column.shares
                    ]
                )
        for cells in zip(*filled, strict=True):
            table.add_row(*cells)
        console.print(table)
        console.print()
    for note in notes:
        console.print(Text(note), soft_wrap=True)
