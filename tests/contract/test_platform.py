"""``GET /api/usage/platform``: the usage of all owners."""

import json
from datetime import UTC, datetime
from fractions import Fraction
from urllib.parse import urlencode

import pytest
from bson import Decimal128, Int64, ObjectId
from bson_values import ELEMENTS, VALUES, document, element
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.collection import Collection
from support import strict_json, usage_body

from flask_usage_stats import ProjectStore
from flask_usage_stats._core.values import round_exactly
from flask_usage_stats.schemas import PlatformSchema

NOW = datetime(2026, 11, 25, 19, 0, 0, 500_000, tzinfo=UTC)
LABELS = ["free", "Free", "PRO", "Straße", "STRASSE", "İ", "i̇", "", None, 1, 1.0, True, Decimal128("1.0"), ["pro"]]
NAMES = ("plan", "projectType", "status")
ID = ObjectId("60c72b2f9b1d8b3f4c8e4d21")
LARGE = [2**53, 2.0**53, 2**53 + 1, Int64(2**63 - 1), 2.0**63, 2.0**36, 2**36 + 1, 1e300, -1e300, 1e22]
ODD = [0.1, 2.5, 5e-324, 2.0**52 + 0.5, None, "5", True, [3], {"a": 1}, float("nan"), float("inf"), -0.0]
DECIMALS = [
    *(
        "0.1",
        "2.5",
        "1.00",
        "0E+300",
        "NaN",
        "-Infinity",
        "1E+6144",
        "12345678901234567890",
    ),
    *("9.999999999999999999999999999999999E+33", "1E+33", "1.797693134862315807937289714053034E+308", "1.8E+308"),
]
NEAR_0 = ["1E-310", "-1E-310", "2.5E-324", "2E-324", "1E-400"]


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr("flask_usage_stats._core.clock.get_now", lambda: NOW)


def platform_body(response):
    """Parse the body of a 200 response, which must be valid according to the schema."""
    assert response.status_code == 200, response.text
    body = strict_json(response)
    assert PlatformSchema().validate(body) == {}
    return body


def decimals():
    """Draw decimals, but none so near to 0 that the sum of several differs, as the documentation states."""
    return st.sampled_from(DECIMALS).map(Decimal128) | st.builds(
        lambda digits, exponent: Decimal128(f"{digits}E{exponent}"),
        st.integers(-(10**34) + 1, 10**34 - 1),
        st.integers(-307, 300),
    )


def counts():
    return (
        st.integers(0, 1000)
        | st.integers(-(2**63), 2**63 - 1).map(Int64)
        | st.floats()
        | st.sampled_from([*LARGE, *ODD])
        | decimals()
    )


@st.composite
def projects_of_many(draw):
    """Draw a project; any of its fields may be missing."""
    owners = st.sampled_from(["ada", "bob", ID, str(ID), 7, 7.0, None])
    values = {
        "owner": owners | st.lists(owners, max_size=3),
        "plan": st.sampled_from(LABELS),
        "projectType": st.sampled_from(LABELS),
        "status": st.sampled_from(["live", "LIVE", "deleted", "Deleted", ["deleted"], None]),
        "totalRequest": counts(),
    }
    return {name: draw(value) for name, value in values.items() if draw(st.integers(0, 5))}


@st.composite
def filters(draw):
    parameters = [
        (name, draw(st.sampled_from(["FREE", "pro", "strasse", "İ", "1", "1.0", "true", "live"])))
        for name in draw(st.lists(st.sampled_from(NAMES), max_size=2))
    ]
    return parameters + [("without", name) for name in draw(st.lists(st.sampled_from(NAMES), max_size=1))]


def all_store(projects, **options):
    """Return a store in which every owner has all projects, whose list is what the platform view summarizes."""
    return ProjectStore(projects, owner_filter=lambda owner: {"_id": {"$exists": True}}, **options)


