"""Log messages: at most one of each kind per request, without stored values other than ids."""

import logging
import traceback
from typing import Final

from ._core.rows import Adjustments
from ._core.text import escape, short_repr
from .errors import UsageStatsError
from .protocols import Owner

_logger: Final = logging.getLogger("flask_usage_stats")


def log_failure(owner: Owner | None, error: Exception) -> None:
    """Log at ERROR why a request was answered with status 500.

    Errors of this package are logged with their message, all others only with their type and origin,
    because their text may contain a token or a stored value.
    If the logger's level is DEBUG, the record includes the traceback.
    """
    cause = type(error).__name__
    if isinstance(error, UsageStatsError):
        cause += f": {escape(str(error))}"
    _logger.error(
        "usage of %s: %s (%s)",
        "an unknown owner" if owner is None else f"owner {short_repr(owner)}",
        cause,
        _origin(error),
        exc_info=error if _logger.isEnabledFor(logging.DEBUG) else None,
    )


def log_adjustments(owner: Owner, adjustments: Adjustments) -> None:
    """Log at WARNING which stored values had to be adjusted: project ids, field names and types, not the values."""
    if not adjustments.count:
        return
    examples = "; ".join(
        f"{short_repr(project)} " + ", ".join(f"{name} ({kind})" for name, kind in fields)
        for project, fields in adjustments.examples
    )
    _logger.warning(
        "usage of owner %s: adjusted stored values that do not fit the API (%d), for example: %s",
        short_repr(owner),
        adjustments.count,
        examples,
    )


def describe_error(error: Exception) -> str:
    """Return one line instead of a traceback: the message of a package error, the type and origin of any other."""
    if isinstance(error, UsageStatsError):
        return escape(str(error))
    return f"{type(error).__name__} ({_origin(error)})"


def _origin(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno} in {frame.name}"
