"""The table of ``flask usage report``."""

import json
import sys
from datetime import datetime

import pytest
from bson import Decimal128

TABLE = """\
Project      Type    Status   Plan      Requests  Updated
─────────────────────────────────────────────────────────────
api-service  node    live     business    89,456  2024-03-14
portfolio    static  live     pro         25,430  2024-03-14
blog         static  stopped  Pro         12,890  2024-03-14
4            -       -        -                0  soon

Total requests: 127,776
"""


@pytest.fixture
def report(flask):
    """Run the command with piped output, and return the output without trailing spaces."""

    def run(store, *arguments, **options):
        result = flask(store, "report", *arguments, **options)
        assert (result.exit_code, result.stderr) == (0, "")
        return "".join(f"{line.rstrip()}\n" for line in result.stdout.splitlines())

    return run


@pytest.mark.parametrize("run", ["terminal", "report"])
def test_table_of_projects(request, run, filled):
    """Numbers are right-aligned and missing values are hyphens, both in a terminal and in piped output."""
    arguments = ["report"] if run == "terminal" else []
    assert request.getfixturevalue(run)(filled, *arguments, "--owner", "ada") == TABLE


@pytest.mark.parametrize("run", ["terminal", "report"])
def test_table_of_groups(request, run, filled):
    """Groups are printed instead of the projects, each with a bar for its share."""
    arguments = ["report"] if run == "terminal" else []
    output = request.getfixturevalue(run)(filled, *arguments, "--owner", "ada", "--group-by", "plan", NO_COLOR="1")
    assert output == (
        "Plan      Projects  Requests  Share\n"
        "──────────────────────────────────────────────────────────\n"
        "business         1    89,456  70.0%  ━━━━━━━━━━━━━━\n"
        "pro              2    38,320  30.0%  ━━━━━╸\n"
        "-                1         0   0.0%\n"
        "\n"
        "Total requests: 127,776\n"
    )


def test_long_names_are_truncated_only_in_a_terminal(terminal, report, filled):
    """In a terminal the table fits the width; in piped output names are complete."""
    name = "a long name that nobody reads to its end, and that goes on for more than a line of a terminal"
    filled.update_one({"_id": 3}, {"$set": {"name": name}})
    lines = terminal(filled, "report", "--owner", "ada").splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("a long name that nobody reads…") for line in lines)
    assert name in report(filled, "--owner", "ada")


