"""The history of projects: what is selected, what is read, and how it is added up."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from flask_usage_stats import ConfigurationError, InvalidParametersError
from flask_usage_stats._core.calendar import build_windows, get_quarter
from flask_usage_stats._core.history_query import HistoryQuery
from flask_usage_stats._core.query import UsageQuery
from flask_usage_stats._core.timeline import PartCount, build_timeline, plan_reading, select_projects

BERLIN = ZoneInfo("Europe/Berlin")
HEX = "507f1f77bcf86cd799439011"
PROJECTS = [
    {"_id": ObjectId(HEX), "name": "Shop", "plan": "Pro", "status": "live"},
    {"_id": 7, "name": "blog", "plan": "pro"},
    {"_id": "wiki", "name": "Wiki", "plan": ""},
    {"_id": "api", "name": "api", "plan": 5},
]


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def query(start="2026-03-28", end="2026-04-01", window="day", zone=UTC, **options):
    zone = ZoneInfo("UTC") if zone is UTC else zone
    windows = build_windows(at(start), at(end), window, zone)
    return HistoryQuery(**{"windows": windows, "window": window, "zone": zone, "projects": UsageQuery()} | options)


def part(text, requests=1, project=None):
    return PartCount(get_quarter(at(text)), project, requests)


class TestSelectProjects:
    @pytest.mark.parametrize(
        ("options", "ids"),
        [
            ({}, [ObjectId(HEX), 7, "wiki", "api"]),
            ({"projects": UsageQuery(filters={"plan": frozenset({"pro"})})}, [ObjectId(HEX), 7]),
            ({"projects": UsageQuery(without=("plan", "status"))}, ["wiki"]),
            ({"projects": UsageQuery(search="i")}, ["wiki", "api"]),
            ({"ids": frozenset({HEX, "7", "API"})}, [ObjectId(HEX), 7]),
            ({"ids": frozenset({"7"})}, [7]),
            ({"ids": frozenset({"7"}), "projects": UsageQuery(search="x")}, []),
        ],
    )
    def test_filters(self, options, ids):
        """All filters must hold; ids are compared with the text that the API returns."""
        assert select_projects(PROJECTS, query(**options)).ids == ids

    def test_groups_have_the_present_values(self):
        """Values are compared without case, and missing and empty ones are null, as are those that are not shown."""
        selection = select_projects(PROJECTS, query(group_by=("plan", "status")))
        assert list(selection.groups.values()) == [("pro", "live"), ("pro", None), (None, None), ("5", None)]
        selection = select_projects([{"_id": 1, "plan": ["pro"], "status": True}], query(group_by=("plan", "status")))
        assert list(selection.groups.values()) == [(None, "true")]
        assert list(select_projects(PROJECTS, query(group_by=("project",))).sort_keys) == [
            (HEX,),
            (7,),
            ("wiki",),
            ("api",),
        ]

    def test_ids_are_selected_once(self):
        """Projects with the same mapped id share their counts; those without a usable id have none."""
        documents = [
            {"_id": "a"},
            {"_id": "a"},
            {"_id": None},
            {},
            {"_id": {"x": 1}},
            {"_id": 1},
            {"_id": 1.0},
            {"_id": True},
        ]
        assert select_projects(documents, query()).ids == ["a", 1, True]

    def test_misuse_of_a_store(self):
        """What a store returns is validated."""
        with pytest.raises(ConfigurationError, match="iter_projects must return an iterable of mappings"):
            select_projects(None, query())


class TestPlanReading:
    NOW = at("2026-04-10T12:00")

    def plan(self, asked, since="2026-01-01", count=2, now=NOW):
        selection = select_projects([{"_id": number} for number in range(count)], asked)
        return plan_reading(selection, asked, None if since is None else at(since), now)

    def days(self, *arguments, **options):
        parts = self.plan(*arguments, **options)
        return tuple(
            str((datetime(1970, 1, 1) + timedelta(days=day)).date()) for day in (parts.first_day, parts.last_day)
        )

    def test_days(self):
        """Only days that the windows touch, that were counted and that have begun are read."""
        assert self.days(query()) == ("2026-03-28", "2026-03-31")
        assert self.days(query(), since="2026-03-29T23:45") == ("2026-03-29", "2026-03-31")
        assert self.days(query(), now=at("2026-03-30T00:01")) == ("2026-03-28", "2026-03-30")
        assert self.days(query(start="2026-03-28", zone=BERLIN)) == ("2026-03-27", "2026-04-01")

    def test_by_project(self):
        """The counts of each project are only read for groups; otherwise the database adds them up."""
        assert not self.plan(query()).by_project
        assert self.plan(query(group_by=("plan",))).by_project

    def test_ids(self):
        """Counts of exactly the selected projects are read."""
        assert len(self.plan(query(), count=3).ids) == 3

    def test_cuts(self):
        """The parts of a day begin where windows do."""
        assert self.plan(query()).cuts == [0]
        assert self.plan(query(zone=BERLIN)).cuts == [0, 88, 92]
        assert self.plan(query(zone=ZoneInfo("Asia/Kathmandu"))).cuts == [0, 73]
        assert self.plan(query(window="hour", end="2026-03-29")).cuts == list(range(0, 96, 4))

    @pytest.mark.parametrize(("since", "now"), [(None, NOW), ("2026-04-01", NOW), ("2026-01-01", at("2026-03-28"))])
    def test_nothing_to_read(self, since, now):
        """Nothing is read before counting began, and in the future."""
        assert self.plan(query(), since=since, now=now) is None

    def test_no_projects(self):
        """Nothing is read without projects."""
        assert self.plan(query(), count=0) is None

    def test_too_many_days_of_projects(self):
        """The error says how many there are."""
        assert self.plan(query(), count=12_500) is not None
        with pytest.raises(InvalidParametersError) as caught:
            self.plan(query(), count=12_501)
        assert caught.value.errors == {
            "window": ["this range reads 50004 project days, at most 50000: narrow from, plan, status or project"]
        }


class TestBuildTimeline:
    NOW = at("2026-03-31T06:00")
    COUNTS = (
        part("2026-03-27T23:45", 1000),
        part("2026-03-28T00:00", 1),
        part("2026-03-29T23:45", 20),
        part("2026-03-30T00:00", 300),
    )

    def build(self, asked, since="2026-01-01", now=NOW, counts=COUNTS, projects=PROJECTS):
        return build_timeline(asked, since and at(since), now, select_projects(projects, asked), counts)

    def totals(self, *arguments, **options):
        return [(bucket.total, bucket.is_partial) for bucket in self.build(*arguments, **options).buckets]

    def test_totals(self):
        """Windows that are over, the present one, and none of the future."""
        assert self.totals(query()) == [(1, False), (20, False), (300, False), (0, True)]
        assert self.build(query()).total == 321
        assert self.totals(query(), now=at("2026-03-30")) == [(1, False), (20, False), (300, True)]
        assert self.totals(query(), now=at("2026-03-27")) == []

    def test_buckets_are_the_windows(self):
        """A bucket has the bounds of its window, and neither groups nor others if the query does not group."""
        asked = query()
        timeline = self.build(asked, now=at("2026-04-02"))
        assert (timeline.since, timeline.groups) == (at("2026-01-01"), None)
        assert [(bucket.start, bucket.end) for bucket in timeline.buckets] == list(asked.windows)
        assert {(str(bucket.groups), bucket.others) for bucket in timeline.buckets} == {("[]", None)}

    def test_counts_after_the_last_window(self):
        """A count at the end of the range is not part of it."""
        counts = [part("2026-03-31T23:45", 1), part("2026-04-01T00:00", 20)]
        assert self.build(query(), now=at("2026-04-02"), counts=counts).total == 1

    def test_before_counting_began(self):
        """A window that ended before counting began is unknown, and one during which it began is partial."""
        assert self.totals(query(), since="2026-03-29") == [(None, False), (20, False), (300, False), (0, True)]
        assert self.totals(query(), since="2026-03-29T00:15")[:2] == [(None, False), (20, True)]
        assert self.build(query(), since="2026-03-29").total == 320
        assert self.totals(query(), since=None) == [(None, False)] * 3 + [(None, True)]
        assert self.build(query(), since=None).since is None

    def test_other_zones(self):
        """Counts belong to the local day."""
        assert self.totals(query(zone=BERLIN)) == [(1001, False), (0, False), (320, False), (0, True)]

    def test_groups(self):
        """Groups are in the same order in every bucket: highest total first, and null last among equals."""
        counts = [
            part("2026-03-28T00:00", 1, ObjectId(HEX)),
            part("2026-03-28T12:00", 2, 7),
            part("2026-03-29T00:00", 5, "api"),
        ]
        timeline = self.build(query(group_by=("plan",)), since="2026-03-28T12:00", counts=counts)
        assert timeline.groups == [("5",), ("pro",), (None,)]
        assert [bucket.groups for bucket in timeline.buckets] == [[0, 2, 0], [5, 0, 0], [0, 0, 0], [0, 0, 0]]
        assert [bucket.others for bucket in timeline.buckets] == [None] * 4
        assert self.build(query(group_by=("plan",)), counts=[]).groups == [("5",), ("pro",), (None,)]

    def test_all_groups_of_other_fields(self):
        """Only projects are limited: however many plans there are, each is a group."""
        projects = [{"_id": number, "plan": f"plan {number:02}"} for number in range(23)]
        timeline = self.build(query(group_by=("plan",)), counts=[], projects=projects)
        assert timeline.groups == [(f"plan {number:02}",) for number in range(23)]
        assert [bucket.others for bucket in timeline.buckets] == [None] * 4

    def test_buckets_before_counting_began_have_no_groups(self):
        """Neither do they count for the order."""
        counts = [part("2026-03-28T00:00", 9, 7), part("2026-03-29T00:00", 1, "api")]
        timeline = self.build(query(group_by=("project",)), since="2026-03-29", counts=counts)
        assert timeline.groups == [("api",), (7,), ("wiki",), (HEX,)]
        assert [bucket.groups for bucket in timeline.buckets[:2]] == [[], [1, 0, 0, 0]]

    def test_the_highest_projects(self):
        """There are at most 20 projects, and the others together."""
        projects = [{"_id": number} for number in range(23)]
        counts = [part("2026-03-28", number, number) for number in range(23)] + [part("2026-03-29", 4, 0)]
        timeline = self.build(query(group_by=("project",)), since="2026-03-28", counts=counts, projects=projects)
        assert timeline.groups == [(number,) for number in [*range(22, 4, -1), 0, 4]]
        assert [(sum(bucket.groups), bucket.others) for bucket in timeline.buckets] == [
            (sum(range(4, 23)), 6),
            (4, 0),
            (0, 0),
            (0, 0),
        ]

    def test_no_projects(self):
        """Counted windows have 0, and no groups."""
        timeline = self.build(query(group_by=("plan",)), counts=[], projects=[])
        assert timeline.groups == []
        assert [(bucket.total, bucket.groups, bucket.others) for bucket in timeline.buckets] == [(0, [], None)] * 4


@given(st.data())
def test_each_count_is_in_one_window(data):
    """Whatever the zone and the windows, the totals are the sum of the counts within the range."""
    zone = ZoneInfo(data.draw(st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"])))
    window = data.draw(st.sampled_from(["hour", "day", "week", "month"]))
    start = at("2026-03-25") + timedelta(minutes=15 * data.draw(st.integers(0, 2000)))
    asked = query(str(start.replace(tzinfo=None)), str(start.replace(tzinfo=None) + timedelta(days=9)), window, zone)
    first, last = get_quarter(asked.windows[0][0]), get_quarter(asked.windows[-1][1])
    quarters = data.draw(st.lists(st.integers(first - 200, last + 200), max_size=30))
    counts = [PartCount(quarter, None, 1 + index) for index, quarter in enumerate(quarters)]
    timeline = build_timeline(asked, at("2020-01-01"), at("2030-01-01"), select_projects([], asked), counts)
    assert timeline.total == sum(count.requests for count in counts if first <= count.quarter < last)
