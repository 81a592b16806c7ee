# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door to Azure: Resource Manager by the SDK's ``ContainerServiceClient``, data planes by azure-core's client.

Both send their requests by the policies of ``_policies``. Bodies are plain JSON in both directions, so that a field
that this collection doesn't know survives a round trip.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, Progress
from ansible_collections.aks.gpu.plugins.module_utils._azure import _libraries as libraries
from ansible_collections.aks.gpu.plugins.module_utils._azure._cloud import Cloud
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError
from ansible_collections.aks.gpu.plugins.module_utils._azure._policies import (
    USER_AGENT,
    Authentication,
    Call,
    RetryBudget,
    parsed,
    policies,
    retry_after,
)
from ansible_collections.aks.gpu.plugins.module_utils._azure._recording import recording_policies
from ansible_collections.aks.gpu.plugins.module_utils._azure._sign_in import Tokens

if TYPE_CHECKING:
    from azure.mgmt.containerservice import ContainerServiceClient

API_VERSIONS = {
    "containerservice": "2026-08-01",
    "features": "2021-07-01",
    "providers": "2025-04-01",
    "resource_groups": "2025-04-01",
    "skus": "2021-07-01",
    "usages": "2026-04-01",
    "subscriptions": "2022-12-01",
    "permissions": "2022-04-01",
    "subnets": "2024-05-01",
    "workspaces": "2023-09-01",
    "data_collection": "2022-06-01",
    "monitor_accounts": "2023-04-03",
}
"""The version of each interface of Resource Manager that is used, here and nowhere else."""


@dataclass(frozen=True)
class ArmResponse:
    """What Azure answered.

    Attributes:
        status: The HTTP status, below 300.
        body: The parsed JSON, or None when there was none.
        headers: By lower-case name.
    """

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def retry_after(self) -> float | None:
        """Seconds after which Azure wants to be asked again, or None."""
        return retry_after(self.headers)


