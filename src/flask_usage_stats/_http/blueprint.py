"""The route: authenticate, parse, ask, answer. The one place that renders errors."""

import inspect
import re
from collections.abc import Mapping
from typing import Final

from flask import Blueprint, Response, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from .._cli.commands import add_commands
from .._core import cursors as cursor
from .._core.fields import ERRORS, MESSAGE, SUCCESS
from .._core.owners import validate_owner
from .._core.report import build_report
from .._core.text import is_coroutine_callable, short_repr
from .._core.values import to_text
from .._formats.bodies import csv_writer
from .._formats.json import encode
from .._log import log_adjustments, log_failure
from ..errors import ConfigurationError, InvalidParametersError
from ..protocols import Authenticate, Owner, UsageStore
from ..schemas import parse_parameters
from .responses import arguments_of, represent, wants_csv

_CHALLENGE: Final = 'Bearer realm="usage"'
# RFC 6750, section 3.1: only a request that carried a credential is told an error.
_INVALID_TOKEN: Final = f'{_CHALLENGE}, error="invalid_token", error_description="Invalid or expired token"'
_BEARER: Final = re.compile(r"(?:^|,)\s*bearer\s+[^\s,]", re.IGNORECASE)


def create_usage_blueprint(
    store: UsageStore,
    *,
    authenticate: Authenticate,
    name: str = "usage_stats",
    url_prefix: str = "/api",
) -> Blueprint:
    """Build a plain blueprint that answers ``GET /api/usage`` from a store.

    All state is in the blueprint: it can be mounted twice, in several applications,
    and under a parent. Nothing of the application is touched, but that ``flask usage`` is added;
    ``register_blueprint(..., cli_group="name")`` gives a second one its own name.

    .. code-block:: json

        {"success": true, "totalRequests": 89456, "projectStats": [
          {"_id": "507f1f77bcf86cd799439012", "name": "api-service", "projectType": "node",
           "status": "live", "plan": "business", "totalRequest": 89456,
           "createdAt": "2024-01-01T00:00:00.000Z", "updatedAt": "2024-03-14T10:15:00.000Z"}]}

    :param store: where the projects come from, such as :class:`~flask_usage_stats.ProjectStore`.
    :param authenticate: takes nothing, runs inside the request and must return the caller's identity,
        or ``None`` where nobody is signed in; :func:`flask_usage_stats.jwt.jwt_identity` is one.
    :param name: the blueprint's name, part of the endpoint ``usage_stats.usage``.
    :param url_prefix: the path in front of ``/usage``; ``""`` under a parent that already has one.
    :returns: the blueprint, to be registered once or more.
    :raises ConfigurationError: *store* has no method ``iter_projects``; *authenticate* cannot be called without
        arguments, or is a coroutine function; *url_prefix* does not begin with a slash.
    :raises ValueError: *name* is empty or has a dot (Flask's own check).

    .. versionadded:: 0.1.0
    """
    _check(store, authenticate, url_prefix)
    blueprint = Blueprint(name, __name__, url_prefix=url_prefix, cli_group="usage")
    add_commands(blueprint, store)

    @blueprint.get("/usage")
    def usage() -> Response:
        """Answer with the caller's projects, ranked by requests, and their total."""
        owner: Owner | None = None
        try:
            try:
                owner = validate_owner(authenticate())
            except HTTPException as refusal:
                return _refused(refusal)
            if owner is None:
                return _unauthenticated()
            try:
                question, form = parse_parameters(arguments_of(request), owner)
            except InvalidParametersError as error:
                return _error(400, str(error), error.errors)
            as_csv = wants_csv(request, form)
            report = build_report(
                store.iter_projects(owner),
                question,
                digest=cursor.digest(owner, question) if question.limit else "",
                write=csv_writer(question) if as_csv else None,
            )
            log_adjustments(owner, report.changes)
            return represent(report, question, request, as_csv=as_csv)
        except Exception as error:  # noqa: BLE001 # the edge: whatever failed, the client gets the contract's body
            log_failure(owner, error)
            return _error(500, "Failed to fetch usage stats")

    return blueprint


def _check(store: UsageStore, authenticate: Authenticate, url_prefix: str) -> None:
    method = getattr(store, "iter_projects", None)
    # A collection has an attribute of every name, and each is a collection.
    if isinstance(store, type) or not callable(method) or hasattr(method.__class__, "with_options"):
        raise ConfigurationError(
            "store must be a ProjectStore, such as ProjectStore(db.projects), or have a method iter_projects(owner);"
            f" got {type(store).__name__}"
        )
    if not callable(authenticate):
        raise ConfigurationError(
            "authenticate must be a function that returns the caller's identity, such as jwt_identity;"
            f" got {short_repr(authenticate)}"
        )
    if is_coroutine_callable(authenticate):
        raise ConfigurationError("authenticate must not be async: wrap it with asgiref.sync.async_to_sync")
    try:
        inspect.signature(authenticate).bind()
    except TypeError as error:
        raise ConfigurationError(
            f"authenticate is called without arguments, which {short_repr(authenticate)} cannot be ({error}):"
            " read what it needs from flask.request"
        ) from error
    except ValueError:  # some built-in callables have no signature to check
        pass
    if not isinstance(url_prefix, str) or url_prefix[:1] not in ("", "/"):
        raise ConfigurationError(
            f'url_prefix must be "" or begin with a slash, such as "/api"; got {short_repr(url_prefix)}'
        )


def _unauthenticated() -> Response:
    if _BEARER.search(request.headers.get("Authorization", "")):
        message, challenge = "Invalid or expired token", _INVALID_TOKEN
    else:
        message, challenge = "Authentication required", _CHALLENGE
    response = _error(401, message)
    response.headers["WWW-Authenticate"] = challenge
    return response


def _refused(refusal: HTTPException) -> Response:
    """Render a refusal by the authenticate callback; what is no client or server error is a failure like any other."""
    if refusal.response is None:
        status, headers = refusal.code or 0, Headers(refusal.get_headers())
    else:
        status, headers = refusal.response.status_code, refusal.response.headers
    if not 400 <= status <= 599:  # noqa: PLR2004 # HTTP's own numbers, here and below
        raise refusal
    response = _error(status, str(refusal.description or HTTP_STATUS_CODES.get(status, "Request refused")))
    for name in ("WWW-Authenticate", "Retry-After"):
        for value in headers.getlist(name):
            response.headers.add(name, value)
    if status == 401:  # noqa: PLR2004 # RFC 9110, section 15.5.2: never without a challenge
        response.headers.setdefault("WWW-Authenticate", _CHALLENGE)
    return response


def _error(status: int, message: str, errors: Mapping[str, list[str]] | None = None) -> Response:
    body: dict[str, object] = {SUCCESS: False, MESSAGE: to_text(message)}
    if errors is not None:
        body[ERRORS] = errors
    headers = {"Cache-Control": "no-store", "Vary": "Authorization"}
    return Response(encode(body), status, headers, mimetype="application/json")
