"""The log lines about counts that could not be written."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from .._core.text import escape
from ..errors import UsageStatsError

_logger: Final = logging.getLogger("flask_usage_stats")
_UNKNOWN_REMEDY: Final = "ids with 24 hexadecimal digits are ObjectIds, unless id_type=str is passed"


def log_failure(message: str, requests: int, error: Exception) -> None:
    """Log why requests could not be written. The cause is the driver's class, since its message may contain values.

    :param message: has a place for the number and one for the cause.
    """
    cause = escape(str(error)) if isinstance(error, UsageStatsError) else type(error).__name__
    _logger.error(message, requests, cause)


def log_dropped(dropped: Counter[str], recorded_paths: Sequence[str], *, has_default_ids: bool) -> None:
    """Log the requests that were dropped, by cause, and what can be done about it.

    :param recorded_paths: the paths that are written.
    :param has_default_ids: whether strings are converted to ObjectIds by their look.
    """
    remedies = {"refused": f"the collection's validator must allow {', '.join(recorded_paths)}"}
    if has_default_ids:
        remedies["unknown"] = _UNKNOWN_REMEDY
    level = logging.ERROR if "refused" in dropped else logging.WARNING
    _logger.log(level, "counts of %d requests were dropped: %s", dropped.total(), _list_causes(dropped, remedies))


def log_missing(missing: Counter[str]) -> None:
    """Log the requests that the projects have and the history lacks, by cause."""
    _logger.error("the history lacks %d counted requests: %s", missing.total(), _list_causes(missing, {}))


def _list_causes(requests: Counter[str], remedies: Mapping[str, str]) -> str:
    return ", ".join(
        f"{cause} {number}" + (f" ({remedies[cause]})" if cause in remedies else "")
        for cause, number in sorted(requests.items())
    )
