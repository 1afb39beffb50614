"""The result of a check."""

from enum import IntEnum
from typing import Final, NamedTuple

#: The types of a value that is as good as missing, as `$type` of an aggregation returns them.
EMPTY_TYPES: Final = ("missing", "null", "undefined")


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
