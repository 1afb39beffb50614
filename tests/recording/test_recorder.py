"""The recorder: counting, writing from a thread, and processes."""

import gc
import logging
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import mongomock
import pytest
from bson import ObjectId
from flask import Flask, g
from pymongo import MongoClient

from flask_usage_stats import ConfigurationError, ProjectStore, StoreError, UsageRecorder
from flask_usage_stats._mongodb.bulk_updates import BulkUpdates
from flask_usage_stats._mongodb.count_updates import BatchUpdate
from flask_usage_stats._mongodb.writer_entries import EntryPruner
from flask_usage_stats._recording import flusher as module

DROPPED = {"full": 0, "unknown": 0, "uncountable": 0, "refused": 0, "in_doubt": 0, "invalid": 0}


@pytest.fixture
def recorder(any_projects):
    recorder = UsageRecorder(ProjectStore(any_projects), interval=3600)
    yield recorder
    assert recorder.close()


@pytest.fixture
def quiet(monkeypatch):
    """Prevent threads from starting."""
    monkeypatch.setattr(UsageRecorder, "_start", lambda *_: None)


class BrokenWriter:
    """A writer whose calls return or raise the given results, one after the other."""

    def __init__(self, *results):
        self.results, self.calls, self.is_in_doubt = list(results), [], False

    def write(self, batch, number, timeout, *, is_repeated=False):
        self.calls.append(({project: increment.requests for project, increment in batch.items()}, number))
        result = self.results.pop(0)
        self.is_in_doubt = isinstance(result, tuple)
        if self.is_in_doubt:
            raise result[0]
        if isinstance(result, Exception):
            raise result
        return result


def with_writer(*results, **options):
    recorder = UsageRecorder(ProjectStore(mongomock.MongoClient().platform.projects), **options)
    recorder._state.flusher.writer = BrokenWriter(*results)
    return recorder, recorder._state.flusher.writer


def test_counts_are_added(any_projects, recorder):
    """Recorded requests are added to the counts of their projects, and the statistics say what became of them."""
    any_projects.insert_many([{"_id": ObjectId("507f1f77bcf86cd799439011"), "totalRequest": 5}, {"_id": 7}])
    for project_id, n in (
        ("507f1f77bcf86cd799439011", 1),
        (7, 2),
        (7, 3),
        ("wiki", 4),
        ([], 1),
        (7, 0),
        (7, 2**53 + 1),
    ):
        assert recorder.record(project_id, n) is None
    assert recorder.stats.pending == 10
    assert recorder.flush() is True
    assert [document["totalRequest"] for document in any_projects.find()] == [6, 5]
    stats = recorder.stats
    assert (stats.written, stats.pending, stats.failures, stats.oldest) == (6, 0, 0, 0.0)
    assert stats.dropped == DROPPED | {"unknown": 4, "invalid": 3}


@pytest.mark.parametrize("n", [0, -1, 2**53 + 1, 1.0, "1", None, True])
def test_other_numbers_are_invalid(recorder, n):
    """A number of requests is an integer from 1 to 2**53."""
    recorder.record("blog", n)
    assert recorder.stats.dropped["invalid"] == 1


def test_statistics_cannot_be_changed(recorder):
    """The statistics are a snapshot."""
    with pytest.raises(TypeError):
        recorder.stats.dropped["full"] = 1
    with pytest.raises(AttributeError):
        recorder.stats.written = 1


def test_oldest_is_an_age(quiet):
    """The age of the oldest pending request is in seconds."""
    recorder, _ = with_writer()
    recorder.record("blog")
    time.sleep(0.05)
    assert 0.05 <= recorder.stats.oldest < 5


