"""The index on the owner's path."""

import pytest
from bson import ObjectId
from pymongo import MongoClient

from flask_usage_stats import ConfigurationError, ProjectStore, StoreError

ID = ObjectId("507f1f77bcf86cd799439011")
SERVING = [
    [("owner", 1)],
    [("owner", -1)],
    [("owner", "hashed")],
    [("owner", 1), ("_id", 1)],
    [("owner", -1), ("_id", -1)],
]


def explain(sent_commands, projects, owner="ada"):
    """Return the server's plan for the query that a read sends."""
    command = next(command for command in sent_commands(owner=owner) if "find" in command)
    find = {key: command[key] for key in ("find", "filter", "projection", "collation", "hint")}
    return projects.database.command("explain", find, verbosity="executionStats")


@pytest.mark.parametrize("owner", ["ada", str(ID), ID, 7])
def test_the_query_uses_the_index(sent_commands, projects, owner):
    """The server examines only the owner's documents, through the index."""
    stored = ID if owner == str(ID) else owner
    projects.insert_many([{"owner": stored} for _ in range(5)] + [{"owner": index} for index in range(100, 200)])
    name = ProjectStore(projects).ensure_indexes()
    plan = explain(sent_commands, projects, owner)
    assert plan["queryPlanner"]["winningPlan"]["inputStage"]["inputStage"]["indexName"] == name
    assert plan["executionStats"]["totalDocsExamined"] == 5


def test_the_query_uses_the_index_despite_a_collation(database, sent_commands):
    """The query uses the index even if the collection has a default collation."""
    projects = database.create_collection("projects", collation={"locale": "en", "strength": 1})
    projects.create_index("owner")
    projects.insert_many([{"owner": "ada"}, {"owner": "ADA"}, {"owner": "bob"}])
    assert ProjectStore(projects).ensure_indexes() == "usage_stats_owner"
    assert explain(sent_commands, projects)["executionStats"]["totalDocsExamined"] == 1


@pytest.mark.parametrize("keys", SERVING, ids=str)
def test_no_index_is_created_if_one_serves(projects, keys):
    """An index on the owner's path serves in either direction, hashed, or with ``_id``."""
    name = projects.create_index(keys)
    assert ProjectStore(projects).ensure_indexes() == name
    assert len(projects.index_information()) == 2


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ("owner", {"sparse": True}),
        ("owner", {"partialFilterExpression": {"plan": "pro"}}),
        ("owner", {"collation": {"locale": "en"}}),
        ([("name", 1), ("owner", 1)], {}),
        ([("owner", "text")], {}),
        ([("owner", "2dsphere")], {}),
        ([("owner", 1), ("name", 1)], {}),
        ([("owner", 1), ("updatedAt", -1)], {}),
        ([("owner", 1), ("_id", 1), ("name", 1)], {}),
        ([("owner", 1), ("_id", "hashed")], {}),
        ([("_id", 1), ("owner", 1)], {}),
        ([("$**", 1)], {}),
    ],
    ids=str,
)
def test_other_indexes_do_not_serve(projects, keys, options):
    """An index is created even if there is one that is partial, collated, or has other paths or kinds of keys."""
    projects.create_index(keys, **options)
    assert ProjectStore(projects).ensure_indexes() == "usage_stats_owner"


def test_a_full_index_is_found_among_others(projects):
    """The index that covers the owner's path does not have to be the first one."""
    projects.create_index("name")
    assert projects.create_index("owner") == ProjectStore(projects).ensure_indexes()


def test_a_conflicting_index_is_reported(projects):
    """If a conflicting index prevents the creation, the error says so."""
    projects.create_index("owner", name="usage_stats_owner", sparse=True)
    with pytest.raises(StoreError, match="already exists but cannot be used"):
        ProjectStore(projects).ensure_indexes()


@pytest.mark.parametrize("keys", SERVING, ids=str)
def test_a_hidden_index_is_not_duplicated(projects, keys):
    """If the index exists but is hidden, the error says to unhide or drop it."""
    name = projects.create_index(keys, hidden=True)
    with pytest.raises(StoreError, match=rf"the index '{name}' is hidden, so reads cannot use it: unhide or drop it"):
        ProjectStore(projects).ensure_indexes()


def test_the_index_is_on_the_mapped_path(projects):
    """The index is created on the path where the owner is stored."""
    assert ProjectStore(projects, fields={"owner": "meta.user"}).ensure_indexes() == "usage_stats_meta.user"


def test_owner_filter_needs_its_own_index(projects):
    """With *owner_filter* the paths to index are unknown, and the error says what to do."""
    with pytest.raises(ConfigurationError, match=r'db\.projects\.create_index\("team"\)'):
        ProjectStore(projects, owner_filter=lambda _: {"team": 1}).ensure_indexes()


def test_a_failure_of_the_database_is_a_store_error(projects):
    """A server that does not respond or rejects the command raises StoreError."""
    with (
        MongoClient("mongodb://127.0.0.1:9", serverSelectionTimeoutMS=50) as client,
        pytest.raises(
            StoreError, match=r"the index could not be created: ServerSelectionTimeoutError: .*127\.0\.0\.1:9"
        ),
    ):
        ProjectStore(client.platform.projects).ensure_indexes()
    view = projects.database.create_collection("view", viewOn="projects")
    with pytest.raises(StoreError, match="the index could not be created: OperationFailure 166"):
        ProjectStore(view).ensure_indexes()
