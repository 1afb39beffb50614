"""Read the history of projects."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo.collection import Collection

from .._core.history_query import HistoryQuery
from .._core.timeline import (
    QUARTERS_PER_DAY,
    DayParts,
    PartCount,
    Timeline,
    build_timeline,
    plan_reading,
    select_projects,
)
from ..protocols import Owner
from .driver import DRIVER_ERRORS, build_store_error
from .history import UsageHistory, open_history, read_since
from .mapping import Document
from .server_cursors import run_pipeline
from .store_reader import StoreReader

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 # naive in UTC, as PyMongo returns dates
# The server plans the range of each project separately, and a command has a maximum size.
_MAX_RANGES: Final = 1000


def read_timeline(
    reader: StoreReader, history: UsageHistory, owner: Owner, query: HistoryQuery, now: datetime
) -> Timeline:
    """Read the history of an owner's projects, within one time limit.

    :param now: the current time, aware.
    :raises InvalidParametersError: the query would read too many days of projects.
    :raises StoreError: the projects or the history could not be read completely in time.
    :raises Exception: whatever the store and the *collection* of the history raise.
    """
    limit = reader.start_time_limit()
    selection = select_projects(reader.read_projects(owner, query.projects, limit), query)
    since = limit.run(read_since, history, now)
    parts = plan_reading(selection, query, since, now)
    counts = [] if parts is None else limit.run(lambda: list(read_counts(history, parts)))
    return build_timeline(query, since, now, selection, counts)


def read_counts(history: UsageHistory, parts: DayParts) -> Iterator[PartCount]:
    """Yield the requests in parts of days: of all projects together, or of each.

    The server adds up the quarters of an hour, and reads only the given days, through the index on ``_id``.

    :raises StoreError: the database did not respond or rejected a command.
    :raises Exception: whatever the history's *collection* raises.
    """
    collection, summed = open_history(history), _list_summed(parts)
    try:
        for start in range(0, len(parts.ids), _MAX_RANGES):
            yield from _read_parts(collection, parts, summed, parts.ids[start : start + _MAX_RANGES])
    except DRIVER_ERRORS as error:
        raise build_store_error("the history could not be read", error) from error


def _list_summed(parts: DayParts) -> dict[str, range]:
    """Return the name and the quarters of each part of a day but the longest, which is the rest of the day."""
    ends = [*parts.cuts[1:], QUARTERS_PER_DAY]
    ranges = {f"s{start}": range(start, end) for start, end in zip(parts.cuts, ends, strict=True)}
    del ranges[max(ranges, key=lambda name: len(ranges[name]))]
    return ranges


def _read_parts(
    collection: Collection[Document], parts: DayParts, summed: Mapping[str, range], ids: list[object]
) -> list[PartCount]:
    def split(days: Iterable[Document]) -> list[PartCount]:  # each day is freed before the next is split
        return [count for found in days for count in _split_day(found, parts, summed)]

    first, last = (_EPOCH + timedelta(days=day) for day in (parts.first_day, parts.last_day))
    if not isinstance(collection, Collection):
        return split(_read_each(collection, summed, ids, {"$gte": first, "$lte": last}))
    ranges = [{"_id": {"$gte": {"p": project, "d": first}, "$lte": {"p": project, "d": last}}} for project in ids]
    pipeline = [{"$match": {"$or": ranges}}, _build_stage(parts, summed)]
    return run_pipeline(collection, pipeline, split)


def _build_stage(parts: DayParts, summed: Mapping[str, range]) -> Document:
    sums: Document = {name: {"$sum": [f"$q.{quarter}" for quarter in quarters]} for name, quarters in summed.items()}
    sums["n"] = {"$sum": ["$n"]}  # 0 for anything but a number
    if parts.by_project:
        return {"$project": sums}
    return {"$group": {"_id": {"d": "$_id.d"}} | {name: {"$sum": each} for name, each in sums.items()}}


def _split_day(found: Document, parts: DayParts, summed: Mapping[str, range]) -> Iterator[PartCount]:
    day, project = (found["_id"]["d"] - _EPOCH).days, found["_id"].get("p")
    rest: Any = found["n"] - sum([found[name] for name in summed])
    for start in parts.cuts:
        yield PartCount(day * QUARTERS_PER_DAY + start, project, found.get(f"s{start}", rest))


def _read_each(
    collection: Any,  # noqa: ANN401 # mongomock
    summed: Mapping[str, range],
    ids: list[object],
    days: Document,
) -> Iterator[Document]:
    """Add up the parts of days from mongomock, which does not support the stage."""
    for found in collection.find({"_id.p": {"$in": ids}, "_id.d": days}):
        yield {"_id": found["_id"], "n": found["n"]} | {
            name: sum(found["q"].get(str(quarter), 0) for quarter in quarters) for name, quarters in summed.items()
        }
