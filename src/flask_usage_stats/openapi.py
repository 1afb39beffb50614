"""The routes as an OpenAPI 3.1 document. Requires apispec, the extra ``openapi``.

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
from typing import Any, Final, NamedTuple, TypeAlias

try:
    from apispec import APISpec
    from apispec.ext.marshmallow import MarshmallowPlugin
except ImportError as _missing:
    raise ImportError("flask_usage_stats.openapi requires apispec: pip install apispec", name="apispec") from _missing

from ._core.history_parameters import HistoryParametersSchema
from ._core.parameters import ParametersSchema
from ._core.platform_parameters import PlatformParametersSchema
from ._core.text import short_repr
from .errors import ConfigurationError
from .schemas import (
    ErrorSchema,
    GroupSchema,
    HistoryBucketSchema,
    HistoryGroupSchema,
    HistorySchema,
    PlatformGroupSchema,
    PlatformOthersSchema,
    PlatformProjectSchema,
    PlatformSchema,
    ProjectSchema,
    UsageSchema,
)

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
_HISTORY_SCHEMAS: Final = {
    "UsageHistoryGroup": HistoryGroupSchema,
    "UsageHistoryBucket": HistoryBucketSchema,
    "UsageHistory": HistorySchema,
}
_PLATFORM_SCHEMAS: Final = {
    "UsagePlatformProject": PlatformProjectSchema,
    "UsagePlatformGroup": PlatformGroupSchema,
    "UsagePlatformOthers": PlatformOthersSchema,
    "UsagePlatform": PlatformSchema,
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
    "Content-Disposition": {
        "schema": {"type": "string", "examples": ['attachment; filename="usage-2024-03-14.csv"']},
        "description": "Only with CSV.",
    },
}
_PAGE_HEADERS: Final = {
    "Link": {
        "schema": {"type": "string", "examples": ['<?limit=2&cursor=TZTs4zRRWvs>; rel="next"']},
        "description": "Only with limit, if another page follows.",
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
_ERROR_CONTENT: Final = {"application/json": {"schema": {"$ref": "#/components/schemas/UsageError"}}}
_TAG: Final = {"name": "Usage", "description": "The request counts of the signed-in user's projects."}


class _Route(NamedTuple):
    #: The path after the prefix.
    path: str
    #: The summary and the description of the operation.
    summary: str
    description: str
    parameters: type[Any]
    #: The description of the status 200, the name of its schema, an example of CSV, and additional headers.
    content: str
    schema: str
    csv: str
    headers: _Object
    #: The description, headers and content of further statuses.
    responses: Mapping[str, tuple[str, _Object, _Object]] = {}  # never changed


_USAGE: Final = _Route(
    "/usage",
    "List the user's projects by request count",
    "Without parameters, all projects are listed, the one with the most requests first.",
    ParametersSchema,
    "The user's projects and their total; with groupBy, also the totals of groups.",
    "Usage",
    "plan,projects,totalRequests,share\r\npro,2,38320,0.2971\r\n",
    _PAGE_HEADERS,
)
_HISTORY: Final = _Route(
    "/usage/history",
    "Return the requests to the user's projects over time",
    "Without parameters, the requests of each of the last 30 days in UTC are returned.",
    HistoryParametersSchema,
    "The requests in each window; with groupBy, also those of groups.",
    "UsageHistory",
    "from,to,totalRequests,partial\r\n2026-03-28T00:00:00.000+00:00,2026-03-29T00:00:00.000+00:00,8100,false\r\n",
    {},
)
_PLATFORM: Final = _Route(
    "/usage/platform",
    "Return the usage of all owners",
    "Without parameters, only the totals are returned.",
    PlatformParametersSchema,
    "The totals; with groupBy, also those of groups; with limit, also the projects with the most requests.",
    "UsagePlatform",
    "plan,projects,totalRequests,share\r\npro,2,38320,0.2971\r\n",
    {},
    {"403": ("The user is not authorized.", _ERROR_HEADERS, _ERROR_CONTENT)},
)
#: The description, headers and content of each status but 200; ``HEAD`` has no content.
_RESPONSES: Final[Mapping[str, tuple[str, _Object, _Object]]] = {
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


def openapi_document(url_prefix: str = "/api", *, history: bool = False, platform: bool = False) -> dict[str, Any]:
    """Return the ``GET`` and ``HEAD`` operations of the blueprints as a complete OpenAPI 3.1 document.

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
    :param history: whether the blueprint has a history, and so the route ``/usage/history``.
    :param platform: whether there is the blueprint of :func:`~flask_usage_stats.create_platform_blueprint` with the
        same prefix, and so the route ``/usage/platform``.
    :returns: the document, which contains only dicts, lists, strings, numbers and booleans.
    :raises ConfigurationError: *url_prefix* is neither ``""`` nor a plain path that begins with a slash.

    .. versionadded:: 0.1.0
    """
    if not isinstance(url_prefix, str) or not _PREFIX.fullmatch(url_prefix):
        raise ConfigurationError(
            f'url_prefix must be "" or begin with a slash, such as "/api", without variables;'
            f" got {short_repr(url_prefix)}"
        )
    spec = APISpec(
        title="Usage",
        version="1",
        openapi_version=_VERSION,
        info={"description": _TAG["description"]},
        plugins=[MarshmallowPlugin()],
    )
    schemas = _SCHEMAS | (_HISTORY_SCHEMAS if history else {}) | (_PLATFORM_SCHEMAS if platform else {})
    for name, schema in schemas.items():
        spec.components.schema(name, schema=schema)
    spec.components.security_scheme(_BEARER, {"type": "http", "scheme": "bearer"})
    spec.tag(_TAG)
    for route in [_USAGE] + [_HISTORY] * history + [_PLATFORM] * platform:
        path = url_prefix.rstrip("/") + route.path
        operations = {method: _build_operation(method, path, route) for method in ("get", "head")}
        spec.path(path, operations=operations, parameters=[*_iter_parameters(route.parameters)])
    # Make a deep copy, which shares no part with another part, another document or the schemas.
    document: dict[str, Any] = json.loads(json.dumps(spec.to_dict()))
    return document


def _iter_parameters(parameters: type[Any]) -> Iterator[_Object]:
    for name, field in parameters().fields.items():
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


def _build_operation(method: str, path: str, route: _Route) -> _Object:
    # Such as getApiUsage: the path makes the id unique in a document with several blueprints.
    words = [method, *(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", path))]
    ok_content = {
        "application/json": {"schema": {"$ref": f"#/components/schemas/{route.schema}"}},
        "text/csv": {"schema": {"type": "string"}, "example": route.csv},
    }
    responses: _Object = {}
    ok = {"200": (route.content, _OK_HEADERS | route.headers, ok_content)}
    for status, (description, headers, content) in sorted((ok | dict(_RESPONSES) | dict(route.responses)).items()):
        responses[status] = {"description": description, "headers": headers}
        if content and method == "get":
            responses[status]["content"] = content
    summary, description = route.summary, route.description
    if method == "head":
        summary, description = "Return the headers only", "The headers are those of the response to a GET request."
    return {
        "operationId": "".join(words),
        "tags": [_TAG["name"]],
        "summary": summary,
        "description": description,
        "security": [{_BEARER: []}],
        "responses": responses,
    }
