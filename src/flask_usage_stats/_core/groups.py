"""Totals of rows grouped by plan, project type or status."""

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Final, TypeAlias

from .fields import GROUP_SHARE, GROUP_SIZE, TOTAL
from .rows import RowBatch
from .values import Number, sum_exactly, to_text

#: One group of the response; the fields grouped by come first.
Group: TypeAlias = dict[str, str | Number | None]

_SHARE_DECIMALS: Final = 4


class GroupTotals:
    """Adds up rows with equal values, ignoring case; missing, null and empty values are equal.

    :param names: the fields to group by, in the order of the response.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._counts: defaultdict[tuple[str | None, ...], list[Number]] = defaultdict(list)

    def add(self, batch: RowBatch) -> None:
        """Add rows to their groups."""
        names, counts = self._names, self._counts
        for count, row in zip(batch.counts, batch.rows, strict=True):
            counts[tuple([row.get(name) for name in names])].append(count)

    def summarize(self, total: Number) -> list[Group]:
        """Return the groups, highest total first; ties are sorted by their values, with null last.

        .. code-block:: python

            [{"plan": "pro", "projects": 2, "totalRequests": 38320, "share": 0.2971}]

        :param total: the sum of all rows' counts, used to compute each group's share.
        """
        merged: defaultdict[tuple[str | None, ...], list[Number]] = defaultdict(list)
        for values, counts in self._counts.items():
            merged[tuple((to_text(value) or "").casefold() or None for value in values)] += counts
        sums = [(values, len(counts), sum_exactly(counts)) for values, counts in merged.items()]
        sums.sort(key=lambda group: [(value is None, value or "") for value in group[0]])
        sums.sort(key=lambda group: group[2], reverse=True)
        return [
            {
                **dict(zip(self._names, values, strict=True)),
                GROUP_SIZE: size,
                TOTAL: requests,
                GROUP_SHARE: _compute_share(requests, total),
            }
            for values, size, requests in sums
        ]


def _compute_share(part: Number, total: Number) -> float | None:
    return float(round(Fraction(part) / Fraction(total), _SHARE_DECIMALS)) if total > 0 else None
