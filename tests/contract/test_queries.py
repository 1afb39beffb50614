"""Filters, order, pages and groups equal a step-by-step computation over the full list."""

import csv
import io
import json
import math
from datetime import datetime
from fractions import Fraction
from itertools import product
from urllib.parse import parse_qsl, urlencode

import mongomock
import pytest
from bson import Decimal128, ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import given, settings
from hypothesis import strategies as st
from support import StubStore, ids_of, read_pages, strict_json, usage_body

from flask_usage_stats import ProjectStore
from flask_usage_stats._core.values import get_date_sort_key
from flask_usage_stats.schemas import GroupSchema

few_examples = settings(max_examples=50)

LABELS = ["free", "Free", "PRO", "pro", "Straße", "STRASSE", "", None]
MOMENTS = [
    datetime(2024, 1, 1),
    datetime(2024, 1, 1, 0, 0, 0, 1000),
    datetime(2024, 5, 1),
    "2024-03-01T00:00:00Z",
    "2024-03-01",
    "soon",
    None,
]


@st.composite
def documents(draw):
    """Draw a project of ada's; any of its fields may be missing."""
    values = {
        "name": st.sampled_from(["blog", "Blog", "api", "Äpi", "", None, "z" * 300]),
        "projectType": st.sampled_from(LABELS),
        "status": st.sampled_from(LABELS),
        "plan": st.sampled_from(LABELS),
        "totalRequest": st.sampled_from([0, 1, 2, 2, 3.5, -1, 10**12, 1e300, None, "x"]),
        "createdAt": st.sampled_from(MOMENTS),
        "updatedAt": st.sampled_from(MOMENTS),
    }
    return {name: draw(value) for name, value in values.items() if draw(st.integers(0, 5))}


@st.composite
def queries(draw):
    """Draw parameters, except those for pages."""
    parameters = []
    for name in ("status", "projectType", "plan"):
        parameters += [
            (name, text) for text in draw(st.lists(st.sampled_from(["FREE", "pro", "strasse", "x"]), max_size=2))
        ]
    lacking = draw(st.lists(st.sampled_from(["status", "projectType", "plan"]), max_size=2, unique=True))
    parameters += [("without", name) for name in lacking]
    if draw(st.integers(0, 3)) == 0:
        parameters.append(("search", draw(st.sampled_from(["b", "API", "äP", "z" * 100, "x"]))))
    bounds = sorted(draw(st.lists(st.integers(0, 4), max_size=2)))
    parameters += zip(("minRequests", "maxRequests"), bounds, strict=False)
    if draw(st.booleans()):
        parameters.append(("sort", draw(st.sampled_from(["totalRequest", "name", "createdAt", "updatedAt"]))))
    if draw(st.booleans()):
        parameters.append(("order", draw(st.sampled_from(["asc", "desc"]))))
    if draw(st.booleans()):
        parameters.append(
            ("groupBy", ",".join(draw(st.permutations(["plan", "projectType", "status"]))[: draw(st.integers(1, 3))]))
        )
    return parameters


def expected_body(rows, parameters):
    """Compute the body step by step from the rows of the response without parameters."""
    given_ = dict(parameters)
    for name in ("status", "projectType", "plan"):
        texts = {text.casefold() for other, text in parameters if other == name}
        if texts:
            rows = [row for row in rows if row.get(name) is not None and row[name].casefold() in texts]
    lacking = [name for other, name in parameters if other == "without"]
    rows = [row for row in rows if all(row.get(name) in (None, "") for name in lacking)]
    if "search" in given_:
        rows = [row for row in rows if given_["search"].casefold() in (row.get("name") or "").casefold()]
    rows = [row for row in rows if int(given_.get("minRequests", -(10**400))) <= row["totalRequest"]]
    rows = [row for row in rows if row["totalRequest"] <= int(given_.get("maxRequests", 10**400))]
    sort = given_.get("sort", "totalRequest")

    def key(row):
        value = row.get(sort)
        if sort == "totalRequest" or value is None:
            return value
        return value.casefold() if sort == "name" else get_date_sort_key(value)

    descending = given_.get("order", "asc" if sort == "name" else "desc") == "desc"
    rows = sorted(rows, key=lambda row: row["_id"])
    having = sorted((row for row in rows if key(row) is not None), key=key, reverse=descending)
    rows = having + [row for row in rows if key(row) is None]
    exact = sum((Fraction(row["totalRequest"]) for row in rows), Fraction())
    total = number(exact)
    body = {"success": True, "totalRequests": total, "projectStats": rows}
    if "groupBy" in given_:
        body["groups"] = expected_groups(rows, given_["groupBy"].split(","), exact)
    return body


