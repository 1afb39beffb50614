"""The rules of the HTTP API, tested on a real server through an application."""

import json
import logging
import math
import re
import time
from datetime import UTC, datetime
from fractions import Fraction
from uuid import UUID

import pytest
from bson import (
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
    encode,
)
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from flask import Response
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from support import (
    CHALLENGE,
    FAILED,
    INVALID,
    INVALID_TOKEN,
    REQUIRED,
    SAMPLE_ROWS,
    StubStore,
    ids_of,
    raiser,
    strict_json,
    usage_body,
)
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, ServiceUnavailable, TooManyRequests, Unauthorized
from werkzeug.routing import RequestRedirect

from flask_usage_stats import ProjectStore, StoreError
from flask_usage_stats.schemas import ErrorSchema

ID = ObjectId("507f1f77bcf86cd799439011")

few_examples = settings(max_examples=60)


@pytest.fixture
def rows(projects, get_usage):
    """Return a function that stores documents of the owner and returns the rows of the response."""

    def get(*documents, **options):
        projects.insert_many([{"owner": "ada", **document} for document in documents])
        return usage_body(get_usage(ProjectStore(projects, **options)))["projectStats"]

    return get


class TestSample:
    def test_sample_rows(self, projects, get_usage):
        """The rows of the published sample are returned exactly as it has them."""
        sample = SAMPLE_ROWS
        for row in sorted(sample, key=lambda row: row["_id"]):
            updated = datetime.strptime(row["updatedAt"], "%Y-%m-%dT%H:%M:%S.%f%z")
            projects.insert_one(row | {"_id": ObjectId(row["_id"]), "owner": "ada", "updatedAt": updated})
        response = get_usage(projects)
        assert json.dumps(strict_json(response)) == json.dumps(
            {"success": True, "totalRequests": 128979, "projectStats": sample}
        )

    def test_key_order(self, projects, get_usage):
        """The keys of a row are in the documented order, not in the stored one."""
        projects.insert_one(
            {
                "updatedAt": datetime(2024, 3, 14, 10, 15, tzinfo=UTC),
                "createdAt": datetime(2024, 1, 1, tzinfo=UTC),
                "totalRequest": 89456,
                "plan": "business",
                "status": "live",
                "projectType": "node",
                "name": "api-service",
                "_id": ObjectId("507f1f77bcf86cd799439012"),
                "owner": "ada",
                "secrets": {"DATABASE_URL": "never returned"},
            }
        )
        response = get_usage(projects)
        assert response.mimetype == "application/json"
        assert response.text == (
            '{"success":true,"totalRequests":89456,"projectStats":[{"_id":"507f1f77bcf86cd799439012",'
            '"name":"api-service","projectType":"node","status":"live","plan":"business","totalRequest":89456,'
            '"createdAt":"2024-01-01T00:00:00.000Z","updatedAt":"2024-03-14T10:15:00.000Z"}]}'
        )

    def test_no_projects(self, projects, get_usage):
        """An owner without projects gets an empty list and a total of 0."""
        assert strict_json(get_usage(projects)) == {"success": True, "totalRequests": 0, "projectStats": []}


