"""An access log is counted line by line, each once, in the quarter of its own time."""

import json
import os
import shutil
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId
from support import raiser

from flask_usage_stats import ProjectStore, StoreError, UsageHistory, UsageRecorder
from flask_usage_stats._mongodb.bulk_updates import BulkUpdates
from flask_usage_stats._mongodb.host_lookup import HostLookup
from flask_usage_stats._recording import file_reader, ingest_state, retrier
from flask_usage_stats._recording import ingest as module
from flask_usage_stats._recording.ingest import Ingest
from flask_usage_stats._recording.ingest_state import IngestError, load_state

START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=2)


def caddy(host="blog.example", minute=0, method="GET"):
    """Return a line of Caddy, with a time in minutes since ``START``."""
    ts = START.timestamp() + 60 * minute
    request = {"remote_ip": "192.0.2.1", "method": method, "host": host, "uri": "/secret?token=1", "headers": {}}
    return json.dumps({"level": "info", "ts": ts, "request": request, "status": 200}) + "\n"


@pytest.fixture
def projects(database):
    database.projects.insert_many(
        [
            {"_id": "blog", "domains": ["blog.example", "Bücher.example"], "totalRequest": 7},
            {"_id": "shop", "domains": "SHOP.example."},
        ]
    )
    return database.projects


@pytest.fixture
def log(tmp_path):
    return tmp_path / "access.log"


@pytest.fixture
def run(projects, log, monkeypatch):
    """Ingest the log to its end, and return what became of the lines."""

    def run(writers_field="usageWriters", **options):
        options = {
            "log": log,
            "state": log.with_name("state"),
            "host_field": "domains",
            "format_name": None,
            "is_followed": False,
            "should_stop": lambda: False,
            "warn": warnings.append,
        } | options
        store = ProjectStore(projects, writers_field=writers_field)
        ingest = Ingest(store, UsageHistory(projects.database.usage_history), **options)
        ingest.run(lambda _: None)
        tally = ingest.tally
        tallies.append(tally)
        return tally.counted, tally.unknown, tally.unreadable, tally.skipped

    monkeypatch.setattr(file_reader, "_GRACE", 0.0)
    warnings, tallies = run.warnings, run.tallies = [], []
    return run


@pytest.fixture
def stored(projects):
    """Return the count of each project, which the history must have as well."""

    def stored():
        counts = {each["_id"]: each.get("totalRequest", 0) for each in projects.find()}
        counts["blog"] -= 7
        sums = Counter()
        for day in projects.database.usage_history.find({"_id": {"$ne": "since"}}):
            assert sum(day["q"].values()) == day["n"]
            sums[day["_id"]["p"]] += day["n"]
        assert sums == Counter(counts)
        return counts

    return stored


def append(log, *lines):
    with log.open("a") as file:
        file.writelines(lines)


def test_each_line_is_counted_once(run, log, stored, projects):
    """A second run adds nothing, and a third one what was written meanwhile."""
    append(log, caddy(), caddy("shop.example", 20), caddy(), caddy("wiki.example"), caddy(method="HEAD"), "{}\n")
    assert run() == (3, 1, 1, 1)
    assert stored() == {"blog": 2, "shop": 1}
    assert run() == (0, 0, 0, 0)
    assert stored() == {"blog": 2, "shop": 1}
    append(log, caddy())
    assert run() == (1, 0, 0, 0)
    assert stored() == {"blog": 3, "shop": 1}
    assert projects.find_one({"_id": "wiki"}) is None