class TestSameCounts:
    @settings(max_examples=30)
    @given(
        stored=st.lists(projects_of_many(), min_size=1, max_size=12),
        parameters=filters(),
        group_by=st.permutations(NAMES),
        depth=st.integers(1, 3),
        deleted=st.sampled_from(["exclude", "include", "only"]),
    )
    def test_as_the_list(
        self, any_projects, app_factory, platform_factory, stored, parameters, group_by, depth, deleted
    ):
        """Totals, groups and rows equal those of a list of all projects, whatever is stored and selected."""
        any_projects.delete_many({})
        any_projects.insert_many([{"_id": number, **each} for number, each in enumerate(stored)])
        query = [*parameters, ("groupBy", ",".join(group_by[:depth]))]
        body = platform_body(
            platform_factory(any_projects)
            .test_client()
            .get("/api/usage/platform?" + urlencode([*query, ("deleted", deleted), ("limit", 1000)]))
        )
        excluded = {"exclude": ["deleted"], "include": [], "only": ["deleted"]}[deleted]
        client = app_factory(all_store(any_projects, excluded_statuses=excluded)).test_client()
        listed = usage_body(client.get("/api/usage?" + urlencode(query)))
        if deleted == "only":
            everything = app_factory(all_store(any_projects, excluded_statuses=[])).test_client()
            listed = minus(usage_body(everything.get("/api/usage?" + urlencode(query))), listed, group_by[:depth])
        rows = [{name: value for name, value in row.items() if name != "owner"} for row in body["projectStats"]]
        assert json.dumps(rows) == json.dumps(listed["projectStats"])
        assert body["totalRequests"] == listed["totalRequests"]
        assert body["groups"] == listed["groups"]
        assert body["projects"] == len(rows)
        assert body["unused"] == sum(row["totalRequest"] == 0 for row in rows)
        assert body["asOf"] == "2026-11-25T19:00:00.500Z"
        assert "others" not in body

    @settings(max_examples=30)
    @given(stored=st.lists(projects_of_many(), min_size=1, max_size=12), parameters=filters(), top=st.integers(1, 6))
    def test_as_each_owner(self, any_projects, app_factory, platform_factory, stored, parameters, top):
        """The group of an owner has the total of the owner's list, and all groups and the others have all projects."""
        any_projects.delete_many({})
        any_projects.insert_many([{"_id": number, **each} for number, each in enumerate(stored)])
        query = urlencode(parameters)
        client = platform_factory(any_projects).test_client()
        url = f"/api/usage/platform?{query}&groupBy=owner"
        body, plain = platform_body(client.get(url)), platform_body(client.get(f"/api/usage/platform?{query}"))
        groups = {group["owner"]: group for group in body["groups"]}
        assert len(groups) == len(body["groups"])
        for owner, shown in (("ada", "ada"), ("bob", "bob"), (str(ID), str(ID)), (7, 7)):
            listed = usage_body(app_factory(any_projects, owner).test_client().get(f"/api/usage?{query}"))
            expected = (len(listed["projectStats"]), listed["totalRequests"])
            group = groups.pop(shown, {"projects": 0, "totalRequests": 0})
            assert (group["projects"], group["totalRequests"]) == expected
        assert set(groups) <= {None}
        assert {name: body[name] for name in plain} == plain
        cut = platform_body(client.get(f"{url}&top={top}"))
        assert cut["groups"] == body["groups"][:top]
        rest = body["groups"][top:]
        assert ("others" in cut) == bool(rest)
        if rest:
            assert cut["others"]["groups"] == len(rest)
            assert cut["others"]["projects"] == sum(group["projects"] for group in rest)

    @pytest.mark.parametrize("text", NEAR_0)
    def test_decimals_near_0(self, any_projects, app_factory, platform_factory, text):
        """A single decimal of which a double has only some digits counts as in the list."""
        any_projects.insert_one({"totalRequest": Decimal128(text)})
        listed = usage_body(app_factory(all_store(any_projects)).test_client().get("/api/usage"))["totalRequests"]
        body = platform_body(platform_factory(any_projects).test_client().get("/api/usage/platform"))
        assert (body["totalRequests"], body["unused"]) == (listed, int(listed == 0))

    @pytest.mark.parametrize("value", [*VALUES.values(), *ELEMENTS.values()], ids=[*VALUES, *ELEMENTS])
    @pytest.mark.parametrize("name", [*NAMES, "totalRequest", "owner", "name"])
    def test_every_type(self, projects, app_factory, platform_factory, name, value):
        """A field with any value counts as in the list."""
        projects.insert_one(document(element("_id", 1), element(name, value)))
        projects.insert_one({"_id": 2, "plan": "pro", "totalRequest": 5})
        listed = usage_body(app_factory(all_store(projects)).test_client().get("/api/usage?groupBy=plan,status"))
        client = platform_factory(projects).test_client()
        body = platform_body(client.get("/api/usage/platform?groupBy=plan,status"))
        assert (body["totalRequests"], body["groups"]) == (listed["totalRequests"], listed["groups"])

    @pytest.mark.parametrize("value", [*VALUES.values(), *ELEMENTS.values()], ids=[*VALUES, *ELEMENTS])
    def test_every_type_of_label_can_be_selected(self, projects, app_factory, platform_factory, value):
        """A label with any value matches the same filter as in the list, for owners and projects as well."""
        projects.insert_one(document(element("_id", 1), element("owner", "ada"), element("plan", value)))
        projects.insert_one({"_id": 2, "owner": "ada", "plan": "other", "totalRequest": 5})
        (row,) = [
            row
            for row in usage_body(app_factory(projects).test_client().get("/api/usage"))["projectStats"]
            if row["_id"] == 1
        ]
        text = row["plan"] or ""
        query = {"plan": text} if 0 < len(text) <= 100 else {"without": "plan"}
        expected = 1 if len(text) <= 100 else 0
        for more in ({}, {"groupBy": "owner"}, {"limit": 5}):
            response = platform_factory(projects).test_client().get("/api/usage/platform?" + urlencode(query | more))
            body = platform_body(response)
            assert body["projects"] == expected
            assert [group["projects"] for group in body.get("groups", [])] == (
                [expected] if more.get("groupBy") and expected else []
            )
            assert [row["_id"] for row in body.get("projectStats", [])] == ([1] if "limit" in more and expected else [])

    @settings(max_examples=30)
    @given(data=st.data())
    def test_mapped_paths(self, any_projects, app_factory, platform_factory, data):
        """Fields at other paths, and arrays on the way to them, count as in the list."""
        inner = {
            "team": st.sampled_from(["ada", ["ada", "bob"], None, "bob"]),
            "hits": counts(),
            "plan": st.sampled_from(LABELS),
            "now": st.sampled_from(["live", "deleted", ["deleted"]]),
        }

        def draw(names):
            part = st.fixed_dictionaries({}, optional={name: inner[name] for name in names})
            return data.draw(part | st.lists(part, max_size=2) | st.sampled_from([None, 5]))

        stored = [
            {"_id": number, "a": draw(["team"]), "stats": draw(["hits", "plan"]), "state": draw(["now"])}
            for number in range(data.draw(st.integers(1, 6)))
        ]
        any_projects.delete_many({})
        any_projects.insert_many(stored)
        fields = {"totalRequest": "stats.hits", "plan": "stats.plan", "status": "state.now"}
        owned = ProjectStore(any_projects, fields=fields | {"owner": "a.team"})
        everything = app_factory(all_store(any_projects, fields=fields)).test_client()
        listed = usage_body(everything.get("/api/usage?groupBy=plan,status"))
        client = platform_factory(owned).test_client()
        body = platform_body(client.get("/api/usage/platform?groupBy=plan,status&limit=100"))
        assert (body["totalRequests"], body["groups"]) == (listed["totalRequests"], listed["groups"])
        assert [row["_id"] for row in body["projectStats"]] == [row["_id"] for row in listed["projectStats"]]
        if isinstance(any_projects, Collection):  # mongomock does not look into arrays
            groups = platform_body(client.get("/api/usage/platform?groupBy=owner"))["groups"]
            for owner in ("ada", "bob"):
                own = usage_body(app_factory(owned, owner).test_client().get("/api/usage"))
                found = [group["totalRequests"] for group in groups if group["owner"] == owner]
                assert found == [own["totalRequests"]] * bool(own["projectStats"])


def minus(every, kept, names):
    """Return the body of a list with only the projects of the first list that the second does not have."""
    ids = {row["_id"] for row in kept["projectStats"]}
    rows = [row for row in every["projectStats"] if row["_id"] not in ids]
    groups = {}
    for row in rows:
        key = tuple((row.get(name) or "").casefold() or None for name in names)
        groups.setdefault(key, []).append(Fraction(row["totalRequest"]))
    total = sum((Fraction(row["totalRequest"]) for row in rows), Fraction())
    sums = sorted(groups.items(), key=lambda item: [(text is None, text or "") for text in item[0]])
    sums.sort(key=lambda item: round_exactly(sum(item[1])), reverse=True)
    return {
        "projectStats": rows,
        "totalRequests": round_exactly(total),
        "groups": [
            {
                **dict(zip(names, key, strict=True)),
                "projects": len(each),
                "totalRequests": round_exactly(sum(each, Fraction())),
                "share": float(
                    round(Fraction(round_exactly(sum(each, Fraction()))) / Fraction(round_exactly(total)), 4)
                )
                if total > 0
                else None,
            }
            for key, each in sums
        ],
    }
