"""From documents to ranked rows and their totals."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from .fast_rows import convert_batch
from .fields import COUNT
from .groups import GroupTotals
from .ordering import SortKey, build_predicate, paginate, sort_key_for, sorted_indexes
from .output import OutputFormat, Report
from .query import UsageQuery
from .rows import Adjustments, Row, convert_each
from .values import Number, exact_sum

_BATCH_SIZE: Final = 2000  # documents, as many as the store reads at once


def build_report(documents: Iterable[Row], query: UsageQuery, output: OutputFormat) -> Report:
    """Read every document once, then filter, encode, group, total, sort and paginate the rows.

    Rows are encoded as soon as they are read, because a dictionary takes five times the memory of its encoded form.

    :param documents: mappings with the field names of the response, in any order; consumed completely.
    :returns: the report; without rows and with a total of 0 if no row matches.
    :raises Exception: whatever iterating over the documents raises.
    """
    predicate, sort_key = build_predicate(query), sort_key_for(query)
    groups = GroupTotals(query.group_by)
    adjustments = Adjustments()
    counts: list[Number] = []
    id_keys: list[bytes] = []
    sort_keys: list[SortKey] = []
    encoded_rows: list[bytes] = []

    pending = iter(documents)
    while documents_read := list(islice(pending, _BATCH_SIZE)):
        for batch in convert_batch(documents_read, adjustments):
            rows = batch if predicate is None else batch.filter(predicate)
            try:
                encoded = output.encode_rows(rows)
            except ValueError:  # nothing of this batch was added yet, so no row can be counted twice
                rows = convert_each(rows.rows, adjustments)
                encoded = output.encode_rows(rows)
            encoded_rows += encoded
            counts += rows.counts
            id_keys += rows.id_keys
            sort_keys += rows.counts if query.sort == COUNT else map(sort_key, rows.rows)
            if query.group_by:
                groups.add(rows)
        del documents_read, batch, rows  # freed before the next batch is read, so that its memory can be reused

    order = sorted_indexes(sort_keys, id_keys, descending=query.descending)
    page, next_position = paginate(order, sort_keys, id_keys, query)
    total = exact_sum(counts)
    return Report(
        total=total,
        encoded_rows=[encoded_rows[index] for index in page],
        groups=groups.summarize(total) if query.group_by else None,
        next_position=next_position,
        adjustments=adjustments,
    )
