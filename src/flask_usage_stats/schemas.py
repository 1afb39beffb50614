"""The wire contract as marshmallow schemas: what a request may ask for, and what it is answered.

Rows are not dumped through them: that alone would cost several times the database read.

.. code-block:: pycon

    >>> UsageSchema().validate({"success": True, "totalRequests": 0, "projectStats": [{"name": "blog"}]})
    {'projectStats': {0: {'totalRequest': ['Missing data for required field.']}}}
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, fields
from marshmallow.exceptions import ValidationError

from ._core import cursors as cursor
from ._core.fields import (
    COUNT,
    ERRORS,
    FIELDS,
    GROUP_SHARE,
    GROUP_SIZE,
    GROUPS,
    MESSAGE,
    NEXT_CURSOR,
    PROJECTS,
    STATUS,
    SUCCESS,
    TOTAL,
    Kind,
)
from ._core.query import DEFAULT_QUERY, UsageQuery
from .errors import InvalidParametersError
from .protocols import Owner

__all__ = ["ErrorSchema", "GroupSchema", "ParametersSchema", "ProjectSchema", "UsageSchema"]

#: The fields by which rows are filtered and grouped.
GROUP_FIELDS: Final = ("plan", "projectType", STATUS)
SORT_FIELDS: Final = (COUNT, "name", "createdAt", "updatedAt")
FORMATS: Final = ("json", "csv")

_LARGEST_PAGE: Final = 1000  # rows
_LONGEST_TEXT: Final = 100  # characters
_MOST_TEXTS: Final = 50
_DIGITS: Final = re.compile(r"[0-9]{1,20}")


def _number(value: object) -> None:
    finite = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    if isinstance(value, bool) or not finite:
        raise ValidationError("Not a finite number.")


def _exactly(*, wanted: bool) -> Callable[[object], None]:
    def check(value: object) -> None:
        if value is not wanted:
            raise ValidationError(f"Not {str(wanted).lower()}.")

    return check


def _text_or_integer(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValidationError("Not text or an integer.")


_FIELD: Final[Mapping[Kind, Callable[[], Any]]] = {
    Kind.ID: lambda: fields.Raw(
        allow_none=True,
        validate=_text_or_integer,
        metadata={
            "type": ["string", "integer"],
            "description": "An ObjectId as hex; another identity as text or an integer.",
        },
    ),
    Kind.TEXT: lambda: fields.String(allow_none=True),
    Kind.COUNT: lambda: fields.Raw(
        required=True,
        validate=_number,
        metadata={"type": "number", "description": "Requests; 0 where none are stored."},
    ),
    Kind.DATE: lambda: fields.String(
        allow_none=True, metadata={"description": "ISO 8601 in UTC with milliseconds; other text as it is stored."}
    ),
}

#: One row: a field that the stored document lacks is absent, all but ``totalRequest``.
#:
#: .. versionadded:: 0.1.0
ProjectSchema: Final[type[Schema]] = Schema.from_dict({name: _FIELD[kind]() for name, kind in FIELDS}, name="Project")

#: The rows that agree in the fields of ``groupBy``, case ignored and shown so, added up.
#:
#: .. versionadded:: 0.1.0
GroupSchema: Final[type[Schema]] = Schema.from_dict(
    {
        **{name: fields.String(allow_none=True) for name in GROUP_FIELDS},
        GROUP_SIZE: fields.Integer(required=True, strict=True),
        TOTAL: fields.Raw(
            required=True,
            validate=_number,
            metadata={"type": "number", "description": "The sum of the group's counts."},
        ),
        GROUP_SHARE: fields.Raw(
            required=True,
            allow_none=True,
            validate=_number,
            metadata={
                "type": "number",
                "description": "Of the total, with 4 decimals; null where the total is not above 0.",
            },
        ),
    },
    name="Group",
)

#: The body of a 200.
#:
#: .. versionadded:: 0.1.0
UsageSchema: Final[type[Schema]] = Schema.from_dict(
    {
        SUCCESS: fields.Raw(
            required=True, validate=_exactly(wanted=True), metadata={"type": "boolean", "enum": [True]}
        ),
        TOTAL: fields.Raw(
            required=True,
            validate=_number,
            metadata={"type": "number", "description": "The sum over all projects that the filters keep."},
        ),
        PROJECTS: fields.List(fields.Nested(ProjectSchema), required=True),
        GROUPS: fields.List(fields.Nested(GroupSchema), metadata={"description": "Only where groupBy asks for it."}),
        NEXT_CURSOR: fields.String(
            allow_none=True,
            metadata={"description": "Only where limit asks for a page; null where nothing follows."},
        ),
    },
    name="Usage",
)

#: The body of every error.
#:
#: .. versionadded:: 0.1.0
ErrorSchema: Final[type[Schema]] = Schema.from_dict(
    {
        SUCCESS: fields.Raw(
            required=True, validate=_exactly(wanted=False), metadata={"type": "boolean", "enum": [False]}
        ),
        MESSAGE: fields.String(required=True),
        ERRORS: fields.Dict(
            keys=fields.String(),
            values=fields.List(fields.String()),
            metadata={"description": "With 400: every bad parameter, and why."},
        ),
    },
    name="Error",
)


class _Once(fields.Field):  # type: ignore[type-arg]  # not generic in marshmallow 3
    """A parameter that is given once, read by a function that raises ValueError for what is bad."""

    def __init__(self, does: str, read: Callable[[str], object], must_be: str, schema: Mapping[str, object]) -> None:
        super().__init__(metadata={"does": does, "description": must_be, "schema": schema, "explode": False})
        self._read, self._must_be = read, must_be

    def _deserialize(self, value: Sequence[str], attr: str | None, *_: object, **__: object) -> object:
        if len(value) != 1:
            raise ValidationError(f"{attr} must be given once")
        try:
            return self._read(value[0])
        except ValueError as error:
            raise ValidationError(f"{attr} must be {self._must_be}") from error


class _Texts(fields.Field):  # type: ignore[type-arg]  # not generic in marshmallow 3
    """A parameter that is given several times, each with another text, compared without regard to case."""

    def __init__(self, does: str) -> None:
        text = {"type": "string", "minLength": 1, "maxLength": _LONGEST_TEXT}
        super().__init__(
            metadata={
                "does": does,
                "description": f"text of 1 to {_LONGEST_TEXT} characters, given up to {_MOST_TEXTS} times",
                "schema": {"type": "array", "items": text, "maxItems": _MOST_TEXTS},
                "explode": True,
            }
        )

    def _deserialize(self, value: Sequence[str], attr: str | None, *_: object, **__: object) -> frozenset[str]:
        if len(value) > _MOST_TEXTS or not all(0 < len(text) <= _LONGEST_TEXT for text in value):
            raise ValidationError(f"{attr} must be {self.metadata['description']}")
        return frozenset(text.casefold() for text in value)


def _one_of(does: str, *choices: str) -> _Once:
    def read(text: str) -> str:
        return choices[choices.index(text)]

    return _Once(does, read, f"one of {', '.join(choices)}", {"type": "string", "enum": list(choices)})


def _whole_number(does: str) -> _Once:
    schema = {"type": "string", "pattern": f"^{_DIGITS.pattern}$"}
    return _Once(does, _whole, "a whole number of up to 20 digits", schema)


def _whole(text: str) -> int:
    if not _DIGITS.fullmatch(text):  # int() alone takes signs, spaces, underscores and the digits of every script
        raise ValueError(text)
    return int(text)


def _rows(text: str) -> int:
    number = _whole(text)
    if number > _LARGEST_PAGE:
        raise ValueError(text)
    return number


def _labels(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(GROUP_FIELDS) or len(set(names)) != len(names):
        raise ValueError(text)
    return names


#: The parameters of ``GET /api/usage``, each a list of the texts that were given, in the order of the API page.
#:
#: .. versionadded:: 0.1.0
ParametersSchema: Final[type[Schema]] = Schema.from_dict(
    {
        STATUS: _Texts("Keep projects with one of these, case ignored"),
        "projectType": _Texts("Keep projects with one of these, case ignored"),
        "plan": _Texts("Keep projects with one of these, case ignored"),
        "minRequests": _whole_number("Keep projects with as many requests or more"),
        "maxRequests": _whole_number("Keep projects with as many requests or fewer"),
        "sort": _one_of(f"Order projects by this field, {COUNT} where none is given", *SORT_FIELDS),
        "order": _one_of("Order them so, where it is not given asc for name and desc for the rest", "desc", "asc"),
        "limit": _Once(
            "Answer with a page of so many projects; 0 for the total and groups alone",
            _rows,
            f"a whole number from 0 to {_LARGEST_PAGE}",
            {"type": "integer", "minimum": 0, "maximum": _LARGEST_PAGE},
        ),
        "cursor": _Once(
            "Answer with the page after another; needs limit",
            cursor.read,
            "the nextCursor of a page of the same query",
            {"type": "string"},
        ),
        "groupBy": _Once(
            "Add the kept projects up by these fields",
            _labels,
            f"one or several of {', '.join(GROUP_FIELDS)}, with commas between them",
            {
                "type": "array",
                "items": {"type": "string", "enum": list(GROUP_FIELDS)},
                "minItems": 1,
                "uniqueItems": True,
            },
        ),
        "format": _one_of("Answer in this form, whatever Accept says", *FORMATS),
    },
    name="Parameters",
)
_PARAMETERS: Final = ParametersSchema(unknown=EXCLUDE)


def parse_parameters(arguments: Mapping[str, Sequence[str]], owner: Owner) -> tuple[UsageQuery, str | None]:
    """Read the parameters of one request.

    :param arguments: names to the texts that were given; names that are not ours are left alone.
    :param owner: whose cursor it must be.
    :returns: the question, and the format, where one was asked for.
    :raises InvalidParametersError: for everything that is bad, at once, in the order of the API page.
    """
    if not arguments:
        return DEFAULT_QUERY, None
    given: Any
    bad: dict[str, list[str]] = {}
    try:
        given = _PARAMETERS.load(arguments)
    except ValidationError as error:
        given, bad = error.valid_data, error.messages_dict
    sort = given.get("sort", COUNT)
    question = UsageQuery(
        filters={name: given[name] for name in (STATUS, "projectType", "plan") if name in given},
        minimum=given.get("minRequests"),
        maximum=given.get("maxRequests"),
        sort=sort,
        descending=given.get("order", "asc" if sort == "name" else "desc") == "desc",
        limit=given.get("limit"),
        after=given.get("cursor"),
        group_by=given.get("groupBy", ()),
    )
    for name, message in _contradictions(question, arguments, owner):
        bad.setdefault(name, [message])
    if bad:
        raise InvalidParametersError({name: bad[name] for name in _PARAMETERS.fields if name in bad})
    return question, given.get("format")


def _contradictions(
    question: UsageQuery, arguments: Mapping[str, Sequence[str]], owner: Owner
) -> Iterator[tuple[str, str]]:
    if question.minimum is not None and question.maximum is not None and question.minimum > question.maximum:
        yield "minRequests", "minRequests must not be over maxRequests"
    if question.after is not None:
        if "limit" not in arguments:
            yield "cursor", "cursor needs limit"
        elif not cursor.belongs(question.after, owner, question):
            yield "cursor", f"cursor must be {_PARAMETERS.fields['cursor'].metadata['description']}"
