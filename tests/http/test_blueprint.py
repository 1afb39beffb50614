"""The blueprint in a host application: mounts, methods, misuse, and no trace left."""

import functools
import inspect

import mongomock
import pytest
from flask import Blueprint, Flask, abort, jsonify
from flask.json.provider import DefaultJSONProvider

from flask_usage_stats import ConfigurationError, ProjectStore, create_usage_blueprint


class Store:
    """A store on no database at all."""

    def __init__(self, *rows):
        self.rows = rows

    def iter_projects(self, owner):
        return [row for row in self.rows if row["owner"] == owner]


def ada():
    return "ada"


def usage(app, path="/api/usage"):
    return app.test_client().get(path)


class TestMounts:
    def test_other_store(self, app_factory):
        """Any object with the protocol's one method is a store; what else its mappings hold stays inside."""
        response = usage(app_factory(Store({"_id": 1, "owner": "ada", "totalRequest": 2**70, "secret": 1})))
        assert response.text == (
            '{"success":true,"totalRequests":1180591620717411303424,'
            '"projectStats":[{"_id":1,"totalRequest":1180591620717411303424}]}'
        )

    def test_two_in_one_application(self):
        """Two mounts answer from their own stores, each to its own caller."""
        app = Flask("host")
        for number, owner in enumerate(["ada", "bob"]):
            blueprint = create_usage_blueprint(
                Store({"_id": number, "owner": owner}),
                authenticate=lambda owner=owner: owner,
                name=f"usage_{owner}",
                url_prefix=f"/{owner}",
            )
            app.register_blueprint(blueprint)
        assert usage(app, "/ada/usage").json["projectStats"][0]["_id"] == 0
        assert usage(app, "/bob/usage").json["projectStats"][0]["_id"] == 1

    def test_two_applications(self):
        """One blueprint may be mounted in two applications."""
        blueprint = create_usage_blueprint(Store(), authenticate=ada)
        for name in ("one", "two"):
            app = Flask(name)
            app.register_blueprint(blueprint, url_prefix="/v2")
            assert usage(app, "/v2/usage").status_code == 200

    def test_under_a_parent(self):
        """Under a parent with a prefix, the blueprint has none of its own."""
        parent = Blueprint("api", __name__, url_prefix="/api")
        parent.register_blueprint(create_usage_blueprint(Store(), authenticate=ada, url_prefix=""))
        app = Flask("host")
        app.register_blueprint(parent)
        assert usage(app).status_code == 200

    def test_default_endpoint(self, app_factory):
        """The endpoint is named after the blueprint."""
        app = app_factory(Store())
        with app.test_request_context():
            assert app.url_for("usage_stats.usage") == "/api/usage"


class TestMethods:
    def test_head(self, app_factory):
        """HEAD has the headers of GET and no body."""
        app = app_factory(Store())
        response = app.test_client().head("/api/usage")
        assert (response.status_code, response.data) == (200, b"")
        assert response.content_length == usage(app).content_length

    def test_options(self, app_factory):
        """OPTIONS, a browser's preflight, needs no token."""
        response = app_factory(Store(), None).test_client().options("/api/usage")
        assert response.status_code == 200
        assert response.allow == {"GET", "HEAD", "OPTIONS"}

    def test_post(self, app_factory):
        """A method that is not ours is the host's 405."""
        app = app_factory(Store())
        app.register_error_handler(405, lambda error: ("the host's page", 405))
        response = app.test_client().post("/api/usage")
        assert (response.status_code, response.text) == (405, "the host's page")


