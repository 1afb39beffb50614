"""The validated query of a request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from .fields import ALL_FIELDS, COUNT, FIELDS, LAST_REQUEST_AT, Field


@dataclass(frozen=True, slots=True)
class CursorPosition:
    """The position of a page's last row. A cursor is its encoded text.

    The sort key and the key of the ``_id`` are usually enough. The other attributes are only set if the next row has
    the same ones, because its ``_id`` is missing, repeated or mapped.
    """

    #: A count, a casefolded name or milliseconds since 1970; ``None`` if the row has no such value.
    sort_key: float | str | None
    #: As returned by :func:`~.values.get_id_sort_key`.
    id_key: bytes
    #: As returned by :func:`~.rows.get_content_key`; empty if the page continues with the next sort key or ``_id``.
    content_key: bytes = b""
    #: How many rows with these three keys were returned, on this page and the ones before. They are all alike.
    returned: int = 0


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """The parsed parameters of one request; :data:`DEFAULT_QUERY` if it has none."""

    #: Maps field names to casefolded texts; a row's casefolded value must be one of them.
    filters: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: The names of fields whose value must be missing, null or empty.
    without: tuple[str, ...] = ()
    #: A casefolded text that a row's casefolded name must contain; ``None`` for any name.
    search: str | None = None
    #: The inclusive bounds of a row's count.
    min_requests: int | None = None
    max_requests: int | None = None
    #: For how many days a project must not have had a request; ``None`` for all projects.
    idle_days: int | None = None
    #: The time since when there must be no request, aware; ``None`` until it is computed from *idle_days*.
    idle_since: datetime | None = None
    #: The name of the field to sort by.
    sort: str = COUNT
    descending: bool = True
    #: The maximum number of rows of a page; ``None`` for all rows on one page.
    limit: int | None = None
    #: The position after which the page starts; ``None`` for the first page.
    position: CursorPosition | None = None
    #: The names of the fields to group by, in the order of the request.
    group_by: tuple[str, ...] = ()
    #: The names of fields that are only returned if a request asks for them.
    include: tuple[str, ...] = ()
    #: The name of the requested format; ``None`` if the Accept header decides.
    format: str | None = None

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields that the rows of the response may have."""
        return ALL_FIELDS if self.include else FIELDS

    @property
    def row_fields(self) -> tuple[Field, ...]:
        """The fields of the response, and the one to sort by."""
        return ALL_FIELDS if self.include or self.sort == LAST_REQUEST_AT else FIELDS


DEFAULT_QUERY: Final = UsageQuery()
