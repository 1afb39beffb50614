"""The command ``flask usage history``."""

from collections.abc import Callable, Mapping

import click

from .._core import clock
from .._core.history_parameters import parse_history_parameters
from .._core.history_query import HistoryQuery
from .._core.timeline import Timeline
from .._mongodb.history import UsageHistory
from .._mongodb.history_reading import read_timeline
from .._mongodb.store_reader import StoreReader
from ..protocols import Owner
from .console import print_body, report_errors, report_output_errors
from .options import (
    HISTORY_OPTIONS,
    OUTPUTS,
    add_format,
    add_options,
    add_owner,
    collect_arguments,
    parse_owner,
    report_invalid_options,
    require_rich,
)


def add_history(group: click.Group, reader: StoreReader, history: UsageHistory) -> None:
    """Add the command to a group."""

    @group.command("history")
    @add_owner
    @add_options(HISTORY_OPTIONS)
    @add_format
    def print_history(owner: str, owner_type: str, format_name: str, **parameters: tuple[str, ...]) -> None:
        """Print the requests to an owner's projects over time."""
        _print_history(reader, history, parse_owner(owner, owner_type), format_name, parameters)


def _print_history(
    reader: StoreReader,
    history: UsageHistory,
    owner: Owner,
    format_name: str,
    parameters: Mapping[str, tuple[str, ...]],
) -> None:
    now, output = clock.get_now(), OUTPUTS[format_name]
    with report_invalid_options(HISTORY_OPTIONS):
        query = parse_history_parameters(collect_arguments(parameters), now)
    print_table = _import_print_table() if format_name == "table" else None  # before the read, so that it fails early
    with report_errors(), report_invalid_options(HISTORY_OPTIONS):
        timeline = read_timeline(reader, history, owner, query, now)
    with report_output_errors():
        if print_table is not None:
            print_table(timeline, query)
        else:
            print_body(output, output.encode_timeline(timeline, query))


def _import_print_table() -> Callable[[Timeline, HistoryQuery], None]:
    with require_rich():
        from .history_table import print_table  # noqa: PLC0415 # requires an optional dependency
    return print_table
