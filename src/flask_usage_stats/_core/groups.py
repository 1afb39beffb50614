"""Rows added up by their plan, type or status. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Final, TypeAlias

from .fields import GROUP_SHARE, GROUP_SIZE, TOTAL
from .rows import Rows
from .values import Number, exact_sum

#: One group as it is shown, the fields that it is made by first.
Group: TypeAlias = dict[str, str | Number | None]

_DECIMALS: Final = 4


class Groups:
    """Adds up rows that agree in some fields, case ignored; missing and null agree.

    :param names: the fields, in the order in which a group shows them.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._counts: defaultdict[tuple[str | None, ...], list[Number]] = defaultdict(list)

    def add(self, rows: Rows) -> None:
        """Take some rows."""
        names, counts = self._names, self._counts
        for count, row in zip(rows.counts, rows.rows, strict=True):
            counts[tuple([row.get(name) for name in names])].append(count)

    def ranked(self, total: Number) -> list[Group]:
        """Show the groups, the highest total first; ties by their values, null last.

        .. code-block:: python

            [{"plan": "pro", "projects": 2, "totalRequests": 38320, "share": 0.2971}]

        :param total: the sum of all rows' counts, of which each group has its share.
        """
        merged: defaultdict[tuple[str | None, ...], list[Number]] = defaultdict(list)
        for texts, counts in self._counts.items():
            merged[tuple(None if text is None else text.casefold() for text in texts)] += counts
        sums = [(texts, len(counts), exact_sum(counts)) for texts, counts in merged.items()]
        sums.sort(key=lambda group: [(text is None, text or "") for text in group[0]])
        sums.sort(key=lambda group: group[2], reverse=True)
        return [
            {
                **dict(zip(self._names, texts, strict=True)),
                GROUP_SIZE: projects,
                TOTAL: requests,
                GROUP_SHARE: _share(requests, total),
            }
            for texts, projects, requests in sums
        ]


def _share(part: Number, total: Number) -> float | None:
    return float(round(Fraction(part) / Fraction(total), _DECIMALS)) if total > 0 else None
