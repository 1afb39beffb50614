"""Cursors: encoded positions that are valid only for the query that they were created for."""

import json
import re
from base64 import urlsafe_b64encode
from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_usage_stats._core.cursors import _compute_checksum, decode_cursor, encode_cursor
from flask_usage_stats._core.query import CursorPosition, UsageQuery

QUERY = UsageQuery(limit=2)
POSITION = CursorPosition(5, b"\1\7")
NOT_A_CURSOR = "^not a cursor( of this query)?$"


def forge(content, query=QUERY, owner="ada"):
    """Encode any content with a valid checksum."""
    return urlsafe_b64encode(_compute_checksum(content, owner, query) + content).decode().rstrip("=")


@pytest.mark.parametrize("sort_key", [5, -5, 0.5, 2**100, 0])
@pytest.mark.parametrize("id_key", [b"", b"\0", b"\n\n", b"\3" + b"x" * 12, "\2é".encode()])
def test_positions_survive_encoding(sort_key, id_key):
    """Decoding a cursor returns the encoded position."""
    position = CursorPosition(sort_key, id_key)
    assert decode_cursor(encode_cursor(position, "ada", QUERY), "ada", QUERY) == position


def test_cursors_need_no_escapes_in_a_url():
    """A cursor has no padding, and no other character is dropped with it."""
    for number in range(768):
        position = CursorPosition(5, bytes([number % 256]) * (number % 3 + 1))
        text = encode_cursor(position, "ada", QUERY)
        assert re.fullmatch("[A-Za-z0-9_-]+", text)
        assert decode_cursor(text, "ada", QUERY) == position


def test_positions_among_tied_rows_survive_encoding():
    """The key of the content and the number of returned rows are part of a cursor if they are needed."""
    position = CursorPosition(5, b"\0", b"\1" * 16, 3)
    assert decode_cursor(encode_cursor(position, "ada", QUERY), "ada", QUERY) == position


@pytest.mark.parametrize(
    "head",
    [
        "[5]",
        '[5,"00"]',
        '[5,"0",1]',
        '[5,"",1]',
        "[5,7,1]",
        '[5,"00",null]',
        '[5,"00",1.5]',
        '[[],"00",1]',
        "[[]]",
        '[5,"aa",1e999]',
        '[5,"aa",NaN]',
        '[5,"aa",true]',
    ],
)
def test_forged_positions_are_refused(head):
    """A position that is never encoded is refused, even with a valid checksum."""
    with pytest.raises(ValueError, match=NOT_A_CURSOR):
        decode_cursor(forge(head.encode() + b"\n\0"), "ada", QUERY)


@pytest.mark.parametrize("sort", ["totalRequest", "name", "updatedAt"])
@pytest.mark.parametrize("sort_key", ["x", "é\ud800\n", None, True, 0.5, 7, [], {}])
def test_sort_keys_must_have_the_type_of_the_sort(sort, sort_key):
    """A key of another type is refused, even with a valid checksum."""
    types = {"totalRequest": (int, float), "name": (str, type(None)), "updatedAt": (int, type(None))}
    query = UsageQuery(sort=sort, limit=2)
    text = encode_cursor(CursorPosition(sort_key, b"\0"), "ada", query)
    if type(sort_key) in types[sort]:
        assert decode_cursor(text, "ada", query).sort_key == sort_key
    else:
        with pytest.raises(ValueError, match=NOT_A_CURSOR):
            decode_cursor(text, "ada", query)


def test_every_character_counts():
    """A cursor is rejected if any character is changed."""
    text = encode_cursor(CursorPosition(12345, b"\3" + b"x" * 12), "ada", QUERY)
    for index in range(len(text)):
        changed = text[:index] + ("A" if text[index] != "A" else "B") + text[index + 1 :]
        with pytest.raises(ValueError, match=NOT_A_CURSOR):
            decode_cursor(changed, "ada", QUERY)


def test_page_size_format_and_groups_may_change_between_pages():
    """Page size, format and groups affect neither the rows nor their order."""
    text = encode_cursor(POSITION, "ada", QUERY)
    assert decode_cursor(text, "ada", UsageQuery(limit=500, format="csv", group_by=("plan",))) == POSITION


@pytest.mark.parametrize(
    ("owner", "other"),
    [
        ("bob", QUERY),
        (5, UsageQuery()),
        ("ada", UsageQuery(sort="lastRequestAt")),
        ("ada", UsageQuery(filters={"status": frozenset({"live"})})),
    ],
)
def test_cursors_of_other_queries_are_refused(owner, other):
    """A cursor is valid only for the same owner, filters and order."""
    with pytest.raises(ValueError, match=NOT_A_CURSOR):
        decode_cursor(encode_cursor(POSITION, "ada", QUERY), owner, other)


def test_every_attribute_is_checked_or_not_part_of_the_query():
    """A cursor checks each attribute but those that affect neither the rows nor their order, or follow from others."""
    values = {
        "filters": {"plan": frozenset({"live"})},
        "without": ("plan",),
        "search": "a",
        "min_requests": 0,
        "max_requests": 9,
        "idle_days": 9,
        "sort": "name",
        "descending": False,
        "include": ("lastRequestAt",),
    }
    unchecked = {"limit", "group_by", "format", "position", "idle_since"}
    assert {attribute.name for attribute in fields(UsageQuery)} == values.keys() | unchecked
    text = encode_cursor(POSITION, "ada", QUERY)
    for name, value in values.items():
        with pytest.raises(ValueError, match="not a cursor"):
            decode_cursor(text, "ada", replace(QUERY, **{name: value}))


def test_owners_of_different_types_are_different():
    """The owners 7 and "7" are two, although they are written alike."""
    with pytest.raises(ValueError, match=NOT_A_CURSOR):
        decode_cursor(encode_cursor(POSITION, "7", QUERY), 7, QUERY)


def test_text_in_cursors_is_not_escaped():
    """A name that is not ASCII takes no more bytes than in UTF-8."""
    query = UsageQuery(sort="name", limit=2)
    assert len(encode_cursor(CursorPosition("\u00e9" * 100, b"\0"), "ada", query)) < 300


def test_cursors_of_the_idle_projects():
    """A cursor belongs to the number of days, whatever the current time is; in this order, `include` changes nothing."""
    query = UsageQuery(idle_days=9, sort="lastRequestAt", limit=2)
    text = encode_cursor(POSITION, "ada", query)
    same = replace(query, idle_since=datetime(2026, 1, 1, tzinfo=UTC), include=("lastRequestAt",))
    assert decode_cursor(text, "ada", same) == POSITION
    with pytest.raises(ValueError, match=NOT_A_CURSOR):
        decode_cursor(text, "ada", replace(query, idle_days=8))


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"5", b"\n\1\7", b"null\n\1\7", b"5 \n\1\7", b"05\n\1\7", b"5.00\n\1\7", b"NaN\n\1", b"Infinity\n\1"),
        *(b"1e999\n\1", b"1" * 5000 + b"\n\1", b"[" * 100_000 + b"\n\1", b"\xff\n\1", json.dumps("x").encode()),
    ],
    ids=lambda content: repr(content[:12]),
)
def test_content_that_was_never_encoded_is_refused(content):
    """Content that does not describe a position is rejected, even with a valid checksum."""
    with pytest.raises(ValueError, match=NOT_A_CURSOR):
        decode_cursor(forge(content), "ada", QUERY)


@given(st.text(max_size=60))
def test_no_text_is_a_failure(text):
    """Any text is either decoded or raises ValueError."""
    with pytest.raises(ValueError, match=NOT_A_CURSOR):
        decode_cursor(text, "ada", QUERY)
