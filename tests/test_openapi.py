"""The OpenAPI document is valid, and responses match it."""

import json
import subprocess
import sys
from importlib import import_module

import mongomock
import pytest
from documents import check_response, documented_app, validated
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from support import StubStore, bearer

from flask_usage_stats import (
    ConfigurationError,
    PlatformStore,
    ProjectStore,
    UsageHistory,
    create_platform_blueprint,
    create_usage_blueprint,
)
from flask_usage_stats._core.fields import ALL_FIELDS
from flask_usage_stats._core.history_parameters import HistoryParametersSchema
from flask_usage_stats._core.parameters import ParametersSchema
from flask_usage_stats._core.platform_parameters import PlatformParametersSchema
from flask_usage_stats.openapi import openapi_document
from flask_usage_stats.schemas import (
    ErrorSchema,
    GroupSchema,
    HistoryBucketSchema,
    HistoryGroupSchema,
    HistorySchema,
    PlatformGroupSchema,
    PlatformOthersSchema,
    PlatformProjectSchema,
    PlatformSchema,
    ProjectSchema,
    UsageSchema,
)

ADA = bearer("ada")


@pytest.fixture
def app(projects):
    return documented_app(projects)


class TestDocument:
    @pytest.mark.parametrize("prefix", ["/api", "", "/", "/api/v2", "/api/v2/", "/über-uns"])
    def test_valid(self, prefix):
        """The document is valid OpenAPI 3.1 for any prefix, and its path is that of the route."""
        document = validated(openapi_document(prefix))
        (path,) = document["paths"]
        app = Flask("application")
        app.register_blueprint(create_usage_blueprint(StubStore(), authenticate=lambda: None, url_prefix=prefix))
        assert app.test_client().get(path).status_code == 401

    @pytest.mark.parametrize("prefix", ["api", "/<tenant>", "/{tenant}", "/a b", "/a?", None, 5], ids=repr)
    def test_invalid_prefix(self, prefix):
        """A prefix that is not a plain path raises an error that names the valid form."""
        with pytest.raises(ConfigurationError, match="begin with a slash"):
            openapi_document(prefix)

    def test_documents_can_be_merged(self):
        """The documents of two prefixes can be merged, because their operation ids differ."""
        document = openapi_document("/live")
        document["paths"] |= openapi_document("/past")["paths"]
        validated(document)

    def test_document_is_a_copy(self):
        """Every call returns a new document, so that changes to one do not affect another."""
        first = openapi_document()
        text = json.dumps(first)
        spoil(first)
        assert json.dumps(openapi_document()) == text

    @pytest.mark.parametrize(
        ("path", "schema"),
        [
            ("/api/usage", ParametersSchema),
            ("/api/usage/history", HistoryParametersSchema),
            ("/api/usage/platform", PlatformParametersSchema),
        ],
    )
    def test_every_parameter_is_documented(self, path, schema):
        """Every query parameter is documented in the order of the parameter table, and so is If-None-Match."""
        parameters = openapi_document(history=True, platform=True)["paths"][path]["parameters"]
        names = [parameter["name"] for parameter in parameters if parameter["in"] == "query"]
        assert names == list(schema().fields)
        assert [parameter["name"] for parameter in parameters if parameter["in"] != "query"] == ["If-None-Match"]

    def test_components_have_the_fields_of_the_schemas(self):
        """Components have prefixed names and the fields of the schemas."""
        schemas = openapi_document(history=True, platform=True)["components"]["schemas"]
        made_from = {
            "UsageProject": ProjectSchema,
            "UsageGroup": GroupSchema,
            "Usage": UsageSchema,
            "UsageError": ErrorSchema,
            "UsageHistoryGroup": HistoryGroupSchema,
            "UsageHistoryBucket": HistoryBucketSchema,
            "UsageHistory": HistorySchema,
            "UsagePlatformProject": PlatformProjectSchema,
            "UsagePlatformGroup": PlatformGroupSchema,
            "UsagePlatformOthers": PlatformOthersSchema,
            "UsagePlatform": PlatformSchema,
        }
        assert {name: list(schema["properties"]) for name, schema in schemas.items()} == {
            name: list(schema().fields) for name, schema in made_from.items()
        }

    def test_other_routes_are_documented_on_request(self):
        """By default, there is only the list."""
        document = openapi_document()
        assert list(document["paths"]) == ["/api/usage"]
        assert not [name for name in document["components"]["schemas"] if "History" in name or "Platform" in name]
        assert list(validated(openapi_document(history=True))["paths"]) == ["/api/usage", "/api/usage/history"]
        assert list(validated(openapi_document(platform=True))["paths"]) == ["/api/usage", "/api/usage/platform"]

    def test_every_route_is_documented(self):
        """The document has the routes of an application with every argument, except that of the element's script."""
        db = mongomock.MongoClient().platform
        store = ProjectStore(db.projects)
        app, history = Flask("application", static_folder=None), UsageHistory(db.usage_history)
        blueprint = create_usage_blueprint(store, authenticate=lambda: None, history=history, element=True)
        app.register_blueprint(blueprint)
        app.register_blueprint(create_platform_blueprint(PlatformStore(store), authorize=lambda: None))
        routes = {rule.rule for rule in app.url_map.iter_rules()}
        assert routes - {"/api/usage/usage-stats.js"} == set(openapi_document(history=True, platform=True)["paths"])

    def test_every_field_has_a_type(self):
        """Every field has a type."""
        for schema in openapi_document(history=True, platform=True)["components"]["schemas"].values():
            for name, field in schema["properties"].items():
                assert {"type", "anyOf", "$ref", "allOf"} & field.keys(), name

    @pytest.mark.parametrize("since", [None, "2026-03-28T23:00:00.000Z", 5])
    @pytest.mark.parametrize("total", [None, 0, 2.5, "3"])
    def test_histories_are_valid_in_both(self, since, total):
        """A history is valid according to the document if and only if it is valid according to the schema."""
        bucket = {"from": "x", "to": "x", "totalRequests": total, "partial": True}
        body = {"success": True, "from": "x", "to": "x", "window": "day", "tz": "UTC", "since": since}
        body |= {"totalRequests": 0, "buckets": [bucket]}
        components = openapi_document(history=True)["components"]
        schema = {"$ref": "#/components/schemas/UsageHistory", "components": components}
        assert Draft202012Validator(schema).is_valid(body) == (HistorySchema().validate(body) == {})

    @pytest.mark.parametrize("owner", [None, "ada", 7, 7.5, True, [], ["ada", 7, None], [["ada"]], {}], ids=repr)
    def test_owners_are_valid_in_both(self, owner):
        """An owner is valid according to the document if and only if it is valid according to the schema."""
        components = openapi_document(platform=True)["components"]
        for name, schema, body in (
            ("UsagePlatformProject", PlatformProjectSchema, {"totalRequest": 1}),
            ("UsagePlatformGroup", PlatformGroupSchema, {"projects": 1, "totalRequests": 1, "share": None}),
        ):
            found = Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components})
            assert found.is_valid(body | {"owner": owner}) == (schema().validate(body | {"owner": owner}) == {})

    @settings(max_examples=300)
    @given(
        row=st.fixed_dictionaries(
            {},
            optional={name: st.sampled_from([None, True, 0, -(2**70), 1.5, "", "x", [], {}]) for name, _ in ALL_FIELDS},
        )
    )
    def test_rows_are_valid_in_both(self, row):
        """A row is valid according to the document if and only if it is valid according to the schema."""
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


