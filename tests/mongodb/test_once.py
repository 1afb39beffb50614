"""Every project is returned exactly once, even if projects are updated during the read."""

import logging
from datetime import datetime
from struct import pack
from time import monotonic, sleep

import pytest
from bson import Binary, Code, DBRef, encode
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, monitoring
from pymongo.errors import OperationFailure

from flask_usage_stats import ProjectStore, StoreError
from flask_usage_stats._core.hourly import HourlyLimit
from flask_usage_stats._mongodb import project_reading

COUNT = 2500  # two batches
#: Paths that are updated during the read, each with a value before and after all others.
MOVES = {"updatedAt": (-1, COUNT), "totalRequest": (-1, COUNT), "name": ("", "z"), "status": ("", "z")}
WARNING = "no index on (owner): a project updated during the read can be missed; run flask usage ensure-indexes"


class Commands(monitoring.CommandListener):
    def __init__(self):
        self.sent = []

    def started(self, event):
        self.sent.append(event.command)

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass

    def names(self):
        """Return the names of the commands since the last call, without those of connections."""
        names = [next(iter(command)) for command in self.sent]
        self.sent.clear()
        return [name for name in names if name not in ("endSessions", "hello", "ping")]


@pytest.fixture
def commands():
    return Commands()


@pytest.fixture
def recorded(mongodb_uri, projects, commands):
    """Return the collection through a client whose commands are recorded."""
    with MongoClient(mongodb_uri, event_listeners=[commands], appname="once") as client:
        yield client[projects.database.name][projects.name]


@pytest.fixture
def warnings(monkeypatch, caplog):
    """Allow the warning about a missing index to be logged again."""
    monkeypatch.setattr(project_reading, "WARNING_LIMIT", HourlyLimit())
    caplog.set_level(logging.WARNING, "flask_usage_stats")
    return caplog


@pytest.fixture
def failing(projects):
    """Return a function that makes a command of the recorded client fail."""
    admin = projects.database.client.admin

    def arm(command, code, mode="alwaysOn"):
        data = {"failCommands": [command], "errorCode": code, "appName": "once"}
        try:
            admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
        except OperationFailure as error:
            pytest.skip(f"the server has no fail points: {error.code}")

    yield arm
    admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def fill(projects):
    projects.insert_many(
        [
            {"_id": n, "owner": "ada", "name": f"n{n:05}", "status": f"n{n:05}", "totalRequest": n, "updatedAt": n}
            for n in range(COUNT)
        ]
    )


def read_while_updating(projects, store, path):
    """Read a batch, move one project that was read and one that was not to the other end, and read on."""
    batches = store.iter_projects("ada").batches
    first = [document["_id"] for document in next(batches)]
    unread = next(number for number in range(COUNT) if number not in set(first))
    low, high = MOVES[path]
    was_ascending = first[0] < first[-1]
    projects.update_one({"_id": unread}, {"$set": {path: low if was_ascending else high}})
    projects.update_one({"_id": first[-1]}, {"$set": {path: high if was_ascending else low}})
    return first + [document["_id"] for batch in batches for document in batch]


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("path", MOVES)
@pytest.mark.parametrize("serving", [[("owner", 1)], [("owner", 1), ("_id", 1)], [("owner", "hashed")]], ids=str)
@pytest.mark.parametrize("is_first", [True, False], ids=["serving-first", "serving-last"])
def test_an_update_neither_hides_nor_repeats_a_project(projects, direction, path, serving, is_first):
    """The query uses the index on the owner, even if the server would prefer a longer one."""
    fill(projects)
    keys = [serving, [("owner", 1), (path, direction)]]
    for key in keys if is_first else reversed(keys):
        projects.create_index(key)
    found = read_while_updating(projects, ProjectStore(projects), path)
    assert sorted(found) == list(range(COUNT))


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("path", MOVES)
def test_without_the_index_no_project_is_repeated(projects, direction, path, warnings):
    """If the server uses a longer index, a project can be missed, which is logged, but is never returned twice."""
    fill(projects)
    projects.create_index([("owner", 1), (path, direction)])
    found = read_while_updating(projects, ProjectStore(projects), path)
    assert len(set(found)) == len(found) >= COUNT - 1
    assert warnings.messages == [WARNING]


