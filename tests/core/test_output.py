"""The protocol for formats."""

import inspect

import pytest

from flask_usage_stats._core.output import OutputFormat
from flask_usage_stats._formats.csv import CSV
from flask_usage_stats._formats.json import JSON


@pytest.mark.parametrize("output", [JSON, CSV], ids=["json", "csv"])
def test_formats_have_the_same_methods(output):
    """Both formats have the methods of the protocol and no others."""
    protocol = {name for name, _ in inspect.getmembers(OutputFormat, inspect.isfunction) if not name.startswith("_")}
    assert protocol == {"encode_rows", "encode_body", "encode_timeline", "encode_platform"}
    assert {name for name, _ in inspect.getmembers(output, inspect.ismethod)} == protocol
