"""The public names are complete, sorted and documented."""

import inspect
import re
from importlib import import_module

import pytest
from support import ROOT

import flask_usage_stats
from flask_usage_stats import errors

PUBLIC_MODULES = ["jwt", "openapi", "schemas", "testing"]


def test_names_of_the_root():
    """``__all__`` of the root is sorted and complete."""
    assert flask_usage_stats.__all__ == sorted(flask_usage_stats.__all__)
    modules = {name for name, value in vars(flask_usage_stats).items() if inspect.ismodule(value)}
    public = {name for name in vars(flask_usage_stats) if not name.startswith("_")}
    assert public - modules == set(flask_usage_stats.__all__)


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_names_of_public_modules(module):
    """``__all__`` of a public module is sorted, and all its names exist."""
    module = import_module(f"flask_usage_stats.{module}")
    assert module.__all__ == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


def test_reference():
    """The Python API in the documentation lists every public name."""
    page = (ROOT / "docs" / "reference.rst").read_text()
    listed = set(re.findall(r"^\.\. auto\w+:: flask_usage_stats\.(?:protocols\.)?([\w.]+)", page, re.MULTILINE))
    modules = {module: import_module(f"flask_usage_stats.{module}") for module in PUBLIC_MODULES}
    assert listed - {"Authenticate", "Authorize"} == {
        *flask_usage_stats.__all__,
        *(f"{module}.{name}" for module, loaded in modules.items() for name in loaded.__all__),
    }


def test_version_of_every_name():
    """Every exported class and function is documented with the version that added it."""
    for name in flask_usage_stats.__all__:
        exported = getattr(flask_usage_stats, name)
        if inspect.isclass(exported) or inspect.isfunction(exported):
            assert "versionadded" in exported.__doc__, name


def test_error_tree():
    """Every error derives from UsageStatsError, and the root exports all of them."""
    tree = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert tree <= set(flask_usage_stats.__all__)
    assert all(issubclass(getattr(errors, name), flask_usage_stats.UsageStatsError) for name in tree)
