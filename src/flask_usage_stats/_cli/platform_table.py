"""Printing of the usage of all owners as tables, with rich."""

from rich.console import Console
from rich.text import Text

from .._core.fields import COUNT, GROUPS, ID, NAME, OWNER, PLAN, PROJECT_TYPE, STATUS
from .._core.platform_query import PlatformQuery
from .._core.platform_report import PlatformReport
from .._core.values import format_datetime
from .table import TITLES, Column, build_console, build_group_columns, build_table, format_number, render_text


def print_table(report: PlatformReport, query: PlatformQuery) -> None:
    """Print a table of the groups and one of the projects, if the query asks for them, followed by the totals."""
    console = build_console()
    if report.groups is not None:
        _print_groups(console, report, query)
    if query.limit:
        _print_projects(console, report)
    console.print(f"Total requests: {format_number(report.total)}")
    console.print(f"Projects: {format_number(report.projects)}, {format_number(report.unused)} of them unused")
    console.print(f"As of {format_datetime(report.as_of.replace(tzinfo=None))}")


def _print_groups(console: Console, report: PlatformReport, query: PlatformQuery) -> None:
    groups = list(report.groups or [])
    if report.others is not None:
        label = f"({report.others[GROUPS]} others)"
        groups.append(dict.fromkeys(query.group_by) | report.others | {query.group_by[0]: label})
    if groups:
        console.print(build_table(build_group_columns(groups, query.group_by)))
        console.print()


def _print_projects(console: Console, report: PlatformReport) -> None:
    rows = report.rows.rows
    if not rows:
        return
    names = {name for name, _ in report.rows.fields}
    columns = [
        Column(TITLES[NAME], [render_text(row.get(NAME) or row.get(ID)) for row in rows]),
        *(
            Column(TITLES[name], [_render(row.get(name)) for row in rows])
            for name in (OWNER, PROJECT_TYPE, STATUS, PLAN)
            if name in names
        ),
        Column("Requests", [format_number(row[COUNT]) for row in rows], is_number=True),
    ]
    console.print(build_table(columns))
    console.print()


def _render(value: object) -> Text:
    several = value if isinstance(value, list) else [value]
    return render_text(", ".join("-" if each is None else str(each) for each in several))
