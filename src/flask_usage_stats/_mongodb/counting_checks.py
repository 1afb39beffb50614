"""Check whether a recorder can write its counts to a collection."""

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from pymongo.collection import Collection

from .._core.fields import ID
from .._core.owners import OwnerType
from .check_result import EMPTY_TYPES, Status
from .mapping import CollectionMapping, Document

_MAX_WRITERS: Final = 1000


def check_counting(
    collection: Collection[Document], mapping: CollectionMapping, id_types: AbstractSet[OwnerType | None]
) -> tuple[Status, str]:
    """Check the index of a mapped ``_id``, the validator, the ids, and the entries of writers.

    :param id_types: the *id_type* of each recorder.
    :returns: the status and the detail of the result.
    :raises PyMongoError: a command failed; the decoder's errors in ``DRIVER_ERRORS`` are also possible.
    """
    problems = [
        *_check_id_index(collection, mapping),
        *_check_validator(collection, mapping),
        *_check_documents(collection, mapping, has_default_ids=None in id_types),
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
    names = [path.split(".")[0] for path in mapping.recorded_paths]
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


def _check_documents(
    collection: Collection[Document], mapping: CollectionMapping, *, has_default_ids: bool
) -> Iterator[str]:
    group: Document = {"_id": None, "hexadecimal": {"$sum": _build_hexadecimal(mapping.id_path)}}
    path = mapping.writers_path
    if path is not None:
        is_object, is_other = {"$eq": [{"$type": f"${path}"}, "object"]}, {"$not": [_build_type_test(path)]}
        group["other"] = {"$sum": {"$cond": [is_other, 1, 0]}}
        group["size"] = {"$max": {"$cond": [is_object, {"$size": {"$objectToArray": f"${path}"}}, 0]}}
    for found in collection.aggregate([{"$group": group}]):
        if has_default_ids and found["hexadecimal"]:
            yield (
                f"{found['hexadecimal']:,} projects have strings with 24 hexadecimal digits as {mapping.id_path},"
                " so they are not counted: pass id_type=str to UsageRecorder"
            )
        if found.get("other"):
            yield f"{found['other']:,} projects have another value at {path}, so they are not counted"
        if found.get("size", 0) >= _MAX_WRITERS:
            yield f"a project has {found['size']:,} writers at {path}: count with fewer processes"


def _build_type_test(path: str) -> Document:
    return {"$in": [{"$type": f"${path}"}, ["object", *EMPTY_TYPES]]}


def _build_hexadecimal(path: str) -> Document:
    """Build an expression that is 1 if an id is a string that a recorder takes for an ObjectId, and else 0."""
    string = {"$cond": [{"$eq": [{"$type": f"${path}"}, "string"]}, f"${path}", ""]}
    return {"$cond": [{"$regexMatch": {"input": string, "regex": "^[0-9a-fA-F]{24}$"}}, 1, 0]}
