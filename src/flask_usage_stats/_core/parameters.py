"""The query parameters of ``GET /api/usage``: their validation, messages and OpenAPI schemas."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, fields
from marshmallow.exceptions import ValidationError

from ..errors import InvalidParametersError
from ..protocols import Owner
from .cursors import decode_cursor
from .fields import COUNT, GROUP_FIELDS, NAME, PLAN, PROJECT_TYPE, SORT_FIELDS, STATUS
from .query import DEFAULT_QUERY, UsageQuery

_FORMATS: Final = ("json", "csv")

_MAX_LIMIT: Final = 1000  # rows
_MAX_LENGTH: Final = 100  # characters
_MAX_VALUES: Final = 50
_DIGITS: Final = re.compile(r"[0-9]{1,20}")
_CURSOR: Final = "the nextCursor of a page of the same query"


class _SingleValue(fields.Field):  # type: ignore[type-arg]  # not generic in marshmallow 3
    """A parameter that must not be repeated. Its *parse* function raises ValueError for invalid text."""

    def __init__(
        self, summary: str, parse: Callable[[str], object], constraint: str, schema: Mapping[str, object]
    ) -> None:
        super().__init__(metadata={"summary": summary, "constraint": constraint, "schema": schema, "explode": False})
        self._parse, self._constraint = parse, constraint

    def _deserialize(self, value: Sequence[str], attr: str | None, *_: object, **__: object) -> object:
        if len(value) != 1:
            raise ValidationError(f"{attr} must not be repeated")
        try:
            return self._parse(value[0])
        except ValueError as error:
            raise ValidationError(f"{attr} must be {self._constraint}") from error


class _Names(fields.Field):  # type: ignore[type-arg]  # not generic in marshmallow 3
    """A parameter with a list of field names, separated by commas or repeated, each at most once."""

    def __init__(self, summary: str) -> None:
        self._constraint = f"one or several of {', '.join(GROUP_FIELDS)}, separated by commas"
        items = {"type": "string", "enum": list(GROUP_FIELDS)}
        schema = {"type": "array", "items": items, "minItems": 1, "uniqueItems": True}
        super().__init__(
            metadata={"summary": summary, "constraint": self._constraint, "schema": schema, "explode": False}
        )

    def _deserialize(self, value: Sequence[str], attr: str | None, *_: object, **__: object) -> tuple[str, ...]:
        names = tuple(name for text in value for name in text.split(","))
        if not set(names) <= set(GROUP_FIELDS) or len(set(names)) != len(names):
            raise ValidationError(f"{attr} must be {self._constraint}")
        return names


class _MultiValue(fields.Field):  # type: ignore[type-arg]  # not generic in marshmallow 3
    """A parameter that can be repeated. Its values are casefolded, because comparisons ignore case."""

    def __init__(self, summary: str) -> None:
        items = {"type": "string", "minLength": 1, "maxLength": _MAX_LENGTH}
        self._constraint = f"text of 1 to {_MAX_LENGTH} characters, given up to {_MAX_VALUES} times"
        super().__init__(
            metadata={
                "summary": summary,
                "constraint": self._constraint,
                "schema": {"type": "array", "items": items, "maxItems": _MAX_VALUES},
                "explode": True,
            }
        )

    def _deserialize(self, value: Sequence[str], attr: str | None, *_: object, **__: object) -> frozenset[str]:
        if len(value) > _MAX_VALUES or not all(0 < len(text) <= _MAX_LENGTH for text in value):
            raise ValidationError(f"{attr} must be {self._constraint}")
        return frozenset(text.casefold() for text in value)


def _build_choice(summary: str, *choices: str) -> _SingleValue:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return _SingleValue(summary, parse, f"one of {', '.join(choices)}", {"type": "string", "enum": list(choices)})


def _build_integer(summary: str) -> _SingleValue:
    schema = {"type": "string", "pattern": f"^{_DIGITS.pattern}$"}
    return _SingleValue(summary, _parse_integer, "a whole number of up to 20 digits", schema)


def _parse_integer(text: str) -> int:
    if not _DIGITS.fullmatch(text):  # int() also accepts signs, spaces, underscores and the digits of every script
        raise ValueError(text)
    return int(text)


def _parse_limit(text: str) -> int:
    number = _parse_integer(text)
    if number > _MAX_LIMIT:
        raise ValueError(text)
    return number


def _parse_search(text: str) -> str:
    if not 0 < len(text) <= _MAX_LENGTH:
        raise ValueError(text)
    return text.casefold()


#: The parameters, each loaded from a list of strings.
#: Their order is that of the parameter table of the HTTP API documentation.
ParametersSchema: Final[type[Schema]] = Schema.from_dict(
    {
        STATUS: _MultiValue("Only projects with one of these values, ignoring case"),
        PROJECT_TYPE: _MultiValue("Only projects with one of these values, ignoring case"),
        PLAN: _MultiValue("Only projects with one of these values, ignoring case"),
        "without": _Names("Only projects in which all of these fields are missing, null or empty"),
        "search": _SingleValue(
            "Only projects whose name contains this text, ignoring case",
            _parse_search,
            f"text of 1 to {_MAX_LENGTH} characters",
            {"type": "string", "minLength": 1, "maxLength": _MAX_LENGTH},
        ),
        "minRequests": _build_integer("Only projects with at least this many requests"),
        "maxRequests": _build_integer("Only projects with at most this many requests"),
        "sort": _build_choice(f"The field to sort by, {COUNT} by default", *SORT_FIELDS),
        "order": _build_choice(f"The sort order, by default asc for {NAME} and desc for the others", "desc", "asc"),
        "limit": _SingleValue(
            "The maximum number of projects on a page; 0 returns only the total and the groups",
            _parse_limit,
            f"a whole number from 0 to {_MAX_LIMIT}",
            {"type": "integer", "minimum": 0, "maximum": _MAX_LIMIT},
        ),
        "cursor": _SingleValue(
            "The page after another one; requires limit", str, _CURSOR, {"type": "string", "minLength": 1}
        ),
        "groupBy": _Names("Adds the totals of projects grouped by these fields"),
        "format": _build_choice("The format of the response, regardless of the Accept header", *_FORMATS),
    },
    name="Parameters",
)
_PARAMETERS: Final = ParametersSchema(unknown=EXCLUDE)
#: The names of the parameters.
PARAMETER_NAMES: Final = frozenset(_PARAMETERS.fields)
_BY_FOLDED_NAME: Final = {name.casefold(): name for name in PARAMETER_NAMES}


def parse_parameters(arguments: Mapping[str, Sequence[str]], owner: Owner) -> UsageQuery:
    """Parse the query parameters of one request.

    :param arguments: maps parameter names to lists of strings. Unknown names are ignored, but not those of a
        parameter in another case or with brackets, such as ``plan[]``: ignoring them would total too much.
    :param owner: the owner id that a cursor must have been encoded for.
    :returns: the query; :data:`~.query.DEFAULT_QUERY` if there are no arguments.
    :raises InvalidParametersError: one or more parameters are invalid. All of them are reported, in the order of the
        parameter table; the content of the cursor is only checked if the other parameters are valid.
    """
    if not arguments:
        return DEFAULT_QUERY
    data: Any
    errors: dict[str, list[str]] = {}
    try:
        data = _PARAMETERS.load(arguments)
    except ValidationError as error:
        data, errors = error.valid_data, error.messages_dict
    sort = data.get("sort", COUNT)
    query = UsageQuery(
        filters={name: data[name] for name in (STATUS, PROJECT_TYPE, PLAN) if name in data},
        without=data.get("without", ()),
        search=data.get("search"),
        min_requests=data.get("minRequests"),
        max_requests=data.get("maxRequests"),
        sort=sort,
        descending=data.get("order", "asc" if sort == NAME else "desc") == "desc",
        limit=data.get("limit"),
        group_by=data.get("groupBy", ()),
        format=data.get("format"),
    )
    for name, message in _validate_combination(query, arguments):
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


def _validate_combination(query: UsageQuery, arguments: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    for name in arguments.keys() - PARAMETER_NAMES:
        intended = _BY_FOLDED_NAME.get(name.partition("[")[0].casefold())
        if intended is not None:
            yield intended, f"{intended} must have exactly this spelling, without brackets"
    minimum, maximum = query.min_requests, query.max_requests
    if minimum is not None and maximum is not None and minimum > maximum:
        yield "minRequests", "minRequests must not be greater than maxRequests"
    if "cursor" in arguments and "limit" not in arguments:
        yield "cursor", "cursor requires limit"
