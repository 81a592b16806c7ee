# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of Azure, with what to do next."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure

HINTS: tuple[tuple[str, str, str], ...] = (
    (
        "ErrCode_InsufficientVCPUQuota|InsufficientVCPUQuota|QuotaExceeded",
        "",
        "Lower O(count) or O(max_count), delete what isn't used, or ask for more vCPUs of the family and of the region "
        "at https://aka.ms/aks/quota; aks.gpu.vm_size_info shows what is left.",
    ),
    (
        "PropertyChangeNotAllowed",
        "",
        "AKS sets this property only when a node pool is created: leave the option out, or make a pool of another "
        "name with O(replaces).",
    ),
    (
        "OperationNotAllowed|AnotherOperationInProgress",
        r"in progress|please wait",
        "Run again when it has ended, or give more O(wait_timeout); O(abort=true) ends an operation that is stuck.",
    ),
    (
        "EtagMismatch",
        "",
        "Another operation on the cluster was in progress: run again when it has ended, or give more O(wait_timeout).",
    ),
    ("OperationNotAllowed", r"deletion was issued", "The pool is being deleted: run again when it is gone."),
    ("ScopeLocked", "", "Remove the lock from the resource, its resource group or its subscription."),
    (
        "SkuNotAvailable|VMSizeNotSupported",
        "",
        "Take another size, zone or region; aks.gpu.vm_size_info lists what the subscription may use.",
    ),
    (
        "BadRequest|InvalidParameter|VMSizeNotAllowed",
        r"VM size .*not (allowed|available|supported)",
        "Take another size; aks.gpu.vm_size_info lists what the subscription may use in the region.",
    ),
    (
        "ZonalAllocationFailed|AllocationFailed|OverconstrainedAllocationRequest|OverconstrainedZonalAllocationRequest",
        "",
        "Azure has no capacity for the size there at the moment: try later, leave O(availability_zones) out, take "
        "another size or region, or reserve capacity. Then run again with O(repair=true).",
    ),
    (
        "PreviewFeatureNotRegistered|FeatureNotRegistered",
        "",
        "Register the feature with aks.gpu.feature (or the role aks.gpu.preview_feature), then run "
        "aks.gpu.resource_provider with refresh: true.",
    ),
    (
        "MissingSubscriptionRegistration",
        "",
        "Register the resource provider of the subscription with aks.gpu.resource_provider.",
    ),
    ("FeatureNotFound|InvalidFeature", "", "Check the feature's name; Azure may also have retired it."),
    ("SubscriptionNotFound|InvalidSubscriptionId", "", "Check O(subscription_id) and the tenant."),
    ("ResourceGroupNotFound", "", "Check O(resource_group) and O(subscription_id)."),
    ("ParentResourceNotFound", "", "Check O(cluster_name) and O(resource_group)."),
    (
        "AuthorizationFailed|LinkedAuthorizationFailed",
        "",
        "Give the principal a role with this action on this scope, such as Azure Kubernetes Service Contributor Role; "
        "a new role assignment takes some minutes.",
    ),
    (
        "InvalidAuthenticationToken|ExpiredAuthenticationToken|InvalidAuthenticationTokenTenant",
        "",
        "Sign in again; check tenant and cloud_environment, and the clock of this machine.",
    ),
    (
        "TooManyRequests|Throttled|SubscriptionRequestsThrottled|OperationThrottled",
        "",
        "Azure limits the rate of requests: run again later, or on fewer clusters at a time.",
    ),
    (
        "PodDrainFailure|UnsatisfiablePDB|PodDrainTimeout",
        "",
        "A disruption budget keeps these Pods: scale them up or move them, or set "
        "O(ignore_pod_disruption_budget=true).",
    ),
    (
        "VMExtensionProvisioningError|VMExtensionProvisioningTimeout|VMExtensionHandlerNonTransientError",
        "",
        "A node failed while it was set up, most often because it can't reach what it needs (egress, DNS, API server): "
        "the exit code in the message is explained at https://aka.ms/aks/vmextensionerror.",
    ),
    (
        "AKSOperationPreempted|OperationPreempted",
        "",
        "Another operation, or an abort, took its place: run again when that has ended.",
    ),
    (
        "UnmarshalError|InvalidRequestFormat|HttpNotAllowedUnknownField",
        "",
        "Azure doesn't know a field of the request in this API version.",
    ),
    (
        "RequestDisallowedByPolicy",
        "",
        "An Azure Policy of the subscription forbids it: ask whoever owns the policy.",
    ),
    (
        "",
        r"disruption budget",
        "A disruption budget keeps Pods on the nodes: scale their workload up, or move them.",
    ),
)
"""Codes (separated by bars; empty: any), a pattern of the message (empty: any), and what to do."""

