"""Authenticate callbacks for flask-jwt-extended, which no other module of this package imports.

.. code-block:: python

    import secrets
    from functools import cache

    from flask import Flask
    from flask_jwt_extended import JWTManager
    from pymongo import MongoClient

    from flask_usage_stats import ProjectStore, create_usage_blueprint
    from flask_usage_stats.jwt import jwt_identity

    app = Flask(__name__)
    app.config["JWT_SECRET_KEY"] = secrets.token_hex(32)
    JWTManager(app)


    @cache
    def projects():
        return MongoClient("mongodb://localhost:27017").platform.projects


    store = ProjectStore(projects)
    app.register_blueprint(create_usage_blueprint(store, authenticate=jwt_identity))
"""

import logging
import re
from collections.abc import Sequence
from functools import partial
from traceback import walk_tb
from typing import Final

from flask import Response, after_this_request, current_app, has_request_context, request
from flask_jwt_extended import get_jwt, get_jwt_identity, verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import (
    InvalidAlgorithmError,
    InvalidKeyError,
    PyJWKClientError,
    PyJWKError,
    PyJWKSetError,
    PyJWTError,
)

from ._core.hourly import HourlyLimit
from ._core.owners import validate_owner
from ._core.text import short_repr
from .errors import ConfigurationError, InvalidOwnerError
from .protocols import Authenticate, Owner

__all__ = ["jwt_identity", "jwt_identity_from"]

_logger: Final = logging.getLogger("flask_usage_stats")

_LOCATIONS: Final = ("headers", "cookies", "query_string")
_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f]")
# PyJWT raises the same exception for a key set that cannot be used and for a token with an unknown key id.
_UNKNOWN_KEY_ID: Final = "Unable to find a signing key that matches"
_UNSUITABLE_KEY_LIMIT: Final = HourlyLimit()


def jwt_identity() -> Owner | None:
    """Return the subject of the access token in the request's header.

    flask-jwt-extended validates the token with the application's settings and callbacks, for example for expiry,
    audience, blocklist, keys and claims. The token is only read from the header, regardless of
    ``JWT_TOKEN_LOCATION``: a token in a query string is written to log files, and a cookie is also sent with
    cross-site requests. :func:`jwt_identity_from` reads it from elsewhere.

    :returns: the owner id, or ``None`` if the request has no valid access token or if the token's subject cannot be
        an owner id. A string with control characters is also ``None``. The reason is logged at DEBUG.
    :raises ConfigurationError: the application has no ``JWTManager``, or no request is being handled.
    :raises PyJWTError: the application's key set cannot be fetched or has no keys, its key does not suit the algorithm,
        or the algorithm requires a library that is not installed. If the application allows several algorithms, the
        token chooses one of them, so the last two are ``None`` and a warning once an hour.
    :raises TypeError: the application's key has a type that the algorithm does not support, as above.
    :raises Exception: whatever a callback of the application raises.

    .. versionadded:: 0.1.0
    """
    return _identify(("headers",))


def jwt_identity_from(location: str, /, *others: str) -> Authenticate:
    """Return a callback like :func:`jwt_identity` that reads the token from other locations of flask-jwt-extended.

    .. code-block:: python

        create_usage_blueprint(store, authenticate=jwt_identity_from("cookies"))

    With ``"cookies"``, the responses of the blueprint vary by the ``Cookie`` header.

    :param location: ``"headers"``, ``"cookies"`` or ``"query_string"``.
    :param others: more locations. The first one that has a token is used.
    :raises ConfigurationError: a location has another value.

    .. versionadded:: 0.1.0
    """
    locations = (location, *others)
    for each in locations:
        if each not in _LOCATIONS:
            raise ConfigurationError(f"location must be one of {', '.join(_LOCATIONS)}; got {short_repr(each)}")

    return partial(_identify, locations)


def _identify(locations: Sequence[str]) -> Owner | None:
    if not has_request_context():
        raise ConfigurationError(
            "no request is being handled: pass the function itself, without parentheses,"
            " as in authenticate=jwt_identity"
        )
    if "flask-jwt-extended" not in current_app.extensions:
        raise ConfigurationError(
            "jwt_identity requires flask-jwt-extended to be set up: call JWTManager(app) and set JWT_SECRET_KEY"
        )
    if "cookies" in locations:
        after_this_request(_vary_by_cookie)
    usable = [location for location in locations if _can_be_read(location)]
    if not usable:
        return None
    try:
        verify_jwt_in_request(locations=usable)
        owner = validate_owner(get_jwt_identity())
    except (JWTExtendedException, PyJWTError, InvalidOwnerError, TypeError, ValueError) as error:
        if not _is_about_token(error):
            raise
        _logger.debug("the access token was refused: %s", type(error).__name__)
        return None
    if get_jwt().get("type") != "access":  # flask-jwt-extended refuses only refresh tokens
        reason = "the claim type is not access"
    elif owner is None:
        reason = "the identity is empty"
    elif isinstance(owner, str) and _CONTROL_CHARACTERS.search(owner):
        reason = "the identity has control characters"
    else:
        return owner
    _logger.debug("the access token was refused: %s", reason)
    return None


def _can_be_read(location: str) -> bool:
    """Return whether flask-jwt-extended can read a location of the request without an unrelated error."""
    if location == "headers":  # a blank part of the header is an IndexError
        header = request.headers.get(current_app.config["JWT_HEADER_NAME"], "").strip().strip(",")
        return all(map(str.strip, header.split(",")))
    if location == "query_string":  # bytes that are not UTF-8 are a UnicodeDecodeError
        return request.query_string.isascii() or _is_utf8(request.query_string)
    return True


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_about_token(error: Exception) -> bool:
    """Return whether an error is about the token instead of the application's keys."""
    if isinstance(error, PyJWKClientError):
        return str(error).startswith(_UNKNOWN_KEY_ID)
    if isinstance(error, PyJWKError | PyJWKSetError):
        return False
    if _is_unsuitable_key(error):
        # The token chooses one of the algorithms, also one that does not suit the key.
        algorithms = current_app.config["JWT_DECODE_ALGORITHMS"]
        if algorithms is None or len(algorithms) == 1:
            return False
        if _UNSUITABLE_KEY_LIMIT.allows():
            _logger.warning("the key does not suit the algorithm of a token: %s", type(error).__name__)
        return True
    return isinstance(error, JWTExtendedException | PyJWTError | InvalidOwnerError)


def _is_unsuitable_key(error: Exception) -> bool:
    if isinstance(error, InvalidAlgorithmError):  # allowed by the application, but not supported
        return isinstance(error.__cause__, NotImplementedError)
    if isinstance(error, TypeError | ValueError):  # for objects that are keys of another algorithm
        return any(frame.f_globals.get("__name__") == "jwt.algorithms" for frame, _ in walk_tb(error.__traceback__))
    return isinstance(error, InvalidKeyError)


def _vary_by_cookie(response: Response) -> Response:
    response.vary.add("Cookie")
    return response
