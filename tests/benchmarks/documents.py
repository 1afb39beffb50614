"""Documents of projects on a hosting platform, which are much larger than the returned fields."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection

#: The number of projects of each owner.
SIZES = (5, 100, 1_000, 10_000, 100_000)

PROJECTION = dict.fromkeys(
    ("name", "projectType", "status", "plan", "totalRequest", "createdAt", "updatedAt"), 1
)  # and _id, which is always included

_BEGIN = datetime(2022, 1, 1, tzinfo=UTC)
_AT_ONCE = 2_000
_WORDS = ("api", "shop", "blog", "auth", "search", "mail", "media", "admin", "docs", "queue", "café", "edge")


def owner_of(size: int) -> ObjectId:
    """Return the owner with this number of projects."""
    return ObjectId(f"{size:024x}")


def condition(size: int) -> dict[str, Any]:
    """Return a hand-written filter for the projects of an owner."""
    return {"owner": owner_of(size), "status": {"$ne": "deleted"}}


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
    for size in sizes:
        store(collection, owner_of(size), size)


def store(collection: Collection[Any], owner: ObjectId, number: int) -> None:
    """Store projects of one owner, and some deleted ones in addition."""
    batch = []
    for document in documents(owner, number, seed=number):
        batch.append(document)
        if len(batch) == _AT_ONCE:
            collection.insert_many(batch)
            batch = []
    deleted = [document | {"status": "deleted"} for document in documents(owner, max(1, number // 20), seed=-number)]
    collection.insert_many(batch + deleted)
