"""Pages' cursors as text.

A cursor grants nothing, so it is not signed: every page is read with its caller's own identity.
Its digest only keeps it to the walk that it came from.
"""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

from .protocols import Owner
from .question import Position, Question

_KINDS = {0: int, 1: int, 2: str, 3: bytes, 4: str}  # of the value in an IdKey, by its rank


def digest(owner: Owner, question: Question) -> str:
    """Tell walks apart: by their owner, filters and order, but not by the length of their pages."""
    asked = [
        [type(owner).__name__, str(owner)],
        sorted((name, sorted(texts)) for name, texts in question.filters.items()),
        [question.minimum, question.maximum, question.sort, question.descending],
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def write(position: Position) -> str:
    """Write a position as text that needs no escaping in a URL."""
    rank, value = position.identity
    plain = value.hex() if isinstance(value, bytes) else value
    text = json.dumps([position.digest, position.key, rank, plain], ensure_ascii=False, separators=(",", ":"))
    return urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def read(text: str) -> Position:
    """Read what :func:`write` wrote.

    :raises ValueError: the text is no cursor.
    """
    try:
        plain = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)).decode("utf-8", "surrogatepass")
        walk, key, rank, value = json.loads(plain, parse_constant=_refuse)
        if _KINDS.get(rank) is bytes:
            value = bytes.fromhex(value)
        position = Position(key, (rank, value), walk)
    except (TypeError, RecursionError) as error:
        raise ValueError("no cursor") from error
    if type(value) is not _KINDS.get(rank) or type(key) not in (int, float, str, type(None)):
        raise ValueError("no cursor")
    if write(position) != text:  # another spelling of the same position: made by hand
        raise ValueError("no cursor")
    return position


def _refuse(constant: str) -> None:
    raise ValueError(f"no cursor: {constant}")
