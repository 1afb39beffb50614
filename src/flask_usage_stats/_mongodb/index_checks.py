"""Check the index of a collection, and the server's plan for the query of one owner."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeGuard
from uuid import UUID

from bson import ObjectId
from pymongo.collation import Collation
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from ..protocols import Owner
from .check_result import OWNER_FILTER_DETAIL, Status
from .driver import build_store_error, call_with_collation
from .indexes import index_serves
from .mapping import CollectionMapping, Document

_SAMPLE_SIZE: Final = 100  # documents


def check_index(collection: Collection[Document], mapping: CollectionMapping) -> tuple[Status, str]:
    """Check that an index serves, and that the server uses it.

    :returns: the status and the detail of the result.
    :raises PyMongoError: a command failed; the decoder's errors in ``DRIVER_ERRORS`` are also possible.
    """
    if not mapping.uses_owner_field:
        return Status.UNKNOWN, OWNER_FILTER_DETAIL
    path = mapping.owner_path
    names = [str(index["name"]) for index in collection.list_indexes() if index_serves(index, path)]
    if not names:
        return (
            Status.PROBLEM,
            f"no index on ({path}): a project updated during the read can be missed; run `flask usage ensure-indexes`",
        )
    owner = _sample_owner(collection, mapping)
    if owner is None:
        return Status.OK, f"{names[0]} exists; there is no owner to test it with"
    return _check_plan(collection, mapping, owner, names)


def _check_plan(
    collection: Collection[Document], mapping: CollectionMapping, owner: Owner, names: Sequence[str]
) -> tuple[Status, str]:
    """Check that the server reads an owner's projects through one of the indexes that serve."""
    try:
        stages, used = _explain(collection, mapping, owner, names[0])
    except OperationFailure as error:
        if error.timeout:
            raise
        return Status.UNKNOWN, str(build_store_error(f"{names[0]} exists, but the query cannot be explained", error))
    if "COLLSCAN" in stages:
        return Status.PROBLEM, f"{names[0]} exists, but the query scans the entire collection"
    if not used:
        return Status.UNKNOWN, f"{names[0]} exists, but the server does not report which index the query uses"
    used_names = ", ".join(sorted(used))
    if not used <= set(names):
        return Status.PROBLEM, f"{names[0]} exists, but the query uses {used_names}"
    return Status.OK, f"the query uses {used_names}"


def _sample_owner(collection: Collection[Document], mapping: CollectionMapping) -> Owner | None:
    """Return the first owner in the first 100 documents that a query can match, or ``None`` if there is none."""
    path = mapping.owner_path
    for document in collection.find({}, {path: 1}, limit=_SAMPLE_SIZE):
        value: Any = document
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        for owner in value if isinstance(value, list) else [value]:
            if _is_owner(owner) and mapping.build_filter(owner) is not None:
                return owner
    return None


def _is_owner(value: object) -> TypeGuard[Owner]:
    return isinstance(value, str | int | ObjectId | UUID) and not isinstance(value, bool) and value != ""


def _explain(
    collection: Collection[Document], mapping: CollectionMapping, owner: Owner, hint: str
) -> tuple[set[str], set[str]]:
    """Return the names of the stages and of the indexes in the server's plan for an owner's query."""
    find = {
        "find": collection.name,
        "filter": mapping.build_filter(owner),
        "projection": mapping.rows.projection,
        "hint": hint,
    }

    def explain(collation: Collation | None) -> Document:
        return collection.database.command(
            "explain",
            find if collation is None else find | {"collation": collation.document},
            verbosity="queryPlanner",
            codec_options=collection.codec_options,
            read_preference=collection.read_preference,
        )

    nodes = list(_iter_plan_nodes(call_with_collation(explain)))
    # A field can be named like a key of a node, but its condition is not a string.
    stages, indexes = ([node.get(key) for node in nodes] for key in ("stage", "indexName"))
    return {name for name in stages if isinstance(name, str)}, {name for name in indexes if isinstance(name, str)}


def _iter_plan_nodes(plan: object) -> Iterator[Mapping[str, Any]]:
    """Yield every node of an explanation, with the plans of all shards and pipelines, but without rejected plans.

    Servers nest the plan differently: under ``queryPlanner``, or in a time-series collection under
    ``stages[0].$cursor.queryPlanner``.
    """
    if isinstance(plan, Mapping):
        yield plan
        plan = [child for name, child in plan.items() if name != "rejectedPlans"]
    if isinstance(plan, list):
        for child in plan:
            yield from _iter_plan_nodes(child)
