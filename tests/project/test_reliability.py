"""The reliability page matches the fault tests."""

import re
import tomllib

from support import ROOT


def test_same_tests():
    """The page lists exactly the existing fault tests."""
    files = (ROOT / "tests" / "faults").glob("test_*.py")
    written = {
        name for file in files for name in re.findall(r"^ *def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)
    }
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(test_\w+)` \|$", page, re.MULTILINE)) == written


def test_survivors():
    """Each mutant that may survive has a reason, and changes code that exists."""
    for group in tomllib.loads((ROOT / "tests" / "mutation" / "survivors.toml").read_text(encoding="utf-8"))["group"]:
        assert group["reason"].endswith(".")
        for mutant in group["mutants"]:
            title, *changes = mutant.strip().splitlines()
            module, function = title.split()
            source = (ROOT / "src" / "flask_usage_stats" / module).read_text(encoding="utf-8")
            assert f"def {function.rpartition('.')[2]}(" in source, title
            lines = {line.strip() for line in source.splitlines()}
            assert {change[2:] for change in changes if change.startswith("-")} <= lines, mutant
