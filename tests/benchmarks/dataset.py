"""Documents of projects on a hosting platform, which are much larger than the returned fields."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from bson import Binary, ObjectId
from pymongo.collection import Collection

#: The number of projects of each owner.
SIZES = (5, 100, 1_000, 10_000, 100_000)
#: The sizes that every mix of counts has.
MIX_SIZES = SIZES[:-1]

PROJECTION = dict.fromkeys(
    ("name", "projectType", "status", "plan", "totalRequest", "createdAt", "updatedAt"), 1
)  # and _id, which is always included

_BEGIN = datetime(2022, 1, 1, tzinfo=UTC)
_AT_ONCE = 2_000
_WORDS = ("api", "shop", "blog", "auth", "search", "mail", "media", "admin", "docs", "queue", "café", "edge")


#: How counts are stored: what part of them is null, missing or a double. The others are integers.
MIXES = {"integers": (0, 0, 0), "a quarter null": (1 / 4, 0, 0), "an eighth each null, missing, double": (1 / 8,) * 3}
INTEGERS = "integers"

#: What is different in the documents whose memory is measured.
SHAPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "integer counts": lambda _: {},
    "double counts": lambda number: {"totalRequest": float(number)},
    "null counts": lambda _: {"totalRequest": None},
    "no counts": lambda _: {"totalRequest": ...},
    "dates as strings": lambda _: {"createdAt": "2024-03-14", "updatedAt": "yesterday"},
    "null dates": lambda _: {"updatedAt": None},
    "UUID ids": lambda number: {"_id": Binary.from_uuid(UUID(int=number))},
}


def owner_of(size: int, mix: str = INTEGERS) -> ObjectId:
    """Return the owner who has this number of projects with this mix of counts."""
    return ObjectId(f"{list(MIXES).index(mix):012x}{size:012x}")


def condition(size: int, mix: str = INTEGERS) -> dict[str, Any]:
    """Return a hand-written filter for the projects of an owner."""
    return {"owner": owner_of(size, mix), "status": {"$ne": "deleted"}}


def with_mix(documents: Iterator[dict[str, Any]], mix: str) -> Iterator[dict[str, Any]]:
    """Replace some of the counts."""
    random = Random(mix)  # noqa: S311 # the same documents in every run
    null, missing, double = MIXES[mix]
    for document in documents:
        draw = random.random()
        if draw < null:
            document["totalRequest"] = None
        elif draw < null + missing:
            del document["totalRequest"]
        elif draw < null + missing + double:
            document["totalRequest"] = float(document["totalRequest"])
        yield document


def store_shape(collection: Collection[Any], shape: str, number: int) -> None:
    """Store documents of one shape, with little more than the returned fields."""
    collection.create_index("owner")
    created = _BEGIN + timedelta(milliseconds=123)
    for start in range(0, number, _AT_ONCE):
        batch = []
        for index in range(start, min(start + _AT_ONCE, number)):
            document = {
                "_id": ObjectId(),
                "owner": owner_of(number),
                "name": f"project-{index}",
                "projectType": "node",
                "status": "live",
                "plan": "pro",
                "totalRequest": index,
                "createdAt": created,
                "updatedAt": created + timedelta(seconds=index),
            } | SHAPES[shape](index)
            batch.append({name: value for name, value in document.items() if value is not ...})
        collection.insert_many(batch)


def store_long_names(collection: Collection[Any], number: int) -> None:
    """Store projects with names of 150 kB."""
    collection.create_index("owner")
    for index in range(number):
        collection.insert_one({"owner": owner_of(number), "name": "x" * 150_000, "plan": "pro", "totalRequest": index})


def documents(owner: ObjectId, number: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield projects of about 1.8 KB of BSON; the eight returned fields are a tenth of it."""
    random = Random(seed)  # noqa: S311 # the same documents in every run
    for index in range(number):
        slug = f"{random.choice(_WORDS)}-{random.choice(_WORDS)}-{index}"
        created = _BEGIN + timedelta(milliseconds=random.randrange(10**11))
        yield {
            "_id": ObjectId(),
            "owner": owner,
            "name": slug,
            "projectType": random.choice(("node", "python", "static", "docker")),
            "status": random.choice(("live", "live", "live", "building", "failed", "stopped")),
            "plan": random.choice(("free", "pro", "business")),
            "totalRequest": int(random.paretovariate(0.6)) % 2**40,
            "createdAt": created,
            "updatedAt": created + timedelta(milliseconds=random.randrange(10**10)),
            "repository": {"provider": "git", "url": f"https://git.example/{owner}/{slug}.git", "branch": "main"},
            "domains": [
                {"host": f"{name}.{slug}.example", "verified": True, "certificate": random.randbytes(24).hex()}
                for name in ("www", "app", "preview")
            ],
            "settings": {
                "build": {
                    "command": "make build",
                    "output": "dist",
                    "cache": True,
                    "image": random.randbytes(32).hex(),
                },
                "runtime": {"memory": 512, "cpus": 0.5, "regions": ["eu-1", "us-2"], "instances": {"min": 1, "max": 8}},
                "environment": [
                    {"key": f"SETTING_{number}", "value": random.randbytes(24).hex(), "secret": number % 2 == 0}
                    for number in range(6)
                ],
                "alerts": {"email": True, "webhook": None, "thresholds": {"errors": 0.05, "latency": 800}},
            },
            "deployments": [{"_id": ObjectId(), "commit": random.randbytes(20).hex(), "at": created} for _ in range(3)],
            "__v": 3,
        }


def fill(collection: Collection[Any], sizes: tuple[int, ...] = SIZES) -> None:
    """Store the projects of every owner."""
    for mix in MIXES:
        for size in sizes:
            if mix == INTEGERS or size <= MIX_SIZES[-1]:
                store(collection, owner_of(size, mix), size, mix)


def store(collection: Collection[Any], owner: ObjectId, number: int, mix: str = INTEGERS) -> None:
    """Store projects of one owner, and some deleted ones in addition."""
    batch = []
    for document in with_mix(documents(owner, number, seed=number), mix):
        batch.append(document)
        if len(batch) == _AT_ONCE:
            collection.insert_many(batch)
            batch = []
    deleted = [document | {"status": "deleted"} for document in documents(owner, max(1, number // 20), seed=-number)]
    collection.insert_many(batch + deleted)
