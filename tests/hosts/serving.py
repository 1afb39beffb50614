"""Applications on real servers, in processes of their own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from servers import free_port

_STOP_TIMEOUT = 45  # seconds; gunicorn kills a worker that does not end after 30
#: The beginning of an application: a function that returns the test's collection with a client for each process.
COLLECTION = """
import os

from pymongo import MongoClient

clients = {}


def projects():
    pid = os.getpid()
    if pid not in clients:
        clients[pid] = MongoClient(os.environ["HOST_URI"])
    return clients[pid][os.environ["HOST_DATABASE"]].projects


"""


@contextlib.contextmanager
def serve(
    folder: Path,
    program: str,
    command: list[str],
    database: tuple[str, str],
    is_ready: Callable[[int], bool],
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[tuple[int, Path]]:
    """Serve a program, and yield its port and its log. Stop it with a signal, and kill it if it does not end.

    :param program: the application ``served:app``, after ``COLLECTION``.
    :param command: the arguments for Python; ``{port}`` is replaced.
    :param database: the URI of the server and the name of the database.
    :param is_ready: called with the port until it returns true; connection errors are ignored.
    """
    (folder / "served.py").write_text(COLLECTION + program)
    port, log = free_port(), folder / "log"
    environment = os.environ | {
        "HOST_URI": database[0],
        "HOST_DATABASE": database[1],
        "HOME": str(folder),
        "PYTHONFAULTHANDLER": "1",
        "PYTHONWARNINGS": "always::UserWarning",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")])),
    }
    arguments = [argument.replace("{port}", str(port)) for argument in command]
    # A shell without job control lets its background commands ignore Ctrl-C, and the servers would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        _wait(lambda: process.poll() is not None or is_ready(port), log)
        assert process.poll() is None, log.read_text()
        yield port, log
        process.send_signal(stop)
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGABRT)  # prints the stack of every thread of every process
            process.wait(10)
            raise AssertionError(log.read_text()) from None
    finally:
        process.kill()
        process.wait(30)


def _wait(is_ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        assert time.monotonic() < deadline, log.read_text()
        with contextlib.suppress(OSError):
            if is_ready():
                return
        time.sleep(0.01)
