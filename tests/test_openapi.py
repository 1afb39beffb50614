"""The document: valid by itself and in a host's own, and what is answered is what it says."""

import json
import subprocess
import sys
from datetime import datetime
from importlib import import_module

import apiflask
import flask_smorest
import pytest
import schemathesis
from bson import ObjectId
from flask import Flask, request
from flask.views import MethodView
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from schemathesis.checks import load_all_checks
from werkzeug.http import parse_options_header

from flask_usage_stats import ConfigurationError, ProjectStore, create_usage_blueprint
from flask_usage_stats._core.fields import FIELDS
from flask_usage_stats._core.parameters import ParametersSchema
from flask_usage_stats.openapi import openapi_document
from flask_usage_stats.schemas import ErrorSchema, GroupSchema, ProjectSchema, UsageSchema

#: Of each method, against the real server.
EXAMPLES = 150
BEARER = {"Authorization": "Bearer ada"}
LABELS = ["free", "Pro", None]


def valid(document):
    assert document["openapi"].startswith("3.1")
    validate(document, cls=OpenAPIV31SpecValidator)
    return document


def conforms(document, path, response):
    """Hold an answer to what the document says of its status: headers, form and body."""
    answer = document["paths"][path][response.request.method.lower()]["responses"][str(response.status_code)]
    documented = {name.lower(): header for name, header in answer["headers"].items()}
    assert {name for name, header in documented.items() if header.get("required")} <= {
        name.lower()
        for name in response.headers.keys()  # noqa: SIM118 # headers are pairs
    }
    transport = {"content-type", "content-length"}
    assert {name.lower() for name, _ in response.headers} <= documented.keys() | transport
    if "content" not in answer:
        assert not response.data
        return
    schema = answer["content"][parse_options_header(response.content_type)[0]]["schema"]
    body = response.text if response.mimetype == "text/csv" else response.json
    Draft202012Validator(schema | {"components": document["components"]}).validate(body)


class Broken:
    def iter_projects(self, owner, /):
        raise OSError


@pytest.fixture
def app(projects):
    """Give an application with its own document, whose callers are who they say, on projects of every kind."""
    projects.insert_many(
        [
            {"_id": 7, "owner": "ada", "totalRequest": 2**70 * 1.0, "name": None, "createdAt": datetime(2024, 1, 1)},
            {"_id": "text", "owner": "ada", "totalRequest": 2.5, "plan": "PRO", "updatedAt": "soon"},
            {"_id": {"a": 1}, "owner": "ada", "totalRequest": -3, "status": 5},
            {"_id": 1, "owner": "bob"},
            *(
                {"owner": "ada", "name": f"n{n}", "totalRequest": n, "plan": LABELS[n % 3], "status": LABELS[n % 2]}
                for n in range(9)
            ),
        ]
    )
    app = Flask("host")
    for store, prefix in ((ProjectStore(projects), "/api"), (Broken(), "/down")):
        app.register_blueprint(
            create_usage_blueprint(store, authenticate=caller, name=f"usage{prefix[1:]}", url_prefix=prefix)
        )
    app.add_url_rule("/openapi.json", view_func=openapi_document)
    return app


def caller():
    scheme, _, name = request.headers.get("Authorization", "").partition(" ")
    return name if scheme == "Bearer" and name in {"ada", "bob", "new"} else None


