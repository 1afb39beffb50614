"""Types of query parameters: their validation, messages and OpenAPI schemas.

Each parameter is a marshmallow field that is loaded from a list of strings. Its metadata has a ``summary``, the
``constraint`` that the message of an invalid value states, the ``schema``, and ``explode``: whether values are repeated
rather than separated by commas.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from marshmallow import Schema, fields
from marshmallow.exceptions import ValidationError

from .fields import GROUP_FIELDS, PLAN, PROJECT_TYPE, STATUS

#: The maximum length of a value in characters.
MAX_LENGTH: Final = 100
_MAX_VALUES: Final = 50
_DIGITS: Final = re.compile(r"[0-9]{1,20}")


class SingleValue(fields.Field):  # type: ignore[type-arg]  # not generic in marshmallow 3
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


class Names(fields.Field):  # type: ignore[type-arg]  # not generic in marshmallow 3
    """A parameter with a list of field names, separated by commas or repeated, each at most once.

    :param alone: a further name, which must be the only one.
    """

    def __init__(self, summary: str, alone: str | None = None) -> None:
        self._alone = alone
        self._constraint = f"one or several of {', '.join(GROUP_FIELDS)}, separated by commas"
        names = list(GROUP_FIELDS)
        if alone is not None:
            self._constraint += f", or {alone}"
            names.append(alone)
        schema = {"type": "array", "items": {"type": "string", "enum": names}, "minItems": 1, "uniqueItems": True}
        super().__init__(
            metadata={"summary": summary, "constraint": self._constraint, "schema": schema, "explode": False}
        )

    def _deserialize(self, value: Sequence[str], attr: str | None, *_: object, **__: object) -> tuple[str, ...]:
        names = tuple(name for text in value for name in text.split(","))
        if names != (self._alone,) and (not set(names) <= set(GROUP_FIELDS) or len(set(names)) != len(names)):
            raise ValidationError(f"{attr} must be {self._constraint}")
        return names


class MultiValue(fields.Field):  # type: ignore[type-arg]  # not generic in marshmallow 3
    """A parameter that can be repeated.

    :param max_length: of each value, in characters.
    :param is_exact: whether comparisons are exact; otherwise they ignore case, so the values are casefolded.
    """

    def __init__(self, summary: str, max_length: int = MAX_LENGTH, *, is_exact: bool = False) -> None:
        self._max_length, self._is_exact = max_length, is_exact
        items = {"type": "string", "minLength": 1, "maxLength": max_length}
        self._constraint = f"text of 1 to {max_length} characters, given up to {_MAX_VALUES} times"
        super().__init__(
            metadata={
                "summary": summary,
                "constraint": self._constraint,
                "schema": {"type": "array", "items": items, "maxItems": _MAX_VALUES},
                "explode": True,
            }
        )

    def _deserialize(self, value: Sequence[str], attr: str | None, *_: object, **__: object) -> frozenset[str]:
        if len(value) > _MAX_VALUES or not all(0 < len(text) <= self._max_length for text in value):
            raise ValidationError(f"{attr} must be {self._constraint}")
        return frozenset(value if self._is_exact else map(str.casefold, value))


def build_choice(summary: str, *choices: str) -> SingleValue:
    """Return a parameter that must be one of several values."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return SingleValue(summary, parse, f"one of {', '.join(choices)}", {"type": "string", "enum": list(choices)})


def build_integer(summary: str) -> SingleValue:
    """Return a parameter that must be a whole number."""
    schema = {"type": "string", "pattern": f"^{_DIGITS.pattern}$"}
    return SingleValue(summary, parse_integer, "a whole number of up to 20 digits", schema)


def build_range(summary: str, minimum: int, maximum: int) -> SingleValue:
    """Return a parameter that must be a whole number within a range."""

    def parse(text: str) -> int:
        number = parse_integer(text)
        if not minimum <= number <= maximum:
            raise ValueError(text)
        return number

    schema = {"type": "integer", "minimum": minimum, "maximum": maximum}
    return SingleValue(summary, parse, f"a whole number from {minimum} to {maximum}", schema)


def parse_integer(text: str) -> int:
    """Parse a whole number without sign.

    :raises ValueError: the text is something else.
    """
    if not _DIGITS.fullmatch(text):  # int() also accepts signs, spaces, underscores and the digits of every script
        raise ValueError(text)
    return int(text)


def build_label_filters() -> dict[str, fields.Field]:  # type: ignore[type-arg]  # not generic in marshmallow 3
    """Return the parameters that select projects by their plan, type and status."""
    return {
        STATUS: MultiValue("Only projects with one of these values, ignoring case"),
        PROJECT_TYPE: MultiValue("Only projects with one of these values, ignoring case"),
        PLAN: MultiValue("Only projects with one of these values, ignoring case"),
        "without": Names("Only projects in which all of these fields are missing, null or empty"),
    }


def build_filters() -> dict[str, fields.Field]:  # type: ignore[type-arg]  # not generic in marshmallow 3
    """Return the parameters that select projects by their plan, type, status and name."""
    return {
        **build_label_filters(),
        "search": SingleValue(
            "Only projects whose name contains this text, ignoring case",
            _parse_search,
            f"text of 1 to {MAX_LENGTH} characters",
            {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH},
        ),
    }


def build_format() -> SingleValue:
    """Return the parameter for the format of the response."""
    return build_choice("The format of the response, regardless of the Accept header", "json", "csv")


def collect_filters(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the loaded values of :func:`build_filters`, by the name of the query's attribute."""
    return {
        "filters": {name: data[name] for name in (STATUS, PROJECT_TYPE, PLAN) if name in data},
        "without": data.get("without", ()),
        "search": data.get("search"),
    }


def load_parameters(schema: Schema, arguments: Mapping[str, Sequence[str]]) -> tuple[Any, dict[str, list[str]]]:
    """Return the valid parameters of a request, and the messages for the invalid ones."""
    try:
        return schema.load(arguments), {}
    except ValidationError as error:
        return error.valid_data, error.messages_dict


def find_misspelled(names: Iterable[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield an error for each name that is a known one in another case or with brackets, such as ``plan[]``."""
    by_folded_name = {name.casefold(): name for name in known}
    for name in names:
        intended = by_folded_name.get(name.partition("[")[0].casefold())
        if intended is not None and name not in known:
            yield intended, f"{intended} must have exactly this spelling, without brackets"


def _parse_search(text: str) -> str:
    if not 0 < len(text) <= MAX_LENGTH:
        raise ValueError(text)
    return text.casefold()
