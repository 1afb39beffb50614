"""From rows to JSON bytes."""

import json
import math
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_usage_stats._formats.json import encode

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**80), 2**80),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.dictionaries(st.sampled_from("xyz"), scalars))))
def test_same_as_json(body):
    """What is written reads back as it was, with integers of every size."""
    assert json.loads(encode(body)) == body


@pytest.mark.parametrize("beside", [1, 2**70])
def test_dates(beside):
    """A date is ISO 8601 in UTC with milliseconds, cut and not rounded, also beside a large integer."""
    body = {"at": datetime(2024, 3, 14, 10, 15, 0, 999999), "beside": beside}
    assert encode(body) == b'{"at":"2024-03-14T10:15:00.999Z","beside":%d}' % beside


def test_beside_a_large_integer():
    """A large integer changes nothing in how its neighbours are written."""
    assert encode({"x": "é", "y": 2**70}) == '{"x":"é","y":1180591620717411303424}'.encode()
    with pytest.raises(ValueError, match="JSON compliant"):
        encode({"x": math.nan, "y": 2**70})


@pytest.mark.parametrize("beside", [1, 2**70])
def test_unknown(beside):
    """A value that has no form in the contract is an error, never something made up."""
    with pytest.raises(TypeError):
        encode({"x": object(), "beside": beside})
