"""Look over a collection for what keeps a store from answering right, or fast.

Nothing is written, and no stored value is told: numbers, types and the names of indexes alone.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeGuard
from uuid import UUID

import pymongo
from bson import Decimal128, ObjectId
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from ..protocols import Owner
from .mapping import Document, ProjectQuery
from .store import DRIVER_ERRORS, SIMPLE_COLLATION, ProjectStore, failure, serves, validate_timeout


class Verdict(IntEnum):
    """What a check came to; the number is the exit code of a command that found no worse."""

    SOUND = 0
    FINDING = 1
    CANNOT_TELL = 2

    def __str__(self) -> str:
        """Say it as it is printed."""
        return self.name.lower().replace("_", " ")


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    detail: str


_REACHING: Final = 5  # seconds, in which a database that is there answers
_SAMPLE: Final = 100  # documents, among which an owner is looked for
_NUMBERS: Final = ("int", "long", "double", "decimal")
_NOTHING: Final = ("missing", "null", "undefined")
_IDENTITIES: Final = ("string", "number", "objectId", "binData")
# From here on a number rounds to no double, so it is shown as 0.
_BEYOND: Final = "1.797693134862315807937289714053034E+308"
_OWNER_FILTER: Final = "owner_filter decides which projects match, and only you know what it reads"


def examine(store: ProjectStore, timeout: float) -> list[Check]:
    """Look a store's collection over, one check after the other.

    :param timeout: seconds in which every check ends, all together.
    :returns: the checks; only the first where the database cannot be reached.
    :raises ConfigurationError: *timeout* cannot work; the store's *projects* returned no collection.
    """
    validate_timeout(timeout)
    with pymongo.timeout(timeout):
        collection, query = store._opened()  # noqa: SLF001 # a doctor looks inside
        return list(_checks(collection, query, timeout))


def _checks(collection: Collection[Document], query: ProjectQuery, timeout: float) -> Iterator[Check]:
    if not isinstance(collection, Collection):
        yield Check("reachable", Verdict.CANNOT_TELL, "the collection is a stand-in, not one of a MongoDB server")
        return
    try:
        with pymongo.timeout(min(timeout, _REACHING)):
            collection.database.command("ping")
    except DRIVER_ERRORS as error:
        yield Check("reachable", Verdict.CANNOT_TELL, str(failure("the database does not answer", error)))
        return
    yield Check("reachable", Verdict.SOUND, "the database answers")
    yield _told("index", timeout, lambda: _index(collection, query))
    try:
        tally = _Tally(collection, query)
    except DRIVER_ERRORS as error:
        detail = _why(error, timeout)
        yield from (Check(name, Verdict.CANNOT_TELL, detail) for name in ("counts", "owner types", "no owner"))
        return
    yield tally.counts()
    if query.matches_owner_path:
        yield tally.owner_types()
        yield tally.no_owner()
    else:
        yield from (Check(name, Verdict.CANNOT_TELL, _OWNER_FILTER) for name in ("owner types", "no owner"))


def _told(name: str, timeout: float, check: Callable[[], tuple[Verdict, str]]) -> Check:
    try:
        return Check(name, *check())
    except DRIVER_ERRORS as error:
        return Check(name, Verdict.CANNOT_TELL, _why(error, timeout))


def _why(error: Exception, timeout: float) -> str:
    if isinstance(error, PyMongoError) and error.timeout:
        return f"not within {timeout:g} seconds; give it more with --timeout"
    return str(failure("the database did not answer", error))


def _index(collection: Collection[Document], query: ProjectQuery) -> tuple[Verdict, str]:
    if not query.matches_owner_path:
        return Verdict.CANNOT_TELL, _OWNER_FILTER
    path = query.owner_path
    names = [str(index["name"]) for index in collection.list_indexes() if serves(index, path)]
    if not names:
        return Verdict.FINDING, f"no full index begins with {path!r}; make one with ensure-indexes"
    owner = _sampled(collection, query)
    if owner is None:
        return Verdict.SOUND, f"{names[0]} is there; there is no owner to try it with"
    stages, used = _plan(collection, query, owner)
    if "COLLSCAN" in stages:
        return Verdict.FINDING, f"{names[0]} is there, but the read goes through the whole collection"
    if not used <= set(names):
        return Verdict.FINDING, f"{names[0]} is there, but the read uses {', '.join(sorted(used))}"
    return Verdict.SOUND, f"the read uses {', '.join(sorted(used))}"


def _sampled(collection: Collection[Document], query: ProjectQuery) -> Owner | None:
    """Find an owner among the first documents, of whom the store can be asked."""
    path = query.owner_path
    for document in collection.find({}, {path: 1}, limit=_SAMPLE):
        value: Any = document
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        for one in value if isinstance(value, list) else [value]:
            if _can_ask(one) and query.filter(one) is not None:
                return one
    return None


def _can_ask(value: object) -> TypeGuard[Owner]:
    return isinstance(value, str | int | ObjectId | UUID) and not isinstance(value, bool) and value != ""


def _plan(collection: Collection[Document], query: ProjectQuery, owner: Owner) -> tuple[set[str], set[str]]:
    """Ask the server how it would read an owner's projects: the stages of its plan, and the indexes in it."""
    find = {
        "find": collection.name,
        "filter": query.filter(owner),
        "projection": query.projection,
        "collation": SIMPLE_COLLATION.document,
    }
    answer = collection.database.command(
        "explain",
        find,
        verbosity="queryPlanner",
        codec_options=collection.codec_options,
        read_preference=collection.read_preference,
    )
    parts = list(_parts(answer["queryPlanner"]["winningPlan"]))
    return {part["stage"] for part in parts if "stage" in part}, {
        part["indexName"] for part in parts if "indexName" in part
    }