class TestOwner:
    """Rule 1: the response contains all projects of the owner and no others."""

    OWNERS = ("ada", "Ada", "", "507f1f77bcf86cd799439011", ID, 7, 7.0, "7", None, ["ada"], ["bob", "ada"], {"a": 1})

    @few_examples
    @given(stored=st.lists(st.sampled_from(OWNERS), max_size=12), caller=st.sampled_from(("ada", "bob", 7, ID, "7")))
    def test_own_projects_and_no_others(self, projects, get_usage, stored, caller):
        """Whatever is stored, the response has all of the owner's projects and no others."""
        projects.delete_many({})
        if stored:
            projects.insert_many([{"_id": index, "owner": owner} for index, owner in enumerate(stored)])
        returned = set(ids_of(strict_json(get_usage(projects, caller))))
        assert returned == {
            index
            for index, owner in enumerate(stored)
            if owner == caller or (isinstance(owner, list) and caller in owner)
        }

    @few_examples
    @given(caller=st.text(min_size=1, max_size=30))
    def test_text_is_never_an_operator(self, projects, get_usage, caller):
        """An owner is compared as text, even if it looks like an operator."""
        projects.delete_many({})
        projects.insert_many([{"_id": 1, "owner": "someone else's"}, {"_id": 2}, {"_id": 3, "owner": caller}])
        if caller != "someone else's":
            assert ids_of(strict_json(get_usage(projects, caller))) == [3]

    def test_hex_owner_matches_text_and_object_id(self, projects, get_usage):
        """An owner of 24 hex digits matches owners stored as ObjectId and as text."""
        projects.insert_many([{"_id": 1, "owner": ID}, {"_id": 2, "owner": str(ID)}, {"_id": 3, "owner": ObjectId()}])
        assert ids_of(strict_json(get_usage(projects, str(ID)))) == [1, 2]

    @pytest.mark.parametrize("representation", [UuidRepresentation.UNSPECIFIED, UuidRepresentation.STANDARD])
    def test_uuid_owner(self, projects, get_usage, representation):
        """A UUID matches subtype 4, whether the collection specifies a representation or not."""
        owner = UUID("00112233-4455-6677-8899-aabbccddeeff")
        projects.insert_one({"_id": 1, "owner": Binary.from_uuid(owner, UuidRepresentation.STANDARD)})
        options = CodecOptions(uuid_representation=representation)
        found = strict_json(get_usage(projects.with_options(codec_options=options), owner))["projectStats"]
        assert [row["_id"] for row in found] == [1]

    def test_legacy_uuid_owner(self, projects, get_usage):
        """A UUID matches the legacy representation of the collection."""
        owner = UUID("00112233-4455-6677-8899-aabbccddeeff")
        legacy = projects.with_options(codec_options=CodecOptions(uuid_representation=UuidRepresentation.JAVA_LEGACY))
        legacy.insert_one({"_id": 1, "owner": owner})
        assert len(strict_json(get_usage(legacy, owner))["projectStats"]) == 1

    def test_collation_is_ignored(self, database, get_usage):
        """Text is matched exactly, whatever the collection's collation."""
        projects = database.create_collection("collated", collation={"locale": "en", "strength": 1})
        projects.insert_many(
            [{"_id": 1, "owner": "ada"}, {"_id": 2, "owner": "ADA"}, {"_id": 3, "owner": "ada", "status": "Deleted"}]
        )
        assert ids_of(strict_json(get_usage(projects))) == [1, 3]

    def test_deleted_projects_are_left_out(self, rows):
        """Only projects with exactly the status "deleted" are left out and not counted."""
        kept = [{}, {"status": None}, {"status": "Deleted"}, {"status": "deleted "}, {"status": ["deleted"]}]
        documents = [{"_id": index, **status} for index, status in enumerate(kept)]
        returned = rows(*documents, {"_id": 9, "status": "deleted", "totalRequest": 5})
        assert [row["_id"] for row in returned] == [0, 1, 2, 3, 4]


COUNTS = [
    (0, "0"),
    (-3, "-3"),
    (2**31, "2147483648"),
    (Int64(2**63 - 1), "9223372036854775807"),
    (Int64(-(2**63)), "-9223372036854775808"),
    (3000000000.0, "3000000000"),
    (-0.0, "0"),
    (0.5, "0.5"),
    (0.1, "0.1"),
    (1e300, str(int(1e300))),
    (5e-324, "5e-324"),
    (Decimal128("12"), "12"),
    (Decimal128("12.000"), "12"),
    (Decimal128("12.5"), "12.5"),
    (Decimal128("3E+9"), "3000000000"),
    (Decimal128("0.1"), "0.1"),
    (Decimal128("18446744073709551616"), "18446744073709551616"),
    (Decimal128("1E+308"), "1" + 308 * "0"),
    (Decimal128("1E-6000"), "0"),
    (Decimal128("4503599627370497.0001"), "4503599627370497"),
]
NO_COUNTS = [
    math.nan,
    math.inf,
    -math.inf,
    Decimal128("NaN"),
    Decimal128("sNaN"),
    Decimal128("Infinity"),
    Decimal128("-Infinity"),
    Decimal128("2E+308"),
    Decimal128("1E+6144"),
    True,
    "12",
    [12],
    {"n": 12},
    ID,
    datetime(2024, 1, 1, tzinfo=UTC),
    b"\x0c",
    Timestamp(12, 1),
    Regex("12"),
    Code("12"),
    MinKey(),
    MaxKey(),
]


