"""The store: one contract on both databases, its arguments, its index."""

import inspect
import math
import re
from datetime import UTC, datetime
from struct import pack
from time import monotonic
from uuid import UUID

import gridfs
import mongomock
import pymongo
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp, encode
from bson.binary import JAVA_LEGACY
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient, MongoClient, monitoring

from flask_usage_stats import ConfigurationError, ProjectStore, StoreError
from flask_usage_stats._mongodb import salvage

NOON = datetime(2024, 3, 14, 12, tzinfo=UTC)
WIDE_7 = "\N{FULLWIDTH DIGIT SEVEN}"
ID = ObjectId("507f1f77bcf86cd799439011")


def ids(store, owner="ada"):
    return sorted(project["_id"] for project in store.iter_projects(owner))


class TestContract:
    """What holds on every database that PyMongo's interface stands before."""

    def test_one_project(self, any_projects):
        """A project comes with the contract's fields and no others, its dates naive UTC."""
        stored = {"_id": 1, "name": "blog", "status": "live", "totalRequest": 3, "updatedAt": NOON}
        any_projects.insert_one(stored | {"owner": "ada", "settings": {"secret": 1}})
        (project,) = ProjectStore(any_projects).iter_projects("ada")
        assert project == stored | {"updatedAt": NOON.replace(tzinfo=None)}

    def test_whose(self, any_projects):
        """An owner alone or in an array of owners counts, in any status but the excluded ones."""
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

    @pytest.mark.parametrize(("excluded", "kept"), [((), [1, 2, 3]), (("gone", "Deleted"), [1]), (["Deleted"], [1, 3])])
    def test_excluded_statuses(self, any_projects, excluded, kept):
        """The statuses that are left out are the host's to say."""
        any_projects.insert_many(
            [
                {"_id": 1, "owner": "ada", "status": "deleted"},
                {"_id": 2, "owner": "ada", "status": "Deleted"},
                {"_id": 3, "owner": "ada", "status": "gone"},
            ]
        )
        assert ids(ProjectStore(any_projects, excluded_statuses=excluded)) == kept

    def test_fields(self, any_projects):
        """Fields that are stored elsewhere, nested ones too, come under their wire names."""
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
    def test_id_elsewhere(self, any_projects, path):
        """The identity too may be stored elsewhere."""
        any_projects.insert_one({"_id": {"slug": "blog", "n": 1}, "slug": "blog", "owner": "ada"})
        assert list(ProjectStore(any_projects, fields={"_id": path}).iter_projects("ada")) == [{"_id": "blog"}]

    def test_owned_by(self, any_projects):
        """A filter of the host's decides where ownership is more than a field."""
        any_projects.insert_many(
            [{"_id": 1, "team": "red"}, {"_id": 2, "team": "blue"}, {"_id": 3, "team": "red", "status": "deleted"}]
        )
        store = ProjectStore(any_projects, owner_filter=lambda owner: {"team": {"$in": [owner, "green"]}})
        assert ids(store, "red") == [1]

    @pytest.mark.parametrize("result", [{}, None, [], [("team", "red")], "red"])
    def test_owned_by_without_a_filter(self, any_projects, result):
        """A filter that would match everybody's projects is refused."""
        with pytest.raises(ConfigurationError, match="a dict, not empty"):
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
    def test_owner_type(self, any_projects, owner_type, owner, stored):
        """Text is converted to the type in which owners are stored; an identity of another type stays."""
        any_projects.insert_one({"_id": 1, "owner": stored})
        assert ids(ProjectStore(any_projects, owner_type=owner_type), owner) == [1]

    @pytest.mark.parametrize("owner", ["00112233-4455-6677-8899-aabbccddeeff", "00112233445566778899AABBCCDDEEFF"])
    def test_uuid_owners(self, projects, owner):
        """Text is converted to a UUID, which mongomock cannot store."""
        projects.insert_one({"_id": 1, "owner": Binary.from_uuid(UUID(owner))})
        assert ids(ProjectStore(projects, owner_type=UUID), owner) == [1]

    @pytest.mark.parametrize(
        "owner", ["", "x", "7.0", "07", "+7", "1_0", " 7", "-0", str(2**63), "1" * 5000, WIDE_7, "1" + WIDE_7]
    )
    def test_what_is_no_integer(self, any_projects, owner):
        """Text that is not the one spelling of an integer owns nothing, so that two texts are never one owner."""
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
    def test_what_cannot_be_converted(self, any_projects, owner_type, owner):
        """Text that is not the one spelling of a value owns nothing, so that two texts are never one owner."""
        any_projects.insert_many([{"owner": 7}, {"owner": 10}, {"owner": 0}, {"owner": str(ID)}])
        assert ids(ProjectStore(any_projects, owner_type=owner_type), owner) == []

    @pytest.mark.parametrize(
        "owner", ["7", "{00112233-4455-6677-8899-aabbccddeeff}", "0011-22334455-6677-8899-aabbccddeeff"]
    )
    def test_what_is_no_uuid(self, projects, owner):
        """Text that only resembles a UUID owns nothing."""
        projects.insert_one({"owner": Binary.from_uuid(UUID("00112233-4455-6677-8899-aabbccddeeff"))})
        assert ids(ProjectStore(projects, owner_type=UUID), owner) == []

    def test_text_owners_only(self, any_projects):
        """With text owners, 24 hex digits do not match an ObjectId."""
        any_projects.insert_one({"owner": ID})
        assert ids(ProjectStore(any_projects, owner_type=str), str(ID)) == []

    def test_owned_by_gets_the_converted_identity(self, any_projects):
        """A filter of the host's is made from the identity in its own type."""
        seen = []
        ids(ProjectStore(any_projects, owner_type=int, owner_filter=lambda owner: seen.append(owner) or {"n": 1}), "7")
        assert seen == [7]

    def test_scalar_under_a_path(self, any_projects):
        """A path that ends in a scalar has nothing to show."""
        any_projects.insert_one({"_id": 5, "owner": "ada"})
        assert list(ProjectStore(any_projects, fields={"_id": "_id.slug"}).iter_projects("ada")) == [{}]

    def test_owner_may_be_shown(self, any_projects):
        """The owner's path may be that of a shown field."""
        any_projects.insert_one({"_id": 1, "name": "ada"})
        assert ids(ProjectStore(any_projects, fields={"owner": "name"})) == [1]

    def test_callable(self, any_projects):
        """A callable is asked once a request, and not before."""
        asked = []
        store = ProjectStore(lambda: asked.append(1) or any_projects)
        assert not asked
        ids(store)
        ids(store)
        assert asked == [1, 1]

    def test_host_options(self, any_projects):
        """The host's own document class and time zone do not reach the rows."""
        if isinstance(any_projects, mongomock.Collection):
            pytest.skip("mongomock is read with its own options")
        any_projects.insert_one({"_id": 1, "owner": "ada", "updatedAt": NOON})
        theirs = any_projects.with_options(codec_options=CodecOptions(document_class=RawBSONDocument, tz_aware=True))
        assert list(ProjectStore(theirs).iter_projects("ada")) == [{"_id": 1, "updatedAt": NOON.replace(tzinfo=None)}]

    def test_many(self, any_projects):
        """More projects than a batch holds come whole."""
        any_projects.insert_many([{"_id": index, "owner": "ada"} for index in range(4001)])
        assert ids(ProjectStore(any_projects)) == list(range(4001))

    def test_ensure_indexes(self, any_projects):
        """The index is made once, when called, and its name is given."""
        store = ProjectStore(any_projects)
        assert store.ensure_indexes() == store.ensure_indexes() == "usage_stats_owner"
        assert set(any_projects.index_information()) == {"_id_", "usage_stats_owner"}


