"""Fixtures: a command runner, a terminal and a filled collection."""

from datetime import datetime

import click
import pytest

MARCH = datetime(2024, 3, 14, 10, 15)


@pytest.fixture
def flask(app_factory):
    """Run a command of an application with a store."""

    def run(store, *arguments, **environment):
        runner = app_factory(store).test_cli_runner()
        return runner.invoke(
            args=["usage", *arguments], env={"FORCE_COLOR": None, "TTY_COMPATIBLE": None} | environment
        )

    return run


@pytest.fixture
def terminal(flask):
    """Run a command as in a terminal of 80 columns, and return its output without colors."""

    def run(store, *arguments, **environment):
        environment = {"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm-256color"} | environment
        result = flask(store, *arguments, **environment)
        assert result.exit_code == 0, result.output
        return "".join(f"{line.rstrip()}\n" for line in click.unstyle(result.stdout).splitlines())

    return run


@pytest.fixture
def filled(projects):
    projects.insert_many(
        [
            {
                "_id": 1,
                "owner": "ada",
                "name": "api-service",
                "projectType": "node",
                "status": "live",
                "plan": "business",
                "totalRequest": 89456,
                "createdAt": datetime(2024, 1, 1),
                "updatedAt": MARCH,
            },
            {
                "_id": 2,
                "owner": "ada",
                "name": "portfolio",
                "projectType": "static",
                "status": "live",
                "plan": "pro",
                "totalRequest": 25430,
                "updatedAt": MARCH,
            },
            {
                "_id": 3,
                "owner": "ada",
                "name": "blog",
                "projectType": "static",
                "status": "stopped",
                "plan": "Pro",
                "totalRequest": 12890,
                "updatedAt": MARCH,
            },
            {"_id": 4, "owner": "ada", "plan": None, "updatedAt": "soon"},
            {"_id": 5, "owner": "bob", "name": "other", "totalRequest": 7},
            {"_id": 6, "owner": "ada", "status": "deleted", "totalRequest": 10**6},
        ]
    )
    return projects
