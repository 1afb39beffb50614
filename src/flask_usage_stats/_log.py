"""What an operator reads: one line a request at most, with the cause and without values."""

import logging
import traceback
from typing import Final

from ._core.rows import Changes
from .errors import UsageStatsError, brief, printable
from .protocols import Owner

_logger: Final = logging.getLogger("flask_usage_stats")


def failed(owner: Owner | None, error: Exception) -> None:
    """Log once, at ERROR, why a request was answered with 500.

    An error of this package is logged with its message. Of any other only the
    type and the place are, for its text may quote a token or a stored value.
    Where the logger is set to DEBUG, the record carries the traceback too.
    """
    cause = type(error).__name__
    if isinstance(error, UsageStatsError):
        cause += f": {printable(str(error))}"
    _logger.error(
        "usage of %s: %s (%s)",
        "a caller not yet known" if owner is None else f"owner {brief(owner)}",
        cause,
        _place(error),
        exc_info=error if _logger.isEnabledFor(logging.DEBUG) else None,
    )


def explained(error: Exception) -> str:
    """Say in a line what an operator sees in place of a traceback: the message where it is ours."""
    if isinstance(error, UsageStatsError):
        return printable(str(error))
    return f"{type(error).__name__} ({_place(error)})"


def changed(owner: Owner, changes: Changes) -> None:
    """Log once, at WARNING, which stored values did not fit the contract: where and of what type, no values."""
    if not changes.number:
        return
    first = "; ".join(
        f"{brief(project)} " + ", ".join(f"{name} ({kind})" for name, kind in found) for project, found in changes.first
    )
    _logger.warning(
        "usage of owner %s: %d stored values do not fit the contract and were changed, first of them: %s",
        brief(owner),
        changes.number,
        first,
    )


def _place(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{place.filename}:{place.lineno} in {place.name}"
