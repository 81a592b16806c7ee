# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place of this room that imports what is not in Python's own library."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Generic, TypeVar

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import MissingLibrary

_reason: str | None = None
_Sent = TypeVar("_Sent")
_Answered = TypeVar("_Answered")

try:
    from azure.core import PipelineClient
    from azure.core.exceptions import (
        AzureError as CoreError,
    )
    from azure.core.exceptions import (
        ClientAuthenticationError,
        HttpResponseError,
        ServiceRequestError,
    )
    from azure.core.pipeline.policies import (
        ContentDecodePolicy,
        HTTPPolicy,
        RequestIdPolicy,
        RetryPolicy,
        UserAgentPolicy,
    )
    from azure.core.pipeline.transport import RequestsTransport  # else each worker loads it with its first request
    from azure.core.rest import HttpRequest
    from azure.identity import (
        AzureCliCredential,
        CertificateCredential,
        ClientSecretCredential,
        CredentialUnavailableError,
        ManagedIdentityCredential,
        UsernamePasswordCredential,
        WorkloadIdentityCredential,
    )
    from azure.mgmt.containerservice import ContainerServiceClient
except ImportError as _caught:
    if TYPE_CHECKING:
        raise
    _reason = str(_caught)
    PipelineClient = HttpRequest = RequestIdPolicy = RequestsTransport = RetryPolicy = UserAgentPolicy = None
    AzureCliCredential = CertificateCredential = ClientSecretCredential = ManagedIdentityCredential = None
    UsernamePasswordCredential = WorkloadIdentityCredential = ContainerServiceClient = None
    ContentDecodePolicy = None

    class CoreError(Exception):
        """Stands in while azure-core is missing; never raised, because ``require_azure_libraries`` comes first."""

    class ClientAuthenticationError(CoreError):
        """Likewise."""

    class CredentialUnavailableError(ClientAuthenticationError):
        """Likewise."""

    class HttpResponseError(CoreError):
        """Likewise."""

    class ServiceRequestError(CoreError):
        """Likewise."""

    class HTTPPolicy(Generic[_Sent, _Answered]):
        """Stands in while azure-core is missing; never used, because ``require_azure_libraries`` comes first."""


__all__ = [
    "AzureCliCredential",
    "CertificateCredential",
    "ClientAuthenticationError",
    "ClientSecretCredential",
    "ContainerServiceClient",
    "ContentDecodePolicy",
    "CoreError",
    "CredentialUnavailableError",
    "HTTPPolicy",
    "HttpRequest",
    "HttpResponseError",
    "ManagedIdentityCredential",
    "PipelineClient",
    "RequestIdPolicy",
    "RequestsTransport",
    "RetryPolicy",
    "ServiceRequestError",
    "UserAgentPolicy",
    "UsernamePasswordCredential",
    "WorkloadIdentityCredential",
    "require_azure_libraries",
]


def require_azure_libraries() -> None:
    """Makes sure that azure-identity and azure-mgmt-containerservice are there; both bring azure-core.

    Raises:
        MissingLibrary: One of them is not; the message says how to install it for this Python.
    """
    if _reason is not None:
        library = "azure-mgmt-containerservice" if "mgmt" in _reason else "azure-identity"
        raise MissingLibrary(library, python=sys.executable, reason=_reason)