def test_missing_rich_is_one_line(flask, filled, monkeypatch):
    """If rich is missing, the error says what to install; the other formats do not need it."""
    for name in [name for name in sys.modules if name.split(".")[0] == "rich" or name.endswith("_cli.table")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    result = flask(filled, "report", "--owner", "ada")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: the table requires rich: pip install rich, or use --format json or csv\n"
    assert flask(filled, "report", "--owner", "ada", "--format", "csv").exit_code == 0


def test_page_ends_with_the_next_cursor(report, filled):
    """A page ends with the next cursor; the last page and groups have none."""
    first = report(filled, "--owner", "ada", "--limit", "3")
    rest = first.removesuffix("\n").split("More projects follow: ")[1]
    assert report(filled, "--owner", "ada", "--limit", "3", *rest.split()) == (
        "Project  Type  Status  Plan  Requests  Updated\n"
        "───────────────────────────────────────────────\n"
        "4        -     -       -            0  soon\n"
        "\n"
        "Total requests: 127,776\n"
    )
    assert "More projects" not in report(filled, "--owner", "ada", "--limit", "3", "--group-by", "plan")


def test_no_projects_have_no_table(report, filled):
    """Without projects, or with a limit of 0, there is no table."""
    assert report(filled, "--owner", "eve") == "No projects.\nTotal requests: 0\n"
    assert report(filled, "--owner", "ada", "--limit", "0") == "Total requests: 127,776\n"


def test_date_is_that_of_the_sort(report, filled):
    """If the rows are sorted by creation date, that date is printed."""
    output = report(filled, "--owner", "ada", "--sort", "createdAt", "--status", "LIVE")
    assert "Created" in output
    assert [line.split()[-1] for line in output.splitlines()[2:4]] == ["2024-01-01", "-"]


REQUESTED = """\
Project      Type    Status  Plan      Requests  Updated     Last request
──────────────────────────────────────────────────────────────────────────
portfolio    static  live    pro         25,430  2024-03-14  2024-03-14
api-service  node    live    business    89,456  2024-03-14  -

Total requests: 114,886
"""


@pytest.mark.parametrize("include", [[], ["--include", "lastRequestAt"]])
def test_latest_request(report, filled, history, include):
    """If the rows are sorted by the latest request, or include it, it is printed."""
    filled.update_one({"_id": 2}, {"$set": {"lastRequestAt": datetime(2024, 3, 14)}})
    arguments = ["--owner", "ada", "--sort", "lastRequestAt", "--status", "live", *include]
    assert report(filled, *arguments, history=history) == REQUESTED
    lines = report(filled, "--owner", "ada", *include, history=history).splitlines()
    assert ("Last request" in lines[0]) is bool(include)


def test_pages_by_the_latest_request(flask, report, filled, history):
    """The cursor of a table, which prints the date, is that of the route, which returns it only if it is included."""
    arguments = ["--owner", "ada", "--sort", "lastRequestAt", "--limit", "2"]
    table = report(filled, *arguments, history=history)
    page = json.loads(flask(filled, "report", *arguments, "--format", "json", history=history).stdout)
    assert table.split()[-1] == page["nextCursor"]
    assert "lastRequestAt" not in page["projectStats"][0]


def test_stored_text_cannot_control_the_terminal(terminal, report, projects):
    """Control characters are escaped, markup is not interpreted, dates in names are unchanged, large numbers are short."""
    projects.insert_many(
        [
            {"_id": 1, "owner": "ada", "name": "\x1b[2J[red]x[/red]\n\u202e", "totalRequest": Decimal128("3.5")},
            {"_id": 2, "owner": "ada", "name": "日本", "plan": "e\u0301", "totalRequest": 1e20},
            {"_id": 3, "owner": "ada", "name": "2024-03-14T10:15", "totalRequest": -1e21},
        ]
    )
    for output in (report(projects, "--owner", "ada"), terminal(projects, "report", "--owner", "ada")):
        assert [line.split() for line in output.splitlines() if "─" not in line] == [
            ["Project", "Type", "Status", "Plan", "Requests", "Updated"],
            ["日本", "-", "-", "e\u0301", "1.000e+20", "-"],
            [r"\x1b[2J[red]x[/red]\n\u202e", "-", "-", "-", "3.50", "-"],
            ["2024-03-14T10:15", "-", "-", "-", "-1.000e+21", "-"],
            [],
            ["Total", "requests:", "-9.000e+20"],
        ]
    shares = report(projects, "--owner", "ada", "--group-by", "plan")
    assert [line.split()[-1] for line in shares.splitlines()[2:4]] == ["-", "-"]


def test_characters_that_the_encoding_lacks_are_escaped(app_factory, projects):
    """The table is ASCII in an ASCII terminal, even if a name has to be cut."""
    projects.insert_many(
        [{"_id": 1, "owner": "ada", "name": "blög"}, {"_id": 2, "owner": "ada", "name": "x" * 100, "plan": "p" * 40}]
    )
    for environment in ({"FORCE_COLOR": "1", "COLUMNS": "60"}, {"FORCE_COLOR": None}):
        runner = app_factory(projects).test_cli_runner(charset="ascii", env=environment)
        result = runner.invoke(args=["usage", "report", "--owner", "ada"])
        assert result.exit_code == 0, result.exception
        assert r"bl\xf6g" in result.stdout
        assert result.stdout.isascii()
