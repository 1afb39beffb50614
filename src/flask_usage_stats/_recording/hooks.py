"""Counting the requests of a Flask application."""

import logging
from collections.abc import Callable
from typing import Final, TypeAlias

from flask import Flask, Response, g, request, request_started

from .._core.callables import is_coroutine_callable
from .._core.hourly import HourlyLimit
from .._core.text import short_repr
from ..errors import ConfigurationError

#: A Flask application.
Application: TypeAlias = Flask
#: A function without arguments that returns the id of the project that a request belongs to, or ``None``.
ProjectIdCallback: TypeAlias = Callable[[], object]
#: A function that returns whether a request is counted.
CountRule: TypeAlias = Callable[[Response], bool]

_logger: Final = logging.getLogger("flask_usage_stats")

_UNDECIDED: Final = object()
_UNCOUNTED_METHODS: Final = ("OPTIONS", "HEAD")


def add_hooks(
    app: Application,
    record: Callable[[object], None],
    project_id: ProjectIdCallback,
    should_count: CountRule | None,
) -> None:
    """Count each request of an application once, after it was handled. Nothing else of the application changes.

    :param record: called with the project's id.
    :raises ConfigurationError: *app* is not a Flask application, or a callback is not callable or async.
    """
    _validate_arguments(app, project_id, should_count)
    counter = _RequestCounter(record, project_id, should_count)
    # Unlike a before_request function, the signal cannot be prevented by a function of the application.
    request_started.connect(counter.start, app, weak=False)
    app.after_request(counter.decide)
    app.teardown_request(counter.count)
    app.teardown_appcontext(counter.count_decided)


class _RequestCounter:
    def __init__(
        self, record: Callable[[object], None], project_id: ProjectIdCallback, should_count: CountRule | None
    ) -> None:
        self._record, self._project_id, self._should_count = record, project_id, should_count
        self._key = f"_usage_stats_{id(self)}"
        self._warning_limit = HourlyLimit()

    def start(self, _: Flask, **__: object) -> None:
        setattr(g, self._key, _UNDECIDED)

    def decide(self, response: Response) -> Response:
        setattr(g, self._key, self._find_project(response))
        return response

    def count(self, _: BaseException | None) -> None:
        project = g.pop(self._key, None)  # None also if the context was pushed without a request
        if project is _UNDECIDED:  # another after_request function raised an error
            project = self._find_project(None)
        if project is not None:
            self._record(project)

    def count_decided(self, _: BaseException | None) -> None:
        """Count a request if a teardown_request function of the application raised an error before ours."""
        project = g.pop(self._key, None)
        if project is not None and project is not _UNDECIDED:
            self._record(project)

    def _find_project(self, response: Response | None) -> object:
        """Return the id of the project, or ``None`` if the request is not counted."""
        try:
            if self._should_count is None or response is None:
                is_counted = request.method not in _UNCOUNTED_METHODS
            else:
                is_counted = self._should_count(response)
            return self._project_id() if is_counted else None
        except Exception as error:  # noqa: BLE001 # the response must not depend on the count
            if self._warning_limit.allows():
                _logger.warning(
                    "requests are not counted, because project_id or should_count raised %s", type(error).__name__
                )
            return None


def _validate_arguments(app: object, project_id: object, should_count: object) -> None:
    if not isinstance(app, Flask):
        raise ConfigurationError(f"app must be a Flask application, got {short_repr(app)}")
    for name, callback, example in (
        ("project_id", project_id, 'lambda: g.get("project_id")'),
        ("should_count", should_count, "lambda response: response.status_code < 400"),
    ):
        if callback is None and name == "should_count":
            continue
        if not callable(callback):
            raise ConfigurationError(f"{name} must be a function such as {example}; got {short_repr(callback)}")
        if is_coroutine_callable(callback):
            raise ConfigurationError(f"{name} must not be async: it is called after the request, such as {example}")
