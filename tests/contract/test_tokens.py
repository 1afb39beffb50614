"""Hostile and broken credentials: each is 401 in our body, and nobody sees what is another's."""

import base64
import hmac
import json
import time
from uuid import UUID

import pytest
from bson import ObjectId
from bson.int64 import Int64
from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flask_usage_stats import ProjectStore, create_usage_blueprint
from flask_usage_stats.jwt import jwt_identity
from flask_usage_stats.schemas import UsageSchema

KEY = "a key of at least thirty-two bytes, for HS256"
CLAIMS = {"sub": "ada", "type": "access", "jti": "1", "fresh": False}
HEAD = {"alg": "HS256", "typ": "JWT"}
REQUIRED = b'{"success":false,"message":"Authentication required"}'
INVALID = b'{"success":false,"message":"Invalid or expired token"}'
CHALLENGE = 'Bearer realm="usage"'
INVALID_TOKEN = f'{CHALLENGE}, error="invalid_token", error_description="Invalid or expired token"'


class Everybody:
    """A store that shows whom it was asked for."""

    def iter_projects(self, owner):
        return [{"_id": owner, "name": f"a project of {owner!r}"}]


def _part(content):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(payload=CLAIMS, head=HEAD, key=KEY, digest="sha256"):
    """Sign anything at all with the host's key, also what no library would."""
    text = f"{_part(head)}.{_part(payload)}"
    return f"{text}.{_part(hmac.digest(key.encode(), text.encode(), digest))}"


def claims(**changes):
    return signed({name: value for name, value in (CLAIMS | changes).items() if value is not ...})


def claim_text(name, value):
    """Sign a payload with a claim that is written as Python's own JSON would not write it."""
    return signed(json.dumps(CLAIMS)[:-1].encode() + f',"{name}":{value}}}'.encode())


def unsigned(algorithm):
    return f"{_part({'alg': algorithm, 'typ': 'JWT'})}.{_part(CLAIMS)}."


def nested(depth):
    return b'{"x":' + b"[" * depth + b"]" * depth + b"}"


