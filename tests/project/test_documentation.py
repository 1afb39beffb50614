"""Every snippet in the documentation and the docstrings runs and produces the documented output."""

import json
import logging
import re
import shlex
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from threading import Thread
from types import ModuleType

import click
import pytest
from bson import ObjectId
from flask import request
from flask_limiter import Limiter
from project.hidden_code import HIDDEN_CODE
from pymongo import MongoClient
from support import KEY, ROOT, SAMPLE_ROWS, bearer, jwt_app, make_token
from sybil.document import PythonDocStringDocument
from sybil.evaluators.doctest import DocTestEvaluator
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.abstract.doctest import DocTestStringParser
from sybil.parsers.myst import CodeBlockParser
from sybil.parsers.rest import CodeBlockParser as DirectiveParser
from sybil.parsers.rest import DocTestParser
from sybil.region import Lexeme, Region
from sybil.sybil import Sybil
from werkzeug.serving import make_server

from flask_usage_stats import (
    PlatformStore,
    ProjectStore,
    UsageHistory,
    create_platform_blueprint,
    create_usage_blueprint,
)
from flask_usage_stats._cli.options import HISTORY_OPTIONS, PLATFORM_OPTIONS, REPORT_OPTIONS
from flask_usage_stats._core.calendar import get_quarter
from flask_usage_stats._core.history_parameters import HistoryParametersSchema, parse_history_parameters
from flask_usage_stats._core.parameters import ParametersSchema, parse_parameters
from flask_usage_stats._core.platform_parameters import PlatformParametersSchema, parse_platform_parameters
from flask_usage_stats._core.timeline import Selection, plan_reading
from flask_usage_stats._mongodb.history_updates import HistoryWriter
from flask_usage_stats.errors import InvalidParametersError
from flask_usage_stats.jwt import jwt_identity

PAGES = sorted((ROOT / "docs").rglob("*.md"))
PACKAGE = ROOT / "src" / "flask_usage_stats"
MODULES = sorted(PACKAGE.rglob("*.py"))
SAMPLED = [page for page in PAGES if page.stem == "http-api" or page.parent.name == "examples"]
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\.csv")
NOW = datetime(2026, 3, 30, 10, 20, tzinfo=UTC)


def sessions(document):
    """Yield the examples of interactive sessions: each statement is run and its output compared."""
    for region in CodeBlockParser("pycon", lambda _: None)(document):
        source = region.parsed
        for example in DocTestStringParser(DocTestEvaluator())(source, document.path):
            example.adjust(region, source)
            yield example


def check_json(example):
    """Compare a JSON block with the response of the page's application to the owner ada."""
    app = example.namespace["app"]
    assert json.dumps(app.test_client().get("/api/usage", headers=bearer(make_token(app))).json) == json.dumps(
        json.loads(example.parsed)
    )


def exchange(example):
    """Send a documented HTTP request, or compare a documented response with the actual one.

    A CSV file name contains the current date: any date is accepted.
    """
    head, _, body = example.parsed.partition("\n\n")
    first, *lines = head.strip().splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    if first.startswith("HTTP/"):
        response = example.namespace["response"]
        got = dict(response.headers)
        for each in (headers, got):
            if "Content-Disposition" in each:
                each["Content-Disposition"] = DAY.sub("DAY.csv", each["Content-Disposition"])
        assert first == f"HTTP/1.1 {response.status}"
        assert headers.items() <= got.items()
        assert set(got) - set(headers) <= {"Content-Length", "Cache-Control", "Vary", "ETag"}
        if response.mimetype == "application/json":
            assert json.dumps(response.json) == json.dumps(json.loads(body))
        else:  # CSV with the line endings of a page, or the empty body of a 304
            assert response.text.replace("\r\n", "\n") == body
    else:
        method, path, _ = first.split()
        client = example.namespace["send_to"](headers.get("Authorization", ""))
        example.namespace["response"] = client.open(path, method=method, headers=headers)


