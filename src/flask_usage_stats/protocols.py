"""What a host can bring: an identity, and a store of its own."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeAlias
from uuid import UUID

from bson import ObjectId

#: Who is asking: non-empty text (up to 1,024 bytes of UTF-8), an integer of 64 bits, an ObjectId or a UUID.
#:
#: .. versionadded:: 0.1.0
Owner: TypeAlias = str | int | ObjectId | UUID

#: A callback that takes nothing, runs inside the request and must return the caller's identity,
#: or ``None`` or ``""`` where nobody is signed in. It may raise an ``HTTPException`` to refuse the request.
#:
#: .. versionadded:: 0.1.0
Authenticate: TypeAlias = Callable[[], Owner | None]


class UsageStore(Protocol):
    """Where projects come from: one method, so that any database, or a test, can be a store.

    .. versionadded:: 0.1.0
    """

    def iter_projects(self, owner: Owner, /) -> Iterable[Mapping[str, object]]:
        """Hand out the projects of one owner, in any order.

        Keys are the names of the contract; whatever else a mapping holds is left out of the answer.
        Projects that count as deleted are already left out; a naive datetime is UTC.
        The result is consumed once, inside the request, before a byte is sent.

        .. code-block:: python

            [{"_id": 7, "name": "blog", "status": "live", "totalRequest": 12890}]

        :param owner: the caller's identity, already checked.
        :returns: an iterable of mappings; empty where the owner has no projects.
        :raises Exception: whatever it raises, also half way, is answered with 500 and logged.
        """
