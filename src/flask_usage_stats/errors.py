"""The exceptions that this package raises.

.. code-block:: text

    UsageStatsError
    ├── ConfigurationError      an invalid argument or setup; the message says how to fix it
    ├── InvalidOwnerError       the authenticate callback returned a value that cannot be an owner id
    ├── InvalidParametersError  the request has invalid query parameters
    └── StoreError              the projects could not be read, or the index could not be created
"""

from collections.abc import Mapping


class UsageStatsError(Exception):
    """The base class of every error that this package raises.

    .. versionadded:: 0.1.0
    """


class ConfigurationError(UsageStatsError):
    """An invalid argument or setup; the message says how to fix it.

    Raised when the object is constructed. Problems that only appear during a request (the return value of a
    callable, a missing ``JWTManager``) are raised then: the response has status 500 and the message is logged.

    .. versionadded:: 0.1.0
    """


class InvalidOwnerError(UsageStatsError):
    """The authenticate callback returned a value that cannot be an owner id.

    .. versionadded:: 0.1.0
    """


class InvalidParametersError(UsageStatsError):
    """The request has invalid query parameters; the client gets a response with status 400.

    The exception's own message is the first one in *errors*.

    :param errors: maps the name of each invalid parameter to a non-empty list of messages; not empty itself.

    .. versionadded:: 0.1.0
    """

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__(next(iter(errors.values()))[0])
        #: The messages for each invalid parameter, in the order of the parameter table of the HTTP API documentation.
        self.errors = errors


class StoreError(UsageStatsError):
    """The projects could not be read completely within the time limit, or the index could not be created.

    The driver's error, if there is one, is the ``__cause__``.

    :param message: what failed; the same text whenever the cause is the same.
    :param detail: more about this time, such as the address of a server.

    .. versionadded:: 0.1.0
    """

    def __init__(self, message: str = "", detail: str = "") -> None:
        super().__init__(message)
        #: More about this time; ``""`` if nothing is known.
        self.detail = detail

    def __str__(self) -> str:
        """Return the message and the detail."""
        return f"{self.args[0]}: {self.detail}" if self.detail else str(self.args[0])
