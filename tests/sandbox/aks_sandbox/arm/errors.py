"""Errors as Azure words them on the wire.

Two shapes exist. Resource Manager's gateway wraps: `{"error": {"code", "message"}}` with the header
`x-ms-failure-cause: gateway`. The AKS provider does not: `{"code", "details", "message", "subcode"}`, as traffic shows
that the az CLI's tests recorded.
"""

from __future__ import annotations

import json
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
    """Refused by the AKS provider: bare, with `subcode` and, where a property is at fault, `target`.

    Its content type has no charset. Witness: ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        subcode: str = "",
        target: str | None = None,
        details: list[Json] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, message, headers={"content-type": "application/json", **(headers or {})})
        self.subcode = subcode
        self.target = target
        self.details = details

    def body(self) -> Json:
        body: Json = {"code": self.code, "details": self.details, "message": self.message, "subcode": self.subcode}
        if self.target is not None:
            body["target"] = self.target
        return body


class OperationFailed(Exception):
    """A long-running operation that ends in Failed, with the error its status shows.

    Attributes:
        wrapped: The shape that this cause was recorded in, one of `FAILURE_SHAPES`.
    """

    def __init__(self, code: str, message: str, *, wrapped: str = "direct") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.wrapped = wrapped


FAILURE_SHAPES = ("direct", "json_in_message", "code_in_message", "subcode_in_message", "details", "internal")
WRAPPERS = {"Creating": "CreateVMSSAgentPoolFailed", "Deleting": "DeleteVMSSAgentPoolFailed"}


def failure(cause: OperationFailed, what: str, shape: str) -> Json:
    """The `error` of a failed operation's status.

    Args:
        what: The provisioning state that went with the operation, such as Creating.
        shape: One of `FAILURE_SHAPES`, or `recorded`: the one that the cause was recorded in.
            direct. Witness: https://github.com/jenkins-infra/azure/issues/997, 2025-04 (capacity), and
            https://github.com/Azure/AKS/issues/5808 (quota).
            json_in_message. Witness: https://github.com/hashicorp/terraform-provider-azurerm/issues/10411, 2021-02.
            code_in_message. Witness: https://github.com/hashicorp/terraform-provider-azurerm/issues/9342, 2022; what
            precedes "Details:" is from https://github.com/Azure/AKS/issues/1972, 2022-01-27.
            subcode_in_message. Witness: https://github.com/Azure/AKS/issues/2417, 2021. No witness: what follows the
            SubCode.
            details. Witness: https://github.com/kaito-project/kaito/issues/2075, 2026-05-30; the target "11" is from
            jenkins-infra/helpdesk#3584, 2023.
            internal: nothing of the cause is said. Witness: https://github.com/Azure/AKS/issues/4975, 2025-04-25.
    """
    wrapper = WRAPPERS.get(what, "ReconcileVMSSAgentPoolFailed")
    inner = {"code": cause.code, "message": cause.message}
    shape = cause.wrapped if shape == "recorded" else shape
    if shape == "json_in_message":
        return {"code": wrapper, "message": f"VMSSAgentPoolReconciler retry failed: {json.dumps(inner, indent=2)}"}
    if shape == "code_in_message":
        text = cause.message.replace('"', "'")
        return {
            "code": wrapper,
            "message": f"AKS encountered an internal error while attempting the requested {what} operation. AKS will "
            "continuously retry the requested operation until successful or a retry timeout is hit. Details: "
            f'Code="{cause.code}" Message="{text}"',
        }
    if shape == "subcode_in_message":
        return {
            "code": wrapper,
            "message": f"Category: ClientError; SubCode: {cause.code}; OriginalError: {cause.message}",
        }
    if shape == "details":
        return {
            "code": "ResourceOperationFailure",
            "message": "The resource operation completed with terminal provisioning state 'Failed'.",
            "details": [{**inner, "target": "11"}],
        }
    if shape == "internal":
        return {"code": wrapper, "message": "Internal server error"}
    return inner


def pool_not_found(subscription: str, resource_group: str, cluster: str, pool: str) -> ProviderError:
    """404 for a pool that doesn't exist. Witness: ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18."""
    return ProviderError(
        404,
        "NotFound",
        f"Could not find the agentpool: {pool} in subscription: {subscription}, resourceGroup: {resource_group}, "
        f"resourceName: {cluster}.",
        subcode="GetAgentPool_NotFound_HCPServerError",
        details=[{"code": "Unspecified", "message": "rpc error: code = NotFound desc = Agent Pool not found"}],
    )


def not_emulated(what: str) -> ProviderError:
    """400 in the sandbox's own words: Azure could do it, the sandbox can't."""
    return ProviderError(400, "SandboxDoesNotEmulate", f"The sandbox does not emulate {what}")


