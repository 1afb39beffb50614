"""What an operator reads: one line a request at most, with the cause and without values."""

import logging
import traceback
from typing import Final

from ._core.rows import Adjustments
from ._core.text import escape, short_repr
from .errors import UsageStatsError
from .protocols import Owner

_logger: Final = logging.getLogger("flask_usage_stats")


def log_failure(owner: Owner | None, error: Exception) -> None:
    """Log once, at ERROR, why a request was answered with 500.

    An error of this package is logged with its message. Of any other only the
    type and the place are, for its text may quote a token or a stored value.
    Where the logger is set to DEBUG, the record carries the traceback too.
    """
    cause = type(error).__name__
    if isinstance(error, UsageStatsError):
        cause += f": {escape(str(error))}"
    _logger.error(
        "usage of %s: %s (%s)",
        "a caller not yet known" if owner is None else f"owner {short_repr(owner)}",
        cause,
        _origin(error),
        exc_info=error if _logger.isEnabledFor(logging.DEBUG) else None,
    )


def describe_error(error: Exception) -> str:
    """Say in a line what an operator sees in place of a traceback: the message where it is ours."""
    if isinstance(error, UsageStatsError):
        return escape(str(error))
    return f"{type(error).__name__} ({_origin(error)})"


def log_adjustments(owner: Owner, changes: Adjustments) -> None:
    """Log once, at WARNING, which stored values did not fit the contract: where and of what type, no values."""
    if not changes.number:
        return
    first = "; ".join(
        f"{short_repr(project)} " + ", ".join(f"{name} ({kind})" for name, kind in found)
        for project, found in changes.first
    )
    _logger.warning(
        "usage of owner %s: %d stored values do not fit the contract and were changed, first of them: %s",
        short_repr(owner),
        changes.number,
        first,
    )


def _origin(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno} in {frame.name}"
