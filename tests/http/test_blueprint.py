"""The blueprint in an application: registration, methods and invalid arguments, without side effects."""

import functools
import inspect

import mongomock
import pytest
from flask import Blueprint, Flask, jsonify
from flask.json.provider import DefaultJSONProvider
from flask_jwt_extended import get_current_user, get_jwt_identity, jwt_required
from support import ListStore, StubStore
from werkzeug.exceptions import NotFound

from flask_usage_stats import (
    ConfigurationError,
    PlatformStore,
    ProjectStore,
    UsageHistory,
    create_platform_blueprint,
    create_usage_blueprint,
)


def ada():
    return "ada"


def usage(app, path="/api/usage"):
    return app.test_client().get(path)


class TestRegistration:
    def test_any_object_with_the_method_is_a_store(self, app_factory):
        """Any object with ``iter_projects`` is a store, and only the fields of the response are returned."""
        response = usage(app_factory(ListStore({"_id": 1, "owner": "ada", "totalRequest": 2**70, "secret": 1})))
        assert response.text == (
            '{"success":true,"totalRequests":1180591620717411303424,'
            '"projectStats":[{"_id":1,"totalRequest":1180591620717411303424}]}'
        )

    def test_two_blueprints_in_one_application(self):
        """Each blueprint has its own store and callback."""
        app = Flask("application")
        for number, owner in enumerate(["ada", "bob"]):
            blueprint = create_usage_blueprint(
                ListStore({"_id": number, "owner": owner}),
                authenticate=lambda owner=owner: owner,
                name=f"usage_{owner}",
                url_prefix=f"/{owner}",
            )
            app.register_blueprint(blueprint)
        assert usage(app, "/ada/usage").json["projectStats"][0]["_id"] == 0
        assert usage(app, "/bob/usage").json["projectStats"][0]["_id"] == 1

    def test_one_blueprint_in_two_applications(self):
        """A blueprint can be registered in several applications."""
        blueprint = create_usage_blueprint(ListStore(), authenticate=ada)
        for name in ("one", "two"):
            app = Flask(name)
            app.register_blueprint(blueprint, url_prefix="/v2")
            assert usage(app, "/v2/usage").status_code == 200

    def test_nested_blueprint(self):
        """A nested blueprint without a prefix uses the prefix of its parent."""
        parent = Blueprint("api", __name__, url_prefix="/api")
        parent.register_blueprint(create_usage_blueprint(ListStore(), authenticate=ada, url_prefix=""))
        app = Flask("application")
        app.register_blueprint(parent)
        assert usage(app).status_code == 200

    def test_endpoint_has_the_name_of_the_blueprint(self, app_factory):
        """``url_for`` finds each route by its default endpoint."""
        history = UsageHistory(mongomock.MongoClient().platform.usage_history)
        app = app_factory(ListStore(), history=history)
        with app.test_request_context():
            assert app.url_for("usage_stats.usage") == "/api/usage"
            assert app.url_for("usage_stats.history") == "/api/usage/history"


class TestMethods:
    def test_head_has_the_headers_of_get(self, app_factory):
        """A response to HEAD has the headers of GET and an empty body."""
        app = app_factory(ListStore())
        response = app.test_client().head("/api/usage")
        assert (response.status_code, response.data) == (200, b"")
        assert response.content_length == usage(app).content_length

    def test_options_needs_no_token(self, app_factory):
        """OPTIONS needs no token, because the preflight request of a browser has none."""
        response = app_factory(ListStore(), None).test_client().options("/api/usage")
        assert response.status_code == 200
        assert response.allow == {"GET", "HEAD", "OPTIONS"}

    def test_other_methods_are_the_applications_405(self, app_factory):
        """Another method gets the error page of the application."""
        app = app_factory(ListStore())
        app.register_error_handler(405, lambda error: ("the page", 405))
        response = app.test_client().post("/api/usage")
        assert (response.status_code, response.text) == (405, "the page")


