"""Documents in batches, so that only one batch is in memory at a time."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Final

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
    """
    if isinstance(documents, BatchedDocuments):
        yield from documents.batches
        return
    pending = iter(documents)
    while batch := list(islice(pending, _BATCH_SIZE)):
        yield batch
        batch.clear()