class TestHost:
    def test_leaves_no_trace(self):
        """Registering adds one rule, one view, one blueprint and one command, and changes nothing else of the host."""

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

        app = Flask("host")
        app.jinja_env.globals["mine"] = 1
        before, rules, views = snapshot(app), len(list(app.url_map.iter_rules())), len(app.view_functions)
        app.register_blueprint(create_usage_blueprint(Store(), authenticate=ada))
        usage(app)
        assert snapshot(app) == before
        assert len(list(app.url_map.iter_rules())) == rules + 1
        assert len(app.view_functions) == views + 1
        assert list(app.blueprints) == ["usage_stats"]
        assert "usage" in app.cli.commands

    def test_hosts_json_and_handlers(self, app_factory):
        """The host's JSON provider and its handlers for everything do not reach our answers."""

        class Provider(DefaultJSONProvider):
            def dumps(self, obj, **options):
                return '"the host\'s"'

        owner = [None]
        app = app_factory(Store({"_id": 1, "owner": "ada"}), lambda: owner[0])
        app.json = Provider(app)
        app.register_error_handler(Exception, lambda error: (jsonify("x"), 500))
        app.register_error_handler(401, lambda error: ("x", 401))
        assert usage(app).json == {"success": False, "message": "Authentication required"}
        owner[0] = "ada"
        assert usage(app).json["totalRequests"] == 0
        app.debug = app.testing = True
        owner[0] = object()
        assert usage(app).json == {"success": False, "message": "Failed to fetch usage stats"}

    def test_errors_of_a_store(self, app_factory):
        """An HTTPException out of a store is a failure: only the authenticate callback may refuse."""

        class Refusing:
            def iter_projects(self, owner):
                abort(404)

        assert usage(app_factory(Refusing())).status_code == 500

    @pytest.mark.parametrize("documents", [None, 5, [5], [None], ["text"]])
    def test_odd_stores(self, app_factory, documents):
        """A store that gives no mappings is a failure."""

        class Odd:
            def iter_projects(self, owner):
                return documents

        assert usage(app_factory(Odd())).status_code == 500


class NoArguments:
    def __call__(self):
        return "ada"


class TestMisuse:
    @pytest.mark.parametrize(
        "store",
        [None, {}, Store, object(), mongomock.MongoClient().platform.projects, mongomock.MongoClient().platform],
        ids=lambda store: type(store).__name__,
    )
    def test_store(self, store):
        """What has no method iter_projects is refused, a bare collection among them."""
        with pytest.raises(ConfigurationError, match=r"such as ProjectStore\(db\.projects\)"):
            create_usage_blueprint(store, authenticate=ada)

    async def later(self):
        """Stand for an asynchronous callback."""

    @pytest.mark.parametrize(
        ("authenticate", "fix"),
        [
            (None, "such as jwt_identity"),
            ("ada", "such as jwt_identity"),
            (later, "must not be async"),
            (lambda request: "ada", "called without arguments"),
        ],
    )
    def test_authenticate(self, authenticate, fix):
        """A callback that cannot be called, or not as it will be, is refused."""
        with pytest.raises(ConfigurationError, match=fix):
            create_usage_blueprint(Store(), authenticate=authenticate)

    @pytest.mark.parametrize(
        "authenticate", [NoArguments(), functools.partial(str, "ada"), lambda *_, **__: "ada", type("Str", (str,), {})]
    )
    def test_callables(self, authenticate):
        """Anything that can be called without arguments is a callback."""
        create_usage_blueprint(Store(), authenticate=authenticate)

    @pytest.mark.parametrize("prefix", ["api", 5, None])
    def test_url_prefix(self, prefix):
        """A prefix that Flask would refuse later is refused at once."""
        with pytest.raises(ConfigurationError, match="begin with a slash"):
            create_usage_blueprint(Store(), authenticate=ada, url_prefix=prefix)

    @pytest.mark.parametrize("name", ["", "a.b"])
    def test_name(self, name):
        """Flask's own rules for a blueprint's name hold."""
        with pytest.raises(ValueError, match="name"):
            create_usage_blueprint(Store(), authenticate=ada, name=name)

    def test_signature(self):
        """All arguments but the store are by name only, with the documented defaults."""
        parameters = inspect.signature(create_usage_blueprint).parameters
        assert list(parameters) == ["store", "authenticate", "name", "url_prefix"]
        assert parameters["authenticate"].kind is inspect.Parameter.KEYWORD_ONLY
        assert [parameters[name].default for name in ("name", "url_prefix")] == ["usage_stats", "/api"]

    def test_store_of_one_client(self):
        """A ProjectStore is a store."""
        create_usage_blueprint(ProjectStore(mongomock.MongoClient().platform.projects), authenticate=ada)
