"""The mounted endpoint under requests of every kind: no server error, and every answer fits the contract."""

import json
import string

import mongomock
import pytest
from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_usage_stats import ProjectStore, create_usage_blueprint
from flask_usage_stats.jwt import jwt_identity
from flask_usage_stats.schemas import ErrorSchema, UsageSchema

EXAMPLES = 1500

_app = Flask("host")
_app.config["JWT_SECRET_KEY"] = "a key of at least thirty-two bytes, for HS256"
JWTManager(_app)
with _app.app_context():
    _TOKEN = create_access_token("ada", expires_delta=False)

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
    _app.register_blueprint(create_usage_blueprint(ProjectStore(projects), authenticate=jwt_identity))
    return _app.test_client()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=_METHODS, query=_QUERIES, headers=_HEADERS, credential=_CREDENTIALS, body=_BODIES)
def test_any_request(client, caplog, method, query, headers, credential, body):
    """Whatever is sent, the answer is the contract's: 200, 304 or 400 for the good token, 401 without, else 405."""
    environ = headers | ({} if credential is None else {"HTTP_AUTHORIZATION": credential})
    environ |= {"QUERY_STRING": query, "REQUEST_METHOD": method}
    response = client.open("/api/usage", data=body, environ_overrides=environ)
    assert not caplog.records
    if response.status_code == 400 and response.mimetype == "text/html":  # Werkzeug's, for a host name that is none
        assert "HTTP_HOST" in headers
    elif method == "OPTIONS":
        assert (response.status_code, response.allow) == (200, {"GET", "HEAD", "OPTIONS"})
    elif method not in ("GET", "HEAD"):
        assert response.status_code == 405
    elif credential is None or credential.strip() != f"Bearer {_TOKEN}":
        assert response.status_code == 401
        check_error(response)
    elif response.status_code == 400:
        assert any(name in query for name in ("limit", "sort", "plan", "format", "cursor"))
        check_error(response)
    else:
        check_answer(response, headers)


def check_error(response):
    assert response.headers["Cache-Control"] == "no-store"
    assert response.vary.as_set() == {"authorization"}
    assert response.mimetype == "application/json"
    if response.request.method == "GET":
        assert ErrorSchema().validate(json.loads(response.data)) == {}


def check_answer(response, headers):
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
        body = json.loads(response.data)
        assert UsageSchema().validate(body) == {}
        assert {row["_id"] for row in body["projectStats"]} <= {1}
