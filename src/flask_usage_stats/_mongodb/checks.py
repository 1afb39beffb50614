"""Check a collection for problems that make usage statistics wrong or slow.

The checks only read. Their details contain counts, types, paths, index names and ids, but no other stored values.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeGuard
from uuid import UUID

import pymongo
from bson import Decimal128, ObjectId
from pymongo.collation import Collation
from pymongo.collection import Collection
from pymongo.errors import OperationFailure, PyMongoError

from .._core.fields import COUNT, ID
from .._core.owners import OwnerType, convert_owner
from .._core.text import short_repr
from .._core.values import to_id
from ..protocols import Owner
from .check_result import EMPTY_TYPES, CheckResult, Status
from .counting_checks import check_counting
from .driver import DRIVER_ERRORS, build_store_error, call_with_collation, is_view_collation_refused
from .indexes import index_serves
from .mapping import CollectionMapping, Document
from .store import ProjectStore, is_recorded, open_store, validate_timeout

_PING_TIMEOUT: Final = 5  # seconds
_SAMPLE_SIZE: Final = 100  # documents
_MAX_EXAMPLES: Final = 5
_NUMBER_TYPES: Final = ("int", "long", "double", "decimal")
# The stored type of each type of owner id.
_OWNER_TYPES: Final[Mapping[OwnerType, str]] = {str: "string", int: "number", ObjectId: "objectId", UUID: "binData"}
# From this number on, a Decimal128 does not round to a finite double, so the response has 0.
_DOUBLE_LIMIT: Final = "1.797693134862315807937289714053034E+308"
# A prefix, because the `_id` of a group is its key.
_FOUND: Final = "found_"
_OWNER_FILTER_DETAIL: Final = "owner_filter selects the projects, so this cannot be checked"


def run_checks(store: ProjectStore, timeout: float, owner: Owner | None = None) -> list[CheckResult]:
    """Run the checks on the collection of a store, one after the other.

    :param timeout: the time limit for all checks together, in seconds, greater than 0 and at most 3600.
    :param owner: an owner id, to check as well which projects it matches.
    :returns: the results of the checks; only that of ``reachable`` if it is not ok.
    :raises ConfigurationError: *timeout* is out of range; the store's *collection* did not return a collection; or
        *owner_filter* did not return a non-empty ``dict``.
    :raises Exception: whatever the store's *collection* and *owner_filter* raise.
    """
    validate_timeout(timeout)
    with pymongo.timeout(timeout):
        collection, mapping = open_store(store)
        return list(_run_checks(collection, mapping, timeout, owner, is_recorded=is_recorded(store)))


def _run_checks(
    collection: Collection[Document],
    mapping: CollectionMapping,
    timeout: float,
    owner: Owner | None,
    *,
    is_recorded: bool,
) -> Iterator[CheckResult]:
    reachable = _check_reachable(collection, timeout)
    yield reachable
    if reachable.status is not Status.OK:
        return
    try:
        yield CheckResult("index", *_check_index(collection, mapping))
    except DRIVER_ERRORS as error:
        yield CheckResult("index", *_describe(error, timeout))
    try:
        yield from _Tally(collection, mapping).check()
    except DRIVER_ERRORS as error:
        names = ("counts", "owner types", "no owner", "fields")
        yield from (CheckResult(name, *_describe(error, timeout)) for name in names)
    if is_recorded:
        try:
            yield CheckResult("counting", *check_counting(collection, mapping))
        except DRIVER_ERRORS as error:
            yield CheckResult("counting", *_describe(error, timeout))
    if owner is None:
        return
    try:
        yield CheckResult("owner", *_check_owner(collection, mapping, owner))
    except DRIVER_ERRORS as error:
        yield CheckResult("owner", *_describe(error, timeout))


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


class _Tally:
    """The numbers of documents with each problem, from a single pass over the collection.

    Projects with an excluded status are counted separately: each attribute is keyed by whether they are excluded.
    """

    def __init__(self, collection: Collection[Document], mapping: CollectionMapping) -> None:
        self._mapping = mapping
        self._invalid_counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._owner_types: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._without_owner: Counter[bool] = Counter()
        self._documents: Counter[bool] = Counter()
        self._found_fields: set[str] = set()
        pipeline = _build_tally_pipeline(mapping)
        for group in call_with_collation(lambda collation: list(collection.aggregate(pipeline, collation=collation))):
            self._add(group)
        self._examples = _find_invalid_counts(collection, mapping) if self._invalid_counts[False] else []

    def _add(self, group: Mapping[str, Any]) -> None:
        key, documents = group["_id"], group["documents"]
        excluded = key["excluded"]
        self._documents[excluded] += documents
        if key["count"] is not None:
            self._invalid_counts[excluded][key["count"]] += documents
        types = {"number" if name in _NUMBER_TYPES else name for name in key["owner"]} - set(EMPTY_TYPES)
        if not types:
            self._without_owner[excluded] += documents
        for name in types:
            self._owner_types[excluded][name] += documents
        self._found_fields.update(name for name in _get_checked_paths(self._mapping) if group[f"{_FOUND}{name}"])

    def check(self) -> Iterator[CheckResult]:
        """Yield the results of all checks of the documents."""
        yield self.check_counts()
        if self._mapping.uses_owner_field:
            yield self.check_owner_types()
            yield self.check_missing_owners()
        else:
            yield from (CheckResult(name, Status.UNKNOWN, _OWNER_FILTER_DETAIL) for name in ("owner types", "no owner"))
        yield self.check_fields()

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
        if self._examples:
            detail += f", for example: {', '.join(self._examples)}"
        return CheckResult(name, Status.PROBLEM, detail + excluded)

    def check_owner_types(self) -> CheckResult:
        """Report owners stored with several types, with a type that no owner id has, or not with *owner_type*."""
        name, types = "owner types", self._owner_types[False]
        other_types = (number for kind, number in self._owner_types[True].items() if kind not in types)
        excluded = self._excluded_suffix(sum(other_types))
        owner_type = self._mapping.owner_type
        if owner_type is not None and types and _OWNER_TYPES[owner_type] not in types:
            detail = f"owner_type is {owner_type.__name__}, but owners are stored as {_format_counts(types)}"
            return CheckResult(name, Status.PROBLEM, detail + excluded)
        if len(types) > 1:
            detail = f"owners are stored with {len(types)} types ({_format_counts(types)})"
            return CheckResult(name, Status.PROBLEM, detail + excluded)
        if not types.keys() <= set(_OWNER_TYPES.values()):
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

    def check_fields(self) -> CheckResult:
        """Report paths in *fields* that do not exist in any project, and mention it if no project has a count."""
        name, paths = "fields", _get_checked_paths(self._mapping)
        if not self._documents:
            return CheckResult(name, Status.OK, "no projects")
        missing = {field: path for field, path in paths.items() if field not in self._found_fields}
        if missing.keys() & self._mapping.mapped_paths.keys():
            return CheckResult(name, Status.PROBLEM, f"not found in any project: {_format_paths(missing)}")
        if missing:
            return CheckResult(name, Status.OK, f"no project has {_format_paths(missing)}, so all counts are 0")
        return CheckResult(name, Status.OK, f"found in at least one project: {_format_paths(paths)}")

    @property
    def _checked(self) -> str:
        return f"{self._documents[False]:,} checked"

    def _excluded_suffix(self, affected: int) -> str:
        return f"; affected excluded projects: {affected:,} of {self._documents[True]:,}" if affected else ""


def _format_counts(types: Counter[str]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in sorted(types.items()))


def _format_paths(paths: Mapping[str, str]) -> str:
    return ", ".join(path if path == name else f"{path} ({name})" for name, path in paths.items())


def _get_checked_paths(mapping: CollectionMapping) -> dict[str, str]:
    """Return the paths of the count and of *fields*; other fields are optional."""
    return {COUNT: mapping.count_path, **mapping.mapped_paths}


def _build_tally_pipeline(mapping: CollectionMapping) -> list[Document]:
    """Build a pipeline that counts documents by exclusion, type of an invalid count, and types of their owners.

    There are few combinations, so the server uses little memory even for a large collection.
    """
    count, owner = f"${mapping.count_path}", f"${mapping.owner_path}"
    owners = {"$cond": [{"$isArray": [owner]}, owner, [owner]]}
    # An empty string cannot be an owner id, so it counts as no owner.
    owner_type = {"$cond": [{"$eq": ["$$owner", ""]}, "null", {"$type": "$$owner"}]}
    owner_types = {"$setUnion": [{"$map": {"input": owners, "as": "owner", "in": owner_type}}, []]}
    key = {
        "excluded": _build_exclusion(mapping),
        "count": {"$cond": [_build_count_check(mapping), {"$type": count}, None]},
        "owner": owner_types if mapping.uses_owner_field else {"$literal": []},
    }
    paths = _get_checked_paths(mapping)
    found = {f"{_FOUND}{name}": {"$max": _build_existence(f"${path}")} for name, path in paths.items()}
    return [{"$group": {"_id": key, "documents": {"$sum": 1}, **found}}]


def _build_exclusion(mapping: CollectionMapping) -> Document:
    # Without `$literal`, a status such as "$plan" would be a reference to a field.
    return {"$in": [f"${mapping.status_path}", [{"$literal": text} for text in mapping.excluded_statuses]]}


def _build_count_check(mapping: CollectionMapping) -> Document:
    """Build an expression that is true for a count that is returned as 0 because it is not a finite number."""
    count = f"${mapping.count_path}"
    count_type = {"$type": count}
    return {
        "$cond": [
            {"$in": [count_type, _NUMBER_TYPES]},
            # `$lte` includes NaN, which sorts before all other numbers.
            {"$or": [{"$gte": [count, Decimal128(_DOUBLE_LIMIT)]}, {"$lte": [count, Decimal128(f"-{_DOUBLE_LIMIT}")]}]},
            {"$not": [{"$in": [count_type, EMPTY_TYPES]}]},
        ]
    }


def _build_existence(value: str) -> Document:
    # A path through an array of documents that lack it is an empty array.
    return {"$and": [{"$ne": [{"$type": value}, "missing"]}, {"$ne": [value, []]}]}


def _find_invalid_counts(collection: Collection[Document], mapping: CollectionMapping) -> list[str]:
    """Return the first five ids, as they are logged, of projects whose count is returned as 0.

    The list is empty if they cannot be read, because they only illustrate a result that is already known.
    """
    condition = {"$expr": {"$and": [_build_count_check(mapping), {"$not": [_build_exclusion(mapping)]}]}}
    projection = {path: 1 for path in mapping.projection if path in (ID, mapping.id_path)}
    try:
        documents = call_with_collation(
            lambda collation: list(collection.find(condition, projection, collation=collation, limit=_MAX_EXAMPLES))
        )
    except DRIVER_ERRORS:
        return []
    return [short_repr(to_id(document.get(ID))) for document in mapping.rename_fields(documents)]


def _check_owner(collection: Collection[Document], mapping: CollectionMapping, owner: Owner) -> tuple[Status, str]:
    """Report how an owner id is converted, and how many projects it matches.

    If it does not match any project, look for it stored with other types.
    """
    owners = mapping.convert_owner(owner)
    if owners:
        match = mapping.match_owners(owners)
        total = _count(collection, match)
        detail = f"projects that match {_describe_owner(owner, owners)}: {total:,}"
        if total:
            returned = _count(collection, mapping.exclude_statuses(match))
            detail += f", without excluded statuses: {returned:,}"
            return Status.OK if returned else Status.PROBLEM, detail
    else:
        detail = f"{_format_owner(owner)} cannot be converted to the store's owner_type, so it matches no projects"
    return Status.PROBLEM, f"{detail}; {_find_other_type(collection, mapping, owner, owners)}"


def _find_other_type(
    collection: Collection[Document], mapping: CollectionMapping, owner: Owner, owners: Sequence[Owner]
) -> str:
    """Report the first other type with which an owner id matches projects, and what to change."""
    for owner_type in _OWNER_TYPES:
        other = convert_owner(str(owner), owner_type)
        if other is None or other in owners:
            continue
        match = _match_other(mapping, other)
        total = 0 if match is None else _count(collection, match)
        if total:
            name = owner_type.__name__
            cure = f"use owner_type={name}" if isinstance(owner, str) else f"return {name} from authenticate"
            return f"that match {_format_owner(other)}: {total:,} ({cure})"
    return "the id with another type matches none either"


def _match_other(mapping: CollectionMapping, owner: Owner) -> Document | None:
    try:
        return mapping.match_owners([owner])
    except Exception:  # noqa: BLE001 # an owner_filter need not support other types of owner ids
        return None


def _count(collection: Collection[Document], match: Document) -> int:
    return call_with_collation(lambda collation: collection.count_documents(match, collation=collation))


def _describe_owner(owner: Owner, owners: Sequence[Owner]) -> str:
    types = "" if list(owners) == [owner] else f" as {' or '.join(type(each).__name__ for each in owners)}"
    return _format_owner(owner) + types


def _format_owner(owner: Owner) -> str:
    return f"{type(owner).__name__} {short_repr(to_id(owner))}"
