"""The mapping of fields to stored paths, and the filter and projection for it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final, TypeAlias
from uuid import UUID

from bson import ObjectId

from .._core.callables import close_coroutine, find_signature_problem, is_coroutine_callable
from .._core.fields import ALL_FIELDS, COUNT, FIELDS, ID, LAST_REQUEST_AT, OWNER, STATUS, UPDATED_AT
from .._core.owners import OwnerType, convert_owner, is_object_id_text
from .._core.text import short_repr
from ..errors import ConfigurationError
from ..protocols import Owner

Document: TypeAlias = dict[str, Any]
# The parameter is not typed as Owner, because a function for one type of owner ids could not be passed then.
OwnerFilter: TypeAlias = Callable[[Any], dict[str, Any]]

_NAMES: Final = (*(field.name for field in ALL_FIELDS), OWNER)
MISSING: Final = object()


class RowPaths:
    """The paths of a row's fields in a document.

    :param paths: maps the names of the fields, in the order of the response, to their paths.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        #: The paths, and the complete ``_id``, which identifies documents.
        self.projection: Final = dict.fromkeys((path for path in paths.values() if path.split(".")[0] != ID), 1) | {
            ID: 1
        }
        renamed = any(name != path for name, path in paths.items())
        self._split_paths = {name: path.split(".") for name, path in paths.items()} if renamed else None

    def rename_fields(self, documents: list[Document]) -> list[Document]:
        """Return documents whose keys are the names of the fields instead of the stored paths."""
        if self._split_paths is None:
            return documents
        return [dict(_rename(document, self._split_paths)) for document in documents]


class CollectionMapping:
    """The paths of a collection's fields, and the filters built from them.

    The arguments are those of :class:`~flask_usage_stats.ProjectStore`.

    :raises ConfigurationError: an argument is invalid; the message says what to pass instead.
    """

    def __init__(
        self,
        fields: Mapping[str, str] | None,
        owner_filter: OwnerFilter | None,
        owner_type: OwnerType | None,
        excluded_statuses: Iterable[str],
        writers_field: str | None,
    ) -> None:
        paths = _resolve_paths(fields)
        _validate_owner_arguments(owner_filter, owner_type, fields)
        #: The paths of the fields that *fields* contains and that projects should have.
        self.mapped_paths: Final = {name: path for name, path in (fields or {}).items() if name != LAST_REQUEST_AT}
        #: The paths of all fields and of the owner.
        self.paths: Final = paths
        self.owner_path: Final = paths[OWNER]
        self.id_path: Final = paths[ID]
        self.count_path: Final = paths[COUNT]
        self.status_path: Final = paths[STATUS]
        #: The path of the entries of writers, or ``None`` if counts are written without them.
        self.writers_path: Final = _validate_writers_field(writers_field, paths)
        #: Whether *fields* says where the time of the latest request is, so that another program may write it.
        self.maps_last_request: Final = LAST_REQUEST_AT in (fields or ())
        #: The path of the time of the latest request, or ``None`` if it is not written.
        self.last_request_path: Final = (
            paths[LAST_REQUEST_AT] if writers_field is not None or self.maps_last_request else None
        )
        #: The paths that a recorder writes to.
        self.recorded_paths: Final = tuple(
            path for path in (self.writers_path, self.last_request_path, self.count_path) if path is not None
        )
        #: The fields of a row, without and with those that a request must ask for.
        self.rows: Final = RowPaths({name: paths[name] for name, _ in FIELDS})
        self.full_rows: Final = RowPaths({name: paths[name] for name, _ in ALL_FIELDS})
        self.excluded_statuses: Final = _validate_statuses(excluded_statuses)
        self.owner_type: Final = owner_type
        self._owner_filter = owner_filter
        self._status_filter = _build_status_filter(self.status_path, self.excluded_statuses)

    @property
    def uses_owner_field(self) -> bool:
        """Whether projects are matched by the owner's path instead of an *owner_filter*."""
        return self._owner_filter is None

    def build_filter(self, owner: Owner) -> Document | None:
        """Build the filter for the projects of an owner, without those with an excluded status.

        :returns: the filter, or ``None`` if no project can match because *owner* is a string that cannot be converted
            to *owner_type*.
        :raises ConfigurationError: *owner_filter* did not return a non-empty ``dict``.
        :raises Exception: whatever *owner_filter* raises.
        """
        owners = self.convert_owner(owner)
        return self.exclude_statuses(self.match_owners(owners)) if owners else None

    def convert_owner(self, owner: Owner) -> Sequence[Owner]:
        """Return the stored ids that an owner id matches: usually one, or none if it cannot be converted.

        A string of 24 hexadecimal digits matches two, unless *owner_type* or *owner_filter* is given.
        """
        if isinstance(owner, str) and self.owner_type is not None:
            converted = convert_owner(owner, self.owner_type)
            return [] if converted is None else [converted]
        if isinstance(owner, str) and self._owner_filter is None and is_object_id_text(owner):
            return [ObjectId(owner), owner]
        return [owner]

    def match_owners(self, owners: Sequence[Owner]) -> Document:
        """Build the filter for the projects with any of these stored ids, with any status.

        :param owners: the return value of :meth:`convert_owner`, or a single id that is not converted.
        :raises ConfigurationError: *owner_filter* did not return a non-empty ``dict``.
        :raises Exception: whatever *owner_filter* raises.
        """
        if self._owner_filter is None:
            return {self.owner_path: {"$eq": owners[0]} if len(owners) == 1 else {"$in": list(owners)}}
        match = self._owner_filter(owners[0])
        if not isinstance(match, dict) or not match:
            close_coroutine(match)
            got = "an empty dict" if match == {} else type(match).__name__
            raise ConfigurationError(
                f"owner_filter must return a non-empty dict, got {got}: an empty filter would match every project"
            )
        return match

    def exclude_statuses(self, match: Document) -> Document:
        """Add the condition that the status is not excluded to a filter."""
        return match if self._status_filter is None else {"$and": [match, self._status_filter]}


