"""The response bodies as marshmallow schemas, for tests, documentation and Python clients.

The package does not serialize responses with them, which would take several times as long as the database read.

.. code-block:: pycon

    >>> UsageSchema().validate({"success": True, "totalRequests": 0, "projectStats": [{"name": "blog"}]})
    {'projectStats': {0: {'totalRequest': ['Missing data for required field.']}}}
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from marshmallow import Schema, fields
from marshmallow.exceptions import ValidationError

from ._core.fields import (
    ALL_FIELDS,
    AS_OF,
    BUCKETS,
    ERRORS,
    FROM,
    GROUP_FIELDS,
    GROUP_SHARE,
    GROUP_SIZE,
    GROUPS,
    MESSAGE,
    NEXT_CURSOR,
    OTHERS,
    OWNER,
    PARTIAL,
    PLATFORM_FIELDS,
    PROJECT,
    PROJECTS,
    SINCE,
    SUCCESS,
    TIME_ZONE,
    TO,
    TOTAL,
    TOTAL_PROJECTS,
    UNUSED,
    WINDOW,
    Kind,
)

__all__ = [
    "ErrorSchema",
    "GroupSchema",
    "HistoryBucketSchema",
    "HistoryGroupSchema",
    "HistorySchema",
    "PlatformGroupSchema",
    "PlatformOthersSchema",
    "PlatformProjectSchema",
    "PlatformSchema",
    "ProjectSchema",
    "UsageSchema",
]


def _validate_number(value: object) -> None:
    finite = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    if isinstance(value, bool) or not finite:
        raise ValidationError("Not a finite number.")


def _validate_id(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValidationError("Not a string or an integer.")


def _validate_owner(value: object) -> None:
    for each in value if isinstance(value, list) else [value]:
        if each is not None:
            _validate_id(each)


# The metadata of these fields has no "enum" or "const": clients of openapi-generator would compare the value with the
# string "true" and reject every response.
def _equals(*, expected: bool) -> Callable[[object], None]:
    def validate(value: object) -> None:
        if value is not expected:
            raise ValidationError(f"Not {str(expected).lower()}.")

    return validate


def _build_success(*, expected: bool) -> Any:  # noqa: ANN401 # fields are not generic in marshmallow 3, here and below
    return fields.Raw(required=True, validate=_equals(expected=expected), metadata={"type": "boolean"})


def _build_number(description: str = "", **options: Any) -> Any:  # noqa: ANN401
    """Return a field for a finite number, by default a required one."""
    metadata = _NUMBER | ({"description": description} if description else {})
    arguments: dict[str, Any] = {"required": True, "metadata": metadata} | options
    return fields.Raw(validate=_validate_number, **arguments)


def _build_integer(description: str = "", *, required: bool = True) -> Any:  # noqa: ANN401
    metadata = {"description": description} if description else {}
    return fields.Integer(required=required, strict=True, metadata=metadata)


def _build_labels() -> dict[str, Any]:
    """Return the fields that a group may have been grouped by."""
    return {name: fields.String(allow_none=True) for name in GROUP_FIELDS}


def _build_sums() -> dict[str, Any]:
    """Return the fields of a group that follow its values."""
    share = "The group's share of the total, with 4 decimals; null if the total is not positive."
    return {
        GROUP_SIZE: _build_integer(),
        TOTAL: _build_number("The sum of the group's counts."),
        GROUP_SHARE: _build_number(share, allow_none=True),
    }


_NUMBER: Final = {"type": "number", "format": "double"}
_INSTANT: Final = {"type": "string", "format": "date-time"}
# Generators ignore the format of an array of types, so that some clients would read 32 bits.
_ID_TYPES: Final = [{"type": "string"}, {"type": "integer", "format": "int64"}, {"type": "null"}]
_FIELD_TYPES: Final[Mapping[Kind, Callable[[], Any]]] = {
    Kind.ID: lambda: fields.Raw(
        allow_none=True,
        validate=_validate_id,
        metadata={
            "anyOf": _ID_TYPES,
            "description": "An ObjectId as hex; an _id of another type as a string, an integer or null.",
        },
    ),
    Kind.OWNER: lambda: fields.Raw(
        allow_none=True,
        validate=_validate_owner,
        metadata={
            "anyOf": [*_ID_TYPES, {"type": "array", "items": {"anyOf": _ID_TYPES}}],
            "description": "The owner id, in the same form as an _id; an array if the project has several owners.",
        },
    ),
    Kind.TEXT: lambda: fields.String(allow_none=True),
    Kind.COUNT: lambda: _build_number("The number of requests; 0 if none is stored."),
    Kind.DATE: lambda: fields.String(
        allow_none=True,
        metadata={"description": "ISO 8601 in UTC with milliseconds; stored text is unchanged."},
    ),
}

#: One project. Fields that the stored document lacks are absent, except ``totalRequest``, and so is ``lastRequestAt``
#: unless the request has ``include=lastRequestAt``.
#:
#: .. versionadded:: 0.1.0
ProjectSchema: Final[type[Schema]] = Schema.from_dict(
    {name: _FIELD_TYPES[kind]() for name, kind in ALL_FIELDS}, name="Project"
)

#: The totals of the projects that have the same casefolded values in the fields named by ``groupBy``.
#:
#: .. versionadded:: 0.1.0
GroupSchema: Final[type[Schema]] = Schema.from_dict(
    {**_build_labels(), **_build_sums()},
    name="Group",
)

#: The body of a 200 response.
#:
#: .. versionadded:: 0.1.0
UsageSchema: Final[type[Schema]] = Schema.from_dict(
    {
        SUCCESS: _build_success(expected=True),
        TOTAL: _build_number("The sum of the counts of all matching projects."),
        PROJECTS: fields.List(fields.Nested(ProjectSchema), required=True),
        GROUPS: fields.List(fields.Nested(GroupSchema), metadata={"description": "Only with groupBy."}),
        TOTAL_PROJECTS: _build_integer("Only with limit: the number of all matching projects.", required=False),
        NEXT_CURSOR: fields.String(
            allow_none=True, metadata={"description": "Only with limit; null on the last page."}
        ),
    },
    name="Usage",
)

#: The requests of a group of projects in one window: its values of the fields named by ``groupBy``.
#:
#: .. versionadded:: 0.1.0
HistoryGroupSchema: Final[type[Schema]] = Schema.from_dict(
    {
        PROJECT: fields.Raw(
            validate=_validate_id,
            metadata={
                "anyOf": [{"type": "string"}, {"type": "integer", "format": "int64"}],
                "description": "Only with groupBy=project: the project's _id.",
            },
        ),
        **_build_labels(),
        TOTAL: _build_number(),
    },
    name="HistoryGroup",
)

#: The requests in one window of the history.
#:
#: .. versionadded:: 0.1.0
HistoryBucketSchema: Final[type[Schema]] = Schema.from_dict(
    {
        FROM: fields.String(required=True, metadata=_INSTANT),
        TO: fields.String(required=True, metadata=_INSTANT | {"description": "Exclusive."}),
        TOTAL: _build_number(
            allow_none=True,
            metadata={
                "anyOf": [_NUMBER, {"type": "null"}],
                "description": "Null if the window ended before counting began.",
            },
        ),
        PARTIAL: fields.Boolean(
            required=True,
            metadata={"description": "Whether the window is not over yet, or counting began during it."},
        ),
        GROUPS: fields.List(
            fields.Nested(HistoryGroupSchema), metadata={"description": "Only with groupBy; empty without a total."}
        ),
        OTHERS: _build_number(
            "The requests of the other projects, if there are more than 20 with groupBy=project.", required=False
        ),
    },
    name="HistoryBucket",
)

#: The body of a 200 response of the history.
#:
#: .. versionadded:: 0.1.0
HistorySchema: Final[type[Schema]] = Schema.from_dict(
    {
        SUCCESS: _build_success(expected=True),
        FROM: fields.String(required=True, metadata=_INSTANT),
        TO: fields.String(required=True, metadata=_INSTANT | {"description": "Exclusive."}),
        WINDOW: fields.String(required=True, metadata={"description": "hour, day, week or month."}),
        TIME_ZONE: fields.String(required=True, metadata={"description": "The name of the time zone."}),
        SINCE: fields.String(
            required=True,
            allow_none=True,
            metadata={
                "anyOf": [_INSTANT, {"type": "null"}],
                "description": "Since when requests are counted; null if nothing was counted yet.",
            },
        ),
        TOTAL: _build_number("The sum of all buckets."),
        BUCKETS: fields.List(fields.Nested(HistoryBucketSchema), required=True),
    },
    name="History",
)

#: One project of the platform view.
#:
#: .. versionadded:: 0.1.0
PlatformProjectSchema: Final[type[Schema]] = Schema.from_dict(
    {name: _FIELD_TYPES[kind]() for name, kind in PLATFORM_FIELDS}, name="PlatformProject"
)

#: The totals of the projects of all owners that have the same casefolded values in the fields named by ``groupBy``, or
#: the same owner.
#:
#: .. versionadded:: 0.1.0
PlatformGroupSchema: Final[type[Schema]] = Schema.from_dict(
    {
        OWNER: fields.Raw(
            allow_none=True,
            validate=_validate_id,
            metadata={
                "anyOf": _ID_TYPES,
                "description": "Only with groupBy=owner: the owner id; null for projects without an owner.",
            },
        ),
        **_build_labels(),
        **_build_sums(),
    },
    name="PlatformGroup",
)

#: The totals of the groups that are not listed.
#:
#: .. versionadded:: 0.1.0
PlatformOthersSchema: Final[type[Schema]] = Schema.from_dict(
    {
        GROUPS: _build_integer("The number of these groups."),
        **_build_sums(),
    },
    name="PlatformOthers",
)

#: The body of a 200 response of the platform view.
#:
#: .. versionadded:: 0.1.0
PlatformSchema: Final[type[Schema]] = Schema.from_dict(
    {
        SUCCESS: _build_success(expected=True),
        TOTAL: _build_number("The sum of the counts of all matching projects."),
        GROUP_SIZE: _build_integer("The number of all matching projects."),
        UNUSED: _build_integer("The number of those whose count is 0."),
        AS_OF: fields.String(
            required=True, metadata=_INSTANT | {"description": "When the database was asked for the totals."}
        ),
        GROUPS: fields.List(fields.Nested(PlatformGroupSchema), metadata={"description": "Only with groupBy."}),
        OTHERS: fields.Nested(
            PlatformOthersSchema, metadata={"description": "Only if there are more groups than top."}
        ),
        PROJECTS: fields.List(fields.Nested(PlatformProjectSchema), metadata={"description": "Only with limit."}),
    },
    name="Platform",
)

#: The body of every error response.
#:
#: .. versionadded:: 0.1.0
ErrorSchema: Final[type[Schema]] = Schema.from_dict(
    {
        SUCCESS: _build_success(expected=False),
        MESSAGE: fields.String(required=True),
        ERRORS: fields.Dict(
            keys=fields.String(),
            values=fields.List(fields.String()),
            metadata={"description": "Only with status 400: the errors of each invalid parameter."},
        ),
    },
    name="Error",
)
