"""Other implementations of the endpoint: by hand in Flask, and with Eve."""

from collections.abc import Callable
from typing import Any

import orjson
from dataset import INTEGERS, PROJECTION, condition, owner_of
from eve import Eve
from eve.auth import TokenAuth
from flask import Flask, Response, jsonify
from flask_jwt_extended import JWTManager, create_access_token
from marshmallow import Schema, fields
from pymongo.collection import Collection
from werkzeug.test import EnvironBuilder

from flask_usage_stats import ProjectStore, create_usage_blueprint
from flask_usage_stats.jwt import jwt_identity

SECRET = "a secret of the benchmark, of 32 bytes or more"


class Project(Schema):
    """A hand-written schema for a row."""

    _id = fields.String()
    name = fields.String()
    projectType = fields.String()  # the name in the response
    status = fields.String()
    plan = fields.String()
    totalRequest = fields.Integer(dump_default=0)  # the name in the response
    createdAt = fields.Function(lambda row: iso(row["createdAt"]))  # the name in the response
    updatedAt = fields.Function(lambda row: iso(row["updatedAt"]))  # the name in the response


def iso(moment) -> str:
    return moment.isoformat(timespec="milliseconds") + "Z"


def application(secret: str = SECRET) -> Flask:
    app = Flask("benchmark")
    app.config["JWT_SECRET_KEY"] = secret
    JWTManager(app)
    return app


def token(size: int) -> str:
    """Return an access token of flask-jwt-extended for an owner; every server accepts it."""
    with application().app_context():
        return create_access_token(str(owner_of(size)), expires_delta=False)


def ours(collection: Collection[Any], authenticate: Callable[[], Any] = jwt_identity) -> Flask:
    app = application()
    app.register_blueprint(create_usage_blueprint(ProjectStore(collection, timeout=60), authenticate=authenticate))
    return app


def floor(collection: Collection[Any], size: int, mix: str = INTEGERS) -> Flask:
    """Write the least that any Flask endpoint does: the bare read, ``orjson.dumps`` and a response."""
    app = application()

    @app.get("/api/usage")
    def usage():
        rows = list(collection.find(condition(size, mix), PROJECTION))
        body = {"success": True, "totalRequests": 0, "projectStats": rows}
        return Response(orjson.dumps(body, default=str, option=orjson.OPT_NAIVE_UTC), mimetype="application/json")

    return app


def naive(collection: Collection[Any], size: int) -> Flask:
    """Build a hand-written endpoint: find, sort, dump with marshmallow, jsonify."""
    app = application()
    app.json.sort_keys = False
    schema = Project(many=True)

    @app.get("/api/usage")
    def usage():
        documents = list(collection.find(condition(size), PROJECTION))
        documents.sort(key=lambda document: (-document["totalRequest"], document["_id"]))
        total = sum(document["totalRequest"] for document in documents)
        return jsonify(success=True, totalRequests=total, projectStats=schema.dump(documents))

    return app


class _Anybody(TokenAuth):
    def check_auth(self, token, allowed_roles, resource, method) -> bool:
        self.set_request_auth_value(owner_of(int(token)))
        return True


def eve(collection: Collection[Any], uri: str) -> Flask:
    """Configure Eve for the most similar response: one page of the owner's projects, sorted by count.

    It has another envelope, dates without milliseconds, and no total. Links and entity tags are off to save time.
    """
    text = {"type": "string"}
    schema = dict.fromkeys(("name", "projectType", "status", "plan"), text) | {"totalRequest": {"type": "integer"}}
    return Eve(
        "benchmark_eve",
        auth=_Anybody,
        settings={
            "MONGO_URI": f"{uri}/{collection.database.name}",
            "DOMAIN": {
                "usage": {
                    "schema": schema,
                    "datasource": {
                        "source": collection.name,
                        "filter": {"status": {"$ne": "deleted"}},
                        "default_sort": [("totalRequest", -1), ("_id", 1)],
                    },
                    "auth_field": "owner",
                    "resource_methods": ["GET"],
                }
            },
            "URL_PREFIX": "api",
            "LAST_UPDATED": "updatedAt",
            "DATE_CREATED": "createdAt",
            "PAGINATION": False,
            "HATEOAS": False,
            "IF_MATCH": False,
            "DATE_FORMAT": "%Y-%m-%dT%H:%M:%SZ",
            "RENDERERS": ["eve.render.JSONRenderer"],
        },
    )


def request(app: Flask, query: str = "", path: str = "/api/usage", **headers: str) -> Callable[[], bytes]:
    """Prepare a request once, and return a function that sends it to the WSGI application without a test client."""
    environ = EnvironBuilder(path, query_string=query, headers=headers).get_environ()

    def send() -> bytes:
        status = []
        chunks = app.wsgi_app(dict(environ), lambda code, _headers, _info=None: status.append(code))
        body = b"".join(chunks)
        chunks.close()
        if not status[0].startswith("200"):
            raise RuntimeError(f"{app.name} returned {status[0]}: {body[:200]!r}")
        return body

    return send
