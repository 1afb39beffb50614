"""Read the owner, the query and the output format from the current request."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import parse_qs

from flask import request
from werkzeug.datastructures import Headers, MIMEAccept
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from .._core.callables import close_coroutine
from .._core.output import OutputFormat
from .._core.owners import validate_owner
from .._core.parameters import parse_parameters
from .._core.query import UsageQuery
from .._formats.csv import CSV
from .._formats.json import JSON
from .._mongodb.driver import TimeLimit
from .._mongodb.store_reader import StoreReader
from ..errors import ConfigurationError, InvalidParametersError
from ..protocols import Authenticate, Authorize, Owner

_CHALLENGE: Final = 'Bearer realm="usage"'
# RFC 6750, section 3.1: the challenge has an error code only if the request contains a token.
_INVALID_TOKEN: Final = f'{_CHALLENGE}, error="invalid_token", error_description="Invalid or expired token"'
_BEARER: Final = re.compile(r"(?:^|,)\s*bearer\s+[^\s,]", re.IGNORECASE)
_FORMATS: Final[Mapping[str, OutputFormat]] = {"json": JSON, "csv": CSV}


class RequestRefusedError(Exception):
    """The request is rejected with an error response, and nothing is logged.

    :param status: the HTTP status, 400 to 599; *authenticate* can also reject requests with a 5xx status.
    :param message: the ``message`` of the body.
    :param errors: the ``errors`` of the body: the messages by parameter.
    :param headers: additional headers of the response.
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
    """Call *authenticate* and return the validated owner id.

    :raises RequestRefusedError: the request is not authenticated (status 401), or *authenticate* raised an
        ``HTTPException`` with a status from 400 to 599.
    :raises InvalidOwnerError: *authenticate* returned a value that cannot be an owner id.
    :raises Exception: any other error that *authenticate* raises, including an ``HTTPException`` with another status.
    """
    try:
        owner = validate_owner(authenticate())
    except HTTPException as error:
        raise _convert_http_exception(error) from error
    if owner is None:
        raise _build_unauthenticated()
    return owner


def check_authorization(authorize: Authorize) -> None:
    """Call *authorize* and return only if it returned ``True``.

    :raises RequestRefusedError: it returned ``None`` (status 401) or ``False`` (status 403), or raised an
        ``HTTPException`` with a status from 400 to 599.
    :raises ConfigurationError: it returned anything else, such as a user.
    :raises Exception: any other error that *authorize* raises, including an ``HTTPException`` with another status.
    """
    try:
        permission: object = authorize()
    except HTTPException as error:
        raise _convert_http_exception(error) from error
    if permission is None:
        raise _build_unauthenticated()
    if permission is False:
        raise RequestRefusedError(403, "Not allowed")
    if permission is not True:
        close_coroutine(permission)
        raise ConfigurationError(f"authorize must return True, False or None, not {type(permission).__name__}")


def _build_unauthenticated() -> RequestRefusedError:
    if _BEARER.search(request.headers.get("Authorization", "")):
        return RequestRefusedError(401, "Invalid or expired token", headers=[("WWW-Authenticate", _INVALID_TOKEN)])
    return RequestRefusedError(401, "Authentication required", headers=[("WWW-Authenticate", _CHALLENGE)])


def read_query(owner: Owner, reader: StoreReader, limit: TimeLimit) -> UsageQuery:
    """Parse the request's query parameters.

    :param owner: the owner id; a cursor is only valid for the owner it was created for.
    :param limit: the time that the database may take.
    :raises RequestRefusedError: a parameter is invalid (status 400).
    :raises Exception: whatever :meth:`~.StoreReader.resolve_idle_days` raises.
    """
    with refuse_invalid_parameters():
        query = parse_parameters(parse_query_string(), owner, has_last_requests=reader.has_last_requests)
        return reader.resolve_idle_days(query, limit)


@contextmanager
def refuse_invalid_parameters() -> Iterator[None]:
    """Convert the errors of parameters to a :class:`RequestRefusedError` with status 400."""
    try:
        yield
    except InvalidParametersError as error:
        raise RequestRefusedError(400, str(error), errors=error.errors) from error


def parse_query_string() -> dict[str, list[str]]:
    """Return the values of each query parameter. Invalid UTF-8, for which ``request.args`` fails, is replaced."""
    text = request.query_string
    return parse_qs(text.decode("utf-8", "replace"), keep_blank_values=True) if text else {}


def negotiate_format(name: str | None) -> OutputFormat:
    """Return the format that the parameters name; otherwise CSV if ``Accept`` prefers it to JSON, and JSON if not.

    Parameters of the types in ``Accept``, such as ``charset``, are ignored.
    """
    if name is not None:
        return _FORMATS[name]
    if "Accept" not in request.headers:
        return JSON
    accepted = MIMEAccept([(value.partition(";")[0].strip(), quality) for value, quality in request.accept_mimetypes])
    return CSV if accepted.quality("text/csv") > accepted.quality("application/json") else JSON


def _convert_http_exception(error: HTTPException) -> RequestRefusedError:
    """Convert an ``HTTPException`` that *authenticate* raised; ``WWW-Authenticate`` and ``Retry-After`` are preserved.

    :raises HTTPException: *error* itself, if its status is not from 400 to 599.
    """
    if error.response is None:
        status, headers = error.code or 0, Headers(error.get_headers())
    else:
        status, headers = error.response.status_code, error.response.headers
    if not isinstance(status, int) or not 400 <= status <= 599:  # noqa: PLR2004 # HTTP status codes, here and below
        raise error
    preserved = [(name, value) for name in ("WWW-Authenticate", "Retry-After") for value in headers.getlist(name)]
    if status == 401 and "WWW-Authenticate" not in headers:  # noqa: PLR2004
        preserved.append(("WWW-Authenticate", _CHALLENGE))  # RFC 9110, section 15.5.2: required
    message = str(error.description or HTTP_STATUS_CODES.get(status, "Request refused"))
    return RequestRefusedError(status, message, headers=preserved)
