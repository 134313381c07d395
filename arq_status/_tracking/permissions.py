"""Permissions that a worker's Redis user lacks, each logged once."""

import logging

from arq_status._redis.connection import missing_permission

logger = logging.getLogger("arq_status")


class PermissionLog:
    """Logs each missing permission once. Thread-safe."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def note(self, error: BaseException) -> bool:
        """Return True if an error is due to a missing permission, and log that permission."""
        permission = missing_permission(error)
        if permission is None:
            return False
        if permission not in self._logged:
            self._logged.add(permission)
            logger.warning(
                "jobs are not tracked: the Redis user lacks the permission %s (%s)",
                permission,
                error,
            )
        return True
