"""Project ids: which values can be recorded, and how they are converted."""

from datetime import datetime, timedelta, timezone
from enum import StrEnum
from uuid import UUID

import pytest
from bson import Binary, DBRef, Decimal128, Int64, ObjectId

from flask_usage_stats._core.project_ids import convert_project_id, is_project_id

HEX = "507f1f77bcf86cd799439011"
ID = UUID("8f14e45f-ceea-467f-9b2d-2f1a0c1f4a11")


class Name(StrEnum):
    BLOG = "blog"


@pytest.mark.parametrize(
    ("value", "id_type", "stored"),
    [
        ("blog", None, "blog"),
        ("", None, ""),
        (HEX, None, ObjectId(HEX)),
        (HEX.upper(), None, ObjectId(HEX)),
        (HEX, str, HEX),
        ("7", None, "7"),
        ("7", int, 7),
        (str(ID), None, str(ID)),
        (str(ID), UUID, ID),
        (HEX, ObjectId, ObjectId(HEX)),
        (7, None, 7),
        (7, str, 7),
        (-(2**63), None, -(2**63)),
        (Int64(7), None, 7),
        (ObjectId(HEX), str, ObjectId(HEX)),
        (ID, None, ID),
        ("é" * 512, None, "é" * 512),
        ("x" * 1024, None, "x" * 1024),
        (Name.BLOG, None, "blog"),
        (1.5, None, 1.5),
        (datetime(2024, 1, 1, 0, 0, 0, 1999), None, datetime(2024, 1, 1, 0, 0, 0, 1000)),
        (datetime(2024, 1, 1, 5, tzinfo=timezone(timedelta(hours=5))), None, datetime(2024, 1, 1)),
        (b"x", None, b"x"),
        (Binary.from_uuid(ID), None, ID),
        (DBRef("blogs", ID), None, DBRef("blogs", ID)),
    ],
)
def test_ids_are_converted_to_the_stored_type(value, id_type, stored):
    """Strings are converted to the type of the stored ids, and other values are unchanged."""
    assert is_project_id(value, id_type)
    converted = convert_project_id(value, id_type)
    assert converted == stored
    assert type(converted) in (type(stored), int)


class Broken:
    def __hash__(self):
        raise RuntimeError


class Unhashable(float):
    __hash__ = None


@pytest.mark.parametrize(
    ("value", "id_type"),
    [
        (None, None),
        (True, None),
        ([], None),
        (Decimal128("1"), None),
        ({}, None),
        (object(), None),
        ((1, 2), None),
        (Broken(), None),
        (Unhashable(1), None),
        (float("nan"), None),
        (2**63, None),
        ("\ud800", None),
        ("x" * 1025, None),
        ("é" * 513, None),
        ("07", int),
        ("x", int),
        ("x", UUID),
        ("x" * 24, ObjectId),
    ],
)
def test_other_values_are_refused(value, id_type):
    """Values that cannot be an ``_id``, or cannot be counted or converted, are refused without an error."""
    assert not is_project_id(value, id_type)
