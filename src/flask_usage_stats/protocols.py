"""Types for the parts that an application supplies: owner ids, callbacks and custom stores."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from bson import ObjectId

#: The id of the authenticated user: a non-empty string (up to 1,024 bytes of UTF-8), a 64-bit integer,
#: an ObjectId or a UUID.
#:
#: .. versionadded:: 0.1.0
Owner: TypeAlias = str | int | ObjectId | UUID

#: A function without arguments that is called during the request. It must return the owner id,
#: or ``None`` or ``""`` if the request is not authenticated. It may raise an ``HTTPException`` to reject the request.
#:
#: .. versionadded:: 0.1.0
Authenticate: TypeAlias = Callable[[], Owner | None]

#: A function without arguments that is called during a request for the platform view. It must return ``True`` if the
#: user may see it, ``False`` if not, or ``None`` if the request is not authenticated. It may raise an ``HTTPException``
#: to reject the request.
#:
#: .. versionadded:: 0.1.0
Authorize: TypeAlias = Callable[[], bool | None]


class UsageStore(Protocol):
    """A source of projects. It has a single method, so a store can be backed by any database.

    :class:`flask_usage_stats.testing.UsageStoreContract` tests an implementation.

    .. versionadded:: 0.1.0
    """

    # The parameter is not typed as Owner, because a store for one type of owner ids would not be a UsageStore then.
    def iter_projects(self, owner: Any, /) -> Iterable[Mapping[str, object]]:  # noqa: ANN401
        """Return one owner's projects, in any order.

        Keys are the field names of the response; other keys are ignored.
        If the blueprint has a *history*, a project that had a request must have ``lastRequestAt``, the date of the
        latest one.
        Deleted projects must be excluded. Naive datetimes are interpreted as UTC.
        The result is consumed once, during the request, before the response is sent.

        .. code-block:: python

            [{"_id": 7, "name": "blog", "status": "live", "totalRequest": 12890}]

        :param owner: the validated owner id, an :data:`~flask_usage_stats.protocols.Owner`. The parameter may have the
            type that *authenticate* returns.
        :returns: an iterable of mappings; empty if the owner has no projects.
        :raises Exception: any error, also during iteration, is logged, and the response has status 500.
        """
