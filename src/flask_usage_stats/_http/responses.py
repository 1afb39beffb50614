"""The responses of the routes: usage in the requested format, and errors."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

from flask import Response, request

from .._core.cursors import encode_cursor
from .._core.fields import ERRORS, MESSAGE, SUCCESS
from .._core.output import OutputFormat, Report
from .._core.query import UsageQuery
from .._core.values import to_text
from .._formats.csv import CSV
from .._formats.json import encode_json
from ..protocols import Owner
from .requests import query_arguments


def usage_response(report: Report, query: UsageQuery, output: OutputFormat, owner: Owner) -> Response:
    """Build the response for a report, or a 304 if the client already has it."""
    is_csv = output is CSV
    next_cursor = None if report.next_position is None else encode_cursor(report.next_position, owner, query)
    body = output.encode_body(report, query, next_cursor)
    # RFC 9110, section 8.8.3: the tag depends on the representation alone. The link of a CSV page is not in its body.
    etag = hashlib.sha256(body + (next_cursor or "").encode() if is_csv else body).hexdigest()[:32]
    headers = {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache", "Vary": "Authorization, Accept"}
    if "If-None-Match" in request.headers and request.if_none_match.contains_weak(etag):
        return Response(status=304, headers=headers)
    if is_csv:
        headers["Content-Disposition"] = f'attachment; filename="usage-{datetime.now(UTC):%Y-%m-%d}.csv"'
    if next_cursor is not None and not (is_csv and query.group_by):
        # Relative, so that the address is correct behind any prefix.
        arguments = query_arguments() | {"cursor": next_cursor}
        headers["Link"] = f'<?{urlencode(arguments, doseq=True)}>; rel="next"'
    return Response(body, 200, headers, content_type="text/csv; charset=utf-8" if is_csv else "application/json")


def error_response(
    status: int,
    message: str,
    *,
    errors: Mapping[str, list[str]] | None = None,
    headers: Sequence[tuple[str, str]] = (),
) -> Response:
    """Build an error response. Only this function renders the API's error body."""
    body: dict[str, object] = {SUCCESS: False, MESSAGE: to_text(message)}
    if errors is not None:
        body[ERRORS] = errors
    all_headers = [("Cache-Control", "no-store"), ("Vary", "Authorization"), *headers]
    return Response(encode_json(body), status, all_headers, mimetype="application/json")
