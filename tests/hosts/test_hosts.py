"""The responses are the same bytes with other extensions, handlers, mounts and servers."""

import http.client
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import apiflask
import flask_cors
import flask_limiter
import flask_pymongo
import flask_restx
import flask_smorest
import pytest
from bson import ObjectId
from flask import Blueprint, Flask, g, jsonify, request, session
from flask.views import MethodView
from flask_limiter.util import get_remote_address
from hosts.serving import serve
from support import FAILED, INVALID, REQUIRED, bearer
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from flask_usage_stats import ProjectStore, create_usage_blueprint

USAGE = (
    '{"success":true,"totalRequests":12,"projectStats":['
    '{"_id":"507f1f77bcf86cd799439011","name":"bl\u00f6g","totalRequest":7,"updatedAt":"2024-03-14T10:15:00.000Z"},'
    '{"_id":"shop","plan":null,"totalRequest":5}]}'
).encode()


@pytest.fixture(autouse=True)
def filled(projects):
    projects.insert_many(
        [
            {"_id": "shop", "owner": "ada", "totalRequest": 5.0, "plan": None},
            {
                "_id": ObjectId("507f1f77bcf86cd799439011"),
                "owner": "ada",
                "name": "bl\u00f6g",
                "totalRequest": 7,
                "updatedAt": datetime(2024, 3, 14, 10, 15),
            },
            {"_id": 3, "owner": "bob"},
        ]
    )


def caller():
    """Return the user that a header names, or fail if it says so."""
    who = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if who == "broken":
        raise RuntimeError(who)
    return who if who == "ada" else None


@pytest.fixture
def blueprint(projects):
    return create_usage_blueprint(ProjectStore(projects), authenticate=caller)


REQUESTS = [("ada", 200, USAGE), (None, 401, REQUIRED), ("nobody", 401, INVALID), ("broken", 500, FAILED)]


def check_responses(client, path="/api/usage", **request_):
    """Check that an application gives the same responses as any other."""
    for who, status, body in REQUESTS:
        headers = {} if who is None else bearer(who)
        response = client.get(path, headers=headers, **request_)
        assert (response.status_code, response.data) == (status, body)
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Cache-Control"] == ("private, no-cache" if status == 200 else "no-store")
        assert ("WWW-Authenticate" in response.headers) == (status == 401)
        assert "Authorization" in response.headers["Vary"]


