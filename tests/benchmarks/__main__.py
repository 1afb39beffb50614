"""Run the benchmark: ``tox run -e bench``, or ``tox run -e bench -- --quick`` for a quick run.

``--only counting`` measures only the counting of requests, and updates only its part of the results.
"""

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests/servers.py

import counting
import dataset
import history
import http_load
import ingest
import measure
import page_view
import peers
import platform_view
import report
from bson import ObjectId
from dataset import PROJECTION, condition, owner_of
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from servers import mongodb

from flask_usage_stats import ProjectStore

DATABASE = "usage_stats_bench"
HTTP_SIZES = (5, 100, 1_000)
OTHERS = (0, 1_000, 10_000, 100_000)
QUERIES = (
    "",
    "plan=PRO&status=live",
    "minRequests=500000",
    "groupBy=plan,projectType",
    "limit=100",
    "sort=name&limit=100",
    "sort=updatedAt&limit=100",
    "sort=updatedAt",
    "format=csv",
)
#: The number of rounds for each size, and the number of repetitions of an action in each round.
ROUNDS = {5: (300, 5), 100: (150, 2), 1_000: (40, 1), 10_000: (8, 1), 100_000: (4, 1)}
QUICK = {5: (60, 5), 100: (30, 2), 1_000: (8, 1), 10_000: (2, 1), 100_000: (1, 1)}


#: What ``--only`` can select.
PARTS = ("endpoint", "counting", "history", "ingest", "platform", "page")


def say(text: str) -> None:
    print(text, flush=True)


def check_equal(size: int, *bodies: bytes) -> None:
    """Check that the bodies are equal as JSON and have every project."""
    first, *rest = map(json.loads, bodies)
    assert len(first["projectStats"]) == size
    for other in rest:
        assert other == first, f"the responses for {size} projects differ"


def check_similar(size: int, ours: bytes, eves: bytes) -> None:
    """Check that Eve has the same projects in the same order with the same counts."""

    def read(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        return [(row["_id"], row["name"], row["totalRequest"]) for row in rows]

    assert read(json.loads(eves)["_items"]) == read(json.loads(ours)["projectStats"])


def in_process(collection: Collection[Any], uri: str, size: int, rounds: tuple[int, int]) -> dict[str, Any]:
    header = {"Authorization": f"Bearer {peers.token(size)}"}
    actions = {
        "bare read": lambda: len(list(collection.find(condition(size), PROJECTION))),
        "floor": peers.request(peers.floor(collection, size)),
        "ours": peers.request(peers.ours(collection, lambda: owner_of(size))),
        "ours, JWT": peers.request(peers.ours(collection), **header),
        "naive": peers.request(peers.naive(collection, size)),
        "Eve": peers.request(peers.eve(collection, uri), Authorization=f"Bearer {size}"),
    }
    body = actions["ours"]()
    check_equal(size, body, actions["ours, JWT"](), actions["naive"]())
    check_similar(size, body, actions["Eve"]())
    return measure.side_by_side(actions, rounds=rounds[0], repeat=rounds[1])


def next_to_the_floor(collection: Collection[Any], mix: str, size: int, rounds: tuple[int, int]) -> dict[str, Any]:
    """Time requests for projects with one mix of counts, next to the least that any Flask endpoint does."""
    actions = {
        "floor": peers.request(peers.floor(collection, size, mix)),
        "ours": peers.request(peers.ours(collection, lambda: owner_of(size, mix))),
    }
    return measure.side_by_side(actions, rounds=rounds[0], repeat=rounds[1])


def measure_memory(database: Database[Any], uri: str, *, quick: bool) -> dict[str, Any]:
    """Measure the memory of documents of every shape, of eight requests at once, and of a few returned rows."""
    size = 10_000 if quick else dataset.SIZES[-1]
    found: dict[str, Any] = {}
    for shape in dataset.SHAPES:
        name = shape.replace(" ", "_")
        dataset.store_shape(database[name], shape, size)
        found[shape] = measure.memory(uri, database.name, name, size)
        if shape == "integer counts":
            found[f"{shape}, 8 requests at once"] = measure.memory(uri, database.name, name, size, requests=8)
        database.drop_collection(name)
    dataset.store_long_names(database.long_names, 1000)
    for query in ("limit=0", "limit=1", "groupBy=plan&limit=0"):
        found[f"1,000 names of 150 kB, {query}"] = measure.memory(uri, database.name, "long_names", 1000, query)
    return found


def measure_queries(collection: Collection[Any], size: int, *, quick: bool) -> dict[str, Any]:
    """Time requests with parameters."""
    app = peers.ours(collection, lambda: owner_of(size))
    actions = {query or "(plain)": peers.request(app, query=query) for query in QUERIES}
    return measure.side_by_side(actions, rounds=3 if quick else 12, repeat=1)


def over_http(uri: str, *, quick: bool) -> dict[int, Any]:
    tokens = {size: peers.token(size) for size in HTTP_SIZES}
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(http_load.running(name, uri, DATABASE)) for name in http_load.commands(0)}
        for size, token in tokens.items():
            check_equal(size, *(http_load.get(port, token) for port in ports.values()))
        return http_load.throughput(ports, tokens, rounds=1 if quick else 3, seconds=1 if quick else 3)


