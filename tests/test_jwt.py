"""The callback for flask-jwt-extended."""

import base64
import json
import logging
import re
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import mongomock
import pytest
from bson import ObjectId
from flask_jwt_extended import create_refresh_token
from jwt.exceptions import (
    MissingCryptographyError,
    PyJWKClientError,
    PyJWKError,
    PyJWKSetError,
)
from support import FAILED, INVALID, INVALID_TOKEN, KEY, REQUIRED, ids_of, jwt_app, make_token, raiser

from flask_usage_stats import ConfigurationError, ProjectStore, create_usage_blueprint
from flask_usage_stats.jwt import jwt_identity, jwt_identity_from

ID = ObjectId("507f1f77bcf86cd799439011")


@pytest.fixture
def app():
    """Return an application that signs tokens and has one project of ada's."""
    projects = mongomock.MongoClient().platform.projects
    projects.insert_many([{"_id": 1, "owner": "ada"}, {"_id": 2, "owner": "bob"}])
    return jwt_app(ProjectStore(projects))


def get(app, authorization, **request):
    return app.test_client().get("/api/usage", headers={"Authorization": authorization}, **request)


def forged(**claims):
    payload = {"sub": "ada", "type": "access", "jti": "1", "fresh": False} | claims
    return jwt.encode({name: value for name, value in payload.items() if value is not None}, KEY, "HS256")


class TestJwtIdentity:
    def test_subject_is_the_owner(self, app):
        """The subject of the token is the owner."""
        response = get(app, f"Bearer {make_token(app)}")
        assert ids_of(response.json) == [1]

    def test_missing_token(self, app):
        """Without a token the response is 401."""
        response = app.test_client().get("/api/usage")
        assert (response.status_code, response.data) == (401, REQUIRED)

    @pytest.mark.parametrize(
        "make",
        [
            lambda _: "garbage",
            lambda _: "a.b.c",
            lambda app: make_token(app)[:-2],
            lambda app: make_token(app, expires_delta=timedelta(seconds=-1)),
            lambda app: make_token(app, make=create_refresh_token),
            lambda _: jwt.encode({"sub": "ada"}, None, "none"),
            lambda _: jwt.encode({"sub": "ada", "type": "access"}, KEY + "x", "HS256"),
            lambda _: forged(sub=None),
            lambda _: forged(sub=""),
            lambda _: forged(sub="\ud800"),
            lambda _: forged(sub="a" * 1025),
            lambda _: forged(sub="ada\r\n"),
            lambda app: make_token(app) + " " + make_token(app),
        ],
    )
    def test_unusable_token(self, app, make, caplog):
        """An unusable token gets the 401 response; only its kind is logged, at DEBUG."""
        caplog.set_level(logging.DEBUG, "flask_usage_stats")
        response = get(app, f"Bearer {make(app)}")
        assert (response.status_code, response.data) == (401, INVALID)
        assert response.headers["WWW-Authenticate"] == INVALID_TOKEN
        (record,) = caplog.records
        assert record.levelno == logging.DEBUG
        assert re.fullmatch(r"the access token was refused: [\w ]+", record.getMessage())

    @pytest.mark.parametrize("claim", ["reset", "email", "refresh", "", None, 5])
    def test_only_access_tokens(self, app, caplog, claim):
        """A token of another type that is signed with the same key is refused, and the log names the claim."""
        caplog.set_level(logging.DEBUG, "flask_usage_stats")
        token = jwt.encode({"sub": "ada", "type": claim}, KEY, "HS256")
        assert get(app, f"Bearer {token}").status_code == 401
        expected = "WrongTokenError" if claim == "refresh" else "the claim type is not access"
        assert caplog.messages == [f"the access token was refused: {expected}"]

    def test_a_token_without_a_type_is_an_access_token(self, app):
        """Other libraries may create tokens without the claim."""
        assert get(app, f"Bearer {jwt.encode({'sub': 'ada'}, KEY, 'HS256')}").status_code == 200

    @pytest.mark.parametrize("header", [", ,", ",", "Bearer a,,b", " ,Bearer", "Bearer a, ,", "", "  "])
    def test_header_with_blank_parts(self, app, header):
        """A header with blank parts gets the 401 response, however flask-jwt-extended parses it."""
        assert get(app, header).status_code == 401

    @pytest.mark.parametrize("subject", [{"$ne": None}, ["ada"], True, 1.5])
    def test_invalid_subject(self, app, subject):
        """A subject that is not a valid owner gets the 401 response even if the application does not verify subjects."""
        app.config["JWT_VERIFY_SUB"] = False
        response = get(app, f"Bearer {forged(sub=subject)}")
        assert response.status_code == 401

    def test_only_the_header_is_read(self, app):
        """A token in the query string or a cookie is ignored even if the application accepts it there."""
        app.config["JWT_TOKEN_LOCATION"] = ["query_string", "cookies", "headers"]
        client = app.test_client()
        client.set_cookie("access_token_cookie", make_token(app))
        response = client.get(f"/api/usage?jwt={make_token(app)}", headers={"Authorization": "Basic x"})
        assert response.status_code == 401

    def test_configured_header(self, app):
        """The token is read from the header that the application configured."""
        app.config.update(JWT_HEADER_NAME="X-Token", JWT_HEADER_TYPE="")
        assert app.test_client().get("/api/usage", headers={"X-Token": make_token(app)}).status_code == 200

    @pytest.mark.parametrize("end", [",", ", "])
    def test_trailing_comma(self, app, end):
        """A token with a trailing comma is accepted, as in flask-jwt-extended."""
        assert get(app, f"Bearer {make_token(app)}{end}").status_code == 200

    def test_blocklist(self, app):
        """A token on the application's blocklist gets the 401 response."""
        app.extensions["flask-jwt-extended"].token_in_blocklist_loader(lambda *_: True)
        assert get(app, f"Bearer {make_token(app)}").status_code == 401

    def test_failing_callback_of_the_application(self, app, caplog):
        """An error in a callback of the application results in the 500 response, not in 401."""
        app.extensions["flask-jwt-extended"].token_in_blocklist_loader(raiser(KeyError("missing")))
        assert get(app, f"Bearer {make_token(app)}").status_code == 500
        assert "KeyError" in caplog.text

    def test_missing_jwt_manager(self, app, caplog):
        """Without a JWTManager the response is 500, and the log says how to fix it."""
        del app.extensions["flask-jwt-extended"]
        assert get(app, f"Bearer {'x'}").status_code == 500
        assert "call JWTManager(app) and set JWT_SECRET_KEY" in caplog.text

    def test_call_instead_of_the_function(self):
        """``authenticate=jwt_identity()`` raises an error that says what to write."""
        with pytest.raises(ConfigurationError, match="without parentheses, as in authenticate=jwt_identity"):
            jwt_identity()