def test_id_type_converts_strings(any_projects):
    """Strings are converted to the type of the stored ids."""
    any_projects.insert_one({"_id": 7})
    recorder = UsageRecorder(ProjectStore(any_projects), id_type=int, interval=3600)
    recorder.record("7")
    recorder.record("x")
    assert recorder.close()
    assert any_projects.find_one()["totalRequest"] == 1
    assert recorder.stats.dropped["invalid"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"store": "x"}, r"store must be a ProjectStore, such as ProjectStore\(db.projects\); got 'x'"),
        ({"interval": 0}, "interval must be a number of seconds greater than 0 and at most 3600, got 0"),
        ({"timeout": "5"}, "timeout must be a number of seconds"),
        ({"max_pending": 0}, "max_pending must be an integer greater than 0, got 0"),
        ({"max_pending": True}, "max_pending must be an integer"),
        ({"id_type": float}, "id_type must be str, int, ObjectId or UUID, got <class 'float'>"),
    ],
)
def test_misuse_is_refused(arguments, message):
    """The message says what to pass instead."""
    store = ProjectStore(mongomock.MongoClient().platform.projects)
    with pytest.raises(ConfigurationError, match=message):
        UsageRecorder(**({"store": store} | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"app": "x"}, "app must be a Flask application, got 'x'"),
        ({"project_id": "x"}, "project_id must be a function such as lambda: g.get"),
        ({"project_id": None}, "project_id must be a function"),
        ({"should_count": 5}, "should_count must be a function such as lambda response"),
    ],
)
def test_misuse_of_init_app_is_refused(recorder, arguments, message):
    """The message says what to pass instead."""
    with pytest.raises(ConfigurationError, match=message):
        recorder.init_app(**({"app": Flask("x"), "project_id": lambda: 1} | arguments))


def test_async_callbacks_are_refused(recorder):
    """A coroutine would not be awaited."""

    async def project_id():
        pass

    with pytest.raises(ConfigurationError, match="project_id must not be async"):
        recorder.init_app(Flask("x"), project_id=project_id)


def test_requests_of_an_application_are_counted(any_projects, recorder):
    """Each request is counted for the project that it belongs to."""
    any_projects.insert_one({"_id": "blog"})
    app = Flask("x")
    app.add_url_rule("/", view_func=lambda: setattr(g, "project", "blog") or "x")
    recorder.init_app(app, project_id=lambda: g.get("project"))
    for _ in range(3):
        app.test_client().get("/")
    recorder.flush()
    assert any_projects.find_one()["totalRequest"] == 3


