"""The blueprint: its arguments are validated here, and each view has a module of its own."""

from typing import Final

from flask import Blueprint

from .._cli.commands import add_commands
from .._core.callables import is_coroutine_callable
from .._core.text import short_repr
from .._mongodb.history import UsageHistory
from .._mongodb.store_reader import StoreReader
from ..errors import ConfigurationError
from ..protocols import Authenticate, UsageStore
from .arguments import validate_callback, validate_url_prefix
from .element import add_element
from .history import add_history
from .usage import add_usage

# get_jwt_identity and get_current_user of flask-jwt-extended are defined here.
_UNVERIFIED_MODULES: Final = ("flask_jwt_extended.utils",)


def create_usage_blueprint(  # noqa: PLR0913 # each parameter describes one part of the blueprint
    store: UsageStore,
    *,
    authenticate: Authenticate,
    history: UsageHistory | None = None,
    element: bool = False,
    name: str = "usage_stats",
    url_prefix: str = "/api",
) -> Blueprint:
    """Build a blueprint that serves ``GET /api/usage`` from a store.

    Registering the blueprint adds one route (one more each with a history and with the element) and the ``flask usage``
    command group, and changes nothing else in the application. ``register_blueprint(..., cli_group="name")`` changes
    the name of the group. The blueprint stores nothing in the application, so it can be registered several times, in
    several applications and under a parent blueprint.

    The body of a response is JSON (or CSV, if the request selects it):

    .. code-block:: json

        {"success": true, "totalRequests": 89456, "projectStats": [
          {"_id": "507f1f77bcf86cd799439012", "name": "api-service", "projectType": "node",
           "status": "live", "plan": "business", "totalRequest": 89456,
           "createdAt": "2024-01-01T00:00:00.000Z", "updatedAt": "2024-03-14T10:15:00.000Z"}]}

    An error has the body ``{"success": false, "message": "..."}``. The status is 400 if a query parameter is invalid
    (the body then also has ``errors``), 401 if the request is not authenticated, and 500, with the cause in the log,
    if anything fails. If *authenticate* raises an ``HTTPException`` with a status from 400 to 599, the response has
    that status and the exception's description as the message.

    :param store: the source of the projects, such as a :class:`~flask_usage_stats.ProjectStore`.
    :param authenticate: a function such as :func:`flask_usage_stats.jwt.jwt_identity`. It is called without arguments
        during the request and must return the owner id, or ``None`` if the request is not authenticated.
    :param history: the :class:`~flask_usage_stats.UsageHistory` that a recorder or ``flask usage ingest`` writes. With
        it, the blueprint also serves ``GET /api/usage/history``, and requests can ask for the date of each project's
        latest request and for idle projects. The latter is also true if the *fields* of a ``ProjectStore`` contain
        ``lastRequestAt``.
    :param element: whether the blueprint also serves ``GET /api/usage/usage-stats.js``, the script of the element
        ``<usage-stats>``, which shows the usage in a page. It contains no data and requires no authentication.
    :param name: the blueprint's name, which is also the first part of the endpoint ``usage_stats.usage``.
    :param url_prefix: the path before ``/usage``. Pass ``""`` if a parent blueprint already has the complete prefix.
    :returns: the blueprint, to be passed to ``register_blueprint``.
    :raises ConfigurationError: *store* is a class or has no method ``iter_projects``, or the method is async;
        *authenticate* is not callable, requires arguments, is a coroutine function or is ``get_jwt_identity`` of
        flask-jwt-extended, which does not verify the token; *history* is not a ``UsageHistory``; *element* is not a
        boolean; or *url_prefix* is neither ``""`` nor a string that begins with a slash.
    :raises ValueError: *name* is empty or contains a dot (checked by Flask).

    .. versionadded:: 0.1.0
    """
    _validate_arguments(store, authenticate, history)
    if not isinstance(element, bool):
        raise ConfigurationError(f"element must be True or False, got {short_repr(element)}")
    validate_url_prefix(url_prefix)
    reader = StoreReader(store, history)
    blueprint = Blueprint(name, __name__, url_prefix=url_prefix, cli_group="usage")
    add_commands(blueprint, reader)
    add_usage(blueprint, reader, authenticate)
    if history is not None:
        add_history(blueprint, reader, history, authenticate)
    if element:
        add_element(blueprint)
    return blueprint


def _validate_arguments(store: UsageStore, authenticate: Authenticate, history: UsageHistory | None) -> None:
    method = getattr(store, "iter_projects", None)
    # A PyMongo collection has every attribute: `collection.iter_projects` is the sub-collection of that name.
    if isinstance(store, type) or not callable(method) or hasattr(method.__class__, "with_options"):
        raise ConfigurationError(
            "store must be a ProjectStore, such as ProjectStore(db.projects), or have a method iter_projects(owner);"
            f" got {short_repr(store)}"
        )
    if is_coroutine_callable(method):
        raise ConfigurationError("store.iter_projects must not be async: it must return the projects, not a coroutine")
    # A decorator that verifies the token has the module of the function that it wraps.
    is_wrapped = hasattr(authenticate, "__wrapped__")
    if getattr(authenticate, "__module__", None) in _UNVERIFIED_MODULES and not is_wrapped:
        raise ConfigurationError(
            f"authenticate must verify the token, and {short_repr(authenticate)} does not:"
            " pass flask_usage_stats.jwt.jwt_identity"
        )
    validate_callback("authenticate", authenticate, "a function that returns the owner id, such as jwt_identity")
    if history is not None and not isinstance(history, UsageHistory):
        raise ConfigurationError(
            f"history must be a UsageHistory, such as UsageHistory(db.usage_history); got {short_repr(history)}"
        )
