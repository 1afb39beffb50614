"""The field names of the wire contract, once.

Projection, encoder, schemas and documentation are made from this table.
The names and their order are those of the API page's sample, with ``createdAt`` from its list of selected fields.
"""

from enum import Enum
from typing import Final, NamedTuple


class Kind(Enum):
    """What a field of a project holds, and so how a stored value is shown."""

    ID = "id"
    TEXT = "text"
    COUNT = "count"
    DATE = "date"


class Field(NamedTuple):
    """One field of a row: its wire name and its kind."""

    name: str
    kind: Kind


ID: Final = "_id"
NAME: Final = "name"
STATUS: Final = "status"
COUNT: Final = "totalRequest"

#: Every field of a row, in the order in which it is written.
FIELDS: Final = (
    Field(ID, Kind.ID),
    Field(NAME, Kind.TEXT),
    Field("projectType", Kind.TEXT),
    Field(STATUS, Kind.TEXT),
    Field("plan", Kind.TEXT),
    Field(COUNT, Kind.COUNT),
    Field("createdAt", Kind.DATE),
    Field("updatedAt", Kind.DATE),
)

#: Stored beside the fields of a row, matched against the caller's identity, never shown.
OWNER: Final = "owner"

#: The body of an answer, in the order in which it is written; the last two only where they are asked for.
SUCCESS: Final = "success"
TOTAL: Final = "totalRequests"
PROJECTS: Final = "projectStats"
GROUPS: Final = "groups"
NEXT_CURSOR: Final = "nextCursor"

#: A group, behind the fields that it is made by.
GROUP_SIZE: Final = "projects"
GROUP_SHARE: Final = "share"

#: The body of an error, after ``success``; the last only for bad parameters.
MESSAGE: Final = "message"
ERRORS: Final = "errors"
