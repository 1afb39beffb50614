"""``flask usage``: the report, the doctor and what a deployment needs, from a terminal."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final
from uuid import UUID

import click
from bson import ObjectId
from flask import Blueprint

from .._core import cursors as cursor
from .._core.owners import OwnerType, convert_owner, validate_owner
from .._core.report import build_report
from .._formats.bodies import csv_body, csv_writer, json_body
from .._log import describe_error, log_adjustments
from .._mongodb.checks import Status, run_checks
from .._mongodb.store import ProjectStore
from ..errors import InvalidOwnerError, InvalidParametersError
from ..protocols import Owner, UsageStore
from ..schemas import parse_parameters
from . import table as display

#: The parameters of the route as options; all may be repeated, so that the one set of rules says which may not.
_PARAMETERS: Final = {
    "status": ("--status", "TEXT", "Keep projects with this status, case ignored. Repeatable."),
    "projectType": ("--project-type", "TEXT", "Keep projects of this type, case ignored. Repeatable."),
    "plan": ("--plan", "TEXT", "Keep projects on this plan, case ignored. Repeatable."),
    "minRequests": ("--min-requests", "NUMBER", "Keep projects with at least so many requests."),
    "maxRequests": ("--max-requests", "NUMBER", "Keep projects with at most so many; 0: the unused ones."),
    "sort": ("--sort", "FIELD", "totalRequest (default), name, createdAt or updatedAt."),
    "order": ("--order", "ORDER", "desc or asc; asc is the default for names."),
    "limit": ("--limit", "NUMBER", "Show a page of at most so many projects, 0 to 1000."),
    "cursor": ("--cursor", "TEXT", "Show the page after the one that named it."),
    "groupBy": ("--group-by", "FIELDS", "Add up by plan, projectType, status, or several with commas."),
}
_OWNER_TYPES: Final[Mapping[str, OwnerType]] = {"text": str, "int": int, "objectid": ObjectId, "uuid": UUID}


def add_commands(blueprint: Blueprint, store: UsageStore) -> None:
    """Give a blueprint its commands, which Flask puts into a group when the blueprint is registered."""
    group = blueprint.cli
    group.help = "Show usage, and check what it is read from."

    @group.command()
    @click.option("--owner", metavar="ID", required=True, help="Whose projects, as authenticate would say it.")
    @click.option(
        "--owner-type",
        type=click.Choice(list(_OWNER_TYPES), case_sensitive=False),
        default="text",
        show_default=True,
        help="The type of the identity, where authenticate returns no text.",
    )
    @_parameters
    @click.option(
        "--format",
        "form",
        type=click.Choice(["table", "json", "csv"]),
        default="table",
        show_default=True,
        help="json and csv are what the route answers.",
    )
    def report(owner: str, owner_type: str, form: str, **parameters: tuple[str, ...]) -> None:
        """Show the projects of an owner and their total."""
        _report(store, _owner(owner, _OWNER_TYPES[owner_type]), form, parameters)

    @group.command()
    @click.option(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=30.0,
        show_default=True,
        help="In which all checks end, above 0 and up to 3600.",
    )
    @click.pass_context
    def doctor(context: click.Context, timeout: float) -> None:
        """Check the database, its index and its documents.

        Everything is read in one pass, and nothing is written.
        Exits with 0 if all checks are ok, 1 if there is a problem, 2 if a result is unknown.
        """
        projects = _project_store(store, "doctor", Status.UNKNOWN)
        with _in_a_line(Status.UNKNOWN):
            results = run_checks(projects, timeout)
        for name, status, detail in results:
            click.echo(f"{status!s:<7}  {name}: {detail}")
        statuses = {result.status for result in results}
        context.exit(int(Status.PROBLEM if Status.PROBLEM in statuses else max(statuses)))

    @group.command()
    def ensure_indexes() -> None:
        """Make the index that the read needs, and print its name."""
        projects = _project_store(store, "ensure-indexes")
        with _in_a_line():
            name = projects.ensure_indexes()
        click.echo(name)

    @group.command()
    @click.option(
        "--url-prefix",
        metavar="PATH",
        default=blueprint.url_prefix,
        show_default=True,
        help="Where the blueprint is mounted.",
    )
    def openapi(url_prefix: str) -> None:
        """Print the route's OpenAPI document as JSON."""
        with _in_a_line():
            try:
                module = import_module("flask_usage_stats.openapi")
            except ImportError as error:
                raise _Failure("openapi needs apispec: pip install 'flask-usage-stats[openapi]'") from error
            fragment = module.openapi_document(url_prefix=url_prefix)
        click.echo(json.dumps(fragment, indent=2))


def _parameters(command: Callable[..., None]) -> Callable[..., None]:
    for name, (option, metavar, text) in reversed(_PARAMETERS.items()):
        command = click.option(option, name, metavar=metavar, multiple=True, help=text)(command)
    return command


def _report(store: UsageStore, owner: Owner, form: str, parameters: Mapping[str, tuple[str, ...]]) -> None:
    try:
        question, _ = parse_parameters({name: texts for name, texts in parameters.items() if texts}, owner)
    except InvalidParametersError as error:
        messages = [_by_options(message) for messages in error.errors.values() for message in messages]
        raise _Failure("; ".join(messages), exit_code=2) from error
    with _in_a_line():
        report = build_report(
            store.iter_projects(owner),
            question,
            digest=cursor.digest(owner, question),
            write=csv_writer(question) if form == "csv" else None,
        )
    log_adjustments(owner, report.changes)
    if form == "table":
        display.show(report, question)
    elif form == "csv":
        click.echo(csv_body(report, question), nl=False)
    else:
        click.echo(json_body(report, question), nl=sys.stdout.isatty())


def _owner(text: str, owner_type: OwnerType) -> Owner:
    try:
        owner = validate_owner(convert_owner(text, owner_type))
    except InvalidOwnerError:
        owner = None
    if owner is None:
        kind = "text of 1 to 1024 bytes of UTF-8" if owner_type is str else f"an identity of type {owner_type.__name__}"
        raise _Failure(f"--owner must be {kind}", exit_code=2)
    return owner


def _by_options(message: str) -> str:
    """Say by an option what the route says by a parameter: names stand first, and last; between are values."""
    words: list[Any] = message.split(" ")
    for place in (0, -1):
        words[place] = _PARAMETERS.get(words[place], words[place:])[0]
    return " ".join(words)


def _project_store(store: UsageStore, command: str, exit_code: int = 1) -> ProjectStore:
    if not isinstance(store, ProjectStore):
        raise _Failure(f"{command} is for a ProjectStore; the store here is of type {type(store).__name__}", exit_code)
    return store


class _Failure(click.ClickException):
    """Ends a command with one line on stderr."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self._exit_code = exit_code

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # a class variable of click's, read alone
        return self._exit_code


@contextmanager
def _in_a_line(exit_code: int = 1) -> Iterator[None]:
    """End the command with one line in place of a traceback."""
    try:
        yield
    except _Failure:
        raise
    except Exception as error:  # the edge: whatever failed, an operator gets its cause
        raise _Failure(describe_error(error), exit_code) from error
