"""Documents in batches, so that only one batch is in memory at a time."""

from collections.abc import Awaitable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Final

from ..errors import ConfigurationError
from .callables import close_coroutine
from .rows import Document

_BATCH_SIZE: Final = 2000  # documents


class BatchedDocuments:
    """Documents that a store reads in batches. Iterating yields them one by one.

    :param batches: non-empty lists of documents. A list is cleared when the next one is requested.
    """

    def __init__(self, batches: Generator[Sequence[Document], None, None]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Document]:
        with closing(self.batches):
            for batch in self.batches:
                yield from batch


def iter_batches(documents: Iterable[Document]) -> Iterator[Sequence[Document]]:
    """Yield documents in lists: the batches of their store, or lists of up to 2,000.

    A list is cleared when the next one is requested.

    :raises ConfigurationError: a store returned something else than an iterable of mappings.
    :raises Exception: whatever iterating over the documents raises.
    """
    if isinstance(documents, BatchedDocuments):
        yield from documents.batches
        return
    pending = _iterate(documents)
    while batch := list(islice(pending, _BATCH_SIZE)):
        others = [kind.__name__ for kind in set(map(type, batch)) if not issubclass(kind, Mapping)]
        if others:
            raise _build_error(f"got an iterable of {min(others)}")
        yield batch
        batch.clear()


def _iterate(documents: Iterable[Document]) -> Iterator[Document]:
    # Awaitables can be iterated over as well; text and mappings would look like a store without projects if empty.
    if not isinstance(documents, Awaitable | str | bytes | Mapping):
        try:
            return iter(documents)
        except TypeError:
            if isinstance(documents, Iterable):  # raised by its __iter__
                raise
    close_coroutine(documents)
    raise _build_error(f"got {type(documents).__name__}")


def _build_error(got: str) -> ConfigurationError:
    return ConfigurationError(f"iter_projects must return an iterable of mappings, such as a list of dicts; {got}")