def test_owner_filter_repeats_no_project(projects, warnings):
    """With *owner_filter*, no project is returned twice, and nothing is logged because the index is unknown."""
    fill(projects)
    projects.create_index([("owner", 1), ("updatedAt", 1)])
    store = ProjectStore(projects, owner_filter=lambda owner: {"owner": {"$eq": owner}})
    found = read_while_updating(projects, store, "updatedAt")
    assert len(set(found)) == len(found) >= COUNT - 1
    assert not warnings.messages


def test_the_warning_is_logged_once_an_hour(projects, warnings, monkeypatch):
    """The warning is logged once an hour per process, not per collection."""
    now = [10.0]
    monkeypatch.setattr("flask_usage_stats._core.hourly.monotonic", lambda: now[0])
    for now[0], count in ((10.0, 1), (3609.0, 1), (3610.0, 2)):
        list(ProjectStore(projects).iter_projects("ada"))
        assert warnings.messages == [WARNING] * count


def test_the_warning_has_the_path_of_the_owner(projects, warnings):
    """The warning has the path at which the owner is stored."""
    list(ProjectStore(projects, fields={"owner": "meta.user"}).iter_projects("ada"))
    assert warnings.messages == [WARNING.replace("(owner)", "(meta.user)")]


def test_indexes_are_listed_only_by_the_first_read(recorded, commands):
    """Only the first read lists the indexes; later reads are a single round trip."""
    store = ProjectStore(recorded)
    store.ensure_indexes()
    recorded.insert_one({"_id": 1, "owner": "ada"})
    commands.names()
    for expected in (["listIndexes", "find"], ["find"], ["find"]):
        assert [document["_id"] for document in store.iter_projects("ada")] == [1]
        assert commands.names() == expected


def test_an_index_that_was_dropped_is_forgotten(recorded, commands):
    """If the index was dropped, the query is sent again without the hint, and the next read lists the indexes."""
    store = ProjectStore(recorded)
    name = store.ensure_indexes()
    recorded.insert_one({"_id": 1, "owner": "ada"})
    list(store.iter_projects("ada"))
    recorded.drop_index(name)
    commands.names()
    for expected in (["find", "find"], ["listIndexes", "find"], ["find"]):
        assert [document["_id"] for document in store.iter_projects("ada")] == [1]
        assert commands.names() == expected


@pytest.mark.parametrize("options", [{"hidden": True}, {"sparse": True}, {"partialFilterExpression": {"plan": "pro"}}])
def test_other_indexes_are_never_used_by_the_hint(projects, options, warnings):
    """The hint never names an index that does not cover every project."""
    projects.create_index("owner", **options)
    projects.insert_many([{"_id": 1, "owner": "ada"}, {"_id": 2, "owner": "ada", "plan": "pro"}])
    assert sorted(document["_id"] for document in ProjectStore(projects).iter_projects("ada")) == [1, 2]
    assert warnings.messages == [WARNING]


def test_ensure_indexes_takes_effect_at_once(recorded, commands):
    """The next read after ``ensure_indexes`` lists the indexes again."""
    store = ProjectStore(recorded)
    list(store.iter_projects("ada"))
    name = store.ensure_indexes()
    commands.names()
    list(store.iter_projects("ada"))
    find = commands.sent[-1]
    assert (commands.names(), find["hint"]) == (["listIndexes", "find"], name)


