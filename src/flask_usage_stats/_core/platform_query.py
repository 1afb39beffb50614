"""The validated query of a request for the platform view."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from .fields import OWNER
from .query import UsageQuery

EXCLUDE: Final = "exclude"
INCLUDE: Final = "include"
ONLY: Final = "only"
#: What to do with deleted projects, the default first.
DELETED_CHOICES: Final = (EXCLUDE, INCLUDE, ONLY)


class Selection(NamedTuple):
    """Which projects a query is about: by default, those that are not deleted."""

    #: Field names and casefolded texts; a project's casefolded value must be one of them.
    filters: frozenset[tuple[str, frozenset[str]]] = frozenset()
    #: The names of fields whose value must be missing, null or empty.
    without: frozenset[str] = frozenset()
    #: What to do with deleted projects.
    deleted: str = EXCLUDE

    @property
    def filtered_names(self) -> frozenset[str]:
        """The names of the fields that decide whether a project is selected."""
        return self.without | {name for name, _ in self.filters}

    def build_query(self) -> UsageQuery:
        """Return a query of rows with the same filters."""
        return UsageQuery(filters=dict(self.filters), without=tuple(self.without))


@dataclass(frozen=True, slots=True)
class PlatformQuery:
    """The parsed parameters of one request."""

    selection: Selection
    #: The names of the fields to group by, in the order of the request; ``("owner",)`` for each owner.
    group_by: tuple[str, ...] = ()
    #: The maximum number of groups.
    top: int = 100
    #: The maximum number of projects.
    limit: int = 0
    #: The name of the requested format; ``None`` if the Accept header decides.
    format: str | None = None

    @property
    def groups_owners(self) -> bool:
        """Whether the groups are owners."""
        return self.group_by == (OWNER,)
