"""What a request may ask for, and what it is told where it may not."""

import json
from base64 import urlsafe_b64encode

import mongomock
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_usage_stats._core import cursors as cursor
from flask_usage_stats._core.query import DEFAULT_QUERY, CursorPosition, UsageQuery
from flask_usage_stats.errors import InvalidParametersError
from flask_usage_stats.schemas import parse_parameters

MUST = {
    "minRequests": "minRequests must be a whole number of up to 20 digits",
    "maxRequests": "maxRequests must be a whole number of up to 20 digits",
    "status": "status must be text of 1 to 100 characters, given up to 50 times",
    "sort": "sort must be one of totalRequest, name, createdAt, updatedAt",
    "order": "order must be one of desc, asc",
    "limit": "limit must be a whole number from 0 to 1000",
    "cursor": "cursor must be the nextCursor of a page of the same query",
    "groupBy": "groupBy must be one or several of plan, projectType, status, with commas between them",
    "format": "format must be one of json, csv",
}


def read(owner="ada", **arguments):
    return parse_parameters(
        {name: [value] if isinstance(value, str) else value for name, value in arguments.items()}, owner
    )


def refused(**arguments):
    with pytest.raises(InvalidParametersError) as caught:
        read(**arguments)
    return caught.value.errors


def test_nothing():
    """Without parameters, and with those of others alone, the question is the plain one."""
    assert parse_parameters({}, "ada") == (DEFAULT_QUERY, None)
    assert read(utm_source="mail", page=["1", "2"]) == (DEFAULT_QUERY, None)


def test_everything():
    """Every parameter has its place in the question."""
    question, form = read(
        status=["Live", "STOPPED"],
        projectType="Node",
        plan="Straße",
        minRequests="0",
        maxRequests="99999999999999999999",
        sort="name",
        order="desc",
        limit="10",
        groupBy="plan,status",
        format="csv",
    )
    assert question == UsageQuery(
        filters={
            "status": frozenset({"live", "stopped"}),
            "projectType": frozenset({"node"}),
            "plan": frozenset({"strasse"}),
        },
        minimum=0,
        maximum=10**20 - 1,
        sort="name",
        descending=True,
        limit=10,
        group_by=("plan", "status"),
    )
    assert form == "csv"


@pytest.mark.parametrize(
    ("sort", "descending"), [("totalRequest", True), ("name", False), ("createdAt", True), ("updatedAt", True)]
)
def test_order(sort, descending):
    """Names begin with the first, everything else with the most or the newest."""
    assert read(sort=sort)[0].descending is descending
    assert read(sort=sort, order="asc")[0].descending is False


BAD_NUMBERS = [
    "",
    " ",
    "-1",
    "+1",
    "1_0",
    " 1",
    "1 ",
    "1e3",
    "1.0",
    "0x1",
    "\N{FULLWIDTH DIGIT SEVEN}",
    "1" * 21,
    "1\n",
]


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in ("minRequests", "maxRequests", "limit") for value in BAD_NUMBERS]
    + [("limit", "1001"), ("limit", "1" * 20)]
    + [("sort", value) for value in ("", "Name", "plan", "_id", "name,plan", "totalRequests")]
    + [("order", value) for value in ("", "ASC", "up", "1")]
    + [("format", value) for value in ("", "CSV", "xml")]
    + [("groupBy", value) for value in ("", ",", "plan,", "plan,plan", "Plan", "name", "plan, status", "plan;status")]
    + [("status", value) for value in ("", ["live", ""], "x" * 101, ["x"] * 51)],
)
def test_bad(name, value):
    """What is bad is refused, with what it must be."""
    assert refused(**{name: value}) == {name: [MUST[name]]}


@pytest.mark.parametrize("name", [name for name in MUST if name != "status"])
def test_doubled(name):
    """What is meant once is not to be had twice, not even the same."""
    assert refused(**{name: ["1", "1"]})[name] == [f"{name} must be given once"]


def test_limits():
    """The longest and the most are still good."""
    question, _ = read(status=["x" * 100] * 50, limit="1000", minRequests="9" * 20)
    assert question.limit == 1000
    assert read(limit="0")[0].limit == 0
    assert read(limit="007")[0].limit == 7


def test_contradiction():
    """Bounds that leave nothing are a mistake."""
    assert refused(minRequests="2", maxRequests="1") == {"minRequests": ["minRequests must not be over maxRequests"]}
    assert read(minRequests="2", maxRequests="2")[0].minimum == 2


def test_all_at_once():
    """Every mistake is named, in the order of the documentation, whatever the order of the request."""
    with pytest.raises(InvalidParametersError) as caught:
        read(format="x", limit="x", status="", cursor="x")
    assert list(caught.value.errors) == ["status", "limit", "cursor", "format"]
    assert str(caught.value) == MUST["status"]


