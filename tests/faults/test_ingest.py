"""``flask usage ingest`` whose process, log or database fails."""

import random
import signal
import time

import pytest
from faults.conftest import ROUNDS
from faults.test_counting import cut_some, wait_for

GROUP = "Ingest"
#: How often a fault occurs within one test: 50 times in all when the tests run five times each.
TIMES = 5 if ROUNDS == 1 else 10

_ONCE = "every line is counted once, in the quarter of an hour of its own time"


def start_following(trial, **places):
    """Start a command that follows the log, and wait until it has written something."""
    before = trial.stored().total()
    process = trial.start("--follow", **places)
    wait_for(lambda: trial.stored().total() > before)
    return process


@pytest.mark.injects(
    "an ingest that follows the log is killed at random moments, and the log is rotated, by renaming and by truncation,"
    " once or twice while it runs and while it does not",
    _ONCE,
)
def test_ingest_killed(ingest_trial):
    """The next run goes on exactly where the killed one was, also in files that were rotated meanwhile."""
    chance = random.Random()  # noqa: S311 # not for secrets
    with ingest_trial.traffic():
        for turn in range(TIMES):
            process = start_following(ingest_trial)
            if turn % 2:
                ingest_trial.rotate(chance.choice(("rename", "copytruncate")))
            ingest_trial.kill_at_random(process)
            for _ in range(turn % 3):
                ingest_trial.rotate(chance.choice(("rename", "copytruncate")))
                time.sleep(0.1)
        process = start_following(ingest_trial)
        for way in ("rename", "copytruncate"):
            ingest_trial.rotate(way)
            time.sleep(0.8)
    ingest_trial.terminate(process)
    ingest_trial.check_exact()


@pytest.mark.injects(
    "the server's process is killed and restarted, and a tenth of its replies are lost, while the log is rotated twice",
    _ONCE,
)
def test_database_down_while_ingesting(ingest_trial, server, proxy):
    """A batch is sent again until the server is back, and the files that were rotated meanwhile are read then."""
    with ingest_trial.traffic():
        process = start_following(ingest_trial, uri=proxy.uri)
        cut_some(proxy, 0.1)
        for _ in range(2 if ROUNDS == 1 else 5):
            server.stop()
            ingest_trial.interruptions += 1
            for _ in range(2):
                time.sleep(0.5)
                ingest_trial.rotate("rename")
            server.start()
            before = ingest_trial.stored().total()
            wait_for(lambda before=before: ingest_trial.stored().total() > before)
    proxy.mend()
    ingest_trial.terminate(process)
    ingest_trial.check_exact()


@pytest.mark.injects("two ingests of one log run at once", "the second ends with an error, and " + _ONCE)
def test_second_ingest(ingest_trial):
    """The state belongs to one process at a time."""
    with ingest_trial.traffic():
        process = start_following(ingest_trial)
        code, output, errors = ingest_trial.run()
        ingest_trial.interruptions += 1
    assert (code, output) == (1, "")
    assert errors == f"Error: another process ingests this log: it uses the state {ingest_trial.state}\n"
    ingest_trial.terminate(process)
    ingest_trial.check_exact()


@pytest.mark.injects(
    "an ingest is killed before the reply to a batch, and the hosts move to other projects before the next run",
    "the batch is counted once, for the projects that had the hosts when it was read",
)
def test_hosts_move_after_a_kill(ingest_trial, proxy):
    """A batch is not looked up again."""
    numbers = sorted(ingest_trial.before)
    for number in numbers:
        ingest_trial.write(number)
    replies = []

    async def hold(reply, line):
        replies.append(reply)

    proxy.damage(hold, commands=("update",))
    process = ingest_trial.start("--follow", uri=proxy.uri)
    wait_for(lambda: replies)
    assert ingest_trial.pending()
    ingest_trial.kill(process)
    proxy.mend()

    def move(number):
        return numbers[number - 1]

    for number in numbers:
        ingest_trial.projects.update_one({"_id": move(number)}, {"$set": {"domains": [f"{number}.example"]}})
    for number in numbers:
        ingest_trial.write(number, project_of=move)
    ingest_trial.check_exact()


@pytest.mark.injects(
    "an ingest is killed while a recorder counts requests of the same projects",
    "every line and request is counted once",
)
def test_ingest_killed_next_to_a_recorder(ingest_trial, server):
    """An ingest and a recorder change the same documents."""
    recorder = ingest_trial.recorder(server.uri)
    with ingest_trial.traffic(), ingest_trial.load():
        for _ in range(4 if ROUNDS == 1 else 10):
            process = start_following(ingest_trial)
            ingest_trial.kill_at_random(process)
    ingest_trial.check_exact()
    assert recorder.stats.written


@pytest.mark.injects(
    "an ingest is told to stop while the server's process is frozen", "it ends within its timeout, and " + _ONCE
)
def test_stopped_while_the_database_is_frozen(ingest_trial, server):
    """The batch waits in the state."""
    with ingest_trial.traffic():
        process = start_following(ingest_trial)
        server.send(signal.SIGSTOP)
        time.sleep(0.3)
        process.terminate()
        output, errors = process.communicate(timeout=15)
        ingest_trial.interruptions += 1
        server.send(signal.SIGCONT)
    assert process.returncode == 1
    assert errors.splitlines()[-1].endswith("nothing is lost: the next run goes on here"), errors
    assert "counted" in output
    ingest_trial.check_exact()


@pytest.mark.injects(
    "20,000 and 200,000 lines come through a pipe", "memory does not grow, and every line is counted once"
)
def test_many_lines(ingest_trial):
    """Memory depends on the number of hosts, not on that of lines."""
    peaks = []
    for times in (1, 10):
        before = ingest_trial.recorded.total()
        lines = b"".join(ingest_trial.build_line(times=times) for _ in range(20_000))
        output, peak = ingest_trial.pipe(lines * times)
        assert output.startswith(f"{ingest_trial.recorded.total() - before} counted, ")
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 15 * 2**20
    ingest_trial.check_exact()
