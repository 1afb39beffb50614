"""Arbitrary requests never cause a server error, and every response is documented."""

import json
import string

import mongomock
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support import ids_of, jwt_app, make_token, usage_body
from werkzeug.urls import uri_to_iri

from flask_usage_stats import ProjectStore
from flask_usage_stats._core.parameters import ParametersSchema
from flask_usage_stats.schemas import ErrorSchema

EXAMPLES = 1500
_TOKEN = make_token(jwt_app(), expires_delta=False)

_METHODS = st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"])
_TEXT = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)
_QUERIES = st.one_of(
    st.just(""),
    st.text(string.printable, max_size=60),
    st.binary(max_size=40).map(lambda content: content.decode("latin-1")),
    st.sampled_from(
        [
            "limit=5",
            "limit=0&sort=name",
            "limit=x",
            "format=csv",
            "plan=&plan=x",
            "cursor=x&limit=1",
            "page=-1",
            "owner=bob",
            "owner[$ne]=",
            "jwt=" + _TOKEN,
            "a=1&a=2",
            "%00",
            "%ff%fe",
            ";;&&==",
        ]
    ),
)
_HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *("HTTP_ACCEPT", "HTTP_ACCEPT_ENCODING", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_RANGE"),
            *("HTTP_COOKIE", "HTTP_ORIGIN", "HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_FORWARDED_FOR", "CONTENT_TYPE"),
            *("HTTP_HOST", "HTTP_EXPECT", "HTTP_CONNECTION", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTP_X_ANY"),
        ]
    ),
    _TEXT
    | st.sampled_from(
        ["*", "text/html", "bytes=0-1", 'W/"x"', "chunked", "DELETE", "-1", "9" * 30, "application/json"]
    ),
    max_size=4,
)
_CREDENTIALS = st.one_of(st.none(), st.just(f"Bearer {_TOKEN}"), _TEXT, _TEXT.map("Bearer {}".format))
_BODIES = st.one_of(st.just(b""), st.binary(max_size=60), st.just(b'{"owner": {"$ne": null}}'))


@pytest.fixture(scope="module")
def client():
    projects = mongomock.MongoClient().platform.projects
    projects.insert_many([{"_id": 1, "owner": "ada", "totalRequest": 5}, {"_id": 2, "owner": "bob"}])
    return jwt_app(ProjectStore(projects)).test_client()


def is_decodable(host):
    """Return whether Werkzeug's test client can handle a host name; for a few, it raises an error of its own."""
    try:
        uri_to_iri(f"http://{host}/")
    except UnicodeError:
        return False
    except ValueError:
        pass
    return True


@settings(max_examples=EXAMPLES)
@given(method=_METHODS, query=_QUERIES, headers=_HEADERS, credential=_CREDENTIALS, body=_BODIES)
def test_any_request(client, caplog, method, query, headers, credential, body):
    """A request gets 200, 304 or 400 with a valid token, 401 without one, and 405 for other methods."""
    assume(is_decodable(headers.get("HTTP_HOST", "")))
    environ = headers | ({} if credential is None else {"HTTP_AUTHORIZATION": credential})
    environ |= {"QUERY_STRING": query, "REQUEST_METHOD": method}
    response = client.open("/api/usage", data=body, environ_overrides=environ)
    assert not caplog.records
    if response.status_code == 400 and response.mimetype == "text/html":  # Werkzeug's response to an invalid host name
        assert "HTTP_HOST" in headers
    elif method == "OPTIONS":
        assert (response.status_code, response.allow) == (200, {"GET", "HEAD", "OPTIONS"})
    elif method not in ("GET", "HEAD"):
        assert response.status_code == 405
    elif credential is None or credential.strip() != f"Bearer {_TOKEN}":
        assert response.status_code == 401
        check_error(response)
    elif response.status_code == 400:
        assert any(name.casefold() in query.casefold() for name in ParametersSchema().fields)
        check_error(response)
    else:
        check_success(response, headers)


def check_error(response):
    assert response.headers["Cache-Control"] == "no-store"
    assert response.vary.as_set() == {"authorization"}
    assert response.mimetype == "application/json"
    if response.request.method == "GET":
        assert ErrorSchema().validate(json.loads(response.data)) == {}


def check_success(response, headers):
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.vary.as_set() == {"authorization", "accept"}
    assert response.headers["ETag"]
    if response.status_code == 304:
        assert headers["HTTP_IF_NONE_MATCH"] == "*"
    else:
        assert response.status_code == 200
    if response.request.method == "HEAD" or response.status_code == 304:
        assert response.data == b""
    elif response.mimetype == "text/csv":
        assert response.text.startswith("_id,name,")
        assert response.text.count("\r\n") <= 2
    else:
        assert set(ids_of(usage_body(response))) <= {1}
