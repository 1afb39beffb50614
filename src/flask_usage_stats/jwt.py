"""An authenticate callback for flask-jwt-extended, which no other module of this package imports.

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

import re
from typing import Final

from flask import current_app, request
from flask_jwt_extended import get_jwt_identity, verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import PyJWTError

from ._core.owners import validate_owner
from .errors import ConfigurationError, InvalidOwnerError
from .protocols import Owner

__all__ = ["jwt_identity"]

_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f]")


def jwt_identity() -> Owner | None:
    """Return the subject of the request's access token.

    flask-jwt-extended validates the token with the application's settings and callbacks, for example for expiry,
    audience, blocklist, keys and claims. The token is only read from the header, regardless of
    ``JWT_TOKEN_LOCATION``: a token in a query string is written to log files, and a cookie is also sent with
    cross-site requests.

    :returns: the owner id, or ``None`` if the request has no valid access token or if the token's subject cannot be
        an owner id. A string with control characters is also ``None``.
    :raises ConfigurationError: the application has no ``JWTManager``.
    :raises Exception: whatever a callback of the application raises.

    .. versionadded:: 0.1.0
    """
    if "flask-jwt-extended" not in current_app.extensions:
        raise ConfigurationError(
            "jwt_identity requires flask-jwt-extended to be set up: call JWTManager(app) and set JWT_SECRET_KEY"
        )
    header = request.headers.get(current_app.config["JWT_HEADER_NAME"], "").strip().strip(",")
    if not all(map(str.strip, header.split(","))):  # no header, or a blank part (an IndexError there)
        return None
    try:
        verify_jwt_in_request(locations=["headers"])
        owner = validate_owner(get_jwt_identity())
    except (JWTExtendedException, PyJWTError, InvalidOwnerError):
        return None
    return None if isinstance(owner, str) and _CONTROL_CHARACTERS.search(owner) else owner
