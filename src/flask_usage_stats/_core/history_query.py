"""The validated query of a request for the history."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from .query import UsageQuery


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """The parsed parameters of one request."""

    #: The start and the end of each window in UTC, in order and without gaps; at least one.
    windows: list[tuple[datetime, datetime]]
    #: The size of the windows.
    window: str
    zone: ZoneInfo
    #: The filters of projects. Nothing else of the query is used.
    projects: UsageQuery
    #: The ids of projects as they are returned, as text; ``None`` for all.
    ids: frozenset[str] | None = None
    #: The names of the fields to group by, in the order of the request; ``("project",)`` for each project.
    group_by: tuple[str, ...] = ()
    #: The name of the requested format; ``None`` if the Accept header decides.
    format: str | None = None
