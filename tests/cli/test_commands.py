"""``flask usage`` through Flask's own command runner: what is printed, and how it ends."""

import json
import sys
from datetime import datetime
from importlib.util import find_spec
from types import ModuleType
from uuid import UUID

import click
import pytest
from bson import Decimal128, ObjectId
from flask import Flask
from pymongo import MongoClient

from flask_usage_stats import ProjectStore, create_usage_blueprint
from flask_usage_stats._cli.commands import _PARAMETERS
from flask_usage_stats.schemas import ParametersSchema

MARCH = datetime(2024, 3, 14, 10, 15)
HEADER = "_id,name,projectType,status,plan,totalRequest,createdAt,updatedAt\r\n"


class Store:
    """A store on no database at all."""

    def __init__(self, *rows):
        self.rows = rows

    def iter_projects(self, owner):
        return [row for row in self.rows if row["owner"] == owner]


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
    """Run a command as in a terminal of 80 columns, and give what is read there, without colours."""

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


class TestTable:
    def test_plain(self, flask, filled):
        """Where the output is no terminal, the table is plain text in columns, numbers to the right."""
        result = flask(filled, "report", "--owner", "ada")
        assert result.stdout == (
            "Project      Type    Status   Plan      Requests  Updated\n"
            "api-service  node    live     business    89,456  2024-03-14\n"
            "portfolio    static  live     pro         25,430  2024-03-14\n"
            "blog         static  stopped  Pro         12,890  2024-03-14\n"
            "4            -       -        -                0  soon\n"
            "\n"
            "Total requests: 127,776\n"
        )
        assert (result.exit_code, result.stderr) == (0, "")

    def test_plain_groups(self, flask, filled):
        """Groups stand in for the rows, with their shares."""
        assert flask(filled, "report", "--owner", "ada", "--group-by", "plan").stdout == (
            "Plan      Projects  Requests  Share\n"
            "business         1    89,456  70.0%\n"
            "pro              2    38,320  30.0%\n"
            "-                1         0   0.0%\n"
            "\n"
            "Total requests: 127,776\n"
        )

    def test_rich(self, terminal, filled):
        """In a terminal the table has a line below its header, and fits, long names cut short."""
        filled.update_one({"_id": 3}, {"$set": {"name": "a long name that nobody reads to its end"}})
        assert terminal(filled, "report", "--owner", "ada") == (
            "Project                         Type    Status   Plan      Requests  Updated\n"
            "────────────────────────────────────────────────────────────────────────────────\n"
            "api-service                     node    live     business    89,456  2024-03-14\n"
            "portfolio                       static  live     pro         25,430  2024-03-14\n"
            "a long name that nobody reads…  static  stopped  Pro         12,890  2024-03-14\n"
            "4                               -       -        -                0  soon\n"
            "\n"
            "Total requests: 127,776\n"
        )

    def test_rich_groups(self, terminal, filled):
        """In a terminal each group's share has a bar."""
        assert terminal(filled, "report", "--owner", "ada", "--group-by", "plan", NO_COLOR="1") == (
            "Plan      Projects  Requests  Share\n"
            "──────────────────────────────────────────────────────────\n"
            "business         1    89,456  70.0%  ━━━━━━━━━━━━━━\n"
            "pro              2    38,320  30.0%  ━━━━━╸\n"
            "-                1         0   0.0%\n"
            "\n"
            "Total requests: 127,776\n"
        )

    def test_without_rich(self, flask, filled, monkeypatch):
        """Where rich is not installed, a terminal has the plain table."""
        plain = flask(filled, "report", "--owner", "ada").stdout
        for name in [name for name in sys.modules if name.split(".")[0] == "rich"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "rich", None)
        assert flask(filled, "report", "--owner", "ada", FORCE_COLOR="1").stdout == plain

    def test_page(self, flask, terminal, filled):
        """A page says how to ask for the next; the last says nothing."""
        first = flask(filled, "report", "--owner", "ada", "--limit", "3").stdout
        rest = first.removesuffix("\n").split("More projects follow: ")[1]
        last = flask(filled, "report", "--owner", "ada", "--limit", "3", *rest.split()).stdout
        assert last == (
            "Project  Type  Status  Plan  Requests  Updated\n"
            "4        -     -       -            0  soon\n"
            "\n"
            "Total requests: 127,776\n"
        )
        assert terminal(filled, "report", "--owner", "ada", "--limit", "3").endswith(f"More projects follow: {rest}\n")
        grouped = flask(filled, "report", "--owner", "ada", "--limit", "3", "--group-by", "plan").stdout
        assert "More projects" not in grouped

    def test_nothing(self, flask, terminal, filled):
        """Where there are no rows, there is no table; with a limit of 0 none were asked for."""
        for run in (lambda *asked: flask(*asked).stdout, terminal):
            assert run(filled, "report", "--owner", "eve") == "No projects.\nTotal requests: 0\n"
            assert run(filled, "report", "--owner", "ada", "--limit", "0") == "Total requests: 127,776\n"

    def test_dates(self, flask, filled):
        """Sorted by the date of creation, that date is shown."""
        asked = ["report", "--owner", "ada", "--sort", "createdAt", "--status", "LIVE"]
        assert flask(filled, *asked).stdout == (
            "Project      Type    Status  Plan      Requests  Created\n"
            "api-service  node    live    business    89,456  2024-01-01\n"
            "portfolio    static  live    pro         25,430  -\n"
            "\n"
            "Total requests: 114,886\n"
        )

    def test_odd_values(self, flask, terminal, projects):
        """Text commands no terminal and is no markup; wide characters are counted so; large numbers are short."""
        projects.insert_many(
            [
                {"_id": 1, "owner": "ada", "name": "\x1b[2J[red]x[/red]\n\u202e", "totalRequest": Decimal128("3.5")},
                {"_id": 2, "owner": "ada", "name": "日本", "plan": "e\u0301", "totalRequest": 1e20},
                {"_id": 3, "owner": "ada", "name": "minus", "totalRequest": -1e21},
            ]
        )
        table = (
            "Project                        Type  Status  Plan    Requests  Updated\n"
            "日本                           -     -       e\u0301      1.000e+20  -\n"
            r"\x1b[2J[red]x[/red]\n\u202e    -     -       -           3.50  -" + "\n"
            "minus                          -     -       -     -1.000e+21  -\n"
            "\n"
            "Total requests: -9.000e+20\n"
        )
        plain = flask(projects, "report", "--owner", "ada").stdout
        assert [line.split() for line in plain.splitlines()] == [line.split() for line in table.splitlines()]
        assert r"\x1b[2J[red]x[/red]\n\u202e" in terminal(projects, "report", "--owner", "ada")
        shares = flask(projects, "report", "--owner", "ada", "--group-by", "plan").stdout
        assert shares == (
            "Plan  Projects    Requests  Share\n"
            "e\u0301            1   1.000e+20      -\n"
            "-            2  -1.000e+21      -\n"
            "\n"
            "Total requests: -9.000e+20\n"
        )

    def test_encoding(self, app_factory, projects):
        """What the output's encoding lacks is escaped, in a plain table, a terminal's too."""
        projects.insert_one({"_id": 1, "owner": "ada", "name": "blög"})
        runner = app_factory(projects).test_cli_runner(charset="ascii", env={"FORCE_COLOR": "1"})
        result = runner.invoke(args=["usage", "report", "--owner", "ada"])
        assert result.stdout.splitlines()[1] == r"bl\xf6g  -     -       -            0  -"


