"""ProjectStore: the contract of a store on both databases, and the validation of its arguments."""

import inspect
import math
from datetime import UTC, datetime
from uuid import UUID

import gridfs
import mongomock
import pytest
from bson import Binary, ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient, MongoClient

from flask_usage_stats import ConfigurationError, ProjectStore

NOON = datetime(2024, 3, 14, 12, tzinfo=UTC)
WIDE_7 = "\N{FULLWIDTH DIGIT SEVEN}"
ID = ObjectId("507f1f77bcf86cd799439011")


def ids(store, owner="ada"):
    return sorted(project["_id"] for project in store.iter_projects(owner))


class TestContract:
    """The rules that hold on every database with PyMongo's interface."""

    def test_a_project_has_the_response_fields_only(self, any_projects):
        """A project has the response fields and no others, and its dates are naive UTC."""
        stored = {"_id": 1, "name": "blog", "status": "live", "totalRequest": 3, "updatedAt": NOON}
        any_projects.insert_one(stored | {"owner": "ada", "settings": {"secret": 1}})
        (project,) = ProjectStore(any_projects).iter_projects("ada")
        assert project == stored | {"updatedAt": NOON.replace(tzinfo=None)}

    def test_an_owner_alone_or_in_an_array_matches(self, any_projects):
        """A project matches if its owner is the id or an array with the id, and its status is not excluded."""
        any_projects.insert_many(
            [
                {"_id": 1, "owner": "ada"},
                {"_id": 2, "owner": ["bob", "ada"], "status": None},
                {"_id": 3, "owner": "bob"},
                {"_id": 4, "owner": "ada", "status": "deleted"},
                {"_id": 5},
                {"_id": 6, "owner": "ada", "status": "Deleted"},
                {"_id": 7, "owner": "ada", "status": ["deleted"]},
            ]
        )
        assert ids(ProjectStore(any_projects)) == [1, 2, 6, 7]

    @pytest.mark.parametrize(
        ("excluded", "found"), [((), [1, 2, 3]), (("gone", "Deleted"), [1]), (["Deleted"], [1, 3])]
    )
    def test_projects_with_an_excluded_status_are_left_out(self, any_projects, excluded, found):
        """Only projects with exactly one of the given statuses are left out."""
        any_projects.insert_many(
            [
                {"_id": 1, "owner": "ada", "status": "deleted"},
                {"_id": 2, "owner": "ada", "status": "Deleted"},
                {"_id": 3, "owner": "ada", "status": "gone"},
            ]
        )
        assert ids(ProjectStore(any_projects, excluded_statuses=excluded)) == found

    def test_mapped_fields_have_the_response_names(self, any_projects):
        """Fields stored at other paths, including nested ones, are returned with the response names."""
        any_projects.insert_many(
            [
                {"_id": 1, "user_id": "ada", "stats": {"hits": 5, "secret": 1}, "plan": {"name": "pro"}, "state": {}},
                {"_id": 2, "user_id": "ada", "stats": 7, "plan": [{"name": "pro"}], "totalRequest": 9},
                {"_id": 3, "user_id": "ada", "state": {"is": "deleted"}},
                {"_id": 4, "user_id": "ada", "state": [{"is": "deleted"}]},
                {"_id": 5, "owner": "ada"},
            ]
        )
        paths = {"owner": "user_id", "totalRequest": "stats.hits", "plan": "plan.name", "status": "state.is"}
        found = sorted(ProjectStore(any_projects, fields=paths).iter_projects("ada"), key=lambda row: row["_id"])
        assert found == [
            {"_id": 1, "totalRequest": 5, "plan": "pro"},
            {"_id": 2, "plan": [{"name": "pro"}]},
            {"_id": 4, "status": [{"is": "deleted"}]},
        ]

    @pytest.mark.parametrize("path", ["slug", "_id.slug"])
    def test_the_id_can_be_stored_at_another_path(self, any_projects, path):
        """``_id`` can be mapped like any other field."""
        any_projects.insert_one({"_id": {"slug": "blog", "n": 1}, "slug": "blog", "owner": "ada"})
        assert list(ProjectStore(any_projects, fields={"_id": path}).iter_projects("ada")) == [{"_id": "blog"}]

    def test_owner_filter_replaces_the_owner_path(self, any_projects):
        """With *owner_filter*, its filter decides which projects match."""
        any_projects.insert_many(
            [{"_id": 1, "team": "red"}, {"_id": 2, "team": "blue"}, {"_id": 3, "team": "red", "status": "deleted"}]
        )
        store = ProjectStore(any_projects, owner_filter=lambda owner: {"team": {"$in": [owner, "green"]}})
        assert ids(store, "red") == [1]

    @pytest.mark.parametrize(
        ("result", "got"),
        [({}, "an empty dict"), (None, "NoneType"), ([], "list"), ([("team", "red")], "list"), ("red", "str")],
    )
    def test_owner_filter_must_return_a_non_empty_dict(self, any_projects, result, got):
        """A filter that would match the projects of all owners is rejected."""
        with pytest.raises(ConfigurationError, match=f"must return a non-empty dict, got {got}: an empty filter"):
            ids(ProjectStore(any_projects, owner_filter=lambda _: result))

    @pytest.mark.parametrize(
        ("owner_type", "owner", "stored"),
        [
            (int, "7", 7),
            (int, "-7", -7),
            (int, "0", 0),
            (int, "9223372036854775807", 2**63 - 1),
            (str, str(ID), str(ID)),
            (ObjectId, str(ID), ID),
            (ObjectId, str(ID).upper(), ID),
            (int, 7, 7),
            (UUID, 7, 7),
        ],
    )
    def test_a_string_is_converted_to_the_owner_type(self, any_projects, owner_type, owner, stored):
        """A string is converted to the type in which owners are stored; an owner of another type is not."""
        any_projects.insert_one({"_id": 1, "owner": stored})
        assert ids(ProjectStore(any_projects, owner_type=owner_type), owner) == [1]

    @pytest.mark.parametrize("owner", ["00112233-4455-6677-8899-aabbccddeeff", "00112233445566778899AABBCCDDEEFF"])
    def test_a_string_is_converted_to_a_uuid(self, projects, owner):
        """A string is converted to a UUID (only on MongoDB, as mongomock cannot store one)."""
        projects.insert_one({"_id": 1, "owner": Binary.from_uuid(UUID(owner))})
        assert ids(ProjectStore(projects, owner_type=UUID), owner) == [1]

    @pytest.mark.parametrize(
        "owner", ["", "x", "7.0", "07", "+7", "1_0", " 7", "-0", str(2**63), "1" * 5000, WIDE_7, "1" + WIDE_7]
    )
    def test_a_string_that_is_not_a_canonical_integer_matches_nothing(self, any_projects, owner):
        """Only the canonical form of an integer matches, so that two strings are never the same owner."""
        any_projects.insert_many([{"owner": 7}, {"owner": 10}, {"owner": 0}, {"owner": 17}])
        assert ids(ProjectStore(any_projects, owner_type=int), owner) == []

    @pytest.mark.parametrize(
        ("owner_type", "owner"),
        [
            (ObjectId, "x"),
            (ObjectId, "g" * 24),
            (str, ID),
        ],
    )
    def test_a_string_that_cannot_be_converted_matches_nothing(self, any_projects, owner_type, owner):
        """A string that is not a valid form of the owner type matches no projects."""
        any_projects.insert_many([{"owner": 7}, {"owner": 10}, {"owner": 0}, {"owner": str(ID)}])
        assert ids(ProjectStore(any_projects, owner_type=owner_type), owner) == []

    @pytest.mark.parametrize(
        "owner", ["7", "{00112233-4455-6677-8899-aabbccddeeff}", "0011-22334455-6677-8899-aabbccddeeff"]
    )
    def test_a_string_that_is_not_a_uuid_matches_nothing(self, projects, owner):
        """A string that only resembles a UUID matches no projects."""
        projects.insert_one({"owner": Binary.from_uuid(UUID("00112233-4455-6677-8899-aabbccddeeff"))})
        assert ids(ProjectStore(projects, owner_type=UUID), owner) == []

    def test_string_owners_do_not_match_object_ids(self, any_projects):
        """With ``owner_type=str``, 24 hexadecimal digits do not match an ObjectId."""
        any_projects.insert_one({"owner": ID})
        assert ids(ProjectStore(any_projects, owner_type=str), str(ID)) == []

    def test_owner_filter_receives_the_converted_owner(self, any_projects):
        """*owner_filter* receives the owner in the type of *owner_type*."""
        seen = []
        ids(ProjectStore(any_projects, owner_type=int, owner_filter=lambda owner: seen.append(owner) or {"n": 1}), "7")
        assert seen == [7]

    def test_a_path_below_a_scalar_is_missing(self, any_projects):
        """A field whose path continues below a scalar is absent."""
        any_projects.insert_one({"_id": 5, "owner": "ada"})
        assert list(ProjectStore(any_projects, fields={"_id": "_id.slug"}).iter_projects("ada")) == [{}]

    def test_the_owner_can_share_the_path_of_a_response_field(self, any_projects):
        """The owner's path may be the path of a response field."""
        any_projects.insert_one({"_id": 1, "name": "ada"})
        assert ids(ProjectStore(any_projects, fields={"owner": "name"})) == [1]

    def test_a_callable_is_called_once_per_read(self, any_projects):
        """A callable is called once for each read, and not at construction."""
        calls = []
        store = ProjectStore(lambda: calls.append(1) or any_projects)
        assert not calls
        ids(store)
        ids(store)
        assert calls == [1, 1]

    def test_codec_options_of_the_collection_are_not_used(self, any_projects):
        """The collection's own document class and time zone do not affect the projects."""
        if isinstance(any_projects, mongomock.Collection):
            pytest.skip("mongomock does not support other codec options")
        any_projects.insert_one({"_id": 1, "owner": "ada", "updatedAt": NOON})
        customized = any_projects.with_options(
            codec_options=CodecOptions(document_class=RawBSONDocument, tz_aware=True)
        )
        assert list(ProjectStore(customized).iter_projects("ada")) == [
            {"_id": 1, "updatedAt": NOON.replace(tzinfo=None)}
        ]

    def test_more_projects_than_a_batch_are_complete(self, any_projects):
        """All projects are returned if there are more than fit in a batch."""
        any_projects.insert_many([{"_id": index, "owner": "ada"} for index in range(4001)])
        assert ids(ProjectStore(any_projects)) == list(range(4001))

    def test_the_index_is_created_once(self, any_projects):
        """``ensure_indexes`` creates the index once and returns its name."""
        store = ProjectStore(any_projects)
        assert store.ensure_indexes() == store.ensure_indexes() == "usage_stats_owner"
        assert set(any_projects.index_information()) == {"_id_", "usage_stats_owner"}


