"""Answer ``GET /api/usage`` in any Flask application from the projects of a MongoDB collection."""

from ._http.blueprint import create_usage_blueprint
from ._mongodb.store import ProjectStore
from .errors import ConfigurationError, InvalidOwnerError, InvalidParametersError, StoreError, UsageStatsError
from .protocols import Owner, UsageStore

__all__ = [
    "ConfigurationError",
    "InvalidOwnerError",
    "InvalidParametersError",
    "Owner",
    "ProjectStore",
    "StoreError",
    "UsageStatsError",
    "UsageStore",
    "create_usage_blueprint",
]