class TestFlush:
    def test_batches_in_doubt_are_sent_again_unchanged(self, quiet, caplog):
        """Until its result is known, a batch is sent again as it was; only then is the next one sent."""
        error = StoreError("the counts could not be written: AutoReconnect")
        recorder, writer = with_writer((error,), (error,), {}, {})
        recorder.record("blog", 2)
        assert not recorder.flush()
        recorder.record("blog", 3)
        assert not recorder.flush()
        assert recorder.stats.pending == 5
        assert recorder.flush()
        (first, number), *others = writer.calls
        assert others[:2] == [({"blog": 2}, number)] * 2
        assert first == {"blog": 2}
        assert others[2][0] == {"blog": 3}
        assert others[2][1] > number
        assert (recorder.stats.written, recorder.stats.failures) == (5, 2)
        assert [record.getMessage() for record in caplog.records] == [
            f"counts of {pending} requests could not be written and stay pending: {error}" for pending in (2, 5)
        ]
        assert {record.levelno for record in caplog.records} == {logging.ERROR}

    @pytest.mark.parametrize(
        ("kind", "method"),
        [(EntryPruner, "_remove_entries"), (BatchUpdate, "_find_unmatched"), (BulkUpdates, "send")],
    )
    def test_an_interruption_counts_nothing_twice(self, quiet, any_projects, monkeypatch, kind, method):
        """An exception of a signal handler, such as that of Ctrl-C, leaves the batch in doubt, and it is sent again."""
        any_projects.insert_many([{"_id": "blog"}, {"_id": "api"}])
        recorder = UsageRecorder(ProjectStore(any_projects), interval=3600)
        original = getattr(kind, method)

        def interrupt(*arguments, **options):
            original(*arguments, **options)
            raise KeyboardInterrupt

        for project, n in (("blog", 2), ("api", 3), ("wiki", 5)):
            recorder.record(project, n)
        with monkeypatch.context() as patch:
            patch.setattr(kind, method, interrupt)
            with pytest.raises(KeyboardInterrupt):
                recorder.flush()
        recorder.record("blog", 1)
        assert recorder.flush()
        assert [document["totalRequest"] for document in any_projects.find()] == [3, 3]
        assert (recorder.stats.written, recorder.stats.dropped["unknown"]) == (6, 5)

    def test_an_interruption_without_entries(self, quiet, projects, monkeypatch):
        """Without entries, the batch that was interrupted is dropped, because it must not be sent again."""
        projects.insert_one({"_id": "blog"})
        recorder = UsageRecorder(ProjectStore(projects, writers_field=None), interval=3600)
        send = BulkUpdates.send

        def interrupt(updates, operations):
            send(updates, operations)
            raise KeyboardInterrupt

        recorder.record("blog", 2)
        with monkeypatch.context() as patch:
            patch.setattr(BulkUpdates, "send", interrupt)
            with pytest.raises(KeyboardInterrupt):
                recorder.flush()
        recorder.record("blog", 1)
        assert recorder.flush()
        assert projects.find_one()["totalRequest"] == 3
        assert (recorder.stats.written, recorder.stats.dropped["in_doubt"]) == (1, 2)

    def test_batches_that_were_not_sent_are_counted_further(self, quiet):
        """A batch that was certainly not applied gets a new number, with what was recorded meanwhile."""
        recorder, writer = with_writer(StoreError("x"), {})
        recorder.record("blog", 2)
        assert not recorder.flush()
        recorder.record("blog", 3)
        assert recorder.flush()
        (_, first), (last, second) = writer.calls
        assert last == {"blog": 5}
        assert second > first

    def test_acknowledged_batches_are_not_sent_again(self, quiet):
        """If one of several batches fails, only it and those after it stay pending."""
        recorder, writer = with_writer({}, (StoreError("x"),), {}, {})
        for project in range(2500):
            recorder.record(project)
        assert not recorder.flush()
        assert (recorder.stats.written, recorder.stats.pending) == (1000, 1500)
        assert recorder.flush()
        assert [len(batch) for batch, _ in writer.calls] == [1000, 1000, 1000, 500]
        assert recorder.stats.written == 2500

    def test_a_batch_is_given_up_when_its_entries_may_be_gone(self, quiet, monkeypatch, caplog):
        """After nearly an hour in doubt, a batch is dropped, because it could be added twice."""
        recorder, writer = with_writer((StoreError("x"),), {})
        recorder.record("blog", 2)
        recorder.flush()
        recorder.record("blog", 1)
        monkeypatch.setattr(module, "monotonic", lambda: time.monotonic() + 3301)
        assert recorder.flush()
        assert recorder.stats.dropped["in_doubt"] == 2
        assert recorder.stats.written == 1
        assert len(writer.calls) == 2
        assert caplog.records[-1].getMessage() == "counts of 2 requests were dropped: in_doubt 2"

    def test_the_clock_may_be_set_forward(self, quiet, monkeypatch):
        """Other processes remove entries by the time of day, so a batch is given up by that, too."""
        recorder, _ = with_writer((StoreError("x"),))
        recorder.record("blog")
        recorder.flush()
        monkeypatch.setattr(module, "time", lambda: time.time() + 3400)
        assert recorder.flush()
        assert recorder.stats.dropped["in_doubt"] == 1

    def test_the_clock_may_be_set_forward_before_the_first_attempt(self, quiet, monkeypatch):
        """A batch that was not sent is never in doubt."""
        recorder, _ = with_writer({})
        recorder.record("blog")
        monkeypatch.setattr(module, "time", lambda: time.time() + 3400)
        assert recorder.flush()
        assert recorder.stats.written == 1

    def test_unexpected_errors_are_logged_by_type(self, quiet, caplog):
        """The text of errors of other libraries could contain values."""
        recorder, _ = with_writer(LookupError("secret"))
        recorder.record("blog")
        assert not recorder.flush()
        assert caplog.records[0].getMessage().endswith("stay pending: LookupError")

    def test_dropped_counts_are_one_warning(self, quiet, caplog):
        """One line for each flush has the number of requests by cause, each request once."""
        recorder, _ = with_writer({"a": "unknown", "b": "uncountable"}, {}, id_type=str, max_pending=3)
        for project, n in (("a", 2), ("b", 3), ("c", 4), ("d", 5), (None, 6)):
            recorder.record(project, n)
        assert recorder.flush()
        recorder.record("a")
        assert recorder.flush()
        (record,) = caplog.records
        assert record.getMessage() == "counts of 11 requests were dropped: full 5, invalid 1, uncountable 3, unknown 2"
        assert record.levelno == logging.WARNING

    def test_unknown_projects_may_have_another_type_of_id(self, quiet, caplog):
        """The log says how ids are converted, unless the application has decided that."""
        recorder, _ = with_writer({"a": "unknown"})
        recorder.record("a", 2)
        assert recorder.flush()
        (message,) = caplog.messages
        assert message.endswith(
            "unknown 2 (ids with 24 hexadecimal digits are ObjectIds, unless id_type=str is passed)"
        )

    @pytest.mark.parametrize(
        ("writers_field", "paths"), [("meta.writers", "meta.writers, lastRequestAt, hits"), (None, "hits")]
    )
    def test_refused_counts_are_an_error(self, database, quiet, caplog, writers_field, paths):
        """The line says what the collection's validator must allow."""
        validator = {"$jsonSchema": {"properties": {"_id": {}}, "additionalProperties": False}}
        projects = database.create_collection(f"closed {writers_field}", validator=validator)
        projects.insert_one({"_id": "a"})
        store = ProjectStore(projects, writers_field=writers_field, fields={"totalRequest": "hits"})
        recorder = UsageRecorder(store, id_type=str)
        recorder.record("a", 2)
        recorder.record("b", 1)
        assert recorder.flush()
        (record,) = caplog.records
        assert record.getMessage() == (
            f"counts of 3 requests were dropped: refused 2 (the collection's validator must allow {paths}), unknown 1"
        )
        assert record.levelno == logging.ERROR