def in_terminal(example):
    """Run `flask usage` commands and compare their output; without `| cat` or `| tail -n 1`, as in a terminal."""
    if not re.match(r"\$ flask [a-z-]*usage ", example.parsed):
        return
    runner, result = example.namespace["app"].test_cli_runner(), None
    for command, output in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", example.parsed, re.MULTILINE):
        if command == "echo $?":
            assert output == f"{result.exit_code}\n"
            continue
        program, _, reader = command.partition(" | ")
        assert reader in ("", "cat", "tail -n 1")
        environment = {"FORCE_COLOR": None if reader else "1", "NO_COLOR": "1", "COLUMNS": "80"}
        result = runner.invoke(args=shlex.split(program)[1:], env=environment)
        printed = [line.rstrip() for line in click.unstyle(result.output).splitlines()]
        if reader == "tail -n 1":
            printed = printed[-1:]
        assert "\n".join(printed) == output.rstrip("\n"), "\n" + "\n".join(printed)


def in_shell(example):
    """Run a program as in the Flask shell of the page's application."""
    with example.namespace["app"].app_context():
        PythonEvaluator()(example)


def hidden_code(document):
    """Yield the hidden code of a page, each at its line."""
    page = Path(document.path)
    name = page.relative_to(ROOT / "docs").with_suffix("").as_posix() if page in PAGES else ""
    for line, source in HIDDEN_CODE.get(name, {}).items():
        (match,) = re.finditer(rf"^{re.escape(line)}$", document.text, re.MULTILINE)
        yield Region(match.start(), match.end(), Lexeme(source, 0, 0), in_shell)


DOCUMENTS = Sybil(
    [hidden_code, CodeBlockParser("python", in_shell), CodeBlockParser("console", in_terminal), sessions]
    + [CodeBlockParser("json", check_json), CodeBlockParser("http", exchange)]
)
DOCSTRINGS = Sybil(
    [DirectiveParser("python", PythonEvaluator()), DocTestParser()], document_types={".py": PythonDocStringDocument}
)


def evaluate(sybil, path, names):
    document = sybil.parse(path)
    document.namespace.update(names)
    examples = list(document.examples())
    for example in examples:
        example.evaluate()
    return examples


@pytest.fixture
def names(local_mongodb, monkeypatch):
    """Yield the names that a page uses without defining them: a database, a store and an application."""
    monkeypatch.setenv("JWT_SECRET_KEY", KEY)
    db = MongoClient("mongodb://localhost:27017").platform
    store = ProjectStore(db.projects)
    yield {
        "db": db,
        "store": store,
        "app": jwt_app(store),
        "new_host": jwt_app,
        "token_of": lambda owner: make_token(jwt_app(), owner),
        "user": {"_id": ObjectId()},
        "ObjectId": ObjectId,
        "ProjectStore": ProjectStore,
        "create_usage_blueprint": create_usage_blueprint,
        "jwt_identity": jwt_identity,
        "mount": lambda authenticate: jwt_app(store, authenticate).test_client(),
    }
    logging.getLogger("flask_usage_stats").setLevel(logging.NOTSET)  # a page sets the level


def fill_history(db, since, counts):
    """Insert the time since which requests are counted, and the requests of sample projects."""
    db.usage_history.insert_one({"_id": "since", "at": since, "format": 1})
    quarters = {
        (ObjectId(f"507f1f77bcf86cd7994390{project}"), get_quarter(datetime.fromisoformat(moment))): requests
        for project, moment, requests in counts
    }
    HistoryWriter(UsageHistory(db.usage_history), "sample").write(quarters, 1, 30, 0.0)


def fill_two_days(db):
    """Insert the history of the HTTP API page: 8,100 requests on one day in Berlin, and 912 on the next."""
    counts = [
        (12, "2026-03-28T23:00Z", 100),
        (12, "2026-03-29T08:45Z", 5300),
        (11, "2026-03-29T12:30Z", 1900),
        (14, "2026-03-29T21:45Z", 700),
        (13, "2026-03-29T16:15Z", 100),
        (12, "2026-03-29T22:00Z", 612),
        (11, "2026-03-30T07:30Z", 210),
        (14, "2026-03-30T10:15Z", 90),
    ]
    fill_history(db, datetime(2026, 3, 28, 23), counts)


def fill_three_months(db):
    """Insert the history of the examples."""
    counts = [
        (12, "2026-01-14T09:00Z", 21_400),
        (11, "2026-01-20T12:00Z", 9800),
        (13, "2026-01-09T16:00Z", 410),
        (12, "2026-02-11T09:00Z", 20_900),
        (11, "2026-02-17T12:00Z", 9900),
        (14, "2026-02-24T20:00Z", 4200),
        (13, "2026-02-05T16:00Z", 380),
        (12, "2026-03-04T09:00Z", 5150),
        (11, "2026-03-07T12:00Z", 2300),
        (12, "2026-03-12T09:00Z", 5240),
        (14, "2026-03-14T20:00Z", 1850),
        (11, "2026-03-17T12:00Z", 2750),
        (12, "2026-03-19T09:00Z", 4980),
        (14, "2026-03-25T20:00Z", 3100),
        (12, "2026-03-26T09:00Z", 5020),
        (13, "2026-03-27T16:00Z", 95),
        (11, "2026-03-30T07:30Z", 210),
    ]
    fill_history(db, datetime(2025, 12, 3, 10), counts)


