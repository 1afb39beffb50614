"""An application with an OpenAPI document, and checks of both."""

import time
from datetime import datetime

from flask import Flask, request
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from support import StubStore, raiser
from werkzeug.http import parse_options_header

from flask_usage_stats import (
    PlatformStore,
    ProjectStore,
    UsageHistory,
    create_platform_blueprint,
    create_usage_blueprint,
)
from flask_usage_stats._mongodb.history_updates import HistoryWriter
from flask_usage_stats.openapi import openapi_document

PLANS = ["free", "Pro", None]


def caller():
    """Return the user that a bearer credential names."""
    scheme, _, name = request.headers.get("Authorization", "").partition(" ")
    return name if scheme == "Bearer" and name in {"ada", "bob", "new"} else None


def is_operator():
    """Return whether the user is ada; ``None`` for no user."""
    return None if caller() is None else caller() == "ada"


def documented_app(projects):
    """Build an application with working routes, failing routes, and its OpenAPI document at ``/openapi.json``."""
    projects.insert_many(
        [
            {"_id": 7, "owner": "ada", "totalRequest": 2**70 * 1.0, "name": None, "createdAt": datetime(2024, 1, 1)},
            {"_id": "text", "owner": "ada", "totalRequest": 2.5, "plan": "PRO", "updatedAt": "soon"},
            {"_id": {"a": 1}, "owner": "ada", "totalRequest": -3, "status": 5},
            {"_id": 1, "owner": "bob"},
            *(
                {"owner": "ada", "name": f"n{n}", "totalRequest": n, "plan": PLANS[n % 3], "status": PLANS[n % 2]}
                for n in range(9)
            ),
        ]
    )
    collection = projects.database.usage_history
    collection.insert_one({"_id": "since", "at": datetime(2024, 1, 1), "format": 1})
    quarter = int(time.time()) // 900
    counts = {(project, quarter - age): 1 + age for project in (7, "text", 1) for age in range(0, 3000, 90)}
    HistoryWriter(UsageHistory(collection), "w").write(counts, 1, 30, 0.0)
    app = Flask("application")
    for store, prefix in ((ProjectStore(projects), "/api"), (StubStore(error=OSError()), "/down")):
        app.register_blueprint(
            create_usage_blueprint(
                store,
                authenticate=caller,
                history=UsageHistory(collection),
                name=f"usage{prefix[1:]}",
                url_prefix=prefix,
            )
        )
        collection_of = (lambda: projects) if prefix == "/api" else raiser(OSError())
        app.register_blueprint(
            create_platform_blueprint(
                PlatformStore(ProjectStore(collection_of)),
                authorize=is_operator,
                name=f"platform{prefix[1:]}",
                url_prefix=prefix,
            )
        )
    app.add_url_rule("/openapi.json", "openapi_document", lambda: openapi_document(history=True, platform=True))
    return app


def validated(document):
    """Validate a document as OpenAPI 3.1 and return it."""
    assert document["openapi"].startswith("3.1")
    validate(document, cls=OpenAPIV31SpecValidator)
    return document


def check_response(document, path, response):
    """Check the headers, the content type and the body of a response against a document."""
    documented = document["paths"][path][response.request.method.lower()]["responses"][str(response.status_code)]
    headers = {name.lower(): header for name, header in documented["headers"].items()}
    returned = {name.lower() for name, _ in response.headers}
    assert {name for name, header in headers.items() if header.get("required")} <= returned
    assert returned <= headers.keys() | {"content-type", "content-length"}
    if "content" not in documented:
        assert not response.data
        return
    schema = documented["content"][parse_options_header(response.content_type)[0]]["schema"]
    body = response.text if response.mimetype == "text/csv" else response.json
    Draft202012Validator(schema | {"components": document["components"]}).validate(body)
