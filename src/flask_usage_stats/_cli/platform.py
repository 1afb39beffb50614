"""The command ``flask usage platform``."""

from collections.abc import Callable, Mapping

from flask import Blueprint

from .._core.platform_parameters import parse_platform_parameters
from .._core.platform_query import PlatformQuery
from .._core.platform_report import PlatformReport
from .._log import log_platform_adjustments
from .._mongodb.platform import PlatformStore, has_owners, read_platform
from .console import print_body, report_errors, report_output_errors
from .group import build_group
from .options import (
    OUTPUTS,
    PLATFORM_OPTIONS,
    add_format,
    add_options,
    collect_arguments,
    report_invalid_options,
    require_rich,
)


def add_platform_command(blueprint: Blueprint, store: PlatformStore) -> None:
    """Add the command to a blueprint."""

    @build_group(blueprint).command("platform")
    @add_options(PLATFORM_OPTIONS)
    @add_format
    def print_platform(format_name: str, **parameters: tuple[str, ...]) -> None:
        """Print the usage of all owners."""
        _print_platform(store, format_name, parameters)


def _print_platform(store: PlatformStore, format_name: str, parameters: Mapping[str, tuple[str, ...]]) -> None:
    with report_invalid_options(PLATFORM_OPTIONS):
        query = parse_platform_parameters(collect_arguments(parameters), has_owners=has_owners(store))
    print_table = _import_print_table() if format_name == "table" else None  # before the read, so that it fails early
    with report_errors():
        report = read_platform(store, query)
    log_platform_adjustments(report.adjustments)
    with report_output_errors():
        if print_table is not None:
            print_table(report, query)
        else:
            output = OUTPUTS[format_name]
            print_body(output, output.encode_platform(report, query))


def _import_print_table() -> Callable[[PlatformReport, PlatformQuery], None]:
    with require_rich():
        from .platform_table import print_table  # noqa: PLC0415 # requires an optional dependency
    return print_table
