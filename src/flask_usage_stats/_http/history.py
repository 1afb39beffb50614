"""The view ``GET /api/usage/history``."""

from flask import Blueprint, Response

from .._core import clock
from .._core.history_parameters import parse_history_parameters
from .._mongodb.history import UsageHistory
from .._mongodb.history_reading import read_timeline
from .._mongodb.store_reader import StoreReader
from ..protocols import Authenticate, Owner
from .error_handling import respond
from .requests import negotiate_format, parse_query_string, refuse_invalid_parameters
from .responses import build_body_response


def add_history(blueprint: Blueprint, reader: StoreReader, history: UsageHistory, authenticate: Authenticate) -> None:
    """Add the view to a blueprint."""

    def build_response(owner: Owner) -> Response:
        now = clock.get_now()
        with refuse_invalid_parameters():
            query = parse_history_parameters(parse_query_string(), now)
            output = negotiate_format(query.format)
            timeline = read_timeline(reader, history, owner, query, now)
        return build_body_response(output.encode_timeline(timeline, query), output, "usage-history")

    @blueprint.get("/usage/history", endpoint="history")
    def usage_history() -> Response:
        """Return the requests to the signed-in user's projects over time."""
        return respond(authenticate, build_response)