class TestCursor:
    WALK = UsageQuery(limit=2)

    def cursor(self, key=5, identity=(1, 7), owner="ada", question=WALK):
        return cursor.write(CursorPosition(key, identity, cursor.digest(owner, question)))

    @pytest.mark.parametrize("key", [5, -5, 0.5, 2**100, 0])
    @pytest.mark.parametrize(
        "identity", [(0, 0), (1, 7), (1, 10**300), (2, "a\ud800\udcffb"), (3, b"x" * 12), (4, '{"a": "é"}')]
    )
    def test_round(self, key, identity):
        """A cursor is read back as it was written."""
        question, _ = read(limit="2", cursor=self.cursor(key, identity))
        assert (question.after.key, question.after.identity) == (key, identity)

    @pytest.mark.parametrize(
        ("sort", "key"), [("name", "blog"), ("name", None), ("createdAt", -5), ("updatedAt", None)]
    )
    def test_keys(self, sort, key):
        """Each order has its own kind of key."""
        walk = UsageQuery(sort=sort, descending=sort != "name", limit=2)
        assert read(limit="2", sort=sort, cursor=self.cursor(key, question=walk))[0].after.key == key

    @pytest.mark.parametrize("sort", ["totalRequest", "name", "updatedAt"])
    @pytest.mark.parametrize("key", ["x", None, True, 0.5])
    def test_keys_of_other_kinds(self, sort, key):
        """A key that its order does not have is refused, also under a right seal."""
        right = {"totalRequest": (float,), "name": (str, type(None)), "updatedAt": (type(None),)}
        walk = UsageQuery(sort=sort, descending=sort != "name", limit=2)
        forged = self.cursor(key, question=walk)
        if type(key) in right[sort]:
            read(limit="2", sort=sort, cursor=forged)
        else:
            assert refused(limit="2", sort=sort, cursor=forged) == {"cursor": [MUST["cursor"]]}

    def test_every_character_counts(self):
        """A cursor in which any one character is another is refused."""
        text = self.cursor(12345, (3, b"x" * 12))
        for place in range(len(text)):
            changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
            assert refused(limit="2", cursor=changed) == {"cursor": [MUST["cursor"]]}

    def test_other_page(self):
        """The length of a page may change on the way, and so may the form and the groups."""
        read(limit="500", cursor=self.cursor(), format="csv", groupBy="plan")

    def test_needs_limit(self):
        """A cursor without a limit is no page."""
        assert refused(cursor=self.cursor()) == {"cursor": ["cursor needs limit"]}
        assert refused(cursor=self.cursor(), limit="x") == {"limit": [MUST["limit"]]}

    @pytest.mark.parametrize(
        "other",
        [
            {"sort": "name"},
            {"order": "asc"},
            {"minRequests": "0"},
            {"maxRequests": "9"},
            {"status": "live"},
            {"plan": "live"},
            {"owner": "bob"},
            {"owner": 5},
        ],
    )
    def test_other_walk(self, other):
        """A cursor of another query or another owner is refused."""
        assert refused(limit="2", cursor=self.cursor(), **other) == {"cursor": [MUST["cursor"]]}

    @pytest.mark.parametrize(
        "text",
        [
            *("", "x", "=", "é", "null", "AAAA", "x" * 100_000),
            *(
                urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
                for value in (
                    *(
                        None,
                        5,
                        {},
                        [],
                        ["d", 1, 1],
                        ["d", 1, 1, 7, 7],
                        ["d", {}, 1, 7],
                        ["d", [], 1, 7],
                        ["d", True, 1, 7],
                    ),
                    *(["d", 1, 9, 7], ["d", 1, 1, "7"], ["d", 1, 1, True], ["d", 1, 2, 7], ["d", 1, 3, "zz"]),
                    *(
                        ["d", 1, 3, 7],
                        ["d", 1, [], 7],
                        ["d", 1, "1", 7],
                        ["d", 1, None, 7],
                        [5, 1, 1, 7],
                        ["d", 1.0, 1, 7.0],
                    ),
                )
            ),
            urlsafe_b64encode(b'["d",NaN,1,7]').decode().rstrip("="),
            urlsafe_b64encode(b'["d",1,1, 7]').decode().rstrip("="),
            urlsafe_b64encode(b'["d",1,1,' + b"1" * 5000 + b"]").decode().rstrip("="),
            urlsafe_b64encode(b"[" * 50_000).decode().rstrip("="),
        ],
        ids=lambda text: text[:20],
    )
    def test_changed_by_hand(self, text):
        """What no answer gave is refused, never a failure."""
        assert refused(limit="2", cursor=text) == {"cursor": [MUST["cursor"]]}

    @given(st.text(max_size=60))
    def test_any_text(self, text):
        """No text at all is a failure."""
        refused(limit="2", cursor=text)


def test_answer(app_factory):
    """The client is told all mistakes, and the first of them in the message."""
    client = app_factory(mongomock.MongoClient().platform.projects).test_client()
    response = client.get("/api/usage?limit=many&order=up&utm=1")
    assert response.status_code == 400
    assert response.headers["Cache-Control"] == "no-store"
    assert json.dumps(response.json) == json.dumps(
        {
            "success": False,
            "message": "order must be one of desc, asc",
            "errors": {"order": ["order must be one of desc, asc"], "limit": [MUST["limit"]]},
        }
    )


@pytest.mark.parametrize("query", ["\xff", "\xff=\xff&limit=1", "a=%ff&limit=1"])
def test_bytes_that_are_no_text(app_factory, query):
    """A query string may hold any bytes; where they are not ours they change nothing."""
    projects = mongomock.MongoClient().platform.projects
    projects.insert_many([{"owner": "ada"}, {"owner": "ada"}])
    response = app_factory(projects).test_client().get("/api/usage", environ_overrides={"QUERY_STRING": query})
    assert response.status_code == 200
    assert ("Link" in response.headers) == ("limit" in query)


def test_no_answer_to_strangers(app_factory):
    """Who is not signed in learns nothing about parameters."""
    client = app_factory(mongomock.MongoClient().platform.projects, None).test_client()
    assert client.get("/api/usage?limit=many").status_code == 401