def damaged(identity, **fields):
    """Build a document with a binary value that the server takes and the driver cannot decode."""
    document = encode({"_id": identity, "owner": "ada", **fields})
    odd = b"\x05plan\0" + pack("<i", 8) + b"\x02" + pack("<i", 99) + b"oops"
    return RawBSONDocument(pack("<i", len(document) + len(odd)) + document[4:-1] + odd + b"\0")


class TestDamaged:
    """Values that the driver's decoder refuses."""

    def test_among_good_ones(self, projects, ask, caplog):
        """A value that cannot be decoded is null; its row and the good rows are there."""
        everything = {"name": "blog", "status": re.compile("x"), "totalRequest": 5, "createdAt": NOON}
        projects.insert_one(damaged(1, **everything))
        projects.insert_many([{"_id": index, "owner": "ada"} for index in range(2, 1002)])
        rows = ask(projects).json["projectStats"]
        assert rows[0] == {
            "_id": 1,
            "name": "blog",
            "status": None,
            "plan": None,
            "totalRequest": 5,
            "createdAt": "2024-03-14T12:00:00.000Z",
        }
        assert [row["_id"] for row in rows[1:]] == list(range(2, 1002))
        assert "1 status (Regex), plan (Unreadable)" in caplog.text

    @pytest.mark.parametrize("identity", [lambda number: {"n": number}, lambda _: ObjectId(), str])
    def test_behind_the_first_batch(self, projects, identity):
        """What was handed out before the damage is not handed out again."""
        projects.insert_many([{"_id": identity(number), "owner": "ada"} for number in range(2500)])
        projects.insert_one(damaged(identity(-1)))
        found = list(ProjectStore(projects).iter_projects("ada"))
        assert len(found) == 2501
        assert len({repr(project["_id"]) for project in found}) == 2501

    @pytest.mark.parametrize(
        "value",
        [
            *(1.5, ID, True, None, Timestamp(1, 2), Int64(2**40), Decimal128("1"), MinKey(), MaxKey(), [1], {"a": 1}),
            *(Code("x"), Code("x", {"a": 1}), Binary(b"x"), "text", 7, NOON, re.compile("x")),
        ],
        ids=repr,
    )
    def test_beside_every_type(self, projects, ask, value):
        """Whatever stands before a damaged value is stepped over by its right length."""
        projects.insert_one(damaged(1, name=value, totalRequest=5))
        assert ask(projects).json["totalRequests"] == 5

    @pytest.mark.parametrize(
        "element",
        [b"\x06name\0", b"\x0ename\0" + pack("<i", 2) + b"x\0", b"\x0cname\0" + pack("<i", 2) + b"x\0" + ID.binary],
    )
    def test_beside_old_types(self, projects, ask, element):
        """Types that no driver writes any more (undefined, symbol, pointer) have their lengths, too."""
        raw = damaged(1, totalRequest=5).raw
        projects.insert_one(RawBSONDocument(pack("<i", len(raw) + len(element)) + element + raw[4:]))
        assert ask(projects).json["totalRequests"] == 5

    def test_same_options(self, projects):
        """Damaged rows and those beside them are read with the same options as any."""
        far = DatetimeMS(253402300800000)
        legacy = projects.with_options(codec_options=CodecOptions(uuid_representation=JAVA_LEGACY))
        legacy.insert_one({"_id": UUID(int=7), "owner": "ada", "createdAt": far})
        projects.insert_one(damaged(1, createdAt=far))
        found = {project["_id"]: project for project in ProjectStore(legacy).iter_projects("ada")}
        assert found[1]["createdAt"] == found[UUID(int=7)]["createdAt"] == far

    def test_same_names(self, projects):
        """A damaged document comes under the wire names, too."""
        projects.insert_one(damaged(1, title="blog"))
        (project,) = ProjectStore(projects, fields={"name": "title"}).iter_projects("ada")
        assert project["name"] == "blog"

    def test_same_question(self, mongodb_uri, projects):
        """The second read asks for the same as the first, in what is left of the time."""
        projects.insert_one(damaged(1))
        first, second = (command for command in asked(mongodb_uri, projects) if "find" in command)
        for part in ("filter", "projection", "collation", "batchSize"):
            assert first[part] == second[part]
        assert second["maxTimeMS"] <= 5000

    def test_same_time_limit(self, projects, monkeypatch):
        """The second read has no time of its own."""
        projects.insert_one(damaged(1))
        clock = iter([0, 0.1, 99])
        monkeypatch.setattr("flask_usage_stats._mongodb.store.monotonic", lambda: next(clock))
        with pytest.raises(StoreError, match="in time"):
            ids(ProjectStore(projects))

    def test_under_a_path(self, projects):
        """A nested field inside a value that cannot be decoded is shown as such, not as missing."""
        projects.insert_one(damaged(1))
        projects.aggregate([{"$project": {"owner": 1, "plan": {"name": "$plan"}}}, {"$out": "projects"}])
        (project,) = ProjectStore(projects, fields={"plan": "plan.name"}).iter_projects("ada")
        assert type(project["plan"]).__name__ == "Unreadable"

    DOCUMENT = encode({"_id": 1, "name": "blog", "when": NOON, "in": {"a": [1]}, "like": re.compile("x")})

    @pytest.mark.parametrize(
        "batch",
        [
            b"\0",
            b"\5\0\0",
            pack("<i", 0),
            pack("<i", 4),
            DOCUMENT[:-1],
            DOCUMENT[:-1] + b"\1",
            DOCUMENT + b"\0",
            DOCUMENT.replace(b"blog\0", b"blogs"),
            DOCUMENT.replace(b"\2name", b"\x20name"),
            DOCUMENT.replace(b"\5\0\0\0blog", b"\4\0\0\0blog"),
            DOCUMENT.replace(b"\5\0\0\0blog", b"\xff\xff\xff\xffblog"),
            DOCUMENT.replace(b"\x0blike", b"\2like"),
            DOCUMENT.replace(b"like\0x\0u\0\0", b"like.x.u.\0"),
        ],
        ids=range(13),
    )
    def test_damaged_structure(self, batch):
        """Where more than single values is damaged, nothing is made up: it is an error."""
        good = {"_id": 1, "name": "blog"}
        assert list(salvage.documents(encode(good), CodecOptions())) == [good]
        with pytest.raises(BSONError):
            list(salvage.documents(encode(good) + batch, CodecOptions()))

    def test_pattern_without_an_end(self):
        """A pattern that runs over the end of its document is damage, also where a decoder would let it pass."""
        with pytest.raises(BSONError):
            list(salvage._fields(self.DOCUMENT.replace(b"like\0x\0u\0\0", b"like\0x.u.\0"), CodecOptions()))

    def test_client_that_encrypts(self, projects, monkeypatch):
        """A client that cannot read undecoded batches fails with the reason."""
        projects.insert_one(damaged(1))

        def refuse(*_, **__):
            raise pymongo.errors.InvalidOperation("find_raw_batches does not support auto encryption" + 5000 * "x")

        monkeypatch.setattr(pymongo.collection.Collection, "find_raw_batches", refuse)
        with pytest.raises(StoreError, match="auto encryption") as caught:
            ids(ProjectStore(projects))
        assert len(str(caught.value)) < 400


