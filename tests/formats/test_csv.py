"""The CSV format."""

import csv
import io
import re
from datetime import UTC, datetime
from itertools import product

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from flask_usage_stats._core.output import Report
from flask_usage_stats._core.query import DEFAULT_QUERY, UsageQuery
from flask_usage_stats._core.rows import Adjustments, RowBatch
from flask_usage_stats._formats.csv import CSV

HEADER = b"_id,name,projectType,status,plan,totalRequest,createdAt,updatedAt\r\n"
ID = ObjectId("507f1f77bcf86cd799439011")
MARCH = datetime(2024, 3, 14, 10, 15)


def encode(*rows, trailing_dates=0):
    return CSV.encode_rows(RowBatch([0] * len(rows), [b""] * len(rows), rows, trailing_dates))


def test_rows_are_lines_with_all_columns():
    """Missing and null fields are empty cells, numbers are not quoted, and rows are encoded separately."""
    assert encode({"_id": ID, "name": None, "totalRequest": -5}, {"_id": 7, "totalRequest": 2.5, "plan": "\u00e9"}) == [
        b"507f1f77bcf86cd799439011,,,,,-5,,\r\n",
        "7,,,,\u00e9,2.5,,\r\n".encode(),
    ]
    assert encode() == []


def test_cells_are_quoted_as_in_rfc_4180():
    """Commas, quotes and line breaks are quoted, and quotes are doubled."""
    (line,) = encode({"name": 'a "b", c\r\nd', "totalRequest": 0})
    assert line == b',"a ""b"", c\r\nd",,,,0,,\r\n'


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
@pytest.mark.parametrize("name", ["_id", "name", "projectType", "status", "plan", "createdAt", "updatedAt"])
def test_no_column_has_a_formula(begin, name):
    """Text that a spreadsheet would read as a formula begins with an apostrophe."""
    (line,) = encode({name: f"{begin}1+1", "totalRequest": 0})
    (row,) = csv.DictReader(io.StringIO((HEADER + line).decode(), newline=""))
    assert row[name] == f"'{begin}1+1"


@pytest.mark.parametrize("separator", ["", *'\0,;|\t\n\r\x0b\x0c\x85\u2028"', "\r\n"])
@pytest.mark.parametrize("begin", ["", "x", "\0"])
def test_no_part_of_a_text_is_a_formula(begin, separator):
    """An apostrophe precedes each part of a text that a spreadsheet with another separator would read as a formula."""
    is_escaped = begin != "x" or separator not in ("", "\0")
    for blanks, start in product(["", " ", "\u00a0 \ufeff", "\x01"], "=+-@\uff1d\uff0b\uff0d\uff20\t\r"):
        (line,) = encode({"name": f"{begin}{separator}{blanks}{start}1+1", "totalRequest": 0})
        (row,) = csv.DictReader(io.StringIO((HEADER + line).decode(), newline=""))
        escaped = f"'{start}" if is_escaped else start
        expected = f"{begin}{escape_separator(begin, separator)}{blanks}{escaped}1+1"
        assert row["name"] == expected.replace("\0", "")


def escape_separator(begin, separator):
    """Return a separator as it is escaped: a tab and a carriage return begin a formula themselves."""
    return f"'{separator}" if separator[:1] in ("\t", "\r") and begin != "x" else separator


@given(st.text(st.sampled_from("=+-@\uff1d\t\r\n;,|\"' \u00a0\0a1\ufeff"), max_size=12))
def test_no_separator_yields_a_formula(text):
    """Whatever separator and quote a spreadsheet assumes, no cell begins with a formula."""
    (line,) = encode({"name": text, "totalRequest": 0})
    for separator in ",;|\t":
        for cell in re.split(f'[{re.escape(separator)}\r\n"]', line.decode()):
            assert not re.match("[ \u00a0\ufeff]*[=+\\-@\uff1d]", cell)
    assert line.replace(b"'", b"") == encode_unescaped(text).replace(b"'", b"")


def encode_unescaped(text):
    written = io.StringIO(newline="")
    csv.writer(written).writerow(["", text.replace("\0", ""), "", "", "", 0, "", ""])
    return written.getvalue().encode()


def test_harmless_text_is_unchanged():
    """Signs within a word or a sentence are no formulas."""
    names = ["api-service", "a - b", "x=1", "me@example.com", "1+1", "it's"]
    assert [line.split(b",")[1].decode() for line in encode(*({"name": name} for name in names))] == names


def test_dates_are_truncated_to_milliseconds():
    """Datetimes, alone or mixed with text, are ISO 8601 in UTC with truncated milliseconds."""
    moments = [MARCH, MARCH.replace(microsecond=999999), MARCH.replace(year=1)]
    texts = ["2024-03-14T10:15:00.000Z", "2024-03-14T10:15:00.999Z", "0001-03-14T10:15:00.000Z"]
    for dates in (moments, [*moments, "soon"]):
        lines = encode(*({"totalRequest": 0, "updatedAt": date} for date in dates), trailing_dates=1)
        assert [line.decode().split(",")[-1].strip() for line in lines[:3]] == texts


@pytest.mark.parametrize(
    "rows",
    [
        [{"name": "\ud800", "totalRequest": 0}],
        [{"totalRequest": 0, "updatedAt": MARCH.replace(tzinfo=UTC)}, {"totalRequest": 0, "updatedAt": "soon"}],
        [{"totalRequest": 0, "updatedAt": datetime.fromisoformat("2024-01-01T00:00+05:30")}],
    ],
    ids=["surrogate", "aware", "offset"],
)
def test_values_that_must_be_converted_are_refused(rows):
    """Invalid Unicode and aware datetimes raise ValueError, as the protocol requires."""
    with pytest.raises(ValueError, match=r"."):
        encode(*rows, trailing_dates=1)


def test_body_has_a_header():
    """The rows follow the names of the columns."""
    report = Report(3, 2, [b"1\r\n", b"2\r\n"], None, None, Adjustments())
    assert CSV.encode_body(report, DEFAULT_QUERY, "x") == HEADER + b"1\r\n2\r\n"


def test_columns_are_the_fields_of_the_query():
    """A field that a request asks for is a column, also if no row has it."""
    query = UsageQuery(include=("lastRequestAt",))
    (line,) = CSV.encode_rows(RowBatch([0], [b""], [{"_id": 1, "totalRequest": 5}], 0, query.fields))
    report = Report(3, 1, [line], None, None, Adjustments())
    assert CSV.encode_body(report, query, None) == HEADER[:-2] + b",lastRequestAt\r\n1,,,,,5,,,\r\n"


def test_groups_are_encoded_instead_of_rows():
    """The columns are the fields of the groups, in the order of the query."""
    groups = [{"status": "live", "plan": "=x", "projects": 1, "totalRequests": 3, "share": None}]
    report = Report(3, 2, [b"1\r\n"], groups, None, Adjustments())
    assert CSV.encode_body(report, UsageQuery(group_by=("status", "plan")), None) == (
        b"status,plan,projects,totalRequests,share\r\nlive,'=x,1,3,\r\n"
    )