def number(exact):
    """Convert an exact sum to an integer if it or its nearest double has no fraction, otherwise to a double."""
    if exact.denominator == 1:
        return exact.numerator
    return int(float(exact)) if float(exact).is_integer() else float(exact)


def expected_groups(rows, names, total):
    found = {}
    for row in rows:
        texts = tuple((row.get(name) or "").casefold() or None for name in names)
        found.setdefault(texts, []).append(Fraction(row["totalRequest"]))
    ranked = sorted(found.items(), key=lambda item: (-sum(item[1]), [(text is None, text or "") for text in item[0]]))
    return [
        {
            **dict(zip(names, texts, strict=True)),
            "projects": len(counts),
            "totalRequests": number(sum(counts)),
            "share": float(round(sum(counts) / total, 4)) if total > 0 else None,
        }
        for texts, counts in ranked
    ]


@pytest.fixture
def client(any_projects, app_factory):
    """Return a client whose requests are authenticated as ada."""
    return app_factory(any_projects).test_client()


def fill(projects, stored):
    projects.delete_many({})
    if stored:
        projects.insert_many([{"_id": number, "owner": "ada", **document} for number, document in enumerate(stored)])
    projects.insert_one({"_id": -1, "owner": "bob", "plan": "pro", "totalRequest": 99})


@few_examples
@given(stored=st.lists(documents(), max_size=12), parameters=queries())
def test_filters_order_and_groups(any_projects, client, stored, parameters):
    """Any combination of filters, order and groups equals a step-by-step computation over the full list."""
    fill(any_projects, stored)
    rows = strict_json(client.get("/api/usage"))["projectStats"]
    response = client.get("/api/usage?" + urlencode(parameters))
    assert json.dumps(usage_body(response)) == json.dumps(expected_body(rows, parameters))


@few_examples
@given(
    owners=st.lists(st.sampled_from(["ada", "bob", ["ada", "bob"], 7, None]), max_size=12),
    caller=st.sampled_from(["ada", "bob", "eve", 7]),
    parameters=queries(),
    limit=st.none() | st.integers(0, 5),
    format_=st.sampled_from(["json", "csv"]),
)
def test_own_projects_only(any_projects, app_factory, owners, caller, parameters, limit, format_):
    """Whatever the query, rows, groups and totals consist of the owner's projects only."""
    any_projects.delete_many({})
    if owners:
        any_projects.insert_many(
            [{"_id": n, "owner": owner, "plan": "pro", "totalRequest": 2**n} for n, owner in enumerate(owners)]
        )
    own = {n for n, owner in enumerate(owners) if owner == caller or (isinstance(owner, list) and caller in owner)}
    query = [*parameters, ("format", format_)] + ([] if limit is None else [("limit", limit)])
    response = app_factory(any_projects, caller).test_client().get("/api/usage?" + urlencode(query))
    assert response.status_code == 200
    if format_ == "json":
        body = response.json
        assert {row["_id"] for row in body["projectStats"]} <= own
        assert body["totalRequests"] & ~sum(2**n for n in own) == 0  # every project has its own bit
        assert sum(group["totalRequests"] for group in body.get("groups", [])) in (0, body["totalRequests"])
    elif "groupBy" not in dict(parameters):
        assert {int(row["_id"]) for row in csv.DictReader(io.StringIO(response.text))} <= own


@few_examples
@given(stored=st.lists(documents(), max_size=12), parameters=queries(), limits=st.lists(st.integers(1, 5), min_size=1))
def test_pages(any_projects, client, stored, parameters, limits):
    """Pages of any size contain every row once and in order, with the same total and groups, and pagination ends."""
    fill(any_projects, stored)
    full = strict_json(client.get("/api/usage?" + urlencode(parameters)))
    found, cursor, count = [], None, 0
    while count == 0 or cursor is not None:
        page = [("limit", limits[count % len(limits)])] + ([] if cursor is None else [("cursor", cursor)])
        body = strict_json(client.get("/api/usage?" + urlencode([*parameters, *page])))
        assert list(body) == [*full, "totalProjects", "nextCursor"]
        assert body["totalProjects"] == len(full["projectStats"])
        assert (body["totalRequests"], body.get("groups")) == (full["totalRequests"], full.get("groups"))
        found += body["projectStats"]
        cursor = body["nextCursor"]
        count += 1
        assert count <= len(stored) + 1
    assert found == full["projectStats"]


