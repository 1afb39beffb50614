"""The tables of arguments in the documentation match the package."""

import inspect

import pytest
from support import ROOT

from flask_usage_stats import ProjectStore, UsageRecorder, create_usage_blueprint


@pytest.mark.parametrize(
    ("function", "page"),
    [(create_usage_blueprint, "quickstart"), (ProjectStore, "storage"), (UsageRecorder, "counting")],
)
def test_arguments(function, page):
    """The table lists every argument with its default."""
    table = (ROOT / "docs" / f"{page}.md").read_text()
    for parameter in inspect.signature(function).parameters.values():
        default = "" if parameter.default is parameter.empty else f"`{parameter.default!r}`".replace("'", '"')
        assert " ".join(f"| `{parameter.name}` | {default} |".split()) in table
