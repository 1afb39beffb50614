"""Check the documents of a collection: their counts, owners and fields."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bson import Decimal128
from pymongo.collection import Collection

from .._core.fields import COUNT, ID
from .._core.text import short_repr
from .._core.values import to_id
from .check_result import EMPTY_TYPES, OWNER_FILTER_DETAIL, OWNER_TYPES, CheckResult, Status
from .driver import DRIVER_ERRORS, call_with_collation
from .mapping import CollectionMapping, Document

_MAX_EXAMPLES: Final = 5
_NUMBER_TYPES: Final = ("int", "long", "double", "decimal")
# From this number on, a Decimal128 does not round to a finite double, so the response has 0.
_DOUBLE_LIMIT: Final = "1.797693134862315807937289714053034E+308"
# A prefix, because the `_id` of a group is its key.
_FOUND: Final = "found_"


class DocumentTally:
    """The numbers of documents with each problem, from a single pass over the collection.

    Projects with an excluded status are counted separately: each attribute is keyed by whether they are excluded.

    :raises PyMongoError: a command failed; the decoder's errors in ``DRIVER_ERRORS`` are also possible.
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
            yield from (CheckResult(name, Status.UNKNOWN, OWNER_FILTER_DETAIL) for name in ("owner types", "no owner"))
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
        if owner_type is not None and types and OWNER_TYPES[owner_type] not in types:
            detail = f"owner_type is {owner_type.__name__}, but owners are stored as {_format_counts(types)}"
            return CheckResult(name, Status.PROBLEM, detail + excluded)
        if len(types) > 1:
            detail = f"owners are stored with {len(types)} types ({_format_counts(types)})"
            return CheckResult(name, Status.PROBLEM, detail + excluded)
        if not types.keys() <= set(OWNER_TYPES.values()):
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
    projection = {path: 1 for path in mapping.rows.projection if path in (ID, mapping.id_path)}
    try:
        documents = call_with_collation(
            lambda collation: list(collection.find(condition, projection, collation=collation, limit=_MAX_EXAMPLES))
        )
    except DRIVER_ERRORS:
        return []
    return [short_repr(to_id(document.get(ID))) for document in mapping.rows.rename_fields(documents)]
