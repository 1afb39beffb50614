"""The view ``GET /api/usage``."""

from flask import Blueprint, Response

from .._core.report import build_report
from .._log import log_adjustments
from .._mongodb.store_reader import StoreReader
from ..protocols import Authenticate, Owner
from .error_handling import respond
from .requests import negotiate_format, read_query
from .responses import build_usage_response


def add_usage(blueprint: Blueprint, reader: StoreReader, authenticate: Authenticate) -> None:
    """Add the view to a blueprint."""

    def build_response(owner: Owner) -> Response:
        limit = reader.start_time_limit()
        query = read_query(owner, reader, limit)
        output = negotiate_format(query.format)
        report = build_report(reader.read_projects(owner, query, limit), query, output)
        log_adjustments(owner, report.adjustments)
        return build_usage_response(report, query, output, owner)

    @blueprint.get("/usage")
    def usage() -> Response:
        """Return the signed-in user's projects, ranked by requests, and their total."""
        return respond(authenticate, build_response)
