"""The platform view, whose requests share what one of them reads, under faults of the database and the network."""

import json
import logging
import multiprocessing
import os
import random
import re
import signal
import threading
import time
from bisect import bisect_left
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count, cycle

import pytest
from faults.application import PATIENCE, PlatformHost, arm, armed, connections_of, disarm
from faults.conftest import PROJECTS, ROUNDS
from faults.test_counting import wait_for
from faults.test_network import BROKEN, SILENT, half, half_then_nothing, nothing
from faults.test_refusals import ERRORS, STATE_CHANGES, TRANSIENT
from faults.test_replica_set import step_down
from pymongo import MongoClient

GROUP = "Platform view"
IS_QUICK = ROUNDS == 1
KEPT = 60  # seconds, longer than each test
TIMEOUT = 0.5  # seconds, for stores that are expected to fail
SECONDS = 1 if IS_QUICK else 5  # of changes

TOTALS = '"totalRequests":%d,"projects":%d,"unused":%d,"asOf":"*"'
ALL = TOTALS % (sum(range(PROJECTS)) + 14, PROJECTS + 2, 1)
PRO = TOTALS % (14, 2, 0)
ADA = f'"projects":{PROJECTS},"totalRequests":{sum(range(PROJECTS))},"share":1.0'
BOB = '"projects":2,"totalRequests":14,"share":%s'
BLOG = '{"_id":"blog","owner":"bob","name":"blog","plan":"pro","totalRequest":7}'
ROWS = ",".join(
    f'{{"_id":{index},"owner":"ada","name":"project {index}","totalRequest":{index}}}'
    for index in range(PROJECTS - 1, PROJECTS - 201, -1)
)
LIST = "limit=200"  # the only one of these queries whose result has two batches if they are small
#: The bodies of queries: of one or two reads, that share none, some or all of them.
BODIES = {
    "": ALL,
    "groupBy=plan": f'{ALL},"groups":[{{"plan":null,{ADA}}},{{"plan":"pro",{BOB % 0.0}}}]',
    "groupBy=owner&top=1": f'{ALL},"groups":[{{"owner":"ada",{ADA}}}],"others":{{"groups":1,{BOB % 0.0}}}',
    "groupBy=owner&plan=PRO": f'{PRO},"groups":[{{"owner":"bob",{BOB % 1.0}}}]',
    LIST: f'{ALL},"projectStats":[{ROWS}]',
}
#: The queries whose reads have a command.
QUERIES_WITH = {"aggregate": tuple(BODIES), "getMore": (LIST,)}
ANY = ""  # before every time in a response


def build_body(result):
    """Return the body of a complete response. Other plans next to "pro", which no project has, change nothing."""
    query = result.query
    body = f'{PRO},"projectStats":[{BLOG}]' if query.startswith("limit=1&plan=pro&") else BODIES[query]
    return f'{{"success":true,{body.replace("*", get_as_of(result))}}}'.encode()


def get_as_of(result):
    return re.search(rb'"asOf":"([^"]*)"', result.body)[1].decode()