TWINS = [{"_id": 1, "name": "a"}, {"_id": 1, "name": "a"}, {"_id": 1, "name": "a", "plan": None}]
LOOKALIKES = [{"_id": value} for value in (1, 1.0, True, "1", "true", Decimal128("1"), None, "null", 2**63, str(2**63))]


@pytest.mark.parametrize("sort", ["totalRequest", "name", "updatedAt"])
@pytest.mark.parametrize("formats", [["json"], ["csv"], ["csv", "json"]], ids="+".join)
@pytest.mark.parametrize(
    "stored",
    [
        [{"name": name} for name in "abc"],
        [{}] * 7,
        [*TWINS, {"_id": 1, "name": "b"}, *TWINS],
        [{"_id": None, "plan": "x"}, {"_id": None}, {}, {"plan": "x"}, {}],
        [{"_id": "x", "totalRequest": number // 3} for number in range(9)],
        [{"_id": "x", "name": "a\ud800"}, {"_id": "x", "name": "a\ufffd"}, {"_id": "x", "totalRequest": math.nan}],
        [{"_id": 1, "name": name, "totalRequest": 1e-7} for name in "abcdefgh"],
        LOOKALIKES,
        [{"_id": {"a": number}} for number in "112"],
    ],
    ids=["missing", "empty", "twins", "null", "repeated", "odd", "fractions", "lookalikes", "documents"],
)
def test_pages_over_ids_that_are_not_unique(app_factory, sort, formats, stored):
    """Pages contain every row once and end, even if ids are missing, repeated or look alike, in any format."""
    client = app_factory(StubStore(*stored)).test_client()
    for order, limit in product(("asc", "desc"), (1, 2, 3, 5, 100)):
        check_pages(client, f"sort={sort}&order={order}", limit, formats, len(stored))


def check_pages(client, query, limit, formats, count):
    full = [json.dumps(row) for row in client.get(f"/api/usage?{query}").json["projectStats"]]
    lines = client.get(f"/api/usage?{query}&format=csv").text.splitlines()[1:]
    found, number = {"json": [], "csv": []}, 0
    query += f"&limit={limit}"
    while query is not None:
        output = formats[number % len(formats)]
        response = client.get(f"/api/usage?{query}", headers={"Accept": "text/csv" if output == "csv" else "*/*"})
        assert response.status_code == 200
        rows = response.text.splitlines()[1:] if output == "csv" else map(json.dumps, response.json["projectStats"])
        found[output] += rows
        query = (response.headers.get("Link") or "<?>").split("?")[1].split(">")[0] or None
        number += 1
        assert number <= count
    assert len(found["json"]) + len(found["csv"]) == count
    if formats == ["json"]:
        assert found["json"] == full
    if formats == ["csv"]:
        assert sorted(found["csv"]) == sorted(lines)


def test_pages_over_mapped_ids(projects, app_factory):
    """The returned id need not be unique, because it may be stored elsewhere."""
    slugs = [{}, {}, {"slug": "x"}, {"slug": "x"}, {"slug": None}, {"slug": 7}, {"slug": "7"}]
    projects.insert_many([{"owner": "ada", "name": f"p{number % 3}", **slug} for number, slug in enumerate(slugs)])
    client = app_factory(ProjectStore(projects, fields={"_id": "slug"})).test_client()
    full = client.get("/api/usage").json["projectStats"]
    assert len(full) == len(slugs)
    for limit in range(1, 9):
        pages = list(read_pages(client, f"limit={limit}"))
        assert [row for body in pages for row in body["projectStats"]] == full
        assert len(pages) == -(-len(slugs) // limit)


def test_links_are_short_enough_for_proxies(any_projects, client):
    """A JSON response has no link above 2,048 characters, because its body has the cursor; a CSV response always has."""
    any_projects.insert_many([{"owner": "ada", "plan": "é" * 100} for _ in range(3)])
    plans = urlencode([("plan", "é" * 100), *(("plan", f"{number:0100}") for number in range(14))])
    short, long = (client.get(f"/api/usage?{plans[:end]}&limit=1") for end in (1200, None))
    assert len(short.headers["Link"]) < 2048
    assert "Link" not in long.headers
    assert len(client.get(f"/api/usage?{plans}&limit=1&format=csv").headers["Link"]) > 2048
    pages = [*read_pages(client, f"{plans}&limit=1")]
    assert [len(body["projectStats"]) for body in pages] == [1, 1, 1]


def test_pages_within_a_millisecond(app_factory):
    """Rows are sorted by the returned dates, even if the dates of a store have microseconds."""
    store = StubStore(*({"_id": number, "updatedAt": datetime(2024, 1, 1, 0, 0, 0, number)} for number in range(5)))
    pages = read_pages(app_factory(store).test_client(), "sort=updatedAt&limit=1")
    assert [ids_of(body) for body in pages] == [[0], [1], [2], [3], [4]]


def test_long_names_are_paginated(projects, app_factory):
    """Names whose first 200 characters are equal have the same order on every page."""
    names = ["x" * 300 + end for end in "dbac"] + ["x" * 200, "x" * 199 + "y"]
    projects.insert_many([{"_id": number, "owner": "ada", "name": name} for number, name in enumerate(names)])
    client = app_factory(projects).test_client()
    pages = list(read_pages(client, "sort=name&limit=1"))
    found = [row["name"] for body in pages for row in body["projectStats"]]
    assert found == [row["name"] for row in client.get("/api/usage?sort=name").json["projectStats"]]
    assert sorted(found) == sorted(names)
    assert (found[0], found[-1]) == ("x" * 200, "x" * 199 + "y")
    assert all(len(body["nextCursor"] or "") < 1000 for body in pages)


def test_cursors_fit_into_a_request_line(app_factory):
    """The longest cursors are short enough for servers that limit the request line to 4,094 bytes."""
    store = StubStore(*({"_id": f"{number}" + "\U0001f600" * 999, "name": "\U0001f600" * 999} for number in range(3)))
    pages = list(read_pages(app_factory(store).test_client(), "sort=name&limit=1"))
    assert len(pages) == 3
    assert 2000 < len(pages[0]["nextCursor"]) < 2400


def test_pages_over_ids_of_every_type(projects, app_factory):
    """Pages continue after any id, even a long one, and each links to the next."""
    ids = [None, 1, 10**18, "a", "x" * 999, "x" * 999 + "y", ObjectId(), 1.5, True, {"a": "y" * 500}, {"a": "y" * 501}]
    projects.insert_many([{"_id": identity, "owner": "ada"} for identity in ids])
    client = app_factory(projects).test_client()
    full = strict_json(client.get("/api/usage"))["projectStats"]
    found, query = [], "limit=1"
    while query:
        response = client.get(f"/api/usage?{query}")
        found += strict_json(response)["projectStats"]
        link = response.headers.get("Link")
        assert link is None or link.endswith('>; rel="next"')
        assert link is None or len(link) < 2500
        query = link and link.removeprefix("<?").removesuffix('>; rel="next"')
    assert found == full
    assert len(full) == len(ids)


def test_changes_between_pages(projects, app_factory):
    """Rows that do not change are returned once, even if others are moved, added or deleted between pages."""
    projects.insert_many([{"_id": number, "owner": "ada", "totalRequest": number} for number in range(10)])
    client = app_factory(projects).test_client()
    first = client.get("/api/usage?limit=4").json
    projects.update_one({"_id": 9}, {"$set": {"totalRequest": -1}})
    projects.update_one({"_id": 0}, {"$set": {"totalRequest": 100}})
    projects.delete_one({"_id": 6})
    projects.insert_one({"_id": 50, "owner": "ada", "totalRequest": 7})
    second = client.get(f"/api/usage?limit=1000&cursor={first['nextCursor']}").json
    assert [row["_id"] for row in first["projectStats"]] == [9, 8, 7, 6]
    assert [row["_id"] for row in second["projectStats"]] == [5, 4, 3, 2, 1, 9]
    assert second["nextCursor"] is None


@pytest.mark.parametrize(
    ("limit", "rows", "ends"), [(0, 0, True), (1, 1, False), (2, 2, False), (3, 3, True), (4, 3, True)]
)
def test_last_page_has_no_cursor(any_projects, client, limit, rows, ends):
    """The page with the last row and an empty page have no cursor."""
    any_projects.insert_many([{"owner": "ada", "plan": "pro", "totalRequest": 1} for _ in range(3)])
    body = client.get(f"/api/usage?limit={limit}&groupBy=plan").json
    assert len(body["projectStats"]) == rows
    assert (body["nextCursor"] is None) == ends
    assert body["totalRequests"] == 3
    assert body["groups"] == [{"plan": "pro", "projects": 3, "totalRequests": 3, "share": 1.0}]
    assert list(body) == ["success", "totalRequests", "projectStats", "groups", "totalProjects", "nextCursor"]


def test_link_has_every_parameter(any_projects, client):
    """The link to the next page has all parameters of the API, but no others."""
    any_projects.insert_many([{"owner": "ada", "plan": "a b&c"} for _ in range(3)])
    response = client.get("/api/usage?plan=a+b%26c&limit=1&utm=%C3%A9")
    query = response.headers["Link"].removeprefix("<?").removesuffix('>; rel="next"')
    assert dict(parse_qsl(query)) == {"plan": "a b&c", "limit": "1", "cursor": response.json["nextCursor"]}
    assert "Link" not in client.get("/api/usage?limit=1000").headers


def test_no_groups_without_rows(client):
    """Without rows there are no groups."""
    assert client.get("/api/usage?groupBy=plan").json["groups"] == []


def test_shares(any_projects, client):
    """A group's share has four decimals, and is null if the total is not positive."""
    any_projects.insert_many([{"owner": "ada", "plan": plan, "totalRequest": 1} for plan in ("a", "a", "b")])
    body = client.get("/api/usage?groupBy=plan").json
    assert [group["share"] for group in body["groups"]] == [0.6667, 0.3333]
    assert all(GroupSchema().validate(group) == {} for group in body["groups"])
    any_projects.insert_one({"owner": "ada", "totalRequest": -3})
    assert [group["share"] for group in client.get("/api/usage?groupBy=plan").json["groups"]] == [None] * 3
    any_projects.insert_one({"owner": "ada", "totalRequest": -2})
    assert [group["share"] for group in client.get("/api/usage?groupBy=plan").json["groups"]] == [None] * 3


def test_filters_apply_to_returned_values(projects, app_factory):
    """A filter compares the returned value, not the stored one."""
    projects.insert_many(
        [
            {"_id": 1, "owner": "ada", "plan": 5, "totalRequest": Decimal128("2.0")},
            {"_id": 2, "owner": "ada", "plan": {"name": "5"}, "totalRequest": "2"},
            {"_id": 3, "owner": "ada", "plan": "5", "totalRequest": 2.5},
        ]
    )
    client = app_factory(projects).test_client()
    assert [row["_id"] for row in client.get("/api/usage?plan=5").json["projectStats"]] == [3, 1]
    assert [row["_id"] for row in client.get("/api/usage?maxRequests=2").json["projectStats"]] == [1, 2]


def test_invalid_text_and_large_counts(app_factory):
    """Rows that need a slower encoding are filtered and grouped like any others."""
    rows = [
        {
            "_id": ObjectId(f"{number:024}"),
            "name": "a\ud800" if number % 2 else "b",
            "plan": "Pro",
            "totalRequest": 2**70 + number,
        }
        for number in range(4)
    ]
    client = app_factory(StubStore(*rows)).test_client()
    body = strict_json(client.get("/api/usage?plan=pro&groupBy=plan&sort=name&order=desc&limit=3"))
    assert [row["name"] for row in body["projectStats"]] == ["b", "b", "a\ufffd"]
    assert body["groups"][0]["projects"] == 4
    assert body["totalRequests"] == 4 * 2**70 + 6


@pytest.mark.parametrize(
    ("stored", "order"),
    [
        ([DatetimeMS(253402300800000), datetime(9999, 1, 1), "9998-01-01", DatetimeMS(-(2**62))], [1, 2, 0, 3]),
        (["2024-03-01T12:00:00+02:00", datetime(2024, 3, 1, 11), datetime(2024, 3, 1, 9)], [1, 0, 2]),
        (["+010000-01-01T00:00:00.000Z", "+009999-99-99", datetime(1, 1, 1)], [2, 0, 1]),
    ],
)
def test_dates_are_sorted_as_instants(projects, app_factory, stored, order):
    """Dates are sorted by time, whatever their notation; other text is last."""
    projects.insert_many([{"_id": number, "owner": "ada", "updatedAt": value} for number, value in enumerate(stored)])
    body = app_factory(projects).test_client().get("/api/usage?sort=updatedAt").json
    assert [row["_id"] for row in body["projectStats"]] == order


def test_mongomock_gives_the_same_bytes(projects, app_factory):
    """A mongomock collection results in the same bytes as a real one."""
    embedded = mongomock.MongoClient().platform.projects
    for collection in (projects, embedded):
        collection.insert_many(
            [
                {
                    "_id": n,
                    "owner": "ada",
                    "plan": "pro" if n % 3 else "Free",
                    "name": f"p{n % 5}",
                    "totalRequest": n % 7,
                }
                for n in range(30)
            ]
        )
    for query in ("plan=PRO&groupBy=plan", "sort=name&limit=7", "minRequests=2&order=asc&format=csv"):
        one, other = (
            app_factory(ProjectStore(c)).test_client().get(f"/api/usage?{query}") for c in (projects, embedded)
        )
        assert one.data == other.data
        assert one.headers.get("ETag") == other.headers.get("ETag")
