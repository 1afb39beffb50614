"""The output and the errors of commands."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import click

from .._core.output import OutputFormat
from .._core.text import escape, escape_csv, escape_json
from .._formats.json import JSON
from .._log import describe_error

_MAX_LINE: Final = 2000  # characters


class CommandError(click.ClickException):
    """An error that ends the command with one line on standard error.

    :param message: the line.
    :param exit_code: the exit code of the command.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self._exit_code = exit_code

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # a class variable in click, which only reads it
        return self._exit_code


def print_body(output: OutputFormat, body: bytes) -> None:
    """Print exactly the body, except in a terminal, which stored text must not control."""
    if sys.stdout.isatty():
        escape_body = escape_json if output is JSON else escape_csv
        # CSV ends with a line break, but the prompt must not follow JSON on the same line.
        end = "\n" if output is JSON else ""
        body = (escape_body(body.decode(), get_encoding()) + end).encode(get_encoding())
    write_output(body)


def write_output(data: bytes) -> None:
    """Write all data to standard output. Unbuffered, as with PYTHONUNBUFFERED, a write may write only a part."""
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:  # a replaced standard output
        sys.stdout.write(data.decode())
        return
    sys.stdout.flush()
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]
    stream.flush()


def print_line(text: str) -> None:
    click.echo(escape(text, _MAX_LINE, get_encoding()))


def get_encoding() -> str:
    return sys.stdout.encoding or "utf-8"


@contextmanager
def report_errors(exit_code: int = 1) -> Iterator[None]:
    """Convert any exception to a :class:`CommandError`, so that the command prints one line instead of a traceback."""
    try:
        yield
    except CommandError:
        raise
    except Exception as error:  # whatever failed, the operator gets one line with the cause
        raise CommandError(describe_error(error), exit_code) from error


@contextmanager
def report_output_errors(exit_code: int = 1) -> Iterator[None]:
    """Convert errors of standard output to a :class:`CommandError`, or end silently if the reader closed the pipe."""
    if sys.stdout is None:
        raise CommandError("the output could not be written: standard output is closed", exit_code)
    try:
        yield
    except OSError as error:
        # Otherwise the interpreter would write the remaining output at exit, and report the error again.
        with suppress(OSError):  # a replaced standard output may have no file descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise click.exceptions.Exit(exit_code) from error
        raise CommandError(f"the output could not be written: {error.strerror}", exit_code) from error