class TestApplication:
    def test_registration_changes_nothing_else(self):
        """Registration adds one rule, one view, one blueprint and one command group, and nothing else."""

        def snapshot(app):
            return {
                "config": dict(app.config),
                "json": app.json,
                "jinja": (dict(app.jinja_env.filters), dict(app.jinja_env.globals), dict(app.jinja_env.tests)),
                "cli": {name: command for name, command in app.cli.commands.items() if name != "usage"},
                "extensions": dict(app.extensions),
                **{
                    name: repr(getattr(app, name)[None])  # None: for the whole application
                    for name in (
                        *("before_request_funcs", "after_request_funcs", "teardown_request_funcs"),
                        *("error_handler_spec", "template_context_processors", "url_value_preprocessors"),
                        "url_default_functions",
                    )
                },
                "teardown": list(app.teardown_appcontext_funcs),
                "shell": list(app.shell_context_processors),
            }

        app = Flask("application")
        app.jinja_env.globals["mine"] = 1
        before, rules, views = snapshot(app), len(list(app.url_map.iter_rules())), len(app.view_functions)
        app.register_blueprint(create_usage_blueprint(ListStore(), authenticate=ada))
        usage(app)
        assert snapshot(app) == before
        assert len(list(app.url_map.iter_rules())) == rules + 1
        assert len(app.view_functions) == views + 1
        assert list(app.blueprints) == ["usage_stats"]
        assert "usage" in app.cli.commands

    def test_json_provider_and_error_handlers_are_not_used(self, app_factory):
        """The application's JSON provider and error handlers do not change the responses."""

        class Provider(DefaultJSONProvider):
            def dumps(self, obj, **options):
                return '"x"'

        owner = [None]
        app = app_factory(ListStore({"_id": 1, "owner": "ada"}), lambda: owner[0])
        app.json = Provider(app)
        app.register_error_handler(Exception, lambda error: (jsonify("x"), 500))
        app.register_error_handler(401, lambda error: ("x", 401))
        assert usage(app).json == {"success": False, "message": "Authentication required"}
        owner[0] = "ada"
        assert usage(app).json["totalRequests"] == 0
        app.debug = app.testing = True
        owner[0] = object()
        assert usage(app).json == {"success": False, "message": "Failed to fetch usage stats"}

    def test_http_exception_of_a_store_is_a_failure(self, app_factory):
        """An HTTPException of a store is a failure, because only the authenticate callback may reject a request."""
        assert usage(app_factory(StubStore(error=NotFound()))).status_code == 500

    @pytest.mark.parametrize("documents", [None, 5, [5], [None], ["text"]])
    def test_store_without_mappings_is_a_failure(self, app_factory, documents):
        """A store must return an iterable of mappings."""

        class Odd:
            def iter_projects(self, owner):
                return documents

        assert usage(app_factory(Odd())).status_code == 500


PLATFORM = PlatformStore(ProjectStore(mongomock.MongoClient().platform.projects))


class NoArguments:
    def __call__(self):
        return "ada"


