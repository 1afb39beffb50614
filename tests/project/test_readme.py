"""The programs in the README run unchanged, and its responses and tables match the package."""

import inspect
import json
import re
import sys
from types import ModuleType

import pytest
from bson import ObjectId
from support import KEY, ROOT, SAMPLE_ROWS, bearer

from flask_usage_stats import ProjectStore, create_usage_blueprint

README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.usefixtures("local_mongodb")
def test_programs(monkeypatch, capsys):
    """The program serves the route, the shell session prints a token, and the response is the documented one."""
    monkeypatch.setenv("JWT_SECRET_KEY", KEY)
    saved = ModuleType("app")
    names = vars(saved)
    monkeypatch.setitem(sys.modules, "app", saved)
    program, shell, *others = blocks("python")
    exec(program, names)
    with names["app"].app_context():
        exec(shell, {})
    token = capsys.readouterr().out.strip()
    body = names["app"].test_client().get("/api/usage", headers=bearer(token)).json
    *_, documented = map(json.loads, blocks("json"))
    documented["projectStats"][0]["_id"] = body["projectStats"][0]["_id"]
    assert json.dumps(body) == json.dumps(documented)
    for other in others:
        exec(other, names)


def test_responses(any_projects, get_usage):
    """The sample projects produce the first responses in the README."""
    rows = [dict(row) for row in SAMPLE_ROWS]
    any_projects.insert_many([row | {"_id": ObjectId(row["_id"]), "owner": "ada"} for row in rows])
    everything, unused, _ = map(json.loads, blocks("json"))
    assert json.dumps(get_usage(any_projects).json) == json.dumps(everything)
    assert "`GET /api/usage?maxRequests=0`" in README
    assert json.dumps(get_usage(any_projects, query_string="maxRequests=0").json) == json.dumps(unused)


@pytest.mark.parametrize("function", [create_usage_blueprint, ProjectStore])
def test_arguments(function):
    """The tables list every argument with its default."""
    for parameter in inspect.signature(function).parameters.values():
        default = "" if parameter.default is parameter.empty else f"`{parameter.default!r}`".replace("'", '"')
        assert " ".join(f"| `{parameter.name}` | {default} |".split()) in README