class TestThread:
    def test_the_thread_writes_at_intervals(self, any_projects):
        """Counts are written without a call of flush."""
        any_projects.insert_one({"_id": "blog"})
        recorder = UsageRecorder(ProjectStore(any_projects), interval=0.02)
        recorder.record("blog")
        wait_until(lambda: recorder.stats.written == 1)
        recorder.record("blog")
        wait_until(lambda: recorder.stats.written == 2)
        assert recorder.close()

    def test_the_thread_survives_errors(self):
        """A later interval writes what an earlier one could not."""
        recorder, _ = with_writer(LookupError(), StoreError("x"), {}, interval=0.02)
        recorder.record("blog")
        wait_until(lambda: recorder.stats.written == 1)
        assert recorder.stats.failures == 2
        assert recorder.close()

    def test_one_thread_starts_with_the_first_record(self):
        """No thread starts before, and later ones are not necessary."""
        before = set(threading.enumerate())

        def count_new():  # not those of other tests, which may end meanwhile
            return len(set(threading.enumerate()) - before)

        recorder, _ = with_writer({}, interval=3600)
        assert count_new() == 0
        for _ in range(100):
            recorder.record("blog")
        assert count_new() == 1
        assert recorder.close()
        assert count_new() == 0

    def test_no_thread_can_start(self, monkeypatch):
        """When the interpreter is about to exit, counts are accepted all the same."""
        recorder, _ = with_writer({}, interval=3600)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", raise_runtime_error)
            recorder.record("blog")
        assert recorder.stats.pending == 1
        recorder.record("blog")
        assert recorder._state.thread.is_alive()
        assert recorder.close()

    def test_the_thread_is_started_once(self):
        """Calls of other threads, and of signal handlers, do not start it again."""
        recorder, _ = with_writer({}, interval=3600)
        state = recorder._state
        with state.starting:
            recorder._start(state)
        assert state.thread is None
        recorder.record("blog")
        thread = state.thread
        recorder._start(state)
        assert state.thread is thread
        assert recorder.close()

    def test_close_stops_the_thread(self, any_projects):
        """After close, counts are accepted but not written until flush or close is called."""
        any_projects.insert_one({"_id": "blog"})
        recorder = UsageRecorder(ProjectStore(any_projects), interval=0.01)
        recorder.record("blog")
        thread = recorder._state.thread
        assert recorder.close()
        assert not thread.is_alive()
        recorder.record("blog")
        time.sleep(0.05)
        assert recorder._state.thread is thread  # others of the process, such as the driver's, may end meanwhile
        assert recorder.stats.pending == 1
        assert recorder.close()
        assert any_projects.find_one()["totalRequest"] == 2
        recorder.record("blog")
        assert recorder.flush()
        assert any_projects.find_one()["totalRequest"] == 3

    def test_close_does_not_wait_longer_than_its_timeout(self):
        """A database that does not respond delays the exit by the timeout only."""
        with MongoClient("mongodb://127.0.0.1:9") as client:
            recorder = UsageRecorder(ProjectStore(client.platform.projects), interval=3600)
            recorder.record("blog")
            started = time.monotonic()
            assert not recorder.close(timeout=0.2)
            assert time.monotonic() - started < 2
            assert recorder.stats.pending == 1

    def test_signal_handlers_may_record(self, any_projects, monkeypatch):
        """A handler can interrupt record() and the start of the thread."""
        any_projects.insert_one({"_id": "blog"})
        recorder = UsageRecorder(ProjectStore(any_projects), interval=3600)
        monkeypatch.setattr("flask_usage_stats._recording.ledger._MAX_QUEUE", 50)
        handled = []

        def handle(*_):
            handled.append(recorder.record("blog"))

        previous = signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            deadline, recorded = time.monotonic() + 0.5, 0
            while time.monotonic() < deadline:
                recorder.record("blog")
                recorded += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        assert handled
        assert recorder.close()
        assert any_projects.find_one()["totalRequest"] == recorded + len(handled)