class TestArguments:
    """Invalid arguments are rejected at construction, with the fix."""

    @pytest.mark.parametrize(
        ("build", "fix"),
        [
            (lambda: MongoClient(connect=False).platform, "got the database 'platform': pass `db.projects`"),
            (lambda: MongoClient(connect=False), "pass `client.platform.projects`"),
            (lambda: AsyncMongoClient(connect=False).platform.projects, "asynchronous AsyncCollection"),
            (lambda: AsyncMongoClient(connect=False).platform, "pass `db.projects`"),
            (lambda: mongomock.MongoClient().platform, "pass `db.projects`"),
            (mongomock.MongoClient, "pass `client.platform.projects`"),
            (lambda: gridfs.GridFS(MongoClient(connect=False).platform), "such as `db.projects`"),
            (lambda: None, "got NoneType"),
            (lambda: "mongodb://user:password@host", "got str"),
        ],
        ids=[
            *("database", "client", "async collection", "async database"),
            *("mongomock database", "mongomock client", "GridFS", "None", "address"),
        ],
    )
    def test_collection_must_be_a_synchronous_collection(self, build, fix):
        """A database, a client or an asynchronous collection is rejected, even if a callable returns it."""
        wrong = build()
        with pytest.raises(ConfigurationError) as caught:
            ProjectStore(wrong)
        assert fix in str(caught.value)
        assert "password" not in str(caught.value)
        with pytest.raises(ConfigurationError):
            list(ProjectStore(lambda: wrong).iter_projects("ada"))

    def test_a_motor_collection_is_rejected(self):
        """Motor's collections are recognized by their module, as their methods are not coroutine functions."""
        kind = type("Collection", (), {"__module__": "motor.core", "find": 1, "find_one": 1, "with_options": 1})
        with pytest.raises(ConfigurationError, match="asynchronous Collection"):
            ProjectStore(kind())

    def test_an_async_callable_is_rejected(self):
        """Neither a coroutine function nor an object with an async ``__call__`` can return a collection."""

        async def get_projects():
            """Return a coroutine instead of a collection."""

        class GetProjects:
            async def __call__(self):
                """Return a coroutine instead of a collection."""

        for wrong in (get_projects, GetProjects()):
            with pytest.raises(ConfigurationError, match="collection must not be async"):
                ProjectStore(wrong)

    def test_a_callable_with_arguments_is_rejected(self):
        """The callable is called without arguments."""
        with pytest.raises(
            ConfigurationError, match=r"collection is called without arguments, but .*: missing a required"
        ):
            ProjectStore(lambda app: app.projects)

    def test_a_callable_that_returns_a_coroutine(self):
        """What only a call shows is an error then, and the coroutine is closed."""

        async def get_projects():
            """Return a coroutine instead of a collection."""

        with pytest.raises(ConfigurationError, match="or a callable that returns one; got coroutine"):
            ProjectStore(lambda: get_projects()).iter_projects("ada")  # noqa: PLW0108 # it hides what it returns

    @pytest.mark.parametrize("timeout", [0, -1, 3601, math.inf, math.nan, "5", None, True], ids=repr)
    def test_an_invalid_timeout_is_rejected(self, timeout):
        """A timeout must be a number of seconds up to an hour."""
        with pytest.raises(ConfigurationError, match="a number of seconds greater than 0 and at most 3600"):
            ProjectStore(mongomock.MongoClient().platform.projects, timeout=timeout)

    @pytest.mark.parametrize("timeout", [0.001, 1, 3600])
    def test_a_timeout_up_to_an_hour_is_accepted(self, timeout):
        """Any number of seconds greater than 0 and up to an hour is valid."""
        ProjectStore(mongomock.MongoClient().platform.projects, timeout=timeout)

    def test_construction_does_not_connect(self):
        """Creating a store does not use the client."""
        ProjectStore(MongoClient("mongodb://nowhere.invalid", connect=False).platform.projects)

    def test_options_are_keyword_only(self):
        """All arguments but the first are keyword-only."""
        parameters = inspect.signature(ProjectStore).parameters.values()
        assert [parameter.name for parameter in parameters] == [
            *("collection", "fields", "owner_filter", "owner_type", "excluded_statuses", "timeout", "writers_field")
        ]
        assert [parameter.kind for parameter in parameters][1:] == [inspect.Parameter.KEYWORD_ONLY] * 6
