"""Collect the totals of projects by their plan, type and status."""

from collections.abc import Mapping
from typing import Final

from .._core.fields import GROUP_FIELDS
from .._core.platform_report import LabelTotals, Totals, add_up
from ..errors import StoreError
from .mapping import CollectionMapping

_MAX_COMBINATIONS: Final = 10_000


class LabelCounter:
    """Adds up totals by the labels of the projects, of which there must not be too many."""

    def __init__(self, mapping: CollectionMapping) -> None:
        self._mapping = mapping
        self._found: dict[str, LabelTotals] = {}

    def add(self, labels: Mapping[str, object], totals: Totals) -> None:
        """Add the totals of some of the projects with these labels.

        :raises StoreError: there are more than 10,000 combinations of labels.
        """
        key = repr(list(labels.values()))
        known = self._found.get(key, LabelTotals(labels, Totals()))
        self._found[key] = LabelTotals(labels, add_up([known.totals, totals]))
        if len(self._found) > _MAX_COMBINATIONS:
            path = self._mapping.paths[max(GROUP_FIELDS, key=self._count_values)]
            raise StoreError(
                f"more than {_MAX_COMBINATIONS:,} combinations of plan, type and status, most of them due to {path}"
            )

    def finish(self) -> list[LabelTotals]:
        """Return the totals."""
        return list(self._found.values())

    def _count_values(self, name: str) -> int:
        return len({repr(labels[name]) for labels, _ in self._found.values()})