class TestMisuse:
    """What cannot work is said at construction, with the fix."""

    @pytest.mark.parametrize(
        ("projects", "fix"),
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
    )
    def test_projects(self, projects, fix):
        """A database, a client or an asynchronous collection is no collection."""
        wrong = projects()
        with pytest.raises(ConfigurationError) as caught:
            ProjectStore(wrong)
        assert fix in str(caught.value)
        assert "password" not in str(caught.value)
        with pytest.raises(ConfigurationError):
            list(ProjectStore(lambda: wrong).iter_projects("ada"))

    def test_motor(self):
        """A Motor collection says nothing of itself but the name of its module."""
        kind = type("Collection", (), {"__module__": "motor.core", "find": 1, "find_one": 1, "with_options": 1})
        with pytest.raises(ConfigurationError, match="asynchronous Collection"):
            ProjectStore(kind())

    def test_async_callable(self):
        """A coroutine function is no source of collections, as an object neither."""

        async def projects():
            """Stand for a host's mistake."""

        class Projects:
            async def __call__(self):
                """Stand for a host's mistake."""

        for wrong in (projects, Projects()):
            with pytest.raises(ConfigurationError, match="collection must not be async"):
                ProjectStore(wrong)

    @pytest.mark.parametrize(
        ("argument", "fix"),
        [
            ({"fields": [("owner", "x")]}, "fields must map"),
            ({"fields": {"nmae": "x"}}, "unknown name 'nmae': the names are _id, name,"),
            ({"fields": {"name": "$name"}}, "neither empty nor with a leading"),
            ({"fields": {"name": "a.$b"}}, "neither empty nor with a leading"),
            ({"fields": {"name": ""}}, "neither empty nor with a leading"),
            ({"fields": {"name": "a..b"}}, "neither empty nor with a leading"),
            ({"fields": {"name": "a\0b"}}, "neither empty nor with a leading"),
            ({"fields": {"name": 5}}, "must be a path"),
            ({"fields": {"name": "plan"}}, "fields overlap: 'name' is stored at 'plan' and 'plan' at 'plan'"),
            ({"fields": {"name": "a", "plan": "a.b"}}, "fields overlap"),
            ({"fields": {"plan": "a", "name": "a.b"}}, "fields overlap"),
            ({"owner_filter": {"team": 1}}, "owner_filter must be a function"),
            ({"owner_filter": lambda _: {}, "fields": {"owner": "x"}}, 'leave "owner" out of fields'),
            ({"owner_type": float}, "owner_type must be str, int, ObjectId or UUID"),
            ({"owner_type": "int"}, "owner_type must be"),
            ({"excluded_statuses": "deleted"}, 'such as ("deleted",)'),
            ({"excluded_statuses": None}, "or () for none"),
            ({"excluded_statuses": [None]}, "several texts"),
            *(
                ({"timeout": value}, "timeout must be seconds, above 0 and up to 3600")
                for value in (0, -1, 3601, math.inf, math.nan, "5", None, True)
            ),
        ],
        ids=repr,
    )
    def test_arguments(self, argument, fix):
        """An argument that cannot work is refused."""
        with pytest.raises(ConfigurationError, match=re.escape(fix)):
            ProjectStore(mongomock.MongoClient().platform.projects, **argument)

    def test_async_owned_by(self):
        """A filter must be returned, not promised."""

        async def owner_filter(owner):
            """Stand for a host's mistake."""

        with pytest.raises(ConfigurationError, match="owner_filter must not be async"):
            ProjectStore(mongomock.MongoClient().platform.projects, owner_filter=owner_filter)

    @pytest.mark.parametrize("timeout", [0.001, 1, 3600])
    def test_timeouts(self, timeout):
        """Any time above 0 and up to an hour is a time limit."""
        ProjectStore(mongomock.MongoClient().platform.projects, timeout=timeout)

    def test_no_client_is_touched(self):
        """Construction reaches for no server and no request."""
        ProjectStore(MongoClient("mongodb://nowhere.invalid", connect=False).platform.projects)

    def test_signature(self):
        """The arguments are those that the documentation names; all but the first are by name only."""
        parameters = inspect.signature(ProjectStore).parameters.values()
        assert [parameter.name for parameter in parameters] == [
            *("collection", "fields", "owner_filter", "owner_type", "excluded_statuses", "timeout")
        ]
        assert [parameter.kind for parameter in parameters][1:] == [inspect.Parameter.KEYWORD_ONLY] * 5