class TestExtensions:
    def test_flask_pymongo(self, mongodb_uri, projects):
        """Flask-PyMongo's JSON provider has no effect."""
        mongo = flask_pymongo.PyMongo()
        app = Flask("host")
        app.register_blueprint(create_usage_blueprint(ProjectStore(lambda: mongo.db.projects), authenticate=caller))
        mongo.init_app(app, uri=f"{mongodb_uri}/{projects.database.name}")

        @app.get("/theirs")
        def theirs():
            return jsonify(id=ObjectId("507f1f77bcf86cd799439011"))

        client = app.test_client()
        check_responses(client)
        assert "$oid" in client.get("/theirs").text
        mongo.cx.close()

    def test_flask_restx(self, blueprint):
        """The error handlers of flask-restx have no effect."""
        app = Flask("host")
        api = flask_restx.Api(app, prefix="/v1")

        @api.route("/theirs")
        class Theirs(flask_restx.Resource):
            def get(self):
                flask_restx.abort(418, "theirs")

        @api.errorhandler(Exception)
        def everything(error):
            return {"message": "theirs"}, 599

        app.register_blueprint(blueprint)
        check_responses(app.test_client())
        assert app.test_client().get("/v1/theirs").status_code in (418, 599)
        assert app.test_client().get("/swagger.json").status_code in (200, 404)

    def test_flask_restx_on_a_blueprint(self, blueprint):
        """A flask-restx blueprint with the same prefix has no effect."""
        app = Flask("host")
        parent = Blueprint("api", __name__, url_prefix="/api")
        flask_restx.Api(parent)
        app.register_blueprint(parent)
        app.register_blueprint(blueprint)
        check_responses(app.test_client())

    def test_flask_smorest(self, blueprint):
        """A flask-smorest application can mount the blueprint."""
        app = Flask("host")
        app.config |= {"API_TITLE": "host", "API_VERSION": "1", "OPENAPI_VERSION": "3.0.3", "OPENAPI_URL_PREFIX": "/"}
        api = flask_smorest.Api(app)
        theirs = flask_smorest.Blueprint("theirs", __name__, url_prefix="/theirs")

        @theirs.route("/")
        class Theirs(MethodView):
            @theirs.response(200)
            def get(self):
                flask_smorest.abort(404)

        api.register_blueprint(theirs)
        app.register_blueprint(blueprint)
        check_responses(app.test_client())
        assert app.test_client().get("/theirs/").json["code"] == 404
        assert list(app.test_client().get("/openapi.json").json["paths"]) == ["/theirs/"]

    @pytest.mark.parametrize("json_errors", [True, False])
    def test_apiflask(self, projects, json_errors):
        """An APIFlask application can mount the blueprint, and its documentation still works."""
        app = apiflask.APIFlask("host", json_errors=json_errors)

        @app.error_processor
        def theirs(error):
            return {"theirs": error.message}, error.status_code

        app.register_blueprint(create_usage_blueprint(ProjectStore(projects), authenticate=caller))
        check_responses(app.test_client())
        assert app.test_client().get("/openapi.json").status_code == 200

    @pytest.mark.parametrize("path", ["/api/usage", "/api/usage?x=1"])
    def test_flask_cors(self, blueprint, path):
        """Flask-CORS handles the preflight request without a token and adds its headers to every response."""
        app = Flask("host")
        flask_cors.CORS(
            app,
            resources={"/api/*": {"origins": ["https://app.example", "https://other.example"]}},
            supports_credentials=True,
        )
        app.register_blueprint(blueprint)
        client = app.test_client()
        origin = {"Origin": "https://app.example"}
        requested = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        preflight = client.options(path, headers=origin | requested)
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert preflight.headers["Access-Control-Allow-Headers"] == "authorization"
        assert "GET" in preflight.headers["Access-Control-Allow-Methods"]
        check_responses(client, path)
        response = client.get(path, headers=origin)
        assert response.status_code == 401
        assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert set(", ".join(response.headers.getlist("Vary")).split(", ")) == {"Authorization", "Origin"}

    def test_flask_limiter(self, blueprint):
        """Flask-Limiter can limit the blueprint; below the limit the responses are unchanged."""
        app = Flask("host")
        limiter = flask_limiter.Limiter(get_remote_address, app=app, storage_uri="memory://")
        limiter.limit("4/minute")(blueprint)
        app.register_blueprint(blueprint)
        check_responses(app.test_client())
        assert app.test_client().get("/api/usage").status_code == 429

    def test_flask_limiter_on_the_view(self, blueprint):
        """Flask-Limiter can limit the view."""
        app = Flask("host")
        limiter = flask_limiter.Limiter(get_remote_address, app=app, storage_uri="memory://")
        app.register_blueprint(blueprint)
        app.view_functions["usage_stats.usage"] = limiter.limit("4/minute")(app.view_functions["usage_stats.usage"])
        check_responses(app.test_client())
        assert app.test_client().get("/api/usage").status_code == 429


class TestHandlersAndHooks:
    @pytest.mark.parametrize("what", [Exception, HTTPException, RuntimeError, 401, 404, 500])
    @pytest.mark.parametrize("mode", [{}, {"DEBUG": True}, {"TESTING": True}, {"PROPAGATE_EXCEPTIONS": True}])
    def test_error_handlers_of_the_application(self, blueprint, what, mode):
        """Error handlers of the application do not handle the responses of the blueprint, in any mode."""
        app = Flask("host")
        app.config |= mode
        app.register_error_handler(what, lambda error: ("theirs", 599))
        app.register_blueprint(blueprint)
        check_responses(app.test_client())

    def test_hooks_of_the_application(self, blueprint):
        """Hooks of the application run for the route as for any other."""
        app = Flask("host")
        seen = []
        app.secret_key = "x"
        app.before_request(lambda: seen.append("before"))
        app.teardown_request(lambda _: seen.append("teardown"))

        @app.after_request
        def after(response):
            response.headers["X-Theirs"] = "1"
            session["seen"] = g.get("nothing", 1)
            return response

        app.register_blueprint(blueprint)
        check_responses(app.test_client())
        assert seen == ["before", "teardown"] * len(REQUESTS)

    def test_error_handlers_of_the_parent(self, blueprint):
        """Error handlers of a parent blueprint do not handle the responses of the blueprint."""
        parent = Blueprint("parent", __name__, url_prefix="/v2")
        parent.register_error_handler(Exception, lambda error: ("theirs", 599))
        parent.register_blueprint(blueprint)
        app = Flask("host")
        app.register_blueprint(parent)
        check_responses(app.test_client(), "/v2/api/usage")