def test_the_time_of_the_line_decides(run, log, projects):
    """The quarter, the day and the latest request are those of the line, and the history begins with the oldest one."""
    append(log, caddy(minute=31), caddy(minute=16), caddy(minute=16))
    run()
    history = projects.database.usage_history
    day = history.find_one({"_id.p": "blog"})
    first = START.hour * 4
    assert day["q"] == {str(first + 1): 2, str(first + 2): 1}
    assert day["_id"]["d"] == START.replace(hour=0, tzinfo=None)
    assert history.find_one({"_id": "since"})["at"] == (START + timedelta(minutes=15)).replace(tzinfo=None)
    latest = projects.find_one({"_id": "blog"})["lastRequestAt"]
    assert latest == (START + timedelta(minutes=31)).replace(tzinfo=None)
    append(log, caddy(minute=-1))
    run()
    assert history.find_one({"_id": "since"})["at"] == (START - timedelta(minutes=15)).replace(tzinfo=None)


def test_the_history_begins_with_what_is_kept(run, log, projects):
    """A line that is older than the history keeps counts is counted, and does not let years look counted."""
    append(log, caddy(minute=-60 * 24 * 1000))
    assert run() == (1, 0, 0, 0)
    since = projects.database.usage_history.find_one({"_id": "since"})["at"]
    assert timedelta(days=398) < datetime.now(UTC).replace(tzinfo=None) - since < timedelta(days=401)


@pytest.mark.parametrize(
    "host", ["BLOG.example", "blog.example:8443", "blog.example.", "xn--bcher-kva.example", "bücher.example"]
)
def test_spellings_of_a_host(run, log, stored, host):
    """Case, port, the dot at the end and the encoding of a name do not matter."""
    append(log, caddy(host))
    assert run() == (1, 0, 0, 0)
    assert stored() == {"blog": 1, "shop": 0}


def test_an_unended_line_waits(run, log, stored):
    """A line is counted when it has an end."""
    line = caddy()
    append(log, line, line[:30])
    assert run() == (1, 0, 0, 0)
    append(log, line[30:])
    assert run() == (1, 0, 0, 0)
    assert stored()["blog"] == 2


