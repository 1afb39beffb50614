"""The output, errors and exit codes of ``flask usage``."""

import json
import os
import subprocess
import sys
from datetime import datetime
from io import RawIOBase, StringIO, TextIOWrapper
from pathlib import Path
from uuid import UUID

import pytest
from bson import ObjectId
from flask import Flask
from pymongo import MongoClient
from support import ListStore

from flask_usage_stats import ProjectStore, create_usage_blueprint
from flask_usage_stats._cli.options import REPORT_OPTIONS
from flask_usage_stats._core.parameters import ParametersSchema
from flask_usage_stats.openapi import openapi_document

FULL = "the output could not be written: No space left on device"
HEADER = "_id,name,projectType,status,plan,totalRequest,createdAt,updatedAt\r\n"


class TestFormats:
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
    @pytest.mark.parametrize("name", ["json", "csv"])
    def test_json_and_csv_are_the_body_of_the_response(self, flask, get_usage, filled, options, query, name):
        """Options have the same effect as the parameters of the route."""
        result = flask(filled, "report", "--owner", "ada", "--format", name, *options)
        assert result.stdout_bytes == get_usage(filled, "ada", query_string=f"{query}&format={name}").data
        assert (result.exit_code, result.stderr) == (0, "")

    @pytest.mark.parametrize(
        ("options", "query"),
        [
            (["--include", "lastRequestAt"], "include=lastRequestAt"),
            (["--sort", "lastRequestAt"], "sort=lastRequestAt"),
            (["--idle-days", "30"], "idleDays=30"),
        ],
    )
    @pytest.mark.parametrize("name", ["json", "csv"])
    def test_latest_requests(self, flask, app_factory, filled, history, options, query, name):
        """Options that need a history have the same effect as well."""
        filled.update_one({"_id": 1}, {"$set": {"lastRequestAt": datetime(2024, 3, 14)}})
        result = flask(filled, "report", "--owner", "ada", "--format", name, *options, history=history)
        client = app_factory(filled, history=history).test_client()
        assert result.stdout_bytes == client.get(f"/api/usage?{query}&format={name}").data
        assert b"api-service" in result.stdout_bytes

    def test_every_parameter_is_an_option(self):
        """Every parameter has an option; ``--format`` has one more choice."""
        assert {*REPORT_OPTIONS, "format"} == set(ParametersSchema().fields)

    @pytest.mark.parametrize(
        ("owner", "owner_type", "stored"),
        [
            ("7", "int", 7),
            ("507f1f77bcf86cd799439011", "objectid", ObjectId("507f1f77bcf86cd799439011")),
            ("12345678-1234-5678-1234-567812345678", "UUID", UUID("12345678-1234-5678-1234-567812345678")),
            ("7", "text", "7"),
        ],
    )
    def test_owner_type_converts_the_owner(self, flask, owner, owner_type, stored):
        """The owner is passed to the store in the type that *authenticate* returns."""
        store = ListStore({"_id": 1, "owner": stored}, {"_id": 2, "owner": "ada"})
        result = flask(store, "report", "--owner", owner, "--owner-type", owner_type, "--format", "csv")
        assert result.stdout_bytes.decode() == f"{HEADER}1,,,,,0,,\r\n"


class TestTerminal:
    """In a terminal, stored text is escaped; only there, because a file or a pipe must have the route's bytes."""

    NAME = 'a\x9b31m\x1b\x7f\u202e\u2028é\r\n"'
    STORE = ListStore({"_id": 1, "owner": "ada", "name": NAME})

    def test_json_has_the_same_value(self, run_in_pty, get_usage):
        """JSON is escaped by its own rules, and ends with a line break."""
        received = run_in_pty(self.STORE, "report", "--owner", "ada", "--format", "json").decode()
        assert json.loads(received) == get_usage(self.STORE).json
        assert received.endswith("}\n")
        assert received[:-1].isprintable()
        assert r"a\u009b31m\u001b\u007f\u202e\u2028é\r\n\"" in received

    def test_csv_has_visible_escapes(self, run_in_pty):
        """CSV has the escapes of Python, and its own line breaks."""
        received = run_in_pty(self.STORE, "report", "--owner", "ada", "--format", "csv").decode()
        line = r'1,"a\x9b31m\x1b\x7f\u202e\u2028é\r\n""",,,,0,,'
        assert received == f"{HEADER}{line}\r\n"

    @pytest.mark.parametrize("name", ["json", "csv"])
    def test_another_encoding(self, run_in_pty, name):
        """A terminal that does not use Unicode receives ASCII."""
        received = run_in_pty(self.STORE, "report", "--owner", "ada", "--format", name, encoding="latin-1")
        assert received.isascii()

    @pytest.mark.parametrize("name", ["json", "csv"])
    def test_a_pipe_has_the_bytes_of_the_route(self, run_into, get_usage, name):
        """Output that is not a terminal is not escaped."""
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as received:
            with os.fdopen(writing, "w", encoding="latin-1") as stdout:
                assert run_into(stdout, self.STORE, "report", "--owner", "ada", "--format", name) == (0, "")
            assert received.read() == get_usage(self.STORE, query_string={"format": name}).data


