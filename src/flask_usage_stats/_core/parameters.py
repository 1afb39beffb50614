"""The query parameters of ``GET /api/usage``: their validation, messages and OpenAPI schemas."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from marshmallow import EXCLUDE, Schema

from ..errors import InvalidParametersError
from ..protocols import Owner
from .cursors import decode_cursor
from .fields import COUNT, LAST_REQUEST_AT, NAME, SORT_FIELDS
from .parameter_types import (
    Names,
    SingleValue,
    build_choice,
    build_filters,
    build_format,
    build_integer,
    build_range,
    collect_filters,
    find_misspelled,
    load_parameters,
)
from .query import DEFAULT_QUERY, UsageQuery

_MAX_LIMIT: Final = 1000  # rows
_MAX_IDLE_DAYS: Final = 3650
_CURSOR: Final = "the nextCursor of a page of the same query"


def _parse_include(text: str) -> tuple[str, ...]:
    if text != LAST_REQUEST_AT:
        raise ValueError(text)
    return (text,)


#: The parameters, each loaded from a list of strings.
#: Their order is that of the parameter table of the HTTP API documentation.
ParametersSchema: Final[type[Schema]] = Schema.from_dict(
    {
        **build_filters(),
        "minRequests": build_integer("Only projects with at least this many requests"),
        "maxRequests": build_integer("Only projects with at most this many requests"),
        "idleDays": build_range(
            "Only projects that are older than this many days and had no request for as long; if requests are recorded",
            1,
            _MAX_IDLE_DAYS,
        ),
        "sort": build_choice(f"The field to sort by, {COUNT} by default", *SORT_FIELDS),
        "order": build_choice(f"The sort order, by default asc for {NAME} and desc for the others", "desc", "asc"),
        "limit": build_range(
            "The maximum number of projects on a page; 0 returns only the total and the groups", 0, _MAX_LIMIT
        ),
        "cursor": SingleValue(
            "The page after another one; requires limit", str, _CURSOR, {"type": "string", "minLength": 1}
        ),
        "groupBy": Names("Adds the totals of projects grouped by these fields"),
        "include": SingleValue(
            "Adds the date of each project's latest request, if requests are recorded",
            _parse_include,
            LAST_REQUEST_AT,
            {"type": "string", "enum": [LAST_REQUEST_AT]},
        ),
        "format": build_format(),
    },
    name="Parameters",
)
_PARAMETERS: Final = ParametersSchema(unknown=EXCLUDE)
#: The names of the parameters.
PARAMETER_NAMES: Final = frozenset(_PARAMETERS.fields)


def parse_parameters(
    arguments: Mapping[str, Sequence[str]], owner: Owner, *, has_last_requests: bool = False
) -> UsageQuery:
    """Parse the query parameters of one request.

    :param arguments: maps parameter names to lists of strings. Unknown names are ignored, but not those of a
        parameter in another case or with brackets, such as ``plan[]``: ignoring them would total too much.
    :param owner: the owner id that a cursor must have been encoded for.
    :param has_last_requests: whether the store knows when each project had its latest request.
    :returns: the query; :data:`~.query.DEFAULT_QUERY` if there are no arguments.
    :raises InvalidParametersError: one or more parameters are invalid. All of them are reported, in the order of the
        parameter table; the content of the cursor is only checked if the other parameters are valid.
    """
    if not arguments:
        return DEFAULT_QUERY
    data, errors = load_parameters(_PARAMETERS, arguments)
    sort = data.get("sort", COUNT)
    query = UsageQuery(
        **collect_filters(data),
        min_requests=data.get("minRequests"),
        max_requests=data.get("maxRequests"),
        idle_days=data.get("idleDays"),
        sort=sort,
        descending=data.get("order", "asc" if sort == NAME else "desc") == "desc",
        limit=data.get("limit"),
        group_by=data.get("groupBy", ()),
        include=data.get("include", ()),
        format=data.get("format"),
    )
    for name, message in _validate_combination(query, arguments, has_last_requests=has_last_requests):
        if message not in errors.setdefault(name, []):
            errors[name].append(message)
    if errors:
        raise InvalidParametersError({name: errors[name] for name in _PARAMETERS.fields if name in errors})
    if "cursor" not in data:
        return query
    try:
        return replace(query, position=decode_cursor(data["cursor"], owner, query))
    except ValueError as error:
        raise InvalidParametersError({"cursor": [f"cursor must be {_CURSOR}"]}) from error


def _validate_combination(
    query: UsageQuery, arguments: Mapping[str, Sequence[str]], *, has_last_requests: bool
) -> Iterator[tuple[str, str]]:
    yield from find_misspelled(arguments, PARAMETER_NAMES)
    minimum, maximum = query.min_requests, query.max_requests
    if minimum is not None and maximum is not None and minimum > maximum:
        yield "minRequests", "minRequests must not be greater than maxRequests"
    if "cursor" in arguments and "limit" not in arguments:
        yield "cursor", "cursor requires limit"
    if not has_last_requests:
        uses = {
            "idleDays": query.idle_days is not None,
            "sort": query.sort == LAST_REQUEST_AT,
            "include": bool(query.include),
        }
        yield from ((name, f"{LAST_REQUEST_AT} is not recorded here") for name, is_used in uses.items() if is_used)