def cancel_not_allowed(state: str) -> ProviderError:
    """An abort while nothing is under way.

    Witness: the code and the text, as users met them (VijayRod/demo, k8s-aks-op.md). No witness: the HTTP status.
    """
    return ProviderError(
        409, "OperationNotAllowed", f"Cancel operation is not allowed when the ProvisioningState is {state}"
    )


def create_precondition_failed() -> ProviderError:
    """412 for an entity tag of a resource that doesn't exist.

    Witness: https://github.com/Azure/azure-cli/pull/30309, 2024-11-13. No witness: the shape of its body.
    """
    return ProviderError(
        412,
        "PreconditionFailed",
        "Resource not found but ETag header is provided. If this is a request to create, please do not provide ETag.",
    )


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


BUSY_ANSWERS = ("recorded", "another_operation", "in_progress_operation", "on_agent_pool", "etag_mismatch")
VERBS = {"Creating": "create", "Deleting": "delete", "Starting": "start", "Stopping": "stop", "Canceling": "abort"}


def busy(what: str, pool: str | None, operation_id: str, started: str, answer: str = "recorded") -> ProviderError:
    """409 for an operation while another is in progress in the cluster.

    Args:
        what: The provisioning state that goes with the other operation, such as Creating.
        pool: The other operation's pool; None: it is the cluster's.
        operation_id: The other operation's.
        started: When it began, as ARM writes times.
        answer: One of `BUSY_ANSWERS`. `recorded`: `another_operation` for a pool's operation, `in_progress_operation`
            for a cluster's.
            another_operation. Witness: https://github.com/cilium/cilium/issues/25944, 2023-06-06 (a pool's), and
            https://github.com/Azure/terraform-azurerm-avm-ptn-aks-production/pull/25, 2024-03-14 (a cluster's).
            in_progress_operation. Witness: https://github.com/Azure/azure-cli-extensions/pull/9855, 2026-05-22, and
            https://github.com/hashicorp/terraform-provider-azurerm/issues/28878, 2025-02-27.
            on_agent_pool. Witness: Microsoft's support article on pending operations. No witness: its end.
            etag_mismatch. Witness: https://github.com/Azure/terraform-azurerm-aks/issues/604, 2024-11-15, and
            https://github.com/microsoft/retina/issues/1212, 2025-01-13. No witness: for pools, and the end of the
            subcode.
    """
    if answer == "recorded":
        answer = "another_operation" if pool else "in_progress_operation"
    if answer == "etag_mismatch":
        return etag_mismatch()
    pending = "please wait for it to finish before starting a new operation. See https://aka.ms/aks-pending-operation"
    if answer == "in_progress_operation":
        text = (
            f"Operation is not allowed because there's an in progress {VERBS.get(what, 'update')} managed cluster "
            f"operation (operation ID: {operation_id}) on the managed cluster started on UTC {started[:19]}Z. Please "
            "wait for it to finish before starting a new operation. You can also use 'az aks operation-abort ...' to "
            "abort the ongoing operation."
        )
    elif answer == "on_agent_pool":
        text = (
            f"Managed Cluster operation is not allowed: Another operation ({what}) is in progress on agent pool "
            f"({pool or 'nodepool1'}), {pending} for more details"
        )
    else:
        other = f"Another agentpool operation ({pool} - {what})" if pool else f"Another operation ({what})"
        text = f"Operation is not allowed: {other} is in progress, {pending} for more details"
    return ProviderError(409, "OperationNotAllowed", text)


def etag_mismatch() -> ProviderError:
    """409 of two writes that race, whether or not the client sent an entity tag. Witnesses: see `busy`."""
    return ProviderError(
        409,
        "EtagMismatch",
        "Operation is not allowed: Another operation is in progress",
        subcode="PutManagedClusterAndComponents_FailedPrecondition",
        details=[{"code": "Unspecified", "message": "rpc error: code = FailedPrecondition desc = Etag mismatched"}],
    )


def version_too_new(pool: str, cluster: str) -> ProviderError:
    """400 for a pool's version above the control plane's.

    Witness: https://github.com/rancher/rancher/issues/33426, 2021-06-29. No witness: the HTTP status, and the text
    where only the patch is bigger.
    """
    pool_parts, cluster_parts = pool.split("."), cluster.split(".")
    part = 1 if pool_parts[1] != cluster_parts[1] else 2
    return ProviderError(
        400,
        "NodePoolMcVersionIncompatible",
        f"Node pool version {pool} and control plane version {cluster} are incompatible. "
        f"{'Minor' if part == 1 else 'Patch'} version of node pool version {pool_parts[part]} is bigger than control "
        f"plane version {cluster_parts[part]}. For more information, please check https://aka.ms/version-skew-policy",
    )
