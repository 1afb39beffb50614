"""The commands of ``flask usage``: ``report``, ``check``, ``ensure-indexes`` and ``openapi``."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final
from uuid import UUID

import click
from bson import ObjectId
from flask import Blueprint

from .._core.cursors import encode_cursor
from .._core.fields import LAST_REQUEST_AT
from .._core.output import OutputFormat, Report
from .._core.owners import OwnerType, convert_owner, validate_owner
from .._core.parameters import parse_parameters
from .._core.query import UsageQuery
from .._core.report import build_report
from .._core.text import escape, escape_csv, escape_json
from .._formats.csv import CSV
from .._formats.json import JSON
from .._log import describe_error, log_adjustments
from .._mongodb.check_result import Status
from .._mongodb.checks import run_checks
from .._mongodb.project_reader import ProjectReader
from .._mongodb.store import ProjectStore
from ..errors import InvalidOwnerError, InvalidParametersError
from ..protocols import Owner, UsageStore

#: The query parameters as options. Every option may be repeated, so that `parse_parameters` reports invalid repeats.
_PARAMETERS: Final = {
    "status": ("--status", "TEXT", "Only projects with this status, ignoring case. Repeatable."),
    "projectType": ("--project-type", "TEXT", "Only projects of this type, ignoring case. Repeatable."),
    "plan": ("--plan", "TEXT", "Only projects on this plan, ignoring case. Repeatable."),
    "without": ("--without", "FIELDS", "Only projects that lack plan, projectType or status; separate with commas."),
    "search": ("--search", "TEXT", "Only projects whose name contains this text, ignoring case."),
    "minRequests": ("--min-requests", "NUMBER", "Only projects with at least this many requests."),
    "maxRequests": (
        "--max-requests",
        "NUMBER",
        "Only projects with at most this many requests; 0: only unused.",
    ),
    "idleDays": ("--idle-days", "NUMBER", "Only projects older than this many days without a request for as long."),
    "sort": ("--sort", "FIELD", "totalRequest (default), name, createdAt, updatedAt or lastRequestAt."),
    "order": ("--order", "ORDER", "desc or asc; the default is asc for names and desc otherwise."),
    "limit": ("--limit", "NUMBER", "The maximum number of projects on a page, 0 to 1000."),
    "cursor": ("--cursor", "TEXT", "The page after the one that printed this cursor; requires --limit."),
    "groupBy": (
        "--group-by",
        "FIELDS",
        "Totals by plan, projectType or status; separate several with commas.",
    ),
    "include": ("--include", "FIELD", "lastRequestAt: add the date of each project's latest request."),
}
_OWNER_TYPES: Final[Mapping[str, OwnerType]] = {"text": str, "int": int, "objectid": ObjectId, "uuid": UUID}
_MAX_LINE: Final = 2000  # characters
# The table is built from rows encoded as JSON.
_OUTPUTS: Final[Mapping[str, OutputFormat]] = {"table": JSON, "json": JSON, "csv": CSV}


def add_commands(blueprint: Blueprint, reader: ProjectReader) -> None:
    """Add the commands to a blueprint. Flask makes them a group when the blueprint is registered."""
    store = reader.store
    group = blueprint.cli
    group.help = "Print usage, and check the collection that it is read from."
    _add_report(group, reader)
    _add_check(group, store)
    _add_ensure_indexes(group, store)
    _add_openapi(group, blueprint.url_prefix)


def _add_report(group: click.Group, reader: ProjectReader) -> None:
    @group.command()
    @click.option("--owner", metavar="ID", required=True, help="The owner id, as returned by authenticate.")
    @_add_owner_type
    @_add_parameters
    @click.option(
        "--format",
        "format_name",
        type=click.Choice(list(_OUTPUTS)),
        default="table",
        show_default=True,
        help="The output format; json and csv print the body of the route's response.",
    )
    def report(owner: str, owner_type: str, format_name: str, **parameters: tuple[str, ...]) -> None:
        """Print an owner's projects and their total."""
        _print_report(reader, _parse_owner(owner, _OWNER_TYPES[owner_type]), format_name, parameters)


