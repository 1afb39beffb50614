"""Parsing of the query parameters, and the messages for invalid ones."""

import re

import pytest

from flask_usage_stats._core.cursors import encode_cursor
from flask_usage_stats._core.parameters import ParametersSchema, parse_parameters
from flask_usage_stats._core.query import DEFAULT_QUERY, CursorPosition, UsageQuery
from flask_usage_stats.errors import InvalidParametersError

MUST = {
    "minRequests": "minRequests must be a whole number of up to 20 digits",
    "maxRequests": "maxRequests must be a whole number of up to 20 digits",
    **{
        name: f"{name} must be text of 1 to 100 characters, given up to 50 times"
        for name in ("status", "projectType", "plan")
    },
    "without": "without must be one or several of plan, projectType, status, separated by commas",
    "search": "search must be text of 1 to 100 characters",
    "idleDays": "idleDays must be a whole number from 1 to 3650",
    "sort": "sort must be one of totalRequest, name, createdAt, updatedAt, lastRequestAt",
    "order": "order must be one of desc, asc",
    "limit": "limit must be a whole number from 0 to 1000",
    "cursor": "cursor must be the nextCursor of a page of the same query",
    "groupBy": "groupBy must be one or several of plan, projectType, status, separated by commas",
    "include": "include must be lastRequestAt",
    "format": "format must be one of json, csv",
}
_NAMES = {"type": "string", "enum": ["plan", "projectType", "status"]}
_NUMBER = {"type": "string", "pattern": "^[0-9]{1,20}$"}
_SORTS = ["totalRequest", "name", "createdAt", "updatedAt", "lastRequestAt"]
SCHEMAS = {
    "minRequests": _NUMBER,
    "maxRequests": _NUMBER,
    **{
        name: {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 100}, "maxItems": 50}
        for name in ("status", "projectType", "plan")
    },
    **{name: {"type": "array", "items": _NAMES, "minItems": 1, "uniqueItems": True} for name in ("without", "groupBy")},
    "search": {"type": "string", "minLength": 1, "maxLength": 100},
    "idleDays": {"type": "integer", "minimum": 1, "maximum": 3650},
    "sort": {"type": "string", "enum": _SORTS},
    "order": {"type": "string", "enum": ["desc", "asc"]},
    "limit": {"type": "integer", "minimum": 0, "maximum": 1000},
    "cursor": {"type": "string", "minLength": 1},
    "include": {"type": "string", "enum": ["lastRequestAt"]},
    "format": {"type": "string", "enum": ["json", "csv"]},
}


def read(owner="ada", *, has_last_requests=True, **arguments):
    return parse_parameters(
        {name: [value] if isinstance(value, str) else value for name, value in arguments.items()},
        owner,
        has_last_requests=has_last_requests,
    )


def refused(**arguments):
    with pytest.raises(InvalidParametersError) as caught:
        read(**arguments)
    return caught.value.errors


@pytest.mark.parametrize("name", MUST)
def test_parameters_are_described(name):
    """The documentation of a parameter states what its message does, and has a schema for the same values."""
    metadata = ParametersSchema().fields[name].metadata
    assert re.match("[A-Z][a-z]+ ", metadata["summary"])
    assert f"{name} must be {metadata['constraint']}" == MUST[name]
    assert metadata["schema"] == SCHEMAS[name]
    assert metadata["explode"] is (name in {"status", "projectType", "plan"})


def test_unknown_names_are_ignored():
    """A request without known parameters has the default query."""
    assert parse_parameters({}, "ada") == DEFAULT_QUERY
    assert read(utm_source="mail", page=["1", "2"]) == DEFAULT_QUERY