GOOD = claims()
NOW = int(time.time())
TOKENS = {
    **{f"unsigned, {name!r}": unsigned(name) for name in ("none", "None", "NONE", "nOnE", "", "HS256", None)},
    **{f"algorithm {name!r}": signed(head=HEAD | {"alg": name}) for name in ("none", "HS1", "RS256", "ES256", "EdDSA")},
    **{
        f"algorithm {name!r}": signed(head=HEAD | {"alg": name}) for name in (None, 5, True, [], ["HS256"], {}, "hs256")
    },
    "HS512": signed(head={"alg": "HS512"}, digest="sha512"),
    "HS384": signed(head={"alg": "HS384"}, digest="sha384"),
    "no algorithm": signed(head={"typ": "JWT"}),
    "another key": signed(key=KEY + "x"),
    "empty key": signed(key=""),
    "another digest": signed(digest="sha512"),
    "signature of another token": GOOD.rpartition(".")[0] + "." + claims(sub="bob").rpartition(".")[2],
    "payload of another token": ".".join([GOOD.split(".")[0], _part(CLAIMS | {"sub": "bob"}), GOOD.split(".")[2]]),
    "no signature": GOOD.rpartition(".")[0] + ".",
    "cut short": GOOD[:-2],
    "two parts": GOOD.rpartition(".")[0],
    "four parts": GOOD + ".x",
    "five parts": "a.b.c.d.e",
    "only dots": "..",
    "many dots": "." * 5000,
    "garbage": "garbage",
    "not base64": "!.!.!",
    "padding": GOOD + "==",
    "with kid as a list": signed(head=HEAD | {"kid": ["x"]}),
    "unknown critical header": signed(head=HEAD | {"crit": ["x"], "x": 1}),
    "detached payload": signed(head=HEAD | {"crit": ["b64"], "b64": False}),
    "expired": claims(exp=NOW - 60),
    "expired long ago": claims(exp=-(10**15)),
    "not yet valid": claims(nbf=NOW + 3600),
    "issued in the future": claims(iat=NOW + 3600),
    **{
        f"{name} {value}": claim_text(name, value)
        for name in ("exp", "nbf", "iat")
        for value in ("Infinity", "-Infinity", "NaN", "1e400", "[]", "{}", "null", '"soon"', "9" * 5000)
    },
    "refresh": claims(type="refresh"),
    "no subject": claims(sub=...),
    **{
        f"subject {value!r:.20}": claims(sub=value)
        for value in (
            *(
                None,
                "",
                True,
                False,
                1.5,
                [],
                {},
                ["ada"],
                {"$ne": None},
                {"$gt": ""},
                {"$regex": "."},
                {"$oid": "0" * 24},
            ),
            *("\ud800", "ada\udfff", "a" * 1025, "é" * 513, "ada\0", "\0", "ada\r\nX: y", "\x1b[2J", "\t", "\x7f"),
        )
    },
    "payload a list": signed([]),
    "payload a text": signed("ada"),
    "payload null": signed(None),
    "payload a number": signed(5),
    "payload empty": signed(b""),
    "payload no JSON": signed(b"{"),
    "payload no UTF-8": signed(b'{"sub":"\xff\xfe"}'),
    "payload nested": signed(nested(5000)),
    "payload nested, at the edge": signed(nested(990)),
    "head a list": signed(head=[]),
    "head a text": signed(head="x"),
    "head null": signed(head=None),
    "head empty": signed(head=b""),
    "head no UTF-8": signed(head=b"\xff"),
    "head nested": signed(head=nested(5000)),
    "huge": "x" * 2**20,
    "huge payload": signed(CLAIMS | {"sub": "a" * 2**20}),
    "two tokens": f"{GOOD} {GOOD}",
    "a comma behind": f"{GOOD}, Bearer {GOOD}",
    "quoted": f'"{GOOD}"',
    "named": f"token={GOOD}",
    "control character inside": f"{GOOD[:20]}\x01{GOOD[20:]}",
    "NUL behind": f"{GOOD}\0",
    "not ASCII": "é" * 40,
    "bytes that are no UTF-8": "\xff\xfe",
    "byte order mark": f"\xef\xbb\xbf{GOOD}",
}
SCHEMES = [
    *(
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Bearer\t",
        "Bearer,",
        "Bearer ,",
        "Bearer , Bearer",
        "",
        " ",
        ",",
        ", ,",
        ",,,,",
    ),
    *("Basic YWRhOmFkYQ==", "Basic Bearer", "Digest username=ada", "Negotiate", "Token " + GOOD, "JWT " + GOOD, GOOD),
    *("Bearer:" + GOOD, "Bearer=" + GOOD, "Bearer" + GOOD, "Bearers " + GOOD, "null", "undefined", "\0", "\x7f", "é"),
    *("\r\nX: y", "{}", '{"$ne": null}', "a" * 2**16, "Basic a, Digest b"),
]


@pytest.fixture(scope="module")
def host():
    app = Flask("host")
    app.config["JWT_SECRET_KEY"] = KEY
    JWTManager(app)
    app.register_blueprint(create_usage_blueprint(Everybody(), authenticate=jwt_identity))
    return app


def get(app, authorization, path="/api/usage"):
    # Past the test client, which refuses some of what a server lets through.
    return app.test_client().get(path, environ_overrides={"HTTP_AUTHORIZATION": authorization})


def refused(response, body, challenge):
    assert (response.status_code, response.data) == (401, body)
    assert response.headers.getlist("WWW-Authenticate") == [challenge]
    assert response.mimetype == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert set(response.headers.keys()) == {
        *("Content-Type", "Content-Length", "Cache-Control", "Vary", "WWW-Authenticate")
    }


