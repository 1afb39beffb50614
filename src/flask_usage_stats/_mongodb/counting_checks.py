"""Check whether a recorder can write its counts to a collection."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pymongo.collection import Collection

from .._core.fields import ID
from .check_result import EMPTY_TYPES, Status
from .mapping import CollectionMapping, Document

_MAX_WRITERS: Final = 1000


def check_counting(collection: Collection[Document], mapping: CollectionMapping) -> tuple[Status, str]:
    """Check the index of a mapped ``_id``, the validator, and the entries of writers.

    :returns: the status and the detail of the result.
    :raises PyMongoError: a command failed; the decoder's errors in ``DRIVER_ERRORS`` are also possible.
    """
    problems = [
        *_check_id_index(collection, mapping),
        *_check_validator(collection, mapping),
        *_check_entries(collection, mapping),
    ]
    if problems:
        return Status.PROBLEM, "; ".join(problems)
    return Status.OK, "a recorder can write to all projects"


def _check_id_index(collection: Collection[Document], mapping: CollectionMapping) -> Iterator[str]:
    path = mapping.id_path
    if path != ID and not any(_is_full_unique(index, path) for index in collection.list_indexes()):
        yield f"no full unique index on ({path}): without it, each update scans the collection"


def _is_full_unique(index: Mapping[str, Any], path: str) -> bool:
    is_restricted = any(index.get(option) for option in ("partialFilterExpression", "sparse", "hidden", "collation"))
    return bool(index.get("unique")) and not is_restricted and list(index["key"].items()) in ([(path, 1)], [(path, -1)])


def _check_validator(collection: Collection[Document], mapping: CollectionMapping) -> Iterator[str]:
    schema = collection.options().get("validator", {}).get("$jsonSchema", {})
    if schema.get("additionalProperties", True) is not False:
        return
    patterns = list(schema.get("patternProperties", {}))
    paths = [path for path in (mapping.writers_path, mapping.last_request_path) if path is not None]
    names = [path.split(".")[0] for path in (*paths, mapping.count_path)]
    refused = [
        name
        for name in dict.fromkeys(names)
        if name not in schema.get("properties", {}) and not any(_matches(pattern, name) for pattern in patterns)
    ]
    if refused:
        yield f"the collection's validator refuses {', '.join(refused)}: add it to the properties of the schema"


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:  # valid for the server only
        return True


def _check_entries(collection: Collection[Document], mapping: CollectionMapping) -> Iterator[str]:
    path = mapping.writers_path
    if path is None:
        return
    value = f"${path}"
    is_other = {"$not": [{"$in": [{"$type": value}, ["object", *EMPTY_TYPES]]}]}
    size = {"$cond": [{"$eq": [{"$type": value}, "object"]}, {"$size": {"$objectToArray": value}}, 0]}
    group = {"_id": None, "other": {"$sum": {"$cond": [is_other, 1, 0]}}, "size": {"$max": size}}
    for found in collection.aggregate([{"$group": group}]):
        if found["other"]:
            yield f"{found['other']:,} projects have another value at {path}, so they are not counted"
        if found["size"] >= _MAX_WRITERS:
            yield f"a project has {found['size']:,} writers at {path}: count with fewer processes"
