"""Building the report of the platform view: totals of projects to the content of a response."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import NamedTuple

from .fields import COUNT, GROUPS, STATUS, Field
from .groups import Group, GroupKey, GroupSum, build_group, build_sums, rank_groups
from .ordering import build_predicate, sort_indexes
from .platform_query import INCLUDE, ONLY, PlatformQuery, Selection
from .rows import Adjustments, Document, RowBatch, convert_each, get_content_key
from .values import Number, fold_label, round_exactly, to_text


class Totals(NamedTuple):
    """The totals of several projects."""

    projects: int = 0
    #: The number of projects whose count is 0.
    unused: int = 0
    #: The exact sum of their counts.
    requests: Fraction = Fraction()


class LabelTotals(NamedTuple):
    """The totals of the projects that have the same plan, type and status."""

    #: The stored values by the names of the fields. ``None`` stands for any value that has no text.
    labels: Mapping[str, object]
    totals: Totals


class GroupedTotals(NamedTuple):
    """The totals of groups of projects."""

    #: The groups with the most requests, in any order: all of them, or as many as a request can ask for.
    first: Mapping[GroupKey, Totals]
    #: The number of all groups.
    number: int
    #: The totals of all groups together. A project that is in several groups counts once for each of them.
    everything: Totals


class RankedRows(NamedTuple):
    """The projects with the most requests: all of them, or as many as a request can ask for."""

    #: The rows, in order.
    batch: RowBatch
    #: The stored values that were adjusted to fit the API.
    adjustments: Adjustments


@dataclass(frozen=True, slots=True)
class PlatformReport:
    """The content of a response."""

    #: The exact sum of the counts of all selected projects, rounded once.
    total: Number
    projects: int
    unused: int
    #: When the reading began, aware in UTC.
    as_of: datetime
    #: The first groups; ``None`` if the query does not group.
    groups: list[Group] | None
    #: The totals of the other groups; ``None`` if there are none.
    others: Group | None
    #: As many of the first projects as the query asks for.
    rows: RowBatch
    #: The stored values of the first projects that were adjusted to fit the API.
    adjustments: Adjustments


def build_platform_report(
    query: PlatformQuery, totals: Totals, groups: GroupedTotals | None, rows: RankedRows, as_of: datetime
) -> PlatformReport:
    """Select and rank what a query asks for.

    :param totals: those of all selected projects.
    :param groups: ``None`` if the query does not group.
    :param rows: none are necessary if the query asks for none.
    :param as_of: when the reading began, aware in UTC.
    """
    total = round_exactly(totals.requests)
    shown = [] if groups is None else _rank(groups)[: query.top]
    return PlatformReport(
        total=total,
        projects=totals.projects,
        unused=totals.unused,
        as_of=as_of,
        groups=None if groups is None else [build_group(query.group_by, each, total) for each in shown],
        others=None if groups is None else _build_others(groups, shown, total),
        rows=rows.batch._replace(counts=rows.batch.counts[: query.limit], rows=rows.batch.rows[: query.limit]),
        adjustments=rows.adjustments,
    )


def add_up(parts: Iterable[Totals]) -> Totals:
    """Return the sum of totals."""
    projects, unused, requests = 0, 0, Fraction()
    for part in parts:
        projects, unused, requests = projects + part.projects, unused + part.unused, requests + part.requests
    return Totals(projects, unused, requests)


def select_labels(labels: Iterable[LabelTotals], selection: Selection, excluded: Container[str]) -> list[LabelTotals]:
    """Return the totals of selected projects.

    :param excluded: the statuses of deleted projects.
    """
    matches = build_label_predicate(selection)
    return [
        each
        for each in labels
        if (selection.deleted == INCLUDE or (each.labels[STATUS] in excluded) == (selection.deleted == ONLY))
        and matches(each.labels)
    ]


def build_label_predicate(selection: Selection) -> Callable[[Mapping[str, object]], bool]:
    """Return a function that returns whether labels match the filters of a selection."""
    predicate = build_predicate(selection.build_query())
    if predicate is None:
        return lambda _labels: True
    return lambda labels: predicate(0, {name: to_text(value) for name, value in labels.items()})


def group_labels(labels: Iterable[LabelTotals], names: Sequence[str]) -> GroupedTotals:
    """Return the totals of projects grouped by some of their labels, ignoring case."""
    groups = merge_totals((tuple(fold_label(each.labels[name]) for name in names), each.totals) for each in labels)
    return GroupedTotals(groups, len(groups), add_up(groups.values()))


def merge_totals(totals: Iterable[tuple[GroupKey, Totals]]) -> dict[GroupKey, Totals]:
    """Add up the totals that have the same key."""
    parts: defaultdict[GroupKey, list[Totals]] = defaultdict(list)
    for key, each in totals:
        parts[key].append(each)
    return {key: add_up(each) for key, each in parts.items()}


def rank_rows(documents: Sequence[Document], fields: tuple[Field, ...]) -> RankedRows:
    """Convert and rank projects.

    :param documents: mappings with the names of the fields, in any order.
    """
    adjustments = Adjustments()
    counts, id_keys, rows, _, _ = convert_each(documents, adjustments, fields)
    order = sort_indexes(counts, id_keys, lambda index: get_content_key(rows[index], fields), descending=True)
    ranked = [rows[index] for index in order]
    return RankedRows(RowBatch([row[COUNT] for row in ranked], [], ranked, 0, fields), adjustments)


def _rank(groups: GroupedTotals) -> list[GroupSum]:
    return rank_groups(
        [GroupSum(key, each.projects, round_exactly(each.requests)) for key, each in groups.first.items()]
    )


def _build_others(groups: GroupedTotals, shown: Sequence[GroupSum], total: Number) -> Group | None:
    number = groups.number - len(shown)
    if not number:
        return None
    first = add_up(groups.first[each.key] for each in shown)
    size, requests = groups.everything.projects - first.projects, groups.everything.requests - first.requests
    return {GROUPS: number} | build_sums(GroupSum((), size, round_exactly(requests)), total)
