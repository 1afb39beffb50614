"""What a request says: who is asking, for what and in which format. Refusals are raised as exceptions."""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs

from flask import request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from .._core.output import OutputFormat
from .._core.owners import validate_owner
from .._core.parameters import parse_parameters
from .._core.query import UsageQuery
from .._formats.csv import CSV
from .._formats.json import JSON
from ..errors import InvalidParametersError
from ..protocols import Authenticate, Owner

_CHALLENGE: Final = 'Bearer realm="usage"'
# RFC 6750, section 3.1: only a request with a credential is told what is wrong with it.
_INVALID_TOKEN: Final = f'{_CHALLENGE}, error="invalid_token", error_description="Invalid or expired token"'
_BEARER: Final = re.compile(r"(?:^|,)\s*bearer\s+[^\s,]", re.IGNORECASE)
_FORMATS: Final[Mapping[str, OutputFormat]] = {"json": JSON, "csv": CSV}


class RequestRefusedError(Exception):
    """The request gets an error response that is not a failure of this application.

    :param status: the HTTP status, 4xx or 5xx.
    :param message: the message of the body.
    :param errors: the messages for each invalid parameter.
    :param headers: further headers of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: Mapping[str, list[str]] | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = headers


def identify_owner(authenticate: Authenticate) -> Owner:
    """Return the validated owner id.

    :raises RequestRefusedError: no user is signed in, or *authenticate* raised an ``HTTPException`` of 4xx or 5xx.
    :raises InvalidOwnerError: *authenticate* returned a value that cannot be an owner id.
    """
    try:
        owner = validate_owner(authenticate())
    except HTTPException as error:
        raise _refusal_from(error) from error
    if owner is not None:
        return owner
    if _BEARER.search(request.headers.get("Authorization", "")):
        raise RequestRefusedError(401, "Invalid or expired token", headers=[("WWW-Authenticate", _INVALID_TOKEN)])
    raise RequestRefusedError(401, "Authentication required", headers=[("WWW-Authenticate", _CHALLENGE)])


def read_query(owner: Owner) -> UsageQuery:
    """Parse the request's query parameters.

    :raises RequestRefusedError: a parameter is invalid.
    """
    try:
        return parse_parameters(query_arguments(), owner)
    except InvalidParametersError as error:
        raise RequestRefusedError(400, str(error), errors=error.errors) from error


def query_arguments() -> dict[str, list[str]]:
    """Parse the query string, replacing invalid UTF-8, which ``request.args`` fails on."""
    text = request.query_string
    return parse_qs(text.decode("utf-8", "replace"), keep_blank_values=True) if text else {}


def negotiate_format(query: UsageQuery) -> OutputFormat:
    """Return the format named by the query, or CSV if the ``Accept`` header ranks it strictly above JSON."""
    if query.format is not None:
        return _FORMATS[query.format]
    if "Accept" not in request.headers:
        return JSON
    accepted = request.accept_mimetypes
    return CSV if accepted.quality("text/csv") > accepted.quality("application/json") else JSON


def _refusal_from(error: HTTPException) -> RequestRefusedError:
    """Convert an ``HTTPException`` raised by ``authenticate``. Re-raise it if its status is not 4xx or 5xx."""
    if error.response is None:
        status, headers = error.code or 0, Headers(error.get_headers())
    else:
        status, headers = error.response.status_code, error.response.headers
    if not 400 <= status <= 599:  # noqa: PLR2004 # HTTP's own numbers, here and below
        raise error
    preserved = [(name, value) for name in ("WWW-Authenticate", "Retry-After") for value in headers.getlist(name)]
    if status == 401 and "WWW-Authenticate" not in headers:  # noqa: PLR2004
        preserved.append(("WWW-Authenticate", _CHALLENGE))  # RFC 9110, section 15.5.2: required
    message = str(error.description or HTTP_STATUS_CODES.get(status, "Request refused"))
    return RequestRefusedError(status, message, headers=preserved)
