"""The query parameters of the platform view."""

import pytest

from flask_usage_stats import InvalidParametersError
from flask_usage_stats._core.parameters import PARAMETER_NAMES
from flask_usage_stats._core.platform_parameters import PlatformParametersSchema, parse_platform_parameters
from flask_usage_stats._core.platform_query import PlatformQuery, Selection


def parse(*, has_owners=True, **parameters):
    return parse_platform_parameters(
        {name: [values] if isinstance(values, str) else values for name, values in parameters.items()},
        has_owners=has_owners,
    )


def errors_of(**parameters):
    with pytest.raises(InvalidParametersError) as raised:
        parse(**parameters)
    return raised.value.errors


def test_defaults():
    """Without parameters, all projects that are not deleted are totaled."""
    assert parse() == PlatformQuery(Selection(), group_by=(), top=100, limit=0, format=None)


def test_values_of_a_choice():
    """The schema, which the OpenAPI document has, lists every name that is valid."""
    names = PlatformParametersSchema().fields["groupBy"].metadata["schema"]["items"]["enum"]
    assert names == ["plan", "projectType", "status", "owner"]
    assert all(parse(groupBy=name).group_by == (name,) for name in names)


def test_every_parameter():
    """Each parameter has its place in the query."""
    query = parse(
        status=["Live", "live", "stopped"],
        projectType="node",
        plan="PRO",
        without="plan,status",
        deleted="only",
        groupBy=["plan", "status"],
        top="1000",
        limit="7",
        format="csv",
    )
    assert query.selection.filters == {
        ("status", frozenset({"live", "stopped"})),
        ("projectType", frozenset({"node"})),
        ("plan", frozenset({"pro"})),
    }
    assert (query.selection.without, query.selection.deleted) == ({"plan", "status"}, "only")
    assert (query.group_by, query.top, query.limit, query.format) == (("plan", "status"), 1000, 7, "csv")
    assert parse(groupBy="owner").groups_owners
    assert not query.groups_owners


def test_equal_selections_are_equal():
    """The order and the case of filters do not matter, so that equal selections share what is read."""
    one, other = (
        parse(plan=plans, without=names)
        for plans, names in ((["a", "B"], "plan,status"), (["b", "A"], ["status", "plan"]))
    )
    assert hash(one.selection) == hash(other.selection)
    assert one.selection == other.selection


@pytest.mark.parametrize(
    ("parameters", "name", "message"),
    [
        ({"top": "0", "groupBy": "plan"}, "top", "top must be a whole number from 1 to 1000"),
        ({"top": "1001", "groupBy": "plan"}, "top", "top must be a whole number from 1 to 1000"),
        ({"top": "5"}, "top", "top requires groupBy"),
        ({"limit": "1001"}, "limit", "limit must be a whole number from 0 to 1000"),
        ({"limit": "-1"}, "limit", "limit must be a whole number from 0 to 1000"),
        ({"deleted": "yes"}, "deleted", "deleted must be one of exclude, include, only"),
        (
            {"groupBy": "owner,plan"},
            "groupBy",
            "groupBy must be one or several of plan, projectType, status, separated by commas, or owner",
        ),
        ({"groupBy": "owner", "has_owners": False}, "groupBy", "owner is decided by owner_filter here"),
        ({"groupby": "plan"}, "groupBy", "groupBy must have exactly this spelling, without brackets"),
        ({"plan[]": "pro"}, "plan", "plan must have exactly this spelling, without brackets"),
        ({"Deleted": "only"}, "deleted", "deleted must have exactly this spelling, without brackets"),
        ({"plan": ""}, "plan", "plan must be text of 1 to 100 characters, given up to 50 times"),
    ],
)
def test_invalid_values(parameters, name, message):
    """An invalid value has a message that says what is valid."""
    assert errors_of(**parameters) == {name: [message]}


@pytest.mark.parametrize("name", sorted(PARAMETER_NAMES - PlatformParametersSchema().fields.keys()))
def test_parameters_of_the_list(name):
    """The other parameters of the list are errors, in any spelling, since ignoring them would total too much."""
    for spelling in (name, name.upper(), f"{name}[]"):
        assert errors_of(**{spelling: "1"}) == {name: [f"{name} is not a parameter of the platform view"]}


def test_unknown_parameters_are_ignored():
    """Parameters of others, such as those of caches, are ignored."""
    assert parse(_="1", owner="ada") == parse()


def test_top_and_group_by_are_checked_separately():
    """An invalid value of one is not an error of the other."""
    assert errors_of(top="5", groupBy="x").keys() == {"groupBy"}
    assert errors_of(top="0") == {
        "top": ["top must be a whole number from 1 to 1000", "top requires groupBy"],
    }


def test_all_errors_in_order():
    """All errors are reported, in the order of the parameter table."""
    assert list(errors_of(cursor="x", limit="x", deleted="x", plan="")) == ["plan", "deleted", "limit", "cursor"]