_BUSY_CODES = {"AnotherOperationInProgress", "ConcurrentOperation", "OperationInProgress", "EtagMismatch"}
"""Codes that mean by themselves that another operation is in progress."""

_BUSY_MESSAGE = re.compile(
    r"\bin[ -]progress\b|please wait for it to finish|\b(concurrent|conflicting|ongoing) (operation|request)\b",
    re.IGNORECASE,
)
"""The same in words: AKS answers 409 ``OperationNotAllowed`` to this and to what never passes."""

_ETAG_MISMATCH = "EtagMismatch"
"""AKS's answer, with status 409, to two operations at once, also where no etag was sent
(https://github.com/Azure/terraform-azurerm-aks/issues/354)."""

_RPC = re.compile(r"rpc error: code = \w+")
_ERROR_CODE = r"[A-Z][A-Za-z0-9_]*[a-z0-9_][A-Z][A-Za-z0-9_]*"
_CODE_IN_TEXT = re.compile(
    rf"""\b(?i:(?:error|sub)?_?code)\\*["']?\s*[:=]\s*\\*["'](?P<quoted>{_ERROR_CODE})|\b(?:Sub)?Code:\s*(?P<bare>{_ERROR_CODE})"""
)
"""A code within a message, as Azure writes it: ``"code": "X"``, ``Code="X"``, ``SubCode: X``."""

_WITHOUT_MEANING = {"Unspecified"}
"""Codes that AKS writes where it has none."""