class Commands(monitoring.CommandListener):
    """Keeps every command that a client sends."""

    def __init__(self):
        self.sent = []

    def started(self, event):
        self.sent.append(event.command)

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


def asked(uri, projects, read=list, owner="ada", **options):
    """Read an owner's projects, and give back the commands that this sent."""
    commands = Commands()
    with MongoClient(uri, event_listeners=[commands]) as client:
        read(ProjectStore(client[projects.database.name].projects, **options).iter_projects(owner))
    return [command for command in commands.sent if "endSessions" not in command]


class TestReading:
    def test_one_query(self, mongodb_uri, projects):
        """One find, bounded in time on the server, and nothing else, is all that a request sends."""
        projects.insert_one({"owner": "ada"})
        (find,) = asked(mongodb_uri, projects)
        assert find["batchSize"] == 2000
        assert find["find"] == "projects"
        assert find["filter"]["$and"][0] == {"owner": {"$eq": "ada"}}
        assert find["projection"] == dict.fromkeys(
            ["_id", "name", "projectType", "status", "plan", "totalRequest", "createdAt", "updatedAt"], 1
        )
        assert find["collation"] == {"locale": "simple"}
        assert 0 < find["maxTimeMS"] <= 5000

    def test_deadline_does_not_leak(self, projects):
        """The host's own operations between two projects have no deadline of ours."""
        projects.insert_many([{"owner": "ada"} for _ in range(3)])
        for _ in ProjectStore(projects).iter_projects("ada"):
            assert pymongo._csot.get_timeout() is None

    def test_given_up(self, mongodb_uri, projects):
        """A read that its caller gives up leaves no cursor on the server."""

        def give_up(read):
            next(read)
            read.close()

        projects.insert_many([{"owner": "ada"} for _ in range(2001)])
        assert "killCursors" in asked(mongodb_uri, projects, give_up)[-1]

    def test_closing_is_bounded(self, projects, monkeypatch):
        """Telling the server that a cursor is given up takes half a second at most."""
        projects.insert_many([{"owner": "ada"} for _ in range(2001)])
        limits = []
        timeout = pymongo.timeout
        monkeypatch.setattr(pymongo, "timeout", lambda seconds: limits.append(seconds) or timeout(seconds))
        read = ProjectStore(projects).iter_projects("ada")
        next(read)
        read.close()
        assert limits[-1] == 0.5

    def test_no_time_left(self, projects, monkeypatch):
        """With no time left nothing is asked: for the driver, 0 seconds are no limit."""
        clock = iter([0, 5])
        monkeypatch.setattr("flask_usage_stats._mongodb.store.monotonic", lambda: next(clock))
        with pytest.raises(StoreError, match="in time"):
            ids(ProjectStore(projects))

    def test_owned_by_in_time(self, projects):
        """The time limit holds for the queries that owner_filter makes, too."""
        with MongoClient("mongodb://127.0.0.1:9") as down:
            store = ProjectStore(projects, owner_filter=lambda _: {"team": down.platform.teams.find_one()}, timeout=0.3)
            began = monotonic()
            with pytest.raises(pymongo.errors.ServerSelectionTimeoutError):
                ids(store)
            assert monotonic() - began < 1.3

    def test_driver_text(self, projects):
        """A driver's error that may quote a document is named by its code alone."""
        projects.insert_one({"owner": "ada", "name": "stored value"})
        filter_ = {"$expr": {"$eq": [{"$toInt": "$name"}, 1]}}
        with pytest.raises(StoreError) as caught:
            ids(ProjectStore(projects, owner_filter=lambda _: filter_))
        assert str(caught.value) == "the projects could not be read: OperationFailure 241 ConversionFailure"
        with pytest.raises(StoreError, match=r"could not be read: InvalidDocument$"):
            ids(ProjectStore(projects, owner_filter=lambda _: {"team": object()}))
        for value in (2**64, "\ud800"):
            with pytest.raises(StoreError):
                ids(ProjectStore(projects, owner_filter=lambda _, value=value: {"team": value}))

    @pytest.mark.parametrize("details", [None, {"codeName": "Overloaded"}])
    def test_driver_code(self, projects, monkeypatch, details):
        """An error of the server's is named by its code, and its name where it has one."""

        def refuse(*_):
            raise pymongo.errors.OperationFailure("stored value", 5, details)

        monkeypatch.setattr(pymongo.cursor.Cursor, "__next__", refuse)
        monkeypatch.setattr(pymongo.cursor.Cursor, "to_list", refuse)
        with pytest.raises(StoreError) as caught:
            ids(ProjectStore(projects))
        assert str(caught.value).split(": ")[1] == "OperationFailure 5" + (" Overloaded" if details else "")


