"""From documents to ranked rows and their totals."""

from collections.abc import Iterable

from .batches import iter_batches
from .fast_rows import convert_batch
from .groups import GroupTotals
from .ordering import build_predicate
from .output import OutputFormat, Report
from .query import UsageQuery
from .ranking import build_ranking
from .rows import Adjustments, Row
from .turns import take_turn
from .values import Number, sum_exactly


def build_report(documents: Iterable[Row], query: UsageQuery, output: OutputFormat) -> Report:
    """Read every document once, then filter, total, group and rank the rows.

    :param documents: mappings with the field names of the response, in any order; consumed completely.
    :returns: the report; without rows and with a total of 0 if no row matches.
    :raises Exception: whatever iterating over the documents raises.
    """
    adjustments = Adjustments()
    predicate = build_predicate(query)
    ranking = build_ranking(query, output, adjustments)
    groups = GroupTotals(query.group_by)
    counts: list[Number] = []

    for documents_read in iter_batches(documents):
        with take_turn(len(documents_read)):
            for batch in convert_batch(documents_read, adjustments):
                rows = batch if predicate is None else batch.filter(predicate)
                counts += rows.counts
                if query.group_by:
                    groups.add(rows)
                ranking.add(rows)
        del documents_read, batch, rows  # freed before the next batch is read, so that its memory can be reused

    total = sum_exactly(counts)
    encoded_rows, next_position = ranking.finish()
    return Report(
        total=total,
        encoded_rows=encoded_rows,
        groups=groups.summarize(total) if query.group_by else None,
        next_position=next_position,
        adjustments=adjustments,
    )