class TestCounts:
    """Rule 2: a count is the stored number if it is finite, otherwise 0."""

    @pytest.mark.parametrize(("stored", "returned"), COUNTS, ids=repr)
    def test_finite_numbers_are_exact(self, projects, get_usage, stored, returned):
        """A finite number keeps its value, whatever its BSON type; whole numbers are returned as integers."""
        projects.insert_one({"owner": "ada", "_id": 1, "totalRequest": stored})
        text = f'{{"success":true,"totalRequests":{returned},"projectStats":[{{"_id":1,"totalRequest":{returned}}}]}}'
        assert get_usage(projects).text == text

    @pytest.mark.parametrize("stored", NO_COUNTS, ids=repr)
    def test_other_values_are_zero(self, projects, get_usage, stored, caplog):
        """Any value except a finite number is 0, in its row and in the total, and is logged."""
        projects.insert_many(
            [{"owner": "ada", "_id": 1, "totalRequest": stored}, {"owner": "ada", "_id": 2, "totalRequest": 7}]
        )
        body = strict_json(get_usage(projects))
        assert body["totalRequests"] == 7
        assert [row["totalRequest"] for row in body["projectStats"]] == [7, 0]
        assert len(caplog.records) == 1

    def test_missing_and_null_are_zero(self, rows, caplog):
        """A missing count and null are 0 and are not logged."""
        assert rows({"_id": 1}, {"_id": 2, "totalRequest": None}) == [
            {"_id": 1, "totalRequest": 0},
            {"_id": 2, "totalRequest": 0},
        ]
        assert not caplog.records


finite = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**20), max_value=10**20).map(Decimal128),
)


def nearest(exact):
    """Round to the nearest double, or to the nearest integer if it is too large for a double."""
    try:
        return Fraction(float(exact))
    except OverflowError:
        return Fraction(round(exact))


class TestOrderAndTotal:
    """Rule 3: rows are sorted by count, then by ``_id``; the total is their exact sum."""

    @few_examples
    @given(counts=st.lists(finite, max_size=8))
    def test_total_is_exact(self, projects, get_usage, counts):
        """The total is the exact sum of the returned counts, rounded once; rows are sorted by the returned count."""
        projects.delete_many({})
        if counts:
            projects.insert_many([{"owner": "ada", "totalRequest": count} for count in counts])
        body = strict_json(get_usage(projects))
        returned = [row["totalRequest"] for row in body["projectStats"]]
        assert returned == sorted(returned, reverse=True)
        exact = sum(map(Fraction, returned), Fraction())
        if exact.denominator == 1:
            assert body["totalRequests"] == exact
        else:
            assert Fraction(body["totalRequests"]) == nearest(exact)

    def test_total_too_large_for_a_double(self, rows, projects, get_usage):
        """A total that is too large for a double is an integer."""
        rows({"totalRequest": 1.7e308}, {"totalRequest": 1.7e308}, {"totalRequest": 0.75})
        assert strict_json(get_usage(projects))["totalRequests"] == 2 * int(1.7e308) + 1

    def test_ties_are_ordered_by_id(self, rows):
        """Equal counts are ordered by `_id`: null, integers, text, ObjectIds, others."""
        ids = [None, -1, 2, 10, "10", "2", str(ID), ObjectId("0" * 24), ID, 1.5, True]
        returned = rows(*[{"_id": id_} for id_ in reversed(ids)])
        assert [row["_id"] for row in returned] == [
            None,
            -1,
            2,
            10,
            "10",
            "2",
            str(ID),
            "0" * 24,
            str(ID),
            "true",
            '{"$numberDouble": "1.5"}',
        ]

    def test_equal_numbers_of_different_types_are_ties(self, rows):
        """Equal counts are ties, whatever their types."""
        returned = rows(
            {"_id": 3, "totalRequest": 5},
            {"_id": 1, "totalRequest": Decimal128("5.0")},
            {"_id": 2, "totalRequest": 5.0},
        )
        assert [row["_id"] for row in returned] == [1, 2, 3]


