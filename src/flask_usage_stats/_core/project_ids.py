"""Project ids: which values can be recorded, and how they are converted to the stored id."""

from typing import Final, TypeAlias
from uuid import UUID

import bson
from bson import CodecOptions, ObjectId
from bson.binary import UuidRepresentation

from .owners import OwnerType, convert_owner, is_object_id_text
from .values import fits_int64

#: The id of a project, as it is stored: a string, an integer, an ObjectId, a UUID or another hashable BSON value.
ProjectId: TypeAlias = object

_UNCHANGED_TYPES: Final = (ObjectId, UUID)
_MAX_BYTES: Final = 1024  # of UTF-8
_CODEC_OPTIONS: Final = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)  # type: ignore[var-annotated]


def is_project_id(value: object, id_type: OwnerType | None) -> bool:
    """Return whether a value can be the id of a project.

    :param id_type: the type that strings are converted to. ``None`` converts strings with 24 hexadecimal digits to
        ObjectIds, and no others.
    """
    if isinstance(value, str):
        if id_type not in (None, str):
            return convert_owner(value, id_type) is not None
        return len(value) <= _MAX_BYTES and (value.isascii() or _is_encodable(value))
    if isinstance(value, int):
        return not isinstance(value, bool) and fits_int64(value)
    if isinstance(value, _UNCHANGED_TYPES):
        return True
    try:
        hash(value)
        decoded = _convert_to_stored(value)
        hash(decoded)
    except Exception:  # noqa: BLE001 # of any class: nothing that a caller passes may raise
        return False
    return decoded is not None and decoded == decoded  # noqa: PLR0124 # NaN is not equal to itself


def convert_project_id(value: ProjectId, id_type: OwnerType | None) -> ProjectId:
    """Return the stored id for a value that :func:`is_project_id` accepts."""
    if isinstance(value, str):
        text = value.encode().decode()  # without a subclass, which BSON may not support
        if id_type is None:
            return ObjectId(text) if is_object_id_text(text) else text
        return convert_owner(text, id_type)
    if isinstance(value, int):
        return int(value)
    return value if isinstance(value, _UNCHANGED_TYPES) else _convert_to_stored(value)


def _convert_to_stored(value: object) -> object:
    """Return a value as it is read from the database, to be compared with ids that are: dates have milliseconds."""
    stored: object = bson.decode(bson.encode({"_id": value}, codec_options=_CODEC_OPTIONS), _CODEC_OPTIONS)["_id"]
    return stored


def _is_encodable(text: str) -> bool:
    try:
        return len(text.encode()) <= _MAX_BYTES
    except UnicodeEncodeError:  # a lone surrogate
        return False
