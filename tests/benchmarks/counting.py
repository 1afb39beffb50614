"""Measure the counting of requests: a call, a flush, the request that is counted, and memory."""

import gc
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import measure
from bson import ObjectId
from flask import Flask, g
from peers import request
from prometheus_client import CollectorRegistry, Counter
from pymongo import UpdateOne, WriteConcern
from pymongo.collection import Collection

from flask_usage_stats import ProjectStore, UsageHistory, UsageRecorder

THREADS = 8
#: Seconds; no flush runs by itself while something is measured.
_INTERVAL = 3600
#: The number of calls that are timed at once. A recorder merges its queue when it has more than 100,000.
_CALLS = 40_000
_WRITES = 400

_Ids = Sequence[ObjectId | str]
_Call = Callable[[Any], object]


def _first_ids(collection: Collection[Any], number: int) -> list[ObjectId]:
    return [document["_id"] for document in collection.find({}, {"_id": 1}).sort("_id", 1).limit(number)]


# Calls


def _peers(collection: Collection[Any]) -> dict[str, _Call]:
    """Return other ways to count one request of a project."""
    counts: dict[str, int] = {}
    lock = Lock()
    counter = Counter("requests", "Requests by project", ["project"], registry=CollectorRegistry())
    acknowledged = collection.with_options(write_concern=WriteConcern(1))

    def count_in_dict(project: str) -> None:
        with lock:
            counts[project] = counts.get(project, 0) + 1

    def count_in_metric(project: str) -> None:
        counter.labels(project).inc()

    def count_in_database(project: str) -> None:
        acknowledged.update_one({"_id": ObjectId(project)}, {"$inc": {"totalRequest": 1}})

    return {
        "`dict` with a lock": count_in_dict,
        "`Counter` of prometheus_client": count_in_metric,
        "`update_one` for each request": count_in_database,
    }


def _empty(_: str) -> None:
    pass


def _repeat(call: _Call, ids: _Ids) -> None:
    for project in ids:
        call(project)


def _repeat_in_threads(pool: ThreadPoolExecutor, call: _Call, ids: _Ids) -> None:
    for future in [pool.submit(_repeat, call, ids[start::THREADS]) for start in range(THREADS)]:
        future.result()