TEXTS = [
    ("blog", "blog"),
    ("", ""),
    (None, None),
    ('\0 \u2028 \U0001f600 "\\', '\0 \u2028 \U0001f600 "\\'),
    (5, "5"),
    (Int64(2**40), "1099511627776"),
    (1.5, "1.5"),
    (3.0, "3"),
    (math.nan, "NaN"),
    (math.inf, "Infinity"),
    (-math.inf, "-Infinity"),
    (Decimal128("1.50"), "1.50"),
    (True, "true"),
    (False, "false"),
    (ID, str(ID)),
    (Binary.from_uuid(UUID(int=7)), str(UUID(int=7))),
    (datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=UTC), "2024-01-02T03:04:05.678Z"),
    (DatetimeMS(-62135596800001), None),
    ({"name": "secret"}, None),
    (["secret"], None),
    (b"secret", None),
    (Binary(b"secret", 128), None),
    (Regex("secret"), None),
    (Code("secret"), None),
    (Code("secret", {"a": 1}), None),
    (DBRef("plans", 1), None),
    (Timestamp(1, 1), None),
    (MinKey(), None),
    (MaxKey(), None),
]
DATES = [
    (datetime(2024, 3, 14, 10, 15, tzinfo=UTC), "2024-03-14T10:15:00.000Z"),
    (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000Z"),
    (datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC), "9999-12-31T23:59:59.999Z"),
    (DatetimeMS(253402300800000), None),
    (DatetimeMS(-62135596800001), None),
    (DatetimeMS(2**63 - 1), None),
    (DatetimeMS(-(2**63)), None),
    ("yesterday", "yesterday"),
    (None, None),
    (5, None),
    (ID, None),
    ({"$date": 1}, None),
    (Timestamp(1, 1), None),
    (Code("x"), None),
]
IDS = [
    (ID, str(ID)),
    ("text", "text"),
    (7, 7),
    (Int64(2**53 - 1), 2**53 - 1),
    (Int64(-(2**53) + 1), -(2**53) + 1),
    (Int64(2**53), "9007199254740992"),
    (Int64(-(2**53)), "-9007199254740992"),
    (None, None),
    (7.5, '{"$numberDouble": "7.5"}'),
    (True, "true"),
    (Decimal128("7"), '{"$numberDecimal": "7"}'),
    (datetime(2024, 1, 1, tzinfo=UTC), '{"$date": {"$numberLong": "1704067200000"}}'),
    (Binary.from_uuid(UUID(int=7)), str(UUID(int=7))),
    (
        {"u": Binary.from_uuid(UUID(int=7))},
        '{"u": {"$binary": {"base64": "AAAAAAAAAAAAAAAAAAAABw==", "subType": "04"}}}',
    ),
    (b"\1", '{"$binary": {"base64": "AQ==", "subType": "00"}}'),
    ({"a": 1, "b": "é"}, '{"a": {"$numberInt": "1"}, "b": "\\u00e9"}'),
    (Timestamp(1, 2), '{"$timestamp": {"t": 1, "i": 2}}'),
    (MinKey(), '{"$minKey": 1}'),
    (Code("x"), '{"$code": "x"}'),
    (DatetimeMS(2**62), '{"$date": {"$numberLong": "4611686018427387904"}}'),
]


