"""What all views have in common: authentication, and the responses to errors."""

from collections.abc import Callable

from flask import Response

from .._log import log_failure, log_platform_failure
from ..protocols import Authenticate, Authorize, Owner
from .requests import RequestRefusedError, check_authorization, identify_owner
from .responses import build_error_response


def respond(authenticate: Authenticate, build_response: Callable[[Owner], Response]) -> Response:
    """Authenticate the current request and build its response, or the error response if anything fails.

    :param build_response: called with the owner id. It may raise any exception.
    """
    owner: Owner | None = None  # for the log, if identify_owner fails
    try:
        try:
            owner = identify_owner(authenticate)
            return build_response(owner)
        except RequestRefusedError as refusal:
            return _refuse(refusal)
    except Exception as error:  # noqa: BLE001 # whatever failed, the client gets the API's error body
        log_failure(owner, error)
        return build_error_response(500, "Failed to fetch usage stats")


def respond_to_operator(authorize: Authorize, build_response: Callable[[], Response]) -> Response:
    """Check that the current request is authorized and build its response, or the error response if anything fails.

    :param build_response: may raise any exception.
    """
    try:
        try:
            check_authorization(authorize)
            return build_response()
        except RequestRefusedError as refusal:
            return _refuse(refusal)
    except Exception as error:  # noqa: BLE001 # as above
        log_platform_failure(error)
        return build_error_response(500, "Failed to fetch platform usage")


def _refuse(refusal: RequestRefusedError) -> Response:
    return build_error_response(refusal.status, refusal.message, errors=refusal.errors, headers=refusal.headers)
