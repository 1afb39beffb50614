"""Hosts are looked up in the documents of projects, however they are spelt there."""

import pytest
from bson import ObjectId
from support import fail_point

from flask_usage_stats import ProjectStore, StoreError
from flask_usage_stats._mongodb import host_lookup
from flask_usage_stats._mongodb.host_lookup import CASE_INSENSITIVE, HostLookup


def lookup(projects, path="domains", **options):
    return HostLookup(ProjectStore(projects, **options), path, 5)


@pytest.mark.parametrize(
    ("host", "stored"),
    [
        ("blog.example", "Blog.EXAMPLE."),
        ("blog.example", ["www.blog.example", "BLOG.example"]),
        ("bücher.example", "BÜCHER.example"),
        ("bücher.example", "bu\u0308cher.example"),
        ("bücher.example", ["XN--BCHER-KVA.example."]),
        ("2001:db8::1", "[2001:DB8::1]"),
        ("2001:db8::1", "2001:0db8:0000:0000:0000:0000:0000:0001"),
        ("127.0.0.1", ["127.0.0.1"]),
    ],
)
def test_stored_spellings(database, host, stored):
    """The case of letters, the last dot, the encoding and brackets do not matter."""
    database.projects.insert_one({"_id": "blog", "domains": stored})
    assert lookup(database.projects).find([host]) == {host: "blog"}


@pytest.mark.parametrize("stored", [None, 7, "", "blog.example:x", {"name": "blog.example"}, ["blog.example2"], [None]])
def test_other_values(any_projects, stored):
    """Other values are no hosts."""
    any_projects.insert_one({"_id": "blog", "domains": stored})
    assert lookup(any_projects).find(["blog.example"]) == {}


@pytest.mark.parametrize(
    "document", [{"edge": {"hosts": ["blog.example"]}}, {"edge": [{"hosts": "x.example"}, {"hosts": "blog.example"}]}]
)
def test_paths(any_projects, document):
    """The path may be nested, and any part of it may be an array."""
    any_projects.insert_one({"_id": "blog"} | document)
    assert lookup(any_projects, "edge.hosts").find(["blog.example"]) == {"blog.example": "blog"}


def test_a_host_of_two_projects(any_projects):
    """It is unknown, but not if one of them is deleted, nor if a project has it twice."""
    any_projects.insert_many(
        [
            {"_id": 1, "domains": ["a.example", "b.example"]},
            {"_id": 2, "domains": ["a.example", "c.example", "C.example"]},
            {"_id": 3, "domains": ["b.example", "d.example"], "status": "deleted"},
            {"_id": 4, "domains": ["e.example"], "status": "Deleted"},
        ]
    )
    hosts = [f"{letter}.example" for letter in "abcde"]
    assert lookup(any_projects).find(hosts) == {"b.example": 1, "c.example": 2, "e.example": 4}
    every = lookup(any_projects, excluded_statuses=()).find(hosts)
    assert every == {"c.example": 2, "d.example": 3, "e.example": 4}


def test_mapped_id(any_projects):
    """The id of a project is at the path of the store; values that cannot be ids are ignored."""
    any_projects.insert_many(
        [{"_id": ObjectId(), "key": "blog", "domains": "a.example"}, {"_id": 2, "key": [1], "domains": "b.example"}]
    )
    assert lookup(any_projects, fields={"_id": "key"}).find(["a.example", "b.example"]) == {"a.example": "blog"}


def test_found_hosts_are_looked_up_again(any_projects, monkeypatch):
    """After a minute, a host may belong to another project; until then, nothing is read."""
    now = [0.0]
    monkeypatch.setattr(host_lookup, "monotonic", lambda: now[0])
    any_projects.insert_one({"_id": 1, "domains": "a.example"})
    hosts = lookup(any_projects)
    assert hosts.find(["a.example", "b.example"]) == {"a.example": 1}
    any_projects.update_one({"_id": 1}, {"$set": {"domains": "b.example"}})
    now[0] = 59.0
    assert hosts.find(["a.example", "b.example"]) == {"a.example": 1}
    now[0] = 61.0
    assert hosts.find(["a.example", "b.example"]) == {"b.example": 1}


def test_the_cache_has_a_bound(any_projects, monkeypatch):
    """Any number of unknown hosts takes no more memory."""
    monkeypatch.setattr(host_lookup, "_MAX_CACHED", 10)
    any_projects.insert_one({"_id": 1, "domains": "h3.example"})
    hosts = lookup(any_projects)
    for number in range(50):
        assert hosts.find([f"h{number}.example", "h3.example"])["h3.example"] == 1
        assert len(hosts._cache) <= 10


def test_many_hosts(database, monkeypatch):
    """They are looked up in several queries."""
    monkeypatch.setattr(host_lookup, "_BATCH_SIZE", 7)
    database.projects.insert_many({"_id": number, "domains": f"h{number}.example"} for number in range(20))
    found = lookup(database.projects).find(f"h{number}.example" for number in range(30))
    assert found == {f"h{number}.example": number for number in range(20)}


def test_an_index_serves(database):
    """An index with this collation is used."""
    database.projects.create_index("domains", collation=CASE_INSENSITIVE)
    query = database.projects.find({"domains": {"$in": ["a.example", "b.example"]}}, collation=CASE_INSENSITIVE)
    assert "IXSCAN" in str(query.explain()["queryPlanner"]["winningPlan"])


def test_a_failure(mongo_client, database):
    """An error of the database is a StoreError without the driver's text."""
    failing = fail_point(mongo_client, failCommands=["find"], errorCode=9)
    with (
        failing,
        pytest.raises(StoreError, match=r"the hosts could not be looked up: OperationFailure 9 FailedToParse$"),
    ):
        lookup(database.projects).find(["a.example"])


@pytest.mark.parametrize("code", [115, 303])
def test_servers_without_collations(mongo_client, database, code):
    """Without collations, the case of a stored host matters, but hosts are found."""
    database.projects.insert_one({"_id": 1, "domains": ["a.example", "B.example"]})
    with fail_point(mongo_client, failCommands=["find"], errorCode=code, mode={"times": 1}):
        assert lookup(database.projects).find(["a.example", "b.example"]) == {"a.example": 1, "b.example": 1}