class TestProcesses:
    @pytest.mark.parametrize("exit_code", ["sys.exit()", "raise SystemExit(3)", "1 / 0", "pass"])
    def test_counts_are_written_at_exit(self, tmp_path, mongodb_uri, projects, exit_code):
        """A process that ends in any regular way writes what is pending."""
        projects.insert_one({"_id": "blog"})
        run_program(tmp_path, mongodb_uri, projects, f"recorder.record('blog', 5)\n{exit_code}")
        assert projects.find_one()["totalRequest"] == 5

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_multiprocessing(self, tmp_path, mongodb_uri, projects, method):
        """Processes of multiprocessing write what they have counted, and their parent its own counts."""
        projects.insert_one({"_id": "blog"})
        code = f"""
            import multiprocessing
            if __name__ == "__main__":
                recorder.record("blog", 100)
                context = multiprocessing.get_context({method!r})
                children = [context.Process(target=count) for _ in range(3)]
                for child in children:
                    child.start()
                for child in children:
                    child.join()
        """
        run_program(tmp_path, mongodb_uri, projects, code)
        assert projects.find_one()["totalRequest"] == 103

    def test_a_fork_starts_with_zero(self, tmp_path, mongodb_uri, projects):
        """What was pending before a fork is written by the parent only, and each process has its own entries."""
        projects.insert_one({"_id": "blog"})
        code = """
            import os
            recorder.record("blog", 10)
            pid = os.fork()
            if pid == 0:
                assert recorder.stats.pending == 0
                recorder.record("blog", 1)
            else:
                os.waitpid(pid, 0)
        """
        run_program(tmp_path, mongodb_uri, projects, code)
        document = projects.find_one()
        assert document["totalRequest"] == 11
        assert len(document["usageWriters"]) == 2

    def test_a_closed_recorder_stays_closed_in_a_fork(self):
        """No thread starts after close, in no process."""
        recorder, _ = with_writer()
        recorder.close()
        recorder.reset_after_fork()
        recorder.record("blog")
        assert recorder._state.thread is None

    def test_a_recorder_without_references_is_collected(self):
        """A recorder whose thread never started is not kept alive by the hooks of the process."""
        recorder, _ = with_writer()
        reference = weakref.ref(recorder)
        del recorder
        gc.collect()
        assert reference() is None


def run_program(folder, uri, projects, code):
    program = textwrap.dedent(
        f"""
        from pymongo import MongoClient
        from flask_usage_stats import ProjectStore, UsageRecorder
        import functools, sys

        @functools.cache
        def client(_):
            return MongoClient({uri!r})

        def collection():
            import os
            return client(os.getpid())[{projects.database.name!r}][{projects.name!r}]

        recorder = UsageRecorder(ProjectStore(collection), interval=3600)

        def count():
            recorder.record("blog", 1)
        """
    ) + textwrap.dedent(code)
    path = folder / "program.py"
    path.write_text(program)
    result = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60, check=False)
    assert "flask_usage_stats" not in result.stderr, result.stderr


def wait_until(condition, timeout=10):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.005)


def raise_runtime_error(*_):
    raise RuntimeError("can't start new thread")
