"""The commands of ``flask usage``."""

import json

import click
from flask import Blueprint

from .._mongodb.check_result import Status
from .._mongodb.checks import run_checks
from .._mongodb.store import ProjectStore
from .._mongodb.store_reader import StoreReader
from ..protocols import UsageStore
from .console import CommandError, print_line, report_errors, report_output_errors, write_output
from .group import build_group
from .history import add_history
from .ingest import add_ingest
from .options import add_owner_type, parse_owner
from .report import add_report


def add_commands(blueprint: Blueprint, reader: StoreReader) -> None:
    """Add the commands to a blueprint."""
    group = build_group(blueprint)
    add_report(group, reader)
    if reader.history is not None:
        add_history(group, reader, reader.history)
    add_ingest(group, reader)
    _add_check(group, reader)
    _add_ensure_indexes(group, reader)
    _add_openapi(group, blueprint.url_prefix, has_history=reader.history is not None)


def _add_check(group: click.Group, reader: StoreReader) -> None:
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
    @add_owner_type
    @click.pass_context
    def check(context: click.Context, timeout: float, owner: str | None, owner_type: str) -> None:
        """Check the database, the index and the documents. Nothing is written.

        The server reads all documents once, or twice if the application has a recorder.

        The exit code is 0 if every check is ok, 1 if there is a problem, and 2 if there is no problem but a result
        is unknown, or if the command failed.
        """
        projects = _require_project_store(reader.store, "check", Status.UNKNOWN)
        owner_id = None if owner is None else parse_owner(owner, owner_type)
        with report_errors(Status.UNKNOWN):
            results = run_checks(projects, timeout, owner_id, reader.history)
        with report_output_errors(Status.UNKNOWN):
            for name, status, detail in results:
                print_line(f"{status!s:<7}  {name}: {detail}")
        # A problem takes precedence over an unknown result, although its exit code is lower.
        statuses = {result.status for result in results}
        context.exit(int(Status.PROBLEM if Status.PROBLEM in statuses else max(statuses)))


def _add_ensure_indexes(group: click.Group, reader: StoreReader) -> None:
    @group.command()
    def ensure_indexes() -> None:
        """Create the index that the route requires, and that of the history, and print their names."""
        names = []
        with report_errors():
            if reader.history is not None:
                names.append(reader.history.ensure_indexes())
            if isinstance(reader.store, ProjectStore) or not names:
                names.insert(0, _require_project_store(reader.store, "ensure-indexes").ensure_indexes())
        with report_output_errors():
            for name in names:
                print_line(name)


def _add_openapi(group: click.Group, default_prefix: str | None, *, has_history: bool) -> None:
    @group.command()
    @click.option(
        "--url-prefix",
        metavar="PATH",
        default=default_prefix,
        show_default=True,
        help="The complete path before /usage, with the prefixes of parent blueprints.",
    )
    @click.option("--platform", is_flag=True, help="Include the route of the platform view.")
    def openapi(url_prefix: str, platform: bool) -> None:  # noqa: FBT001 # an option
        """Print the OpenAPI document of the routes as JSON."""
        with report_errors():
            try:
                from ..openapi import openapi_document  # noqa: PLC0415 # requires an optional dependency
            except ImportError as error:
                raise CommandError("openapi requires apispec: pip install apispec") from error
            document = openapi_document(url_prefix=url_prefix, history=has_history, platform=platform)
        with report_output_errors():
            write_output(json.dumps(document, indent=2).encode() + b"\n")


def _require_project_store(store: UsageStore, command: str, exit_code: int = 1) -> ProjectStore:
    if not isinstance(store, ProjectStore):
        raise CommandError(f"{command} requires a ProjectStore; this store is a {type(store).__name__}", exit_code)
    return store
