"""Expressions for the labels, the owners and the ids of projects."""

from collections.abc import Mapping
from typing import Final

from bson import Decimal128, Int64
from bson.raw_bson import RawBSONDocument

from .._core.values import MAX_OWNER_BYTES, to_owner_id
from .count_expressions import Expression, build_switch, is_between, is_whole
from .decodable import build_uuid_condition
from .mapping import Document

_STRINGS: Final = ["string", "symbol"]
_INTEGERS: Final = ["int", "long"]
_NUMBERS: Final = [*_INTEGERS, "double", "decimal"]
# Types whose equal values have equal texts.
_LABEL_TYPES: Final = [*_STRINGS, *_INTEGERS, "double", "bool", "objectId", "date"]
_NOTHING: Final = ["missing", "null", "undefined"]
_MAX_INTEGER: Final = Int64(2**63 - 1)
_MIN_INTEGER: Final = Int64(-(2**63))
_MAX_SAFE_INTEGER: Final = Int64(2**53 - 1)


def build_label(path: str, uuid_subtype: int) -> Expression:
    """Return the expression for a value that has a text, or null for any other value.

    A decimal is ``{"d": text}``, since 1.0 and 1.00 are equal.
    """
    value, value_type = f"${path}", {"$type": f"${path}"}
    return build_switch(
        [
            ({"$in": [value_type, _LABEL_TYPES]}, value),
            ({"$eq": [value_type, "decimal"]}, {"d": {"$toString": value}}),
            ({"$and": [{"$eq": [value_type, "binData"]}, build_uuid_condition(value, uuid_subtype)]}, value),
        ],
        default=None,
    )


def read_label(label: object) -> object:
    """Return the stored value for a label that the server returned."""
    return Decimal128(label["d"]) if isinstance(label, Mapping) else label


def write_label(value: object) -> Document | RawBSONDocument:
    """Return a document ``{"v": label}`` with the label of a stored value, to be compared with those of the server."""
    if isinstance(value, Decimal128):
        return {"v": {"d": str(value)}}
    if isinstance(value, str) and not value.isprintable():
        return _write_text(value)
    return {"v": value}


def build_owners(path: str, uuid_subtype: int) -> Expression:
    """Return the expression for the owners of a project: a key for a single one, or an array of different keys.

    Owners with the same key are returned in the same form. The key is null, or the array empty, for no owner.
    """
    value = f"${path}"
    keys = {"$map": {"input": _list_values(path), "as": "each", "in": _build_owner_key("$$each", uuid_subtype)}}
    return build_switch(
        [
            ({"$eq": [{"$type": value}, "objectId"]}, {"$toString": value}),  # by far the most
            ({"$isArray": [value]}, {"$setDifference": [{"$setUnion": [keys, []]}, [None]]}),
        ],
        default=_build_owner_key(value, uuid_subtype),
    )


def build_stored_owners(path: str, uuid_subtype: int) -> Expression:
    """Return the expression for the owner of a project as stored, or for the array of its owners."""
    each = {"$cond": [_may_be_owner("$$each", uuid_subtype), "$$each", None]}
    several = {"$map": {"input": _list_values(path), "as": "each", "in": each}}
    one = {"$cond": [_may_be_owner(f"${path}", uuid_subtype), f"${path}", None]}
    return {"$cond": [{"$isArray": [f"${path}"]}, several, one]}


def read_owner(key: object) -> str | int | None:
    """Return an owner as it is returned, for a key that the server returned."""
    return to_owner_id(key["v"] if isinstance(key, Mapping) else key)


def build_id_rank(path: str) -> Expression:
    """Return the expression for the rank of an id's type, as in ``get_id_sort_key``."""
    value_type = {"$type": f"${path}"}
    return build_switch(
        [
            ({"$eq": [value_type, "objectId"]}, 3),
            ({"$in": [value_type, _STRINGS]}, 2),
            ({"$in": [value_type, _INTEGERS]}, 1),
            ({"$in": [value_type, _NOTHING]}, 0),
        ],
        default=4,
    )


def _list_values(path: str) -> Expression:
    """Return the expression for the values that a filter compares at a path, with arrays at it and on the way to it."""
    first, *others = path.split(".")
    values: Expression = _to_array(f"${first}")
    for name in others:
        found = {"$cond": [{"$eq": [{"$type": "$$this"}, "object"]}, _to_array(f"$$this.{name}"), []]}
        values = {"$reduce": {"input": values, "initialValue": [], "in": {"$concatArrays": ["$$value", found]}}}
    return values


def _to_array(value: str) -> Expression:
    return {"$cond": [{"$isArray": [value]}, value, [value]]}


def _may_be_owner(value: str, uuid_subtype: int) -> Expression:
    """Return the condition that a value is not of a type that no owner id has, and that may not be decodable."""
    is_uuid = build_uuid_condition(value, uuid_subtype)
    return {
        "$and": [
            {"$not": [{"$in": [{"$type": value}, ["object", "array", "javascript", "javascriptWithScope"]]}]},
            {"$or": [{"$ne": [{"$type": value}, "binData"]}, is_uuid]},
        ]
    }


def _build_owner_key(value: str, uuid_subtype: int) -> Expression:
    value_type = {"$type": value}
    is_text = {"$and": [{"$ne": [value, ""]}, {"$lte": [{"$strLenBytes": value}, MAX_OWNER_BYTES]}]}
    # An owner id that is an integer matches equal numbers of all types.
    is_integer = {"$and": [{"$in": [value_type, _NUMBERS]}, is_between(value, _MIN_INTEGER, _MAX_INTEGER)]}
    integer = {"$toLong": value}
    is_safe = is_between(value, -_MAX_SAFE_INTEGER, _MAX_SAFE_INTEGER)
    return build_switch(
        [
            ({"$in": [value_type, _NOTHING]}, None),
            ({"$eq": [value_type, "objectId"]}, {"$toString": value}),
            ({"$eq": [value_type, "string"]}, {"$cond": [is_text, value, None]}),
            (
                {"$cond": [is_integer, is_whole(value), False]},
                {"$cond": [is_safe, integer, {"$toString": integer}]},
            ),
            ({"$eq": [value_type, "decimal"]}, {"v": value, "t": {"$toString": value}}),
            (_may_be_owner(value, uuid_subtype), {"v": value, "t": value_type}),
        ],
        default=None,
    )


def _write_text(text: str) -> RawBSONDocument:
    """Return ``{"v": text}`` with invalid UTF-8 as it was stored, which the driver does not encode."""
    content = text.encode("utf-8", "surrogateescape") + b"\0"
    element = b"\x02v\0" + len(content).to_bytes(4, "little") + content + b"\0"
    return RawBSONDocument((len(element) + 4).to_bytes(4, "little") + element)