def test_every_parameter_is_parsed():
    """Every parameter sets its attribute of the query."""
    query = read(
        status=["Live", "STOPPED"],
        projectType="Node",
        plan="Straße",
        without="plan",
        search="API",
        minRequests="0",
        maxRequests="99999999999999999999",
        idleDays="030",
        sort="name",
        order="desc",
        limit="10",
        groupBy="plan,status",
        include="lastRequestAt",
        format="csv",
    )
    assert query == UsageQuery(
        filters={
            "status": frozenset({"live", "stopped"}),
            "projectType": frozenset({"node"}),
            "plan": frozenset({"strasse"}),
        },
        without=("plan",),
        search="api",
        min_requests=0,
        max_requests=10**20 - 1,
        idle_days=30,
        sort="name",
        descending=True,
        limit=10,
        group_by=("plan", "status"),
        include=("lastRequestAt",),
        format="csv",
    )


@pytest.mark.parametrize(
    ("sort", "descending"),
    [("totalRequest", True), ("name", False), ("createdAt", True), ("updatedAt", True), ("lastRequestAt", True)],
)
def test_default_order_depends_on_the_sort(sort, descending):
    """Names are ascending by default, everything else descending."""
    assert read(sort=sort).descending is descending
    assert read(sort=sort, order="asc").descending is False


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
    [(name, value) for name in ("minRequests", "maxRequests", "idleDays", "limit") for value in BAD_NUMBERS]
    + [("limit", "1001"), ("limit", "1" * 20), ("idleDays", "0"), ("idleDays", "3651")]
    + [("include", value) for value in ("", "lastrequestat", "updatedAt", "lastRequestAt,lastRequestAt")]
    + [("sort", value) for value in ("", "Name", "plan", "_id", "name,plan", "totalRequests")]
    + [("order", value) for value in ("", "ASC", "up", "1")]
    + [("format", value) for value in ("", "CSV", "xml")]
    + [("groupBy", value) for value in ("", ",", "plan,", "plan,plan", "Plan", "name", "plan, status", "plan;status")]
    + [("status", value) for value in ("", ["live", ""], "x" * 101, ["x"] * 51)]
    + [("search", value) for value in ("", "x" * 101)],
)
def test_invalid_values_are_refused(name, value):
    """The message says what the value must be."""
    assert refused(**{name: value}) == {name: [MUST[name]]}


@pytest.mark.parametrize(
    "name", [name for name in MUST if name not in ("status", "projectType", "plan", "groupBy", "without")]
)
def test_repeats_are_refused(name):
    """A parameter with one value must not be repeated, not even with the same value."""
    assert refused(**{name: ["1", "1"]})[name][0] == f"{name} must not be repeated"


@pytest.mark.parametrize("name", ["groupBy", "without"])
def test_names_may_be_repeated_or_separated_by_commas(name):
    """Both spellings of a list are the same query."""
    expected = read(**{name: "plan,status,projectType"})
    assert read(**{name: ["plan", "status,projectType"]}) == expected
    for texts in (["plan", "plan"], ["plan", ""], ["plan,", "status"]):
        assert refused(**{name: texts}) == {name: [MUST[name]]}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("plan[]", "plan"),
        ("plan[0]", "plan"),
        ("Plan", "plan"),
        ("PROJECTTYPE", "projectType"),
        ("projecttype[]", "projectType"),
        ("Limit", "limit"),
        ("groupby", "groupBy"),
        ("CURSOR", "cursor"),
        ("idledays", "idleDays"),
        ("include[]", "include"),
    ],
)
def test_misspelled_names_are_refused(written, name):
    """A name of a parameter in another case or with brackets would otherwise be ignored, and the total too large."""
    message = f"{name} must have exactly this spelling, without brackets"
    assert refused(**{written: "x"}) == {name: [message]}
    assert refused(**{written: "x", written.upper(): "x"})[name] == [message]
    assert refused(**{written: "x", "sort": "x"}) == {name: [message], "sort": [MUST["sort"]]}


@pytest.mark.parametrize("name", ["[]", "[plan]", "plans", "plan.name", "plan ", "x[plan]", ""])
def test_other_names_are_ignored(name):
    """Names that only resemble a parameter are unknown."""
    assert read(**{name: "x"}) == DEFAULT_QUERY