@pytest.fixture
def sample(names, page, monkeypatch, tmp_path):
    """Insert the sample projects, and return the names that map each documented token to its owner."""
    if page in SAMPLED:
        monkeypatch.setattr("flask_usage_stats._core.clock.get_now", lambda: NOW)
        fill_sample_history = fill_three_months if page.parent.name == "examples" else fill_two_days
        fill_sample_history(names["db"])
    rows = [dict(row) for row in SAMPLE_ROWS]
    owner = ObjectId("507f191e810c19729de860ea")  # fixed, because cursors contain a checksum of it
    for row in rows:
        names["db"].projects.insert_one(
            row | {"_id": ObjectId(row["_id"]), "owner": owner, "updatedAt": row["updatedAt"]}
        )
    names["db"].projects.insert_one({"_id": 1, "owner": "other", "name": '=1+1, "sum"', "totalRequest": 7})
    names["db"].projects.insert_many(
        {"_id": number, "owner": "counted", "name": name, "totalRequest": requests, "createdAt": datetime(2024, 1, 1)}
        | ({"lastRequestAt": latest} if latest else {})
        for number, name, requests, latest in (
            (2, "shop", 320, datetime(2024, 6, 30, 8, 15)),
            (3, "draft", 0, None),
            (4, "busy", 5, datetime.now(UTC)),
        )
    )
    counted = ProjectStore(names["db"].projects, fields={"lastRequestAt": "lastRequestAt"})
    down = ProjectStore(MongoClient("mongodb://localhost:27017").platform.projects, timeout=0.3)
    down._open().database.client.close()
    history = UsageHistory(names["db"].usage_history)
    callers = {
        "Bearer TOKEN": (names["store"], lambda: owner, history),
        "Bearer TOKEN-OF-ANOTHER-USER": (names["store"], lambda: "other"),
        "Bearer TOKEN-OF-A-NEW-USER": (names["store"], lambda: "new"),
        "Bearer TOKEN-OF-A-COUNTED-USER": (counted, lambda: "counted"),
        "Bearer TOKEN-WHILE-THE-DATABASE-IS-DOWN": (down, lambda: owner),
    }

    def send_to(credential):
        app = jwt_app(*callers.get(credential, (names["store"], jwt_identity)))
        platform = PlatformStore(names["store"])
        authorize = {"Bearer TOKEN-OF-AN-OPERATOR": True}.get(credential, False)
        app.register_blueprint(create_platform_blueprint(platform, authorize=lambda: authorize))
        return app.test_client()

    def fill():
        """Insert the sample projects for ada, and documents that `flask usage check` reports as problems."""
        names["db"].projects.insert_many([row | {"_id": ObjectId(row["_id"]), "owner": "ada"} for row in rows])
        names["db"].projects.insert_many(
            [
                {"_id": "wiki", "owner": ObjectId(), "totalRequest": "12"},
                {"owner": ObjectId(), "name": "old", "totalRequest": "7", "status": "deleted"},
                {"name": "lost"},
            ]
        )

    def mount_history():
        """Insert the history of the sample projects, stop the clock, and return an application with the history."""
        monkeypatch.setattr("flask_usage_stats._core.clock.get_now", lambda: NOW)
        fill_two_days(names["db"])
        return jwt_app(names["store"], history=history)

    def mount_platform():
        """Stop the clock, and return an application with the platform view of the sample projects."""
        monkeypatch.setattr("flask_usage_stats._core.clock.get_now", lambda: NOW)
        app = jwt_app(names["store"])
        app.register_blueprint(create_platform_blueprint(PlatformStore(names["store"]), authorize=lambda: True))
        return app

    def save_log(name):
        """Save the lines of nginx that the page shows in an empty folder, and make that the current one."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / name).write_text("".join(re.findall(r'^\{"host":.*\n', page.read_text(), re.MULTILINE)))

    token = make_token(names["app"], str(owner))
    helpers = {"fill": fill, "mount_history": mount_history, "mount_platform": mount_platform, "save_log": save_log}
    return {"send_to": send_to, "TOKEN": token} | helpers


@contextmanager
def served(app):
    """Serve an application over HTTP and yield the URL of the route."""
    server = make_server("127.0.0.1", 0, app)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/usage"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def saved_as_app(names, monkeypatch):
    """Make the names of the page's program importable from ``app``, as if it were saved as ``app.py``."""
    saved = ModuleType("app")
    saved.db, saved.store = names["db"], names["store"]
    monkeypatch.setitem(sys.modules, "app", saved)


