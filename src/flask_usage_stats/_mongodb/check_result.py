"""The result of a check, and what several checks have in common."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple
from uuid import UUID

from bson import ObjectId

from .._core.owners import OwnerType

#: The types of a value that is as good as missing, as `$type` of an aggregation returns them.
EMPTY_TYPES: Final = ("missing", "null", "undefined")
#: The stored type of each type of owner id.
OWNER_TYPES: Final[Mapping[OwnerType, str]] = {str: "string", int: "number", ObjectId: "objectId", UUID: "binData"}
#: The detail of a check that the store does not allow.
OWNER_FILTER_DETAIL: Final = "owner_filter selects the projects, so this cannot be checked"


class Status(IntEnum):
    """The status of a check. The value is the exit code of the command if all other checks are ok."""

    OK = 0
    PROBLEM = 1
    UNKNOWN = 2

    def __str__(self) -> str:
        """Return the name in lower case, as it is printed."""
        return self.name.lower()


class CheckResult(NamedTuple):
    """The result of one check."""

    name: str
    status: Status
    detail: str