class TestResponses:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize(
        ("status", "path", "headers"),
        [
            (200, "/api/usage", ADA),
            (200, "/api/usage", bearer("new")),
            (200, "/api/usage?plan=pro&status=free&minRequests=1&maxRequests=9&sort=name&order=desc", ADA),
            (200, "/api/usage?groupBy=plan", ADA),
            (200, "/api/usage?groupBy=status,plan,projectType&limit=0", ADA),
            (200, "/api/usage?maxRequests=0&groupBy=plan", ADA),
            (200, "/api/usage?limit=2", ADA),
            (200, "/api/usage?limit=1000&sort=updatedAt", ADA),
            (200, "/api/usage?format=csv&limit=2", ADA),
            (200, "/api/usage?groupBy=plan", ADA | {"Accept": "text/csv"}),
            (400, "/api/usage?limit=1e3&sort=&cursor=x&format=xml", ADA),
            (401, "/api/usage", {}),
            (401, "/api/usage", bearer("expired")),
            (500, "/down/usage", ADA),
            (200, "/api/usage/history", ADA),
            (200, "/api/usage/history?window=week&groupBy=plan", ADA),
            (200, "/api/usage/history?groupBy=project&from=2023-12-31&to=2024-01-02", ADA),
            (200, "/api/usage/history?format=csv", ADA),
            (400, "/api/usage/history?tz=Mars&limit=1", ADA),
            (401, "/api/usage/history", {}),
            (500, "/down/usage/history", ADA),
            (200, "/api/usage/platform", ADA),
            (200, "/api/usage/platform?groupBy=plan,status&top=2&deleted=include", ADA),
            (200, "/api/usage/platform?groupBy=owner&top=1&limit=5", ADA),
            (200, "/api/usage/platform?format=csv&groupBy=owner", ADA),
            (400, "/api/usage/platform?top=1&search=x", ADA),
            (401, "/api/usage/platform", {}),
            (403, "/api/usage/platform", bearer("bob")),
            (500, "/down/usage/platform", ADA),
        ],
    )
    def test_every_response(self, app, method, status, path, headers):
        """Every kind of response, including 304, matches the document."""
        document = openapi_document(path[: path.index("/", 1)], history=True, platform=True)
        plain = path.partition("?")[0]
        client = app.test_client()
        response = client.open(path, method=method, headers=headers)
        assert response.status_code == status
        check_response(document, plain, response)
        if status == 200:
            tag = {"If-None-Match": response.headers["ETag"]}
            again = client.open(path, method=method, headers=headers | tag)
            assert again.status_code == 304
            check_response(document, plain, again)

    def test_pages(self, app):
        """Every page matches the document, in JSON and in CSV."""
        document, client = openapi_document(), app.test_client()
        for format_ in ("json", "csv"):
            path, pages = f"/api/usage?limit=5&format={format_}", 0
            while path:
                response = client.get(path, headers=ADA)
                check_response(document, "/api/usage", response)
                pages += 1
                link = response.headers.get("Link")
                path = link and "/api/usage" + link[1 : link.index(">")]
            assert pages == 3

    @settings(max_examples=300)
    @given(data=st.data())
    def test_documented_values_are_accepted(self, app_factory, data):
        """Every parameter value that the document allows is accepted, except for cursors, which must come from a page."""
        projects = mongomock.MongoClient().platform.projects
        projects.insert_one({"owner": "ada", "name": "blog", "plan": "pro", "totalRequest": 3})
        client = app_factory(ProjectStore(projects, fields={"lastRequestAt": "requested"})).test_client()
        parameters = openapi_document()["paths"]["/api/usage"]["parameters"]
        query = [one for one in parameters if one["in"] == "query" and one["name"] != "cursor"]
        parameter = data.draw(st.sampled_from(query))
        text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=100)
        drawn = data.draw(values_of(parameter["schema"], text))
        if isinstance(drawn, list) and not parameter["explode"]:
            drawn = ",".join(drawn)
        response = client.get("/api/usage", query_string={parameter["name"]: drawn})
        assert response.status_code == 200, response.json

    @pytest.mark.parametrize("name", list(ParametersSchema().fields))
    def test_empty_values_are_invalid_in_both(self, app_factory, name):
        """An empty value is invalid according to the document, and the route rejects it."""
        parameters = openapi_document()["paths"]["/api/usage"]["parameters"]
        (schema,) = (one["schema"] for one in parameters if one["name"] == name)
        assert not Draft202012Validator(schema).is_valid([""] if schema["type"] == "array" else "")
        query = {"limit": "1"} | {name: ""}
        assert app_factory(StubStore()).test_client().get("/api/usage", query_string=query).status_code == 400


