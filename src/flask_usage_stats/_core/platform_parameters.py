"""The query parameters of ``GET /api/usage/platform``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from marshmallow import EXCLUDE, Schema

from ..errors import InvalidParametersError
from .fields import OWNER
from .parameter_types import (
    Names,
    build_choice,
    build_format,
    build_label_filters,
    build_range,
    collect_filters,
    find_misspelled,
    load_parameters,
)
from .parameters import PARAMETER_NAMES
from .platform_query import DELETED_CHOICES, PlatformQuery, Selection

_MAX_TOP: Final = 1000  # groups
_MAX_LIMIT: Final = 1000  # rows

#: The parameters, each loaded from a list of strings.
#: Their order is that of the parameter table of the HTTP API documentation.
PlatformParametersSchema: Final[type[Schema]] = Schema.from_dict(
    {
        **build_label_filters(),
        "deleted": build_choice(
            "Whether deleted projects are left out (by default), counted as well or the only ones",
            *DELETED_CHOICES,
        ),
        "groupBy": Names("Adds the totals of projects grouped by these fields", alone=OWNER),
        "top": build_range("The maximum number of groups, 100 by default; requires groupBy", 1, _MAX_TOP),
        "limit": build_range("Adds as many projects, the one with the most requests first", 0, _MAX_LIMIT),
        "format": build_format(),
    },
    name="PlatformParameters",
)
_PARAMETERS: Final = PlatformParametersSchema(unknown=EXCLUDE)
_NAMES: Final = frozenset(_PARAMETERS.fields)


def parse_platform_parameters(arguments: Mapping[str, Sequence[str]], *, has_owners: bool) -> PlatformQuery:
    """Parse the query parameters of one request.

    :param arguments: maps parameter names to lists of strings. Unknown names are ignored, but neither those of a
        parameter in another case or with brackets, nor the other parameters of the list of projects: ignoring them
        would count too much.
    :param has_owners: whether projects can be grouped by their owner.
    :raises InvalidParametersError: one or more parameters are invalid.
    """
    data, errors = load_parameters(_PARAMETERS, arguments)
    for name, message in _find_unsupported(arguments, data, has_owners=has_owners):
        errors.setdefault(name, []).append(message)
    if errors:
        raise InvalidParametersError({name: errors[name] for name in (*_PARAMETERS.fields, *errors) if name in errors})
    filters = collect_filters(data)
    selection = Selection(
        filters=frozenset(filters["filters"].items()),
        without=frozenset(filters["without"]),
        deleted=data.get("deleted", DELETED_CHOICES[0]),
    )
    given = {name: data[name] for name in ("top", "limit", "format") if name in data}
    return PlatformQuery(selection=selection, group_by=data.get("groupBy", ()), **given)


def _find_unsupported(
    arguments: Mapping[str, Sequence[str]], data: Mapping[str, Any], *, has_owners: bool
) -> Iterator[tuple[str, str]]:
    yield from find_misspelled(arguments, _NAMES)
    if data.get("groupBy") == (OWNER,) and not has_owners:
        yield "groupBy", "owner is decided by owner_filter here"
    if "top" in arguments and "groupBy" not in arguments:
        yield "top", "top requires groupBy"
    foreign = PARAMETER_NAMES - _NAMES
    for name in sorted((foreign & arguments.keys()) | {name for name, _ in find_misspelled(arguments, foreign)}):
        yield name, f"{name} is not a parameter of the platform view"
