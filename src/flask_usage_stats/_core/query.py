"""What a request asks for, checked: plain values that every later stage reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .fields import COUNT
from .values import IdKey


@dataclass(frozen=True, slots=True)
class CursorPosition:
    """Where a page ended: the sort key of its last row, and that row's identity."""

    #: A number, casefolded text or microseconds since 1970; ``None`` where the row has none.
    key: float | str | None
    identity: IdKey
    #: Of the owner and the question, so that a cursor serves only the walk that it came from;
    #: of a position that was read, the seal of its cursor.
    digest: str


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """The parameters of one request; without any it is the plain one."""

    #: Field names to the casefolded texts of which a row's must be one.
    filters: Mapping[str, frozenset[str]] = field(default_factory=dict)
    minimum: int | None = None
    maximum: int | None = None
    sort: str = COUNT
    descending: bool = True
    limit: int | None = None
    after: CursorPosition | None = None
    group_by: tuple[str, ...] = ()


DEFAULT_QUERY: Final = UsageQuery()