PROGRAM = """
from flask import Flask
from flask.cli import ScriptInfo
from flask_usage_stats import create_usage_blueprint
from support import ListStore

app = Flask("application")
app.register_blueprint(create_usage_blueprint(ListStore(), authenticate=lambda: None))
app.cli.main(["usage", "openapi"], prog_name="flask", obj=ScriptInfo(create_app=lambda: app))
"""
REPORT = ("report", "--owner", "ada", "--format")


class TestOutputErrors:
    @pytest.fixture
    def full(self):
        path = Path("/dev/full")
        if not path.exists():
            pytest.skip("the system has no /dev/full")
        with path.open("w") as full:
            yield full

    @pytest.mark.parametrize("command", [*((*REPORT, name) for name in ("table", "json", "csv")), ("openapi",)])
    def test_a_full_output_is_one_line(self, run_into, full, command):
        """If the output cannot be written, the command prints the cause on one line."""
        assert run_into(full, ListStore({"_id": 1, "owner": "ada"}), *command) == (1, f"Error: {FULL}\n")

    @pytest.mark.parametrize(("command", "code"), [("check", 2), ("ensure-indexes", 1)])
    def test_a_full_output_of_other_commands(self, run_into, full, projects, command, code):
        """The exit code is that of a command that failed, also if the check found a problem."""
        projects.insert_one({"owner": 5, "totalRequest": "x"})
        assert run_into(full, projects, command) == (code, f"Error: {FULL}\n")

    @pytest.mark.parametrize(("command", "code"), [(("check",), 2), ((*REPORT, "csv"), 1), ((*REPORT, "table"), 1)])
    def test_a_closed_pipe_is_silent(self, run_into, projects, command, code):
        """A command ends without a message if the reader has closed the pipe, as ``head`` does."""
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as stdout:
            assert run_into(stdout, projects, *command) == (code, "")

    def test_a_closed_output_is_one_line(self, run_into, projects):
        """Without a standard output, the command fails."""
        message = "Error: the output could not be written: standard output is closed\n"
        assert run_into(None, projects, "check") == (2, message)
        assert run_into(None, projects, *REPORT, "table") == (1, message)

    def test_an_output_without_a_descriptor(self, run_into):
        """A replaced standard output, which may have no file descriptor, has the same message."""

        class Full(StringIO):
            def write(self, text):
                raise OSError(28, "No space left on device")

        assert run_into(Full(), ListStore(), "openapi") == (1, f"Error: {FULL}\n")
        output = StringIO()
        assert run_into(output, ListStore(), "openapi") == (0, "")
        assert json.loads(output.getvalue())["openapi"] == "3.1.0"

    @pytest.mark.parametrize("command", [["report", "--owner", "ada", "--format", "json"], ["openapi"]])
    def test_an_unbuffered_output_is_complete(self, run_into, command):
        """Without a buffer, as with PYTHONUNBUFFERED, a write may write only a part of the data."""
        written = []

        class Slow(RawIOBase):
            def writable(self):
                return True

            def write(self, data):
                written.append(bytes(data[:7]))
                return min(len(data), 7)

        store = ListStore({"_id": 1, "owner": "ada", "name": "x" * 99})
        assert run_into(TextIOWrapper(Slow(), write_through=True), store, *command) == (0, "")
        assert json.loads(b"".join(written))

    @pytest.mark.parametrize("is_full", [True, False], ids=["full", "closed"])
    def test_the_interpreter_does_not_repeat_the_error(self, full, is_full):
        """At exit, the interpreter does not try to write the output again."""
        reading, writing = os.pipe()
        os.close(reading)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdout=full if is_full else writing,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        os.close(writing)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (1, f"Error: {FULL}\n" if is_full else "")


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--limit", "1_0"], "--limit: limit must be a whole number from 0 to 1000"),
            (["--limit", "1", "--limit", "2"], "--limit: limit must not be repeated"),
            (["--min-requests", "5", "--max-requests", "3"], "--min-requests: minRequests must not be greater than maxRequests"),
            (["--status", ""], "--status: status must be text of 1 to 100 characters, given up to 50 times"),
            (["--sort", "x", "--order", "y"], "--sort: sort must be one of totalRequest, name, createdAt, updatedAt, lastRequestAt; --order: order must be one of desc, asc"),
            (["--group-by", "plan,plan"], "--group-by: groupBy must be one or several of plan, projectType, status, separated by commas"),
            (["--cursor", "x", "--limit", "1"], "--cursor: cursor must be the nextCursor of a page of the same query"),
        ],
    )  # fmt: skip
    def test_invalid_options_are_one_line(self, flask, options, message):
        """Each message is that of the route, preceded by the option."""
        result = flask(ListStore(), "report", "--owner", "ada", *options)
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {message}\n")

    def test_latest_requests_that_are_not_recorded(self, flask, filled, history):
        """The message is that of the route, also if it is only found by reading the history."""
        options = ["report", "--owner", "ada"]
        result = flask(filled, *options, "--include", "lastRequestAt", "--idle-days", "5")
        message = "--idle-days: lastRequestAt is not recorded here; --include: lastRequestAt is not recorded here"
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {message}\n")
        result = flask(filled, *options, "--idle-days", "3650", history=history)
        message = "--idle-days: idleDays must not reach back before 2024-01-02"
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {message}\n")

    def test_damaged_history_is_one_line(self, flask, filled, history):
        """If it is not known when counting began, the command fails."""
        filled.database.usage_history.update_one({}, {"$set": {"at": None}})
        result = flask(filled, "report", "--owner", "ada", "--idle-days", "5", history=history)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Error: the history could not be read: its document 'since' has no date\n"

    def test_cursor_needs_limit(self, flask, filled):
        """A cursor without a limit is an error."""
        page = json.loads(flask(filled, "report", "--owner", "ada", "--limit", "1", "--format", "json").stdout)
        result = flask(filled, "report", "--owner", "ada", "--cursor", page["nextCursor"])
        assert (result.exit_code, result.stderr) == (2, "Error: --cursor: cursor requires limit\n")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--owner", ""], "a string of 1 to 1024 bytes"),
            (["--owner", "x" * 1025], "a string of 1 to 1024 bytes"),
            (["--owner", "\udc80"], "a string of 1 to 1024 bytes"),
            (["--owner", "07", "--owner-type", "int"], "an id of type int"),
        ],
    )
    def test_owner_must_be_an_owner_id(self, flask, options, message):
        """A value that *authenticate* cannot return is rejected."""
        result = flask(ListStore(), "report", *options)
        assert (result.exit_code, result.stderr) == (2, f"Error: --owner must be {message}\n")

    def test_unreachable_database_is_one_line(self, flask):
        """If the database is unreachable, each command prints the cause on one line."""
        with MongoClient("mongodb://localhost:1", serverSelectionTimeoutMS=100) as client:
            store = ProjectStore(client.platform.projects, timeout=0.1)
            for command in (["report", "--owner", "ada"], ["ensure-indexes"]):
                result = flask(store, *command)
                assert (result.exit_code, result.stdout) == (1, "")
                assert result.stderr.startswith("Error: the ")
                assert 'ServerSelectionTimeoutError: "localhost:1' in result.stderr
                assert result.stderr.count("\n") == 1

    def test_error_of_a_store_is_one_line(self, flask):
        """An error is reported by its type and origin, without its text."""

        class Failing:
            def iter_projects(self, owner):
                raise RuntimeError("hunter2")

        result = flask(Failing(), "report", "--owner", "ada")
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: RuntimeError ({__file__}:")
        assert result.stderr.endswith(" in iter_projects)\n")

    def test_adjusted_values_are_logged(self, flask, projects, caplog):
        """Stored values that do not fit are logged as in a request, but not printed."""
        projects.insert_one({"_id": 1, "owner": "ada", "totalRequest": "hunter2"})
        result = flask(projects, "report", "--owner", "ada", "--format", "csv")
        assert result.stdout_bytes.decode() == f"{HEADER}1,,,,,0,,\r\n"
        assert "hunter2" not in result.output
        assert "1 totalRequest (str)" in caplog.text

    @pytest.mark.parametrize(("command", "code"), [("check", 2), ("ensure-indexes", 1)])
    def test_other_stores_have_no_collection(self, flask, command, code):
        """Commands for a collection require a ProjectStore."""
        result = flask(ListStore(), command)
        assert result.stderr == f"Error: {command} requires a ProjectStore; this store is a ListStore\n"
        assert (result.exit_code, result.stdout) == (code, "")


class TestIndexes:
    def test_index_is_created_and_its_name_printed(self, flask, projects):
        """The command creates the index and prints its name; running it again changes nothing."""
        for _ in range(2):
            result = flask(projects, "ensure-indexes")
            assert (result.exit_code, result.output) == (0, "usage_stats_owner\n")
        assert "usage_stats_owner" in projects.index_information()

    def test_index_names_are_escaped(self, flask, projects):
        """The name of an existing index cannot control a terminal."""
        projects.create_index("owner", name="a\x1b\u202e")
        assert flask(projects, "ensure-indexes").output == "a\\x1b\\u202e\n"

    def test_owner_filter_has_no_known_index(self, flask, projects):
        """With *owner_filter*, the error says what to index."""
        result = flask(ProjectStore(projects, owner_filter=lambda owner: {"team": 1}), "ensure-indexes")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: owner_filter decides which projects match: index the path")


class TestOpenAPI:
    def test_document_is_printed_as_json(self, flask):
        """The document has the prefix of the blueprint unless another one is given."""
        assert json.loads(flask(ListStore(), "openapi").stdout) == openapi_document()
        result = flask(ListStore(), "openapi", "--url-prefix", "/v2")
        assert (result.exit_code, json.loads(result.stdout)) == (0, openapi_document(url_prefix="/v2"))

    def test_missing_apispec_is_one_line(self, flask, monkeypatch):
        """If apispec is missing, the error says what to install."""
        monkeypatch.delitem(sys.modules, "flask_usage_stats.openapi", raising=False)
        for name in [name for name in sys.modules if name.split(".")[0] == "apispec"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "apispec", None)
        result = flask(ListStore(), "openapi")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Error: openapi requires apispec: pip install apispec\n"


class TestGroup:
    @pytest.mark.parametrize("command", [[], ["report"], ["check"], ["ensure-indexes"], ["openapi"]])
    def test_help_has_a_summary(self, flask, command):
        """The group and every command have a summary."""
        result = flask(ListStore(), *command, "--help")
        assert result.exit_code == 0
        assert result.stdout.splitlines()[2].startswith("  ")

    def test_every_option_has_help(self, app_factory):
        """Every option of every command has a description."""
        for command in app_factory(ListStore()).cli.commands["usage"].commands.values():
            assert command.help
            assert all(option.help for option in command.params if option.param_type_name == "option")

    def test_second_blueprint_has_another_group(self):
        """With *cli_group*, the commands of a second blueprint have another name."""
        app = Flask("application")
        for number, group in enumerate(["usage", "teams"]):
            store = ListStore({"_id": number, "owner": "ada"})
            blueprint = create_usage_blueprint(store, authenticate=lambda: None, name=f"usage_{number}")
            app.register_blueprint(blueprint, url_prefix=f"/{number}", cli_group=group)
        for number, group in enumerate(["usage", "teams"]):
            result = app.test_cli_runner().invoke(args=[group, "report", "--owner", "ada", "--format", "csv"])
            assert result.stdout_bytes.decode() == f"{HEADER}{number},,,,,0,,\r\n"

    def test_commands_run_in_the_application_context(self, projects):
        """A callable that returns the collection can use current_app."""
        app = Flask("application")
        app.config["NAME"] = "projects"

        def found():
            from flask import current_app

            return projects.database[current_app.config["NAME"]]

        app.register_blueprint(create_usage_blueprint(ProjectStore(found), authenticate=lambda: None))
        assert app.test_cli_runner().invoke(args=["usage", "ensure-indexes"]).output == "usage_stats_owner\n"
