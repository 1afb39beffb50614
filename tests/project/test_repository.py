"""The files for those who work on the project are complete and agree with the project."""

import os
import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser

import pytest
from support import ROOT

GITHUB = ROOT / ".github"
GUIDE = (GITHUB / "CONTRIBUTING.md").read_text()
FILE = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|md|rst|toml|ini|yaml|yml))`")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_top_level():
    """The top level has the files that a Python developer expects, and no others."""
    ignored = {line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    ignored.add("PKG-INFO")  # of a source distribution
    names = {path.name for path in ROOT.iterdir() if path.name not in ignored and path.name[0] != "."}
    assert names == {"LICENSE", "README.md", "docs", "examples", "pyproject.toml", "src", "tests", "tox.ini"}


@pytest.mark.parametrize("path", sorted(GITHUB.glob("*.md")), ids=lambda path: path.name)
def test_links(path):
    """Every relative link leads to a file."""
    targets = re.findall(r"\]\((?!https?://)([^)#]+)[^)]*\)", path.read_text())
    assert [target for target in targets if not (path.parent / target).exists()] == []


def find(name):
    """Return the path of a file at the top level or in the package; None if there is none."""
    paths = (folder / name for folder in (ROOT, ROOT / "src" / "flask_usage_stats"))
    return next((path for path in paths if path.is_file()), None)


def test_files_in_the_guide():
    """Every file that the guide names exists; a file named after what is added, for the history or for `jwt`."""
    names = FILE.findall(GUIDE)
    assert len(names) > 60
    assert [it for it in names if not any(find(it.replace("NAME", name)) for name in ("history", "jwt"))] == []


def test_files_in_the_structure():
    """Every file that the page about the structure names exists."""
    names = re.findall(r"`(_\w+/[\w.-]+)`", (ROOT / "docs" / "structure.md").read_text())
    assert len(names) > 10
    assert [name for name in names if not find(name)] == []


def test_names_in_the_guide():
    """Every function, class and variable that a step of the guide names is in a file of that step."""
    lists = GUIDE.partition("## Add a parameter")[2].partition("\n## Tests")[0]
    steps = re.findall(r"^[0-9]\. ((?:.+\n)+?)(?=[0-9]\. |\n)", lists, re.MULTILINE)
    assert len(steps) == 20
    missing = []
    for step in steps:
        texts = [path.read_text() for name in FILE.findall(step) if (path := find(name))]
        names = [name for name in re.findall(r"`([A-Za-z_]{3,})`", step) if name not in ("NAME", "add_NAME", "history")]
        missing += [name for name in names if texts and not any(re.search(rf"\b{name}\b", text) for text in texts)]
    assert missing == []


def test_environments_in_the_guide():
    """The table of commands has every environment of tox; that of the demo is in the README."""
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    numbers = re.search(r"^py3\{(.*)\}$", tox["tox"]["env_list"], re.MULTILINE)[1].split(",")
    sections = {name.removeprefix("testenv:") for name in tox.sections() if name.startswith("testenv:")}
    listed = re.findall(r"^\| `tox run -e ([\w-]+)", GUIDE, re.MULTILINE) + re.findall(r"`(py3\d+)`", GUIDE)
    assert set(listed) == (sections - {"demo"}) | {f"py3{number}" for number in numbers}


def test_hooks():
    """The hooks use the same version of ruff as `tox run -e style`."""
    (ruff,) = re.findall(r'"(ruff.*)"', (ROOT / ".pre-commit-config.yaml").read_text())
    assert PROJECT["dependency-groups"]["style"] == [ruff]


def test_links_of_the_project():
    """The links on the package's page in the index lead to the repository that the other files name."""
    urls = PROJECT["project"]["urls"]
    texts = [(GITHUB / name).read_text() for name in ("SECURITY.md", "ISSUE_TEMPLATE/config.yml")]
    assert all(f"{urls['Repository']}/security/advisories/new" in text for text in texts)
    assert urls["Issues"] == f"{urls['Repository']}/issues"
    assert urls["Changelog"].startswith(urls["Documentation"])
    assert (ROOT / "docs" / "changelog.md").exists()


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
