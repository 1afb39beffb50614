"""Imports point down, and each library is imported only by the packages that may use it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from project.drawings import COLUMNS, LIBRARY_NAMES, STATIONS, WAYS, draw_data, draw_packages
from support import ROOT

import flask_usage_stats

PACKAGE = Path(flask_usage_stats.__file__).parent

#: A package, or a module with rules of its own: which others it may import, and which libraries it may use.
RULES = {
    "__init__": ({"_http", "_recording", "_mongodb", "errors", "protocols"}, set()),
    "_http": ({"_cli", "_mongodb", "_formats", "_log", "_core", "errors", "protocols"}, {"flask", "werkzeug"}),
    "_cli": (
        {"_recording", "_mongodb", "_formats", "openapi", "_log", "_core", "errors", "protocols"},
        {"flask", "click", "rich", "bson"},
    ),
    "_recording": ({"_mongodb", "_core", "errors", "protocols"}, {"bson"}),
    "_recording/hooks": ({"_core", "errors"}, {"flask"}),
    "_recording/access_log": (set(), {"orjson"}),
    "_mongodb": ({"_core", "errors", "protocols"}, {"pymongo", "bson"}),
    "_formats": ({"_core"}, {"orjson", "bson"}),
    "_log": ({"_core", "errors", "protocols"}, set()),
    "openapi": ({"schemas", "_core", "errors"}, {"apispec"}),
    "schemas": ({"_core"}, {"marshmallow"}),
    "_core": ({"errors", "protocols"}, {"bson"}),
    "_core/parameters": ({"_core", "errors", "protocols"}, {"marshmallow"}),
    "_core/parameter_types": ({"_core"}, {"marshmallow"}),
    "_core/history_parameters": ({"_core", "errors"}, {"marshmallow"}),
    "_core/platform_parameters": ({"_core", "errors"}, {"marshmallow"}),
    "protocols": ({"errors"}, {"bson"}),
    "errors": (set(), set()),
    "testing": ({"_http", "protocols", "schemas"}, {"flask", "pytest"}),
    "jwt": ({"_core", "errors", "protocols"}, {"flask", "flask_jwt_extended", "jwt"}),
}
LIBRARIES = {"flask", "werkzeug", "flask_jwt_extended", "jwt", "pymongo", "bson", "marshmallow", "orjson", "apispec", "click", "rich", "pytest"}  # fmt: skip
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def package_of(path):
    """Return the package of a module, or the module itself if it is directly in the root."""
    return path.parts[0].removesuffix(".py")


def rules_for(path):
    return RULES.get(path.with_suffix("").as_posix(), RULES[package_of(path)])


def imported(path):
    """Yield what a module imports, as absolute dotted names."""
    package = ["flask_usage_stats", *path.parent.parts]
    for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            yield from (".".join([*base, alias.name]) for alias in node.names)


def test_rules_are_complete():
    """The table has every package and public module."""
    assert {package_of(path) for path in MODULES} == {package for package in RULES if "/" not in package}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_down(path):
    """A module imports only its own package and those that the table allows."""
    allowed, _ = rules_for(path)
    names = [name.split(".")[1] for name in imported(path) if name.startswith("flask_usage_stats.")]
    assert set(names) - {package_of(path)} <= allowed


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_libraries_are_used_where_allowed(path):
    """A module imports only the libraries that the table allows."""
    _, allowed = rules_for(path)
    assert {name.split(".")[0] for name in imported(path)} & LIBRARIES <= allowed


@pytest.mark.parametrize("package", [package for package in RULES if (PACKAGE / package).is_dir()])
def test_modules_of_a_package_have_no_cycle(package):
    """The modules of one package do not import each other in a cycle."""
    graph = {
        path.stem: {name.split(".")[2] for name in imported(path) if name.startswith(f"flask_usage_stats.{package}.")}
        for path in MODULES
        if package_of(path) == package
    }
    while graph:
        leaves = {name for name, others in graph.items() if not others & graph.keys()}
        assert leaves, f"a cycle among {sorted(graph)}"
        graph = {name: others for name, others in graph.items() if name not in leaves}


def test_rules_have_no_cycles():
    """No packages may import each other in a cycle."""
    graph = {package: allowed - {package.split("/")[0]} for package, (allowed, _) in RULES.items()}
    while graph:
        leaves = {name for name, others in graph.items() if not others & graph.keys()}
        assert leaves, f"a cycle among {sorted(graph)}"
        graph = {name: others for name, others in graph.items() if name not in leaves}


def test_contributing_guide_has_the_rules():
    """The table in the contributing guide lists the same packages and libraries."""
    guide = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in guide.splitlines() if line[:3] == "| `"]
    documented = {
        name.strip("`"): (set(re.findall(r"`([\w]+)`", imports)), set(libraries.split(";")[0].split(", ")) - {""})
        for name, _, imports, libraries in (row for row in rows if len(row) == 4)
    }
    assert documented == {
        package: (allowed, {LIBRARY_NAMES.get(library, library) for library in libraries})
        for package, (allowed, libraries) in RULES.items()
        if "/" not in package
    }


def test_picture_of_the_packages():
    """The picture in the documentation has the packages, imports and libraries of the table."""
    assert COLUMNS.keys() == {package for package in RULES if "/" not in package}
    assert (ROOT / "docs" / "packages.svg").read_text() == draw_packages(RULES), "run tests/project/drawings.py"


def test_picture_of_the_data():
    """The picture in the documentation has every private package but the log, and the data passes between packages only if one may import the other."""
    packages = {key: name for key, (name, *_) in STATIONS.items() if name.startswith("_")}
    private = {package for package in RULES if package.startswith("_") and "/" not in package}
    assert set(packages.values()) == private - {"__init__", "_log"}
    for start, end in ((packages.get(start), packages.get(end)) for start, end in WAYS):
        assert None in {start, end} or start in RULES[end][0] or end in RULES[start][0]
    ends = {*WAYS, *((end, start) for start, end in WAYS)}
    assert all("pymongo" in RULES[packages[end]][1] for start, end in ends if start == "database")
    assert (ROOT / "docs" / "data.svg").read_text() == draw_data(), "run tests/project/drawings.py"


def test_optional_libraries_are_not_loaded():
    """Building a blueprint loads no library that only some applications need."""
    program = (
        "import sys; from flask_usage_stats import ProjectStore, create_usage_blueprint;"
        " from pymongo import MongoClient; db = MongoClient(connect=False).platform;"
        " create_usage_blueprint(ProjectStore(db.projects), authenticate=lambda: None);"
        " print(*{name.split('.')[0] for name in sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert not {"flask_jwt_extended", "jwt", "rich", "apispec", "pytest"} & set(run.stdout.split())