class TestArguments:
    @pytest.mark.parametrize(
        "store",
        [None, {}, ListStore, object(), mongomock.MongoClient().platform.projects, mongomock.MongoClient().platform],
        ids=lambda store: type(store).__name__,
    )
    def test_store_must_have_the_method(self, store):
        """A collection or database is not a store."""
        with pytest.raises(ConfigurationError, match=r"such as ProjectStore\(db\.projects\)"):
            create_usage_blueprint(store, authenticate=ada)

    def test_the_method_must_not_be_async(self):
        """A coroutine or an asynchronous generator is not an iterable."""

        class Coroutine:
            async def iter_projects(self, owner):
                return []

        class Generator:
            async def iter_projects(self, owner):
                yield {}

        for store in (Coroutine(), Generator()):
            with pytest.raises(ConfigurationError, match=r"store\.iter_projects must not be async"):
                create_usage_blueprint(store, authenticate=ada)

    @pytest.mark.parametrize("authenticate", [get_jwt_identity, get_current_user])
    def test_authenticate_must_verify_the_token(self, authenticate):
        """These functions only return what another function has verified."""
        with pytest.raises(ConfigurationError, match=r"pass flask_usage_stats\.jwt\.jwt_identity"):
            create_usage_blueprint(ListStore(), authenticate=authenticate)

    def test_a_decorated_function_may_verify_the_token(self):
        """A decorator of flask-jwt-extended verifies the token before it calls the function."""
        create_usage_blueprint(ListStore(), authenticate=jwt_required()(get_jwt_identity))

    async def later(self):
        """Return a coroutine when called."""

    @pytest.mark.parametrize(
        ("authenticate", "fix"),
        [
            (None, "such as jwt_identity"),
            ("ada", "such as jwt_identity"),
            (later, "must not be async"),
            (lambda request: "ada", "called without arguments"),
        ],
    )
    def test_authenticate_must_be_callable_without_arguments(self, authenticate, fix):
        """An invalid callback raises an error that says what to pass."""
        with pytest.raises(ConfigurationError, match=fix):
            create_usage_blueprint(ListStore(), authenticate=authenticate)

    @pytest.mark.parametrize(
        "authenticate", [NoArguments(), functools.partial(str, "ada"), lambda *_, **__: "ada", type("Str", (str,), {})]
    )
    def test_authenticate_can_be_any_callable(self, authenticate):
        """The callback may be an object, a partial function or a class."""
        create_usage_blueprint(ListStore(), authenticate=authenticate)

    @pytest.mark.parametrize("prefix", ["api", 5, None])
    def test_url_prefix_must_begin_with_a_slash(self, prefix):
        """An invalid prefix is rejected at construction; Flask would reject it only at registration."""
        with pytest.raises(ConfigurationError, match="begin with a slash"):
            create_usage_blueprint(ListStore(), authenticate=ada, url_prefix=prefix)

    @pytest.mark.parametrize("history", [mongomock.MongoClient().platform.usage_history, UsageHistory, "usage", False])
    def test_history_must_be_a_history(self, history):
        """A collection is not a history; the message says how to make one."""
        message = r"history must be a UsageHistory, such as UsageHistory\(db\.usage_history\); got "
        with pytest.raises(ConfigurationError, match=message):
            create_usage_blueprint(ListStore(), authenticate=ada, history=history)

    @pytest.mark.parametrize("name", ["", "a.b"])
    def test_name_must_be_a_blueprint_name(self, name):
        """A name that Flask does not accept is rejected."""
        with pytest.raises(ValueError, match="name"):
            create_usage_blueprint(ListStore(), authenticate=ada, name=name)

    def test_arguments_after_the_store_are_keyword_only(self):
        """Arguments after the store are keyword-only and have the documented defaults."""
        parameters = inspect.signature(create_usage_blueprint).parameters
        assert list(parameters) == ["store", "authenticate", "history", "element", "name", "url_prefix"]
        assert parameters["authenticate"].kind is inspect.Parameter.KEYWORD_ONLY
        defaults = {"history": None, "element": False, "name": "usage_stats", "url_prefix": "/api"}
        assert {name: parameters[name].default for name in defaults} == defaults

    def test_project_store_is_a_store(self):
        """A ProjectStore is a store, and its construction does not connect to the database."""
        create_usage_blueprint(ProjectStore(mongomock.MongoClient().platform.projects), authenticate=ada)


