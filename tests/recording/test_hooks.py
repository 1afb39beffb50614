"""Counting the requests of an application, each once."""

import pytest
from flask import Flask, abort, g
from support import StubStore

from flask_usage_stats import create_usage_blueprint
from flask_usage_stats._recording.hooks import add_hooks


class Counts(list):
    def attach(self, app, project_id=lambda: g.get("project"), should_count=None):
        add_hooks(app, self.append, project_id, should_count)


@pytest.fixture
def counts():
    return Counts()


@pytest.fixture
def app():
    app = Flask("application")

    @app.route("/<project>", methods=["GET", "POST"])
    def serve(project):
        g.project = project
        return f"served {project}"

    @app.get("/abort/<int:status>")
    def fail(status):
        g.project = status
        abort(status)

    @app.get("/error")
    def error():
        g.project = "error"
        raise ZeroDivisionError

    @app.get("/none")
    def none():
        return "no project"

    return app


def test_requests_are_counted_by_default(app, counts):
    """All statuses and all methods except OPTIONS and HEAD are counted, if the request has a project."""
    counts.attach(app)
    client = app.test_client()
    for method, path in (
        ("GET", "/blog"), ("POST", "/blog"), ("HEAD", "/blog"), ("OPTIONS", "/blog"), ("GET", "/none"),
        ("GET", "/abort/404"), ("GET", "/error"), ("GET", "/missing/page"), ("DELETE", "/blog"),
    ):  # fmt: skip
        client.open(path, method=method)
    assert counts == ["blog", "blog", 404, "error"]


def test_a_rule_replaces_the_default(app, counts):
    """``should_count`` decides by the response, also for methods that are not counted by default."""
    counts.attach(app, should_count=lambda response: response.status_code < 400)
    client = app.test_client()
    for method, path in (("HEAD", "/blog"), ("GET", "/abort/404"), ("GET", "/api"), ("GET", "/error")):
        client.open(path, method=method)
    assert counts == ["blog", "api"]


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("hook", ["before_request", "after_request", "teardown_request", "teardown_appcontext"])
def test_other_hooks_may_raise_errors(app, counts, hook, order):
    """A request is counted once, whichever function of the application raises an error, before or after ours."""

    def fail(*_):
        raise ZeroDivisionError

    @app.before_request
    def identify():
        g.project = "blog"

    if order == "before":
        getattr(app, hook)(fail)
    counts.attach(app, should_count=lambda response: response.status_code in (200, 500))
    if order == "after":
        getattr(app, hook)(fail)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    try:
        app.test_client().get("/blog")
    except ZeroDivisionError:
        assert hook != "before_request"
    assert counts == ["blog"]


def test_the_last_response_decides(app, counts):
    """If an error replaces the response, its status is the one that counts."""
    seen = []

    def rule(response):
        seen.append(response.status_code)
        return response.status_code == 500

    @app.after_request
    def fail(response):
        if response.status_code == 200:
            raise ZeroDivisionError
        return response

    counts.attach(app, should_count=rule)
    app.test_client().get("/blog")
    assert seen == [200, 500]
    assert counts == ["blog"]


def test_contexts_without_a_request_are_not_counted(app, counts):
    """Tests, commands and background tasks push contexts that are no requests."""
    counts.attach(app, project_id=lambda: "blog")
    with app.test_request_context("/blog"):
        pass
    with app.app_context():
        pass
    assert counts == []


def test_an_outer_application_context_is_shared(app, counts):
    """Requests that share an application context are counted one by one."""
    counts.attach(app)
    with app.app_context():
        for path in ("/blog", "/none", "/api"):
            app.test_client().get(path)
    assert counts[-1] == "api"


def test_errors_of_the_callbacks_are_warned_about_once_an_hour(app, counts, caplog, monkeypatch):
    """The response is unaffected, nothing is counted, and one warning an hour says why."""
    now = [0.0]
    monkeypatch.setattr("flask_usage_stats._core.hourly.monotonic", lambda: now[0])

    def fail():
        raise LookupError("secret")

    counts.attach(app, project_id=fail)
    client = app.test_client()
    for moment in (0.0, 3599.0, 3600.0):
        now[0] = moment
        assert client.get("/blog").text == "served blog"
    assert counts == []
    assert [record.getMessage() for record in caplog.records] == [
        "requests are not counted, because project_id or should_count raised LookupError"
    ] * 2


def test_several_counters_and_applications(app, counts):
    """Each counter counts on its own, also in the same application."""
    others = Counts()
    counts.attach(app)
    others.attach(app, should_count=lambda _: False)
    second = Flask("second")
    others.attach(second, project_id=lambda: "second")
    second.add_url_rule("/", view_func=lambda: "x")
    app.test_client().get("/blog")
    second.test_client().get("/")
    assert (counts, others) == (["blog"], ["second"])


def test_usage_requests_can_be_counted(app, counts):
    """Requests of the blueprint are requests of the application."""
    app.register_blueprint(create_usage_blueprint(StubStore(), authenticate=lambda: "ada"))
    counts.attach(app, project_id=lambda: "api")
    app.test_client().get("/api/usage")
    assert counts == ["api"]