class TestRotation:
    def test_renamed(self, run, log, stored):
        """The rest of a renamed file is counted, and then its successor."""
        append(log, caddy(), caddy())
        assert run() == (2, 0, 0, 0)
        append(log, caddy(), caddy()[:-1])
        log.rename(log.with_name("access.log.1"))
        append(log, caddy("shop.example"))
        assert run() == (3, 0, 0, 0)
        assert run() == (0, 0, 0, 0)
        assert stored() == {"blog": 4, "shop": 1}
        assert run.warnings == []

    def test_copied_and_truncated(self, run, log, stored):
        """The rest is read from the copy."""
        append(log, caddy(), caddy())
        run()
        append(log, caddy())
        shutil.copy(log, log.with_name("access.log-20261126"))
        os.truncate(log, 0)
        assert run() == (1, 0, 0, 0)
        append(log, caddy(minute=1))
        assert run() == (1, 0, 0, 0)
        assert stored()["blog"] == 4
        assert run.warnings == []

    def test_replaced_by_a_file_of_the_same_length(self, run, log, stored):
        """The first bytes tell the files apart, and a warning says that lines may be missing."""
        append(log, caddy(), caddy())
        assert run() == (2, 0, 0, 0)
        size = log.stat().st_size
        log.write_text(caddy("shop.example") + caddy("shop.example", 1)[:-1].replace("info", "warn") + "\n")
        assert log.stat().st_size == size
        assert run() == (2, 0, 0, 0)
        assert stored() == {"blog": 2, "shop": 2}
        (warning,) = run.warnings
        assert warning.endswith(f"written after byte {size:,} of it and before the present file is not counted")

    def test_missing_successor(self, run, log, stored):
        """The renamed file is read although there is no new one yet."""
        append(log, caddy())
        run()
        append(log, caddy())
        log.rename(log.with_name("access.log.1"))
        assert run() == (1, 0, 0, 0)
        append(log, caddy(minute=1))
        assert run() == (1, 0, 0, 0)
        assert stored()["blog"] == 3

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("access.log.2", "access.log.1"),
            ("access.log-20261126", "access.log-20261127"),
            ("access-2026-11-26T00-00-00.000.log", "access-2026-11-27T00-00-00.000.log"),
            ("access-2026-11-26T00-00-00.000-size.log", "access-2026-11-27T00-00-00.000-time.log"),
        ],
    )
    @pytest.mark.parametrize("is_copied", [False, True])
    def test_twice(self, run, log, stored, first, second, is_copied):
        """The file between the one that was read and the present one is read as well, and no other log is."""
        append(log, caddy())
        assert run() == (1, 0, 0, 0)
        for name in (first, second):
            append(log, caddy(minute=len(name)), caddy(name))
            shutil.copy(log, log.with_name(name))
            if is_copied:
                os.truncate(log, 0)
            else:
                log.unlink()
        for name in ("access-1.log", "access.log.3", "access.log-20261125", "access-api.log", "access.log.2.gz"):
            if name[:12] != first[:12]:
                append(log.with_name(name), caddy("shop.example"))
        append(log, caddy(minute=3))
        assert run() == (3, 2, 0, 0)
        assert run() == (0, 0, 0, 0)
        assert stored() == {"blog": 4, "shop": 0}
        assert run.warnings == []

    def test_twice_while_the_log_is_followed(self, run, log, stored, monkeypatch):
        """The same while the reader has the first file open, also if that was compressed meanwhile."""
        monkeypatch.setattr(file_reader, "_GRACE", 0.0)
        append(log, caddy())
        steps = iter(
            [
                lambda: log.rename(log.with_name("access.log.2")),
                lambda: append(log, caddy("shop.example")),
                lambda: log.rename(log.with_name("access.log.1")),
                lambda: log.with_name("access.log.2").unlink(),
                lambda: append(log, caddy(minute=1)),
            ]
        )

        def should_stop():
            for step in steps:
                step()
            return stored() == {"blog": 2, "shop": 1}

        monkeypatch.setattr(module, "_INTERVAL", 0.0)
        run(is_followed=True, should_stop=should_stop)
        assert stored() == {"blog": 2, "shop": 1}

    def test_empty_successor(self, run, log, stored):
        """A proxy may write to the renamed file until it opens the new one."""
        append(log, caddy())
        run()
        log.rename(log.with_name("access.log.1"))
        log.touch()
        assert run() == (0, 0, 0, 0)
        append(log.with_name("access.log.1"), caddy())
        append(log, caddy("shop.example"))
        assert run() == (2, 0, 0, 0)
        assert stored() == {"blog": 2, "shop": 1}

    def test_before_the_successor_has_a_line(self, run, log, stored):
        """A file of which nothing was read is found by the end of its predecessor."""
        append(log, caddy())
        run()
        log.rename(log.with_name("access.log.2"))
        append(log, caddy("shop.example")[:20])
        assert run() == (0, 0, 0, 0)
        append(log, caddy("shop.example")[20:])
        log.rename(log.with_name("access.log.1"))
        append(log, caddy(minute=1))
        assert run() == (2, 0, 0, 0)
        assert stored() == {"blog": 2, "shop": 1}
        assert run.warnings == []

    def test_link(self, run, log, stored):
        """The renamed file is beside the target of a link."""
        target = log.parent / "logs" / "blog.txt"
        target.parent.mkdir()
        append(target, caddy())
        log.symlink_to(target)
        assert run() == (1, 0, 0, 0)
        append(target, caddy())
        target.rename(target.with_name("blog.txt.1"))
        append(target, caddy("shop.example"))
        assert run() == (2, 0, 0, 0)
        assert stored() == {"blog": 2, "shop": 1}
        assert run.warnings == []

    def test_a_copy_by_hand(self, run, log, stored):
        """A copy that was made beside the log does not stand in for the rotated file."""
        append(log, caddy(), caddy())
        run()
        shutil.copy(log, log.with_name("access-backup.log"))
        append(log, caddy(), caddy())
        log.rename(log.with_name("access.log.1"))
        append(log, caddy("shop.example"))
        assert run() == (3, 0, 0, 0)
        assert stored() == {"blog": 4, "shop": 1}

    def test_only_a_copy_by_hand(self, run, log, stored):
        """If there is nothing else, the rest of a copy is counted, and then the log."""
        append(log, caddy(), caddy())
        run()
        append(log, caddy())
        shutil.copy(log, log.with_name("access-backup.log"))
        append(log.with_name("access.log.1"), caddy("shop.example"))
        log.write_text(caddy(minute=1))
        assert run() == (2, 0, 0, 0)
        assert stored() == {"blog": 4, "shop": 0}

    def test_a_lost_end(self, run, log, stored):
        """After a power failure, a log may be shorter than what was counted of it."""
        append(log, *[caddy(minute=number) for number in range(20)])
        assert run() == (20, 0, 0, 0)
        line = len(caddy(minute=10))
        os.truncate(log, log.stat().st_size - 3 * line)
        assert run() == (0, 0, 0, 0)
        append(log, caddy("shop.example"))
        assert run() == (1, 0, 0, 0)
        assert stored() == {"blog": 20, "shop": 1}
        (warning,) = run.warnings
        assert "has lost its end" in warning

    def test_late_lines(self, run, log, stored, monkeypatch):
        """Lines that are written to the renamed file while its successor is begun are counted."""
        monkeypatch.setattr(file_reader, "_GRACE", 0.6)
        append(log, caddy())
        run()
        old = log.rename(log.with_name("access.log.1"))
        append(log, caddy("shop.example"))
        late = threading.Timer(0.3, lambda: append(old, caddy(minute=1)))
        late.start()
        assert run() == (2, 0, 0, 0)
        late.join()
        assert stored() == {"blog": 2, "shop": 1}

    def test_missing_log(self, run, log):
        """Without any file, the message says so."""
        with pytest.raises(IngestError, match=r"there is no log .*access\.log"):
            run()
        append(log, caddy())
        run()
        log.unlink()
        with pytest.raises(IngestError, match=r"there is no log .*access\.log"):
            run()