@pytest.fixture
def key_set():
    """Serve a key set; yield its address and a dictionary with its status and body, which may be changed."""
    content = {"status": 200, "body": b"", "requests": 0}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content["requests"] += 1
            self.send_response(content["status"])
            self.end_headers()
            self.wfile.write(content["body"])

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/keys", content
        server.shutdown()
        thread.join()


def key_with_id(key_id):
    return {"kty": "oct", "kid": key_id, "alg": "HS256", "k": base64.urlsafe_b64encode(KEY.encode()).decode()}


class TestKeys:
    """Errors about the application's keys are failures: no client should drop its session because of them."""

    def use_key_set(self, app, uri, **options):
        client = jwt.PyJWKClient(uri, timeout=2, **options)

        @app.extensions["flask-jwt-extended"].decode_key_loader
        def find_key(header, payload):
            return client.get_signing_key(header["kid"]).key

    def token(self, key_id="1"):
        return jwt.encode({"sub": "ada", "type": "access"}, KEY, "HS256", headers={"kid": key_id})

    def check_failure(self, response, caplog):
        assert (response.status_code, response.data) == (500, FAILED)
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert "127.0.0.1" not in record.getMessage()
        return record.getMessage()

    def test_key_of_a_key_set(self, app, key_set):
        """A token that is signed with a key of the set is accepted."""
        uri, content = key_set
        content["body"] = json.dumps({"keys": [key_with_id("1")]}).encode()
        self.use_key_set(app, uri)
        assert get(app, f"Bearer {self.token()}").status_code == 200

    def test_unknown_key_id(self, app, key_set, caplog):
        """A token with an unknown key id is refused. PyJWT must keep the message that tells it from other errors."""
        uri, content = key_set
        content["body"] = json.dumps({"keys": [key_with_id("1")]}).encode()
        self.use_key_set(app, uri)
        caplog.set_level(logging.DEBUG, "flask_usage_stats")
        response = get(app, f"Bearer {self.token('2')}")
        assert (response.status_code, response.data) == (401, INVALID)
        assert caplog.messages == ["the access token was refused: PyJWKClientError"]

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (500, b""),
            (404, b"{}"),
            (200, b"[]"),
            (200, b"{}"),
            (200, b'{"keys": []}'),
            (200, b'{"keys": 5}'),
            (200, b'{"keys": [{"kty": "oct"}]}'),
            (200, json.dumps({"keys": [key_with_id("1") | {"use": "enc"}]}).encode()),
            (200, b"<html>"),
        ],
    )
    def test_unusable_key_set(self, app, key_set, caplog, status, body):
        """A key set that cannot be fetched, or that has no keys, is a failure."""
        uri, content = key_set
        content.update(status=status, body=body)
        self.use_key_set(app, uri)
        self.check_failure(get(app, f"Bearer {self.token()}"), caplog)

    def test_unreachable_key_set(self, app, caplog):
        """A key set that cannot be fetched is a failure."""
        self.use_key_set(app, "http://127.0.0.1:9/keys")
        assert "PyJWKClientConnectionError" in self.check_failure(get(app, f"Bearer {self.token()}"), caplog)

    @pytest.mark.parametrize(
        "error", [PyJWKError("x"), PyJWKSetError("x"), MissingCryptographyError("x"), PyJWKClientError("x")]
    )
    def test_errors_of_a_key_loader(self, app, caplog, error):
        """Errors of PyJWT about keys are failures, whoever raises them."""
        app.extensions["flask-jwt-extended"].decode_key_loader(raiser(error))
        self.check_failure(get(app, f"Bearer {self.token()}"), caplog)

    @pytest.mark.parametrize(
        ("key", "algorithm"),
        [
            ("", "HS256"),
            ("-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----", "HS256"),
            ("x", "RS256"),
            (None, "HS256"),
        ],
    )
    def test_unusable_key(self, app, caplog, key, algorithm):
        """A key that does not fit the algorithm is a failure, and so is an algorithm that is not supported."""
        app.config.update(JWT_ALGORITHM=algorithm, JWT_DECODE_ALGORITHMS=[algorithm])
        app.extensions["flask-jwt-extended"].decode_key_loader(lambda *_: key)
        head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm}).encode()).decode().rstrip("=")
        _, payload, signature = self.token().split(".")
        self.check_failure(get(app, f"Bearer {head}.{payload}.{signature}"), caplog)

    @pytest.mark.parametrize("algorithm", ["RS256", "HS384", "none"])
    @pytest.mark.parametrize(
        "key",
        [KEY * 2, "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----", object(), ""],
        ids=["text", "pem", "object", "empty"],
    )
    def test_several_algorithms(self, app, caplog, algorithm, key):
        """The token chooses among several algorithms, so a key that does not suit its choice is the token's fault."""
        app.config["JWT_DECODE_ALGORITHMS"] = ["RS256", "HS384"]
        app.extensions["flask-jwt-extended"].decode_key_loader(lambda *_: key)
        head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm}).encode()).decode().rstrip("=")
        for _ in range(2):
            response = get(app, f"Bearer {head}.{self.token().partition('.')[2]}")
            assert (response.status_code, response.data) == (401, INVALID)
        assert len(caplog.records) <= 1
        assert {record.levelno for record in caplog.records} <= {logging.WARNING}

    @pytest.mark.parametrize("error", [TypeError("x"), ValueError("x")])
    def test_errors_of_other_code(self, app, caplog, error):
        """Errors of the application's callbacks are failures, also if PyJWT raises errors of these types."""
        app.config["JWT_DECODE_ALGORITHMS"] = ["RS256", "HS256"]
        app.extensions["flask-jwt-extended"].decode_key_loader(raiser(error))
        self.check_failure(get(app, f"Bearer {self.token()}"), caplog)


