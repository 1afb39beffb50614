"""Check a collection for problems that make usage statistics wrong or slow.

The checks only read. Their details contain counts, types, paths and index names, but no stored values.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeGuard
from uuid import UUID

import pymongo
from bson import Decimal128, ObjectId
from pymongo.collation import Collation
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from ..protocols import Owner
from .driver import DRIVER_ERRORS, build_store_error, call_with_collation, is_view_collation_refused
from .indexes import index_serves
from .mapping import CollectionMapping, Document
from .store import ProjectStore, open_store, validate_timeout


class Status(IntEnum):
    """The status of a check. The value is the exit code of the command if all other checks are ok."""

    OK = 0
    PROBLEM = 1
    UNKNOWN = 2

    def __str__(self) -> str:
        """Return the name in lower case, as it is printed."""
        return self.name.lower()


class CheckResult(NamedTuple):
    """The result of one check."""

    name: str
    status: Status
    detail: str


_PING_TIMEOUT: Final = 5  # seconds
_SAMPLE_SIZE: Final = 100  # documents
_NUMBER_TYPES: Final = ("int", "long", "double", "decimal")
_EMPTY_TYPES: Final = ("missing", "null", "undefined")
_SUPPORTED_OWNER_TYPES: Final = ("string", "number", "objectId", "binData")
# From this number on, a Decimal128 does not round to a finite double, so the response has 0.
_DOUBLE_LIMIT: Final = "1.797693134862315807937289714053034E+308"
_OWNER_FILTER_DETAIL: Final = "owner_filter selects the projects, so this cannot be checked"


def run_checks(store: ProjectStore, timeout: float) -> list[CheckResult]:
    """Run the checks on the collection of a store, one after the other.

    :param timeout: the time limit for all checks together, in seconds, greater than 0 and at most 3600.
    :returns: the results of the checks; only that of ``reachable`` if it is not ok.
    :raises ConfigurationError: *timeout* is out of range, or the store's *collection* did not return a collection.
    :raises Exception: whatever the store's *collection* raises.
    """
    validate_timeout(timeout)
    with pymongo.timeout(timeout):
        collection, mapping = open_store(store)
        return list(_run_checks(collection, mapping, timeout))


def _run_checks(collection: Collection[Document], mapping: CollectionMapping, timeout: float) -> Iterator[CheckResult]:
    reachable = _check_reachable(collection, timeout)
    yield reachable
    if reachable.status is not Status.OK:
        return
    try:
        index = CheckResult("index", *_check_index(collection, mapping))
    except DRIVER_ERRORS as error:
        index = CheckResult("index", *_describe(error, timeout))
    yield index
    try:
        tally = _Tally(collection, mapping)
    except DRIVER_ERRORS as error:
        names = ("counts", "owner types", "no owner")
        yield from (CheckResult(name, *_describe(error, timeout)) for name in names)
        return
    yield tally.check_counts()
    if mapping.uses_owner_field:
        yield tally.check_owner_types()
        yield tally.check_missing_owners()
    else:
        yield from (CheckResult(name, Status.UNKNOWN, _OWNER_FILTER_DETAIL) for name in ("owner types", "no owner"))


def _describe(error: Exception, timeout: float) -> tuple[Status, str]:
    if isinstance(error, PyMongoError) and error.timeout:
        return Status.UNKNOWN, f"not finished within {timeout:g} seconds; increase --timeout"
    # Reads of a view with a collation fail as well.
    status = Status.PROBLEM if is_view_collation_refused(error) else Status.UNKNOWN
    return status, str(build_store_error("the check failed", error))


def _check_reachable(collection: Collection[Document], timeout: float) -> CheckResult:
    name = "reachable"
    if not isinstance(collection, Collection):
        return CheckResult(name, Status.UNKNOWN, "not a PyMongo collection, so there is no server to check")
    try:
        with pymongo.timeout(min(timeout, _PING_TIMEOUT)):
            collection.database.command("ping")
    except DRIVER_ERRORS as error:
        return CheckResult(name, Status.UNKNOWN, str(build_store_error("the database does not respond", error)))
    return CheckResult(name, Status.OK, "the database responds")


def _check_index(collection: Collection[Document], mapping: CollectionMapping) -> tuple[Status, str]:
    if not mapping.uses_owner_field:
        return Status.UNKNOWN, _OWNER_FILTER_DETAIL
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
    stages, used = _explain(collection, mapping, owner, names[0])
    if "COLLSCAN" in stages:
        return Status.PROBLEM, f"{names[0]} exists, but the query scans the entire collection"
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
        "projection": mapping.projection,
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

    nodes = list(_iter_plan_nodes(call_with_collation(explain)["queryPlanner"]["winningPlan"]))
    return {node["stage"] for node in nodes if "stage" in node}, {
        node["indexName"] for node in nodes if "indexName" in node
    }


def _iter_plan_nodes(plan: object) -> Iterator[Mapping[str, Any]]:
    """Yield every node of a plan, including the plans of all shards, but not rejected plans."""
    if isinstance(plan, Mapping):
        yield plan
        plan = [child for name, child in plan.items() if name != "rejectedPlans"]
    if isinstance(plan, list):
        for child in plan:
            yield from _iter_plan_nodes(child)


class _Tally:
    """The numbers of documents with each problem, from a single pass over the collection.

    Projects with an excluded status are counted separately: each attribute is keyed by whether they are excluded.
    """

    def __init__(self, collection: Collection[Document], mapping: CollectionMapping) -> None:
        self._invalid_counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._owner_types: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._without_owner: Counter[bool] = Counter()
        self._documents: Counter[bool] = Counter()
        pipeline = _build_tally_pipeline(mapping)
        for group in call_with_collation(lambda collation: list(collection.aggregate(pipeline, collation=collation))):
            self._add(group["_id"], group["documents"])

    def _add(self, key: Mapping[str, Any], documents: int) -> None:
        excluded = key["excluded"]
        self._documents[excluded] += documents
        if key["count"] is not None:
            self._invalid_counts[excluded][key["count"]] += documents
        types = {"number" if name in _NUMBER_TYPES else name for name in key["owner"]} - set(_EMPTY_TYPES)
        if not types:
            self._without_owner[excluded] += documents
        for name in types:
            self._owner_types[excluded][name] += documents

    def check_counts(self) -> CheckResult:
        """Report counts that are returned as 0 because they are not finite numbers."""
        name, invalid = "counts", self._invalid_counts[False]
        excluded = self._excluded_suffix(self._invalid_counts[True].total())
        if not invalid:
            detail = f"all counts are finite numbers or missing ({self._checked})"
            return CheckResult(name, Status.OK, detail + excluded)
        detail = (
            f"{invalid.total():,} of {self._documents[False]:,} projects have a count that is not a finite number"
            f" and is returned as 0 ({_format_counts(invalid)})"
        )
        return CheckResult(name, Status.PROBLEM, detail + excluded)

    def check_owner_types(self) -> CheckResult:
        """Report owners stored with more than one type, or with a type that ``authenticate`` cannot return."""
        name, types = "owner types", self._owner_types[False]
        other_types = (number for kind, number in self._owner_types[True].items() if kind not in types)
        excluded = self._excluded_suffix(sum(other_types))
        if len(types) > 1:
            detail = f"owners are stored with {len(types)} types ({_format_counts(types)})"
            return CheckResult(name, Status.PROBLEM, detail + excluded)
        if not types.keys() <= set(_SUPPORTED_OWNER_TYPES):
            detail = f"owners have a type that authenticate cannot return ({_format_counts(types)})"
            return CheckResult(name, Status.PROBLEM, detail + excluded)
        return CheckResult(name, Status.OK, (_format_counts(types) or "no owners") + excluded)

    def check_missing_owners(self) -> CheckResult:
        """Report projects without an owner, which no user can see."""
        name, missing = "no owner", self._without_owner[False]
        excluded = self._excluded_suffix(self._without_owner[True])
        if not missing:
            return CheckResult(name, Status.OK, f"all projects have an owner ({self._checked}){excluded}")
        detail = f"{missing:,} of {self._documents[False]:,} projects have no owner"
        return CheckResult(name, Status.PROBLEM, detail + excluded)

    @property
    def _checked(self) -> str:
        return f"{self._documents[False]:,} checked"

    def _excluded_suffix(self, affected: int) -> str:
        return f"; affected excluded projects: {affected:,} of {self._documents[True]:,}" if affected else ""


def _format_counts(types: Counter[str]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in sorted(types.items()))


def _build_tally_pipeline(mapping: CollectionMapping) -> list[Document]:
    """Build a pipeline that counts documents by exclusion, type of an invalid count, and types of their owners.

    There are few combinations, so the server uses little memory even for a large collection.
    """
    status, count, owner = f"${mapping.status_path}", f"${mapping.count_path}", f"${mapping.owner_path}"
    count_type = {"$type": count}
    is_invalid = {
        "$cond": [
            {"$in": [count_type, _NUMBER_TYPES]},
            # `$lte` includes NaN, which sorts before all other numbers.
            {"$or": [{"$gte": [count, Decimal128(_DOUBLE_LIMIT)]}, {"$lte": [count, Decimal128(f"-{_DOUBLE_LIMIT}")]}]},
            {"$not": [{"$in": [count_type, _EMPTY_TYPES]}]},
        ]
    }
    owners = {"$cond": [{"$isArray": [owner]}, owner, [owner]]}
    # An empty string cannot be an owner id, so it counts as no owner.
    owner_type = {"$cond": [{"$eq": ["$$owner", ""]}, "null", {"$type": "$$owner"}]}
    owner_types = {"$setUnion": [{"$map": {"input": owners, "as": "owner", "in": owner_type}}, []]}
    # Without `$literal`, a status such as "$plan" would be a reference to a field.
    key = {
        "excluded": {"$in": [status, [{"$literal": text} for text in mapping.excluded_statuses]]},
        "count": {"$cond": [is_invalid, count_type, None]},
        "owner": owner_types if mapping.uses_owner_field else {"$literal": []},
    }
    return [{"$group": {"_id": key, "documents": {"$sum": 1}}}]
