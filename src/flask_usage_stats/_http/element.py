"""The script of the element ``<usage-stats>``."""

import hashlib
from importlib.resources import files
from typing import Final

from flask import Blueprint, Response, request

_NAME: Final = "usage-stats.js"


def add_element(blueprint: Blueprint) -> None:
    """Add the script to a blueprint. It has no data, so it requires no authentication."""
    script = files("flask_usage_stats").joinpath("_page", _NAME).read_bytes()
    etag = hashlib.sha256(script).hexdigest()[:32]

    @blueprint.get(f"/usage/{_NAME}", endpoint="element")
    def usage_element() -> Response:
        """Return the script of the element."""
        response = Response(script, content_type="text/javascript; charset=utf-8")
        response.set_etag(etag)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.make_conditional(request)
        return response
