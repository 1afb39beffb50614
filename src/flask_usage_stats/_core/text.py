"""Text for error messages, log lines and terminals."""

import json
import re
from typing import Final

#: Control characters, line and paragraph separators, and characters that change the direction of text.
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_NOT_PRINTABLE_ASCII: Final = re.compile("[^ -~]")


def short_repr(value: object, limit: int = 80) -> str:
    """Return a value's ``repr`` with non-printable characters escaped, truncated to *limit* characters."""
    # The `repr` of a value of another library, such as an id of a custom store, can contain any character.
    text = escape(repr(value), limit + 1)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def escape(text: str, limit: int = 500, encoding: str = "utf-8") -> str:
    """Truncate text to *limit* characters, then escape non-printable ones, so that it fits on one line.

    Escapes make the result longer than *limit*.

    :param encoding: the encoding of the output; characters that it does not support are escaped as well.
    """
    printable = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:limit])
    return printable.encode(encoding, "backslashreplace").decode(encoding)


def escape_json(body: str, encoding: str) -> str:
    """Escape the characters of a JSON body that could control a terminal. The result is the same JSON value.

    :param body: JSON without line breaks.
    :param encoding: the terminal's encoding; unless it is a Unicode encoding, all other than ASCII is escaped.
    """
    return _find_unsafe(encoding).sub(lambda match: json.dumps(match[0])[1:-1], body)


def escape_csv(body: str, encoding: str) -> str:
    r"""Escape the characters of a CSV body that could control a terminal, such as ``\x9b``, except for line ends.

    :param body: CSV with CRLF, in which every cell that contains a line break is quoted.
    :param encoding: as for :func:`escape_json`.
    """
    pattern = _find_unsafe(encoding)
    parts = []
    for index, part in enumerate(body.split('"')):
        is_quoted = index % 2 == 1
        lines = [part] if is_quoted else part.split("\r\n")
        parts.append("\r\n".join(pattern.sub(lambda match: ascii(match[0])[1:-1], line) for line in lines))
    return '"'.join(parts)


def _find_unsafe(encoding: str) -> re.Pattern[str]:
    return _CONTROLS if encoding.lower().startswith("utf") else _NOT_PRINTABLE_ASCII
