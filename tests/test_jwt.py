"""Who is asking: the gate, and the callback for flask-jwt-extended."""

from datetime import timedelta

import jwt
import mongomock
import pytest
from bson import ObjectId
from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token

from flask_usage_stats import ProjectStore, create_usage_blueprint
from flask_usage_stats.jwt import jwt_identity

KEY = "a key of at least thirty-two bytes, for HS256"
ID = ObjectId("507f1f77bcf86cd799439011")


@pytest.fixture
def host():
    """Give an application with tokens, and one project of ada's."""
    projects = mongomock.MongoClient().platform.projects
    projects.insert_many([{"_id": 1, "owner": "ada"}, {"_id": 2, "owner": "bob"}])
    app = Flask("host")
    app.config["JWT_SECRET_KEY"] = KEY
    JWTManager(app)
    app.register_blueprint(create_usage_blueprint(ProjectStore(projects), authenticate=jwt_identity))
    return app


def get(app, authorization, **request):
    return app.test_client().get("/api/usage", headers={"Authorization": authorization}, **request)


def token(app, make=create_access_token, subject="ada", **options):
    with app.app_context():
        return make(subject, **options)


def forged(**claims):
    payload = {"sub": "ada", "type": "access", "jti": "1", "fresh": False} | claims
    return jwt.encode({name: value for name, value in payload.items() if value is not None}, KEY, "HS256")


class TestJwt:
    def test_signed_in(self, host):
        """A token's subject is the owner."""
        response = get(host, f"Bearer {token(host)}")
        assert [row["_id"] for row in response.json["projectStats"]] == [1]

    def test_no_token(self, host):
        """Without a token the answer is 401."""
        response = host.test_client().get("/api/usage")
        assert (response.status_code, response.json["message"]) == (401, "Authentication required")

    @pytest.mark.parametrize(
        "make",
        [
            lambda _: "garbage",
            lambda _: "a.b.c",
            lambda app: token(app)[:-2],
            lambda app: token(app, expires_delta=timedelta(seconds=-1)),
            lambda app: token(app, create_refresh_token),
            lambda _: jwt.encode({"sub": "ada"}, None, "none"),
            lambda _: jwt.encode({"sub": "ada", "type": "access"}, KEY + "x", "HS256"),
            lambda _: forged(sub=None),
            lambda _: forged(sub=""),
            lambda _: forged(sub="\ud800"),
            lambda _: forged(sub="a" * 1025),
            lambda _: forged(sub="ada\r\n"),
            lambda app: token(app) + " " + token(app),
        ],
    )
    def test_unusable_token(self, host, make, caplog):
        """An unusable token is 401 in our body, not a server error and nothing for the log."""
        response = get(host, f"Bearer {make(host)}")
        assert response.status_code == 401
        assert response.json == {"success": False, "message": "Invalid or expired token"}
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
        assert not caplog.records

    @pytest.mark.parametrize("header", [", ,", ",", "Bearer a,,b", " ,Bearer", "Bearer a, ,", "", "  "])
    def test_blank_parts(self, host, header):
        """A header with blank parts is 401, whatever the extension makes of it."""
        assert get(host, header).status_code == 401

    @pytest.mark.parametrize("subject", [{"$ne": None}, ["ada"], True, 1.5])
    def test_odd_subject(self, host, subject):
        """A subject that is no identity is 401, also where the host does not verify subjects."""
        host.config["JWT_VERIFY_SUB"] = False
        response = get(host, f"Bearer {forged(sub=subject)}")
        assert response.status_code == 401

    def test_header_only(self, host):
        """A token in the query string or a cookie does not count, whatever the host allows elsewhere."""
        host.config["JWT_TOKEN_LOCATION"] = ["query_string", "cookies", "headers"]
        client = host.test_client()
        client.set_cookie("access_token_cookie", token(host))
        response = client.get(f"/api/usage?jwt={token(host)}", headers={"Authorization": "Basic x"})
        assert response.status_code == 401

    def test_hosts_header(self, host):
        """The header is the one that the host configured."""
        host.config.update(JWT_HEADER_NAME="X-Token", JWT_HEADER_TYPE="")
        assert host.test_client().get("/api/usage", headers={"X-Token": token(host)}).status_code == 200

    @pytest.mark.parametrize("end", [",", ", "])
    def test_trailing_comma(self, host, end):
        """A token with a comma behind it counts, as flask-jwt-extended has it."""
        assert get(host, f"Bearer {token(host)}{end}").status_code == 200

    def test_hosts_rules(self, host):
        """The host's blocklist is honoured."""
        host.extensions["flask-jwt-extended"].token_in_blocklist_loader(lambda *_: True)
        assert get(host, f"Bearer {token(host)}").status_code == 401

    def test_hosts_failure(self, host, caplog):
        """A callback of the host that breaks is a failure, not a refusal."""

        def broken(*_):
            return {}["missing"]

        host.extensions["flask-jwt-extended"].token_in_blocklist_loader(broken)
        assert get(host, f"Bearer {token(host)}").status_code == 500
        assert "KeyError" in caplog.text

    def test_no_manager(self, host, caplog):
        """A missing JWTManager is a failure whose log line says the fix."""
        del host.extensions["flask-jwt-extended"]
        assert get(host, f"Bearer {'x'}").status_code == 500
        assert "call JWTManager(app) and set JWT_SECRET_KEY" in caplog.text
