"""Pages' cursors as text.

A cursor grants nothing, so it is not signed: every page is read with its caller's own identity.
Its seal, a digest of the place and of the walk that it belongs to, only tells a changed or a foreign one.
"""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from types import NoneType
from typing import Final

from ..protocols import Owner
from .fields import COUNT, NAME
from .query import CursorPosition, UsageQuery

_KINDS: Final = {0: int, 1: int, 2: str, 3: bytes, 4: str}  # of the value in an IdKey, by its rank


def digest(owner: Owner, question: UsageQuery) -> str:
    """Tell walks apart: by their owner, filters and order, but not by the length of their pages."""
    asked = [
        [type(owner).__name__, str(owner)],
        sorted((name, sorted(texts)) for name, texts in question.filters.items()),
        [question.minimum, question.maximum, question.sort, question.descending],
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def write(position: CursorPosition) -> str:
    """Write a position as text that needs no escaping in a URL."""
    place = _place(position)
    return _text([_seal(position.digest, place), *place])


def read(text: str) -> CursorPosition:
    """Read what :func:`write` wrote; the position has the cursor's seal in place of the walk's digest.

    :raises ValueError: the text is no cursor.
    """
    try:
        plain = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)).decode("utf-8", "surrogatepass")
        seal, key, rank, value = json.loads(plain, parse_constant=_refuse)
        if _KINDS.get(rank) is bytes:
            value = bytes.fromhex(value)
        position = CursorPosition(key, (rank, value), seal)
    except (TypeError, RecursionError) as error:
        raise ValueError("no cursor") from error
    if type(value) is not _KINDS.get(rank) or type(key) not in (int, float, str, NoneType):
        raise ValueError("no cursor")
    if _text([seal, *_place(position)]) != text:  # another spelling of the same: made by hand
        raise ValueError("no cursor")
    return position


def belongs(position: CursorPosition, owner: Owner, question: UsageQuery) -> bool:
    """Tell whether a position that was read is a place in the walk of a question, and unchanged."""
    kinds: tuple[type, ...] = (int, float) if question.sort == COUNT else (int, NoneType)
    if question.sort == NAME:
        kinds = (str, NoneType)
    return type(position.key) in kinds and position.digest == _seal(digest(owner, question), _place(position))


def _place(position: CursorPosition) -> list[object]:
    rank, value = position.identity
    return [position.key, rank, value.hex() if isinstance(value, bytes) else value]


def _seal(walk: str, place: list[object]) -> str:
    return hashlib.sha256(json.dumps([walk, place]).encode()).hexdigest()[:16]


def _text(parts: list[object]) -> str:
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def _refuse(constant: str) -> None:
    raise ValueError(f"no cursor: {constant}")
