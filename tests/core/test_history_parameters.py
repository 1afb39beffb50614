"""The query parameters of the history."""

from datetime import UTC, datetime

import pytest

from flask_usage_stats import InvalidParametersError
from flask_usage_stats._core.history_parameters import parse_history_parameters

NOW = datetime(2026, 4, 2, 10, 30, tzinfo=UTC)
INSTANT = "must be a date or an instant with offset, such as 2026-03-28 or 2026-03-28T00:00:00+01:00"


def read(*pairs, **arguments):
    values = {}
    for name, value in (*pairs, *arguments.items()):
        values.setdefault(name, []).append(value)
    return parse_history_parameters(values, NOW)


def errors_of(*pairs, **arguments):
    with pytest.raises(InvalidParametersError) as caught:
        read(*pairs, **arguments)
    return caught.value.errors


def range_of(query):
    return [str(moment.replace(tzinfo=None)) for moment in (query.windows[0][0], query.windows[-1][1])]


class TestRange:
    def test_default(self):
        """The last 30 dates with today, by day in UTC."""
        query = read()
        assert range_of(query) == ["2026-03-04 00:00:00", "2026-04-03 00:00:00"]
        assert (query.window, str(query.zone), len(query.windows)) == ("day", "UTC", 30)
        assert (query.ids, query.group_by, query.format) == (None, (), None)

    def test_default_in_another_zone(self):
        """Today is the date in the zone."""
        assert range_of(read(tz="Pacific/Kiritimati"))[1] == "2026-04-03 10:00:00"
        for window in ("hour", "day"):
            assert range_of(read(tz="Europe/Berlin", window=window)) == ["2026-03-03 23:00:00", "2026-04-02 22:00:00"]

    def test_dates_are_those_of_the_zone(self):
        """A date is its midnight in the zone."""
        query = read(("from", "2026-03-27"), to="2026-03-28", tz="America/New_York")
        assert range_of(query) == ["2026-03-27 04:00:00", "2026-03-28 04:00:00"]

    def test_only_to(self):
        """The 30 dates that end with it."""
        assert range_of(read(to="2026-01-31")) == ["2026-01-01 00:00:00", "2026-01-31 00:00:00"]

    def test_only_from(self):
        """Until the end of today."""
        assert range_of(read(("from", "2026-04-01"))) == ["2026-04-01 00:00:00", "2026-04-03 00:00:00"]

    @pytest.mark.parametrize(
        ("start", "end", "window", "expected"),
        [
            ("2026-03-28", "2026-03-31", "day", ["2026-03-28 00:00:00", "2026-03-31 00:00:00"]),
            ("2026-03-28T13:00:00Z", "2026-03-28T13:00:01Z", "day", ["2026-03-28 00:00:00", "2026-03-29 00:00:00"]),
            (
                "2026-03-28T13:20:00 01:00",
                "2026-03-28T13:00:00Z",
                "hour",
                ["2026-03-28 12:00:00", "2026-03-28 13:00:00"],
            ),
            ("2026-03-28", "2026-03-31", "week", ["2026-03-23 00:00:00", "2026-04-06 00:00:00"]),
            ("2026-03-28", "2026-03-31", "month", ["2026-03-01 00:00:00", "2026-04-01 00:00:00"]),
        ],
    )
    def test_widened(self, start, end, window, expected):
        """The range consists of complete windows."""
        assert range_of(read(("from", start), to=end, window=window)) == expected


def test_filters():
    """The filters are those of the list; ids are compared exactly."""
    query = read(
        ("project", "A"), ("project", "b"), plan="PRO", status="Live", projectType="node", without="plan", search="X",
        groupBy="plan,status", format="csv",
    )  # fmt: skip
    assert query.ids == {"A", "b"}
    assert query.projects.filters == {"plan": {"pro"}, "status": {"live"}, "projectType": {"node"}}
    assert (query.projects.without, query.projects.search) == (("plan",), "x")
    assert (query.group_by, query.format) == (("plan", "status"), "csv")
    assert read(groupBy="project").group_by == ("project",)


def test_unknown_names_are_ignored():
    """As in the list."""
    assert read(utm_source="mail") == read()


@pytest.mark.parametrize(
    ("arguments", "errors"),
    [
        ({"tz": "Mars/Base"}, {"tz": ["tz must be an IANA time zone, such as Europe/Berlin"]}),
        ({"tz": "europe/berlin"}, {"tz": ["tz must be an IANA time zone, such as Europe/Berlin"]}),
        ({"from": "yesterday"}, {"from": [f"from {INSTANT}"]}),
        ({"to": "2026-03-28T00:00:00"}, {"to": [f"to {INSTANT}"]}),
        ({"from": "", "tz": "x"}, {"from": [f"from {INSTANT}"], "tz": ["tz must be an IANA time zone, such as Europe/Berlin"]}),
        ({"from": "2026-03-28", "to": "2026-03-28"}, {"from": ["from must be before to"]}),
        ({"from": "2027-03-28"}, {"from": ["from must be before to"]}),
        ({"from": "2027-03-28", "format": "xml"}, {"from": ["from must be before to"], "format": ["format must be one of json, csv"]}),
        ({"to": "x", "from": "2027-03-28"}, {"to": [f"to {INSTANT}"]}),
        ({"tz": "x", "from": "2027-03-28"}, {"tz": ["tz must be an IANA time zone, such as Europe/Berlin"]}),
        ({"window": "x", "from": "2027-03-28"}, {"window": ["window must be one of hour, day, week, month"]}),
        ({"window": "year"}, {"window": ["window must be one of hour, day, week, month"]}),
        (
            {"from": "2026-01-01", "to": "2026-04-03", "window": "hour"},
            {"window": ["window=hour gives at most 744 buckets; this range has 2208"]},
        ),
        (
            {"from": "0001-01-01", "to": "9999-12-31", "window": "month"},
            {"window": ["window=month gives at most 24 buckets; this range has 119964"]},
        ),
        ({"project": ""}, {"project": ["project must be text of 1 to 1024 characters, given up to 50 times"]}),
        (
            {"groupBy": "plan,project"},
            {"groupBy": ["groupBy must be one or several of plan, projectType, status, separated by commas, or project"]},
        ),
        ({"plan": ""}, {"plan": ["plan must be text of 1 to 100 characters, given up to 50 times"]}),
        ({"format": "xml"}, {"format": ["format must be one of json, csv"]}),
        ({"From": "2026-01-01"}, {"from": ["from must have exactly this spelling, without brackets"]}),
        ({"project[]": "7"}, {"project": ["project must have exactly this spelling, without brackets"]}),
        ({"Limit": "7", "sort[]": "name", "sort": "name", "limit[a]": "8"}, {"limit": ["limit is not a parameter of the history"], "sort": ["sort is not a parameter of the history"]}),
        ({"limit": "7", "minRequests": "1"}, {"limit": ["limit is not a parameter of the history"], "minRequests": ["minRequests is not a parameter of the history"]}),
    ],
)  # fmt: skip
def test_errors(arguments, errors):
    """Every error has the parameter's name, in the order of the parameters; only a valid range is checked as such."""
    found = errors_of(**arguments)
    assert found == errors
    assert list(found) == list(errors)


def test_repeated_parameters():
    """A parameter with one value must not be repeated, and too many ids are refused."""
    assert errors_of(("tz", "UTC"), ("tz", "UTC")) == {"tz": ["tz must not be repeated"]}
    assert errors_of(*[("project", str(number)) for number in range(51)]).keys() == {"project"}