def test_long_lines(run, log, stored, monkeypatch):
    """A line that is longer than a block is unreadable, and nothing else is lost."""
    monkeypatch.setattr(file_reader, "BLOCK_SIZE", 400)
    append(log, caddy(), "x" * 1000 + "\n", "y" * 400 + "\n", caddy(), "z" * 500)
    assert run() == (2, 0, 2, 0)
    append(log, "z\n", caddy())
    assert run() == (1, 0, 1, 0)
    assert stored()["blog"] == 3


def test_a_state_of_another_log(run, log, stored):
    """It is not used, since the lines of both would be counted again; but a log may be moved."""
    append(log, caddy(), caddy())
    run()
    other = log.with_name("other.log")
    append(other, caddy("shop.example"))
    with pytest.raises(IngestError, match=r"belongs to the log .*access\.log: pass another one with --state"):
        run(log=other)
    append(log.with_name("access.log.1"), caddy("shop.example"))
    for name in ("access.log.1", "missing"):
        with pytest.raises(IngestError, match="pass another one with --state"):
            run(log=log.with_name(name))
    os.mkfifo(log.with_name("pipe"))
    with pytest.raises(IngestError, match="pass another one with --state"):
        run(log=log.with_name("pipe"))
    log.rename(other)
    append(other, caddy())
    assert run(log=other) == (1, 0, 0, 0)
    assert stored() == {"blog": 3, "shop": 0}


def test_many_unknown_hosts(run, log, monkeypatch):
    """They take no more memory; the most frequent ones are kept."""
    monkeypatch.setattr(module, "_MAX_HOSTS", 10)
    append(log, *[caddy(f"h{number}.example") for number in range(50)], *[caddy("often.example")] * 5)
    assert run() == (0, 55, 0, 0)
    (tally,) = run.tallies
    assert tally.unknown_hosts.most_common(1) == [("often.example", 5)]
    assert len(tally.unknown_hosts) <= 10