def test_maximum_values_are_valid():
    """The largest documented values are valid."""
    assert read(status=["x" * 100] * 50, limit="1000", minRequests="9" * 20).limit == 1000
    assert [read(search="x" * length).search for length in (1, 100)] == ["x", "x" * 100]
    assert read(limit="0").limit == 0
    assert read(limit="007").limit == 7
    assert [read(idleDays=text).idle_days for text in ("1", "3650")] == [1, 3650]


def test_last_requests_that_are_not_recorded():
    """Each parameter that needs the time of the latest requests is refused, but not one that is invalid anyway."""
    message = "lastRequestAt is not recorded here"
    parameters = {"include": "lastRequestAt", "sort": "lastRequestAt", "idleDays": "30"}
    errors = refused(has_last_requests=False, **parameters)
    assert list(errors.items()) == [(name, [message]) for name in ("idleDays", "sort", "include")]
    for name, value in parameters.items():
        assert refused(has_last_requests=False, **{name: value}) == {name: [message]}
        assert refused(has_last_requests=False, **{name: "x"}) == {name: [MUST[name]]}
    with pytest.raises(InvalidParametersError, match=message):
        parse_parameters({"idleDays": ["30"]}, "ada")
    assert refused(has_last_requests=False, limit="1", sort="lastRequestAt", cursor="x") == {"sort": [message]}


def test_bounds_must_not_contradict_each_other():
    """A minimum above the maximum would match nothing."""
    assert refused(minRequests="2", maxRequests="1") == {
        "minRequests": ["minRequests must not be greater than maxRequests"]
    }
    assert read(minRequests="2", maxRequests="2").min_requests == 2


def test_all_errors_are_reported_at_once():
    """All errors are reported in the order of the documentation, whatever the order of the parameters."""
    with pytest.raises(InvalidParametersError) as caught:
        read(format="x", limit="x", status="", cursor=["x", "y"])
    assert list(caught.value.errors) == ["status", "limit", "cursor", "format"]
    assert str(caught.value) == MUST["status"]


class TestCursor:
    QUERY = UsageQuery(limit=2)
    POSITION = CursorPosition(5, b"\1\7")

    def test_cursor_becomes_a_position(self):
        """The query starts after the position that the cursor encodes."""
        assert read(limit="2", cursor=encode_cursor(self.POSITION, "ada", self.QUERY)).position == self.POSITION

    @pytest.mark.parametrize(
        "other",
        [{"sort": "name"}, {"plan": "pro"}, {"owner": "bob"}, {"search": "a"}, {"without": "plan"}]
        + [{"idleDays": "1"}, {"include": "lastRequestAt"}, {"sort": "lastRequestAt"}],
    )
    def test_cursor_of_another_query_is_refused(self, other):
        """A cursor is valid only for the same owner and query."""
        text = encode_cursor(self.POSITION, "ada", self.QUERY)
        assert refused(limit="2", cursor=text, **other) == {"cursor": [MUST["cursor"]]}

    def test_cursor_requires_limit(self):
        """A cursor without a limit is an error, whatever its text."""
        assert refused(cursor="x") == {"cursor": ["cursor requires limit"]}
        assert refused(cursor=["x", "x"]) == {"cursor": ["cursor must not be repeated", "cursor requires limit"]}

    @pytest.mark.parametrize("text", ["", "x", "=", "\u00e9", "x" * 100_000], ids=lambda text: text[:9])
    def test_other_text_is_refused(self, text):
        """Text that is not a cursor is an error."""
        assert refused(limit="2", cursor=text) == {"cursor": [MUST["cursor"]]}

    def test_cursor_is_checked_if_the_other_parameters_are_valid(self):
        """Otherwise the cursor cannot be checked, because its checksum depends on them."""
        assert refused(limit="x", cursor="x") == {"limit": [MUST["limit"]]}
