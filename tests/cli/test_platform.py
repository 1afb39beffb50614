"""``flask usage platform``, and the group that blueprints share."""

import json
import sys
from datetime import UTC, datetime

import click
import pytest
from flask import Flask
from support import ListStore

from flask_usage_stats import PlatformStore, ProjectStore, create_platform_blueprint, create_usage_blueprint
from flask_usage_stats._cli.options import PLATFORM_OPTIONS
from flask_usage_stats._core.platform_parameters import PlatformParametersSchema

NOW = datetime(2026, 11, 25, 19, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr("flask_usage_stats._core.clock.get_now", lambda: NOW)


@pytest.fixture
def run(platform_factory):
    """Run the command for a store."""

    def invoke(store, *arguments, **environment):
        runner = platform_factory(store).test_cli_runner()
        environment = {"FORCE_COLOR": None, "TTY_COMPATIBLE": None} | environment
        return runner.invoke(args=["usage", "platform", *arguments], env=environment)

    return invoke


@pytest.fixture
def printed(run):
    """Return what the command prints in a terminal of 100 columns."""

    def invoke(store, *arguments):
        environment = {"FORCE_COLOR": "1", "COLUMNS": "100", "TERM": "xterm-256color", "NO_COLOR": "1"}
        result = run(store, *arguments, **environment)
        assert result.exit_code == 0, result.output
        return "".join(f"{line.rstrip()}\n" for line in click.unstyle(result.stdout).splitlines())

    return invoke


FOOTER = "Total requests: 127,783\nProjects: 5, 1 of them unused\nAs of 2026-11-25T19:00:00.000Z\n"


def test_every_parameter_is_an_option():
    """The options are the parameters of the route, in the same order."""
    assert list(PLATFORM_OPTIONS) == [name for name in PlatformParametersSchema().fields if name != "format"]


def test_totals(printed, filled):
    """Without options, the totals are printed."""
    assert printed(filled) == FOOTER


def test_groups(printed, filled):
    """A line for each group, and one for the others."""
    assert printed(filled, "--group-by", "plan,status", "--top", "2") == (
        "Plan        Status  Projects  Requests  Share\n"
        "────────────────────────────────────────────────────────────────────\n"
        "business    live           1    89,456  70.0%  ━━━━━━━━━━━━━━\n"
        "pro         live           1    25,430  19.9%  ━━━╸\n"
        "(2 others)  -              3    12,897  10.1%  ━━\n"
        "\n" + FOOTER
    )


def test_owners(printed, filled):
    """Owners are groups."""
    output = printed(filled, "--group-by", "owner", "--deleted", "include")
    assert [line.split()[:3] for line in output.splitlines()[2:4]] == [["ada", "5", "1,127,776"], ["bob", "1", "7"]]


def test_projects(printed, filled):
    """The projects with the most requests, with their owners."""
    filled.insert_one({"_id": 9, "owner": ["ada", None], "name": "\x1b[31mred", "totalRequest": 50_000})
    lines = printed(filled, "--limit", "3").splitlines()
    assert [line.split() for line in lines[:5]] == [
        ["Project", "Owner", "Type", "Status", "Plan", "Requests"],
        ["─" * len(lines[1])],
        ["api-service", "ada", "node", "live", "business", "89,456"],
        ["\\x1b[31mred", "ada,", "-", "-", "-", "-", "50,000"],
        ["portfolio", "ada", "static", "live", "pro", "25,430"],
    ]


def test_projects_without_owners(printed, filled):
    """With an *owner_filter*, there is no column for the owner."""
    store = ProjectStore(filled, owner_filter=lambda owner: {"team": owner})
    assert printed(store, "--limit", "1").split()[:5] == ["Project", "Type", "Status", "Plan", "Requests"]


def test_nothing(printed, projects):
    """Without projects, there is no table."""
    expected = "Total requests: 0\nProjects: 0, 0 of them unused\nAs of 2026-11-25T19:00:00.000Z\n"
    assert printed(projects, "--limit", "3", "--group-by", "plan") == expected


@pytest.mark.parametrize("name", ["json", "csv"])
def test_bodies(run, platform_factory, filled, name):
    """The other formats print exactly the body of the route."""
    result = run(filled, "--format", name, "--group-by", "plan", "--top", "1", "--limit", "2")
    url = f"/api/usage/platform?groupBy=plan&top=1&limit=2&format={name}"
    assert result.stdout_bytes == platform_factory(filled).test_client().get(url).data


def test_invalid_options(run, filled):
    """An invalid value is reported with the name of the option."""
    result = run(filled, "--top", "5", "--limit", "x")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: --top: top requires groupBy; --limit: limit must be a whole number from 0 to 1000\n"
    )


