"""A report as an HTTP response: JSON or CSV, pages linked, with an entity tag."""

import hashlib
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode

from flask import Request, Response

from .._core import cursors as cursor
from .._core.query import UsageQuery
from .._core.report import Report
from .._formats.bodies import csv_body, json_body


def arguments_of(request: Request) -> dict[str, list[str]]:
    """Read the query string, also one whose bytes are no text, over which ``request.args`` stumbles."""
    query = request.query_string
    return parse_qs(query.decode("utf-8", "replace"), keep_blank_values=True) if query else {}


def wants_csv(request: Request, form: str | None) -> bool:
    """Choose the form: the one asked for by name, or CSV where ``Accept`` ranks it strictly above JSON."""
    if form is not None:
        return form == "csv"
    if "Accept" not in request.headers:
        return False
    accepted = request.accept_mimetypes
    return accepted.quality("text/csv") > accepted.quality("application/json")


def represent(report: Report, question: UsageQuery, request: Request, *, as_csv: bool) -> Response:
    """Render a report, or 304 where the client has it already."""
    following = None if report.end is None else cursor.write(report.end)
    body = csv_body(report, question) if as_csv else json_body(report, question)
    # RFC 9110, section 8.8.3: of the representation alone; of a table with the link to what follows it, for that
    # stands beside the body.
    tag = hashlib.sha256(body + (following or "").encode() if as_csv else body).hexdigest()[:32]
    headers = {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache", "Vary": "Authorization, Accept"}
    if "If-None-Match" in request.headers and request.if_none_match.contains_weak(tag):
        return Response(status=304, headers=headers)
    if as_csv:
        headers["Content-Disposition"] = f'attachment; filename="usage-{datetime.now(UTC):%Y-%m-%d}.csv"'
    if following is not None and not (as_csv and question.group_by):
        headers["Link"] = f'<{_next(request, following)}>; rel="next"'
    return Response(body, 200, headers, content_type="text/csv; charset=utf-8" if as_csv else "application/json")


def _next(request: Request, following: str) -> str:
    """Make the address of the next page, relative, so that it is right behind any prefix."""
    return "?" + urlencode(arguments_of(request) | {"cursor": following}, doseq=True)
