"""Building a report: documents to ranked rows, totals and groups."""

from collections.abc import Iterable

from .batches import BatchedDocuments, iter_batches
from .fast_rows import convert_batch
from .groups import GroupTotals
from .idle import select_idle
from .ordering import build_predicate
from .output import OutputFormat, Report
from .query import UsageQuery
from .ranking import build_ranking
from .rows import Adjustments, Document
from .turns import take_turn
from .values import Number, sum_exactly


def build_report(documents: Iterable[Document], query: UsageQuery, output: OutputFormat) -> Report:
    """Read all documents once; convert, filter, total, group and rank them.

    :param documents: mappings with the field names of the response, in any order; consumed completely.
    :param query: if it has *idle_days*, it must have *idle_since* as well.
    :param output: the format that encodes the rows.
    :returns: the report; without rows and with a total of 0 if no row matches.
    :raises Exception: whatever iterating over the documents raises.
    """
    adjustments = Adjustments()
    predicate = build_predicate(query)
    ranking = build_ranking(query, output, adjustments)
    groups = GroupTotals(query.group_by)
    counts: list[Number] = []
    fields = query.row_fields

    for documents_read in iter_batches(documents):
        with take_turn(len(documents_read) if isinstance(documents, BatchedDocuments) else 0):
            selected = documents_read
            if query.idle_since is not None:
                selected = select_idle(documents_read, query.idle_since, adjustments)
                if not selected:
                    continue
            for batch in convert_batch(selected, adjustments, fields):
                rows = batch if predicate is None else batch.filter(predicate)
                counts += rows.counts
                if query.group_by:
                    groups.add(rows)
                ranking.add(rows)
        # Free this batch before reading the next, so that its memory is reused.
        del documents_read, selected, batch, rows

    total = sum_exactly(counts)
    encoded_rows, next_position = ranking.finish()
    return Report(
        total=total,
        matching=len(counts),
        encoded_rows=encoded_rows,
        groups=groups.summarize(total) if query.group_by else None,
        next_position=next_position,
        adjustments=adjustments,
    )