class TestPlatform:
    @pytest.mark.parametrize("store", [None, ListStore(), mongomock.MongoClient().platform.projects, PlatformStore])
    def test_store_must_be_a_platform_store(self, store):
        """The message says what to pass."""
        with pytest.raises(ConfigurationError, match=r"PlatformStore\(ProjectStore\(db\.projects\)\); got "):
            create_platform_blueprint(store, authorize=lambda: True)

    @pytest.mark.parametrize(
        ("authorize", "fix"),
        [
            (True, "authorize must be a function that returns whether the user is an operator; got True"),
            (None, "authorize must be a function"),
            (TestArguments.later, "authorize must not be async"),
            (lambda user: True, "authorize is called without arguments"),
        ],
    )
    def test_authorize_must_be_callable_without_arguments(self, authorize, fix):
        """An invalid callback raises an error that says what to pass."""
        with pytest.raises(ConfigurationError, match=fix):
            create_platform_blueprint(PLATFORM, authorize=authorize)

    @pytest.mark.parametrize("prefix", ["api", 5, None])
    def test_url_prefix_must_begin_with_a_slash(self, prefix):
        """An invalid prefix is rejected at construction."""
        with pytest.raises(ConfigurationError, match="begin with a slash"):
            create_platform_blueprint(PLATFORM, authorize=lambda: True, url_prefix=prefix)

    def test_signature(self):
        """The arguments have the documented names and defaults."""
        parameters = inspect.signature(create_platform_blueprint).parameters
        assert {name: parameter.default for name, parameter in parameters.items()} == {
            "store": inspect.Parameter.empty,
            "authorize": inspect.Parameter.empty,
            "name": "platform_usage_stats",
            "url_prefix": "/api",
        }

    def test_registration(self):
        """Registration adds one rule, one view and one blueprint."""
        app = Flask("application")
        rules = len(list(app.url_map.iter_rules()))
        app.register_blueprint(create_platform_blueprint(PLATFORM, authorize=lambda: True), url_prefix="/ops")
        assert len(list(app.url_map.iter_rules())) == rules + 1
        assert list(app.view_functions) == ["static", "platform_usage_stats.platform"]
        assert app.test_client().get("/ops/usage/platform").json["projects"] == 0

    def test_head_and_methods(self):
        """HEAD has the headers of GET, and other methods are the application's 405."""
        app = Flask("application")
        app.register_blueprint(create_platform_blueprint(PLATFORM, authorize=lambda: True))
        client = app.test_client()
        got, head = client.get("/api/usage/platform"), client.head("/api/usage/platform")
        assert (head.status_code, head.data, dict(head.headers)) == (200, b"", dict(got.headers))
        assert client.post("/api/usage/platform").status_code == 405
        assert client.options("/api/usage/platform").allow == {"GET", "HEAD", "OPTIONS"}

    def test_headers(self):
        """Cache headers, ETag and the name of a CSV file are as those of the list."""
        app = Flask("application")
        app.register_blueprint(create_platform_blueprint(PLATFORM, authorize=lambda: True))
        response = app.test_client().get("/api/usage/platform?format=csv")
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert response.vary.as_set() == {"authorization", "accept"}
        assert response.mimetype == "text/csv"
        assert response.headers["Content-Disposition"].startswith('attachment; filename="platform-usage-20')
        csv = {"Accept": "text/csv"}
        tag = response.headers["ETag"]
        again = app.test_client().get("/api/usage/platform", headers=csv | {"If-None-Match": tag})
        assert (again.status_code, again.data) == (304, b"")

    def test_invalid_parameters(self):
        """Invalid parameters get a 400 with a message for each."""
        app = Flask("application")
        app.register_blueprint(create_platform_blueprint(PLATFORM, authorize=lambda: True))
        response = app.test_client().get("/api/usage/platform?limit=1001&top=5&sort=name")
        assert response.status_code == 400
        assert response.json == {
            "success": False,
            "message": "top requires groupBy",
            "errors": {
                "top": ["top requires groupBy"],
                "limit": ["limit must be a whole number from 0 to 1000"],
                "sort": ["sort is not a parameter of the platform view"],
            },
        }
