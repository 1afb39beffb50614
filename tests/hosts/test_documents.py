"""The OpenAPI document, merged into the documents of other extensions."""

import apiflask
import flask_smorest
from documents import caller, check_response, documented_app, validated
from flask.views import MethodView
from support import StubStore, bearer

from flask_usage_stats import create_usage_blueprint
from flask_usage_stats.openapi import openapi_document
from flask_usage_stats.schemas import UsageSchema


def test_flask_smorest(projects):
    """The document of a flask-smorest application is still valid after ours is merged into it."""
    app = documented_app(projects)
    ours = openapi_document()
    app.config |= {
        "API_TITLE": "host",
        "API_VERSION": "1",
        "OPENAPI_VERSION": "3.1.0",
        "API_SPEC_OPTIONS": {"paths": ours["paths"], "components": ours["components"]},
    }
    api = flask_smorest.Api(app)
    theirs = flask_smorest.Blueprint("theirs", __name__, url_prefix="/theirs")

    @theirs.route("/")
    class Theirs(MethodView):
        @theirs.response(200, UsageSchema)
        def get(self):
            """Do something else."""

    api.register_blueprint(theirs)
    document = validated(api.spec.to_dict())
    assert list(document["paths"]) == ["/api/usage", "/theirs/"]
    check_response(document, "/api/usage", app.test_client().get("/api/usage", headers=bearer("ada")))


def test_apiflask():
    """The document of an APIFlask application is still valid after ours is merged into it."""
    app = apiflask.APIFlask("host")
    app.config["OPENAPI_VERSION"] = "3.1.0"
    app.register_blueprint(create_usage_blueprint(StubStore({"_id": 1, "plan": "pro"}), authenticate=caller))

    @app.get("/theirs")
    @app.output({"text": apiflask.fields.String()})
    def theirs():
        """Do something else."""

    @app.spec_processor
    def with_usage(document):
        ours = openapi_document()
        document["paths"] |= ours["paths"]
        for kind, components in ours["components"].items():
            document["components"].setdefault(kind, {}).update(components)
        return document

    document = validated(app.test_client().get("/openapi.json").json)
    assert sorted(document["paths"]) == ["/api/usage", "/theirs"]
    check_response(document, "/api/usage", app.test_client().get("/api/usage", headers=bearer("ada")))
