"""The supported versions are the tested ones, and the policy lists them."""

import os
import re
import tomllib
from configparser import ConfigParser
from importlib.metadata import version
from itertools import chain

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOX = ConfigParser(interpolation=None)
TOX.read(ROOT / "tox.ini")

CHECKS = ROOT / ".github" / "workflows" / "checks.yml"
PYTHONS = [name.rpartition(" ")[2] for name in PROJECT["project"]["classifiers"] if re.search(r":: 3\.[0-9]+$", name)]
EXTRAS = PROJECT["project"]["optional-dependencies"]
REQUIREMENTS = [Requirement(text) for text in chain(PROJECT["project"]["dependencies"], *EXTRAS.values())]
OLDEST = {
    one.name: Version(specifier.version)
    for one in REQUIREMENTS
    for specifier in one.specifier
    if specifier.operator == ">="
}


def test_pythons():
    """Every supported Python has an environment, is run by the workflow, and is in the policy."""
    assert PROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"
    numbers = re.search(r"^py3\{(.*)\}$", TOX["tox"]["env_list"], re.MULTILINE)[1].split(",")
    assert [f"3.{number}" for number in numbers] == PYTHONS
    assert TOX["testenv:lowest"]["base_python"] == f"py{PYTHONS[0]}".replace(".", "")
    assert TOX["testenv:suite"]["base_python"].split(", ") == [f"py{one}".replace(".", "") for one in PYTHONS[::-1]]
    assert f"Python {PYTHONS[0]} to {PYTHONS[-1]}" in (ROOT / "docs" / "policy.md").read_text()
    (installed,) = re.findall(r"python-version: \|\n((?: +3\.[0-9]+\n)+)", CHECKS.read_text())
    assert installed.split() == PYTHONS


def test_oldest_dependencies():
    """The environment ``lowest`` installs the oldest version of every dependency and extra."""
    assert "--constraint tests/oldest.txt " in TOX["testenv:lowest"]["install_command"]
    lines = (ROOT / "tests" / "oldest.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    assert {pin.name: Version(str(pin.specifier).removeprefix("==")) for pin in pins} == OLDEST


def test_no_upper_bounds():
    """Nothing keeps an application from a newer version of a dependency."""
    assert {specifier.operator for one in REQUIREMENTS for specifier in one.specifier} == {">=", "!="}


@pytest.fixture
def policy():
    """Return the oldest and the newest version of each dependency in the policy."""
    rows = re.findall(
        r"^\| `(.*)` \| ([0-9.]+) \| ([0-9.]+) \|$", (ROOT / "docs" / "policy.md").read_text(), re.MULTILINE
    )
    return {name: (Version(oldest), Version(newest)) for name, oldest, newest in rows}


def test_policy(policy):
    """The policy lists every dependency with its oldest version."""
    assert {name: oldest for name, (oldest, _) in policy.items()} == OLDEST


def test_installed_versions(policy):
    """``lowest`` tests the oldest versions, and ``suite`` none that is older than the newest ones in the policy."""
    environment = os.environ.get("TOX_ENV_NAME")
    for name, (oldest, newest) in policy.items():
        installed = Version(version(name))
        if environment == "lowest":
            assert installed == oldest, name
        assert installed >= (newest if environment == "suite" else oldest), name
