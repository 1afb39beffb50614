"""Imports point down, and each library is met in one room."""

import ast
from pathlib import Path

import pytest

import flask_usage_stats

PACKAGE = Path(flask_usage_stats.__file__).parent
#: From the top down: a room imports only rooms behind it.
ROOMS = [
    *("__init__", "blueprint", "cli", "openapi", "auth", "schemas", "doctor", "store", "query", "salvage", "log"),
    *("representation", "bodies", "display", "tables", "report", "encoding", "groups", "selection", "rows"),
    *("cursor", "question", "values", "protocols", "fields", "errors"),
]
LIBRARIES = {
    "pymongo": {"store", "doctor"},
    "apispec": {"openapi"},
    "click": {"cli", "display"},
    "rich": {"display"},
    "marshmallow": {"schemas"},
    "flask_jwt_extended": {"auth"},
    "jwt": {"auth"},
    "flask": {"blueprint", "cli", "auth", "representation"},
    "werkzeug": {"blueprint"},
    "orjson": {"encoding"},
    "bson": {"cli", "auth", "doctor", "store", "query", "salvage", "rows", "encoding", "values", "protocols"},
}


def imported(room):
    for node in ast.walk(ast.parse((PACKAGE / f"{room}.py").read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level and not node.module:
                yield from ("." + alias.name for alias in node.names)
            else:
                yield "." * node.level + node.module


def test_every_room_is_known():
    """A new room takes its place in the staircase."""
    assert sorted(path.stem for path in PACKAGE.glob("*.py")) == sorted(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_down(room):
    """A room imports only rooms below it."""
    below = ROOMS[ROOMS.index(room) + 1 :]
    assert {name[1:] for name in imported(room) if name.startswith(".")} <= set(below)


@pytest.mark.parametrize("room", ROOMS)
def test_one_library_one_room(room):
    """A library is met only where it belongs."""
    for name in imported(room):
        library = name.split(".")[0]
        assert room in LIBRARIES.get(library, {room}), f"{room} imports {library}"
