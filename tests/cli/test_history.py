"""``flask usage history``, and the history in the other commands."""

import json
import sys
from datetime import UTC, datetime

import pytest
from support import ListStore, StubStore

from flask_usage_stats import ProjectStore, UsageHistory
from flask_usage_stats._cli.options import HISTORY_OPTIONS
from flask_usage_stats._core.calendar import get_quarter
from flask_usage_stats._core.history_parameters import HistoryParametersSchema
from flask_usage_stats._mongodb.history_updates import HistoryWriter
from flask_usage_stats.openapi import openapi_document

NOW = datetime(2026, 3, 30, 10, 20, tzinfo=UTC)
ARGUMENTS = ("--owner", "ada", "--from", "2026-03-28", "--tz", "Europe/Berlin")


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr("flask_usage_stats._core.clock.get_now", lambda: NOW)


@pytest.fixture
def counted(projects):
    """Return a history of two projects of ada."""
    projects.insert_many([{"_id": 7, "owner": "ada", "plan": "pro"}, {"_id": "\x1b[31m", "owner": "ada"}])
    collection = projects.database.usage_history
    collection.insert_one({"_id": "since", "at": datetime(2026, 3, 28, 23), "format": 1})
    counts = {
        (project, get_quarter(datetime.fromisoformat(moment).replace(tzinfo=UTC))): number
        for project, moment, number in (
            (7, "2026-03-29T00:00", 8000),
            (7, "2026-03-30T09:00", 900),
            ("\x1b[31m", "2026-03-30T09:00", 2000),
        )
    }
    HistoryWriter(UsageHistory(collection), "w").write(counts, 1, 30, 0.0)
    return UsageHistory(collection)


def test_every_parameter_is_an_option():
    """The options are the parameters of the route, in the same order."""
    assert list(HISTORY_OPTIONS) == [name for name in HistoryParametersSchema().fields if name != "format"]


def test_table(terminal, projects, counted):
    """A line for each window, with a bar relative to the highest."""
    assert terminal(projects, "history", *ARGUMENTS, history=counted, NO_COLOR="1") == (
        "From        Requests\n"
        "───────────────────────────────────────────\n"
        "2026-03-28         -\n"
        "2026-03-29     8,000  ━━━━━━━━━━━━━━━━━━━━\n"
        "2026-03-30    2,900*  ━━━━━━━\n"
        "\n"
        "Total requests: 10,900\n"
        "Counted since 2026-03-29 00:00 Europe/Berlin; * counted in part\n"
    )


def test_complete_windows(terminal, projects, counted):
    """Without a window that was counted in part, there is no note about it."""
    output = terminal(projects, "history", *ARGUMENTS, "--to", "2026-03-30", history=counted)
    assert output.endswith("Total requests: 8,000\nCounted since 2026-03-29 00:00 Europe/Berlin\n")


def test_missing_rich(flask, counted, monkeypatch):
    """If rich is missing, the error is printed before anything is read."""
    for name in [name for name in sys.modules if name.split(".")[0] == "rich" or name.endswith("table")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    result = flask(StubStore(error=OSError()), "history", *ARGUMENTS, history=counted)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: the table requires rich: pip install rich, or use --format json or csv\n"


def test_groups(terminal, projects, counted):
    """A line for each group of each window; control characters are escaped."""
    lines = terminal(projects, "history", *ARGUMENTS, "--group-by", "project", history=counted).splitlines()
    assert [line.split("━")[0].rstrip() for line in lines[2:7]] == [
        r"2026-03-28  -                -",
        r"2026-03-29  7            8,000",
        r"2026-03-29  \x1b[31m         0",
        r"2026-03-30  7             900*",
        r"2026-03-30  \x1b[31m    2,000*",
    ]


def test_others(terminal, counted):
    """The requests to the other projects are a line of their own."""
    store = ListStore({"_id": 7, "owner": "ada"}, *({"_id": 100 + n, "owner": "ada"} for n in range(24)))
    lines = terminal(store, "history", *ARGUMENTS, "--group-by", "project", history=counted).splitlines()
    others = [line.split() for line in lines if "(others)" in line]
    assert [(line[0], line[2]) for line in others] == [("2026-03-29", "0"), ("2026-03-30", "0*")]


def test_hours(terminal, projects, counted):
    """Hours have their offset, since an hour may be repeated."""
    arguments = ("--owner", "ada", "--from", "2026-03-29T00:00:00Z", "--to", "2026-03-29T02:00:00Z", "--window", "hour")
    output = terminal(projects, "history", *arguments, "--tz", "Europe/Berlin", history=counted)
    assert [line[:23] for line in output.splitlines()[2:4]] == ["2026-03-29 01:00 +01:00", "2026-03-29 03:00 +02:00"]


def test_nothing_was_counted(terminal, projects, database):
    """Without counts, the last line says so; in the future, there is no table."""
    history = UsageHistory(database.usage_history)
    output = terminal(projects, "history", "--owner", "ada", history=history)
    assert output.endswith("Total requests: 0\nNothing was counted yet.\n")
    arguments = ("--owner", "ada", "--from", "2026-05-01", "--to", "2026-05-02")
    assert terminal(projects, "history", *arguments, history=history) == (
        "Total requests: 0\nNothing was counted yet.\n"
    )


@pytest.mark.parametrize("name", ["json", "csv"])
def test_bodies_of_the_route(flask, app_factory, projects, counted, name):
    """The other formats print exactly the body of the route."""
    result = flask(projects, "history", *ARGUMENTS, "--format", name, "--plan", "PRO", history=counted)
    client = app_factory(projects, history=counted).test_client()
    query = f"from=2026-03-28&tz=Europe/Berlin&plan=PRO&format={name}"
    assert result.stdout_bytes == client.get(f"/api/usage/history?{query}").data


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tz", "Mars"), "--tz: tz must be an IANA time zone, such as Europe/Berlin"),
        (("--window", "hour"), "--window: window=hour gives at most 744 buckets; this range has 8784"),
        (("--owner", ""), "--owner must be a string of 1 to 1024 bytes"),
    ],
)
def test_invalid_options(flask, projects, counted, arguments, message):
    """The message names the option."""
    result = flask(projects, "history", "--owner", "ada", "--from", "2025-03-30", *arguments, history=counted)
    assert (result.exit_code, result.stderr) == (2, f"Error: {message}\n")