class TestMounts:
    def test_blueprint_registered_twice(self, blueprint):
        """A blueprint can be registered twice."""
        app = Flask("host")
        app.register_blueprint(blueprint)
        app.register_blueprint(blueprint, name="again", url_prefix="/v2")
        check_responses(app.test_client())
        check_responses(app.test_client(), "/v2/usage")

    def test_application_factory(self, projects):
        """Applications of a factory do not affect each other."""

        def create_app():
            app = Flask("host")
            app.register_blueprint(create_usage_blueprint(ProjectStore(projects), authenticate=caller))
            return app

        first, second = create_app(), create_app()
        for app in (first, second, create_app(), first):
            check_responses(app.test_client())

    def test_blueprint_shared_by_applications(self, blueprint):
        """Two applications can share a blueprint."""
        apps = [Flask("one"), Flask("two")]
        for app in apps:
            app.register_blueprint(blueprint)
        for app in apps * 2:
            check_responses(app.test_client())

    def test_script_name(self, blueprint):
        """A prefix from SCRIPT_NAME or a dispatcher changes only the path."""
        app = Flask("host")
        app.register_blueprint(blueprint)
        check_responses(app.test_client(), environ_overrides={"SCRIPT_NAME": "/platform"})
        check_responses(Client(DispatcherMiddleware(Flask("root"), {"/platform": app})), "/platform/api/usage")
        with app.test_request_context(environ_overrides={"SCRIPT_NAME": "/platform"}):
            assert app.url_for("usage_stats.usage") == "/platform/api/usage"

    def test_proxy(self, blueprint):
        """Headers of a reverse proxy have no effect."""
        app = Flask("host")
        app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)
        app.register_blueprint(blueprint)
        client = app.test_client()
        headers = {"Authorization": "Bearer ada", "X-Forwarded-Prefix": "/p", "X-Forwarded-Host": "evil.example"}
        assert client.get("/api/usage", headers=headers).data == USAGE

    @pytest.mark.parametrize("setting", [{"APPLICATION_ROOT": "/x"}, {"SERVER_NAME": "localhost"}, {}])
    def test_routing_settings(self, blueprint, setting):
        """Settings of the application's routing have no effect."""
        app = Flask("host")
        app.config |= setting
        app.url_map.strict_slashes = False
        app.register_blueprint(blueprint)
        check_responses(app.test_client())


SERVED = """
from flask import Flask, request

from flask_usage_stats import ProjectStore, create_usage_blueprint


def caller():
    who = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if who == "broken":
        raise RuntimeError(who)
    return who if who == "ada" else None


app = Flask("host")
app.register_blueprint(create_usage_blueprint(ProjectStore(projects), authenticate=caller))


@app.after_request
def which(response):
    response.headers["X-Worker"] = str(os.getpid())
    return response
"""


def is_ready(port):
    send(port)
    return True