def _parts(plan: object) -> Iterator[Mapping[str, Any]]:
    """Walk a plan, and those of every shard, but no plan that was turned down."""
    if isinstance(plan, Mapping):
        yield plan
        plan = [part for name, part in plan.items() if name != "rejectedPlans"]
    if isinstance(plan, list):
        for part in plan:
            yield from _parts(part)


class _Tally:
    """What one pass over the collection counts: documents by what is the matter with them."""

    def __init__(self, collection: Collection[Document], query: ProjectQuery) -> None:
        self._counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._owners: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._ownerless: Counter[bool] = Counter()
        self._documents: Counter[bool] = Counter()
        for group in collection.aggregate(_pass(query), collation=SIMPLE_COLLATION):
            self._add(group["_id"], group["documents"])

    def _add(self, key: Mapping[str, Any], documents: int) -> None:
        deleted = key["deleted"]
        self._documents[deleted] += documents
        if key["count"] is not None:
            self._counts[deleted][key["count"]] += documents
        kinds = {"number" if kind in _NUMBERS else kind for kind in key["owner"]} - set(_NOTHING)
        if not kinds:
            self._ownerless[deleted] += documents
        for kind in kinds:
            self._owners[deleted][kind] += documents

    def counts(self) -> Check:
        """Tell of counts that are shown as 0 because they are no finite number."""
        bad = self._counts[False]
        deleted = self._apart(self._counts[True].total())
        if not bad:
            return Check("counts", Verdict.SOUND, f"each of {self._kept} has a finite number, or none{deleted}")
        detail = f"{bad.total():,} of {self._kept} have no finite number and show 0 ({_listed(bad)}){deleted}"
        return Check("counts", Verdict.FINDING, detail)

    def owner_types(self) -> Check:
        """Tell of owners of several types, for an identity is of one, and of types that no identity has."""
        types, name = self._owners[False], "owner types"
        strange = Counter({kind: number for kind, number in types.items() if kind not in _IDENTITIES})
        deleted = self._apart(sum(number for kind, number in self._owners[True].items() if kind not in types))
        if len(types) > 1:
            return Check(name, Verdict.FINDING, f"owners are stored in {len(types)} types ({_listed(types)}){deleted}")
        if strange:
            return Check(
                name, Verdict.FINDING, f"owners are of a type that no identity has ({_listed(types)}){deleted}"
            )
        return Check(name, Verdict.SOUND, f"{_listed(types) or 'no owners'}{deleted}")

    def no_owner(self) -> Check:
        """Tell of documents that nobody can see."""
        lacking = self._ownerless[False]
        deleted = self._apart(self._ownerless[True])
        if not lacking:
            return Check("no owner", Verdict.SOUND, f"each of {self._kept} has an owner{deleted}")
        return Check("no owner", Verdict.FINDING, f"{lacking:,} of {self._kept} have no owner{deleted}")

    @property
    def _kept(self) -> str:
        return f"{self._documents[False]:,} projects"

    def _apart(self, number: int) -> str:
        return f"; deleted: {number:,} of {self._documents[True]:,}" if number else ""


def _listed(types: Counter[str]) -> str:
    return ", ".join(f"{kind} {number:,}" for kind, number in sorted(types.items()))


def _pass(query: ProjectQuery) -> list[Document]:
    """Group documents by whether they are deleted, the type of a bad count, and the types of their owners.

    Types are few, so the server keeps next to nothing, however large the collection is.
    """
    status, count, owner = f"${query.status_path}", f"${query.count_path}", f"${query.owner_path}"
    kind = {"$type": count}
    beyond = Decimal128(_BEYOND), Decimal128(f"-{_BEYOND}")
    bad = {
        "$cond": [
            {"$in": [kind, _NUMBERS]},
            # BSON has NaN below every other number.
            {"$or": [{"$gte": [count, beyond[0]]}, {"$lte": [count, beyond[1]]}]},
            {"$not": [{"$in": [kind, _NOTHING]}]},
        ]
    }
    owners = {"$cond": [{"$isArray": [owner]}, owner, [owner]]}
    owner_kind = {"$cond": [{"$eq": ["$$one", ""]}, "null", {"$type": "$$one"}]}
    kinds = {"$setUnion": [{"$map": {"input": owners, "as": "one", "in": owner_kind}}, []]}
    key = {
        "deleted": {"$in": [status, [{"$literal": text} for text in query.excluded_statuses]]},
        "count": {"$cond": [bad, kind, None]},
        "owner": kinds if query.matches_owner_path else {"$literal": []},
    }
    return [{"$group": {"_id": key, "documents": {"$sum": 1}}}]
