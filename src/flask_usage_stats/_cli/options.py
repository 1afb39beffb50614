"""The options of commands, and the parameters that they stand for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeAlias
from uuid import UUID

import click
from bson import ObjectId

from .._core.output import OutputFormat
from .._core.owners import OwnerType, convert_owner, validate_owner
from .._formats.csv import CSV
from .._formats.json import JSON
from ..errors import InvalidOwnerError, InvalidParametersError
from ..protocols import Owner
from .console import CommandError

#: The option, the metavar and the help of each query parameter. Every option may be repeated, so that the parser of
#: the parameters reports invalid repeats.
Options: TypeAlias = dict[str, tuple[str, str, str]]

#: The filters of projects.
_LABEL_FILTERS: Final = {
    "status": ("--status", "TEXT", "Only projects with this status, ignoring case. Repeatable."),
    "projectType": ("--project-type", "TEXT", "Only projects of this type, ignoring case. Repeatable."),
    "plan": ("--plan", "TEXT", "Only projects on this plan, ignoring case. Repeatable."),
    "without": ("--without", "FIELDS", "Only projects that lack plan, projectType or status; separate with commas."),
}
_FILTERS: Final = {
    **_LABEL_FILTERS,
    "search": ("--search", "TEXT", "Only projects whose name contains this text, ignoring case."),
}
#: The query parameters of the list as options.
REPORT_OPTIONS: Final = {
    **_FILTERS,
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
#: The query parameters of the history as options.
HISTORY_OPTIONS: Final = {
    "from": ("--from", "TIME", "The start: a date, or an instant with offset. By default 30 dates before --to."),
    "to": ("--to", "TIME", "The end (exclusive). By default the end of the current day."),
    "window": ("--window", "WINDOW", "hour, day (default), week or month."),
    "tz": ("--tz", "NAME", "The time zone, such as Europe/Berlin; UTC by default."),
    "project": ("--project", "ID", "Only the project with this id. Repeatable."),
    **_FILTERS,
    "groupBy": (
        "--group-by",
        "FIELDS",
        "Requests by plan, projectType or status; separate several with commas. Or by project.",
    ),
}
#: The query parameters of the platform view as options.
PLATFORM_OPTIONS: Final = {
    **_LABEL_FILTERS,
    "deleted": ("--deleted", "CHOICE", "exclude (default), include or only deleted projects."),
    "groupBy": (
        "--group-by",
        "FIELDS",
        "Totals by plan, projectType or status; separate several with commas. Or by owner.",
    ),
    "top": ("--top", "NUMBER", "The maximum number of groups, 1 to 1000; 100 by default. Requires --group-by."),
    "limit": ("--limit", "NUMBER", "Adds as many projects, 0 to 1000, the one with the most requests first."),
}
_OWNER_TYPES: Final[Mapping[str, OwnerType]] = {"text": str, "int": int, "objectid": ObjectId, "uuid": UUID}
#: The formats. The table is built from rows that are encoded as JSON.
OUTPUTS: Final[Mapping[str, OutputFormat]] = {"table": JSON, "json": JSON, "csv": CSV}


def add_options(options: Options) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds options to a command."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for name, (option, metavar, text) in reversed(options.items()):
            command = click.option(option, name, metavar=metavar, multiple=True, help=text)(command)
        return command

    return decorate


def add_owner_type(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option for the type of the owner id."""
    return click.option(
        "--owner-type",
        type=click.Choice(list(_OWNER_TYPES), case_sensitive=False),
        default="text",
        show_default=True,
        help="The type of the owner id that authenticate returns; text is a string.",
    )(command)


def add_owner(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for the owner id and its type."""
    help_text = "The owner id, as returned by authenticate."
    return click.option("--owner", metavar="ID", required=True, help=help_text)(add_owner_type(command))


def add_format(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option for the output format."""
    return click.option(
        "--format",
        "format_name",
        type=click.Choice(list(OUTPUTS)),
        default="table",
        show_default=True,
        help="The output format; json and csv print the body of the route's response.",
    )(command)


def parse_owner(text: str, type_name: str) -> Owner:
    """Return the owner id for the values of its options.

    :raises CommandError: the text is not an id of this type.
    """
    owner_type = _OWNER_TYPES[type_name]
    try:
        owner = validate_owner(convert_owner(text, owner_type))
    except InvalidOwnerError:
        owner = None
    if owner is None:
        expected = "a string of 1 to 1024 bytes" if owner_type is str else f"an id of type {owner_type.__name__}"
        raise CommandError(f"--owner must be {expected}", exit_code=2)
    return owner


def collect_arguments(parameters: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the parameters that were given."""
    return {name: values for name, values in parameters.items() if values}


@contextmanager
def report_invalid_options(options: Options) -> Iterator[None]:
    """Convert the errors of parameters to a :class:`CommandError` that names the options."""
    try:
        yield
    except InvalidParametersError as error:
        lines = [f"{options[name][0]}: {message}" for name, texts in error.errors.items() for message in texts]
        raise CommandError("; ".join(lines), exit_code=2) from error


@contextmanager
def require_rich() -> Iterator[None]:
    """Convert the error of an import to a :class:`CommandError` that says what to install."""
    try:
        yield
    except ImportError as error:
        raise CommandError("the table requires rich: pip install rich, or use --format json or csv") from error
