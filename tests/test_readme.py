"""The README's program, run as it stands."""

import inspect
import re
from pathlib import Path

import pytest
from flask_jwt_extended import create_access_token

from flask_usage_stats import ProjectStore, create_usage_blueprint

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_program(mongodb_uri, database, monkeypatch):
    """The program mounts the route in a host, and answers for a token of the host's."""
    program = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "Flask(" in block)
    local = 'MongoClient("mongodb://localhost:27017").platform'
    assert local in program
    monkeypatch.setenv("JWT_SECRET_KEY", "a key of at least thirty-two bytes, for HS256")
    names = {"__name__": "app"}
    exec(program.replace(local, f'MongoClient("{mongodb_uri}")["{database.name}"]'), names)
    database.projects.insert_one({"_id": 1, "owner": "ada", "totalRequest": 3})
    app = names["app"]
    with app.app_context():
        token = create_access_token("ada")
    response = app.test_client().get("/api/usage", headers={"Authorization": f"Bearer {token}"})
    assert response.json == {"success": True, "totalRequests": 3, "projectStats": [{"_id": 1, "totalRequest": 3}]}
    assert names["store"].ensure_indexes() == "usage_stats_owner"
    names["db"].client.close()


@pytest.mark.parametrize("function", [create_usage_blueprint, ProjectStore])
def test_arguments(function):
    """The tables name every argument with its default."""
    for parameter in inspect.signature(function).parameters.values():
        default = "" if parameter.default is parameter.empty else f"`{parameter.default!r}`".replace("'", '"')
        assert " ".join(f"| `{parameter.name}` | {default} |".split()) in README