class TestDocument:
    @pytest.mark.parametrize("prefix", ["/api", "", "/", "/api/v2", "/api/v2/", "/über-uns"])
    def test_valid(self, prefix):
        """It is valid OpenAPI 3.1 for any prefix, and its one path is where the blueprint of that prefix answers."""
        document = valid(openapi_document(prefix))
        (path,) = document["paths"]
        app = Flask("host")
        app.register_blueprint(create_usage_blueprint(Broken(), authenticate=lambda: None, url_prefix=prefix))
        assert app.test_client().get(path).status_code == 401

    @pytest.mark.parametrize("prefix", ["api", "/<tenant>", "/{tenant}", "/a b", "/a?", None, 5], ids=repr)
    def test_misuse(self, prefix):
        """What is no plain path is refused with the fix."""
        with pytest.raises(ConfigurationError, match="begin with a slash"):
            openapi_document(prefix)

    def test_several_mounts(self):
        """Documents of several mounts merge into a valid one: no operation id is used twice."""
        document = openapi_document("/live")
        document["paths"] |= openapi_document("/past")["paths"]
        valid(document)

    def test_own(self):
        """Each call gives plain JSON of its own: changing it changes no other and no schema."""
        first = openapi_document()
        text = json.dumps(first)
        spoil(first)
        assert json.dumps(openapi_document()) == text

    def test_parameters(self):
        """Every parameter that is read is documented, in the order of the API page, and the entity tag."""
        parameters = openapi_document()["paths"]["/api/usage"]["parameters"]
        names = [parameter["name"] for parameter in parameters if parameter["in"] == "query"]
        assert names == list(ParametersSchema().fields)
        assert [parameter["name"] for parameter in parameters if parameter["in"] != "query"] == ["If-None-Match"]

    def test_components(self):
        """Components carry names of their own, and the fields of the schemas."""
        schemas = openapi_document()["components"]["schemas"]
        made_from = {
            "UsageProject": ProjectSchema,
            "UsageGroup": GroupSchema,
            "Usage": UsageSchema,
            "UsageError": ErrorSchema,
        }
        assert {name: list(schema["properties"]) for name, schema in schemas.items()} == {
            name: list(schema().fields) for name, schema in made_from.items()
        }

    @pytest.mark.parametrize("schema", ["UsageProject", "UsageGroup", "Usage", "UsageError"])
    def test_typed(self, schema):
        """No field is left without a type."""
        for name, field in openapi_document()["components"]["schemas"][schema]["properties"].items():
            assert "type" in field, name

    @settings(max_examples=300)
    @given(
        row=st.fixed_dictionaries(
            {},
            optional={name: st.sampled_from([None, True, 0, -(2**70), 1.5, "", "x", [], {}]) for name, _ in FIELDS},
        )
    )
    def test_same_rows(self, row):
        """The document accepts a row exactly where its schema does."""
        document = openapi_document()
        schema = {"$ref": "#/components/schemas/UsageProject", "components": document["components"]}
        assert Draft202012Validator(schema).is_valid(row) == (ProjectSchema().validate(row) == {})


def spoil(part):
    """Change every list and dict of a document."""
    for value in list(part.values() if isinstance(part, dict) else part):
        if isinstance(value, dict | list):
            spoil(value)
    if isinstance(part, dict):
        part["x-spoilt"] = True
    else:
        part.append("spoilt")


class TestAnswers:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize(
        ("status", "path", "headers"),
        [
            (200, "/api/usage", BEARER),
            (200, "/api/usage", {"Authorization": "Bearer new"}),
            (200, "/api/usage?plan=pro&status=free&minRequests=1&maxRequests=9&sort=name&order=desc", BEARER),
            (200, "/api/usage?groupBy=plan", BEARER),
            (200, "/api/usage?groupBy=status,plan,projectType&limit=0", BEARER),
            (200, "/api/usage?maxRequests=0&groupBy=plan", BEARER),
            (200, "/api/usage?limit=2", BEARER),
            (200, "/api/usage?limit=1000&sort=updatedAt", BEARER),
            (200, "/api/usage?format=csv&limit=2", BEARER),
            (200, "/api/usage?groupBy=plan", BEARER | {"Accept": "text/csv"}),
            (400, "/api/usage?limit=1e3&sort=&cursor=x&format=xml", BEARER),
            (401, "/api/usage", {}),
            (401, "/api/usage", {"Authorization": "Bearer expired"}),
            (500, "/down/usage", BEARER),
        ],
    )
    def test_each(self, app, method, status, path, headers):
        """Every kind of answer is as documented, and unchanged ones are documented, too."""
        document = openapi_document(path[: path.index("/", 1)])
        plain = path.partition("?")[0]
        client = app.test_client()
        response = client.open(path, method=method, headers=headers)
        assert response.status_code == status
        conforms(document, plain, response)
        if status == 200:
            tag = {"If-None-Match": response.headers["ETag"]}
            again = client.open(path, method=method, headers=headers | tag)
            assert again.status_code == 304
            conforms(document, plain, again)

    def test_walk(self, app):
        """Every page of a walk is as documented, in both forms."""
        document, client = openapi_document(), app.test_client()
        for form in ("json", "csv"):
            path, pages = f"/api/usage?limit=5&format={form}", 0
            while path:
                response = client.get(path, headers=BEARER)
                conforms(document, "/api/usage", response)
                pages += 1
                link = response.headers.get("Link")
                path = link and "/api/usage" + link[1 : link.index(">")]
            assert pages == 3

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("path", ["/api/usage", "/down/usage"])
    def test_schemathesis(self, app, path, method):
        """Whatever schemathesis makes of the documented parameters, the answer is a documented one."""
        app.view_functions["openapi_document"] = lambda: openapi_document(path.removesuffix("/usage"))
        operation = schemathesis.openapi.from_wsgi("/openapi.json", app)[path][method]
        load_all_checks()
        checks = schemathesis.checks.CHECKS.get_by_names(
            [
                "status_code_conformance",
                "content_type_conformance",
                "response_headers_conformance",
                "response_schema_conformance",
            ]
        )
        seen = set()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(), name=st.sampled_from(["ada", "ada", "ada", "nobody"]))
        def ask(case, name):
            response = case.call(headers={"Authorization": f"Bearer {name}"})
            seen.add(response.status_code)
            case.validate_response(response, checks=checks)

        ask()
        assert seen >= ({200, 400, 401} if path == "/api/usage" else {400, 401, 500})

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_accepted(self, app_factory, data):
        """What the document allows of a parameter is accepted, all but cursors, which only a page gives."""
        client = app_factory(Rows()).test_client()
        parameters = openapi_document()["paths"]["/api/usage"]["parameters"]
        query = [one for one in parameters if one["in"] == "query" and one["name"] != "cursor"]
        parameter = data.draw(st.sampled_from(query))
        text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=100)
        drawn = data.draw(values_of(parameter["schema"], text))
        if isinstance(drawn, list) and not parameter["explode"]:
            drawn = ",".join(drawn)
        response = client.get("/api/usage", query_string={parameter["name"]: drawn})
        assert response.status_code == 200, response.json


