"""A client that is generated from the OpenAPI document."""

import pytest
import schemathesis
from documents import documented_app
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import load_all_checks
from support import bearer

from flask_usage_stats.openapi import openapi_document

EXAMPLES = 150
ROUTES = ("", "/history", "/platform")
CHECKS = [f"{name}_conformance" for name in ("status_code", "content_type", "response_headers", "response_schema")]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", [f"{prefix}/usage{route}" for prefix in ("/api", "/down") for route in ROUTES])
def test_generated_requests(projects, path, method):
    """Every request that schemathesis generates from the document gets a documented response."""
    app = documented_app(projects)
    app.view_functions["openapi_document"] = lambda: openapi_document(
        path[: path.index("/usage")], history=True, platform=True
    )
    operation = schemathesis.openapi.from_wsgi("/openapi.json", app)[path][method]
    load_all_checks()
    checks = schemathesis.checks.CHECKS.get_by_names(CHECKS)
    seen = set()

    @settings(
        max_examples=EXAMPLES,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), name=st.sampled_from(["ada", "ada", "ada", "nobody"]))
    def send(case, name):
        response = case.call(headers=bearer(name))
        seen.add(response.status_code)
        case.validate_response(response, checks=checks)

    send()
    assert seen >= ({200, 400, 401} if path.startswith("/api") else {400, 401, 500})
