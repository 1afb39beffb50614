"""The validated query of a request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .fields import COUNT


@dataclass(frozen=True, slots=True)
class CursorPosition:
    """The position of a page's last row: its sort key and the sort key of its ``_id``. A cursor is its encoded text."""

    #: A count, a casefolded name or milliseconds since 1970; ``None`` if the row has no such value.
    sort_key: float | str | None
    #: As returned by :func:`~.values.get_id_sort_key`.
    id_key: bytes


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """The parsed parameters of one request; :data:`DEFAULT_QUERY` if it has none."""

    #: Maps field names to casefolded texts; a row's casefolded value must be one of them.
    filters: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: The inclusive bounds of a row's count.
    min_requests: int | None = None
    max_requests: int | None = None
    #: The name of the field to sort by.
    sort: str = COUNT
    descending: bool = True
    #: The maximum number of rows of a page; ``None`` for all rows on one page.
    limit: int | None = None
    #: The position after which the page starts; ``None`` for the first page.
    position: CursorPosition | None = None
    #: The names of the fields to group by, in the order of the request.
    group_by: tuple[str, ...] = ()
    #: The name of the requested format; ``None`` if the Accept header decides.
    format: str | None = None


DEFAULT_QUERY: Final = UsageQuery()
