"""Check which projects an owner id matches."""

from collections.abc import Sequence

from pymongo.collection import Collection

from .._core.owners import convert_owner
from .._core.text import short_repr
from .._core.values import to_id
from ..protocols import Owner
from .check_result import OWNER_TYPES, Status
from .driver import call_with_collation
from .mapping import CollectionMapping, Document


def check_owner(collection: Collection[Document], mapping: CollectionMapping, owner: Owner) -> tuple[Status, str]:
    """Report how an owner id is converted, and how many projects it matches.

    If it does not match any project, look for it stored with other types.

    :returns: the status and the detail of the result.
    :raises PyMongoError: a command failed; the decoder's errors in ``DRIVER_ERRORS`` are also possible.
    :raises ConfigurationError: *owner_filter* did not return a non-empty ``dict``.
    :raises Exception: whatever *owner_filter* raises.
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
    for owner_type in OWNER_TYPES:
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
