"""PlatformStore: its arguments, and what only its parts can show."""

import math
import threading
from datetime import datetime
from fractions import Fraction
from uuid import UUID

import mongomock
import pytest
from bson import Code, Decimal128, ObjectId, decode
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from bson_values import DAMAGED, ELEMENTS, document, element

from flask_usage_stats import ConfigurationError, PlatformStore, ProjectStore, StoreError
from flask_usage_stats._core.platform_parameters import parse_platform_parameters
from flask_usage_stats._core.shared_results import Result
from flask_usage_stats._core.values import to_count, to_owner
from flask_usage_stats._mongodb.platform import read_platform
from flask_usage_stats._mongodb.platform_expressions import read_label, write_label

COLLECTION = mongomock.MongoClient().platform.projects
STORE = ProjectStore(COLLECTION)
CODEC = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)


def kind(value):
    return type(value).__name__


class TestArguments:
    @pytest.mark.parametrize("store", [COLLECTION, ProjectStore, None, "store", PlatformStore(STORE)], ids=kind)
    def test_store_must_be_a_project_store(self, store):
        """The message says what to pass."""
        with pytest.raises(
            ConfigurationError, match=r"store must be a ProjectStore, such as ProjectStore\(db\.projects\)"
        ):
            PlatformStore(store)

    @pytest.mark.parametrize("max_age", [-1, 86_401, float("nan"), float("inf"), "60", None, True], ids=repr)
    def test_max_age_is_a_number_of_seconds(self, max_age):
        """Anything else is rejected."""
        with pytest.raises(ConfigurationError, match="max_age must be a number of seconds from 0 to 86400, got"):
            PlatformStore(STORE, max_age=max_age)

    @pytest.mark.parametrize("timeout", [0, -1, 3601, None], ids=repr)
    def test_timeout_is_a_number_of_seconds(self, timeout):
        """Anything else is rejected."""
        with pytest.raises(ConfigurationError, match="timeout must be a number of seconds"):
            PlatformStore(STORE, timeout=timeout)

    @pytest.mark.parametrize("collection", [mongomock.MongoClient().platform, 5, STORE], ids=kind)
    def test_collection_is_a_collection(self, collection):
        """Anything else is rejected."""
        with pytest.raises(ConfigurationError, match="collection must be a PyMongo collection"):
            PlatformStore(STORE, collection=collection)

    def test_bounds(self):
        """The ends of the ranges are valid, and no argument is necessary."""
        PlatformStore(STORE)
        PlatformStore(STORE, collection=lambda: COLLECTION, timeout=3600, max_age=0)
        PlatformStore(STORE, max_age=86_400)


def read(store, **parameters):
    arguments = {name: [value] for name, value in parameters.items()}
    return read_platform(PlatformStore(store, max_age=0), parse_platform_parameters(arguments, has_owners=True))


def test_rows_without_owners(any_projects):
    """With an *owner_filter*, rows have no owner."""
    any_projects.insert_one({"_id": 1, "owner": "ada"})
    report = read(ProjectStore(any_projects, owner_filter=lambda owner: {"team": owner}), limit="1")
    assert report.rows.rows == [{"_id": 1, "totalRequest": 0}]


def test_ids_of_every_type_at_the_limit(projects):
    """Of projects with equal counts, those with the first ids are returned."""
    ids = [None, 5, -3, 2**40, "b", "a", ObjectId("507f1f77bcf86cd799439012"), 1.5, {"a": 1}]
    projects.insert_many([{"_id": identity} for identity in ids])
    projects.insert_many([{"_id": number} for number in range(1000, 1992)])
    found = [row["_id"] for row in read(ProjectStore(projects), limit="1000").rows.rows]
    assert found[:3] == [None, -3, 5]
    assert found[-5:] == [2**40, "a", "b", "507f1f77bcf86cd799439012", '{"$numberDouble": "1.5"}']
    assert len(found) == 1000


def test_owners_with_the_same_form(projects):
    """Owners of different types that are returned in the same form are one group."""
    projects.with_options(codec_options=CODEC).insert_many(
        [{"owner": each, "totalRequest": 2} for each in (UUID(int=7), str(UUID(int=7)), 2**60, str(2**60), 7.0, 7)]
    )
    report = read(ProjectStore(projects.with_options(codec_options=CODEC)), groupBy="owner")
    assert [(group["owner"], group["projects"]) for group in report.groups] == [
        (7, 2),
        (str(UUID(int=7)), 2),
        (str(2**60), 2),
    ]
    assert report.others is None


