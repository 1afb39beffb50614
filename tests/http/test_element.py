"""The script of the element."""

import gzip
from importlib.resources import files

import pytest
from flask import Flask
from support import ListStore

from flask_usage_stats import ConfigurationError, create_usage_blueprint

URL = "/api/usage/usage-stats.js"


@pytest.fixture
def client(app_factory):
    return app_factory(ListStore(), None, element=True).test_client()


def test_script(client):
    """The script is served without authentication, with headers that let browsers check for a newer one."""
    response = client.get(URL)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-cache"
    assert "Set-Cookie" not in response.headers
    assert response.data == files("flask_usage_stats").joinpath("_page", "usage-stats.js").read_bytes()


def test_conditional_requests(client):
    """A browser that has the script gets a 304; HEAD has the headers only."""
    response = client.get(URL)
    again = client.get(URL, headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == response.headers["ETag"]
    assert client.get(URL, headers={"If-None-Match": '"other"'}).status_code == 200
    head = client.head(URL)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == str(len(response.data))


def test_size(client):
    """The script has at most 12 KB when it is compressed."""
    assert len(gzip.compress(client.get(URL).data)) <= 12_000


def test_one_rule(app_factory):
    """With the element, there is exactly one more rule; without it, the rules are as before."""
    rules = [
        {rule.rule for rule in app_factory(ListStore(), **options).url_map.iter_rules()}
        for options in ({}, {"element": False}, {"element": True})
    ]
    assert rules[0] == rules[1]
    assert rules[2] - rules[0] == {URL}


def test_rule_of_the_application():
    """The rule wins over a rule of the application with a variable."""
    app = Flask("application")
    app.add_url_rule("/api/usage/<name>", "mine", lambda name: name)
    app.register_blueprint(create_usage_blueprint(ListStore(), authenticate=lambda: None, element=True))
    assert app.test_client().get(URL).mimetype == "text/javascript"
    assert app.test_client().get("/api/usage/other").text == "other"


def test_any_prefix(app_factory):
    """The script is next to the list, whatever the prefix."""
    client = app_factory(ListStore(), element=True, url_prefix="").test_client()
    assert client.get("/usage/usage-stats.js").status_code == 200


@pytest.mark.parametrize("element", [None, 1, "yes"])
def test_element_is_a_boolean(element):
    """Anything else is rejected."""
    with pytest.raises(ConfigurationError, match="element must be True or False, got"):
        create_usage_blueprint(ListStore(), authenticate=lambda: None, element=element)