def next_to_others(collection: Collection[Any], *, quick: bool) -> dict[int, Any]:
    """Time an owner of 100 projects while projects of other owners are added to the collection."""
    collection.drop()
    ProjectStore(collection).ensure_indexes()
    dataset.store(collection, owner_of(100), 100)
    send = peers.request(peers.ours(collection, lambda: owner_of(100)))
    found: dict[int, Any] = {}
    stored = 0
    for number in OTHERS:
        if number > stored:
            dataset.store(collection, ObjectId(), number - stored)
            stored = number
        found[number] = measure.side_by_side({"ours": send}, rounds=20 if quick else 100, repeat=2)["ours"]
    return found


def measure_endpoint(client: MongoClient[Any], uri: str, *, quick: bool, http: bool) -> dict[str, Any]:
    collection = client[DATABASE].projects
    say("Storing the projects ...")
    dataset.fill(collection)
    ProjectStore(collection).ensure_indexes()
    all_rounds = QUICK if quick else ROUNDS
    found: dict[str, Any] = {"machine": report.machine(client), "in process": {}}
    for size, rounds in all_rounds.items():
        say(f"In process, {size:,} projects ...")
        found["in process"][size] = in_process(collection, uri, size, rounds)
        say(report.line(size, found["in process"][size]))
    found["floor"] = {}
    for mix in dataset.MIXES:
        say(f"Next to the floor, {mix} ...")
        found["floor"][mix] = {
            size: next_to_the_floor(collection, mix, size, all_rounds[size]) for size in dataset.MIX_SIZES
        }
    say("Filters, groups and pages ...")
    found["queries"] = measure_queries(collection, 10_000, quick=quick)
    say("Memory ...")
    found["memory"] = measure_memory(client[DATABASE], uri, quick=quick)
    say("Next to projects of other owners ...")
    found["others"] = next_to_others(client[DATABASE].others, quick=quick)
    if http:
        say(f"Over HTTP, load by {http_load.loader()} ...")
        found["http"] = over_http(uri, quick=quick)
    return found


def measure_counting(client: MongoClient[Any], uri: str, *, quick: bool) -> dict[str, Any]:
    database = client[DATABASE]
    found: dict[str, Any] = {"machine": report.machine(client, report.COUNTING_PACKAGES)}
    say("Storing the projects that are counted ...")
    dataset.store(database.counted, owner_of(10_000), 10_000)
    ProjectStore(database.counted).ensure_indexes()
    say("Calls that count ...")
    found["calls"] = counting.measure_calls(database.counted, quick=quick)
    say("Flushes ...")
    found["flushes"] = counting.measure_flushes(database.counted, quick=quick)
    say("Requests that are counted ...")
    found["requests"] = counting.measure_requests(database.counted, quick=quick)
    say("Memory of a recorder ...")
    found["memory"] = counting.measure_memory(database.pending, uri, quick=quick)
    return found


