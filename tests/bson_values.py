"""Values of every BSON type, and values that servers store but drivers do not write."""

from datetime import datetime
from struct import pack
from uuid import UUID

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, encode
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

ID = ObjectId("507f1f77bcf86cd799439011")


def nested(depth):
    return {"n": nested(depth - 1)} if depth else 1


def text(content):
    return pack("<i", len(content) + 1) + content + b"\0"


def binary(subtype, content):
    return pack("<iB", len(content), subtype) + content


#: The type and the bytes of values that servers store but drivers do not write.
ELEMENTS = {
    "text that is no UTF-8": (0x02, text(b"A\xff\xfe")),
    "text of half a surrogate pair": (0x02, text(b"\xed\xa0\x80")),
    "overlong NUL": (0x02, text(b"\xc0\x80")),
    "undefined": (0x06, b""),
    "symbol": (0x0E, text(b"symbol")),
    "symbol that is no UTF-8": (0x0E, text(b"\xff")),
    "pointer": (0x0C, text(b"plans") + bytes(12)),
    "code that is no UTF-8": (0x0D, text(b"\xff")),
    "pattern that is no UTF-8": (0x0B, b"\xff\0i\0"),
    "pattern with odd options": (0x0B, b"x\0qz\0"),
    "binary of the old kind with a wrong length": (0x05, binary(2, pack("<i", 99) + b"oops")),
    "binary of the old kind without a length": (0x05, binary(2, b"")),
    "old UUID of a wrong length": (0x05, binary(3, b"short")),
    "UUID of a wrong length": (0x05, binary(4, b"short")),
    "empty UUID": (0x05, binary(4, b"")),
    "vector without a head": (0x05, binary(9, b"")),
    "binary of a user's kind": (0x05, binary(0xFF, b"x")),
    "document with keys that are no UTF-8": (0x03, pack("<i", 9) + b"\x0a\xff\xfe\0\0"),
    "array with odd keys": (0x04, pack("<i", 8) + b"\x0ax\0\0"),
    "first date": (0x09, pack("<q", -(2**63))),
    "last date": (0x09, pack("<q", 2**63 - 1)),
    "odd double": (0x01, b"\1\0\0\0\0\0\xf8\x7f"),
    "smallest double": (0x01, b"\1\0\0\0\0\0\0\0"),
    "odd decimal": (0x13, b"\xff" * 16),
    "reference with a number for a collection": (0x03, encode({"$ref": 5, "$id": 1})),
    "reference with too much": (0x03, encode({"$ref": "x", "$id": 1, "$db": 7, "x": 1})),
}
VALUES = {
    "double": 1.5,
    "whole double": 3.0,
    "text": "text",
    "empty text": "",
    "text with NUL": "a\0b",
    "document": {"secret": 1},
    "empty document": {},
    "array": ["secret", 1],
    "binary": b"secret",
    "UUID": Binary.from_uuid(UUID(int=7)),
    "ObjectId": ID,
    "true": True,
    "false": False,
    "date": datetime(2024, 1, 2),
    "date before year 1": DatetimeMS(-62_135_596_800_001),
    "date after year 9999": DatetimeMS(253_402_300_800_000),
    "date past JavaScript's": DatetimeMS(8_640_000_000_000_001),
    "null": None,
    "pattern": Regex("x", "i"),
    "code": Code("x"),
    "code with scope": Code("x", {"secret": 1}),
    "int32": 5,
    "int64": Int64(2**63 - 1),
    "timestamp": Timestamp(5, 1),
    "decimal": Decimal128("1.5"),
    "decimal NaN": Decimal128("NaN"),
    "decimal beyond a double": Decimal128("1E+6144"),
    "infinity": float("-inf"),
    "NaN": float("nan"),
    "smallest key": MinKey(),
    "largest key": MaxKey(),
    "reference": DBRef("plans", ID, "other"),
    "deeply nested": nested(90),
    "long text": "x" * 100_000,
}
#: Values that the driver cannot decode.
DAMAGED = {
    "binary of the old kind with a wrong length",
    "binary of the old kind without a length",
    "UUID of a wrong length",
    "empty UUID",
}


def element(name, value):
    """Encode a field from a value, or from a type and its bytes."""
    if isinstance(value, tuple):
        return bytes([value[0]]) + name.encode() + b"\0" + value[1]
    return encode({name: value})[4:-1]


def document(*elements):
    content = b"".join(elements)
    return RawBSONDocument(pack("<i", len(content) + 5) + content + b"\0")