class TestBytes:
    @pytest.mark.parametrize(
        ("options", "query"),
        [
            ([], ""),
            (["--status", "live", "--status", "STOPPED", "--project-type", "Static"], "status=live&status=stopped&projectType=static"),
            (["--min-requests", "1", "--max-requests", "30000", "--order", "asc"], "minRequests=1&maxRequests=30000&order=asc"),
            (["--sort", "name", "--limit", "2", "--plan", "pro"], "sort=name&limit=2&plan=pro"),
            (["--limit", "1"], "limit=1"),
            (["--group-by", "plan,status"], "groupBy=plan,status"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("form", ["json", "csv"])
    def test_same_as_the_route(self, flask, ask, filled, options, query, form):
        """JSON and CSV are the bytes that the route answers."""
        result = flask(filled, "report", "--owner", "ada", "--format", form, *options)
        assert result.stdout_bytes == ask(filled, "ada", query_string=f"{query}&format={form}").data
        assert (result.exit_code, result.stderr) == (0, "")

    def test_every_parameter(self):
        """Every parameter of the route is an option; a form is a choice of its own."""
        assert {*_PARAMETERS, "format"} == set(ParametersSchema().fields)

    @pytest.mark.parametrize(
        ("owner", "kind", "identity"),
        [
            ("7", "int", 7),
            ("507f1f77bcf86cd799439011", "objectid", ObjectId("507f1f77bcf86cd799439011")),
            ("12345678-1234-5678-1234-567812345678", "UUID", UUID("12345678-1234-5678-1234-567812345678")),
            ("7", "text", "7"),
        ],
    )
    def test_owner_types(self, flask, owner, kind, identity):
        """An owner is asked for in the type that the application's identities have."""
        store = Store({"_id": 1, "owner": identity}, {"_id": 2, "owner": "ada"})
        result = flask(store, "report", "--owner", owner, "--owner-type", kind, "--format", "csv")
        assert result.stdout_bytes.decode() == f"{HEADER}1,,,,,0,,\r\n"


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--limit", "1_0"], "--limit must be a whole number from 0 to 1000"),
            (["--limit", "1", "--limit", "2"], "--limit must be given once"),
            (["--min-requests", "5", "--max-requests", "3"], "--min-requests must not be over --max-requests"),
            (["--status", ""], "--status must be text of 1 to 100 characters, given up to 50 times"),
            (["--sort", "x", "--order", "y"], "--sort must be one of totalRequest, name, createdAt, updatedAt; --order must be one of desc, asc"),
            (["--group-by", "plan,plan"], "--group-by must be one or several of plan, projectType, status, with commas between them"),
            (["--cursor", "x", "--limit", "1"], "--cursor must be the nextCursor of a page of the same query"),
        ],
    )  # fmt: skip
    def test_parameters(self, flask, options, message):
        """What the route answers with 400 is one line, told by the options' names."""
        result = flask(Store(), "report", "--owner", "ada", *options)
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {message}\n")

    def test_cursor_needs_limit(self, flask, filled):
        """A cursor without a limit is told by both options' names."""
        page = json.loads(flask(filled, "report", "--owner", "ada", "--limit", "1", "--format", "json").stdout)
        result = flask(filled, "report", "--owner", "ada", "--cursor", page["nextCursor"])
        assert (result.exit_code, result.stderr) == (2, "Error: --cursor needs --limit\n")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--owner", ""], "text of 1 to 1024 bytes of UTF-8"),
            (["--owner", "x" * 1025], "text of 1 to 1024 bytes of UTF-8"),
            (["--owner", "\udc80"], "text of 1 to 1024 bytes of UTF-8"),
            (["--owner", "07", "--owner-type", "int"], "an identity of type int"),
        ],
    )
    def test_owner(self, flask, options, message):
        """An owner that no caller can be is refused."""
        result = flask(Store(), "report", *options)
        assert (result.exit_code, result.stderr) == (2, f"Error: --owner must be {message}\n")

    def test_unreachable(self, flask):
        """A database that is down is one line with its cause, for each command."""
        with MongoClient("mongodb://localhost:1", serverSelectionTimeoutMS=100) as client:
            store = ProjectStore(client.platform.projects, timeout=0.1)
            for command in (["report", "--owner", "ada"], ["ensure-indexes"]):
                result = flask(store, *command)
                assert (result.exit_code, result.stdout) == (1, "")
                assert result.stderr.startswith("Error: the ")
                assert 'ServerSelectionTimeoutError: "localhost:1' in result.stderr
                assert result.stderr.count("\n") == 1

    def test_failing_store(self, flask):
        """Whatever a store raises is one line with its type and place, without its text."""

        class Failing:
            def iter_projects(self, owner):
                raise RuntimeError("hunter2")

        result = flask(Failing(), "report", "--owner", "ada")
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: RuntimeError ({__file__}:")
        assert result.stderr.endswith(" in iter_projects)\n")

    def test_changed_values(self, flask, projects):
        """Stored values that do not fit are logged as in a request."""
        projects.insert_one({"_id": 1, "owner": "ada", "totalRequest": "hunter2"})
        result = flask(projects, "report", "--owner", "ada", "--format", "csv")
        assert result.stdout_bytes.decode() == f"{HEADER}1,,,,,0,,\r\n"
        assert "hunter2" not in result.output

    @pytest.mark.parametrize(("command", "code"), [("doctor", 2), ("ensure-indexes", 1)])
    def test_other_stores(self, flask, command, code):
        """What looks after a collection says so where the store has none."""
        result = flask(Store(), command)
        assert result.stderr == f"Error: {command} is for a ProjectStore; the store here is of type Store\n"
        assert (result.exit_code, result.stdout) == (code, "")


class TestIndexes:
    def test_name(self, flask, projects):
        """The index is made, and its name printed, every time."""
        for _ in range(2):
            result = flask(projects, "ensure-indexes")
            assert (result.exit_code, result.output) == (0, "usage_stats_owner\n")
        assert "usage_stats_owner" in projects.index_information()

    def test_owned_by(self, flask, projects):
        """Where the host decides what matches, it is told what to index."""
        result = flask(ProjectStore(projects, owner_filter=lambda owner: {"team": 1}), "ensure-indexes")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: owner_filter decides which projects match: index the path")


class TestOpenApi:
    def test_printed(self, flask, monkeypatch):
        """The document is printed as JSON, for the prefix of the blueprint or another."""
        module = ModuleType("flask_usage_stats.openapi")
        module.openapi_document = lambda *, url_prefix: {"paths": {f"{url_prefix}/usage": {}}}
        monkeypatch.setitem(sys.modules, module.__name__, module)
        assert json.loads(flask(Store(), "openapi").stdout) == {"paths": {"/api/usage": {}}}
        assert json.loads(flask(Store(), "openapi", "--url-prefix", "/v2").stdout) == {"paths": {"/v2/usage": {}}}

    @pytest.mark.skipif(find_spec("flask_usage_stats.openapi") is None, reason="there is no such module yet")
    def test_document(self, flask):
        """The document is that of the package."""
        from flask_usage_stats.openapi import openapi_document

        result = flask(Store(), "openapi", "--url-prefix", "/v2")
        assert (result.exit_code, json.loads(result.stdout)) == (0, openapi_document(url_prefix="/v2"))

    def test_without_apispec(self, flask, monkeypatch):
        """Where apispec is missing, the fix is told."""
        monkeypatch.delitem(sys.modules, "flask_usage_stats.openapi", raising=False)
        for name in [name for name in sys.modules if name.split(".")[0] == "apispec"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "apispec", None)
        result = flask(Store(), "openapi")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Error: openapi needs apispec: pip install 'flask-usage-stats[openapi]'\n"


class TestGroup:
    @pytest.mark.parametrize("command", [[], ["report"], ["doctor"], ["ensure-indexes"], ["openapi"]])
    def test_help(self, flask, command):
        """The group and every command say what they do."""
        result = flask(Store(), *command, "--help")
        assert result.exit_code == 0
        assert result.stdout.splitlines()[2].startswith("  ")

    def test_every_option_has_help(self, app_factory):
        """Every option of every command says what it takes or does."""
        for command in app_factory(Store()).cli.commands["usage"].commands.values():
            assert command.help
            assert all(option.help for option in command.params)

    def test_second_mount(self):
        """A second blueprint has its commands in a group of its own."""
        app = Flask("host")
        for number, group in enumerate(["usage", "teams"]):
            store = Store({"_id": number, "owner": "ada"})
            blueprint = create_usage_blueprint(store, authenticate=lambda: None, name=f"usage_{number}")
            app.register_blueprint(blueprint, url_prefix=f"/{number}", cli_group=group)
        for number, group in enumerate(["usage", "teams"]):
            result = app.test_cli_runner().invoke(args=[group, "report", "--owner", "ada", "--format", "csv"])
            assert result.stdout_bytes.decode() == f"{HEADER}{number},,,,,0,,\r\n"

    def test_callable(self, projects):
        """A collection that is found through the application is found by a command, too."""
        app = Flask("host")
        app.config["NAME"] = "projects"

        def found():
            from flask import current_app

            return projects.database[current_app.config["NAME"]]

        app.register_blueprint(create_usage_blueprint(ProjectStore(found), authenticate=lambda: None))
        assert app.test_cli_runner().invoke(args=["usage", "ensure-indexes"]).output == "usage_stats_owner\n"
