"""Malicious and malformed credentials get the 401 response, and no user gets the projects of another owner."""

import base64
import hmac
import json
import time
from uuid import UUID

import pytest
from bson import ObjectId
from bson.int64 import Int64
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import (
    CHALLENGE,
    FAILED,
    INVALID,
    INVALID_TOKEN,
    KEY,
    REQUIRED,
    ids_of,
    jwt_app,
    make_token,
    raiser,
    usage_body,
)

from flask_usage_stats import ProjectStore

CLAIMS = {"sub": "ada", "type": "access", "jti": "1", "fresh": False}
HEAD = {"alg": "HS256", "typ": "JWT"}


class EchoStore:
    """A store with one project, whose id is the owner."""

    def iter_projects(self, owner):
        return [{"_id": owner, "name": f"a project of {owner!r}"}]


def _part(content):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(payload=CLAIMS, head=HEAD, key=KEY, digest="sha256"):
    """Sign anything with the key of the application, even what no library would sign."""
    text = f"{_part(head)}.{_part(payload)}"
    return f"{text}.{_part(hmac.digest(key.encode(), text.encode(), digest))}"


def claims(**changes):
    return signed({name: value for name, value in (CLAIMS | changes).items() if value is not ...})


def claim_text(name, value):
    """Sign a payload with a claim that Python's JSON encoder does not support."""
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
    "trailing comma": f"{GOOD}, Bearer {GOOD}",
    "quoted": f'"{GOOD}"',
    "named": f"token={GOOD}",
    "control character inside": f"{GOOD[:20]}\x01{GOOD[20:]}",
    "trailing NUL": f"{GOOD}\0",
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
def app():
    return jwt_app(EchoStore())


def get(app, authorization, path="/api/usage"):
    # Bypass the test client, which rejects some headers that servers accept.
    return app.test_client().get(path, environ_overrides={"HTTP_AUTHORIZATION": authorization})


def check_unauthorized(response, body, challenge):
    assert (response.status_code, response.data) == (401, body)
    assert response.headers.getlist("WWW-Authenticate") == [challenge]
    assert response.mimetype == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert set(response.headers.keys()) == {
        *("Content-Type", "Content-Length", "Cache-Control", "Vary", "WWW-Authenticate")
    }


class TestTokens:
    def test_number_of_cases(self):
        """The tables contain all of their cases."""
        assert len(TOKENS) + len(SCHEMES) >= 120

    def test_valid_token(self, app):
        """The valid token, of which the other tokens are variations, is accepted."""
        assert get(app, f"Bearer {GOOD}").json["projectStats"][0]["_id"] == "ada"

    @pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS.keys())
    def test_unusable_token(self, app, caplog, token):
        """An unusable token gets the 401 response with the error of RFC 6750, and is neither echoed nor logged."""
        check_unauthorized(get(app, f"Bearer {token}"), INVALID, INVALID_TOKEN)
        assert not caplog.records

    @pytest.mark.parametrize("verified", [True, False])
    @pytest.mark.parametrize(
        "subject", [{"$ne": None}, {"$regex": "."}, ["ada"], [["ada"]], True, 1.5, None, 2**63, -(2**63) - 1, 10**400]
    )
    def test_invalid_subject(self, app, monkeypatch, subject, verified):
        """A subject that is not a valid owner gets the 401 response, whether the application verifies subjects or not."""
        monkeypatch.setitem(app.config, "JWT_VERIFY_SUB", verified)
        check_unauthorized(get(app, f"Bearer {claims(sub=subject)}"), INVALID, INVALID_TOKEN)

    @pytest.mark.parametrize("header", SCHEMES, ids=lambda header: repr(header[:30]))
    def test_header_without_bearer_credential(self, app, caplog, header):
        """A header without a bearer credential is treated like a missing header."""
        check_unauthorized(get(app, header), REQUIRED, CHALLENGE)
        assert not caplog.records

    @pytest.mark.parametrize("header", [f"bearer {GOOD}", f"BEARER {GOOD}", f"Basic a, bearer {GOOD}"])
    def test_scheme_in_another_case(self, app, header):
        """A scheme in another case, which flask-jwt-extended does not accept, is an invalid token."""
        check_unauthorized(get(app, header), INVALID, INVALID_TOKEN)

    @pytest.mark.parametrize("name", ["jwt", "token", "access_token", "Authorization", "access_token_cookie"])
    def test_only_the_header_is_read(self, app, monkeypatch, name):
        """A token in the query string, the body or a cookie is ignored even if the application accepts it there."""
        monkeypatch.setitem(app.config, "JWT_TOKEN_LOCATION", ["headers", "query_string", "cookies", "json"])
        client = app.test_client()
        client.set_cookie(name, GOOD)
        check_unauthorized(client.get("/api/usage", query_string={name: GOOD}, json={name: GOOD}), REQUIRED, CHALLENGE)

    @pytest.mark.parametrize("subject", ["$ne", ".*", "^", "ada.*", "$where", "{$ne: null}", "*", "%", "ada ", "ADA"])
    def test_subject_is_never_a_pattern(self, app, subject):
        """A subject that looks like an operator or a pattern is an owner like any other."""
        assert get(app, f"Bearer {claims(sub=subject)}").json["projectStats"][0]["_id"] == subject


