"""From rows to CSV, as spreadsheets open it.

RFC 4180, in UTF-8 without a byte order mark.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from .._core import values

# What makes a spreadsheet take text for a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def encode_line(cells: Iterable[object]) -> bytes:
    r"""Write one line of a table; ``None`` is an empty cell.

    .. code-block:: pycon

        >>> encode_line(["=1+1", -3, None, "a, b"])
        b'\'=1+1,-3,,"a, b"\r\n'

    :param cells: text, numbers, naive UTC datetimes and ``None``.
    """
    line = io.StringIO(newline="")
    csv.writer(line).writerow(map(_cell, cells))
    return line.getvalue().encode()


def encode_lines(columns: Iterable[str], rows: Iterable[Mapping[str, object]]) -> list[bytes]:
    """Write rows as lines, the columns in order; what else a row holds is left out, and what it lacks is empty."""
    return [encode_line([row.get(name) for name in columns]) for row in rows]


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return values.format_datetime(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value
