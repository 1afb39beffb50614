"""A report as bytes, JSON or CSV, whoever asks for it. Pure."""

from collections.abc import Callable
from typing import Any, Final

from .._core import cursors as cursor
from .._core.fields import FIELDS, GROUP_SHARE, GROUP_SIZE, GROUPS, NEXT_CURSOR, TOTAL
from .._core.query import UsageQuery
from .._core.report import Report
from .._core.rows import Row
from .csv import encode_line, encode_lines
from .json import encode_answer

_COLUMNS: Final = tuple(name for name, _ in FIELDS)


def csv_writer(question: UsageQuery) -> Callable[[Row], bytes]:
    """Give what writes a row of a CSV answer; the groups stand in for the rows where there are any."""
    if question.group_by:
        return lambda _: b""
    return lambda row: encode_line([row.get(name) for name in _COLUMNS])


def json_body(report: Report, question: UsageQuery) -> bytes:
    """Write a report of rows in JSON as the body of an answer."""
    more: dict[str, Any] = {}
    if report.groups is not None:
        more[GROUPS] = report.groups
    if question.limit is not None:
        more[NEXT_CURSOR] = None if report.end is None else cursor.write(report.end)
    return encode_answer(report.total, report.rows, more)


def csv_body(report: Report, question: UsageQuery) -> bytes:
    """Write a report of rows by :func:`csv_writer` as a table with a header."""
    if report.groups is not None:
        columns = (*question.group_by, GROUP_SIZE, TOTAL, GROUP_SHARE)
        return b"".join([encode_line(columns), *encode_lines(columns, report.groups)])
    return b"".join([encode_line(_COLUMNS), *report.rows])
