"""The command ``flask usage report``."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import click

from .._core.cursors import encode_cursor
from .._core.fields import LAST_REQUEST_AT
from .._core.output import Report
from .._core.parameters import parse_parameters
from .._core.query import UsageQuery
from .._core.report import build_report
from .._log import log_adjustments
from .._mongodb.store_reader import StoreReader
from ..protocols import Owner
from .console import print_body, report_errors, report_output_errors
from .options import (
    OUTPUTS,
    REPORT_OPTIONS,
    add_format,
    add_options,
    add_owner,
    collect_arguments,
    parse_owner,
    report_invalid_options,
    require_rich,
)


def add_report(group: click.Group, reader: StoreReader) -> None:
    """Add the command to a group."""

    @group.command()
    @add_owner
    @add_options(REPORT_OPTIONS)
    @add_format
    def report(owner: str, owner_type: str, format_name: str, **parameters: tuple[str, ...]) -> None:
        """Print an owner's projects and their total."""
        _print_report(reader, parse_owner(owner, owner_type), format_name, parameters)


def _print_report(
    reader: StoreReader, owner: Owner, format_name: str, parameters: Mapping[str, tuple[str, ...]]
) -> None:
    with report_invalid_options(REPORT_OPTIONS):
        query = parse_parameters(collect_arguments(parameters), owner, has_last_requests=reader.has_last_requests)
    print_table = _import_print_table() if format_name == "table" else None  # before the read, so that it fails early
    output, limit = OUTPUTS[format_name], reader.start_time_limit()
    with report_errors():
        with report_invalid_options(REPORT_OPTIONS):
            query = reader.resolve_idle_days(query, limit)
        # The table prints the date that projects are sorted by, which the other formats have only if it is included.
        is_printed = print_table is not None and query.sort == LAST_REQUEST_AT
        rows_query = replace(query, include=(LAST_REQUEST_AT,)) if is_printed else query
        report = build_report(reader.read_projects(owner, query, limit), rows_query, output)
    log_adjustments(owner, report.adjustments)
    next_cursor = None if report.next_position is None else encode_cursor(report.next_position, owner, query)
    with report_output_errors():
        if print_table is not None:
            print_table(report, query, next_cursor)
        else:
            print_body(output, output.encode_body(report, query, next_cursor))


def _import_print_table() -> Callable[[Report, UsageQuery, str | None], None]:
    with require_rich():
        from .table import print_table  # noqa: PLC0415 # requires an optional dependency
    return print_table
