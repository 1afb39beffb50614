"""Answer ``GET /api/usage`` in any Flask application from the projects of a MongoDB collection."""

from ._http.blueprint import create_usage_blueprint
from ._mongodb.store import ProjectStore
from .errors import IdentityError, MisuseError, ParametersError, StoreError, UsageStatsError
from .protocols import Owner, UsageStore

__all__ = [
    "IdentityError",
    "MisuseError",
    "Owner",
    "ParametersError",
    "ProjectStore",
    "StoreError",
    "UsageStatsError",
    "UsageStore",
    "create_usage_blueprint",
]