class TestIndexes:
    """The one index that the read needs."""

    def plan(self, uri, projects, owner="ada", **options):
        """Explain the query that a request sends."""
        command = asked(uri, projects, owner=owner, **options)[0]
        find = {key: command[key] for key in ("find", "filter", "projection", "collation")}
        return projects.database.command("explain", find, verbosity="executionStats")

    @pytest.mark.parametrize("owner", ["ada", str(ID), ID, 7])
    def test_used(self, mongodb_uri, projects, owner):
        """The server reads the owner's documents through the index, and no others."""
        stored = ID if owner == str(ID) else owner
        projects.insert_many([{"owner": stored} for _ in range(5)] + [{"owner": index} for index in range(100, 200)])
        name = ProjectStore(projects).ensure_indexes()
        plan = self.plan(mongodb_uri, projects, owner)
        assert plan["queryPlanner"]["winningPlan"]["inputStage"]["inputStage"]["indexName"] == name
        assert plan["executionStats"]["totalDocsExamined"] == 5

    def test_used_under_a_collation(self, database, mongodb_uri):
        """Text is found through the index in a collection with a collation of its own, too."""
        projects = database.create_collection("projects", collation={"locale": "en", "strength": 1})
        projects.create_index("owner")
        projects.insert_many([{"owner": "ada"}, {"owner": "ADA"}, {"owner": "bob"}])
        assert ProjectStore(projects).ensure_indexes() == "usage_stats_owner"
        assert self.plan(mongodb_uri, projects)["executionStats"]["totalDocsExamined"] == 1

    @pytest.mark.parametrize("keys", [[("owner", 1)], [("owner", -1), ("name", 1)], [("owner", "hashed")]])
    def test_existing(self, projects, keys):
        """A full index that begins with the owner's path serves already."""
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
            ([("owner", 1), ("name", 1)], {"hidden": True}),
        ],
    )
    def test_not_serving(self, projects, keys, options):
        """An index that is partial, sparse, hidden, collated, or begins with another path does not serve."""
        projects.create_index(keys, **options)
        assert ProjectStore(projects).ensure_indexes() == "usage_stats_owner"

    def test_one_of_many(self, projects):
        """The index that serves is found among others."""
        projects.create_index("name")
        assert projects.create_index("owner") == ProjectStore(projects).ensure_indexes()

    @pytest.mark.parametrize("options", [{"hidden": True}, {"name": "usage_stats_owner", "sparse": True}])
    def test_in_the_way(self, projects, options):
        """An index that keeps ours from being made is named as the reason."""
        projects.create_index("owner", **options)
        with pytest.raises(StoreError, match="stands in the way"):
            ProjectStore(projects).ensure_indexes()

    def test_mapped(self, projects):
        """The index is on the path where the owner is stored."""
        assert ProjectStore(projects, fields={"owner": "meta.user"}).ensure_indexes() == "usage_stats_meta.user"

    def test_owned_by(self, projects):
        """With a filter of the host's, only the host knows what to index, and is told so."""
        with pytest.raises(ConfigurationError, match=r'db\.projects\.create_index\("team"\)'):
            ProjectStore(projects, owner_filter=lambda _: {"team": 1}).ensure_indexes()

    def test_failures(self, projects):
        """A server that does not answer, or refuses, is a StoreError."""
        with (
            MongoClient("mongodb://127.0.0.1:9", serverSelectionTimeoutMS=50) as client,
            pytest.raises(
                StoreError, match=r"the index could not be made: ServerSelectionTimeoutError: .*127\.0\.0\.1:9"
            ),
        ):
            ProjectStore(client.platform.projects).ensure_indexes()
        view = projects.database.create_collection("view", viewOn="projects")
        with pytest.raises(StoreError, match="the index could not be made: OperationFailure 166"):
            ProjectStore(view).ensure_indexes()
