"""Selection of projects that had no request for some time."""

from collections.abc import Sequence
from datetime import datetime

from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from .fields import CREATED_AT, ID, LAST_REQUEST_AT
from .rows import Adjustments, Document
from .values import get_date_sort_key, to_id


def select_idle(documents: Sequence[Document], since: datetime, adjustments: Adjustments) -> list[Document]:
    """Return the documents of projects that were created before a time and had no request since then.

    The time of creation is ``createdAt`` or, without a date there, that of an ObjectId as the ``_id``. If neither is
    known, a project is as old as its latest request, and left out if it had none.

    A project whose latest request is stored as anything but a date is left out and recorded: it may be in use, and
    owners delete what is idle.

    :param since: aware.
    """
    limit = int(since.timestamp() * 1000)
    idle = []
    for document in documents:
        stored = document.get(LAST_REQUEST_AT)
        requested = _to_milliseconds(stored)
        if requested is None and stored is not None:
            adjustments.add(to_id(document.get(ID)), [(LAST_REQUEST_AT, type(stored).__name__)])
            continue
        created = _get_creation_time(document)
        if created is None:
            created = requested
        if created is not None and created <= limit and (requested is None or requested <= limit):
            idle.append(document)
    return idle


def _get_creation_time(document: Document) -> int | None:
    created = _to_milliseconds(document.get(CREATED_AT))
    project = document.get(ID)
    if created is None and isinstance(project, ObjectId):
        return get_date_sort_key(project.generation_time)
    return created


def _to_milliseconds(value: object) -> int | None:
    return int(value) if isinstance(value, DatetimeMS) else get_date_sort_key(value)