def test_failures(run):
    """A failure is one line."""
    result = run(ProjectStore(lambda: None))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: collection must be a PyMongo collection")
    assert result.stderr.count("\n") == 1


def test_without_rich(run, filled, monkeypatch):
    """Without rich, the other formats are available, and one line says what to install."""
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.delitem(sys.modules, "flask_usage_stats._cli.platform_table", raising=False)
    monkeypatch.delitem(sys.modules, "flask_usage_stats._cli.table", raising=False)
    for name in [name for name in sys.modules if name.startswith("rich.")]:
        monkeypatch.setitem(sys.modules, name, None)
    result = run(filled)
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: the table requires rich: pip install rich, or use --format json or csv\n",
    )
    assert run(filled, "--format", "json").exit_code == 0


class TestGroup:
    def list_commands(self, *blueprints, group="usage", **options):
        app = Flask("application")
        for blueprint in blueprints:
            app.register_blueprint(blueprint, **options)
        commands = app.cli.commands
        return set(commands[group].commands) if group else set(commands)

    def blueprints(self):
        store = ProjectStore(ListStore)
        return (
            create_usage_blueprint(store, authenticate=lambda: None),
            create_platform_blueprint(PlatformStore(store), authorize=lambda: True),
        )

    def test_blueprints_share_the_group(self):
        """In either order, the group has the commands of both, but only in their application."""
        usage, platform = self.blueprints()
        both = {"report", "ingest", "check", "ensure-indexes", "openapi", "platform"}
        assert self.list_commands(usage, platform) == both
        assert self.list_commands(platform, usage) == both
        assert self.list_commands(usage) == both - {"platform"}
        assert self.list_commands(platform) == {"platform"}

    def test_another_group(self):
        """The group has the name of *cli_group*; with ``None``, the commands are those of ``flask`` itself."""
        assert "platform" in self.list_commands(*self.blueprints(), cli_group="ops", group="ops")
        assert {"report", "platform"} <= self.list_commands(*self.blueprints(), cli_group=None, group=None)

    def test_commands_of_the_application_stay(self):
        """A group of the application with the same name keeps its commands."""
        app = Flask("application")

        @app.cli.group()
        def usage():
            """Print mine."""

        @usage.command()
        def mine():
            """Print mine."""

        for blueprint in self.blueprints():
            app.register_blueprint(blueprint)
        assert {"mine", "report", "platform"} <= app.cli.commands["usage"].commands.keys()
        assert set(usage.commands) == {"mine"}

    def test_a_command_is_replaced(self):
        """A plain command with the same name is replaced, and a command of the group by that of the last blueprint."""
        app = Flask("application")

        @app.cli.command("usage")
        def mine():
            """Print mine."""

        for blueprint in self.blueprints():
            app.register_blueprint(blueprint)
        first = app.cli.commands["usage"].commands["platform"]
        store = PlatformStore(ProjectStore(ListStore))
        app.register_blueprint(create_platform_blueprint(store, authorize=lambda: True, name="other"), url_prefix="/x")
        assert app.cli.commands["usage"].commands["platform"] is not first


def test_openapi(flask, projects):
    """With --platform, the document has the route of the platform view."""
    document = json.loads(flask(projects, "openapi", "--platform").stdout)
    assert list(document["paths"]) == ["/api/usage", "/api/usage/platform"]
    assert list(json.loads(flask(projects, "openapi").stdout)["paths"]) == ["/api/usage"]