def format_now():
    """Return the current time as in responses."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def mount(trial, uri, *, max_age, timeout=TIMEOUT, name=None):
    host = trial.host(uri, PlatformHost, max_age=max_age, timeout=timeout, name=name)
    host.expected = build_body
    return host


def mount_both(trial, uri, **options):
    """Return an application that keeps nothing and one that keeps what it reads, which the server takes for one."""
    first = mount(trial, uri, max_age=0, **options)
    hosts = [first, mount(trial, uri, max_age=KEPT, name=first.name, **options)]
    for host in hosts:
        host.client.admin.command("ping")
    return hosts


def get_at_once(host, queries):
    """Send requests from as many threads and return their results."""
    with ThreadPoolExecutor(len(queries)) as pool:
        return list(pool.map(host.get, queries))


def check_all(trial, hosts, statuses, queries=QUERIES_WITH["aggregate"]):
    """Send every query to every application twice at once, and check the responses under a fault."""
    with ThreadPoolExecutor(len(hosts)) as pool:
        for host, results in zip(hosts, pool.map(lambda host: get_at_once(host, queries * 2), hosts), strict=True):
            for result in results:
                trial.check(host, result, statuses)


def check_recovery(trial, hosts, end):
    """Check that responses are complete that nothing is kept from before the end of the fault, and that they are kept.

    :param end: of the fault, formatted.
    """
    for host in hosts:
        for query in BODIES:
            first, second = trial.healthy(host, query), trial.healthy(host, query)
            assert get_as_of(first) >= end
            assert host.max_age < KEPT or first.body == second.body


@pytest.fixture(autouse=True)
def causes(caplog):
    """Check that each error is logged with its cause, and return a function that returns the causes."""

    def get():
        return [record.usage_cause for record in caplog.get_records("call") if record.levelno == logging.ERROR]

    yield get
    for cause in get():
        assert re.match(r"StoreError: the projects could not be read(: \w+|( completely)? within the timeout)", cause)


@pytest.fixture
def _small_batches(monkeypatch):
    """Let a result have two batches, as one that exceeds the size of a reply has."""
    monkeypatch.setattr("flask_usage_stats._mongodb.server_cursors._BATCH_SIZE", 100)


@contextmanager
def load(hosts, threads):
    """Send requests of all queries to each application inside a ``with`` block; afterwards the list has the results."""
    results, stop = [], threading.Event()

    def send(host, queries):
        own = []
        while not stop.is_set():
            own.append((host, host.get(next(queries))))
        return own

    with ThreadPoolExecutor(len(hosts) * threads) as pool:
        running = [
            pool.submit(send, host, cycle(random.sample(list(BODIES), len(BODIES))))
            for host in hosts
            for _ in range(threads)
        ]
        try:
            time.sleep(0.3)
            yield results
        finally:
            stop.set()
        for one in running:
            results += one.result()


@pytest.mark.xdist_group("replica set")
@pytest.mark.injects(
    "the primary steps down, then the next one is killed, during the scans of 8 threads", "complete responses"
)
def test_platform_primary_lost(trial, replica_set):
    """Scans that were interrupted by an election are repeated after it, and all who wait for them get the result."""
    hosts = [mount(trial, replica_set.uri, max_age=max_age, timeout=PATIENCE) for max_age in (0, 0.2)]
    for host in hosts:
        trial.healthy(host)
    with load(hosts, threads=4) as results:
        for lose in (step_down, lambda servers: servers.primary().stop()):
            uri = replica_set.primary().uri
            arm(uri, hosts[0], ["aggregate"], blockConnection=True, blockTimeMS=300)
            time.sleep(0.2)
            lose(replica_set)
            if lose is step_down:
                disarm(uri)
            replica_set.primary()
            time.sleep(0.5)
    for host, result in results:
        trial.check(host, result, {200})
    end = format_now()
    time.sleep(0.3)
    check_recovery(trial, hosts, end)


@pytest.mark.injects(
    "the server's process is killed during the scans of 20 requests, and restarted",
    "the error, then complete responses",
)
def test_platform_killed(trial, server):
    """All who wait for the scan of a server that dies get the error, as do all later requests until it restarts."""
    hosts = mount_both(trial, server.uri)
    arm(server.uri, hosts[0], ["aggregate"], blockConnection=True, blockTimeMS=5000)
    killer = threading.Timer(0.2, server.stop)
    killer.start()
    check_all(trial, hosts, {500})
    killer.join()
    check_all(trial, hosts, {500}, ("",))
    end = format_now()
    server.start()
    check_recovery(trial, hosts, end)


@pytest.mark.injects(
    "the server's process is frozen while 20 threads send requests",
    "what is kept, or the error, then complete responses",
)
def test_platform_frozen(trial, server):
    """Each of many waiting requests ends within the time limit, and what was read before is still returned."""
    hosts = mount_both(trial, server.uri)
    keeping = mount(trial, server.uri, max_age=KEPT)
    kept = [trial.healthy(keeping, query) for query in BODIES]
    server.send(signal.SIGSTOP)
    try:
        check_all(trial, hosts, {500})
        for before in kept:
            result = keeping.get(before.query)
            trial.check(keeping, result, {200})
            assert result.body == before.body
    finally:
        end = format_now()
        server.send(signal.SIGCONT)
    check_recovery(trial, hosts, end)


@pytest.mark.injects("the server takes 0.8 s for a command", "the error, then complete responses")
@pytest.mark.parametrize("command", ["aggregate"] if IS_QUICK else ["aggregate", "getMore"])
@pytest.mark.usefixtures("_small_batches")
def test_platform_blocked(trial, server, command):
    """A scan that takes too long results in the error for all who wait for it, even after the first batch."""
    hosts = mount_both(trial, server.uri)
    with armed(server.uri, hosts[0], [command], blockConnection=True, blockTimeMS=800):
        check_all(trial, hosts, {500}, QUERIES_WITH[command])
        end = format_now()
    check_recovery(trial, hosts, end if command == "aggregate" else ANY)


@pytest.mark.injects(
    "the server takes 0.1 s for a command while 32 threads request 16 different selections",
    "complete or the error, then complete responses",
)
def test_platform_selections(trial, server):
    """Different selections, which are read in turn, wait for each other until their time limit, and never longer."""
    hosts = mount_both(trial, server.uri, timeout=1)
    queries = [f"limit=1&plan=pro&plan={number}" for number in range(16)]
    with (
        armed(server.uri, hosts[0], ["aggregate"], blockConnection=True, blockTimeMS=100),
        ThreadPoolExecutor(2) as pool,
    ):
        found = list(pool.map(lambda host: get_at_once(host, queries), hosts))
    for host, results in zip(hosts, found, strict=True):
        assert {result.status for result in results} == {200, 500}
        for result in results:
            trial.check(host, result, {200, 500})
    check_recovery(trial, hosts, ANY)


@pytest.mark.injects("the server takes 0.05 s for a command while 20 threads send requests", "complete responses")
def test_platform_slow_in_time(trial, server):
    """Requests that wait for each other within their time limit succeed."""
    hosts = mount_both(trial, server.uri, timeout=PATIENCE)
    with armed(server.uri, hosts[0], ["aggregate"], blockConnection=True, blockTimeMS=50):
        check_all(trial, hosts, {200})


@pytest.mark.parametrize(
    ("fault", "command"),
    [(half, "aggregate"), (half_then_nothing, "getMore")]
    if IS_QUICK
    else [(fault, command) for fault in BROKEN + SILENT for command in ("aggregate", "getMore")],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.injects(
    "every reply is lost, truncated, or replaced by garbage, a web page or the reply to another request",
    "the error, then complete responses",
)
@pytest.mark.usefixtures("_small_batches")
def test_platform_damaged_replies(trial, proxy, fault, command):
    """A result that does not arrive completely is the error for all who wait for it, and is never kept."""
    hosts = mount_both(trial, proxy.uri)
    proxy.damage(fault, commands=(command,))
    check_all(trial, hosts, {500}, QUERIES_WITH[command])
    assert proxy.damaged
    end = format_now()
    proxy.mend()
    check_recovery(trial, hosts, end if command == "aggregate" else ANY)


@pytest.mark.parametrize("fault", [nothing] if IS_QUICK else BROKEN + SILENT, ids=lambda fault: fault.__name__)
@pytest.mark.injects(
    "one reply is damaged in any of these ways while 20 threads send requests",
    "complete or the error, then complete responses",
)
@pytest.mark.usefixtures("_small_batches")
def test_platform_one_reply_damaged(trial, proxy, fault):
    """A single damaged reply is never added to other results, nor kept."""
    hosts = mount_both(trial, proxy.uri)
    proxy.damage(fault, commands=("aggregate", "getMore"), times=1)
    check_all(trial, hosts, {200, 500})
    assert proxy.damaged
    check_recovery(trial, hosts, ANY)


RETRIED = STATE_CHANGES + TRANSIENT
ATLAS_ERROR = 8000
ALL_CODES = [[code] for code in (*RETRIED, *ERRORS.values(), ATLAS_ERROR)]


@pytest.mark.parametrize("codes", [[13, 50, ATLAS_ERROR, 11600, 11601]] if IS_QUICK else ALL_CODES, ids=str)
@pytest.mark.injects(
    "the server always replies with each error code: timeout, unauthorized, shutdown, interrupted and others",
    "the error, then complete responses",
)
def test_platform_refused(trial, server, causes, codes):
    """A refused scan is the error for all who wait for it, and its code is in the log."""
    for code in codes:
        # Those who wait for others until their time limit do not learn the code.
        hosts = mount_both(trial, server.uri, timeout=TIMEOUT if code in RETRIED else PATIENCE)
        number = len(causes())
        with armed(server.uri, hosts[0], ["aggregate"], errorCode=code):
            check_all(trial, hosts, {500})
            end = format_now()
        check_recovery(trial, hosts, end)
        if code not in RETRIED:
            assert all(re.search(rf": \w+ {code}\b", cause) for cause in causes()[number:])


@pytest.mark.parametrize("codes", [[13]] if IS_QUICK else ALL_CODES, ids=str)
@pytest.mark.injects(
    "the server replies once with each of these codes while 20 threads send requests, and once to the request of a"
    " second batch",
    "complete or the error, then complete responses",
)
@pytest.mark.usefixtures("_small_batches")
def test_platform_refused_once(trial, server, codes):
    """An error ends only the requests that wait for its scan, and none if the driver retries."""
    for code in codes:
        hosts = mount_both(trial, server.uri, timeout=PATIENCE)
        for host in hosts:
            with armed(server.uri, host, ["getMore"], {"times": 1}, errorCode=code):
                trial.check(host, host.get(LIST), {500})
        with armed(server.uri, hosts[0], ["aggregate"], {"times": 1}, errorCode=code):
            check_all(trial, hosts, {200} if code in RETRIED else {200, 500})
        check_recovery(trial, hosts, ANY)


class Ledger:
    """What was written to projects while they are read: what was sent, and since when the database has it."""

    def __init__(self, requests):
        self._lock = threading.Lock()
        self._sent = Counter(requests=requests)
        self._stored = Counter(requests=requests)
        self._times, self._entries = [0.0], [Counter(self._stored)]

    @contextmanager
    def write(self, **numbers):
        with self._lock:
            self._sent.update(numbers)
        yield
        with self._lock:
            self._stored.update(numbers)
            self._times.append(time.time())
            self._entries.append(Counter(self._stored))

    def get_stored(self, as_of):
        """Return the numbers that the database had at a time."""
        with self._lock:
            return self._entries[bisect_left(self._times, datetime.fromisoformat(as_of).timestamp()) - 1]

    def get_sent(self):
        with self._lock:
            return Counter(self._sent)


PLANS = ["free", "pro", "team"]
CHANGING = 1000  # projects: as many as can be listed
QUERIES = [
    "deleted=include",
    "deleted=include&groupBy=plan,status",
    "deleted=include&groupBy=owner",
    "deleted=include&groupBy=owner&plan=FREE&plan=PRO&plan=TEAM",
    "deleted=include&groupBy=owner&top=2&limit=1000",
    "deleted=include&plan=free&plan=pro&plan=team&limit=1000",
]


@pytest.fixture
def changing(server):
    """Yield projects with indexes in which changes move them, on a server that lets others write between documents."""
    with MongoClient(server.uri) as client:
        projects = client.platform.changing
        projects.insert_many(
            {"_id": number, "owner": "ada", "plan": PLANS[number % 3], "status": "live", "totalRequest": number}
            for number in range(CHANGING)
        )
        for keys in (["owner"], ["plan"], ["status"], ["plan", "status"], ["owner", "plan", "projectType", "status"]):
            projects.create_index([(name, 1) for name in keys])
        projects.create_index([("totalRequest", -1), ("owner", 1), ("plan", 1), ("status", 1)])
        iterations = {"internalQueryExecYieldIterations": 1}
        before = client.admin.command({"setParameter": 1, **iterations})["was"]
        yield projects
        client.admin.command({"setParameter": 1, **dict.fromkeys(iterations, before)})
        projects.drop()


@contextmanager
def running(*functions):
    """Call functions repeatedly, each in a thread, inside a ``with`` block."""
    stop = threading.Event()

    def repeat(function):
        while not stop.is_set():
            function()

    with ThreadPoolExecutor(len(functions)) as pool:
        threads = [pool.submit(repeat, function) for function in functions]
        try:
            yield
        finally:
            stop.set()
        for thread in threads:
            thread.result()


@pytest.mark.parametrize("grows", [False, True], ids=["moved", "inserted"])
@pytest.mark.injects(
    "counts, owners, plans and statuses of 1,000 projects are updated, and projects are inserted, while they are"
    " scanned, next to indexes on them",
    "complete responses: each project once, and no count older than `asOf`",
)
def test_platform_changes(trial, server, changing, grows):
    """A scan counts each project once, with all requests that were counted before the time it states."""
    ledger = Ledger(sum(range(CHANGING)))
    chance = random.Random(1)  # noqa: S311 # any changes will do
    ids = count(CHANGING)

    def increment():
        number = chance.randint(1, 1000)
        with ledger.write(requests=number):
            changing.update_one({"_id": chance.randrange(1, CHANGING)}, {"$inc": {"totalRequest": number}})

    def move():
        owner, plan, status = (chance.choice(each) for each in ("ab", PLANS, ["live", "deleted", "paused"]))
        changes = {"owner": owner, "plan": plan, "status": status}
        changing.update_one({"_id": chance.randrange(CHANGING)}, {"$set": changes})

    def insert():
        with ledger.write(inserted=1, requests=5):
            changing.insert_one({"_id": next(ids), "owner": "a", "plan": "pro", "status": "live", "totalRequest": 5})

    hosts = [
        trial.host(server.uri, PlatformHost, max_age=max_age, collection=changing.name, timeout=PATIENCE)
        for max_age in (0, 0.05)
    ]
    results = []

    def request(host):
        host.expected = lambda result: result.body
        for query in QUERIES:
            result = host.get(query)
            results.append((host, result, ledger.get_sent()))

    requests = [lambda host=host: request(host) for host in hosts for _ in range(2)]
    with running(increment, move, move, *[insert] * grows, *requests):
        time.sleep(SECONDS)
    for host, result, sent in results:
        trial.check(host, result, {200})
        check_changing(result, ledger.get_stored(get_as_of(result)), sent)
    (last,) = changing.aggregate([{"$group": {"_id": None, "sum": {"$sum": "$totalRequest"}, "number": {"$sum": 1}}}])
    body = json.loads(trial.healthy(hosts[0], "deleted=include").body)
    sent = ledger.get_sent()
    assert last["sum"] == body["totalRequests"] == sent["requests"]
    assert last["number"] == body["projects"] == CHANGING + sent["inserted"]


def check_changing(result, stored, sent):
    """Check the numbers of a response between what was stored when its scan began and what was sent before its end."""
    body = json.loads(result.body)
    assert stored["requests"] <= body["totalRequests"] <= sent["requests"]
    assert stored["inserted"] <= body["projects"] - CHANGING <= sent["inserted"]
    assert body["unused"] == 1
    if "groups" in body:
        for name in ("projects", "totalRequests"):
            groups = [*body["groups"], *([body["others"]] if "others" in body else [])]
            assert sum(group[name] for group in groups) == body[name]
    if "projectStats" in body:
        rows = body["projectStats"]
        assert len({row["_id"] for row in rows}) == len(rows) == CHANGING
        if not sent["inserted"]:
            assert stored["requests"] <= sum(row["totalRequest"] for row in rows) <= sent["requests"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*")
@pytest.mark.injects("the process forks while 8 of its threads wait for a scan", "complete responses in each process")
def test_platform_fork(trial, server):
    """A forked process does not wait for the threads of its parent, with a client of its own or that of its parent."""
    for host in mount_both(trial, server.uri, timeout=PATIENCE):
        with (
            armed(server.uri, host, ["aggregate"], {"times": 1}, blockConnection=True, blockTimeMS=500),
            ThreadPoolExecutor(8) as pool,
        ):
            parents = [pool.submit(host.get, "groupBy=plan") for _ in range(8)]
            wait_for(lambda host=host: is_scanning(server, host))
            children = [fork(host, query, uri) for query in ("groupBy=plan", LIST) for uri in (None, server.uri)]
            for result in [get_result() for get_result in children]:
                trial.check(host, result, {200})
            for parent in parents:
                trial.check(host, parent.result(), {200})


def is_scanning(server, host):
    return any("aggregate" in one.get("command", {}) for one in connections_of(server.uri, host.name))


def fork(host, query, uri):
    """Send a request from a forked process, with a new client if there is a URI.

    :returns: a function that waits for the result and returns it.
    """
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)

    def send():
        if uri is not None:
            host.connect(uri)
        writer.send(host.get(query))

    process = context.Process(target=send)
    process.start()

    def get_result():
        try:
            assert reader.poll(PATIENCE + 5), "the forked process did not respond"
            return reader.recv()
        finally:
            process.kill()
            process.join()

    return get_result