def test_a_view_is_read_without_a_hint(recorded, commands, warnings):
    """A view has no indexes, which is remembered and not logged; its documents may have no ``_id``."""
    recorded.insert_many([{"_id": n, "owner": "ada", "name": "blog"} for n in range(3)])
    view = recorded.database.create_collection("view", viewOn=recorded.name, pipeline=[{"$project": {"_id": 0}}])
    store = ProjectStore(view)
    commands.names()
    for expected in (["listIndexes", "find"], ["find"]):
        assert list(store.iter_projects("ada")) == [{"name": "blog"}] * 3
        assert commands.names() == expected
    assert not warnings.messages


def test_listing_may_be_refused(recorded, commands, failing, warnings):
    """If the user is not allowed to list indexes, the query has no hint, and nothing is logged."""
    recorded.insert_one({"_id": 1, "owner": "ada"})
    failing("listIndexes", 13)
    store = ProjectStore(recorded)
    commands.names()
    for expected in (["listIndexes", "find"], ["find"]):
        assert [document["_id"] for document in store.iter_projects("ada")] == [1]
        assert commands.names() == expected
    assert not warnings.messages


def test_a_server_without_collations(recorded, commands, failing):
    """If the server has no collations, the query is sent again without one, as are later queries."""
    recorded.insert_one({"_id": 1, "owner": "ada"})
    store = ProjectStore(recorded)
    store.ensure_indexes()
    list(store.iter_projects("ada"))
    commands.names()
    failing("find", 115, {"times": 1})
    for expected in (["find", "find"], ["find"]):
        assert [document["_id"] for document in store.iter_projects("ada")] == [1]
        assert "collation" not in commands.sent[-1]
        assert commands.names() == expected


def test_a_server_without_collations_has_indexes(recorded, commands, failing):
    """If the server has no collations, the index is created without one."""
    failing("createIndexes", 115, {"times": 1})
    assert ProjectStore(recorded).ensure_indexes() == "usage_stats_owner"
    assert "collation" not in commands.sent[-1]["indexes"][0]


def test_a_view_with_a_collation_has_a_message(projects):
    """A view with a collation raises an error, because owners cannot be compared exactly."""
    view = projects.database.create_collection("view", viewOn=projects.name, pipeline=[], collation={"locale": "en"})
    with pytest.raises(StoreError, match="pass the underlying collection, or recreate the view without a collation"):
        list(ProjectStore(view).iter_projects("ada"))


def damaged(_id, name="plan"):
    """Build a document of ada's with a binary value that the driver cannot decode."""
    document = encode({"_id": _id, "owner": "ada", "totalRequest": 1})
    raw = b"\5" + name.encode() + b"\0" + pack("<i", 2) + b"\2ab"
    return RawBSONDocument(pack("<i", len(document) + len(raw)) + document[4:-1] + raw + b"\0")


def idle_cursors(projects):
    """Return the open cursors of the collection."""
    stages = [{"$currentOp": {"idleCursors": True}}, {"$match": {"type": "idleCursor", "ns": projects.full_name}}]
    return list(projects.database.client.admin.aggregate(stages))


def test_no_cursor_is_left_after_a_timeout_between_batches(projects, mongodb_uri, failing, commands):
    """A timeout leaves no cursor open, although the driver does not close the cursor of a failed connection."""
    fill(projects)
    ProjectStore(projects).ensure_indexes()
    data = {"failCommands": ["getMore"], "blockConnection": True, "blockTimeMS": 1500, "appName": "slow"}
    with MongoClient(mongodb_uri, appname="slow", event_listeners=[commands]) as client:
        batches = ProjectStore(client[projects.database.name].projects, timeout=0.5).iter_projects("ada").batches
        next(batches)
        assert len(idle_cursors(projects)) == 1
        admin = projects.database.client.admin
        admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data})
        began = monotonic()
        with pytest.raises(StoreError, match="the projects could not be read: NetworkTimeout"):
            next(batches)
        assert monotonic() - began < 0.9
        while "killCursors" not in commands.names():
            assert monotonic() - began < 10
            sleep(0.05)
    while idle_cursors(projects):
        assert monotonic() - began < 10
        sleep(0.05)


