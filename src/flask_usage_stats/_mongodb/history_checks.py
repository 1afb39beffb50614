"""Check the collection of a history."""

from datetime import datetime

from pymongo.collection import Collection

from .check_result import Status
from .history import SINCE_ID, UsageHistory, find_expiry, get_retention, has_known_format, open_history
from .mapping import Document


def check_history(history: UsageHistory) -> tuple[Status, str]:
    """Check the collation, the index that removes old days, and the format.

    :returns: the status and the detail of the result.
    :raises PyMongoError: a command failed; the decoder's errors in ``DRIVER_ERRORS`` are also possible.
    :raises Exception: whatever the history's *collection* raises.
    """
    collection, days = open_history(history), get_retention(history).days
    document = collection.find_one({"_id": SINCE_ID})
    problem = _find_problem(collection, document, days)
    if problem is not None:
        return Status.PROBLEM, problem
    if document is None:
        return Status.OK, "nothing was counted yet"
    return Status.OK, f"counted since {document['at']:%Y-%m-%d}, kept for {days} days"


def _find_problem(collection: Collection[Document], document: Document | None, days: int) -> str | None:
    if document is not None and not has_known_format(document):
        return "written by a later version of flask-usage-stats"
    if document is not None and not isinstance(document.get("at"), datetime):
        return "its document 'since' has no date, so nothing can be read"
    if any(index["name"] == "_id_" and "collation" in index for index in collection.list_indexes()):
        return "the collection has a collation, so ids that it takes for equal cannot each have a day"
    expiry = find_expiry(collection)
    if expiry is None:
        return "no index removes old days: run flask usage ensure-indexes"
    name, seconds = expiry
    if seconds != days * 86_400:
        found = f"index {name!r} removes days after {seconds / 86_400:g} days"
        return f"{found}, not {days}: run flask usage ensure-indexes"
    return None
