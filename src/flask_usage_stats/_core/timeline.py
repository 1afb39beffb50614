"""The history of the projects that a query selects: which counts to read, and their sums by window and group."""

from bisect import bisect_right
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from ..errors import InvalidParametersError
from .batches import iter_batches
from .calendar import get_quarter
from .fields import ID, PROJECT
from .groups import GroupKey
from .history_query import HistoryQuery
from .ordering import build_predicate
from .rows import Document
from .values import fold_label, get_id_sort_key, to_id

QUARTERS_PER_DAY: Final = 96
_MAX_PROJECT_DAYS: Final = 50_000
_MAX_PROJECT_GROUPS: Final = 20


class Selection(NamedTuple):
    """The projects that match a query."""

    #: Their ids as they are stored, each once.
    ids: list[object]
    #: The group of each project by the key of its id.
    groups: dict[Hashable, GroupKey]
    #: What groups with equal totals are sorted by.
    sort_keys: dict[GroupKey, Any]


class DayParts(NamedTuple):
    """Which counts to read: parts of the days of projects."""

    ids: list[object]
    #: The numbers of the first and the last day since 1970, in UTC.
    first_day: int
    last_day: int
    #: The quarters of an hour with which the parts of each day begin, in order; the first is 0.
    cuts: list[int]
    #: Whether the counts of each project are needed, or only their sum.
    by_project: bool


class PartCount(NamedTuple):
    """The requests of one part of a day."""

    #: The number of the first quarter of an hour since 1970.
    quarter: int
    #: The stored id of a project; ``None`` for the sum of all.
    project: object
    requests: int


class Bucket(NamedTuple):
    """The requests of one window."""

    start: datetime
    end: datetime
    #: ``None`` if the window ended before counting began.
    total: int | None
    #: Whether only a part of the window was counted: it is not over yet, or counting began during it.
    is_partial: bool
    #: The requests of each group, in the order of ``Timeline.groups``; empty without a total.
    groups: list[int]
    #: The requests of the projects that are not among the groups; ``None`` if there are none, and without a total.
    others: int | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """The content of a response."""

    #: Since when requests are counted; ``None`` if there are no counts.
    since: datetime | None
    #: The sum of the buckets' totals.
    total: int
    #: The windows that have begun.
    buckets: list[Bucket]
    #: The groups, highest total first; ``None`` if the query does not group.
    groups: list[GroupKey] | None


def select_projects(documents: Iterable[Document], query: HistoryQuery) -> Selection:
    """Return the projects that match the filters of a query, and their groups.

    :param documents: mappings with the field names of the response, in any order; consumed completely.
    :raises Exception: whatever iterating over the documents raises.
    """
    predicate = build_predicate(query.projects)
    selection = Selection([], {}, {})
    for batch in iter_batches(documents):
        for document in batch:
            shown, key = to_id(document.get(ID)), _get_key(document.get(ID))
            if shown is None or key is None or key in selection.groups:
                continue
            if query.ids is not None and str(shown) not in query.ids:
                continue
            if predicate is None or predicate(0, document):
                group, sort_key = _get_group(document, query.group_by, shown)
                selection.ids.append(document[ID])
                selection.groups[key] = group
                selection.sort_keys[group] = sort_key
    return selection


def plan_reading(selection: Selection, query: HistoryQuery, since: datetime | None, now: datetime) -> DayParts | None:
    """Return which counts to read for a query, or ``None`` if there are none.

    :param since: since when requests are counted, or ``None``.
    :param now: the current time, aware.
    :raises InvalidParametersError: there are too many.
    """
    if since is None:
        return None
    start, end = max(query.windows[0][0], since), min(query.windows[-1][1], now)
    if start >= end:
        return None
    first_day, last_day = (get_quarter(moment) // QUARTERS_PER_DAY for moment in (start, end - datetime.resolution))
    number = (last_day - first_day + 1) * len(selection.ids)
    if number > _MAX_PROJECT_DAYS:
        message = (
            f"this range reads {number} project days, at most {_MAX_PROJECT_DAYS}: narrow from, plan, status or project"
        )
        raise InvalidParametersError({"window": [message]})
    bounds = [start, *(window_end for _, window_end in query.windows)]
    cuts = sorted({0} | {get_quarter(bound) % QUARTERS_PER_DAY for bound in bounds})
    return DayParts(selection.ids, first_day, last_day, cuts, bool(query.group_by)) if number else None


def build_timeline(
    query: HistoryQuery, since: datetime | None, now: datetime, selection: Selection, counts: Iterable[PartCount]
) -> Timeline:
    """Add up counts to the windows of a query, and to groups within each.

    :param since: since when requests are counted, or ``None``.
    :param now: the current time, aware.
    :param counts: what :func:`plan_reading` says.
    """
    windows = [(start, end) for start, end in query.windows if start <= now]
    starts = [get_quarter(start) for start, _ in windows]
    sums: dict[GroupKey, list[int]] = {group: [0] * len(windows) for group in selection.sort_keys}
    sums.setdefault((), [0] * len(windows))
    first = 0 if since is None else get_quarter(since)
    for quarter, project, requests in counts:
        index = bisect_right(starts, quarter) - 1
        if index >= 0 and first <= quarter < get_quarter(windows[index][1]):
            group = selection.groups[_get_key(project)] if query.group_by else ()
            sums[group][index] += requests
    counted = {index for index, (_, end) in enumerate(windows) if since is not None and end > since}
    totals = [sum(numbers) for numbers in zip(*sums.values(), strict=True)]
    groups = _rank_groups(sums, selection, counted) if query.group_by else []
    shown = groups[:_MAX_PROJECT_GROUPS] if query.group_by == (PROJECT,) else groups
    buckets = []
    for index, (start, end) in enumerate(windows):
        is_counted = index in counted
        values = [sums[group][index] for group in shown] if is_counted else []
        buckets.append(
            Bucket(
                start,
                end,
                total=totals[index] if is_counted else None,
                is_partial=start <= now < end or (since is not None and start < since < end),
                groups=values,
                others=totals[index] - sum(values) if is_counted and len(shown) < len(groups) else None,
            )
        )
    return Timeline(since, sum(totals[index] for index in counted), buckets, shown if query.group_by else None)


def _get_group(document: Document, group_by: tuple[str, ...], shown: str | int) -> tuple[GroupKey, Any]:
    """Return the group of a project, and what groups with equal totals are sorted by."""
    if group_by == (PROJECT,):
        return (shown,), get_id_sort_key(document[ID])
    group = tuple(fold_label(document.get(name)) for name in group_by)
    return group, [(value is None, value or "") for value in group]


def _rank_groups(sums: dict[GroupKey, list[int]], selection: Selection, counted: set[int]) -> list[GroupKey]:
    totals = {group: sum(sums[group][index] for index in counted) for group in selection.sort_keys}
    groups = sorted(totals, key=lambda group: selection.sort_keys[group])
    return sorted(groups, key=lambda group: totals[group], reverse=True)


def _get_key(value: object) -> Hashable:
    """Return what is equal for equal ids, or ``None`` for a value that cannot be recorded."""
    try:
        hash(value)
    except TypeError:
        return None
    return isinstance(value, bool), value  # Python takes 1 and True for equal
