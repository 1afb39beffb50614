"""What to ask a collection for: the filter for one owner, the projection, and the names on the way back."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias
from uuid import UUID

from bson import ObjectId

from .._core.fields import COUNT, FIELDS, ID, OWNER, STATUS
from .._core.owners import OwnerType, convert_owner, is_object_id_text
from .._core.text import is_coroutine_callable, short_repr
from ..errors import ConfigurationError
from ..protocols import Owner
from .salvage import Unreadable

Document: TypeAlias = dict[str, Any]
OwnerFilter: TypeAlias = Callable[[Owner], dict[str, Any]]

_NAMES: Final = (*(field.name for field in FIELDS), OWNER)
_MISSING: Final = object()


class ProjectQuery:
    """How the projects of an owner are found in one collection, and how its paths are named on the wire.

    The arguments are those of :class:`~flask_usage_stats.ProjectStore`.

    :raises ConfigurationError: an argument cannot work; the message says what to pass.
    """

    def __init__(
        self,
        fields: Mapping[str, str] | None,
        owner_filter: OwnerFilter | None,
        owner_type: OwnerType | None,
        excluded_statuses: Iterable[str],
    ) -> None:
        paths = _stored_paths(fields)
        shown = {name: path for name, path in paths.items() if name != OWNER}
        _check_match(owner_filter, owner_type, fields)
        self.owner_path: Final = paths[OWNER]
        self.count_path: Final = paths[COUNT]
        self.status_path: Final = paths[STATUS]
        self.projection: Final = _projection(shown.values())
        self._owned_by = owner_filter
        self._owner_type = owner_type
        self.excluded_statuses: Final = _checked_statuses(excluded_statuses)
        self._kept = _kept(self.status_path, self.excluded_statuses)
        renamed = any(name != path for name, path in shown.items())
        self._parts = {name: path.split(".") for name, path in shown.items()} if renamed else None

    @property
    def matches_owner_path(self) -> bool:
        """Whether the owner's path decides, rather than a filter of the host's."""
        return self._owned_by is None

    def filter(self, owner: Owner) -> Document | None:
        """Make the filter for an owner's projects; ``None`` where the identity cannot be one that owns any.

        :raises ConfigurationError: the host's *owner_filter* returned no filter.
        """
        match = self._match(owner)
        return match if match is None or self._kept is None else {"$and": [match, self._kept]}

    def named(self, documents: Iterable[Document]) -> Iterable[Document]:
        """Put stored documents under their wire names."""
        if self._parts is None:
            return documents
        return [dict(_renamed(document, self._parts)) for document in documents]

    def _match(self, owner: Owner) -> Document | None:
        if isinstance(owner, str) and self._owner_type is not None:
            converted = convert_owner(owner, self._owner_type)
            if converted is None:
                return None
            owner = converted
        if self._owned_by is not None:
            match = self._owned_by(owner)
            if not isinstance(match, dict) or not match:
                raise ConfigurationError(
                    f"owner_filter must return a filter: a dict, not empty; got {type(match).__name__}"
                )
            return match
        if isinstance(owner, str) and self._owner_type is None and is_object_id_text(owner):
            return {self.owner_path: {"$in": [ObjectId(owner), owner]}}
        return {self.owner_path: {"$eq": owner}}


def _stored_paths(fields: Mapping[str, str] | None) -> dict[str, str]:
    """Say where every wire name is stored, under itself where *fields* does not say."""
    fields = {} if fields is None else fields
    if not isinstance(fields, Mapping):
        raise ConfigurationError(
            f'fields must map wire names to stored paths, such as {{"owner": "user_id"}}; got {short_repr(fields)}'
        )
    for name, path in fields.items():
        if name not in _NAMES:
            raise ConfigurationError(
                f"fields has the unknown name {short_repr(name)}: the names are {', '.join(_NAMES)}"
            )
        if not isinstance(path, str) or "\0" in path or any(part[:1] in ("", "$") for part in path.split(".")):
            raise ConfigurationError(
                f"fields[{name!r}] must be a path such as 'stats.hits', its parts neither empty nor with a leading $;"
                f" got {short_repr(path)}"
            )
    paths = {name: fields.get(name, name) for name in _NAMES}
    taken = [(path.split("."), name) for name, path in paths.items() if name != OWNER]
    for parts, name in taken:
        for others, other in taken:
            if name != other and others[: len(parts)] == parts:
                raise ConfigurationError(
                    f"fields overlap: {name!r} is stored at {paths[name]!r} and {other!r} at {paths[other]!r};"
                    " give each a path of its own"
                )
    return paths


def _check_match(
    owner_filter: OwnerFilter | None, owner_type: OwnerType | None, fields: Mapping[str, str] | None
) -> None:
    if owner_filter is not None:
        if not callable(owner_filter):
            raise ConfigurationError(
                f"owner_filter must be a function from an identity to a filter, got {short_repr(owner_filter)}"
            )
        if is_coroutine_callable(owner_filter):
            raise ConfigurationError("owner_filter must not be async: it must return the filter itself")
        if fields is not None and OWNER in fields:
            raise ConfigurationError(
                'owner_filter replaces the match on the owner\'s path: leave "owner" out of fields'
            )
    if owner_type not in (None, str, int, ObjectId, UUID):
        raise ConfigurationError(f"owner_type must be str, int, ObjectId or UUID, got {short_repr(owner_type)}")


def _projection(paths: Iterable[str]) -> dict[str, int]:
    """Ask for the shown paths, and for the whole of ``_id``, by which documents are told apart."""
    return dict.fromkeys((path for path in paths if path.split(".")[0] != ID), 1) | {ID: 1}


def _checked_statuses(excluded: Iterable[str]) -> list[str]:
    statuses = None if isinstance(excluded, str) or not isinstance(excluded, Iterable) else list(excluded)
    if statuses is None or not all(isinstance(text, str) for text in statuses):
        raise ConfigurationError(
            f'excluded_statuses must be several texts, such as ("deleted",), or () for none; got {short_repr(excluded)}'
        )
    return statuses


def _kept(status: str, excluded: list[str]) -> Document | None:
    """Make the filter that leaves out the excluded statuses, compared as a whole: an array that holds one is kept."""
    if not excluded:
        return None
    parts = status.split(".")
    no_arrays = {".".join(parts[:end]): {"$not": {"$type": "array"}} for end in range(1, len(parts))}
    return {"$nor": [{**no_arrays, status: {"$in": excluded, "$not": {"$type": "array"}}}]}


def _renamed(document: Document, parts: Mapping[str, list[str]]) -> Iterator[tuple[str, object]]:
    for name, path in parts.items():
        value = _at(document, path)
        if value is not _MISSING:
            yield name, value


def _at(value: object, path: Iterable[str]) -> object:
    for part in path:
        if isinstance(value, list | Unreadable):  # many values or none that can be read, and so none to show
            return value
        if not isinstance(value, dict) or part not in value:
            return _MISSING
        value = value[part]
    return value