def _add_check(group: click.Group, store: UsageStore) -> None:
    @group.command()
    @click.option(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=30.0,
        show_default=True,
        help="Time limit for all checks together, in seconds (up to 3600).",
    )
    @click.option("--owner", metavar="ID", help="Check as well which projects this owner id matches.")
    @_add_owner_type
    @click.pass_context
    def check(context: click.Context, timeout: float, owner: str | None, owner_type: str) -> None:
        """Check the database, the index and the documents. Nothing is written.

        The server reads all documents once, or twice if the application has a recorder.

        The exit code is 0 if every check is ok, 1 if there is a problem, and 2 if there is no problem but a result
        is unknown, or if the command failed.
        """
        projects = _require_project_store(store, "check", Status.UNKNOWN)
        owner_id = None if owner is None else _parse_owner(owner, _OWNER_TYPES[owner_type])
        with _report_errors(Status.UNKNOWN):
            results = run_checks(projects, timeout, owner_id)
        with _report_output_errors(Status.UNKNOWN):
            for name, status, detail in results:
                _print_line(f"{status!s:<7}  {name}: {detail}")
        # A problem takes precedence over an unknown result, although its exit code is lower.
        statuses = {result.status for result in results}
        context.exit(int(Status.PROBLEM if Status.PROBLEM in statuses else max(statuses)))


def _add_ensure_indexes(group: click.Group, store: UsageStore) -> None:
    @group.command()
    def ensure_indexes() -> None:
        """Create the index that the route requires, and print its name."""
        projects = _require_project_store(store, "ensure-indexes")
        with _report_errors():
            name = projects.ensure_indexes()
        with _report_output_errors():
            _print_line(name)


def _add_openapi(group: click.Group, default_prefix: str | None) -> None:
    @group.command()
    @click.option(
        "--url-prefix",
        metavar="PATH",
        default=default_prefix,
        show_default=True,
        help="The complete path before /usage, with the prefixes of parent blueprints.",
    )
    def openapi(url_prefix: str) -> None:
        """Print the route's OpenAPI document as JSON."""
        with _report_errors():
            try:
                from ..openapi import openapi_document  # noqa: PLC0415 # requires an optional dependency
            except ImportError as error:
                raise CommandError("openapi requires apispec: pip install apispec") from error
            document = openapi_document(url_prefix=url_prefix)
        with _report_output_errors():
            _write(json.dumps(document, indent=2).encode() + b"\n")


