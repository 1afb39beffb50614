"""Owner ids: which values can be one, and how text becomes one of another type."""

import re
from typing import Final, TypeAlias
from uuid import UUID

from bson import ObjectId

from ..errors import InvalidOwnerError
from ..protocols import Owner
from .values import fits_int64

OwnerType: TypeAlias = type[str] | type[int] | type[ObjectId] | type[UUID]

_MAX_BYTES: Final = 1024  # of UTF-8
_OBJECT_ID: Final = re.compile(r"[0-9a-fA-F]{24}")
# One spelling for each value, apart from a UUID's hyphens and case: two strings must not be the same owner.
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")
_UUID: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def validate_owner(value: object) -> Owner | None:
    """Validate an owner id and return it as a plain value, so that no other type can reach a query.

    :param value: what an authenticate callback returned.
    :returns: the identity, or ``None`` for ``None`` and empty text: nobody is signed in.
    :raises InvalidOwnerError: the value is of another type, text over 1,024 bytes of UTF-8 or with a
        lone surrogate, or an integer beyond 64 bits.

    .. versionadded:: 0.1.0
    """
    if value is None:
        return None
    if isinstance(value, str):
        try:
            text = value.encode()
        except UnicodeEncodeError:
            raise InvalidOwnerError("authenticate returned text with a lone surrogate") from None
        if len(text) > _MAX_BYTES:
            raise InvalidOwnerError(f"authenticate returned text of more than {_MAX_BYTES} bytes")
        return text.decode() or None
    if isinstance(value, int) and not isinstance(value, bool):
        if not fits_int64(value):
            raise InvalidOwnerError("authenticate returned an integer beyond 64 bits")
        return int(value)
    if isinstance(value, ObjectId):
        return ObjectId(value)
    if isinstance(value, UUID):
        return UUID(int=value.int)
    raise InvalidOwnerError(
        f"authenticate must return a str, an int, an ObjectId, a UUID or None, not {type(value).__name__}"
    )


def convert_owner(owner: str, owner_type: OwnerType) -> Owner | None:
    """Read text as an identity of a type; ``None`` where it is not one, or not in its one spelling."""
    if owner_type is str:
        return owner
    if owner_type is ObjectId:
        return ObjectId(owner) if is_object_id_text(owner) else None
    if owner_type is UUID:
        return UUID(owner) if _UUID.fullmatch(owner.lower()) else None
    return int(owner) if _INTEGER.fullmatch(owner) and fits_int64(int(owner)) else None


def is_object_id_text(text: str) -> bool:
    """Return whether *text* is an ObjectId in hexadecimal."""
    return _OBJECT_ID.fullmatch(text) is not None
