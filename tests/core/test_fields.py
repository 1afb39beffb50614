"""The table of field names."""

from support import SAMPLE_ROWS

from flask_usage_stats._core.fields import ALL_FIELDS, CREATED_AT, FIELDS, GROUP_FIELDS, OWNER, SORT_FIELDS

NAMES = [field.name for field in FIELDS]


def test_fields_are_those_of_the_sample_in_its_order():
    """`createdAt` is the only field that is listed with the published sample but is not in it."""
    assert [name for name in NAMES if name != CREATED_AT] == list(SAMPLE_ROWS[0])


def test_fields_to_ask_for_follow_the_others():
    """A field that a request asks for is added at the end."""
    assert [field.name for field in ALL_FIELDS] == [*NAMES, "lastRequestAt"]


def test_rows_are_grouped_and_sorted_by_returned_fields():
    """Rows can be grouped and sorted only by fields that are returned; the owner never is."""
    assert {*GROUP_FIELDS, *SORT_FIELDS} < {*NAMES, "lastRequestAt"}
    assert OWNER not in NAMES
