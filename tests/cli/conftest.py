"""Fixtures: a command runner, a terminal, other outputs and a filled collection."""

import os
import sys
from datetime import datetime

import click
import pytest
from flask.cli import ScriptInfo

from flask_usage_stats import UsageHistory

MARCH = datetime(2024, 3, 14, 10, 15)


@pytest.fixture
def flask(app_factory):
    """Run a command of an application with a store."""

    def run(store, *arguments, history=None, **environment):
        runner = app_factory(store, history=history).test_cli_runner()
        return runner.invoke(
            args=["usage", *arguments], env={"FORCE_COLOR": None, "TTY_COMPATIBLE": None} | environment
        )

    return run


@pytest.fixture
def terminal(flask):
    """Run a command as in a terminal of 80 columns, and return its output without colors."""

    def run(store, *arguments, history=None, **environment):
        environment = {"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm-256color"} | environment
        result = flask(store, *arguments, history=history, **environment)
        assert result.exit_code == 0, result.output
        return "".join(f"{line.rstrip()}\n" for line in click.unstyle(result.stdout).splitlines())

    return run


@pytest.fixture
def run_into(app_factory, monkeypatch, capsys):
    """Run a command with another standard output, and return the exit code and the errors."""

    def run(stdout, store, *arguments):
        app = app_factory(store)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)
            with pytest.raises(SystemExit) as ended:
                app.cli.main(["usage", *arguments], prog_name="flask", obj=ScriptInfo(create_app=lambda: app))
        return ended.value.code, capsys.readouterr().err

    return run


@pytest.fixture
def run_in_pty(run_into):
    """Run a command in a terminal, and return the bytes that the terminal received."""
    pty = pytest.importorskip("pty", reason="the system has no pseudo-terminals")
    tty = pytest.importorskip("tty", reason="the system has no pseudo-terminals")

    def run(store, *arguments, encoding="utf-8"):
        controller, terminal = pty.openpty()
        tty.setraw(terminal)  # otherwise the terminal changes line breaks
        with os.fdopen(controller, "rb", buffering=0) as received:
            with os.fdopen(terminal, "w", encoding=encoding, newline="") as stdout:
                assert run_into(stdout, store, *arguments) == (0, "")
                os.write(terminal, b"\0")
            return b"".join(iter(lambda: received.read(1), b"\0"))

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


@pytest.fixture
def history(database):
    """Return a history that began on 2 January 2024."""
    database.usage_history.insert_one({"_id": "since", "at": datetime(2024, 1, 2), "format": 1})
    return UsageHistory(database.usage_history)
