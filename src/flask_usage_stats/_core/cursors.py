"""Encoding of page positions as cursors.

A cursor is not signed because it grants no access: each page is read for the user who requests it.
Its checksum only detects cursors that were modified, or that belong to another query or owner.
"""

import hashlib
import json
import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from types import NoneType
from typing import Final

from ..protocols import Owner
from .fields import COUNT, FIELDS, NAME
from .query import CursorPosition, UsageQuery

_CHECKSUM_SIZE: Final = 8  # bytes


def encode_cursor(position: CursorPosition, owner: Owner, query: UsageQuery) -> str:
    """Encode a position in the results of an owner's query as URL-safe text."""
    head: object = position.sort_key
    if position.content_key:
        head = [position.sort_key, position.content_key.hex(), position.returned]
    # Escapes would make the cursor of a name that is not ASCII several times longer.
    content = json.dumps(head, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n" + position.id_key
    return urlsafe_b64encode(_compute_checksum(content, owner, query) + content).decode().rstrip("=")


def decode_cursor(text: str, owner: Owner, query: UsageQuery) -> CursorPosition:
    """Decode a cursor that was encoded for the same owner and query.

    :raises ValueError: the text is not a cursor, or it belongs to another owner or query.
    """
    try:
        content = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))[_CHECKSUM_SIZE:]
        head, _, id_key = content.partition(b"\n")
        position = _build_position(json.loads(head), id_key)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError("not a cursor") from error
    if not _is_sort_key(position.sort_key, query.sort) or encode_cursor(position, owner, query) != text:
        raise ValueError("not a cursor of this query")
    return position


def _build_position(head: object, id_key: bytes) -> CursorPosition:
    """Build the position. Raise TypeError or ValueError if *head* is a list that :func:`encode_cursor` cannot write."""
    if not isinstance(head, list):
        return CursorPosition(head, id_key)  # type: ignore[arg-type]  # the caller checks the type
    sort_key, content_key, returned = head
    if type(returned) is not int:
        raise TypeError(returned)
    return CursorPosition(sort_key, id_key, bytes.fromhex(content_key), returned)


def _is_sort_key(key: object, sort: str) -> bool:
    if sort == COUNT:
        return type(key) is int or (type(key) is float and math.isfinite(key))
    return type(key) in ((str, NoneType) if sort == NAME else (int, NoneType))


def _compute_checksum(content: bytes, owner: Owner, query: UsageQuery) -> bytes:
    """Hash the cursor's content with the owner, filters and sort order, so that only the same query accepts it.

    The page size, the groups and the format may change between pages, so they are not included.
    """
    scope = [
        [type(owner).__name__, str(owner)],
        sorted((name, sorted(values)) for name, values in query.filters.items()),
        [sorted(query.without), query.search],
        [query.min_requests, query.max_requests, query.sort, query.descending],
    ]
    has_last_requests = query.row_fields is not FIELDS  # the order of tied rows depends on all their fields
    if has_last_requests or query.idle_days is not None:
        scope.append([has_last_requests, query.idle_days])
    return hashlib.sha256(json.dumps(scope).encode() + content).digest()[:_CHECKSUM_SIZE]
