"""Owner ids: which values are valid, and how text is converted to other types."""

import re
from typing import Final, TypeAlias
from uuid import UUID

from bson import ObjectId

from ..errors import InvalidOwnerError
from ..protocols import Owner
from .callables import close_coroutine
from .values import MAX_OWNER_BYTES, fits_int64

OwnerType: TypeAlias = type[str] | type[int] | type[ObjectId] | type[UUID]

_OBJECT_ID: Final = re.compile(r"[0-9a-fA-F]{24}")
# Integers have one spelling only: "07" must not match the owner 7.
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")
_UUID: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def validate_owner(value: object) -> Owner | None:
    """Validate an owner id and return it as a plain str, int, ObjectId or UUID.

    Subclasses become their plain type, so that no other type can reach a database query.

    :param value: the return value of an authenticate callback.
    :returns: the owner id, or ``None`` if no user is signed in (``None`` or empty text).
    :raises InvalidOwnerError: the value has another type, or is text of more than 1,024 bytes of UTF-8,
        text with a lone surrogate, or an integer beyond 64 bits.
    """
    if value is None:
        return None
    if isinstance(value, str):
        try:
            encoded = value.encode()
        except UnicodeEncodeError:
            raise InvalidOwnerError("authenticate returned text with a lone surrogate") from None
        if len(encoded) > MAX_OWNER_BYTES:
            raise InvalidOwnerError(f"authenticate returned text of more than {MAX_OWNER_BYTES} bytes")
        return encoded.decode() or None
    if isinstance(value, int) and not isinstance(value, bool):
        if not fits_int64(value):
            raise InvalidOwnerError("authenticate returned an integer beyond 64 bits")
        return int(value)
    if isinstance(value, ObjectId):
        return ObjectId(value)
    if isinstance(value, UUID):
        return UUID(int=value.int)
    close_coroutine(value)
    raise InvalidOwnerError(
        f"authenticate must return a str, an int, an ObjectId, a UUID or None, not {type(value).__name__}"
    )


def convert_owner(text: str, owner_type: OwnerType) -> Owner | None:
    """Convert text to an owner id of another type, or return None if it does not represent such an id.

    ObjectIds and UUIDs may be in upper or lower case, and UUIDs without hyphens; integers must be in canonical form.
    """
    if owner_type is str:
        return text
    if owner_type is ObjectId:
        return ObjectId(text) if is_object_id_text(text) else None
    if owner_type is UUID:
        return UUID(text) if _UUID.fullmatch(text.lower()) else None
    return int(text) if _INTEGER.fullmatch(text) and fits_int64(int(text)) else None


def is_object_id_text(text: str) -> bool:
    """Return whether text represents an ObjectId: 24 hexadecimal digits."""
    return _OBJECT_ID.fullmatch(text) is not None