def test_too_many_days_of_projects(flask, counted):
    """The limit that depends on the number of projects is an error of an option as well."""
    store = ListStore(*({"_id": n, "owner": "ada"} for n in range(30_000)))
    result = flask(store, "history", *ARGUMENTS, history=counted)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: --window: this range reads 90000 project days")


def test_failure(flask, projects, counted, database):
    """An error is one line."""
    database.usage_history.update_one({"_id": "since"}, {"$set": {"format": 2}})
    result = flask(projects, "history", "--owner", "ada", history=counted)
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: the history was written by a later version of flask-usage-stats, which this process needs\n",
    )


def test_without_a_history(flask, projects):
    """The command does not exist."""
    assert "No such command 'history'" in flask(projects, "history", "--owner", "ada").stderr


def test_openapi(flask, projects, counted):
    """The document has the route if the application has it."""
    assert json.loads(flask(projects, "openapi", history=counted).stdout) == openapi_document(history=True)


class TestEnsureIndexes:
    def test_both(self, flask, projects, counted):
        """The names of both indexes are printed."""
        result = flask(projects, "ensure-indexes", history=counted)
        assert (result.exit_code, result.stdout) == (0, "usage_stats_owner\nusage_history_expiry\n")

    def test_custom_store(self, flask, counted):
        """With another store, only the history has an index."""
        result = flask(ListStore(), "ensure-indexes", history=counted)
        assert (result.exit_code, result.stdout) == (0, "usage_history_expiry\n")


class TestCheck:
    def line(self, flask, projects, history):
        output = flask(projects, "check", history=history).stdout.splitlines()
        return next(line for line in output if " history: " in line)

    def test_expiry(self, flask, projects, counted, database):
        """The index must exist and fit the retention."""
        missing = "problem  history: no index removes old days: run flask usage ensure-indexes"
        assert self.line(flask, projects, counted) == missing
        database.usage_history.create_index("_id.d")
        assert self.line(flask, projects, counted) == missing
        database.usage_history.drop_indexes()
        counted.ensure_indexes()
        assert self.line(flask, projects, counted) == "ok       history: counted since 2026-03-28, kept for 400 days"
        assert self.line(flask, projects, UsageHistory(database.usage_history, retention_days=30)) == (
            "problem  history: index 'usage_history_expiry' removes days after 400 days, not 30:"
            " run flask usage ensure-indexes"
        )
        database.usage_history.drop_indexes()
        database.usage_history.create_index("_id.d", name="short", expireAfterSeconds=43_200)
        assert "index 'short' removes days after 0.5 days, not 400" in self.line(flask, projects, counted)

    @pytest.mark.parametrize(
        ("update", "line"),
        [
            ({"$set": {"format": 2}}, "problem  history: written by a later version of flask-usage-stats"),
            ({"$unset": {"at": 1}}, "problem  history: its document 'since' has no date, so nothing can be read"),
        ],
    )
    def test_since(self, flask, projects, counted, database, update, line):
        """The document ``since`` must be readable."""
        database.usage_history.update_one({"_id": "since"}, update)
        assert self.line(flask, projects, counted) == line

    def test_nothing_was_counted(self, flask, projects, database):
        """A new history is ok, if it has the index."""
        history = UsageHistory(database.usage_history)
        assert self.line(flask, projects, history).startswith("problem  history: no index removes old days")
        history.ensure_indexes()
        assert self.line(flask, projects, history) == "ok       history: nothing was counted yet"

    def test_collation(self, flask, projects, database):
        """Projects whose ids differ only in case could not both be counted."""
        collection = database.create_collection("collated", collation={"locale": "en", "strength": 1})
        history = UsageHistory(collection)
        history.ensure_indexes()
        assert self.line(flask, projects, history) == (
            "problem  history: the collection has a collation, so ids that it takes for equal cannot each have a day"
        )

    def test_the_owner_is_last(self, flask, projects, counted):
        """The line of the owner, which the documentation takes with ``tail``, follows that of the history."""
        output = flask(projects, "check", "--owner", "ada", history=counted).stdout.splitlines()
        assert [" history: " in output[-2], " owner: " in output[-1]] == [True, True]

    def test_without_a_history(self, flask, projects):
        """An application without a history has no such line."""
        assert "history" not in flask(ProjectStore(projects), "check").stdout
