"""Log messages: at most one of each kind per request, without stored values other than ids.

The template of each message contains its cause but not the owner, because error trackers group messages by template.
The attributes of the records are documented in ``docs/deployment.md``.
"""

import logging
import traceback
from typing import Final

from ._core.fields import FIELDS
from ._core.hourly import HourlyLimit
from ._core.rows import Adjustments
from ._core.text import escape, short_repr
from .errors import StoreError, UsageStatsError
from .protocols import Owner

_logger: Final = logging.getLogger("flask_usage_stats")

#: Limits the warnings about adjusted values to one per owner, and those about unknown names to one.
WARNING_LIMIT: Final = HourlyLimit()


def log_failure(owner: Owner | None, error: Exception) -> None:
    """Log at ERROR why a request was answered with status 500.

    Errors of this package are logged with their message, all others only with their type and origin,
    because their text may contain a token or a stored value.
    If the logger's level is DEBUG, the record includes the traceback.
    """
    name = None if owner is None else short_repr(owner)
    _log_failure("an unknown owner" if name is None else f"owner {name}", name, error)


def log_platform_failure(error: Exception) -> None:
    """Log the failure of a request for the platform view as :func:`log_failure` does."""
    _log_failure("the platform", None, error)


def _log_failure(subject: str, owner: str | None, error: Exception) -> None:
    try:
        cause, detail = _describe_cause(error)
    except Exception:  # noqa: BLE001 # whatever the text of a foreign subclass raises, the client gets its response
        cause, detail = escape(type(error).__name__), ""
    template = f"usage of %s: {cause.replace('%', '%%')}%s (%s)"
    _logger.error(
        template,
        subject,
        detail and f": {detail}",
        _origin(error),
        exc_info=error if _logger.isEnabledFor(logging.DEBUG) else None,
        extra={"usage_owner": owner, "usage_cause": cause},
    )


def log_adjustments(owner: Owner, adjustments: Adjustments) -> None:
    """Log at WARNING which stored values had to be adjusted: project ids, field names and types, not the values.

    There is at most one such message per owner and hour.
    """
    if adjustments.unnamed and WARNING_LIMIT.allows():
        _logger.warning(
            "projects without any known name: iter_projects must return the names %s",
            ", ".join(name for name, _ in FIELDS),
            extra={"usage_owner": short_repr(owner), "usage_cause": "projects without any known name"},
        )
    if adjustments.count and WARNING_LIMIT.allows((type(owner), owner)):
        _log_adjustments(f"owner {short_repr(owner)}", short_repr(owner), adjustments)


def log_platform_adjustments(adjustments: Adjustments) -> None:
    """Log adjusted values of the platform view as :func:`log_adjustments` does."""
    if adjustments.count and WARNING_LIMIT.allows("the platform"):
        _log_adjustments("the platform", None, adjustments)


def _log_adjustments(subject: str, owner: str | None, adjustments: Adjustments) -> None:
    examples = [(short_repr(project), dict(fields)) for project, fields in adjustments.examples]
    text = "; ".join(
        f"{project} " + ", ".join(f"{name} ({kind})" for name, kind in fields.items()) for project, fields in examples
    )
    _logger.warning(
        "usage of %s: adjusted stored values that do not fit the API (%d), for example: %s",
        subject,
        adjustments.count,
        text,
        extra={
            "usage_owner": owner,
            "usage_cause": "adjusted stored values that do not fit the API",
            "usage_adjusted": adjustments.count,
            "usage_examples": examples,
        },
    )


def describe_error(error: Exception) -> str:
    """Return one line instead of a traceback: the message of a package error, the type and origin of any other."""
    if isinstance(error, UsageStatsError):
        return escape(str(error))
    return f"{escape(type(error).__name__)} ({_origin(error)})"


def _describe_cause(error: Exception) -> tuple[str, str]:
    """Return the type of an error with its message, without the part that differs from time to time, and this part."""
    cause = escape(type(error).__name__)
    if isinstance(error, UsageStatsError):
        cause += f": {escape(str(error.args[0]) if isinstance(error, StoreError) and error.args else str(error))}"
    return cause, escape(str(error.detail)) if isinstance(error, StoreError) else ""


def _origin(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno} in {frame.name}"
