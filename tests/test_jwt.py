"""The callback for flask-jwt-extended."""

from datetime import timedelta

import jwt
import mongomock
import pytest
from bson import ObjectId
from flask_jwt_extended import create_refresh_token
from support import INVALID, INVALID_TOKEN, KEY, REQUIRED, ids_of, jwt_app, make_token, raiser

from flask_usage_stats import ProjectStore

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
        """An unusable token gets the 401 response, and nothing is logged."""
        response = get(app, f"Bearer {make(app)}")
        assert (response.status_code, response.data) == (401, INVALID)
        assert response.headers["WWW-Authenticate"] == INVALID_TOKEN
        assert not caplog.records

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
