"""Totals of rows grouped by plan, project type or status."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final, NamedTuple, TypeAlias

from .fields import GROUP_SHARE, GROUP_SIZE, TOTAL
from .rows import RowBatch
from .values import Number, fold_label, sum_exactly

#: The values of a group, in the order of the names to group by.
GroupKey: TypeAlias = tuple[str | int | None, ...]
#: One group of the response; the fields grouped by come first.
Group: TypeAlias = dict[str, str | Number | None]

_SHARE_DECIMALS: Final = 4


class GroupSum(NamedTuple):
    """The projects of one group and their requests."""

    key: GroupKey
    size: int
    requests: Number


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
        merged: defaultdict[GroupKey, list[Number]] = defaultdict(list)
        for values, counts in self._counts.items():
            merged[tuple(map(fold_label, values))] += counts
        sums = [GroupSum(key, len(counts), sum_exactly(counts)) for key, counts in merged.items()]
        return [build_group(self._names, each, total) for each in rank_groups(sums)]


def rank_groups(sums: Iterable[GroupSum]) -> list[GroupSum]:
    """Return groups in the order of the response: highest total first, ties by their values, with null last."""
    # Integers come before text, with which they cannot be compared.
    by_key = sorted(sums, key=lambda each: [(value is None, isinstance(value, str), value) for value in each.key])
    return sorted(by_key, key=lambda each: each.requests, reverse=True)


def build_group(names: Sequence[str], group: GroupSum, total: Number) -> Group:
    """Return a group as it is returned.

    :param names: the fields of the group's key.
    :param total: the sum of all rows' counts.
    """
    return dict(zip(names, group.key, strict=True)) | build_sums(group, total)


def build_sums(group: GroupSum, total: Number) -> Group:
    """Return the fields of a group that follow its values."""
    return {
        GROUP_SIZE: group.size,
        TOTAL: group.requests,
        GROUP_SHARE: _compute_share(group.requests, total),
    }


def _compute_share(part: Number, total: Number) -> float | None:
    return float(round(Fraction(part) / Fraction(total), _SHARE_DECIMALS)) if total > 0 else None
