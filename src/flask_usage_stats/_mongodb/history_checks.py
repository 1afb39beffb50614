"""Check the collection of a history."""

from datetime import datetime

from .check_result import Status
from .history import SINCE_ID, UsageHistory, find_expiry, get_retention, has_known_format, open_history


def check_history(history: UsageHistory) -> tuple[Status, str]:
    """Check the index that removes old days, and the format.

    :returns: the status and the detail of the result.
    :raises PyMongoError: a command failed; the decoder's errors in ``DRIVER_ERRORS`` are also possible.
    :raises Exception: whatever the history's *collection* raises.
    """
    collection, days = open_history(history), get_retention(history).days
    document = collection.find_one({"_id": SINCE_ID})
    if document is not None and not has_known_format(document):
        return Status.PROBLEM, "written by a later version of flask-usage-stats"
    if document is not None and not isinstance(document.get("at"), datetime):
        return Status.PROBLEM, "its document 'since' has no date, so nothing can be read"
    expiry = find_expiry(collection)
    if expiry is None:
        return Status.PROBLEM, "no index removes old days: run flask usage ensure-indexes"
    name, seconds = expiry
    if seconds != days * 86_400:
        return Status.PROBLEM, (
            f"index {name!r} removes days after {seconds / 86_400:g} days, not {days}: run flask usage ensure-indexes"
        )
    if document is None:
        return Status.OK, "nothing was counted yet"
    return Status.OK, f"counted since {document['at']:%Y-%m-%d}, kept for {days} days"