class TestFields:
    """Rules 4 and 5: rows have only the documented fields, in the documented types."""

    def test_only_documented_fields(self, rows):
        """A missing field is absent, null stays null, and other stored fields are not returned."""
        assert rows({"_id": 1, "plan": None, "token": "secret", "owner_name": "x"}) == [
            {"_id": 1, "plan": None, "totalRequest": 0}
        ]

    @pytest.mark.parametrize(("stored", "returned"), TEXTS, ids=repr)
    @pytest.mark.parametrize("field", ["name", "projectType", "status", "plan"])
    def test_text_fields(self, rows, field, stored, returned):
        """A text field is text or null, whatever is stored."""
        assert rows({"_id": 1, field: stored}, {"_id": 2, field: "good"}) == [
            {"_id": 1, field: returned, "totalRequest": 0},
            {"_id": 2, field: "good", "totalRequest": 0},
        ]

    @pytest.mark.parametrize(("stored", "returned"), DATES, ids=repr)
    @pytest.mark.parametrize("field", ["createdAt", "updatedAt"])
    def test_date_fields(self, rows, field, stored, returned):
        """A date is ISO 8601 in UTC with milliseconds; text is unchanged; other types are null."""
        assert rows({"_id": 1, field: stored}) == [{"_id": 1, field: returned, "totalRequest": 0}]

    @pytest.mark.parametrize(("stored", "returned"), IDS, ids=repr)
    def test_ids(self, rows, stored, returned):
        """ObjectIds are hex, UUIDs in their usual form, unsafe integers text, other types canonical Extended JSON."""
        assert rows({"_id": stored}) == [{"_id": returned, "totalRequest": 0}]

    def test_invalid_utf8(self, projects, rows, caplog):
        """Invalid UTF-8 is returned as U+FFFD, and the other rows are unaffected."""
        damaged = encode({"_id": 1, "owner": "ada", "name": "AAAA"}).replace(b"AAAA", b"A\xff\xfeA")
        projects.insert_one(RawBSONDocument(damaged))
        assert rows({"_id": 2, "name": "good"}) == [
            {"_id": 1, "name": "A\ufffd\ufffdA", "totalRequest": 0},
            {"_id": 2, "name": "good", "totalRequest": 0},
        ]
        assert "1 name (str)" in caplog.text

    def test_converted_values_are_logged_once(self, projects, get_usage, caplog):
        """A WARNING has the number of converted values, and five projects with fields and types, but no values."""
        odd = {"name": {"secret": 1}, "totalRequest": "secret", "updatedAt": DatetimeMS(2**62)}
        projects.insert_many([{"_id": index, "owner": "ada", **odd} for index in range(7)])
        get_usage(projects)
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.name == "flask_usage_stats"
        found = "name (dict), totalRequest (str), updatedAt (DatetimeMS)"
        assert record.getMessage() == (
            "usage of owner 'ada': adjusted stored values that do not fit the API (21), for example: "
            + "; ".join(f"{index} {found}" for index in range(5))
        )

    def test_logged_ids_are_escaped(self, projects, get_usage, caplog):
        """A project id can neither forge a line of the log nor flood it."""
        projects.insert_one({"_id": "first\nsecond" + 500 * "x", "owner": "ada", "name": {}})
        get_usage(projects)
        assert "'first\\nsecondx" in caplog.text
        assert len(caplog.messages[0]) < 300

    def test_regular_conversions_are_not_logged(self, rows, caplog):
        """Conversions that lose nothing (dates, whole doubles, other ids) are not logged."""
        rows({"_id": {"a": 1}, "totalRequest": 3.0, "updatedAt": "text"})
        assert not caplog.records


