"""The package's face: short, sorted, documented."""

import inspect
from importlib import import_module

import pytest

import flask_usage_stats
from flask_usage_stats import errors


def test_all():
    """The root exports these names and no others, sorted."""
    assert flask_usage_stats.__all__ == sorted(flask_usage_stats.__all__)
    rooms = {name for name, value in vars(flask_usage_stats).items() if inspect.ismodule(value)}
    public = {name for name in vars(flask_usage_stats) if not name.startswith("_")}
    assert public - rooms == set(flask_usage_stats.__all__)


@pytest.mark.parametrize("module", ["jwt", "openapi", "schemas", "testing"])
def test_modules(module):
    """What a module says it exports is there, sorted."""
    module = import_module(f"flask_usage_stats.{module}")
    assert module.__all__ == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


def test_docstrings():
    """Every exported class and function says what it is and since when."""
    for name in flask_usage_stats.__all__:
        exported = getattr(flask_usage_stats, name)
        if inspect.isclass(exported) or inspect.isfunction(exported):
            assert "versionadded" in exported.__doc__, name


def test_errors():
    """Every error of the package is a UsageStatsError, and the root exports the whole tree."""
    tree = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert tree <= set(flask_usage_stats.__all__)
    assert all(issubclass(getattr(errors, name), flask_usage_stats.UsageStatsError) for name in tree)