def send(port, who=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/api/usage", headers={} if who is None else bearer(who))
        response = connection.getresponse()
        return response.status, response.read(), response.headers["X-Worker"]
    finally:
        connection.close()


class TestServers:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["--preload", "--workers", "3"],
            ["--preload", "--workers", "2", "--threads", "8"],
            ["--workers", "1", "--threads", "16"],
        ],
        ids=" ".join,
    )
    def test_gunicorn(self, tmp_path, mongodb_uri, projects, arguments):
        """Forked workers give the same responses under load, without a warning about forks."""
        command = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", *arguments, "served:app"]
        with serve(tmp_path, SERVED, command, (mongodb_uri, projects.database.name), is_ready) as (port, log):
            workers = set()
            requests = [one for one in REQUESTS for _ in range(40)]
            for _ in range(20):  # until each worker has got some
                with ThreadPoolExecutor(8) as pool:
                    responses = list(pool.map(lambda one: send(port, one[0]), requests))
                for (_, status, body), response in zip(requests, responses, strict=True):
                    assert response[:2] == (status, body)
                workers |= {worker for _, _, worker in responses}
                if len(workers) == int(arguments[arguments.index("--workers") + 1]):
                    break
            else:
                pytest.fail(f"only {len(workers)} workers have responded")
        assert not re.search("UserWarning|before fork|Traceback", log.read_text())

    def test_threads(self, blueprint):
        """Of several threads that send requests at the same time, each gets the response of its own user."""
        app = Flask("host")
        app.register_blueprint(blueprint)
        wrong, start = [], threading.Barrier(16)

        def run(number):
            start.wait()
            who, status, body = REQUESTS[number % len(REQUESTS)]
            headers = {} if who is None else bearer(who)
            for _ in range(20):
                response = app.test_client().get("/api/usage", headers=headers)
                if (response.status_code, response.data) != (status, body):
                    wrong.append(response.data)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(run, range(16)))
        assert not wrong


def test_registration_changes_nothing_else(mongodb_uri, projects, blueprint):
    """Registration adds one blueprint, its rule and its command, and changes nothing else in the application."""
    app = apiflask.APIFlask("host")
    app.secret_key = "x"
    mongo = flask_pymongo.PyMongo(app, uri=f"{mongodb_uri}/{projects.database.name}")
    flask_cors.CORS(app)
    flask_limiter.Limiter(get_remote_address, app=app, storage_uri="memory://")
    app.template_filter("mine")(str)
    app.context_processor(dict)
    app.before_request(lambda: None)
    app.register_error_handler(Exception, lambda error: ("theirs", 500))
    names = [
        *("before_request_funcs", "after_request_funcs", "teardown_request_funcs", "teardown_appcontext_funcs"),
        *("error_handler_spec", "template_context_processors", "url_value_preprocessors", "url_default_functions"),
        *("shell_context_processors", "url_build_error_handlers", "extensions", "config", "secret_key", "json"),
        *(
            "session_interface",
            "request_class",
            "response_class",
            "wsgi_app",
            "test_client_class",
            "aborter",
            "subdomain_matching",
        ),
    ]

    def snapshot():
        return {name: snapshot_of(getattr(app, name)) for name in names} | {
            "jinja": snapshot_of([app.jinja_env.filters, app.jinja_env.globals, app.jinja_env.tests]),
            "log": snapshot_of([app.logger.level, app.logger.handlers]),
            "cli": sorted(app.cli.commands),
            "others": [
                snapshot_of(rule) for rule in app.url_map.iter_rules() if not rule.endpoint.startswith("usage_stats.")
            ],
        }

    before = snapshot()
    app.register_blueprint(blueprint)
    after = snapshot()
    before["cli"] = sorted([*before["cli"], "usage"])
    assert after == before
    check_responses(app.test_client())
    ours = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("usage_stats.")]
    assert [(rule.rule, sorted(rule.methods)) for rule in ours] == [("/api/usage", ["GET", "HEAD", "OPTIONS"])]
    assert [name for name in app.view_functions if name.startswith("usage_stats")] == ["usage_stats.usage"]
    mongo.cx.close()


def snapshot_of(value):
    """Return a value as text, so that changes inside it are noticed, without the entries for the blueprint."""
    if isinstance(value, dict):
        content = {repr(key): snapshot_of(one) for key, one in value.items() if key != "usage_stats"}
        return {key: one for key, one in content.items() if one not in ({}, [])}
    if isinstance(value, list | tuple):
        return [snapshot_of(one) for one in value]
    return repr(value)
