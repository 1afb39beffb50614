"""Each example application runs unchanged and returns the expected response."""

import sqlite3

import pytest
from bson import ObjectId
from support import KEY, ROOT, bearer, import_example, make_token
from werkzeug.security import generate_password_hash

ID = ObjectId("507f1f77bcf86cd799439011")


@pytest.fixture
def example(request, local_mongodb, monkeypatch, tmp_path):
    """Import the example that the test is named after, with the environment variables that it needs."""
    monkeypatch.delenv("MONGODB_URI", raising=False)
    monkeypatch.setenv("MONGO_URI", "mongodb://localhost:27017/platform")
    monkeypatch.setenv("JWT_SECRET_KEY", KEY)
    monkeypatch.setenv("SECRET_KEY", KEY)
    monkeypatch.setenv("DATABASE", str(tmp_path / "platform.sqlite"))
    return import_example(request.function.__name__.removeprefix("test_"))


def get_usage(app, subject, path=""):
    return app.test_client().get(f"/api/usage{path}", headers=bearer(make_token(app, subject))).json


def test_every_example_is_tested():
    """Every example has a test of the same name here; the demo has its own test module."""
    names = {path.stem for path in (ROOT / "examples").glob("*.py")} - {"demo"}
    assert {f"test_{name}" for name in names} <= set(globals())


def test_minimal(example, database):
    """A user who logs in gets the projects whose owner is the user's ObjectId."""
    database.users.insert_one({"_id": ID, "name": "ada", "password": generate_password_hash("secret")})
    database.projects.insert_many([{"_id": 1, "owner": ID, "totalRequest": 3}, {"_id": 2, "owner": "ada"}])
    client = example.create_app().test_client()
    assert client.post("/api/login", json={"name": "ada", "password": "wrong"}).status_code == 401
    token = client.post("/api/login", json={"name": "ada", "password": "secret"}).json["token"]
    body = client.get("/api/usage", headers={"Authorization": f"Bearer {token}"}).json
    assert body == {"success": True, "totalRequests": 3, "projectStats": [{"_id": 1, "totalRequest": 3}]}


def test_count_requests(example, database):
    """Requests of a project are added to its count and to its history, and no others."""
    database.projects.insert_many(
        [{"_id": ID, "owner": "ada", "domain": "blog.example", "page": "Hello"}, {"_id": 2, "owner": "ada"}]
    )
    app = example.create_app()
    client = app.test_client()
    for path in ("/sites/blog.example", "/sites/blog.example", "/sites/other.example"):
        client.get(path)
    get_usage(app, "ada")
    assert app.extensions["usage_recorder"].close()
    assert [row["totalRequest"] for row in get_usage(app, "ada")["projectStats"]] == [2, 0]
    assert get_usage(app, "ada", "/history")["totalRequests"] == 2


def test_platform_view(example, database):
    """Only operators see the usage of all owners, and everybody sees the own projects."""
    database.users.insert_many([{"_id": "ada", "role": "operator"}, {"_id": "bob", "role": "user"}])
    database.projects.insert_many([{"owner": "ada", "totalRequest": 1}, {"owner": "bob", "totalRequest": 2}])
    app = example.create_app()
    body = get_usage(app, "ada", "/platform?groupBy=owner")
    assert [(group["owner"], group["totalRequests"]) for group in body["groups"]] == [("bob", 2), ("ada", 1)]
    assert get_usage(app, "bob", "/platform") == {"success": False, "message": "Not allowed"}
    assert app.test_client().get("/api/usage/platform").status_code == 401
    assert get_usage(app, "bob")["totalRequests"] == 2
    database.users.update_one({"_id": "ada"}, {"$set": {"role": "user"}})
    assert get_usage(app, "ada", "/platform") == {"success": False, "message": "Not allowed"}


def test_api_key(example, database):
    """Only a complete key is accepted, and the database does not contain the secret."""
    database.projects.insert_one({"_id": 1, "owner": "ada"})
    client = example.create_app().test_client()
    key = example.create_key(database, "ada")
    key_id, secret = key.split(".")
    assert client.get("/api/usage", headers={"X-Api-Key": key}).json["projectStats"][0]["_id"] == 1
    for wrong in ("", "x", key_id, f"{key_id}.", f"{key_id}.{secret}x", f"x.{secret}", "."):
        assert client.get("/api/usage", headers={"X-Api-Key": wrong}).status_code == 401
    assert secret not in str(database.api_keys.find_one())


