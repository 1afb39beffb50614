"""Printing of a timeline as a table, with rich."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from rich.text import Text

from .._core.calendar import HOUR, format_instant
from .._core.fields import PLAN, PROJECT, PROJECT_TYPE, STATUS
from .._core.history_query import HistoryQuery
from .._core.timeline import Bucket, Timeline
from .table import Column, build_bar, build_console, build_table, format_number, render_text

_TITLES: Final = {PROJECT: "Project", PROJECT_TYPE: "Type", STATUS: "Status", PLAN: "Plan"}
_OTHERS: Final = "(others)"
_DATE: Final = slice(0, 10)  # of 2026-03-28T00:00:00.000+01:00
_TIME: Final = slice(11, 16)
_OFFSET: Final = slice(23, None)


class _Line(NamedTuple):
    start: str
    values: tuple[object, ...]
    requests: int | None
    is_partial: bool


def print_table(timeline: Timeline, query: HistoryQuery) -> None:
    """Print a timeline as a table of windows, or of groups in windows, followed by the total."""
    lines = [line for bucket in timeline.buckets for line in _iter_lines(bucket, timeline, query)]
    console = build_console()
    if lines:
        highest = max(line.requests or 0 for line in lines) or 1
        groups = [
            Column(_TITLES[name], [render_text(line.values[index]) for line in lines])
            for index, name in enumerate(query.group_by)
        ]
        columns = [
            Column("From", [render_text(line.start) for line in lines]),
            *groups,
            Column("Requests", [_format_requests(line) for line in lines], is_number=True),
            Column("", [build_bar((line.requests or 0) / highest) for line in lines]),
        ]
        console.print(build_table(columns))
        console.print()
    console.print(f"Total requests: {format_number(timeline.total)}")
    console.print(Text(_describe_since(timeline, query)))


def _iter_lines(bucket: Bucket, timeline: Timeline, query: HistoryQuery) -> Iterator[_Line]:
    start = format_instant(bucket.start, query.zone)
    text = f"{start[_DATE]} {start[_TIME]} {start[_OFFSET]}" if query.window == HOUR else start[_DATE]
    groups = list(zip(timeline.groups or [], bucket.groups, strict=False))
    if not groups:
        yield _Line(text, (None,) * len(query.group_by), bucket.total, bucket.is_partial)
    for group, requests in groups:
        yield _Line(text, group, requests, bucket.is_partial)
    if bucket.others is not None:
        yield _Line(text, (_OTHERS,), bucket.others, bucket.is_partial)


def _format_requests(line: _Line) -> str:
    if line.requests is None:
        return "- "
    return format_number(line.requests) + ("*" if line.is_partial else " ")


def _describe_since(timeline: Timeline, query: HistoryQuery) -> str:
    if timeline.since is None:
        return "Nothing was counted yet."
    since = format_instant(timeline.since, query.zone)
    partial = "; * counted in part" if any(bucket.is_partial for bucket in timeline.buckets) else ""
    return f"Counted since {since[_DATE]} {since[_TIME]} {query.zone.key}{partial}"
