"""Check a collection for problems that make usage statistics wrong or slow.

The checks only read. Their details contain counts, types, paths, index names and ids, but no other stored values.
"""

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final

import pymongo
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from .._core.owners import OwnerType
from ..protocols import Owner
from .check_result import CheckResult, Status
from .counting_checks import check_counting
from .document_checks import DocumentTally
from .driver import DRIVER_ERRORS, build_store_error, is_view_collation_refused
from .history import UsageHistory
from .history_checks import check_history
from .index_checks import check_index
from .mapping import CollectionMapping, Document
from .owner_checks import check_owner
from .store import ProjectStore, get_recorded_types, open_store, validate_timeout

_PING_TIMEOUT: Final = 5  # seconds


def run_checks(
    store: ProjectStore, timeout: float, owner: Owner | None = None, history: UsageHistory | None = None
) -> list[CheckResult]:
    """Run the checks on the collection of a store, one after the other.

    :param timeout: the time limit for all checks together, in seconds, greater than 0 and at most 3600.
    :param owner: an owner id, to check as well which projects it matches.
    :param history: a history, to check as well.
    :returns: the results of the checks; only that of ``reachable`` if it is not ok.
    :raises ConfigurationError: *timeout* is out of range; the store's *collection* did not return a collection; or
        *owner_filter* did not return a non-empty ``dict``.
    :raises Exception: whatever the store's *collection* and *owner_filter* raise.
    """
    validate_timeout(timeout)
    with pymongo.timeout(timeout):
        collection, mapping = open_store(store)
        return list(_run_checks(collection, mapping, timeout, owner, history, id_types=get_recorded_types(store)))


def _run_checks(  # noqa: PLR0913 # each parameter is what is checked
    collection: Collection[Document],
    mapping: CollectionMapping,
    timeout: float,
    owner: Owner | None,
    history: UsageHistory | None,
    *,
    id_types: AbstractSet[OwnerType | None],
) -> Iterator[CheckResult]:
    reachable = _check_reachable(collection, timeout)
    yield reachable
    if reachable.status is not Status.OK:
        return
    yield _run("index", timeout, check_index, collection, mapping)
    try:
        yield from DocumentTally(collection, mapping).check()
    except DRIVER_ERRORS as error:
        names = ("counts", "owner types", "no owner", "fields")
        yield from (CheckResult(name, *_describe(error, timeout)) for name in names)
    if id_types:
        yield _run("counting", timeout, check_counting, collection, mapping, id_types)
    if history is not None:
        yield _run("history", timeout, check_history, history)
    if owner is not None:
        yield _run("owner", timeout, check_owner, collection, mapping, owner)


def _run(name: str, timeout: float, check: Callable[..., tuple[Status, str]], *arguments: object) -> CheckResult:
    try:
        return CheckResult(name, *check(*arguments))
    except DRIVER_ERRORS as error:
        return CheckResult(name, *_describe(error, timeout))


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
