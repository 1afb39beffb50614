"""Read the usage of all owners: pipelines with which the server computes it.

No pipeline uses an index: a project whose values change could move in it while it is read, and be counted twice or not
at all. So every condition compares what an earlier stage has computed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pymongo.collection import Collection

from .._core.fields import GROUP_FIELDS, ID, OWNER, Field
from .._core.platform_query import INCLUDE, ONLY, Selection
from .._core.platform_report import GroupedTotals, LabelTotals, Totals, build_label_predicate, merge_totals
from .count_expressions import (
    APPROXIMATE_TOTAL,
    MERGED_SUMS,
    SPLIT_STAGES,
    SPLIT_SUMS,
    Expression,
    build_count,
    is_whole,
    read_totals,
)
from .decodable import build_decodable_value, get_uuid_subtype
from .label_counter import LabelCounter
from .mapping import CollectionMapping, Document
from .platform_expressions import (
    build_id_rank,
    build_label,
    build_owners,
    build_stored_owners,
    read_label,
    read_owner,
    write_label,
)
from .server_cursors import run_pipeline

#: The maximum numbers of owners and of projects that a request can ask for.
_MAX_OWNERS: Final = 1000
_MAX_ROWS: Final = 1000


def read_labels(collection: Collection[Document], mapping: CollectionMapping) -> list[LabelTotals]:
    """Return the totals of all projects by their plan, type and status.

    :raises StoreError: there are too many combinations.
    :raises Exception: the driver's errors in ``DRIVER_ERRORS``.
    """
    subtype = get_uuid_subtype(collection.codec_options)
    labels = {name: build_label(mapping.paths[name], subtype) for name in GROUP_FIELDS}
    key = {name: f"${name}" for name in (*GROUP_FIELDS, "scale")}
    pipeline = [
        {"$project": {"_id": 0, "count": build_count(mapping.count_path), **labels}},
        *SPLIT_STAGES,
        {"$group": {"_id": key, **SPLIT_SUMS}},
    ]

    def read(groups: Iterable[Document]) -> list[LabelTotals]:
        counter = LabelCounter(mapping)
        for group in groups:
            found = {name: read_label(group["_id"].get(name)) for name in GROUP_FIELDS}
            counter.add(found, read_totals([group | group["_id"]]))
        return counter.finish()

    return run_pipeline(collection, pipeline, read)


def read_owners(
    collection: Collection[Document],
    mapping: CollectionMapping,
    selection: Selection,
    labels: Sequence[LabelTotals],
) -> tuple[Totals, GroupedTotals]:
    """Return the totals of selected projects, and those of their owners.

    :param labels: the totals of all projects by their labels, if the selection has filters.
    :raises Exception: the driver's errors in ``DRIVER_ERRORS``.
    """
    owners = build_owners(mapping.owner_path, get_uuid_subtype(collection.codec_options))
    fields = {"count": build_count(mapping.count_path), OWNER: owners}
    pipeline = [*_select(collection, mapping, selection, labels, fields), *SPLIT_STAGES, *_OWNER_STAGES]

    def read(results: Iterable[Document]) -> tuple[Totals, GroupedTotals]:
        (found,) = results
        first = merge_totals(((read_owner(group["_id"]),), read_totals(group["parts"])) for group in found["first"])
        duplicates = len(found["first"]) - len(first)  # the same form, such as a UUID and a string
        groups = GroupedTotals(
            first=first,
            number=sum(each["number"] for each in found["number"]) - duplicates,  # none if there are no projects
            everything=read_totals(found["everything"]),
        )
        return read_totals(found["totals"]), groups

    return run_pipeline(collection, pipeline, read)


def _build_owner_stages() -> list[Document]:
    """Return the stages that add up split documents, each of which has a key of its owner or an array of keys.

    A project counts once for ``totals``, and once for each of its owners for the rest.
    """
    key = {"$ifNull": ["$owner", None]}
    by_scale = [{"$group": {"_id": "$scale", **MERGED_SUMS}}, {"$set": {"scale": "$_id"}}]
    by_owner_and_scale = [
        {"$group": {"_id": {"owner": key, "scale": "$scale"}, **MERGED_SUMS}},
        {"$set": {"owner": "$_id.owner", "scale": "$_id.scale"}},
    ]
    part = {name: f"${name}" for name in ("scale", *MERGED_SUMS)}
    by_owner = {"_id": "$owner", "total": {"$sum": APPROXIMATE_TOTAL}, "parts": {"$push": part}}
    # As it is returned: owners whose totals are the same double are sorted by their keys.
    shown = {"$cond": [is_whole("$total"), "$total", {"$convert": {"input": "$total", "to": "double", "onError": 0}}]}
    first = [
        {"$group": by_owner},
        {"$set": {"isNull": {"$eq": ["$_id", None]}, "total": shown}},
        {"$sort": {"total": -1, "isNull": 1, "_id": 1}},
        {"$limit": _MAX_OWNERS},
    ]
    unwind = {"$unwind": {"path": "$owner", "preserveNullAndEmptyArrays": True}}
    return [
        {"$group": {"_id": {"owner": "$owner", "scale": "$scale"}, **SPLIT_SUMS}},
        {"$set": {"owner": "$_id.owner", "scale": "$_id.scale"}},
        {
            "$facet": {
                "totals": by_scale,
                "everything": [unwind, *by_scale],
                "number": [unwind, {"$group": {"_id": key}}, {"$count": "number"}],
                "first": [unwind, *by_owner_and_scale, *first],
            }
        },
    ]


_OWNER_STAGES: Final = _build_owner_stages()


def read_rows(
    collection: Collection[Document],
    mapping: CollectionMapping,
    selection: Selection,
    labels: Sequence[LabelTotals],
    fields: Sequence[Field],
) -> list[Document]:
    """Return the selected projects with the most requests. Their keys are the names of fields.

    :param labels: the totals of all projects by their labels, if the selection has filters.
    :raises Exception: the driver's errors in ``DRIVER_ERRORS``.
    """
    subtype = get_uuid_subtype(collection.codec_options)
    row: Document = {
        name: build_decodable_value(f"$document.{mapping.paths[name]}", subtype) for name, _ in fields if name != ID
    }
    if OWNER in row:
        row[OWNER] = build_stored_owners(f"document.{mapping.owner_path}", subtype)
    # Only the first documents become rows, which is faster.
    computed = {
        "document": "$$ROOT",
        "count": build_count(mapping.count_path),
        "rank": build_id_rank(mapping.id_path),
    }
    pipeline = [
        *_select(collection, mapping, selection, labels, computed),
        {"$sort": {"count": -1, "rank": 1, f"document.{mapping.id_path}": 1}},
        {"$limit": _MAX_ROWS},
        {"$project": {"_id": 0, "row": {ID: f"$document.{mapping.id_path}", **row}}},
    ]
    return run_pipeline(collection, pipeline, lambda documents: [document["row"] for document in documents])


def _select(
    collection: Collection[Document],
    mapping: CollectionMapping,
    selection: Selection,
    labels: Sequence[LabelTotals],
    fields: Mapping[str, Expression],
) -> list[Document]:
    """Return the stages that compute fields of the selected projects."""
    computed = dict(fields)
    match: Document = {}
    if selection.deleted != INCLUDE:
        computed["deleted"] = {"$in": [f"${mapping.status_path}", {"$literal": mapping.excluded_statuses}]}
        match["deleted"] = selection.deleted == ONLY
    matches = build_label_predicate(selection)
    matching = [each.labels for each in labels if matches(each.labels)]
    for name in selection.filtered_names:
        computed[f"label_{name}"] = {"v": build_label(mapping.paths[name], get_uuid_subtype(collection.codec_options))}
        written = {repr(each[name]): write_label(each[name]) for each in matching}
        match[f"label_{name}"] = {"$in": list(written.values())}
    stages: list[Document] = [{"$project": {"_id": 0, **computed}}]
    return [*stages, {"$match": match}] if match else stages