def values_of(schema, text):
    """Draw what a parameter's schema allows."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "array":
        return st.lists(
            values_of(schema["items"], text),
            min_size=schema.get("minItems", 0),
            max_size=schema.get("maxItems"),
            unique=schema.get("uniqueItems", False),
        )
    if schema["type"] == "integer":
        return st.integers(schema["minimum"], schema["maximum"])
    return st.from_regex(schema["pattern"].replace("$", r"\Z"), alphabet="0123456789") if "pattern" in schema else text


class Rows:
    def iter_projects(self, owner, /):
        return [{"_id": ObjectId(), "name": "blog", "plan": "pro", "totalRequest": 3}]


class TestHosts:
    def test_flask_smorest(self, app):
        """A document of flask-smorest stays valid with the fragment, and has its own paths still."""
        fragment = openapi_document()
        app.config |= {
            "API_TITLE": "host",
            "API_VERSION": "1",
            "OPENAPI_VERSION": "3.1.0",
            "API_SPEC_OPTIONS": {"paths": fragment["paths"], "components": fragment["components"]},
        }
        api = flask_smorest.Api(app)
        theirs = flask_smorest.Blueprint("theirs", __name__, url_prefix="/theirs")

        @theirs.route("/")
        class Theirs(MethodView):
            @theirs.response(200, UsageSchema)
            def get(self):
                """Answer."""

        api.register_blueprint(theirs)
        document = valid(api.spec.to_dict())
        assert list(document["paths"]) == ["/api/usage", "/theirs/"]
        conforms(document, "/api/usage", app.test_client().get("/api/usage", headers=BEARER))

    def test_apiflask(self):
        """A document of APIFlask stays valid with the fragment, and has its own paths still."""
        app = apiflask.APIFlask("host")
        app.config["OPENAPI_VERSION"] = "3.1.0"
        app.register_blueprint(create_usage_blueprint(Rows(), authenticate=caller))

        @app.get("/theirs")
        @app.output({"text": apiflask.fields.String()})
        def theirs():
            """Answer."""

        @app.spec_processor
        def with_usage(document):
            fragment = openapi_document()
            document["paths"] |= fragment["paths"]
            for kind, components in fragment["components"].items():
                document["components"].setdefault(kind, {}).update(components)
            return document

        document = valid(app.test_client().get("/openapi.json").json)
        assert sorted(document["paths"]) == ["/api/usage", "/theirs"]
        conforms(document, "/api/usage", app.test_client().get("/api/usage", headers=BEARER))


def test_missing_apispec(monkeypatch):
    """Without apispec, the module says what to install."""
    monkeypatch.delitem(sys.modules, "flask_usage_stats.openapi")
    monkeypatch.setitem(sys.modules, "apispec", None)
    with pytest.raises(ImportError, match=r"pip install apispec$"):
        import_module("flask_usage_stats.openapi")


def test_package_without_apispec():
    """Nothing but the module itself asks for apispec."""
    program = "import sys; sys.modules['apispec'] = None; import flask_usage_stats, flask_usage_stats.schemas"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