def test_session_login(example, database):
    """The session's user gets the projects until logging out."""
    database.users.insert_one({"_id": ID, "name": "ada", "password": generate_password_hash("secret")})
    database.projects.insert_one({"_id": 1, "owner": ID})
    client = example.create_app().test_client()
    assert client.get("/api/usage").status_code == 401
    assert client.post("/login", data={"name": "ada", "password": "wrong"}).status_code == 401
    client.post("/login", data={"name": "ada", "password": "secret"})
    assert client.get("/api/usage").json["projectStats"][0]["_id"] == 1
    client.post("/logout")
    assert client.get("/api/usage").status_code == 401


def test_usage_page(example, database):
    """A user who logs in sees the requests of the projects in a page, and nobody else does."""
    database.users.insert_one({"_id": ID, "name": "ada", "password": generate_password_hash("secret")})
    database.projects.insert_one({"_id": 1, "owner": ID, "domain": "blog.example", "page": "Hello"})
    app = example.create_app()
    client = app.test_client()
    assert client.get("/sites/blog.example").text == "Hello"
    assert app.extensions["usage_recorder"].close()
    assert client.get("/api/usage").status_code == 401
    assert "/login" in client.get("/").text
    assert "<form" in client.get("/login").text
    assert client.post("/login", data={"name": "ada", "password": "wrong"}).status_code == 401
    assert client.post("/login", data={"name": "ada", "password": "secret"}).location == "/"
    assert client.get("/api/usage").json["totalRequests"] == 1
    assert client.get("/api/usage/history").json["totalRequests"] == 1
    assert client.get("/sites/other.example").status_code == 404
    assert client.get("/api/usage/usage-stats.js").status_code == 200


def test_existing_schema(example, database):
    """Only members of a team get its projects, with the field names of the response."""
    database.teams.insert_one({"_id": "red", "members": ["ada", "bob"]})
    database.apps.insert_many(
        [
            {
                "_id": 1,
                "team": "red",
                "title": "blog",
                "kind": "node",
                "billing": {"plan": "pro"},
                "stats": {"hits": 9},
            },
            {"_id": 2, "team": "red", "state": "archived"},
            {"_id": 3, "team": "blue"},
        ]
    )
    app = example.create_app()
    row = {"_id": 1, "name": "blog", "projectType": "node", "plan": "pro", "totalRequest": 9}
    assert get_usage(app, "bob")["projectStats"] == [row]
    assert get_usage(app, "eve")["projectStats"] == []
    app.test_cli_runner().invoke(args=["create-indexes"])
    assert "team_1" in database.apps.index_information()


def test_app_factory(example, database):
    """The collection is looked up through the application that handles the request."""
    database.projects.insert_one({"_id": 1, "owner": "ada"})
    app = example.create_app()
    assert get_usage(app, "ada")["projectStats"] == [{"_id": 1, "totalRequest": 0}]
    assert app.test_cli_runner().invoke(args=["create-indexes"]).output == "usage_stats_owner\n"


def test_other_store(example, tmp_path):
    """A store on another database returns the same kind of response."""
    app = example.create_app()
    with sqlite3.connect(tmp_path / "platform.sqlite") as connection:
        connection.executemany(
            "INSERT INTO project (owner, name, status, requests, updated) VALUES (?, ?, ?, ?, ?)",
            [
                ("ada", "blog", "live", 2, "2024-03-08T11:20:00.000Z"),
                ("ada", "shop", None, 5, None),
                ("ada", "old", "deleted", 9, None),
                ("bob", "other", "live", 1, None),
            ],
        )
    connection.close()
    body = get_usage(app, "ada")
    assert body["totalRequests"] == 7
    assert [(row["_id"], row["name"], row["updatedAt"]) for row in body["projectStats"]] == [
        (2, "shop", None),
        (1, "blog", "2024-03-08T11:20:00.000Z"),
    ]
