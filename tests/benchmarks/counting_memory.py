"""Measure the memory of a recorder in a process of its own: what waits, and the peak of a flush."""

import json
import sys

from bson import ObjectId
from measure import peak_size, reset_peak, resident_size
from pymongo import MongoClient

from flask_usage_stats import ProjectStore, UsageRecorder


def measure_pending(uri: str, database: str, name: str, number: int, kind: str) -> dict[str, int]:
    """Record one request of each project, flush, and return the growth of this process, in bytes.

    The ids are created one by one, as they are by requests, so the growth includes them.
    """

    def build_id(index: int) -> ObjectId | str:
        return ObjectId(f"{index:024x}") if kind == "ObjectIds" else f"{index:024x}"

    with MongoClient(uri) as client:
        recorder = UsageRecorder(ProjectStore(client[database][name]), interval=3600, timeout=60)
        recorder.record(build_id(0))
        assert recorder.flush()  # so that connecting and importing are not counted
        reset_peak()
        before = resident_size()
        for index in range(number):
            recorder.record(build_id(index))
        queued = resident_size() - before
        assert recorder.stats.pending == number
        merged = resident_size() - before
        assert recorder.flush()
        peak, left = peak_size() - before, resident_size() - before
        assert recorder.stats.written == number + 1
        recorder.close()
    return {"projects": number, "queued": queued, "merged": merged, "peak": peak, "left": left}


if __name__ == "__main__":
    *names, number, kind = sys.argv[1:]
    print(json.dumps(measure_pending(*names, int(number), kind)))