@pytest.mark.usefixtures("saved_as_app")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs").with_suffix("")))
def test_page(page, names, sample):
    """The programs of a page run in order and produce the documented output."""
    if page not in SAMPLED:
        names["db"].projects.delete_many({})
    with served(names["app"]) as address:
        evaluate(DOCUMENTS, page, names | sample | {"URL": address, "__name__": "page"})


def test_rate_limit(names, tmp_path, monkeypatch):
    """The recipe counts a request for its own owner, even if another owner's request runs meanwhile."""
    page = (ROOT / "docs" / "recipes.md").read_text()
    recipe = tmp_path / "recipe.md"
    recipe.write_text(page.partition("## Limit the request rate\n")[2].partition("\n## ")[0])
    app = evaluate(DOCUMENTS, recipe, names | {"app": jwt_app(), "__name__": "page"})[-1].namespace["app"]
    ada, bob = bearer(make_token(app, "ada")), bearer(make_token(app, "bob"))
    identify_request = Limiter.identify_request

    def interrupted(limiter):
        """Let bob's request run where a limit is set up but not yet counted."""
        if request.headers["Authorization"] == ada["Authorization"]:
            other = Thread(target=lambda: app.test_client().get("/api/usage", headers=bob))
            other.start()
            other.join()
        return identify_request(limiter)

    monkeypatch.setattr(Limiter, "identify_request", interrupted)
    assert [app.test_client().get("/api/usage", headers=ada).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_docstrings(module, names):
    """The examples in docstrings run with the names of their module."""
    parts = module.relative_to(PACKAGE.parent).with_suffix("").parts
    name = ".".join(part for part in parts if part != "__init__")
    evaluate(DOCSTRINGS, module, vars(import_module(name)) | names)


def test_something_is_run():
    """Sybil finds the snippets of the pages."""
    counts = {page.stem: len(list(DOCUMENTS.parse(page).examples())) for page in PAGES}
    assert counts["quickstart"] >= 3
    assert counts["http-api"] >= 24
    assert all(counts[page.stem] >= 2 for page in SAMPLED if page.stem not in ("index", "javascript"))
    assert counts["storage"] >= 12
    assert counts["edge"] >= 5
    docstrings = sum(len(list(DOCSTRINGS.parse(module).examples())) for module in MODULES)
    assert docstrings >= 7


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_plain_markdown(page):
    """A page has no directives or hidden code, which code hosts would display."""
    assert not re.findall(r"^(?:```\{|~~~\{|:::|%|<!---|\(.*\)=$)", page.read_text(), re.MULTILINE)


def get_section(heading, end, name="http-api"):
    """Return the part of a page, by default of the HTTP API, from a heading to the next line that begins with *end*."""
    page = (ROOT / "docs" / f"{name}.md").read_text()
    return page.partition(f"\n{heading}\n")[2].partition(f"\n{end}")[0]


@pytest.mark.parametrize(
    ("heading", "schema"),
    [
        ("## Parameters", ParametersSchema),
        ("### History parameters", HistoryParametersSchema),
        ("### Platform parameters", PlatformParametersSchema),
    ],
)
def test_parameter_tables(heading, schema):
    """The tables list the parameters in the order in which errors are reported."""
    rows = re.findall(r"^\| (`.*?`) \|", get_section(heading, "#"), re.MULTILINE)
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row)] == list(schema().fields)


@pytest.mark.parametrize(
    ("heading", "options"),
    [("## Report", REPORT_OPTIONS), ("## History", HISTORY_OPTIONS), ("## Platform", PLATFORM_OPTIONS)],
)
def test_option_tables(heading, options):
    """The tables of the commands list every option with its parameter."""
    rows = re.findall(r"^\| (`--.*?) \| (.*?) \|", get_section(heading, "## ", "cli"), re.MULTILINE)
    listed = {
        name: option
        for left, right in rows
        for option, name in zip(re.findall(r"`(--.*?)`", left), re.findall(r"`(\w+)`", right), strict=True)
    }
    assert listed == {name: option for name, (option, *_) in options.items()}


