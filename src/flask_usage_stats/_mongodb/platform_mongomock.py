"""Read the usage of all owners from mongomock, which supports few of the operators of :mod:`.platform_reading`."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from .._core.fields import COUNT, GROUP_FIELDS, OWNER, Field
from .._core.platform_query import Selection
from .._core.platform_report import GroupedTotals, LabelTotals, Totals, add_up, merge_totals, select_labels
from .._core.values import to_count, to_owner_id, to_text
from .label_counter import LabelCounter
from .mapping import MISSING, CollectionMapping, Document, get_path


def read_labels(collection: Any, mapping: CollectionMapping) -> list[LabelTotals]:  # noqa: ANN401 # mongomock, here and below
    """Return the totals of all projects by their plan, type and status.

    :raises StoreError: there are too many combinations.
    """
    counter = LabelCounter(mapping)
    for document in collection.find():
        counter.add(*_measure(document, mapping))
    return counter.finish()


def read_owners(
    collection: Any,  # noqa: ANN401
    mapping: CollectionMapping,
    selection: Selection,
    _labels: Sequence[LabelTotals],
) -> tuple[Totals, GroupedTotals]:
    """Return the totals of selected projects, and those of their owners."""
    selected = list(_select(collection, mapping, selection))
    groups = merge_totals(
        ((owner,), totals) for document, totals in selected for owner in _list_owners(document, mapping)
    )
    return add_up(totals for _, totals in selected), GroupedTotals(groups, len(groups), add_up(groups.values()))


def read_rows(
    collection: Any,  # noqa: ANN401
    mapping: CollectionMapping,
    selection: Selection,
    _labels: Sequence[LabelTotals],
    fields: Sequence[Field],
) -> list[Document]:
    """Return the selected projects. Their keys are the names of fields."""
    rows = []
    for document, _ in _select(collection, mapping, selection):
        values = {name: _get(document, mapping, name) for name, _ in fields}
        rows.append({name: value for name, value in values.items() if value is not MISSING})
    return rows


def _select(
    collection: Any,  # noqa: ANN401
    mapping: CollectionMapping,
    selection: Selection,
) -> Iterator[tuple[Document, Totals]]:
    for document in collection.find():
        measured = LabelTotals(*_measure(document, mapping))
        if select_labels([measured], selection, mapping.excluded_statuses):
            yield document, measured.totals


def _measure(document: Document, mapping: CollectionMapping) -> tuple[dict[str, object], Totals]:
    count = to_count(_get(document, mapping, COUNT)) or 0
    labels: dict[str, object] = {name: to_text(_get(document, mapping, name)) for name in GROUP_FIELDS}
    return labels, Totals(1, int(count == 0), Fraction(count))


def _list_owners(document: Document, mapping: CollectionMapping) -> set[str | int | None]:
    value = _get(document, mapping, OWNER)
    owners = set(map(to_owner_id, value if isinstance(value, list) else [value]))
    return (owners - {None, ""}) or {None}


def _get(document: Document, mapping: CollectionMapping, name: str) -> object:
    return get_path(document, mapping.paths[name].split("."))
