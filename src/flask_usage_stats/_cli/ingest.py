"""The command ``flask usage ingest``."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

import click

from .._core.text import escape
from .._mongodb.store import ProjectStore
from .._mongodb.store_reader import StoreReader
from .._recording.access_log import FORMATS
from .._recording.ingest import Ingest, Tally
from .._recording.ingest_state import lock_state
from .._recording.log_reader import is_stream
from .console import CommandError, print_line, report_errors, report_output_errors

_SUMMARY_INTERVAL: Final = 60.0  # seconds
_MAX_UNKNOWN_HOSTS: Final = 10  # printed ones
_MAX_HOST_LENGTH: Final = 255  # characters


def add_ingest(group: click.Group, reader: StoreReader) -> None:
    """Add the command to a group."""

    @group.command()
    @click.argument("log", type=click.Path(path_type=Path))
    @click.option("--follow", is_flag=True, help="Wait for further lines at the end, also after a rotation.")
    @click.option(
        "--format",
        "format_name",
        type=click.Choice([name for name in FORMATS if name is not None]),
        help="The format of the lines; by default, it is recognized by the fields of each line.",
    )
    @click.option(
        "--host-field",
        metavar="PATH",
        default="domains",
        show_default=True,
        help="Where the documents of projects have a host name, or an array of them.",
    )
    @click.option(
        "--state",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The file that records how far the log was read; LOG.usage-state by default.",
    )
    def ingest(
        log: Path,
        follow: bool,  # noqa: FBT001 # an option
        format_name: str | None,
        host_field: str,
        state: Path | None,
    ) -> None:
        """Count the requests in an access log of Traefik, Caddy or nginx in JSON.

        Each line is counted once, also if the command is killed and run again. The exit code is 0 if the log was read
        to its end, also if lines were unreadable.
        """
        store = reader.store
        if not isinstance(store, ProjectStore):
            raise CommandError(f"ingest requires a ProjectStore; this store is a {type(store).__name__}")
        if state is None and is_stream(log):
            raise CommandError("a log that is not a file requires --state", exit_code=2)
        state = state or log.with_name(f"{log.name}.usage-state")
        stop = threading.Event()
        with report_errors(), lock_state(state):
            run = Ingest(
                store,
                reader.history,
                log=log,
                state=state,
                host_field=host_field,
                format_name=format_name,
                is_followed=follow,
                should_stop=stop.is_set,
                warn=lambda message: click.echo(f"Warning: {escape(message)}", err=True),
            )
            try:
                with _set_on_signal(stop), _report_progress(run.tally, log, is_followed=follow) as report:
                    run.run(report)
            finally:
                _print_summary(run.tally)
        if stop.is_set() and not follow:
            click.get_current_context().exit(1)


@contextmanager
def _set_on_signal(stop: threading.Event) -> Iterator[None]:
    """End the command after the present batch on Ctrl-C and SIGTERM."""
    if threading.current_thread() is not threading.main_thread():  # which alone may change handlers
        yield
        return
    previous = {each: signal.signal(each, lambda *_: stop.set()) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


@contextmanager
def _report_progress(tally: Tally, log: Path, *, is_followed: bool) -> Iterator[Callable[[float | None], None]]:
    """Yield a function that shows the progress in a terminal, and prints the summary every minute."""
    due = monotonic() + _SUMMARY_INTERVAL

    def print_summary(_: float | None) -> None:
        nonlocal due
        if is_followed and monotonic() >= due:
            due = monotonic() + _SUMMARY_INTERVAL
            _print_summary(tally)

    if not sys.stderr.isatty():
        yield print_summary
        return
    try:
        from .progress import show_progress  # noqa: PLC0415 # requires an optional dependency
    except ImportError:
        yield print_summary
        return
    with show_progress(escape(log.name)) as update:

        def report(fraction: float | None) -> None:
            update(_summarize(tally), None if is_followed else fraction)
            print_summary(fraction)

        yield report


def _summarize(tally: Tally) -> str:
    text = f"{tally.counted} counted, {tally.unknown} unknown, {tally.unreadable} unreadable, {tally.skipped} skipped"
    return f"{text}, {tally.dropped} dropped" if tally.dropped else text


def _print_summary(tally: Tally) -> None:
    with report_output_errors():
        print_line(_summarize(tally))
    for host, requests in tally.unknown_hosts.most_common(_MAX_UNKNOWN_HOSTS):
        click.echo(f"unknown host {escape(host, _MAX_HOST_LENGTH) or '(none)'}: {requests}", err=True)