def test_ingest_options(names):
    """The table of the ingest lists every option of the command."""
    listed = re.findall(r"^\| `(--[a-z-]*)", get_section("## Ingest", "## ", "cli"), re.MULTILINE)
    command = names["app"].cli.commands["usage"].commands["ingest"]
    assert listed == [name for each in command.params if isinstance(each, click.Option) for name in each.opts]


def test_every_message():
    """The HTTP API documentation lists every error message for an invalid parameter."""
    table = get_section("### 400: a parameter is invalid", "### ")
    bad = {name: ["", ""] for name in ParametersSchema().fields}
    for requests in (
        {name: [""] for name in bad},
        {"minRequests": ["2"], "maxRequests": ["1"], "cursor": ["x"]},
        {"limit": ["1"], "cursor": ["x"]},
        {"Limit": ["1"]},
        {"include": ["lastRequestAt"], "idleDays": ["1"], "sort": ["lastRequestAt"]},
    ):
        with pytest.raises(InvalidParametersError) as caught:
            parse_parameters(requests, "ada")
        for (message,) in caught.value.errors.values():
            assert f"`{message}`" in table
    once = ParametersSchema().validate(bad)
    assert [name for name, (message,) in once.items() if message != f"{name} must not be repeated"] == [
        "status",
        "projectType",
        "plan",
        "without",
        "groupBy",
    ]


@pytest.mark.parametrize(
    ("route", "schema"), [("the history", HistoryParametersSchema), ("the platform view", PlatformParametersSchema)]
)
def test_parameters_of_the_list_that_are_refused(route, schema):
    """The other routes refuse those parameters of the list that they do not have."""
    table = get_section(f"### 400: a parameter of {route} is invalid", "### ")
    (names,) = re.findall(rf"^\| (.*) \| `\w+ is not a parameter of {route}`", table, re.MULTILINE)
    assert re.findall(r"`(\w+)`", names) == [name for name in ParametersSchema().fields if name not in schema().fields]


def test_every_message_of_the_history():
    """The same is true for the parameters of the history."""
    table = get_section("### 400: a parameter of the history is invalid", "### ")
    names = list(HistoryParametersSchema().fields)
    for requests in (
        {name: [""] for name in names},
        {"from": ["2026-03-28"], "to": ["2026-03-28"]},
        {"from": ["2026-01-01"], "to": ["2026-04-03"], "window": ["hour"]},
        {"limit": ["5"]},
        {"From": ["2026-03-28"]},
    ):
        with pytest.raises(InvalidParametersError) as caught:
            parse_history_parameters(requests, NOW)
        for (message,) in caught.value.errors.values():
            assert f"`{message}`" in table
    with pytest.raises(InvalidParametersError) as caught:
        plan_reading(
            Selection([1] * 5000, {}, {}), parse_history_parameters({}, NOW), datetime(2026, 1, 1, tzinfo=UTC), NOW
        )
    assert f"`{caught.value}`" in table
    once = HistoryParametersSchema().validate({name: ["", ""] for name in names})
    assert [name for name, (message,) in once.items() if message != f"{name} must not be repeated"] == [
        "project",
        "status",
        "projectType",
        "plan",
        "without",
        "groupBy",
    ]


def test_every_message_of_the_platform_view():
    """The same is true for the parameters of the platform view."""
    table = get_section("### 400: a parameter of the platform view is invalid", "### ")
    names = list(PlatformParametersSchema().fields)
    for requests in (
        {name: [""] for name in names},
        {"top": ["5"]},
        {"groupBy": ["owner"]},
        {"Limit": ["5"]},
        {"sort": ["name"]},
    ):
        with pytest.raises(InvalidParametersError) as caught:
            parse_platform_parameters(requests, has_owners=False)
        for (message,) in caught.value.errors.values():
            assert f"`{message}`" in table
    once = PlatformParametersSchema().validate({name: ["", ""] for name in names})
    assert [name for name, (message,) in once.items() if message != f"{name} must not be repeated"] == [
        "status",
        "projectType",
        "plan",
        "without",
        "groupBy",
    ]
