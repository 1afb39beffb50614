"""Who is asking: the callback's type, the gate for what it returns, and the callback for flask-jwt-extended.

.. code-block:: python

    import secrets
    from functools import cache

    from flask import Flask
    from flask_jwt_extended import JWTManager
    from pymongo import MongoClient

    from flask_usage_stats import ProjectStore, create_usage_blueprint
    from flask_usage_stats.auth import jwt_identity

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
from collections.abc import Callable
from typing import Final, TypeAlias
from uuid import UUID

from bson import ObjectId
from flask import current_app, request
from flask_jwt_extended import get_jwt_identity, verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import PyJWTError

from .errors import IdentityError, MisuseError
from .protocols import Owner
from .values import fits_int64

__all__ = ["Authenticate", "identity", "jwt_identity"]

#: A callback that takes nothing, runs inside the request and must return the caller's identity,
#: or ``None`` or ``""`` where nobody is signed in. It may raise an ``HTTPException`` to refuse the request.
#:
#: .. versionadded:: 0.1.0
Authenticate: TypeAlias = Callable[[], Owner | None]

_LONGEST_TEXT: Final = 1024  # bytes of UTF-8
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def identity(value: object) -> Owner | None:
    """Let an identity pass as a plain value of its own type, so that nothing else ever reaches a query.

    :param value: what an authenticate callback returned.
    :returns: the identity, or ``None`` for ``None`` and empty text: nobody is signed in.
    :raises IdentityError: the value is of another type, text over 1,024 bytes of UTF-8 or with a
        lone surrogate, or an integer beyond 64 bits.

    .. versionadded:: 0.1.0
    """
    if value is None:
        return None
    if isinstance(value, str):
        try:
            text = value.encode()
        except UnicodeEncodeError:
            raise IdentityError("authenticate returned text with a lone surrogate") from None
        if len(text) > _LONGEST_TEXT:
            raise IdentityError(f"authenticate returned text of more than {_LONGEST_TEXT} bytes")
        return text.decode() or None
    if isinstance(value, int) and not isinstance(value, bool):
        if not fits_int64(value):
            raise IdentityError("authenticate returned an integer beyond 64 bits")
        return int(value)
    if isinstance(value, ObjectId):
        return ObjectId(value)
    if isinstance(value, UUID):
        return UUID(int=value.int)
    raise IdentityError(
        f"authenticate must return a str, an int, an ObjectId, a UUID or None, not {type(value).__name__}"
    )


def jwt_identity() -> Owner | None:
    """Take the identity from the request's access token, as flask-jwt-extended and its host's settings judge it.

    Only the header is read, whatever ``JWT_TOKEN_LOCATION`` says: a token in a query string ends in
    log files, one in a cookie invites cross-site requests. Expiry, audience, blocklist, key and claims
    callbacks are the host's.

    :returns: the identity; ``None`` where there is no usable access token, or its identity is unusable,
        such as text with control characters.
    :raises MisuseError: the application has no ``JWTManager``.
    :raises Exception: whatever a callback of the host raises.

    .. versionadded:: 0.1.0
    """
    if "flask-jwt-extended" not in current_app.extensions:
        raise MisuseError(
            "jwt_identity needs flask-jwt-extended set up on the application:"
            " call JWTManager(app) and set JWT_SECRET_KEY"
        )
    header = request.headers.get(current_app.config["JWT_HEADER_NAME"], "").strip().strip(",")
    if not all(map(str.strip, header.split(","))):  # nothing, or a blank part: an IndexError in flask-jwt-extended
        return None
    try:
        verify_jwt_in_request(locations=["headers"])
        owner = identity(get_jwt_identity())
    except (JWTExtendedException, PyJWTError, IdentityError):
        return None
    return None if isinstance(owner, str) and _CONTROL.search(owner) else owner
