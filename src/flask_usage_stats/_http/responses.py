"""Build the responses of the route: reports in the requested format, and errors."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from flask import Response, request
from werkzeug.datastructures import ETags

from .._core.cursors import encode_cursor
from .._core.fields import ERRORS, MESSAGE, SUCCESS
from .._core.output import OutputFormat, Report
from .._core.parameters import PARAMETER_NAMES
from .._core.query import UsageQuery
from .._core.values import to_text
from .._formats.csv import CSV
from .._formats.json import encode_json
from ..protocols import Owner
from .requests import parse_query_string

_MAX_LINK_LENGTH: Final = 2048  # characters


def build_usage_response(report: Report, query: UsageQuery, output: OutputFormat, owner: Owner) -> Response:
    """Build the response for a report. The status is 304 if the request's ``If-None-Match`` has its tag."""
    is_csv = output is CSV
    next_cursor = None if report.next_position is None else encode_cursor(report.next_position, owner, query)
    body = output.encode_body(report, query, next_cursor)
    if next_cursor is None:
        return _build_response(body, output, "usage", {})
    link = _build_next_link(next_cursor)
    # Proxies reject long headers. A JSON body contains the cursor anyway.
    headers = {"Link": link} if is_csv or len(link) <= _MAX_LINK_LENGTH else {}
    # A JSON body contains the cursor. With CSV it is only in the Link header, so the tag must include it as well.
    return _build_response(body, output, "usage", headers, tagged=next_cursor.encode() if is_csv else b"")


def build_body_response(body: bytes, output: OutputFormat, filename: str) -> Response:
    """Build the response for an encoded body, or a 304 as for a report.

    :param filename: the name of a CSV file, before the date.
    """
    return _build_response(body, output, filename, {})


def _build_response(
    body: bytes, output: OutputFormat, filename: str, headers: Mapping[str, str], tagged: bytes = b""
) -> Response:
    """Build a response with the status 200, or 304 if the request's ``If-None-Match`` has its tag.

    :param filename: the name of a CSV file, before the date.
    :param headers: additional headers, for the status 200 only.
    :param tagged: what the tag depends on in addition to the body.
    """
    is_csv = output is CSV
    etag = hashlib.sha256(body + tagged if tagged else body).hexdigest()[:32]
    cache_headers = {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache", "Vary": "Authorization, Accept"}
    if "If-None-Match" in request.headers and _matches(request.if_none_match, etag):
        return Response(status=304, headers=cache_headers)
    all_headers = {**cache_headers}
    if is_csv:
        all_headers["Content-Disposition"] = f'attachment; filename="{filename}-{datetime.now(UTC):%Y-%m-%d}.csv"'
    all_headers.update(headers)
    return Response(body, 200, all_headers, content_type="text/csv; charset=utf-8" if is_csv else "application/json")


def _matches(tags: ETags, etag: str) -> bool:
    """Return whether one of the tags is *etag*, perhaps weak or with a suffix such as ``-gzip``.

    Proxies that compress a response change its tag so. The tag is a hash, so no other tag begins with it.
    """
    return tags.star_tag or any(tag.startswith(etag) for tag in tags.as_set(include_weak=True))


def _build_next_link(next_cursor: str) -> str:
    known = {name: values for name, values in parse_query_string().items() if name in PARAMETER_NAMES}
    # A relative reference, so that it is correct with any SCRIPT_NAME or proxy prefix.
    return f'<?{urlencode(known | {"cursor": next_cursor}, doseq=True)}>; rel="next"'


def build_error_response(
    status: int,
    message: str,
    *,
    errors: Mapping[str, list[str]] | None = None,
    headers: Sequence[tuple[str, str]] = (),
) -> Response:
    """Build an error response. All error bodies of the API are built here.

    :param status: the HTTP status.
    :param message: the ``message`` of the body.
    :param errors: the ``errors`` of the body: the messages by parameter.
    :param headers: additional headers.
    """
    # The description of an application's HTTPException can have lone surrogates, which JSON cannot represent.
    body: dict[str, object] = {SUCCESS: False, MESSAGE: to_text(message)}
    if errors is not None:
        body[ERRORS] = errors
    all_headers = [("Cache-Control", "no-store"), ("Vary", "Authorization"), *headers]
    return Response(encode_json(body), status, all_headers, mimetype="application/json")
