"""Parsing of requests, and the responses to invalid ones."""

import json

import mongomock
import pytest


def test_errors_are_in_the_response(app_factory):
    """The message is the first error; `errors` has all of them."""
    client = app_factory(mongomock.MongoClient().platform.projects).test_client()
    response = client.get("/api/usage?limit=many&order=up&utm=1")
    assert response.status_code == 400
    assert response.headers["Cache-Control"] == "no-store"
    assert json.dumps(response.json) == json.dumps(
        {
            "success": False,
            "message": "order must be one of desc, asc",
            "errors": {
                "order": ["order must be one of desc, asc"],
                "limit": ["limit must be a whole number from 0 to 1000"],
            },
        }
    )


@pytest.mark.parametrize("query", ["\xff", "\xff=\xff&limit=1", "a=%ff&limit=1"])
def test_invalid_utf8_in_other_parameters_is_ignored(app_factory, query):
    """Invalid UTF-8 in an unknown parameter does not affect the other parameters."""
    projects = mongomock.MongoClient().platform.projects
    projects.insert_many([{"owner": "ada"}, {"owner": "ada"}])
    response = app_factory(projects).test_client().get("/api/usage", environ_overrides={"QUERY_STRING": query})
    assert response.status_code == 200
    assert ("Link" in response.headers) == ("limit" in query)


def test_authentication_comes_before_the_parameters(app_factory):
    """Without an owner the response is 401, even if parameters are invalid."""
    client = app_factory(mongomock.MongoClient().platform.projects, None).test_client()
    assert client.get("/api/usage?limit=many").status_code == 401