@pytest.mark.parametrize(
    "value",
    [7.5, True, {"a": 1}, [["ada"]], b"x", Code("x"), "x" * 1025, datetime(2024, 1, 1), Decimal128("1.50")],
    ids=repr,
)
def test_owners_of_other_types(projects, value):
    """An owner that no owner id matches has the form of an id of its type, or is null."""
    projects.insert_one({"owner": value})
    (group,) = read(ProjectStore(projects), groupBy="owner").groups
    assert [group["owner"]] == (to_owner(value) if isinstance(value, list) else [to_owner(value)])
    assert read(ProjectStore(projects), limit="1").rows.rows[0]["owner"] == to_owner(value)


def test_more_owners_than_can_be_returned(projects):
    """The others are what the first 1,000 owners lack, with exact sums."""
    projects.insert_many([{"owner": number, "totalRequest": 0.1} for number in range(1500)])
    projects.insert_many([{"owner": 7, "totalRequest": 2**62}, {"owner": [8, 9], "totalRequest": 5}])
    report = read(ProjectStore(projects), groupBy="owner", top="1000")
    assert [group["owner"] for group in report.groups[:4]] == [7, 8, 9, 0]
    assert len(report.groups) == 1000
    assert report.others == {"groups": 500, "projects": 500, "totalRequests": 50, "share": 0.0}
    assert report.total == int(float(2**62 + 5 + 1500 * Fraction(0.1)))


def test_collections_are_kept_apart(database):
    """If *collection* returns another collection for each request, each of them has its own totals."""
    names = ["one", "two"]
    for number, name in enumerate(names):
        database[name].insert_one({"owner": "ada", "plan": "pro", "totalRequest": number + 1})
    current = [names[0]]
    store = PlatformStore(ProjectStore(lambda: database[current[0]]), max_age=60)
    for parameters in ({}, {"groupBy": ["owner"], "plan": ["PRO"]}, {"limit": ["1"], "plan": ["Pro"]}):
        query = parse_platform_parameters(parameters, has_owners=True)
        for _ in range(2):
            for number, name in enumerate(names):
                current[0] = name
                report = read_platform(store, query)
                assert report.total == number + 1
                assert [row["totalRequest"] for row in report.rows.rows] == [number + 1][: query.limit]


def test_waiting_for_another_read_ends(any_projects):
    """A request that waits for another read for its whole time limit fails."""
    store = PlatformStore(ProjectStore(any_projects), timeout=0.05)
    begun, end = threading.Event(), threading.Event()

    def compute(_):
        begun.set()
        end.wait(10)
        return Result(None, 0.0)

    thread = threading.Thread(target=store._results.get, args=("other", compute, 10.0))
    thread.start()
    assert begun.wait(10)
    with pytest.raises(StoreError, match="could not be read within the timeout, as other requests read"):
        read_platform(store, parse_platform_parameters({}, has_owners=True))
    end.set()
    thread.join()


def test_labels_are_written_as_they_were_read():
    """A decimal keeps its digits, and text that is not UTF-8 its bytes."""
    assert read_label({"d": "1.00"}) == Decimal128("1.00")
    assert write_label(Decimal128("1.00")) == {"v": {"d": "1.00"}}
    assert write_label("pro") == {"v": "pro"}
    assert write_label("a\udcff").raw == b"\x0f\0\0\0\x02v\0\x03\0\0\0a\xff\0\0"
    assert decode(write_label("a\nb").raw) == {"v": "a\nb"}


def count(collection, *values, **parameters):
    """Store one project for each value, and return the report."""
    collection.delete_many({})
    collection.insert_many([{"owner": "ada", "totalRequest": value} for value in values])
    return read(ProjectStore(collection), **parameters)


@pytest.mark.parametrize(
    "value",
    [
        1.3,
        math.nextafter(256, 0),
        Decimal128("-1E-310"),
        *(Decimal128(f"1.79769313486231580793728971405303{digit}E+308") for digit in (4, 5)),
        *(Decimal128(f"2.47032822920623272088284396434110{digit}E-324") for digit in (6, 7)),
    ],
    ids=str,
)
def test_single_counts(any_projects, value):
    """A single count is that of its row, at the ends of every range."""
    for parameters in ({}, {"groupBy": "owner"}):
        report = count(any_projects, value, **parameters)
        converted = to_count(value) or 0
        assert (report.total, report.unused) == (converted, int(converted == 0))


@pytest.mark.parametrize(
    "values",
    [
        (2**60, 1),
        (Decimal128("1E+33"), 1),
        (Decimal128("1234567890123456789012345678901234"), Decimal128("1234567890123456789012345678901233")),
        (2.0**80, 2.0**40),
        (0.75, 0.5),
    ],
    ids=str,
)
def test_first_of_many_owners(projects, values):
    """Owners beyond the first 1,000 are those with the lower totals, whatever their size."""
    higher, lower = values
    projects.insert_many([{"owner": f"{number:04}", "totalRequest": lower} for number in range(1000)])
    projects.insert_one({"owner": "z", "totalRequest": higher})
    report = read(ProjectStore(projects), groupBy="owner", top="1")
    assert [group["owner"] for group in report.groups] == ["z"]


