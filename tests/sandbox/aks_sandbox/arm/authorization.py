"""Who may do what: the test principals' roles, and Microsoft.Authorization/permissions.

Witness: Microsoft's pages on AuthorizationFailed and on the permissions interface.
No witness: the permissions of a principal without any role, and one permission for each role.
"""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import GatewayError
from .world import World

if TYPE_CHECKING:
    from .identity import Principal

Json = dict[str, Any]

DOCUMENTED = Path(__file__).parents[4] / "docs"


def _actions(file: str) -> list[str]:
    """Actions and data actions of a documented role."""
    role = json.loads((DOCUMENTED / file).read_text())
    return [*role["Actions"], *role.get("DataActions", [])]


LEAST_PRIVILEGE = _actions("custom-role.json")
"""Actions of the collection's documented least-privilege role, which the default principal has."""
MONITORING = [*LEAST_PRIVILEGE, *_actions("custom-role-monitoring.json")]
"""With what monitoring needs besides."""

ROLES = {"least-privilege": LEAST_PRIVILEGE, "monitoring": MONITORING, "owner": ["*"], "none": []}


class Authorization:
    """Answers whether a principal may, by its role less `permissions_removed`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def may(self, principal: Principal, action: str) -> bool:
        """Has the principal's role this action?"""
        wanted = action.lower()
        granted = any(fnmatch.fnmatchcase(wanted, each.lower()) for each in ROLES[principal.role])
        return granted and not self._removed(principal, wanted)

    def check(self, principal: Principal, action: str, scope: str) -> None:
        """
        Raises:
            GatewayError: 403 AuthorizationFailed.
        """
        if not self.may(principal, action):
            raise GatewayError(
                403,
                "AuthorizationFailed",
                f"The client '{principal.client_id}' with object id '{principal.object_id}' does not have "
                "authorization "
                f"to perform action '{action}' over scope '{scope}' or the scope is invalid. If access was recently "
                "granted, please refresh your credentials.",
            )

    def permissions(self, principal: Principal) -> Json:
        """The answer of Microsoft.Authorization/permissions."""
        actions = [each for each in ROLES[principal.role] if "*" in each or not self._removed(principal, each.lower())]
        permission = {"actions": actions, "notActions": [], "dataActions": [], "notDataActions": []}
        return {"value": [permission] if actions else []}

    def _removed(self, principal: Principal, action: str) -> bool:
        if principal.role == "owner":
            return False
        return any(fnmatch.fnmatchcase(action, each.lower()) for each in self._world.settings.permissions_removed)
