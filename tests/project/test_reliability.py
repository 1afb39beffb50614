"""The reliability page matches the fault tests."""

import re

from support import ROOT


def test_same_tests():
    """The page lists exactly the existing fault tests."""
    files = (ROOT / "tests" / "faults").glob("test_*.py")
    written = {
        name for file in files for name in re.findall(r"^ *def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)
    }
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(test_\w+)` \|$", page, re.MULTILINE)) == written
