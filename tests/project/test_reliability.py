"""The reliability page matches the fault tests."""

import re
import subprocess
import sys

from support import ROOT


def test_same_tests():
    """The page lists exactly the existing fault tests."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests/faults"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    collected = set(re.findall(r"^tests/faults/\w+\.py::(\w+)", listed, re.MULTILINE))
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(test_\w+)` \|$", page, re.MULTILINE)) == collected