@pytest.mark.parametrize("has_index", [True, False])
@pytest.mark.parametrize(
    "ids",
    [
        ["f()", Code("f()"), Code("f()", {"a": 1})],
        [Binary(b"a", 8), Binary(b"b", 8), Binary(b"a", 9)],
        [1, True, "1"],
        [
            {"a": 1},
            {"a": True},
            {"a": [1]},
            {"a": [True]},
            {"a": [b"x", Binary(b"x", 7)]},
            {"a": [b"y", Binary(b"x", 7)]},
        ],
        [DBRef("a", Binary(b"x", 8)), DBRef("a", Binary(b"y", 8)), {"$ref": "b", "$id": 1}],
        [Binary(b"\xffx", 200), Binary(b"\xffx", 128), b"\xffx", datetime(2024, 1, 1), 1704067200000],
    ],
    ids=["code", "binary", "numbers", "nested", "references", "odd"],
)
def test_ids_that_look_alike_are_different_projects(projects, has_index, ids):
    """Only the same ``_id`` is the same project, also if others are returned as the same text."""
    if has_index:
        ProjectStore(projects).ensure_indexes()
    projects.insert_many([{"_id": _id, "owner": "ada", "totalRequest": 1} for _id in ids])
    for options in ({}, {"owner_filter": lambda owner: {"owner": {"$eq": owner}}}):
        assert len(list(ProjectStore(projects, **options).iter_projects("ada"))) == len(ids)


@pytest.mark.parametrize(
    "options", [{}, {"owner_filter": lambda owner: {"owner": {"$eq": owner}}}], ids=["own", "filter"]
)
def test_a_view_may_repeat_ids(projects, options):
    """The documents of a view are not stored, so each of them is a project."""
    projects.insert_one({"_id": 1, "owner": "ada", "sites": [{"n": 5}, {"n": 7}]})
    view = projects.database.create_collection("view", viewOn=projects.name, pipeline=[{"$unwind": "$sites"}])
    store = ProjectStore(view, fields={"totalRequest": "sites.n"}, **options)
    assert [document["totalRequest"] for document in store.iter_projects("ada")] == [5, 7]


@pytest.mark.parametrize("stage", [{"$project": {"_id": 0}}, {"$set": {"_id": 1}}], ids=["no-id", "one-id"])
def test_a_damaged_view_is_an_error_once_projects_were_read(projects, stage):
    """Without ids of its own a read cannot be resumed, and no project may be lost or returned twice."""
    projects.insert_many([{"_id": n, "owner": "ada", "totalRequest": 1} for n in range(2100)])
    view = projects.database.create_collection("view", viewOn=projects.name, pipeline=[stage])
    assert len(list(ProjectStore(view).iter_projects("ada"))) == 2100
    projects.insert_one(damaged(9999))
    with pytest.raises(StoreError, match="the projects could not be read: InvalidBSON"):
        list(ProjectStore(view).iter_projects("ada"))
    projects.delete_many({"_id": {"$lt": 2000}})
    assert len(list(ProjectStore(view).iter_projects("ada"))) == 101


def test_mapped_ids_are_kept_next_to_a_damaged_value(projects):
    """An id is never replaced; one that cannot be decoded is an error, as a damaged ``_id`` is."""
    pids = [{"x": 1}, {"x": 2}, b"abc"]
    projects.insert_many([{"_id": n, "owner": "ada", "pid": pid} for n, pid in enumerate(pids)])
    projects.insert_one(damaged(9))
    store = ProjectStore(projects, fields={"_id": "pid"})
    assert [document["_id"] for document in store.iter_projects("ada") if "_id" in document] == pids
    projects.insert_one(damaged(10, name="pid"))
    with pytest.raises(StoreError, match="the projects could not be read: InvalidBSON"):
        list(store.iter_projects("ada"))
