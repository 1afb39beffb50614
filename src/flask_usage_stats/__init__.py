"""A Flask blueprint that serves usage statistics from a MongoDB collection at ``GET /api/usage``."""

from ._http.blueprint import create_usage_blueprint
from ._http.platform import create_platform_blueprint
from ._mongodb.history import UsageHistory
from ._mongodb.platform import PlatformStore
from ._mongodb.store import ProjectStore
from ._recording.recorder import UsageRecorder
from .errors import ConfigurationError, InvalidOwnerError, InvalidParametersError, StoreError, UsageStatsError
from .protocols import Owner, UsageStore

__all__ = [
    "ConfigurationError",
    "InvalidOwnerError",
    "InvalidParametersError",
    "Owner",
    "PlatformStore",
    "ProjectStore",
    "StoreError",
    "UsageHistory",
    "UsageRecorder",
    "UsageStatsError",
    "UsageStore",
    "create_platform_blueprint",
    "create_usage_blueprint",
]
