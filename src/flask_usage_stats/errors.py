"""What can go wrong, as one tree.

.. code-block:: text

    UsageStatsError
    ├── ConfigurationError     an argument that cannot work; the message holds the fix
    ├── InvalidOwnerError   the authenticate callback returned what is not an identity
    ├── InvalidParametersError the request asks for what cannot be answered
    └── StoreError      the projects could not be read
"""

from collections.abc import Mapping


class UsageStatsError(Exception):
    """The base of every error that this package raises.

    .. versionadded:: 0.1.0
    """


class ConfigurationError(UsageStatsError):
    """An argument or a setup that cannot work; the message says what to change.

    Raised where the argument is given, or, for what only a request can show
    (what a callable returns, a missing ``JWTManager``), in the request: the
    client then gets the contract's 500 and the log this message.

    .. versionadded:: 0.1.0
    """


class InvalidOwnerError(UsageStatsError):
    """The value of an authenticate callback is no identity.

    .. versionadded:: 0.1.0
    """


class InvalidParametersError(UsageStatsError):
    """Bad parameters of a request: the client's mistake, answered with 400.

    .. versionadded:: 0.1.0
    """

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__(next(iter(errors.values()))[0])
        #: Every bad parameter with what is wrong, in the order of the API page.
        self.errors = errors


class StoreError(UsageStatsError):
    """The projects could not be read, whole and in time.

    The driver's error is the ``__cause__``.

    .. versionadded:: 0.1.0
    """