def test_what_is_dropped(run, log, projects):
    """A count that cannot be incremented is in neither."""
    projects.update_one({"_id": "blog"}, {"$set": {"totalRequest": "many"}})
    append(log, caddy(), caddy("shop.example"))
    assert run() == (1, 0, 0, 0)
    assert [tally.dropped for tally in run.tallies] == [1]
    assert [day["_id"]["p"] for day in projects.database.usage_history.find({"_id.p": {"$exists": True}})] == ["shop"]


def test_the_clock_is_set_back(run, log, stored, monkeypatch):
    """A batch has a greater number than those before it, or it would look as if it had been added."""
    append(log, caddy())
    run()
    monkeypatch.setattr(module, "time", lambda: time.time() - 3600)
    append(log, caddy())
    assert run() == (1, 0, 0, 0)
    assert stored()["blog"] == 2


def test_two_hosts_of_a_project(run, log, stored, projects):
    """Their requests are added up, and the latest one of both counts."""
    append(log, caddy(minute=9), caddy("xn--bcher-kva.example", minute=3))
    assert run() == (2, 0, 0, 0)
    assert stored()["blog"] == 2
    latest = projects.find_one({"_id": "blog"})["lastRequestAt"]
    assert latest == (START + timedelta(minutes=9)).replace(tzinfo=None)


def test_a_stop_while_the_database_is_down():
    """Nothing is tried again once the ingest is stopped, although it would wait for the database without end."""
    calls = []
    waiting = retrier.Retrier(is_endless=True, should_stop=lambda: len(calls) == 2)

    def fail():
        calls.append(1)
        raise StoreError("x")

    with pytest.raises(IngestError, match="x; nothing is lost"):
        waiting.call(fail, 1)
    assert len(calls) == 2


def test_what_the_history_lacks(run, log, projects, caplog):
    """A day that cannot be incremented is logged; the project has the requests."""
    append(log, caddy())
    run()
    projects.database.usage_history.update_one({"_id.p": "blog"}, {"$set": {"n": "many"}})
    append(log, caddy())
    assert run() == (1, 0, 0, 0)
    assert caplog.messages == ["the history lacks 1 counted requests: uncountable 1"]
    assert projects.find_one({"_id": "blog"})["totalRequest"] == 9