@pytest.mark.parametrize("error", [ValueError, TypeError, RecursionError, OverflowError, KeyError, AttributeError])
def test_failing_callback_of_the_application(error, caplog):
    """An error in a callback of the application is logged as a failure, not treated as an invalid token."""
    app = jwt_app(EchoStore())
    app.extensions["flask-jwt-extended"].decode_key_loader(raiser(error("secret")))
    response = get(app, f"Bearer {GOOD}")
    assert (response.status_code, response.data) == (500, FAILED)
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
    """Return whether flask-jwt-extended finds exactly the valid token in a header."""
    fields = [field.split() for field in header.split(",")]
    candidates = [field for field in fields if field[:1] == ["Bearer"]]
    return [[part.rstrip("=") for part in field] for field in candidates] == [
        ["Bearer", GOOD]
    ]  # padding makes no difference


class TestArbitraryCredentials:
    @settings(max_examples=400)
    @given(header=credential | credential.map("Bearer {}".format))
    @example(", ,")
    @example(" ,Bearer")
    def test_header(self, app, header):
        """Any header except the valid token gets the 401 response."""
        response = get(app, header)
        if not accepts(header):
            assert response.status_code == 401
            assert response.data in (REQUIRED, INVALID)
            assert response.headers["WWW-Authenticate"] in (CHALLENGE, INVALID_TOKEN)

    @settings(max_examples=400)
    @given(
        name=st.sampled_from(["sub", "exp", "nbf", "iat", "jti", "type", "fresh", "aud", "iss", "csrf", "x"]),
        value=json_values,
        in_head=st.booleans(),
    )
    def test_claim(self, app, name, value, in_head):
        """Any signed claims get the 401 response, or the 200 response for the subject."""
        head, payload = (HEAD | {name: value}, CLAIMS) if in_head else (HEAD, CLAIMS | {name: value})
        response = get(app, f"Bearer {signed(payload, head)}")
        if response.status_code == 200:
            assert ids_of(response.json) == [payload["sub"]]
        else:
            check_unauthorized(response, INVALID, INVALID_TOKEN)


ID = ObjectId("507f1f77bcf86cd799439011")
OWNERS = ["ada", "Ada", "ada ", "", "$ne", ".*", "7", 7, 7.5, ID, str(ID), UUID(int=7), str(UUID(int=7)), None, True]
OWNERS += [["ada", "bob"], {"ada": 1}]
names = st.sampled_from(
    ["owner", "sub", "user", "id", "_id", "filter", "projectStats", "limit", "status", "$where", "a[$ne]"]
)
subjects = st.sampled_from([owner for owner in OWNERS if isinstance(owner, str) and owner]) | st.text(
    min_size=1, max_size=9
)


class TestIsolation:
    @settings(max_examples=150)
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
    def test_owners_and_parameters(self, projects, subject, query, headers, owner_type):
        """With any parameters and headers, the rows are exactly those stored for the token's subject."""
        if not projects.count_documents({}):
            options = projects.codec_options.with_options(uuid_representation=4)
            projects.with_options(options).insert_many(
                [{"_id": index, "owner": owner} for index, owner in enumerate([*OWNERS, Int64(8)])]
            )
        app = jwt_app(ProjectStore(projects, owner_type=owner_type))
        token = make_token(app, subject) if subject.isprintable() else claims(sub=subject)
        response = app.test_client().get(
            "/api/usage", query_string=query, headers=headers | {"Authorization": f"Bearer {token}"}
        )
        if response.status_code == 401:
            assert not subject.isprintable()
            return
        if response.status_code == 400:
            assert {"limit", "status"} & query.keys()
            return
        returned = set(ids_of(usage_body(response)))
        owned = {index for index, owner in enumerate(OWNERS) if owns(owner, subject, owner_type)}
        assert returned == (set() if "status" in query else owned)


def owns(owner, subject, owner_type):
    if isinstance(owner, list):
        return any(owns(one, subject, owner_type) for one in owner)
    wanted = {None: (str, ObjectId)}.get(owner_type, owner_type)
    if isinstance(owner, bool) or not isinstance(owner, wanted):
        return False
    return str(owner) == (subject.lower() if not isinstance(owner, str) else subject)
