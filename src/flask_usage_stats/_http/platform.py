"""The blueprint with the view ``GET /api/usage/platform``."""

from flask import Blueprint, Response

from .._cli.platform import add_platform_command
from .._core.platform_parameters import parse_platform_parameters
from .._core.text import short_repr
from .._log import log_platform_adjustments
from .._mongodb.platform import PlatformStore, has_owners, read_platform
from ..errors import ConfigurationError
from ..protocols import Authorize
from .arguments import validate_callback, validate_url_prefix
from .error_handling import respond_to_operator
from .requests import negotiate_format, parse_query_string, refuse_invalid_parameters
from .responses import build_body_response


def create_platform_blueprint(
    store: PlatformStore,
    *,
    authorize: Authorize,
    name: str = "platform_usage_stats",
    url_prefix: str = "/api",
) -> Blueprint:
    """Build a blueprint that serves ``GET /api/usage/platform``: the usage of all owners, for operators.

    Registering the blueprint adds one route and the command ``flask usage platform``, and changes nothing else in the
    application. It does not require the blueprint of :func:`~flask_usage_stats.create_usage_blueprint`.

    The body of a response is JSON (or CSV, if the request selects it):

    .. code-block:: json

        {"success": true, "totalRequests": 14814290287, "projects": 910162, "unused": 291040,
         "asOf": "2026-11-25T19:00:00.000Z"}

    An error has the body ``{"success": false, "message": "..."}``. The status is 400 if a query parameter is invalid,
    401 if the request is not authenticated, 403 if it is not authorized, and 500, with the cause in the log, if
    anything fails.

    :param store: a :class:`~flask_usage_stats.PlatformStore`.
    :param authorize: a function that is called without arguments during the request. It must return ``True`` if the
        user may see the usage of all owners, ``False`` if not, or ``None`` if the request is not authenticated. Only
        ``True`` admits; the status is 500 for any other value, such as a user. If it raises an ``HTTPException`` with a
        status from 400 to 599, the response has that status and the exception's description as the message.
    :param name: the blueprint's name, which is also the first part of the endpoint ``platform_usage_stats.platform``.
    :param url_prefix: the path before ``/usage/platform``.
    :returns: the blueprint, to be passed to ``register_blueprint``.
    :raises ConfigurationError: *store* is not a ``PlatformStore``; *authorize* is not callable, requires arguments or
        is a coroutine function; or *url_prefix* is neither ``""`` nor a string that begins with a slash.
    :raises ValueError: *name* is empty or contains a dot (checked by Flask).

    .. versionadded:: 0.1.0
    """
    if not isinstance(store, PlatformStore):
        raise ConfigurationError(
            f"store must be a PlatformStore, such as PlatformStore(ProjectStore(db.projects)); got {short_repr(store)}"
        )
    validate_callback("authorize", authorize, "a function that returns whether the user is an operator")
    validate_url_prefix(url_prefix)
    blueprint = Blueprint(name, __name__, url_prefix=url_prefix, cli_group="usage")
    add_platform_command(blueprint, store)

    def build_response() -> Response:
        with refuse_invalid_parameters():
            query = parse_platform_parameters(parse_query_string(), has_owners=has_owners(store))
        output = negotiate_format(query.format)
        report = read_platform(store, query)
        log_platform_adjustments(report.adjustments)
        return build_body_response(output.encode_platform(report, query), output, "platform-usage")

    @blueprint.get("/usage/platform")
    def platform() -> Response:
        """Return the usage of all owners."""
        return respond_to_operator(authorize, build_response)

    return blueprint