class CommandError(click.ClickException):
    """An error that ends the command with one line on standard error.

    :param message: the line.
    :param exit_code: the exit code of the command.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self._exit_code = exit_code

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # a class variable in click, which only reads it
        return self._exit_code


def _add_parameters(command: Callable[..., None]) -> Callable[..., None]:
    for name, (option, metavar, text) in reversed(_PARAMETERS.items()):
        command = click.option(option, name, metavar=metavar, multiple=True, help=text)(command)
    return command


def _add_owner_type(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--owner-type",
        type=click.Choice(list(_OWNER_TYPES), case_sensitive=False),
        default="text",
        show_default=True,
        help="The type of the owner id that authenticate returns; text is a string.",
    )(command)


def _print_report(
    reader: ProjectReader, owner: Owner, format_name: str, parameters: Mapping[str, tuple[str, ...]]
) -> None:
    arguments = {name: values for name, values in parameters.items() if values}
    with _report_invalid_options():
        query = parse_parameters(arguments, owner, has_last_requests=reader.has_last_requests)
    print_table = _import_print_table() if format_name == "table" else None  # before the read, so that it fails early
    output, limit = _OUTPUTS[format_name], reader.start_time_limit()
    with _report_errors():
        with _report_invalid_options():
            query = reader.resolve_idle_days(query, limit)
        # The table prints the date that projects are sorted by, which the other formats have only if it is included.
        is_printed = print_table is not None and query.sort == LAST_REQUEST_AT
        rows_query = replace(query, include=(LAST_REQUEST_AT,)) if is_printed else query
        report = build_report(reader.read_projects(owner, query, limit), rows_query, output)
    log_adjustments(owner, report.adjustments)
    next_cursor = None if report.next_position is None else encode_cursor(report.next_position, owner, query)
    with _report_output_errors():
        if print_table is not None:
            print_table(report, query, next_cursor)
        else:
            _print_body(output, output.encode_body(report, query, next_cursor))


def _print_body(output: OutputFormat, body: bytes) -> None:
    """Print exactly the body, except in a terminal, which stored text must not control."""
    if sys.stdout.isatty():
        escape_body = escape_json if output is JSON else escape_csv
        # CSV ends with a line break, but the prompt must not follow JSON on the same line.
        end = "\n" if output is JSON else ""
        body = (escape_body(body.decode(), _get_encoding()) + end).encode(_get_encoding())
    _write(body)


def _write(data: bytes) -> None:
    """Write all data to standard output. Unbuffered, as with PYTHONUNBUFFERED, a write may write only a part."""
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:  # a replaced standard output
        sys.stdout.write(data.decode())
        return
    sys.stdout.flush()
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]
    stream.flush()


def _print_line(text: str) -> None:
    click.echo(escape(text, _MAX_LINE, _get_encoding()))


def _get_encoding() -> str:
    return sys.stdout.encoding or "utf-8"


def _import_print_table() -> Callable[[Report, UsageQuery, str | None], None]:
    try:
        from .table import print_table  # noqa: PLC0415 # requires an optional dependency
    except ImportError as error:
        raise CommandError("the table requires rich: pip install rich, or use --format json or csv") from error
    return print_table


def _parse_owner(text: str, owner_type: OwnerType) -> Owner:
    try:
        owner = validate_owner(convert_owner(text, owner_type))
    except InvalidOwnerError:
        owner = None
    if owner is None:
        expected = "a string of 1 to 1024 bytes" if owner_type is str else f"an id of type {owner_type.__name__}"
        raise CommandError(f"--owner must be {expected}", exit_code=2)
    return owner


def _require_project_store(store: UsageStore, command: str, exit_code: int = 1) -> ProjectStore:
    if not isinstance(store, ProjectStore):
        raise CommandError(f"{command} requires a ProjectStore; this store is a {type(store).__name__}", exit_code)
    return store


@contextmanager
def _report_invalid_options() -> Iterator[None]:
    """Convert the errors of parameters to a :class:`CommandError` that names the options."""
    try:
        yield
    except InvalidParametersError as error:
        lines = [f"{_PARAMETERS[name][0]}: {message}" for name, texts in error.errors.items() for message in texts]
        raise CommandError("; ".join(lines), exit_code=2) from error


@contextmanager
def _report_errors(exit_code: int = 1) -> Iterator[None]:
    """Convert any exception to a :class:`CommandError`, so that the command prints one line instead of a traceback."""
    try:
        yield
    except CommandError:
        raise
    except Exception as error:  # whatever failed, the operator gets one line with the cause
        raise CommandError(describe_error(error), exit_code) from error


@contextmanager
def _report_output_errors(exit_code: int = 1) -> Iterator[None]:
    """Convert errors of standard output to a :class:`CommandError`, or end silently if the reader closed the pipe."""
    if sys.stdout is None:
        raise CommandError("the output could not be written: standard output is closed", exit_code)
    try:
        yield
    except OSError as error:
        # Otherwise the interpreter would write the remaining output at exit, and report the error again.
        with suppress(OSError):  # a replaced standard output may have no file descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise click.exceptions.Exit(exit_code) from error
        raise CommandError(f"the output could not be written: {error.strerror}", exit_code) from error
