"""The route as an OpenAPI 3.1 document. Requires apispec, the extra ``openapi``.

.. code-block:: python

    from flask import Flask
    from pymongo import MongoClient

    from flask_usage_stats import ProjectStore, create_usage_blueprint
    from flask_usage_stats.jwt import jwt_identity
    from flask_usage_stats.openapi import openapi_document

    app = Flask(__name__)
    db = MongoClient("mongodb://localhost:27017").platform
    store = ProjectStore(db.projects)
    app.register_blueprint(create_usage_blueprint(store, authenticate=jwt_identity))


    @app.get("/openapi.json")
    def document():
        return openapi_document()
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

try:
    from apispec import APISpec
    from apispec.ext.marshmallow import MarshmallowPlugin
except ImportError as _missing:
    raise ImportError("flask_usage_stats.openapi requires apispec: pip install apispec", name="apispec") from _missing

from ._core.parameters import ParametersSchema
from ._core.text import short_repr
from .errors import ConfigurationError
from .schemas import ErrorSchema, GroupSchema, ProjectSchema, UsageSchema

__all__ = ["openapi_document"]

_Object: TypeAlias = dict[str, Any]

_VERSION: Final = "3.1.0"
_BEARER: Final = "UsageBearer"
#: The prefix avoids conflicts with the application's components. Nested schemas come first.
_SCHEMAS: Final = {
    "UsageProject": ProjectSchema,
    "UsageGroup": GroupSchema,
    "Usage": UsageSchema,
    "UsageError": ErrorSchema,
}
_TEXT: Final = {"type": "string"}
_VARY: Final = {
    "Vary": {"required": True, "schema": _TEXT, "description": "At least Authorization; the application may add more."}
}
_CACHE_HEADERS: Final = {
    "ETag": {"required": True, "schema": _TEXT, "description": "Identifies this representation, for If-None-Match."},
    "Cache-Control": {"required": True, "schema": {"type": "string", "examples": ["private, no-cache"]}},
    **_VARY,
}
_OK_HEADERS: Final = {
    **_CACHE_HEADERS,
    "Link": {
        "schema": {"type": "string", "examples": ['<?limit=2&cursor=TZTs4zRRWvs>; rel="next"']},
        "description": "Only with limit, if another page follows.",
    },
    "Content-Disposition": {
        "schema": {"type": "string", "examples": ['attachment; filename="usage-2024-03-14.csv"']},
        "description": "Only with CSV.",
    },
}
_ERROR_HEADERS: Final = {
    "Cache-Control": {"required": True, "schema": {"type": "string", "examples": ["no-store"]}},
    **_VARY,
}
_UNAUTHORIZED_HEADERS: Final = {
    **_ERROR_HEADERS,
    "WWW-Authenticate": {"required": True, "schema": {"type": "string", "examples": ['Bearer realm="usage"']}},
}
_OK_CONTENT: Final = {
    "application/json": {"schema": {"$ref": "#/components/schemas/Usage"}},
    "text/csv": {
        "schema": {"type": "string"},
        "example": "plan,projects,totalRequests,share\r\npro,2,38320,0.2971\r\n",
    },
}
_ERROR_CONTENT: Final = {"application/json": {"schema": {"$ref": "#/components/schemas/UsageError"}}}
_TAG: Final = {"name": "Usage", "description": "The request counts of the signed-in user's projects."}
#: The summary and the description of each method.
_OPERATIONS: Final = {
    "get": (
        "List the user's projects by request count",
        "Without parameters, all projects are listed, the one with the most requests first.",
    ),
    "head": ("Return the headers only", "The headers are those of the response to a GET request."),
}
#: The description, headers and content of each status; ``HEAD`` has no content.
_RESPONSES: Final[Mapping[str, tuple[str, _Object, _Object]]] = {
    "200": (
        "The user's projects and their total; with groupBy, also the totals of groups.",
        _OK_HEADERS,
        _OK_CONTENT,
    ),
    "304": ("The client already has this representation.", _CACHE_HEADERS, {}),
    "400": (
        "A parameter is invalid; errors has the messages by parameter.",
        _ERROR_HEADERS,
        _ERROR_CONTENT,
    ),
    "401": (
        "The request has no token, or it is invalid or expired.",
        _UNAUTHORIZED_HEADERS,
        _ERROR_CONTENT,
    ),
    "500": (
        "The projects could not be read. It is safe to retry.",
        _ERROR_HEADERS,
        _ERROR_CONTENT,
    ),
}
_PREFIX: Final = re.compile(r"(?:/[^<>{}?#\s]*)?")


def openapi_document(url_prefix: str = "/api") -> dict[str, Any]:
    """Return the ``GET`` and ``HEAD`` operations of one blueprint as a complete OpenAPI 3.1 document.

    Merge ``paths`` and ``components`` into the application's document, which must be OpenAPI 3.1 as well.

    .. code-block:: text

        {"openapi": "3.1.0", "info": {...},
         "paths": {"/api/usage": {"get": {...}, "head": {...}, "parameters": [...]}},
         "components": {"schemas": {"UsageProject": ..., "UsageGroup": ..., "Usage": ..., "UsageError": ...},
                        "securitySchemes": {"UsageBearer": {"type": "http", "scheme": "bearer"}}}}

    Each call returns a new document, which may be modified: an application without bearer tokens should replace
    ``UsageBearer``, for example with ``{"type": "apiKey", "in": "cookie", "name": "access_token_cookie"}``. It has no
    ``servers``, contact or license, which only the application knows.

    :param url_prefix: the complete path before ``/usage``, with the prefixes of parent blueprints.
    :returns: the document, which contains only dicts, lists, strings, numbers and booleans.
    :raises ConfigurationError: *url_prefix* is neither ``""`` nor a plain path that begins with a slash.

    .. versionadded:: 0.1.0
    """
    if not isinstance(url_prefix, str) or not _PREFIX.fullmatch(url_prefix):
        raise ConfigurationError(
            f'url_prefix must be "" or begin with a slash, such as "/api", without variables;'
            f" got {short_repr(url_prefix)}"
        )
    path = url_prefix.rstrip("/") + "/usage"
    spec = APISpec(
        title="Usage",
        version="1",
        openapi_version=_VERSION,
        info={"description": _TAG["description"]},
        plugins=[MarshmallowPlugin()],
    )
    for name, schema in _SCHEMAS.items():
        spec.components.schema(name, schema=schema)
    spec.components.security_scheme(_BEARER, {"type": "http", "scheme": "bearer"})
    spec.tag(_TAG)
    operations = {method: _operation(method, path) for method in _OPERATIONS}
    spec.path(path, operations=operations, parameters=[*_parameters()])
    # Make a deep copy, which shares no part with another part, another document or the schemas.
    document: dict[str, Any] = json.loads(json.dumps(spec.to_dict()))
    return document


def _parameters() -> Iterator[_Object]:
    for name, field in ParametersSchema().fields.items():
        metadata = field.metadata
        parameter = {"name": name, "in": "query", "description": f"{metadata['summary']}: {metadata['constraint']}."}
        array = metadata["schema"]["type"] == "array"
        style = {"style": "form", "explode": metadata["explode"]} if array else {}
        yield {**parameter, **style, "schema": metadata["schema"]}
    yield {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of an earlier response; the status is 304 if nothing has changed.",
        "schema": {"type": "string"},
    }


def _operation(method: str, path: str) -> _Object:
    # Such as getApiUsage: the path makes the id unique in a document with several blueprints.
    words = [method, *(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", path))]
    responses: _Object = {}
    for status, (description, headers, content) in _RESPONSES.items():
        responses[status] = {"description": description, "headers": headers}
        if content and method == "get":
            responses[status]["content"] = content
    summary, description = _OPERATIONS[method]
    return {
        "operationId": "".join(words),
        "tags": [_TAG["name"]],
        "summary": summary,
        "description": description,
        "security": [{_BEARER: []}],
        "responses": responses,
    }