class ServiceClient:
    """A client of one service of Azure, for one task.

    Args:
        base_url: The service, without a slash at the end.
        tokens: Who is asking; their audience is the service's.
        deadline: Shared by everything that the task does.
        progress: Told about every wait.
        ca_bundle: A file of certificates to trust instead of the system's, or None.
        patience: What else is special about the service: keywords of ``RetryBudget``.
    """

    def __init__(
        self,
        base_url: str,
        tokens: Tokens,
        deadline: Deadline,
        progress: Progress,
        *,
        ca_bundle: str | None = None,
        **patience: Any,
    ) -> None:
        self.base_url = base_url
        self.tokens = tokens
        self.deadline = deadline
        self.progress = progress
        self.ca_bundle = ca_bundle
        self._patience = RetryBudget(base_url, deadline, progress, **patience)
        self._authentication = Authentication(tokens, base_url)
        self._policies = policies(self._patience, self._authentication)
        self._sender: Any = None

    def get(
        self, path: str, api: str, *, query: Mapping[str, str] | None = None, activity: str | None = None
    ) -> ArmResponse:
        """Reads.

        Args:
            path: From the first slash on, or a whole URL that Azure has returned.
            api: A key of ``API_VERSIONS``; empty where the path is whole.
            query: Further parameters.
            activity: What is being done, for the text of an error.

        Raises:
            AzureError: Azure refused.
            ConnectionFailed: Azure could not be reached.
            DeadlineExceeded: It did not answer in time.
        """
        return self._send("GET", path, api, Call(activity), query=query)

    def get_or_none(self, path: str, api: str, *, activity: str | None = None) -> Any:
        """Returns the body of what is there, or None when there is nothing (404)."""
        return found(lambda: self.get(path, api, activity=activity))

    def items(
        self, path: str, api: str, *, query: Mapping[str, str] | None = None, activity: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Returns what a list holds, page by page; a page may be empty."""
        answer = self.get(path, api, query=query, activity=activity)
        while True:
            body = answer.body if isinstance(answer.body, Mapping) else {}
            yield from body.get("value") or ()
            following = body.get("nextLink")
            if not following:
                return
            answer = self.get(following, "", activity=activity)

    def put(self, path: str, api: str, body: Any, *, activity: str | None = None) -> ArmResponse:
        """Writes a resource; waits while another operation is in progress. Raises as ``get`` does."""
        return self._send("PUT", path, api, Call(activity, wait_while_busy=True), body=body)

    def post(
        self,
        path: str,
        api: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        activity: str | None = None,
    ) -> ArmResponse:
        """Acts, where acting twice is as good as once. Raises as ``get`` does."""
        return self._send("POST", path, api, Call(activity), headers=headers, body=body)

    def delete(self, path: str, api: str, *, activity: str | None = None) -> ArmResponse:
        """Deletes; waits while another operation is in progress. Raises as ``get`` does."""
        return self._send("DELETE", path, api, Call(activity, wait_while_busy=True))

    def pause(self, seconds: float) -> None:
        """Waits, but never beyond the deadline."""
        self._patience.pause(seconds)

    def _send(
        self,
        method: str,
        path: str,
        api: str,
        call: Call,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> ArmResponse:
        url = self.base_url + path if path.startswith("/") else path
        parameters = {**({"api-version": API_VERSIONS[api]} if api else {}), **(query or {})}
        request = libraries.HttpRequest(
            method,
            url,
            params=parameters or None,
            headers={"Accept": "application/json", **(headers or {})},
            json=body,
        )
        self.sender.send_request(request, call=call)
        return _arm_response(call)

    @property
    def sender(self) -> Any:
        """What sends requests: azure-core's client, with TLS verified and proxies as the environment says."""
        if self._sender is None:
            transport = _transport(self.ca_bundle)
            self._sender = libraries.PipelineClient(self.base_url, policies=self._policies, **transport)
        return self._sender


class ArmClient(ServiceClient):
    """A client of Resource Manager for one task.

    Args:
        cloud: Where Resource Manager is.
        tokens: Who is asking.
        deadline: Shared by everything that the task does.
        progress: Told about every wait.
        subscription_id: The subscription of the clusters.
        ca_bundle: A file of certificates to trust instead of the system's, or None.
        sleep: Waits a number of seconds.
    """

    def __init__(
        self,
        cloud: Cloud,
        tokens: Tokens,
        deadline: Deadline,
        progress: Progress,
        *,
        subscription_id: str,
        ca_bundle: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(cloud.resource_manager, tokens, deadline, progress, ca_bundle=ca_bundle, sleep=sleep)
        self.cloud = cloud
        self.subscription_id = subscription_id
        self._policies += recording_policies()
        self._services: dict[str, Any] = {}

    def token(self, audience: str) -> str:
        """Returns a token for another audience than Resource Manager. Raises ``SignInFailed``."""
        return self.tokens.token(audience)

    @property
    def sender(self) -> Any:
        """What sends requests to other providers than AKS: the SDK's client of AKS.

        With an SDK that has no ``send_request`` azure-core's client sends them, by the same policies.
        """
        return self.aks if _is_recent() else super().sender

    @property
    def aks(self) -> ContainerServiceClient:
        """The SDK's client of AKS. Its operations are called by ``run``, ``begin`` and ``list``."""
        return self.aks_of(self.subscription_id)

    def aks_of(self, subscription_id: str) -> ContainerServiceClient:
        """Returns the SDK's client of the AKS of another subscription."""
        service = self._services.get(subscription_id)
        if service is None:
            credential: Any = self.tokens  # only the authentication policy, which is ours, uses it
            # Before 41.0 the SDK's models are made of what this policy has decoded.
            decoding = [] if _is_recent() else [libraries.ContentDecodePolicy()]
            service = self._services[subscription_id] = libraries.ContainerServiceClient(
                credential,
                subscription_id,
                base_url=self.base_url,
                policies=[*decoding, *self._policies],
                authentication_policy=self._authentication,
                **_transport(self.ca_bundle),
            )
        return service

    def run(self, operation: Callable[..., Any], *arguments: Any, activity: str, **keywords: Any) -> ArmResponse:
        """Calls an operation of the SDK and returns Azure's answer as it came. Raises as ``get`` does.

        Args:
            operation: Such as ``aks.agent_pools.get``.
            arguments: Its arguments.
            activity: What is being done, for the text of an error.
            keywords: Its keyword arguments.
        """
        return self._call(operation, arguments, keywords, Call(activity))

    def find_by(self, operation: Callable[..., Any], *arguments: Any, activity: str) -> Any:
        """Calls an operation that reads; returns the body of what is there, or None when there is nothing (404)."""
        return found(lambda: self.run(operation, *arguments, activity=activity))

    def begin(
        self, operation: Callable[..., Any], *arguments: Any, call: Call, body: Any = None, **keywords: Any
    ) -> ArmResponse:
        """Starts a long-running operation of the SDK and returns the answer to its first request.

        Args:
            operation: Such as ``aks.agent_pools.begin_delete``.
            arguments: Its arguments.
            call: When the request is to be repeated.
            body: Its body; a field that the SDK's models don't know is sent as it is.
            keywords: Its keyword arguments: ``headers``, ``params``.
        """
        sent = () if body is None else (json.dumps(body).encode(),)
        # The SDK's pollers have no deadline, show no progress and can't attach to an operation that is under way.
        return self._call(operation, (*arguments, *sent), {**keywords, "polling": False}, call)

    def list(self, operation: Callable[..., Any], *arguments: Any, activity: str) -> list[dict[str, Any]]:
        """Calls an operation of the SDK that lists, page by page, and returns the items as they came."""
        call = Call(activity)
        items: list[dict[str, Any]] = []
        try:
            for _page in operation(*arguments, call=call, params=_version()).by_page():
                items += _arm_response(call).body.get("value") or ()
            return items
        except (libraries.HttpResponseError, ValueError) as error:
            if call.response is None:
                raise
            raise call.error from error

    @staticmethod
    def _call(
        operation: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any], call: Call
    ) -> ArmResponse:
        parameters = {**_version(), **keywords.pop("params", {})}
        try:
            operation(*arguments, call=call, params=parameters, **keywords)
        except (libraries.HttpResponseError, ValueError):
            # An answer that the SDK doesn't accept, by its status or as JSON, is judged below.
            if call.response is None:
                raise
        return _arm_response(call)


def if_not_modified(etag: str | None) -> dict[str, str]:
    """Returns the headers by which only what has not changed since it was read is written."""
    return {"If-Match": '"' + etag.strip('"') + '"'} if etag else {}


IF_MISSING = {"If-None-Match": "*"}
"""The headers by which only what is not there is written."""


def _is_recent() -> bool:
    """Says whether the SDK has ``send_request``, which came with 41.0 and its models that are mappings."""
    return hasattr(libraries.ContainerServiceClient, "send_request")


def _version() -> dict[str, str]:
    return {"api-version": API_VERSIONS["containerservice"]}


def unauthenticated(base_url: str, ca_bundle: str | None, more: Sequence[Any] = ()) -> Any:
    """Returns azure-core's client of a service that asks for no token, such as a cloud's metadata.

    Args:
        base_url: The service.
        ca_bundle: A file of certificates to trust, or None for the system's (or ``REQUESTS_CA_BUNDLE``).
        more: Policies besides those that name the request and the client.
    """
    names = [libraries.RequestIdPolicy(), libraries.UserAgentPolicy(USER_AGENT)]
    return libraries.PipelineClient(base_url, policies=[*names, *more], **_transport(ca_bundle))


def _transport(ca_bundle: str | None) -> dict[str, Any]:
    return {"connection_verify": ca_bundle} if ca_bundle else {}


def found(read: Callable[[], ArmResponse]) -> Any:
    """Returns the body of an answer, or None when there is nothing (404)."""
    try:
        return read().body
    except AzureError as error:
        if error.status == 404:
            return None
        raise


def _arm_response(call: Call) -> ArmResponse:
    response = call.response
    if response.status_code >= 300:
        raise call.error
    return ArmResponse(
        response.status_code, parsed(response), {name.lower(): value for name, value in response.headers.items()}
    )
