"""A pytest plugin for mutmut: which tests run for a mutant, and in which order."""

import importlib
import os
import sys
from pathlib import Path

import pytest
from mutmut.mutation.trampoline import get_mutant_under_test
from mutmut.state import state

# The functions that are called when the modules are imported. The directory is that of the mutants.
_IMPORTED = Path("imported.txt")


def _read_imported():
    return set(_IMPORTED.read_text().split()) if _IMPORTED.exists() else set()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests():
    """Import the tests again, and everything for a mutant of a function that is called when it is imported.

    mutmut has imported both before. pytest escapes some ids of parameters each time that it collects a module.
    """
    folder = Path.cwd()
    is_imported = get_mutant_under_test().partition("__mutmut_")[0] in _read_imported()
    if not is_imported:
        folder /= "tests"
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{folder}/"):
            del sys.modules[name]
    if is_imported:
        try:
            importlib.import_module("flask_usage_stats")
        except Exception:  # noqa: BLE001 # whatever the mutant raises
            _kill()


def pytest_collectreport(report):
    """Kill a mutant that a module of tests calls when it is imported, if that fails."""
    if report.failed and "__mutmut_" in get_mutant_under_test():
        _kill()


def _kill():
    """End the process of a mutant; mutmut would report that it could not run the tests."""
    os._exit(1)


def pytest_collection_modifyitems(items):
    """Run fast tests first, since one of them kills most of the mutants."""
    durations = state().duration_by_test
    items.sort(key=lambda item: durations.get(item.nodeid, 0))


def pytest_collection_finish():
    """Write down which functions have been called before the first test."""
    if get_mutant_under_test() == "stats":
        _IMPORTED.write_text("\n".join(_read_imported() | state()._stats))
        state()._stats.clear()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item):
    """Test those functions by all tests of their package, and the pure packages only by their unit tests."""
    if get_mutant_under_test() == "stats":
        called, package = state()._stats, item.path.parent.name
        called.update(name for name in _read_imported() if name.startswith(f"flask_usage_stats._{package}."))
        if package not in {"core", "formats"}:
            pure = ("flask_usage_stats._core.", "flask_usage_stats._formats.")
            called.difference_update([name for name in called if name.startswith(pure)])
