"""The validated query of a request, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .fields import COUNT


@dataclass(frozen=True, slots=True)
class CursorPosition:
    """The last row of a page: its sort key and the sort key of its ``_id``."""

    #: A count, a casefolded name or milliseconds since 1970; ``None`` if the row has no such value.
    sort_key: float | str | None
    id_key: bytes


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """The parameters of one request; :data:`DEFAULT_QUERY` is a request without any."""

    #: Field names to casefolded texts; a row's value must be one of them.
    filters: Mapping[str, frozenset[str]] = field(default_factory=dict)
    min_requests: int | None = None
    max_requests: int | None = None
    sort: str = COUNT
    descending: bool = True
    limit: int | None = None
    #: The position after which the page starts.
    position: CursorPosition | None = None
    group_by: tuple[str, ...] = ()
    #: The name of the format, if the request names one.
    format: str | None = None


DEFAULT_QUERY: Final = UsageQuery()
