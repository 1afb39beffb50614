"""Expressions with which the server replaces values that the driver may not be able to decode."""

from typing import Any, Final

from bson import Code
from bson.binary import OLD_UUID_SUBTYPE, UUID_SUBTYPE, Binary, UuidRepresentation
from bson.codec_options import CodecOptions

from .._core.fields import ID
from .mapping import Document

_UUID_LENGTH: Final = 16  # bytes


def build_decodable_projection(projection: Document, id_path: str, options: CodecOptions[Any]) -> Document:
    """Build a projection with which the server replaces all values (except ``_id``) that may not be decodable."""
    uuid_subtype, ids = get_uuid_subtype(options), (ID, id_path)
    return {path: 1 if path in ids else build_decodable_value(f"${path}", uuid_subtype) for path in projection}


def get_uuid_subtype(options: CodecOptions[Any]) -> int:
    """Return the subtype of the binary data that the driver decodes to UUIDs."""
    return UUID_SUBTYPE if options.uuid_representation == UuidRepresentation.STANDARD else OLD_UUID_SUBTYPE


def build_uuid_condition(value: str, uuid_subtype: int) -> Document:
    """Build the condition that binary data is a UUID."""
    # BSON compares binary values by length, then by subtype, then by content.
    first_uuid, last_uuid = (Binary(bytes([byte]) * _UUID_LENGTH, uuid_subtype) for byte in (0x00, 0xFF))
    return {"$and": [{"$gte": [value, first_uuid]}, {"$lte": [value, last_uuid]}]}


def build_decodable_value(value: str, uuid_subtype: int) -> Document:
    """Build an expression that replaces arrays, objects, code with scope and binary data except UUIDs by empty values.

    :param value: the expression for the stored value, such as ``"$name"``.
    :param uuid_subtype: the subtype of the UUIDs to leave unchanged.
    """
    value_type = {"$type": value}
    is_uuid = build_uuid_condition(value, uuid_subtype)
    replacements: list[tuple[Document, Any]] = [
        ({"$eq": [value_type, "array"]}, []),
        ({"$eq": [value_type, "object"]}, {}),
        ({"$eq": [value_type, "javascriptWithScope"]}, Code("")),
        ({"$and": [{"$eq": [value_type, "binData"]}, {"$not": is_uuid}]}, Binary(b"")),
    ]
    branches = [{"case": condition, "then": {"$literal": empty}} for condition, empty in replacements]
    return {"$switch": {"branches": branches, "default": value}}