class TestLocations:
    def app_with(self, *locations):
        projects = mongomock.MongoClient().platform.projects
        projects.insert_one({"_id": 1, "owner": "ada"})
        app = jwt_app(ProjectStore(projects))
        blueprint = create_usage_blueprint(
            ProjectStore(projects), authenticate=jwt_identity_from(*locations), name="other", url_prefix="/other"
        )
        app.register_blueprint(blueprint, cli_group="other")
        return app

    def test_cookies(self):
        """The token is read from the cookie, and every response varies by it."""
        app = self.app_with("cookies")
        client = app.test_client()
        client.set_cookie("access_token_cookie", make_token(app))
        response = client.get("/other/usage")
        assert ids_of(response.json) == [1]
        assert response.headers["Vary"] == "Authorization, Accept, Cookie"
        tag = response.headers["ETag"]
        unchanged = client.get("/other/usage", headers={"If-None-Match": tag})
        assert (unchanged.status_code, unchanged.headers["Vary"]) == (304, "Authorization, Accept, Cookie")
        assert client.get("/other/usage?limit=x").headers["Vary"] == "Authorization, Cookie"
        assert client.get("/api/usage").status_code == 401
        assert client.get("/api/usage").headers["Vary"] == "Authorization"

    def test_expired_cookie(self):
        """A cookie is no bearer token, so the challenge has no error code."""
        app = self.app_with("cookies")
        client = app.test_client()
        client.set_cookie("access_token_cookie", make_token(app, expires_delta=timedelta(seconds=-1)))
        response = client.get("/other/usage")
        assert (response.status_code, response.data) == (401, REQUIRED)
        assert response.headers["Vary"] == "Authorization, Cookie"

    @pytest.mark.parametrize("header", [None, ", ,", "Basic x"])
    def test_several_locations(self, header):
        """The first location that has a token is used."""
        app = self.app_with("headers", "cookies")
        client = app.test_client()
        headers = {} if header is None else {"Authorization": header}
        assert client.get("/other/usage", headers=headers).status_code == 401
        assert client.get("/other/usage", headers={"Authorization": f"Bearer {make_token(app)}"}).status_code == 200
        client.set_cookie("access_token_cookie", make_token(app))
        assert client.get("/other/usage", headers=headers).status_code == 200

    def test_query_string(self):
        """The token is read from the query string, and is no parameter of the API."""
        app = self.app_with("query_string")
        response = app.test_client().get(f"/other/usage?jwt={make_token(app)}&limit=0")
        assert (response.status_code, response.headers["Vary"]) == (200, "Authorization, Accept")

    @pytest.mark.parametrize("query", [b"x=\xff", b"jwt=\xff", b"jwt=%ff", b"\xff"])
    def test_query_string_that_is_not_utf8(self, query):
        """Bytes that flask-jwt-extended cannot read are no token."""
        app = self.app_with("headers", "query_string")
        response = app.test_client().get("/other/usage", environ_overrides={"QUERY_STRING": query.decode("latin-1")})
        assert response.status_code == 401

    def test_query_string_with_other_text(self):
        """Text that is UTF-8 does not prevent the token from being read."""
        app = self.app_with("query_string")
        query = f"x=\u00e9&jwt={make_token(app)}".encode().decode("latin-1")
        response = app.test_client().get("/other/usage", environ_overrides={"QUERY_STRING": query})
        assert response.status_code == 200

    def test_call_of_the_callback(self):
        """Calling the callback when the application is set up raises an error that says what to write."""
        with pytest.raises(ConfigurationError, match="without parentheses"):
            jwt_identity_from("cookies")()

    @pytest.mark.parametrize("locations", [("json",), ("cookie",), ("headers", None)])
    def test_other_locations_are_refused(self, locations):
        """The message lists the locations."""
        with pytest.raises(ConfigurationError, match="location must be one of headers, cookies, query_string; got"):
            jwt_identity_from(*locations)

    def test_the_function_that_makes_the_callback_is_no_callback(self):
        """A location is required."""
        with pytest.raises(ConfigurationError, match="called without arguments"):
            create_usage_blueprint(ProjectStore(mongomock.MongoClient().a.b), authenticate=jwt_identity_from)