@pytest.mark.parametrize("tied", [5, 0.1])
def test_ties_of_many_owners(projects, tied):
    """Of more than 1,000 owners with equal totals, those with the first keys are returned; null is last."""
    numbers = [number * 7 % 1200 for number in range(1200)]
    projects.insert_many([{"owner": f"{number:04}", "totalRequest": tied} for number in numbers])
    projects.insert_one({"totalRequest": tied})
    projects.insert_one({"owner": "9999", "totalRequest": Decimal128("1E-30")})
    projects.insert_one({"owner": "9999", "totalRequest": tied})
    report = read(ProjectStore(projects), groupBy="owner", top="1000")
    assert [group["owner"] for group in report.groups] == [f"{number:04}" for number in range(1000)]


def test_ties_of_many_projects(projects):
    """Of more than 1,000 projects with equal counts, those with the first ids are returned."""
    ids = [ObjectId(f"{number:024x}") for number in range(600)] + [f"{number:04}" for number in range(600)]
    projects.insert_many([{"_id": ids[number * 7 % 1200]} for number in range(1200)])
    found = [row["_id"] for row in read(ProjectStore(projects), limit="1000").rows.rows]
    assert found == [f"{number:04}" for number in range(600)] + [f"{number:024x}" for number in range(400)]


def test_odd_owners_in_arrays(any_projects):
    """Null and empty owners count only for projects without any other."""
    any_projects.insert_many([{"owner": [None, "ada", ""]}, {"owner": ""}, {"owner": []}, {"owner": [None]}, {}])
    report = read(ProjectStore(any_projects), groupBy="owner")
    assert {group["owner"]: group["projects"] for group in report.groups} == {"ada": 1, None: 4}


def test_decimal_owners(projects):
    """Decimals that are equal but differ in their digits are different owners."""
    projects.insert_many([{"owner": Decimal128(text)} for text in ("7.5", "7.50")])
    assert len(read(ProjectStore(projects), groupBy="owner").groups) == 2


@pytest.mark.parametrize(
    "owner", [{"b": ["ada", "bob"]}, {"b": [["ada"]]}, [{"b": "ada"}, {"b": ["bob"]}, 5, [{"b": "eve"}]]]
)
def test_owners_in_nested_arrays(projects, owner):
    """The owners are those whom a filter matches, however arrays are nested."""
    projects.insert_one({"a": owner})
    store = ProjectStore(projects, fields={"owner": "a.b"})
    groups = {group["owner"] for group in read(store, groupBy="owner").groups}
    assert groups - {None} == {name for name in ("ada", "bob", "eve") if list(store.iter_projects(name))}


@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_damaged_owners(projects, name):
    """An owner that the driver cannot decode is null."""
    owner = element("owner", ELEMENTS[name])
    projects.insert_one(document(element("_id", 1), owner))
    projects.insert_one({"_id": 2, "owner": "ada"})
    report = read(ProjectStore(projects), groupBy="owner", limit="2")
    assert {group["owner"] for group in report.groups} == {None, "ada"}
    assert [row["owner"] for row in report.rows.rows] == [None, "ada"]


def test_labels_of_several_types(projects):
    """Labels with the same text but different types match the same filter."""
    projects.insert_many([{"owner": "ada", "plan": plan, "totalRequest": 1} for plan in (1, "1", 1.0, True)])
    assert read(ProjectStore(projects), groupBy="owner", plan="1").total == 3


def test_excluded_status_is_a_value(projects):
    """An excluded status that looks like a path is compared as text."""
    projects.insert_many([{"owner": "ada", "status": "$owner"}, {"owner": "ada", "status": "ada"}])
    store = ProjectStore(projects, excluded_statuses=["$owner"])
    assert [read(store, groupBy=name).projects for name in ("owner", "plan")] == [1, 1]


def test_ids_of_rows(projects):
    """An id that is a document is returned as it is, although other documents are null."""
    projects.insert_one({"_id": {"a": 1}, "name": {"a": 1}})
    (row,) = read(ProjectStore(projects), limit="1").rows.rows
    assert (row["_id"], row["name"]) == ('{"a": {"$numberInt": "1"}}', None)


def test_equal_clients_are_kept_apart():
    """Clients with the same address, as tests of an application create them, do not share totals."""
    clients = [mongomock.MongoClient() for _ in range(2)]
    assert clients[0] == clients[1]
    clients[0].platform.projects.insert_one({"totalRequest": 1})
    current = [clients[0]]
    store = PlatformStore(ProjectStore(lambda: current[0].platform.projects), max_age=60)
    query = parse_platform_parameters({}, has_owners=True)
    assert read_platform(store, query).total == 1
    current[0] = clients[1]
    assert read_platform(store, query).total == 0
