"""Add batches of counts to the history, each at most once."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Final, NamedTuple

from pymongo.errors import DuplicateKeyError, WriteError

from .._core.project_ids import ProjectId
from .bulk_updates import DUPLICATE_KEY, VALIDATION_FAILED, BatchWriter, BulkUpdates, Operation
from .history import FORMAT, SINCE_ID, UsageHistory, get_retention_start, has_known_format, open_history
from .mapping import Document
from .writer_entries import EntryPruner, to_entry

_MAX_OPERATIONS: Final = 1000  # of one command
_QUARTERS_PER_DAY: Final = 96
_QUARTER: Final = 900  # seconds
_SINCE_LIFETIME: Final = 3600  # seconds


class _Day(NamedTuple):
    """A project and a day since 1970: one document."""

    project: ProjectId
    number: int

    def build_id(self) -> Document:
        return {"p": self.project, "d": to_entry(0) + timedelta(days=self.number)}


class HistoryWriter(BatchWriter):
    """Adds batches to a history, one after the other. Each process must have its own writer.

    :param name: the name of this writer's entries.
    :param counts_past: whether the requests may be older than those of other writers, as those of a log are. The
        history then begins with the oldest of them, unless counts of that time are no longer kept.
    """

    def __init__(self, history: UsageHistory, name: str, *, counts_past: bool = False) -> None:
        super().__init__("the history could not be written")
        self._history, self._name, self._counts_past = history, name, counts_past
        self._pruner = EntryPruner("w", "_id", name)
        # What is known of the document ``since``, and until when.
        self._since, self._since_expires = 0.0, 0.0

    def write(
        self, counts: Mapping[tuple[ProjectId, int], int], number: int, timeout: float, oldest: float
    ) -> Counter[str]:
        """Add the counts of a batch to the days of its projects. It may be repeated as long as its entries are kept.

        :param counts: the requests of each project by quarter of an hour since 1970.
        :param number: milliseconds since 1970, greater than the number of every other batch.
        :param timeout: the time limit, in seconds, greater than 0.
        :param oldest: the time of the oldest request that waited with the batch, in seconds since 1970.
        :returns: how many requests were not added: ``"uncountable"`` if a day has another value instead of a number,
            ``"refused"`` if the collection's validator refused the change, and ``"later format"`` if a later version
            of this package has written the history.
        :raises StoreError: the database did not respond in time or rejected a command.
        :raises ConfigurationError: the history's *collection* did not return a collection.
        :raises Exception: whatever the history's *collection* raises.
        """
        self.is_in_doubt = False
        days: defaultdict[_Day, dict[int, int]] = defaultdict(dict)
        for (project, quarter), requests in counts.items():
            day, index = divmod(quarter, _QUARTERS_PER_DAY)
            days[_Day(project, day)][index] = requests
        with self.begin(open_history(self._history), timeout) as updates:
            refusal = self._ensure_since(updates, oldest)
            if refusal is not None:
                return Counter({refusal: sum(counts.values())})
            dropped = self._add(updates, days, number)
            self._pruner.prune(updates, {day: day.build_id() for day in days})
        return dropped

    def _ensure_since(self, updates: BulkUpdates, oldest: float) -> str | None:
        """Store since when the history has counts, unless that is stored. Return why nothing can be added, if so."""
        if self._counts_past:
            oldest = max(oldest, get_retention_start(self._history, datetime.now(UTC)).timestamp())
        if monotonic() < self._since_expires and (not self._counts_past or oldest >= self._since):
            return None
        at = to_entry(int(oldest // _QUARTER * _QUARTER * 1000))
        update: Document = {"$setOnInsert": {"at": at, "format": FORMAT}}
        if self._counts_past:
            update = {"$min": {"at": at}, "$setOnInsert": {"format": FORMAT}}
        updates.is_sent = True
        try:
            updates.collection.update_one({"_id": SINCE_ID, "format": FORMAT}, update, upsert=True)
        except DuplicateKeyError:  # another process was first, or the format is another one
            pass
        except WriteError as error:
            if error.code != VALIDATION_FAILED:
                raise
            return "refused"
        found = updates.collection.find_one({"_id": SINCE_ID})
        if found is not None and not has_known_format(found):
            return "later format"
        self._since, self._since_expires = oldest, monotonic() + _SINCE_LIFETIME
        return None

    def _add(self, updates: BulkUpdates, days: Mapping[_Day, Mapping[int, int]], number: int) -> Counter[str]:
        dropped: Counter[str] = Counter()
        keys = list(days)
        for start in range(0, len(keys), _MAX_OPERATIONS):
            chunk = keys[start : start + _MAX_OPERATIONS]
            operations = [self._build_operation(day, days[day], number) for day in chunk]
            _, errors = updates.send(operations, upsert=True)
            duplicates = [index for index, code in errors.items() if code == DUPLICATE_KEY]
            if duplicates:  # another writer has inserted the day meanwhile, or it has this batch already
                _, again = updates.send([operations[index] for index in duplicates])
                errors = {index: code for index, code in errors.items() if code != DUPLICATE_KEY}
                errors |= {duplicates[index]: code for index, code in again.items()}
            for index, code in errors.items():
                cause = "refused" if code == VALIDATION_FAILED else "uncountable"
                dropped[cause] += sum(days[chunk[index]].values())
        return dropped

    def _build_operation(self, day: _Day, quarters: Mapping[int, int], number: int) -> Operation:
        entry, value = f"w.{self._name}", to_entry(number)
        increments = {"n": sum(quarters.values())} | {f"q.{index}": count for index, count in quarters.items()}
        return {"_id": day.build_id(), entry: {"$not": {"$gte": value}}}, {"$inc": increments, "$set": {entry: value}}
