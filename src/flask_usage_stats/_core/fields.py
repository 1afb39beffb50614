"""The field names of the HTTP API, defined once.

The projection, the encoders, the schemas and the documentation are derived from this table.
The names and their order are those of the published sample, plus ``createdAt`` from its list of selected fields.
"""

from enum import Enum
from typing import Final, NamedTuple


class Kind(Enum):
    """What a field contains, which decides how a stored value is converted."""

    ID = "id"
    TEXT = "text"
    OWNER = "owner"
    COUNT = "count"
    DATE = "date"


class Field(NamedTuple):
    """One field of a row: its name in the response and its kind."""

    name: str
    kind: Kind


ID: Final = "_id"
NAME: Final = "name"
PROJECT_TYPE: Final = "projectType"
STATUS: Final = "status"
PLAN: Final = "plan"
COUNT: Final = "totalRequest"
CREATED_AT: Final = "createdAt"
UPDATED_AT: Final = "updatedAt"

#: The time of a project's latest request. It is written with the counts, and only returned if a request asks for it.
LAST_REQUEST_AT: Final = "lastRequestAt"

#: The fields of a row, in the order of the response.
FIELDS: Final = (
    Field(ID, Kind.ID),
    Field(NAME, Kind.TEXT),
    Field(PROJECT_TYPE, Kind.TEXT),
    Field(STATUS, Kind.TEXT),
    Field(PLAN, Kind.TEXT),
    Field(COUNT, Kind.COUNT),
    Field(CREATED_AT, Kind.DATE),
    Field(UPDATED_AT, Kind.DATE),
)
#: The fields of a row with those that a request must ask for.
ALL_FIELDS: Final = (*FIELDS, Field(LAST_REQUEST_AT, Kind.DATE))

#: The fields by which rows can be filtered and grouped.
GROUP_FIELDS: Final = (PLAN, PROJECT_TYPE, STATUS)
#: The fields by which rows can be sorted, the default first.
SORT_FIELDS: Final = (COUNT, NAME, CREATED_AT, UPDATED_AT, LAST_REQUEST_AT)

#: The name by which the history selects and groups projects.
PROJECT: Final = "project"

#: Stored with each project and compared with the owner id; returned by the platform view only.
OWNER: Final = "owner"
#: The fields of a row of the platform view.
PLATFORM_FIELDS: Final = (FIELDS[0], Field(OWNER, Kind.OWNER), *FIELDS[1:])

#: The fields of a response body, in this order; the last three only if the request asks for them.
SUCCESS: Final = "success"
TOTAL: Final = "totalRequests"
PROJECTS: Final = "projectStats"
GROUPS: Final = "groups"
TOTAL_PROJECTS: Final = "totalProjects"
NEXT_CURSOR: Final = "nextCursor"

#: The number of projects and the share of the total, in a group in addition to the fields grouped by and ``TOTAL``.
GROUP_SIZE: Final = "projects"
GROUP_SHARE: Final = "share"

#: The fields of the history, in this order between ``SUCCESS`` and ``TOTAL``, and its list after them.
FROM: Final = "from"
TO: Final = "to"
WINDOW: Final = "window"
TIME_ZONE: Final = "tz"
SINCE: Final = "since"
BUCKETS: Final = "buckets"
#: The fields of a bucket, in addition to ``FROM``, ``TO``, ``TOTAL`` and ``GROUPS``.
PARTIAL: Final = "partial"
OTHERS: Final = "others"

#: The fields of the platform view between ``GROUP_SIZE`` and ``GROUPS``.
UNUSED: Final = "unused"
AS_OF: Final = "asOf"

#: The fields of an error body after ``success``; the second only for invalid parameters.
MESSAGE: Final = "message"
ERRORS: Final = "errors"