def _resolve_paths(fields: Mapping[str, str] | None) -> dict[str, str]:
    """Return the stored path of every field name, by default the name itself."""
    fields = {} if fields is None else fields
    if not isinstance(fields, Mapping):
        raise ConfigurationError(
            f'fields must map field names to stored paths, such as {{"owner": "user_id"}}; got {short_repr(fields)}'
        )
    for name, path in fields.items():
        _validate_path(name, path)
    paths = {name: fields.get(name, name) for name in _NAMES}
    _validate_no_overlap(paths)
    return paths


def _validate_path(name: object, path: object) -> None:
    if name not in _NAMES:
        raise ConfigurationError(f"fields has the unknown name {short_repr(name)}: the names are {', '.join(_NAMES)}")
    if not _is_path(path):
        raise ConfigurationError(
            f"fields[{name!r}] must be a path such as 'stats.hits': no part may be empty or begin with '$';"
            f" got {short_repr(path)}"
        )


def _validate_no_overlap(paths: Mapping[str, str]) -> None:
    for (name, path), (other_name, other_path) in combinations(paths.items(), 2):
        if _overlap(path, other_path) and not _may_be_equal({name, other_name}, path, other_path):
            raise ConfigurationError(
                f"fields overlap: {name!r} is stored at {path!r} and {other_name!r} at {other_path!r}:"
                " give each field a separate path"
            )


def _may_be_equal(names: set[str], path: str, other_path: str) -> bool:
    if LAST_REQUEST_AT in names:  # a platform may return its time as the time of the last change
        return UPDATED_AT in names and path == other_path
    return OWNER in names  # only matched, so it may be another field as well


def _is_path(path: object) -> bool:
    return isinstance(path, str) and "\0" not in path and all(part[:1] not in ("", "$") for part in path.split("."))


def _overlap(path: str, other_path: str) -> bool:
    """Return whether two paths are equal, or one contains the other."""
    return f"{path}.".startswith(f"{other_path}.") or f"{other_path}.".startswith(f"{path}.")


def _validate_writers_field(path: str | None, paths: Mapping[str, str]) -> str | None:
    if path is None:
        return None
    if not _is_path(path):
        raise ConfigurationError(
            "writers_field must be a path such as 'usageWriters', or None: no part may be empty or begin with '$';"
            f" got {short_repr(path)}"
        )
    for name, other_path in paths.items():
        if _overlap(path, other_path):
            raise ConfigurationError(
                f"writers_field overlaps {name!r}, which is stored at {other_path!r}: give it a separate path"
            )
    return path


def _validate_owner_arguments(
    owner_filter: OwnerFilter | None, owner_type: OwnerType | None, fields: Mapping[str, str] | None
) -> None:
    if owner_filter is not None:
        if not callable(owner_filter):
            raise ConfigurationError(
                "owner_filter must be a function that takes an owner id and returns a filter,"
                f" got {short_repr(owner_filter)}"
            )
        if is_coroutine_callable(owner_filter):
            raise ConfigurationError("owner_filter must not be async: it must return the filter, not a coroutine")
        problem = find_signature_problem(owner_filter, "owner")
        if problem is not None:
            raise ConfigurationError(f"owner_filter is called with the owner id as its only argument, but: {problem}")
        if fields is not None and OWNER in fields:
            raise ConfigurationError('owner_filter replaces the match on the owner\'s path: remove "owner" from fields')
    if owner_type not in (None, str, int, ObjectId, UUID):
        raise ConfigurationError(f"owner_type must be str, int, ObjectId or UUID, got {short_repr(owner_type)}")


def _validate_statuses(excluded: Iterable[str]) -> list[str]:
    statuses = None if isinstance(excluded, str) or not isinstance(excluded, Iterable) else list(excluded)
    if statuses is None or not all(isinstance(status, str) for status in statuses):
        raise ConfigurationError(
            'excluded_statuses must be an iterable of strings, such as ("deleted",), or () for none;'
            f" got {short_repr(excluded)}"
        )
    return statuses


def _build_status_filter(path: str, excluded: list[str]) -> Document | None:
    if not excluded:
        return None
    # The server matches `$in` against the elements of arrays as well, but only the status itself must be equal: an
    # array at the path, or on the way to it, does not exclude a project.
    parts = path.split(".")
    no_arrays = {".".join(parts[:end]): {"$not": {"$type": "array"}} for end in range(1, len(parts))}
    return {"$nor": [{**no_arrays, path: {"$in": excluded, "$not": {"$type": "array"}}}]}


def _rename(document: Document, paths: Mapping[str, list[str]]) -> Iterator[tuple[str, object]]:
    for name, path in paths.items():
        value = get_path(document, path)
        if value is not MISSING:
            yield name, value


def get_path(value: object, path: Iterable[str]) -> object:
    """Return the value at a path, :data:`MISSING`, or the first array on the path."""
    for part in path:
        if isinstance(value, list):  # an array has several values: the response has null, or 0 for the count
            return value
        if not isinstance(value, dict) or part not in value:
            return MISSING
        value = value[part]
    return value