class TestFailure:
    """Rule 6: a failure is the documented 500, never some of the rows."""

    def test_unreachable_server(self, get_usage, caplog):
        """An unreachable server results in the 500 response within the time limit, and is logged once with its cause."""
        with MongoClient("mongodb://127.0.0.1:9", serverSelectionTimeoutMS=30_000) as client:
            began = time.monotonic()
            response = get_usage(ProjectStore(client.platform.projects, timeout=0.4))
            took = time.monotonic() - began
        assert response.status_code == 500
        assert took < 1.4
        assert response.data == FAILED
        assert ErrorSchema().validate(strict_json(response)) == {}
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert "ServerSelectionTimeoutError" in record.getMessage()
        assert "owner 'ada'" in record.getMessage()
        assert "\n" not in record.getMessage()

    @pytest.mark.parametrize("after", [0, 1, 2500])
    def test_failure_halfway(self, get_usage, caplog, after):
        """A store that fails halfway results in the 500 response, never in some of the rows."""
        store = StubStore(*({"_id": index} for index in range(after)), error=RuntimeError("secret connection string"))
        response = get_usage(store)
        assert (response.status_code, response.data) == (500, FAILED)
        (record,) = caplog.records
        assert "RuntimeError (" in record.getMessage()
        assert "in iter_projects" in record.getMessage()
        assert "secret" not in caplog.text

    def test_timeout_covers_the_complete_read(self, projects, get_usage, monkeypatch):
        """The timeout covers the complete read, not each batch."""
        projects.insert_many([{"owner": "ada"} for _ in range(2001)])
        clock = iter([0, 0.1, 0.1, 99])
        monkeypatch.setattr("flask_usage_stats._mongodb.driver.monotonic", lambda: next(clock))
        assert get_usage(projects).status_code == 500

    def test_logged_errors_are_escaped(self, get_usage, caplog):
        """A store's error message can neither forge a line of the log nor flood it."""
        get_usage(StubStore(error=StoreError("first\nsecond" + 5000 * "x")))
        (record,) = caplog.records
        assert "first\\nsecondx" in record.getMessage()
        assert "\n" not in record.getMessage()
        assert len(record.getMessage()) < 900

    def test_traceback_at_debug(self, get_usage, caplog):
        """If the logger's level is DEBUG, the record has the traceback."""
        caplog.set_level(logging.DEBUG, "flask_usage_stats")
        get_usage(ProjectStore(lambda: 1 / 0))
        (record,) = caplog.records
        assert record.exc_info[0] is ZeroDivisionError

    def test_rejected_filter(self, projects, get_usage):
        """A filter that the server rejects results in the 500 response, without the message of the server."""
        store = ProjectStore(projects, owner_filter=lambda owner: {"$nonsense": owner})
        response = get_usage(store)
        assert (response.status_code, response.data) == (500, FAILED)


