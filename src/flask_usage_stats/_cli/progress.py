"""A progress bar on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn


@contextmanager
def show_progress(name: str) -> Iterator[Callable[[str, float | None], None]]:
    """Show a bar, and yield a function that updates its text and its progress, from 0 to 1 or ``None`` if not known.

    :param name: what is done, at the beginning of the line.
    """
    columns = TextColumn("{task.fields[name]}", markup=False), BarColumn(20), TaskProgressColumn(), TimeElapsedColumn()
    text = TextColumn("{task.description}", markup=False)
    with Progress(
        *columns,
        text,
        console=Console(stderr=True),
        transient=True,
        # Otherwise, what is printed meanwhile would go to standard error as well.
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        task = progress.add_task("", total=None, name=name)

        def update(description: str, fraction: float | None) -> None:
            total = None if fraction is None else 1.0
            progress.update(task, description=description, total=total, completed=fraction or 0.0)

        yield update