class TestTable:
    def test_size(self):
        """The tables stay as long as they were promised to be."""
        assert len(TOKENS) + len(SCHEMES) >= 120

    def test_good(self, host):
        """The token that the others are variations of is accepted."""
        assert get(host, f"Bearer {GOOD}").json["projectStats"][0]["_id"] == "ada"

    @pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS.keys())
    def test_token(self, host, caplog, token):
        """An unusable token is 401 with the error of RFC 6750, nothing of it echoed and nothing for the log."""
        refused(get(host, f"Bearer {token}"), INVALID, INVALID_TOKEN)
        assert not caplog.records

    @pytest.mark.parametrize("verified", [True, False])
    @pytest.mark.parametrize(
        "subject", [{"$ne": None}, {"$regex": "."}, ["ada"], [["ada"]], True, 1.5, None, 2**63, -(2**63) - 1, 10**400]
    )
    def test_subject_of_a_host_that_does_not_check(self, host, monkeypatch, subject, verified):
        """A subject that is no identity is 401, whatever the host verifies by itself."""
        monkeypatch.setitem(host.config, "JWT_VERIFY_SUB", verified)
        refused(get(host, f"Bearer {claims(sub=subject)}"), INVALID, INVALID_TOKEN)

    @pytest.mark.parametrize("header", SCHEMES, ids=lambda header: repr(header[:30]))
    def test_scheme(self, host, caplog, header):
        """A header without a bearer credential is as no header: 401 and a challenge without an error."""
        refused(get(host, header), REQUIRED, CHALLENGE)
        assert not caplog.records

    @pytest.mark.parametrize("header", [f"bearer {GOOD}", f"BEARER {GOOD}", f"Basic a, bearer {GOOD}"])
    def test_other_case(self, host, header):
        """A scheme in another case, which flask-jwt-extended does not know, is a token that was not accepted."""
        refused(get(host, header), INVALID, INVALID_TOKEN)

    @pytest.mark.parametrize("name", ["jwt", "token", "access_token", "Authorization", "access_token_cookie"])
    def test_other_places(self, host, monkeypatch, name):
        """A token in the query string or a cookie is not read, also where the host reads both."""
        monkeypatch.setitem(host.config, "JWT_TOKEN_LOCATION", ["headers", "query_string", "cookies", "json"])
        client = host.test_client()
        client.set_cookie(name, GOOD)
        refused(client.get("/api/usage", query_string={name: GOOD}, json={name: GOOD}), REQUIRED, CHALLENGE)

    @pytest.mark.parametrize("subject", ["$ne", ".*", "^", "ada.*", "$where", "{$ne: null}", "*", "%", "ada ", "ADA"])
    def test_text_is_never_a_pattern(self, host, subject):
        """Text that reads like an operator or a pattern is a name like any other."""
        assert get(host, f"Bearer {claims(sub=subject)}").json["projectStats"][0]["_id"] == subject


@pytest.mark.parametrize("error", [ValueError, TypeError, RecursionError, OverflowError, KeyError, AttributeError])
def test_hosts_failure(error, caplog):
    """A callback of the host that breaks is a failure with its log line, never mistaken for a bad token."""
    app = Flask("host")
    app.config["JWT_SECRET_KEY"] = KEY
    manager = JWTManager(app)
    app.register_blueprint(create_usage_blueprint(Everybody(), authenticate=jwt_identity))

    @manager.decode_key_loader
    def key(*_):
        raise error("secret")

    response = get(app, f"Bearer {GOOD}")
    assert (response.status_code, response.data) == (500, b'{"success":false,"message":"Failed to fetch usage stats"}')
    (record,) = caplog.records
    assert error.__name__ in record.getMessage()
    assert "secret" not in caplog.text


credential = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=200),
    st.binary(max_size=200).map(lambda content: content.decode("latin-1")),
    st.lists(
        st.sampled_from(["Bearer", "bearer", ",", " ", "\t", GOOD, GOOD[:-1], "..", "Basic", '"', "="]), max_size=8
    ).map("".join),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def accepts(header):
    """Tell whether flask-jwt-extended would find exactly the good token in a header."""
    fields = [field.split() for field in header.split(",")]
    candidates = [field for field in fields if field[:1] == ["Bearer"]]
    return [[part.rstrip("=") for part in field] for field in candidates] == [["Bearer", GOOD]]  # padding is no change


