"""The wire contract as marshmallow schemas, for tests, documentation and clients written in Python.

Rows are not dumped through them: that alone would cost several times the database read.

.. code-block:: pycon

    >>> UsageSchema().validate({"success": True, "totalRequests": 0, "projectStats": [{"name": "blog"}]})
    {'projectStats': {0: {'totalRequest': ['Missing data for required field.']}}}
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from marshmallow import Schema, fields
from marshmallow.exceptions import ValidationError

from .fields import FIELDS, MESSAGE, PROJECTS, SUCCESS, TOTAL, Kind

__all__ = ["ErrorSchema", "ProjectSchema", "UsageSchema"]


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
        metadata={"description": "An ObjectId as hex; another identity as text or an integer."},
    ),
    Kind.TEXT: lambda: fields.String(allow_none=True),
    Kind.COUNT: lambda: fields.Raw(
        required=True, validate=_number, metadata={"description": "Requests; 0 where none are stored."}
    ),
    Kind.DATE: lambda: fields.String(
        allow_none=True, metadata={"description": "ISO 8601 in UTC with milliseconds; other text as it is stored."}
    ),
}

#: One row: a field that the stored document lacks is absent, all but ``totalRequest``.
#:
#: .. versionadded:: 0.1.0
ProjectSchema: Final[type[Schema]] = Schema.from_dict({name: _FIELD[kind]() for name, kind in FIELDS}, name="Project")

#: The body of a 200.
#:
#: .. versionadded:: 0.1.0
UsageSchema: Final[type[Schema]] = Schema.from_dict(
    {
        SUCCESS: fields.Raw(required=True, validate=_exactly(wanted=True)),
        TOTAL: fields.Raw(required=True, validate=_number, metadata={"description": "The sum of the counts shown."}),
        PROJECTS: fields.List(fields.Nested(ProjectSchema), required=True),
    },
    name="Usage",
)

#: The body of every error.
#:
#: .. versionadded:: 0.1.0
ErrorSchema: Final[type[Schema]] = Schema.from_dict(
    {
        SUCCESS: fields.Raw(required=True, validate=_exactly(wanted=False)),
        MESSAGE: fields.String(required=True),
    },
    name="Error",
)