def measure_calls(collection: Collection[Any], *, quick: bool) -> dict[str, Any]:
    """Time one call for each way to count, in one thread and in eight at once."""
    recorder = UsageRecorder(ProjectStore(collection), interval=_INTERVAL)
    ids = _first_ids(collection, 1_000)
    stored: _Ids = ids * (_CALLS // len(ids))
    texts: _Ids = list(map(str, ids)) * (_CALLS // len(ids))
    peers = _peers(collection)
    *_, writing = peers
    calls: dict[str, tuple[_Call, _Ids]] = {
        "empty call": (_empty, texts),
        "`record()`": (recorder.record, texts),
        "`record()` of ObjectIds": (recorder.record, stored),
        "`record()`, with merging": (recorder.record, texts),
        **{name: (call, texts[:_WRITES] if name == writing else texts) for name, call in peers.items()},
    }
    with ThreadPoolExecutor(THREADS) as pool:
        times = measure.side_by_side(
            _build_actions(calls, recorder, pool),
            rounds=3 if quick else 40,
            repeat=1,
            # Merge what earlier calls have recorded, and do not charge the next ones with their garbage.
            prepare=lambda _: (recorder.stats, gc.collect()),
        )
    assert recorder.stats.pending == (3 if quick else 40) * 2 * 3 * _CALLS
    assert recorder.close(60)
    return {
        name: {
            threads: {key: seconds / len(ids_of_call) for key, seconds in times[f"{name}, {threads}"].items()}
            for threads in ("one thread", "8 threads")
        }
        for name, (_, ids_of_call) in calls.items()
    }


def _build_actions(
    calls: dict[str, tuple[_Call, _Ids]], recorder: UsageRecorder, pool: ThreadPoolExecutor
) -> dict[str, Callable[[], object]]:
    def build(name: str, repeat: Callable[[_Call, _Ids], None]) -> Callable[[], object]:
        call, ids = calls[name]
        if name.endswith("with merging"):
            return lambda: (repeat(call, ids), recorder.stats)
        return lambda: repeat(call, ids)

    actions: dict[str, Callable[[], object]] = {}
    for name in calls:
        actions[f"{name}, one thread"] = build(name, _repeat)
        actions[f"{name}, 8 threads"] = build(name, lambda call, ids: _repeat_in_threads(pool, call, ids))
    return actions


# Flushes


class _Flushes:
    """The flushes of one recorder at a time, with one request of each project."""

    def __init__(
        self,
        collection: Collection[Any],
        ids: list[ObjectId],
        store: ProjectStore,
        history: UsageHistory | None = None,
    ) -> None:
        self._collection, self._ids, self._store = collection, ids, store
        self._recorder = UsageRecorder(store, history=history, interval=_INTERVAL, timeout=60)

    def restart(self) -> None:
        """Record with a new recorder, for documents without the fields that recorders add."""
        self.close()
        fields = {"usageWriters": "", "lastRequestAt": ""}
        self._collection.update_many({"_id": {"$in": self._ids}}, {"$unset": fields})
        self._recorder = UsageRecorder(self._store, interval=_INTERVAL, timeout=60)
        self.record()

    def record(self) -> None:
        _repeat(self._recorder.record, self._ids)

    def flush(self) -> None:
        assert self._recorder.flush()

    def close(self) -> None:
        assert self._recorder.close(60)
        assert not any(self._recorder.stats.dropped.values())


def _bulk_write(collection: Collection[Any], ids: Iterable[ObjectId], concern: WriteConcern) -> None:
    updates = [UpdateOne({"_id": project}, {"$inc": {"totalRequest": 1}}) for project in ids]
    result = collection.with_options(write_concern=concern).bulk_write(updates, ordered=False)
    assert result.matched_count == len(updates)


def measure_flushes(collection: Collection[Any], *, quick: bool) -> dict[int, Any]:
    """Time flushes of many projects, with the CPU time of the server if the benchmark has started it."""
    clocks = dict(measure.CLOCKS)
    if "MONGODB_URI" not in os.environ:
        pid = collection.database.client.admin.command("serverStatus")["pid"]
        clocks["server"] = measure.process_clock(pid)
    sizes = {1_000: 3, 10_000: 1} if quick else {1_000: 30, 10_000: 9}
    return {size: _measure_flushes_of(collection, size, rounds, clocks) for size, rounds in sizes.items()}


def _measure_flushes_of(
    collection: Collection[Any], size: int, rounds: int, clocks: dict[str, Callable[[], float]]
) -> dict[str, Any]:
    ids = _first_ids(collection, size)
    ours = _Flushes(collection, ids, ProjectStore(collection))
    with_history = _Flushes(
        collection, ids, ProjectStore(collection), UsageHistory(collection.database.counted_history)
    )
    counts_only = _Flushes(collection, ids, ProjectStore(collection, writers_field=None))
    actions = {
        "ours, the first": ours.flush,
        "ours, the next": ours.flush,
        "ours, with a history": with_history.flush,
        "ours, `writers_field=None`": counts_only.flush,
        "`bulk_write`, w=1": lambda: _bulk_write(collection, ids, WriteConcern(1)),
        "`bulk_write`, majority and journal": lambda: _bulk_write(collection, ids, WriteConcern("majority", j=True)),
    }
    prepare = dict(zip(actions, (ours.restart, ours.record, with_history.record, counts_only.record), strict=False))
    found = measure.side_by_side(
        actions,
        rounds=rounds,
        repeat=1,
        prepare=lambda name: prepare[name]() if name in prepare else None,
        clocks=clocks,
    )
    for flushes in (ours, with_history, counts_only):
        flushes.close()
    return found


# Requests


def _trivial_app(project: ObjectId) -> Flask:
    app = Flask("trivial")

    @app.get("/api/usage")
    def serve() -> str:
        g.project_id = project
        return "Hello"

    return app


def measure_requests(collection: Collection[Any], *, quick: bool) -> dict[str, Any]:
    """Time a request of a trivial view, with and without a recorder."""
    (project,) = _first_ids(collection, 1)
    recorder = UsageRecorder(ProjectStore(collection), interval=_INTERVAL)
    counted = _trivial_app(project)
    recorder.init_app(counted, project_id=lambda: g.get("project_id"))
    rounds, repeat = (20, 100) if quick else (300, 100)
    found = measure.side_by_side(
        {"not counted": request(_trivial_app(project)), "counted": request(counted)},
        rounds=rounds,
        repeat=repeat,
        prepare=lambda _: (recorder.stats, gc.collect()),
    )
    assert recorder.stats.pending == rounds * repeat
    assert recorder.close(60)
    return found


# Memory


def measure_memory(collection: Collection[Any], uri: str, *, quick: bool) -> dict[str, Any]:
    """Measure the memory of pending projects, and of their flush, in new processes."""
    number = 10_000 if quick else 100_000
    for start in range(0, number, 10_000):
        collection.insert_many([{"_id": ObjectId(f"{start + index:024x}")} for index in range(10_000)])
    program = Path(__file__).with_name("counting_memory.py")
    return {
        name: measure.in_new_process(program, uri, collection.database.name, collection.name, str(number), name)
        for name in ("ObjectIds", "strings")
    }