def measure_history(client: MongoClient[Any], *, quick: bool) -> dict[str, Any]:
    database = client[DATABASE]
    found: dict[str, Any] = {"machine": report.machine(client, report.HISTORY_PACKAGES)}
    say("Storing the history ...")
    history.fill(database, quick=quick)
    say("Requests for the history ...")
    found["requests"] = history.measure_requests(database, quick=quick)
    say("A history that grows ...")
    found["age"] = history.measure_age(database, quick=quick)
    found["size"] = history.measure_size(database)
    return found


def measure_ingest(client: MongoClient[Any], uri: str, lines: int, *, quick: bool) -> dict[str, Any]:
    database = client[DATABASE]
    found: dict[str, Any] = {"machine": report.machine(client, report.INGEST_PACKAGES)}
    ingest.fill(database)
    say("Parsing access logs ...")
    found["parsing"] = ingest.measure_parsing(database, quick=quick)
    say(f"Ingesting {lines:,} lines of each format ...")
    found["command"] = ingest.measure_command(database, uri, lines)
    return found


def measure_platform(client: MongoClient[Any], uri: str, *, quick: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"machine": report.machine(client, report.HISTORY_PACKAGES)}
    sizes = platform_view.SIZES[:1] if quick else platform_view.SIZES
    say(f"The platform view of up to {sizes[-1]:,} projects ...")
    found["sizes"] = platform_view.measure_sizes(client[DATABASE], uri, sizes)
    return found


def measure_page(client: MongoClient[Any], *, quick: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"machine": report.machine(client, report.PAGE_PACKAGES)}
    say("The element in a browser ...")
    return found | page_view.measure_rows(quick=quick)


def save(found: dict[str, Any], path: Path) -> None:
    """Write the results to a file. Parts that were not measured stay as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(saved | found, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the endpoint against its peers.")
    parser.add_argument("--quick", action="store_true", help="few rounds, and do not change the page")
    parser.add_argument("--only", choices=PARTS, help="measure only one part")
    parser.add_argument(
        "--lines", type=int, help="the number of lines to ingest (default: 10,000,000, or 200,000 if quick)"
    )
    parser.add_argument("--no-http", action="store_true", help="skip the servers")
    parser.add_argument("--json", type=Path, default=Path("build/benchmark.json"), help="the file for the figures")
    parser.add_argument(
        "--docs", type=Path, help="the directory of performance.md and its plot (default: docs, none if quick)"
    )
    options = parser.parse_args()
    folder = options.docs or (None if options.quick else Path("docs"))

    found: dict[str, Any] = {}
    with mongodb() as uri, MongoClient(uri) as client:
        client.drop_database(DATABASE)
        if options.only in (None, "endpoint"):
            found |= measure_endpoint(client, uri, quick=options.quick, http=not options.no_http)
        if options.only in (None, "counting"):
            found["counting"] = measure_counting(client, uri, quick=options.quick)
        if options.only in (None, "history"):
            found["history"] = measure_history(client, quick=options.quick)
        if options.only in (None, "ingest"):
            lines = options.lines or (200_000 if options.quick else 10_000_000)
            found["ingest"] = measure_ingest(client, uri, lines, quick=options.quick)
        if options.only in (None, "platform"):
            found["platform"] = measure_platform(client, uri, quick=options.quick)
        if options.only in (None, "page"):
            found["page"] = measure_page(client, quick=options.quick)
        client.drop_database(DATABASE)

    save(found, options.json)
    say("\n\n".join(report.sections(found).values()))
    if folder is not None:
        report.page(found, folder)


main()