class AzureError(Failure):
    """Azure answered with an error.

    Args:
        code: Azure's code, such as ``QuotaExceeded``.
        message: Azure's text.
        status: The HTTP status, or None for an operation that failed afterwards.
        request_id: By which Azure's support finds the request.
        target: The property or resource at fault, or None.
        activity: What was being done, such as ``create node pool gpunp``.
        hint: What to do next; by default that of the innermost code for which there is one.
        codes: Azure's codes from the outermost to the innermost, as far as the answer has more than ``code``.

    Attributes:
        cause: The innermost code, where it is another one than ``code``. A failed operation often has a wrapper's code,
            such as ``CreateVMSSAgentPoolFailed``, and the cause in its details or its message.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        target: str | None = None,
        activity: str | None = None,
        hint: str | None = None,
        codes: Sequence[str] = (),
    ) -> None:
        known = [code, *(codes or codes_in_text(message))]
        self.code = code
        self.cause = known[-1] if known[-1] != code else None
        self.azure_message = message
        self.status = status
        self.request_id = request_id
        self.target = target
        text = f"{activity}: {code}: {message}" if activity else f"{code}: {message}"
        if not text.endswith((".", "!", "?")):
            text += "."
        super().__init__(
            text,
            hint=hint if hint is not None else hint_of(known, message),
            code=code,
            cause=self.cause,
            azure_message=message,
            status=status,
            request_id=request_id,
            target=target,
        )

    @property
    def busy(self) -> bool:
        """True when another operation is in progress, so that waiting helps."""
        return self.status == 409 and (self.code in _BUSY_CODES or bool(_BUSY_MESSAGE.search(self.azure_message)))

    @property
    def stale(self) -> bool:
        """True when the resource is no longer as it was read, so that a write has to be planned again."""
        return self.status == 412 or (self.status == 409 and self.code == _ETAG_MISMATCH)


class OperationFailed(AzureError):
    """An operation that Azure had accepted has failed, or was cancelled."""


class AzureSignInFailed(Failure):
    """No way to sign in led to a token."""


class ConnectionFailed(Failure):
    """Azure could not be reached."""


def hint_for(code: str, message: str) -> str | None:
    """Returns what to do about an error, or None when nothing is known.

    Args:
        code: Azure's code.
        message: Azure's text.
    """
    for codes, pattern, hint in HINTS:
        if (not codes or code in codes.split("|")) and (not pattern or re.search(pattern, message, re.IGNORECASE)):
            return hint
    return None


def hint_of(codes: Sequence[str], message: str) -> str | None:
    """Returns what to do about an error with several codes: the hint of the innermost code that has one, or None.

    Args:
        codes: Azure's codes, the outermost first.
        message: Azure's text.
    """
    return next((hint for code in reversed(codes) if (hint := hint_for(code, message))), None)


def codes_in_text(text: str) -> list[str]:
    """Returns the codes that a message quotes from an inner error, the outermost first.

    Args:
        text: Azure's text, such as ``Category: ClientError; SubCode: TooManyRequests; ...``.
    """
    found = (match["quoted"] or match["bare"] for match in _CODE_IN_TEXT.finditer(_RPC.sub("", text)))
    return [code for code in found if code not in _WITHOUT_MEANING]


def codes_of(body: Any) -> list[str]:
    """Returns all codes of an error, the outermost first: its own, those of its details, those within its messages.

    Args:
        body: The parsed body, or its text.
    """
    if isinstance(body, str):
        body = _json(body) or {"message": body}
    if not isinstance(body, Mapping):
        return []
    if isinstance(body.get("error"), Mapping):
        return codes_of(body["error"])
    message = str(body.get("message") or "")
    inner = [body.get("innererror"), *(body.get("details") or ()), *([_json(message)] if _json(message) else ())]
    found = [str(body.get("code") or ""), *codes_in_text(message)]
    found += [code for each in inner for code in codes_of(each)]
    return [code for code in found if code and code not in _WITHOUT_MEANING]


def error_fields(body: Any) -> dict[str, str]:
    """Returns code, message and target of an error, wherever they are.

    ARM's gateway wraps an error (``{"error": {…}}``), the AKS provider sends it bare, a sign-in endpoint sends
    ``error`` and ``error_description``, and a provider's error may be JSON inside a message.

    Args:
        body: The parsed body, or its text.
    """
    if isinstance(body, str):
        body = _json(body) or {"message": body}
    if not isinstance(body, Mapping):
        return {}
    if isinstance(body.get("error"), Mapping):
        return error_fields(body["error"])
    if isinstance(body.get("error"), str):
        return {"code": body["error"], "message": str(body.get("error_description") or "")}
    message = str(body.get("message") or "")
    inner = _json(message)
    if isinstance(inner, Mapping) and (inner.get("error") or inner.get("message")):
        return error_fields(inner)
    for detail in body.get("details") or ():
        text = error_fields(detail).get("message") if isinstance(detail, Mapping) else None
        if text and text not in message:
            message = f"{message.rstrip()} {text}".strip()
    fields = {"code": str(body.get("code") or ""), "message": message, "target": str(body.get("target") or "")}
    return {key: value for key, value in fields.items() if value}


def error_of(body: Any, *, status: int | None, request_id: str | None, activity: str | None) -> AzureError:
    """Returns the typed error of an answer.

    Args:
        body: The parsed body, or its text.
        status: The HTTP status.
        request_id: The answer's header ``x-ms-request-id``.
        activity: What was being done.
    """
    fields = error_fields(body)
    return AzureError(
        fields.get("code") or f"HTTP {status}",
        _shortened(fields.get("message") or "Azure gave no reason"),
        status=status,
        request_id=request_id,
        target=fields.get("target"),
        activity=activity,
        codes=codes_of(body),
    )


def _json(text: str) -> Any:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _shortened(text: str) -> str:
    """Pages of HTML come from proxies; their beginning is enough."""
    text = re.sub(r"<[^>]{1,200}>", " ", text) if text.lstrip().startswith("<") else text
    text = " ".join(text.split())
    return text if len(text) <= 2000 else text[:2000] + "…"
