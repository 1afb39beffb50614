"""Read what the driver cannot: documents with a value that its decoder refuses, field by field.

A server keeps such values without complaint (binary data of the old subtype 2 with a wrong
inner length), and one of them fails the driver's whole reply. A value may be damaged, the structure
around it may not: no server keeps such a document, so the network has spoilt the reply.
The layout of an element is that of https://bsonspec.org/spec.html.
"""

from collections.abc import Iterator
from struct import pack
from typing import Any, Final

from bson import decode
from bson.codec_options import CodecOptions
from bson.errors import BSONError, InvalidBSON

_FIXED: Final = {  # the size of a value of each type
    0x01: 8,
    0x06: 0,
    0x07: 12,
    0x08: 1,
    0x09: 8,
    0x0A: 0,
    0x10: 4,
    0x11: 8,
    0x12: 8,
    0x13: 16,
    0x7F: 0,
    0xFF: 0,
}
_COUNTED: Final = {  # what a type adds to the length that its value begins with
    0x02: 4,
    0x03: 0,
    0x04: 0,
    0x05: 5,
    0x0C: 16,
    0x0D: 4,
    0x0E: 4,
    0x0F: 0,
}
_TEXT: Final = (0x02, 0x0D, 0x0E)
_PATTERN: Final = 0x0B
_SMALLEST: Final = 5  # bytes of a document: its length and its end


class Unreadable:
    """Stands for a value that cannot be decoded."""


def documents(batch: bytes, options: CodecOptions[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Decode documents that stand one behind the other.

    :raises BSONError: the batch is damaged beyond single values.
    """
    while batch:
        size = _length(batch, 0)
        document, batch = batch[:size], batch[size:]
        try:
            yield decode(document, options)
        except BSONError:
            yield dict(_fields(document, options))


def _fields(document: bytes, options: CodecOptions[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    last = len(document) - 1
    if last < _SMALLEST - 1 or last != _length(document, 0) - 1 or document[last]:
        raise InvalidBSON("a document does not end where it says")
    position = 4
    while position < last:
        value = _behind_nul(document, position)
        end = value + _size(document, document[position], value)
        if not value <= end <= last or (document[position] in _TEXT and document[end - 1]):
            raise InvalidBSON("a value does not end where it says")
        try:
            single = pack("<i", end - position + 5) + document[position:end] + b"\0"
            yield from decode(single, options).items()
        except BSONError:
            yield document[position + 1 : value - 1].decode("utf-8", "replace"), Unreadable()
        position = end


def _size(document: bytes, kind: int, value: int) -> int:
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _COUNTED:
        return _COUNTED[kind] + _length(document, value)
    if kind == _PATTERN:  # two texts
        return _behind_nul(document, _behind_nul(document, value)) - value
    raise InvalidBSON("a value is of no known type")


def _length(content: bytes, place: int) -> int:
    return int.from_bytes(content[place : place + 4], "little")


def _behind_nul(content: bytes, place: int) -> int:
    found = content.find(b"\0", place)
    if found < 0:
        raise InvalidBSON("a name does not end")
    return found + 1
