"""Owner ids: validation and conversion."""

from enum import IntEnum, StrEnum
from uuid import UUID

import pytest
from bson import Int64, ObjectId
from werkzeug.local import LocalProxy

from flask_usage_stats import InvalidOwnerError
from flask_usage_stats._core.owners import convert_owner, is_object_id_text, validate_owner

ID = ObjectId("507f1f77bcf86cd799439011")


class Name(StrEnum):
    ADA = "ada"


class Number(IntEnum):
    SEVEN = 7


@pytest.mark.parametrize(
    ("value", "owner"),
    [
        (None, None),
        ("", None),
        ("ada", "ada"),
        (Name.ADA, "ada"),
        pytest.param("x" * 1024, "x" * 1024, id="long"),
        pytest.param(LocalProxy(lambda: "ada"), "ada", id="proxy-str"),
        (7, 7),
        (Int64(7), 7),
        (Number.SEVEN, 7),
        (0, 0),
        (ID, ID),
        (UUID(int=7), UUID(int=7)),
        pytest.param(LocalProxy(lambda: ID), ID, id="proxy-objectid"),
        pytest.param(LocalProxy(lambda: UUID(int=7)), UUID(int=7), id="proxy-uuid"),
    ],
)
def test_owner_ids_become_plain_values(value, owner):
    """An owner id of a subclass or proxy becomes a value of the plain type."""
    assert validate_owner(value) == owner
    assert type(validate_owner(value)) is type(owner)


@pytest.mark.parametrize(
    "value", [True, 1.0, b"ada", [], {}, {"$gt": ""}, object, pytest.param(LocalProxy(lambda: None), id="proxy-none")]
)
def test_other_types_are_refused(value):
    """A value of any other type raises an error that names the valid types."""
    message = f"authenticate must return a str, an int, an ObjectId, a UUID or None, not {type(value).__name__}"
    with pytest.raises(InvalidOwnerError, match=f"^{message}$"):
        validate_owner(value)


def test_coroutines_are_refused():
    """The coroutine of an asynchronous function is closed, so that Python does not warn about it as well."""

    async def authenticate():
        """Return a coroutine when called."""

    coroutine = authenticate()
    with pytest.raises(InvalidOwnerError, match=r"not coroutine$"):
        validate_owner(coroutine)
    assert coroutine.cr_frame is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("\ud800", "text with a lone surrogate"),
        ("é" * 513, "text of more than 1024 bytes"),
        (2**63, "an integer beyond 64 bits"),
        (-(2**63) - 1, "an integer beyond 64 bits"),
    ],
    ids=["surrogate", "long", "large", "small"],
)
def test_values_that_bson_cannot_hold_are_refused(value, message):
    """Strings and integers that cannot be sent to the database raise an error."""
    with pytest.raises(InvalidOwnerError, match=f"^authenticate returned {message}$"):
        validate_owner(value)


@pytest.mark.parametrize(
    ("text", "owner_type", "owner"),
    [
        ("7", str, "7"),
        ("7", int, 7),
        ("-7", int, -7),
        ("07", int, None),
        ("9" * 19, int, None),
        (str(ID), ObjectId, ID),
        ("x" * 24, ObjectId, None),
        ("00000000000000000000000000000007", UUID, UUID(int=7)),
        ("{00000000-0000-0000-0000-000000000007}", UUID, None),
    ],
)
def test_only_canonical_text_is_converted(text, owner_type, owner):
    """Text in any other format is not an owner id, so that two texts are never the same owner."""
    assert convert_owner(text, owner_type) == owner


@pytest.mark.parametrize(("text", "result"), [(str(ID), True), ("F" * 24, True), ("f" * 23, False), ("g" * 24, False)])
def test_object_ids_have_24_hexadecimal_digits(text, result):
    """The digits may be upper or lower case."""
    assert is_object_id_text(text) is result