class TestAnything:
    @settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(header=credential | credential.map("Bearer {}".format))
    @example(", ,")
    @example(" ,Bearer")
    def test_header(self, host, header):
        """Whatever the header holds, it is 401 in our body unless it is the good token."""
        response = get(host, header)
        if not accepts(header):
            assert response.status_code == 401
            assert response.data in (REQUIRED, INVALID)
            assert response.headers["WWW-Authenticate"] in (CHALLENGE, INVALID_TOKEN)

    @settings(max_examples=400, deadline=None)
    @given(
        name=st.sampled_from(["sub", "exp", "nbf", "iat", "jti", "type", "fresh", "aud", "iss", "csrf", "x"]),
        value=json_values,
        in_head=st.booleans(),
    )
    def test_claim(self, host, name, value, in_head):
        """Whatever a signed token claims, it is the contract's 401, or 200 for the subject that it names."""
        head, payload = (HEAD | {name: value}, CLAIMS) if in_head else (HEAD, CLAIMS | {name: value})
        response = get(host, f"Bearer {signed(payload, head)}")
        if response.status_code == 200:
            assert [row["_id"] for row in response.json["projectStats"]] == [payload["sub"]]
        else:
            refused(response, INVALID, INVALID_TOKEN)


ID = ObjectId("507f1f77bcf86cd799439011")
OWNERS = ["ada", "Ada", "ada ", "", "$ne", ".*", "7", 7, 7.5, ID, str(ID), UUID(int=7), str(UUID(int=7)), None, True]
OWNERS += [["ada", "bob"], {"ada": 1}]
names = st.sampled_from(
    ["owner", "sub", "user", "id", "_id", "filter", "projectStats", "limit", "status", "$where", "a[$ne]"]
)
subjects = st.sampled_from([owner for owner in OWNERS if isinstance(owner, str) and owner]) | st.text(
    min_size=1, max_size=9
)


class TestOthersProjects:
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        subject=subjects,
        query=st.dictionaries(
            names, st.sampled_from(["bob", "ada", "$ne", "", ".*", "7", '{"$ne": null}']), max_size=3
        ),
        headers=st.dictionaries(
            st.sampled_from(["X-User", "X-Owner", "Cookie", "From"]), st.just("owner=bob"), max_size=2
        ),
        owner_type=st.sampled_from([None, str, int, ObjectId, UUID]),
    )
    def test_over_owners_and_parameters(self, projects, subject, query, headers, owner_type):
        """Whoever asks, with whatever parameters, sees exactly what is stored for the identity in the token."""
        if not projects.count_documents({}):
            options = projects.codec_options.with_options(uuid_representation=4)
            projects.with_options(options).insert_many(
                [{"_id": index, "owner": owner} for index, owner in enumerate([*OWNERS, Int64(8)])]
            )
        app = Flask("host")
        app.config["JWT_SECRET_KEY"] = KEY
        JWTManager(app)
        store = ProjectStore(projects, owner_type=owner_type)
        app.register_blueprint(create_usage_blueprint(store, authenticate=jwt_identity))
        with app.app_context():
            token = create_access_token(subject) if subject.isprintable() else claims(sub=subject)
        response = app.test_client().get(
            "/api/usage", query_string=query, headers=headers | {"Authorization": f"Bearer {token}"}
        )
        if response.status_code == 401:
            assert not subject.isprintable()
            return
        if response.status_code == 400:
            assert {"limit", "status"} & query.keys()
            return
        assert UsageSchema().validate(response.json) == {}
        shown = {row["_id"] for row in response.json["projectStats"]}
        owned = {index for index, owner in enumerate(OWNERS) if owns(owner, subject, owner_type)}
        assert shown == (set() if "status" in query else owned)


def owns(owner, subject, owner_type):
    if isinstance(owner, list):
        return any(owns(one, subject, owner_type) for one in owner)
    wanted = {None: (str, ObjectId)}.get(owner_type, owner_type)
    if isinstance(owner, bool) or not isinstance(owner, wanted):
        return False
    return str(owner) == (subject.lower() if not isinstance(owner, str) else subject)