class TestIdentity:
    """Rule 7: only requests with a valid owner id get projects."""

    @pytest.mark.parametrize("owner", [None, ""])
    def test_no_owner(self, projects, get_usage, owner):
        """Without a user the response is 401, and without a credential its challenge has no error."""
        response = get_usage(projects, owner)
        assert response.status_code == 401
        assert response.data == REQUIRED
        assert response.headers.getlist("WWW-Authenticate") == [CHALLENGE]

    @pytest.mark.parametrize("header", ["Bearer x", "bearer x.y.z", "Basic abc, BEARER x"])
    def test_rejected_credential(self, projects, get_usage, header):
        """A rejected bearer credential gets the 401 response with the error of RFC 6750."""
        response = get_usage(projects, None, headers={"Authorization": header})
        assert response.status_code == 401
        assert response.data == INVALID
        assert response.headers["WWW-Authenticate"] == INVALID_TOKEN

    @pytest.mark.parametrize(
        "header", ["Bearer", "Bearer ", "Basic abc", "Bearers x", "", "Notbearer x", "Digest bearer x"]
    )
    def test_other_credential(self, projects, get_usage, header):
        """A header without a bearer credential is treated like a missing header."""
        response = get_usage(projects, None, headers={"Authorization": header})
        assert response.data == REQUIRED

    @pytest.mark.parametrize(
        ("refusal", "status", "message", "challenge", "retry"),
        [
            (BadRequest("x"), 400, "x", None, None),
            (HTTPException(response=Response("x", 599)), 599, "Request refused", None, None),
            (Forbidden("Not yours"), 403, "Not yours", None, None),
            (TooManyRequests(retry_after=7), 429, TooManyRequests.description, None, "7"),
            (ServiceUnavailable("Later", retry_after=9), 503, "Later", None, "9"),
            (Unauthorized("No", www_authenticate=WWWAuthenticate("digest", {"realm": "x"})), 401, "No", "Digest", None),
            (Unauthorized("No"), 401, "No", 'Bearer realm="usage"', None),
            (HTTPException(response=Response("x", 418, {"Retry-After": "1"})), 418, "I'm a teapot", None, "1"),
            (HTTPException(response=Response("x", 499)), 499, "Request refused", None, None),
            (Forbidden("odd \ud800 \n text"), 403, "odd \ufffd \n text", None, None),
        ],
    )
    def test_http_exception(self, projects, get_usage, caplog, refusal, status, message, challenge, retry):
        """An HTTPException of the callback keeps its status, description, challenge and retry time."""
        response = get_usage(projects, raiser(refusal))
        assert response.status_code == status
        assert strict_json(response) == {"success": False, "message": message}
        assert (challenge or "") in response.headers.get("WWW-Authenticate", "")
        assert (challenge is None) == ("WWW-Authenticate" not in response.headers)
        assert response.headers.get("Retry-After") == retry
        assert not caplog.records

    def test_several_challenges(self, projects, get_usage):
        """An HTTPException may have several challenges."""
        headers = [("WWW-Authenticate", "Basic"), ("WWW-Authenticate", "Digest")]
        response = get_usage(projects, raiser(HTTPException(response=Response("x", 401, headers))))
        assert response.headers.getlist("WWW-Authenticate") == ["Basic", "Digest"]

    @pytest.mark.parametrize(
        "error",
        [
            RuntimeError("secret"),
            RequestRedirect("/login"),
            HTTPException("secret"),
            type("Odd", (HTTPException,), {"code": 404.0})("secret"),
            type("Odd", (HTTPException,), {"code": "404"})("secret"),
        ],
        ids=["error", "redirect", "no-code", "float-code", "text-code"],
    )
    def test_broken_callback(self, projects, get_usage, caplog, error):
        """Any other exception of the callback gets the 500 response and is logged without its message."""
        response = get_usage(projects, raiser(error))
        assert (response.status_code, response.data) == (500, FAILED)
        (record,) = caplog.records
        assert record.getMessage().startswith(f"usage of an unknown owner: {type(error).__name__} (")
        assert "secret" not in caplog.text

    @pytest.mark.parametrize(
        "value",
        [
            True,
            1.5,
            math.nan,
            b"ada",
            ["ada"],
            {"$ne": None},
            ("a",),
            re.compile("."),
            Regex("."),
            pytest.param(object(), id="object"),
            2**63,
            -(2**63) - 1,
        ]
        + ["\ud800", "a" * 1025, "é" * 513],
        ids=repr,
    )
    def test_invalid_owners(self, projects, get_usage, caplog, value):
        """A value of a wrong type never reaches a query and gets the 500 response."""
        projects.insert_one({"owner": value if isinstance(value, bool) else "ada"})
        response = get_usage(projects, lambda: value)
        assert (response.status_code, response.data) == (500, FAILED)
        assert "InvalidOwnerError" in caplog.text

    @pytest.mark.parametrize("owner", ["a" * 1024, "é" * 512, "x\0\r\n", 2**63 - 1, -(2**63), 0, ID, Int64(5)])
    def test_valid_owners(self, projects, get_usage, owner):
        """Text of up to 1,024 bytes, 64-bit integers and ObjectIds are valid owners."""
        projects.insert_one({"_id": 1, "owner": owner})
        assert len(strict_json(get_usage(projects, lambda: owner))["projectStats"]) == 1


class TestCaching:
    """Rule 8: responses are cached privately and revalidated, errors never."""

    def test_headers(self, projects, get_usage):
        """A response is cached privately and revalidated; an error is never cached."""
        for response, cache in [
            (get_usage(projects), "private, no-cache"),
            (get_usage(projects, None), "no-store"),
            (get_usage(projects, raiser(Forbidden())), "no-store"),
            (get_usage(projects, 1.5), "no-store"),
        ]:
            assert response.headers["Cache-Control"] == cache
            vary = "Authorization, Accept" if response.status_code == 200 else "Authorization"
            assert response.headers["Vary"] == vary
