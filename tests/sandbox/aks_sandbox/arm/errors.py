"""Errors as Azure words them on the wire.

Two shapes exist. Resource Manager's gateway wraps: `{"error": {"code", "message"}}` with the header
`x-ms-failure-cause: gateway`. The AKS provider does not: `{"code", "details", "message", "subcode"}`, as traffic shows
that the az CLI's tests recorded.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class ArmError(Exception):
    """A request that Azure refuses.

    Attributes:
        status: HTTP status.
        code: Azure's error code.
        message: Azure's text.
        headers: of the answer.
    """

    def __init__(self, status: int, code: str, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def body(self) -> Json:
        """The answer's JSON."""
        return {"error": {"code": self.code, "message": self.message}}


class GatewayError(ArmError):
    """Refused by Resource Manager itself, before a provider sees it."""

    def __init__(self, status: int, code: str, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, code, message, headers={"x-ms-failure-cause": "gateway", **(headers or {})})


class ProviderError(ArmError):
    """Refused by the AKS provider: bare, with `subcode` and, where a property is at fault, `target`."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        subcode: str = "",
        target: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, message, headers=headers)
        self.subcode = subcode
        self.target = target

    def body(self) -> Json:
        body: Json = {"code": self.code, "details": None, "message": self.message, "subcode": self.subcode}
        if self.target is not None:
            body["target"] = self.target
        return body


class OperationFailed(Exception):
    """A long-running operation that ends in Failed, with the error its status shows."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def resource_not_found(resource_type: str, name: str, resource_group: str) -> GatewayError:
    """404 for a resource that Resource Manager does not know."""
    return GatewayError(
        404,
        "ResourceNotFound",
        f"The Resource '{resource_type}/{name}' under resource group '{resource_group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def parent_not_found(cluster: str, pool: str) -> GatewayError:
    """404 for a write under a cluster that does not exist."""
    return GatewayError(
        404,
        "ParentResourceNotFound",
        "Failed to perform 'write' on resource(s) of type 'managedClusters/agentPools', because the parent resource "
        f"'{cluster}' could not be found while looking for '{pool}'.",
    )


def property_change_not_allowed(target: str) -> ProviderError:
    """400 for an immutable property."""
    return ProviderError(
        400, "PropertyChangeNotAllowed", f"Changing property '{target}' is not allowed.", target=target
    )


def in_progress(what: str) -> ProviderError:
    """409 for a second operation in a cluster; `what` as "Another agentpool operation (nodepool1 - Creating)"."""
    return ProviderError(
        409,
        "OperationNotAllowed",
        f"Operation is not allowed: {what} is in progress, please wait for it to finish before starting a new "
        "operation. See https://aka.ms/aks-pending-operation for more details",
    )