class TestCrashes:
    @pytest.mark.parametrize("step", range(12))
    def test_at_every_step(self, run, log, stored, monkeypatch, step):
        """An interruption after any command or write of the state leaves what the next run completes."""
        calls, patches = [], []

        def interrupt(original):
            def call(*arguments, **options):
                result = original(*arguments, **options)
                calls.append(original)
                if len(calls) == step + 1:
                    raise KeyboardInterrupt
                return result

            return call

        append(log, *[caddy(minute=minute) for minute in range(0, 60, 10)], caddy("shop.example"))
        with monkeypatch.context() as patch:
            patch.setattr(module, "_MAX_PAIRS", 2)
            patch.setattr(file_reader, "BLOCK_SIZE", 500)
            patch.setattr(BulkUpdates, "send", interrupt(BulkUpdates.send))
            patch.setattr(module, "save_state", interrupt(module.save_state))
            patches.append(patch)
            with pytest.raises(KeyboardInterrupt):
                run()
        run()
        assert stored() == {"blog": 6, "shop": 1}

    def test_a_host_that_moves_meanwhile(self, run, log, stored, projects, monkeypatch):
        """A batch that was stored belongs to the project that had the host then."""
        append(log, caddy())
        with monkeypatch.context() as patch:
            patch.setattr(BulkUpdates, "send", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                run()
        projects.update_one({"_id": "blog"}, {"$set": {"domains": []}})
        projects.update_one({"_id": "shop"}, {"$set": {"domains": ["blog.example"]}})
        assert run() == (1, 0, 0, 0)
        assert stored() == {"blog": 1, "shop": 0}
        append(log, caddy())
        run()
        assert stored() == {"blog": 1, "shop": 1}

    def test_an_old_batch_is_in_doubt(self, run, log, stored, caplog, monkeypatch):
        """After a month, the entries may be gone, so that a batch could be counted twice."""
        append(log, caddy(), caddy())
        with monkeypatch.context() as patch:
            patch.setattr(module, "save_state", lambda *arguments: saved.append(arguments) or save(*arguments))
            patch.setattr(BulkUpdates, "send", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            saved, save = [], ingest_state.save_state
            with pytest.raises(KeyboardInterrupt):
                run()
        ((path, state),) = saved
        state.number -= 30 * 86_400_000
        save(path, state)
        assert run() == (0, 0, 0, 0)
        assert stored() == {"blog": 0, "shop": 0}
        assert caplog.messages == ["counts of 2 requests were dropped: in_doubt 2"]


def test_the_database_goes_away(run, log, stored, monkeypatch, caplog):
    """A batch is sent again until the database responds; otherwise, the next run sends it."""
    monkeypatch.setattr(retrier, "_INTERVALS", (0.01, 0.01))
    append(log, caddy())
    errors = [StoreError("x")] * 2
    send = BulkUpdates.send

    def fail(*arguments, **options):
        if errors:
            raise errors.pop()
        return send(*arguments, **options)

    monkeypatch.setattr(BulkUpdates, "send", fail)
    assert run() == (1, 0, 0, 0)
    assert caplog.messages == ["counts of 1 requests could not be written and wait: x"] * 2
    append(log, caddy())
    errors += [StoreError("x")] * 3
    with pytest.raises(IngestError, match="x; nothing is lost: the next run goes on here"):
        run()
    assert run() == (1, 0, 0, 0)
    assert stored()["blog"] == 2


def test_the_database_goes_away_while_a_pipe_is_read(run, log, monkeypatch):
    """The error does not promise that the next run has what cannot be read again."""
    monkeypatch.setattr(retrier, "_INTERVALS", (0.01,))
    monkeypatch.setattr(HostLookup, "find", raiser(StoreError("x")))
    os.mkfifo(log)
    writer = threading.Thread(target=append, args=(log, caddy(), caddy()))
    writer.start()
    with pytest.raises(IngestError, match=r"^x; 2 requests that were read from the pipe are lost$"):
        run()
    writer.join()


def test_entries_of_ingests_stay(run, log, projects):
    """A recorder does not remove them after an hour."""
    append(log, caddy())
    run()
    writer = load_state(log.with_name("state")).writer
    hour = timedelta(hours=2)
    past = {"$set": {f"usageWriters.{writer}": datetime.now(UTC) - hour, "usageWriters.ab": datetime.now(UTC) - hour}}
    projects.update_one({"_id": "blog"}, past)
    recorder = UsageRecorder(ProjectStore(projects))
    recorder.record("blog")
    assert recorder.close()
    entries = projects.find_one({"_id": "blog"})["usageWriters"]
    assert writer in entries
    assert "ab" not in entries


def test_without_entries(run, log, stored, monkeypatch):
    """Where documents cannot have entries, a batch whose result is unknown is dropped, never counted twice."""
    append(log, caddy())
    with monkeypatch.context() as patch:
        send = BulkUpdates.send

        def interrupt(*arguments, **options):
            send(*arguments, **options)
            raise KeyboardInterrupt

        patch.setattr(BulkUpdates, "send", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(writers_field=None)
    assert run(writers_field=None) == (0, 0, 0, 0)


def test_object_ids(run, log, projects):
    """Ids of any type are restored from the state as they are."""
    project = ObjectId()
    projects.insert_one({"_id": project, "domains": "wiki.example"})
    append(log, caddy("wiki.example"))
    assert run() == (1, 0, 0, 0)
    assert projects.find_one({"_id": project})["totalRequest"] == 1
