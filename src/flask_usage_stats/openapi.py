"""The route as OpenAPI 3.1, from the schemas that check it. Needs apispec: ``flask-usage-stats[openapi]``.

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
    raise ImportError(
        "flask_usage_stats.openapi needs apispec: pip install flask-usage-stats[openapi]", name="apispec"
    ) from _missing

from ._core.text import short_repr
from .errors import ConfigurationError
from .schemas import ErrorSchema, GroupSchema, ParametersSchema, ProjectSchema, UsageSchema

__all__ = ["openapi_document"]

_Object: TypeAlias = dict[str, Any]

_VERSION: Final = "3.1.0"
_BEARER: Final = "UsageBearer"
#: Named so that they meet no component of a host's; nested ones before those that hold them.
_SCHEMAS: Final = {
    "UsageProject": ProjectSchema,
    "UsageGroup": GroupSchema,
    "Usage": UsageSchema,
    "UsageError": ErrorSchema,
}
_TEXT: Final = {"type": "string"}
_VARY: Final = {
    "Vary": {"required": True, "schema": _TEXT, "description": "At least Authorization; the host may add to it."}
}
_STORED: Final = {
    "ETag": {"required": True, "schema": _TEXT, "description": "Of this representation, for If-None-Match."},
    "Cache-Control": {"required": True, "schema": {"type": "string", "examples": ["private, no-cache"]}},
    **_VARY,
}
_FOUND: Final = {
    **_STORED,
    "Link": {
        "schema": {"type": "string", "examples": ['<?limit=2&cursor=WyI>; rel="next"']},
        "description": "Only where limit asks for a page and another follows.",
    },
    "Content-Disposition": {
        "schema": {"type": "string", "examples": ['attachment; filename="usage-2024-03-14.csv"']},
        "description": "Only with CSV.",
    },
}
_REFUSED: Final = {
    "Cache-Control": {"required": True, "schema": {"type": "string", "examples": ["no-store"]}},
    **_VARY,
}
_CHALLENGED: Final = {
    **_REFUSED,
    "WWW-Authenticate": {"required": True, "schema": {"type": "string", "examples": ['Bearer realm="usage"']}},
}
_USAGE: Final = {
    "application/json": {"schema": {"$ref": "#/components/schemas/Usage"}},
    "text/csv": {
        "schema": {"type": "string"},
        "example": "plan,projects,totalRequests,share\r\npro,2,38320,0.2971\r\n",
    },
}
_FAILURE: Final = {"application/json": {"schema": {"$ref": "#/components/schemas/UsageError"}}}
_SUMMARIES: Final = {
    "get": "Rank the signed-in user's projects by the requests that they have received",
    "head": "Answer with the headers of GET alone",
}
#: What each status means, the headers that come with it, and its body, which ``HEAD`` leaves out.
_ANSWERS: Final[Mapping[str, tuple[str, _Object, _Object]]] = {
    "200": ("The usage of the caller's projects, and of their groups where groupBy asks for it.", _FOUND, _USAGE),
    "304": ("The client has this answer already.", _STORED, {}),
    "400": ("A parameter is bad: errors has every one that is, and why.", _REFUSED, _FAILURE),
    "401": ("Nobody is signed in, or the token is not accepted.", _CHALLENGED, _FAILURE),
    "500": ("The projects could not be read, whole and in time. Asking again is safe.", _REFUSED, _FAILURE),
}
_PREFIX: Final = re.compile(r"(?:/[^<>{}?#\s]*)?")


def openapi_document(url_prefix: str = "/api") -> dict[str, Any]:
    """Describe ``GET`` and ``HEAD`` of one mount as a complete OpenAPI 3.1 document.

    A host merges ``paths`` and ``components`` into a document of its own, which must be OpenAPI 3.1, too.

    .. code-block:: text

        {"openapi": "3.1.0", "info": {...},
         "paths": {"/api/usage": {"get": {...}, "head": {...}, "parameters": [...]}},
         "components": {"schemas": {"UsageProject": ..., "UsageGroup": ..., "Usage": ..., "UsageError": ...},
                        "securitySchemes": {"UsageBearer": {"type": "http", "scheme": "bearer"}}}}

    Each call gives a document of its own, which may be changed: a host without bearer tokens replaces ``UsageBearer``.

    :param url_prefix: what clients find in front of ``/usage``: that of the blueprint, behind its parents'.
    :returns: the document, of plain dicts, lists, text, numbers and booleans.
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
        info={"description": "How many requests the projects of the signed-in user have received."},
        plugins=[MarshmallowPlugin()],
    )
    for name, schema in _SCHEMAS.items():
        spec.components.schema(name, schema=schema)
    spec.components.security_scheme(_BEARER, {"type": "http", "scheme": "bearer"})
    operations = {method: _operation(method, path) for method in _SUMMARIES}
    spec.path(path, operations=operations, parameters=[*_parameters()])
    # Through text, so that no part is shared: with another part, another document, or the schemas.
    document: dict[str, Any] = json.loads(json.dumps(spec.to_dict()))
    return document


def _parameters() -> Iterator[_Object]:
    for name, field in ParametersSchema().fields.items():
        about = field.metadata
        parameter = {"name": name, "in": "query", "description": f"{about['does']}: {about['description']}."}
        array = about["schema"]["type"] == "array"
        style = {"style": "form", "explode": about["explode"]} if array else {}
        yield {**parameter, **style, "schema": about["schema"]}
    yield {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of an earlier answer: 304 where nothing has changed since.",
        "schema": {"type": "string"},
    }


def _operation(method: str, path: str) -> _Object:
    # Unique in a document with several mounts, as operation ids have to be: getApiUsage.
    words = [method, *(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", path))]
    answers: _Object = {}
    for status, (description, headers, content) in _ANSWERS.items():
        answers[status] = {"description": description, "headers": headers}
        if content and method == "get":
            answers[status]["content"] = content
    return {
        "operationId": "".join(words),
        "tags": ["Usage"],
        "summary": _SUMMARIES[method],
        "security": [{_BEARER: []}],
        "responses": answers,
    }