def values_of(schema, text):
    """Draw a value that a schema allows."""
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


def test_missing_apispec(monkeypatch):
    """If apispec is missing, the ImportError says what to install."""
    monkeypatch.delitem(sys.modules, "flask_usage_stats.openapi")
    monkeypatch.setitem(sys.modules, "apispec", None)
    with pytest.raises(ImportError, match=r"pip install apispec$"):
        import_module("flask_usage_stats.openapi")


def test_apispec_is_optional():
    """Only this module imports apispec."""
    program = "import sys; sys.modules['apispec'] = None; import flask_usage_stats, flask_usage_stats.schemas"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_schemas_suit_generators():
    """Some generators reject a boolean with one value, or read numbers and integers as 32 bits."""
    document = openapi_document()
    schemas = document["components"]["schemas"]
    assert (
        schemas["Usage"]["properties"]["success"]
        == schemas["UsageError"]["properties"]["success"]
        == {"type": "boolean"}
    )
    numbers = [
        schema
        for each in schemas.values()
        for schema in each["properties"].values()
        if "number" in schema.get("type", [])
    ]
    assert len(numbers) == 4
    assert all(schema["format"] == "double" for schema in numbers)
    project_id = schemas["UsageProject"]["properties"]["_id"]
    assert project_id["anyOf"] == [{"type": "string"}, {"type": "integer", "format": "int64"}, {"type": "null"}]
    assert "null" in project_id["description"]
