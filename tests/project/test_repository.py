"""The files for those who work on the project are complete and agree with the project."""

import os
import subprocess
import sys

from support import ROOT


def test_skips_are_stated_at_the_end(tmp_path):
    """The end of a run states each reason once, with the number of tests that were skipped."""
    (tmp_path / "test_server.py").write_text(
        "import pytest\n\n\n"
        "@pytest.fixture(scope='session')\ndef server():\n    pytest.skip('no MongoDB')\n\n\n"
        "def test_one(server): ...\ndef test_two(server): ...\ndef test_three(): pytest.skip('no pipes')\n"
    )
    arguments = "-q", "-p", "conftest", "-p", "no:cacheprovider", str(tmp_path)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT / "tests")])},
    )
    stated = [line for line in run.stdout.splitlines() if "skipped: " in line]
    assert stated == ["2 tests skipped: no MongoDB", "1 test skipped: no pipes"]
