# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to an API server: raw JSON, one policy of retries, typed errors, streams that can be interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import Access
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import (
    CredentialPluginFailed,
    KubernetesError,
    Unreachable,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._http import (
    ApiResponse,
    HttpTransport,
    ResponseStream,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._text import visible_tree

API_SERVER_READ_SECONDS = 30.0
"""Without a byte for so long, an answer counts as lost."""

RETRY_SECONDS = 20.0
"""How long an API server that does not answer, or answers 429 or 5xx, is asked again before a request fails; once in
any case, however long the first answer was waited for."""

TRANSIENT_STATUSES = frozenset({429, 500, 502, 503, 504})

APPLY_TYPE = "application/apply-patch+yaml"


def is_transient(error: KubernetesError) -> bool:
    """True when the same request may succeed in a moment."""
    if isinstance(error, Unreachable):
        return error.transient
    return error.status in TRANSIENT_STATUSES and error.reason != "Invalid"


@dataclass(frozen=True)
class ReadRequest:
    """Something to read.

    Attributes:
        path: The path from the root.
        query: Query parameters; those that are None are left out.
        accept: Wanted type of the answer; ``*/*`` for text.
    """

    path: str
    query: dict[str, Any] | None = None
    accept: str = "application/json"


class Client:
    """Speaks with one API server; may be used by several threads.

    Args:
        access: The server and the credentials.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self._transport = HttpTransport(access)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Returns the object at a path.

        Raises:
            KubernetesError: The server refused, or gave no answer.
        """
        return self.request("GET", path, query=query)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        retry_seconds: float = RETRY_SECONDS,
    ) -> dict[str, Any]:
        """Sends a request that may safely be sent twice, and returns the object that is the answer.

        Args:
            method: The HTTP method.
            path: The path from the root, such as ``/api/v1/nodes``.
            query: Query parameters; those that are None are left out.
            body: Sent as JSON, which is also valid YAML.
            content_type: Type of the body.
            accept: Wanted type of the answer.
            retry_seconds: How long a failure that may pass is tried again.

        Raises:
            SignInFailed: The server does not accept the credentials.
            Unreachable: The server gave no answer.
            KubernetesError: The server refused.
        """
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        response = self._answered(method, path, query, headers, body, retry_seconds)
        try:
            answer = response.json() if response.content else {}
        except ValueError as error:
            raise KubernetesError(f"{method} {path}: the answer of {self.access.server} is not JSON.") from error
        return answer if isinstance(answer, dict) else {}

    def read_many(self, asks: Sequence[ReadRequest]) -> list[Any]:
        """Reads several things, and returns for each the object that is the answer, or the error."""
        return [self._asked(ask) for ask in asks]

    def _asked(self, ask: ReadRequest) -> Any:
        try:
            if ask.accept == "*/*":
                return self.text(ask.path, **(ask.query or {}))
            return self.request("GET", ask.path, query=ask.query, accept=ask.accept)
        except KubernetesError as error:
            return error

    def text(self, path: str, *, retry_seconds: float = 0.0, **query: Any) -> str:
        """Returns an answer that is text, such as a log.

        Args:
            path: The path from the root.
            retry_seconds: How long a failure that may pass is tried again.
            query: Query parameters.

        Raises:
            KubernetesError: The server refused, or gave no answer.
        """
        response = self._answered("GET", path, query, {"Accept": "*/*"}, None, retry_seconds)
        return response.content.decode(errors="replace")

    def stream(self, path: str, *, query: dict[str, Any], silence_seconds: float) -> ResponseStream:
        """Opens a response that is read as it comes: a watch, or a log that is followed. It is not tried again.

        Args:
            path: The path from the root.
            query: Query parameters.
            silence_seconds: A connection without a byte for so long counts as lost.

        Raises:
            KubernetesError: The server refused, or gave no answer.
        """
        # What is packed arrives in blocks, long after it happened.
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        answer = self._send("GET", path, query, headers, None, silence_seconds, stream=True)
        if answer.stream is None:
            raise AssertionError("a request for a stream is answered with one")
        return answer.stream

    def _answered(
        self, method: str, path: str, query: dict[str, Any] | None, headers: dict[str, str], body: Any, seconds: float
    ) -> ApiResponse:
        """Returns the response to a request that may safely be sent twice."""
        until = time.monotonic() + seconds
        pause = 0.2
        once_more = seconds > 0
        while True:
            try:
                return self._send(method, path, query, headers, body, API_SERVER_READ_SECONDS, stream=False)
            except KubernetesError as error:
                wait = float(error.status_details.get("retryAfterSeconds") or 0) or pause
                if not is_transient(error):
                    raise
                if time.monotonic() + wait > until and not (once_more and isinstance(error, Unreachable)):
                    raise
                once_more = False
                time.sleep(wait)
                pause = min(2.0, pause * 2)

    def _send(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None,
        headers: dict[str, str],
        body: Any,
        read_seconds: float,
        *,
        stream: bool,
    ) -> ApiResponse:
        credentials = self.access.credentials
        target = target_of(path, query)
        answer = self._carry(method, target, headers, body, read_seconds, stream=stream)
        if answer.status_code == 401 and credentials.renewable:
            credentials.renew()
            answer = self._carry(method, target, headers, body, read_seconds, stream=stream)
        if answer.status_code >= 300:
            raise error_from_response(method, path, answer, credentials.kind)
        return answer

    def _carry(
        self, method: str, target: str, headers: dict[str, str], body: Any, read_seconds: float, *, stream: bool
    ) -> ApiResponse:
        """Sends a request once; another transport replaces this."""
        return self._transport.send(method, target, headers, body, read_seconds, stream=stream)


def target_of(path: str, query: dict[str, Any] | None) -> str:
    """Returns a path with its query as text; what is None is left out."""
    given = {key: value for key, value in (query or {}).items() if value is not None}
    texts = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in given.items()}
    return f"{path}?{urlencode(texts)}" if texts else path


def error_from_response(method: str, path: str, response: ApiResponse, credentials: str) -> KubernetesError:
    """Returns the error of a request that the API server refused.

    Args:
        method: The HTTP method.
        path: The path from the root.
        response: The answer.
        credentials: What the client signed in with, for the message.
    """
    try:
        status = response.json()
    except ValueError:
        status = {}
    status = visible_tree(status) if isinstance(status, dict) else {}
    code = response.status_code
    text = str(status.get("message") or response.reason or "no reason given").rstrip(".")
    details = status.get("details") or {}
    if "Retry-After" in response.headers and response.headers["Retry-After"].isdigit():
        details.setdefault("retryAfterSeconds", int(response.headers["Retry-After"]))
    common: dict[str, Any] = {
        "status": code,
        # A field that the schema does not have is an error 500 of server-side apply, without a reason.
        "reason": "Invalid" if "typed patch object" in text else str(status.get("reason") or ""),
        "causes": details.get("causes") or [],
        "details": details,
    }
    if code == 401:
        return CredentialPluginFailed(
            f"The API server does not accept the credentials of the kubeconfig ({credentials}): {text}.",
            hint="They may have expired, or were rotated: fetch them again, for example with aks.gpu.kubeconfig. Where "
            "local accounts are disabled, sign in with Microsoft Entra ID by kubelogin.",
            **common,
        )
    hint = None
    if code == 403 and "is forbidden: User" in text:
        hint = (
            "Give this identity the rights by Kubernetes RBAC, or by an Azure role such as 'Azure Kubernetes Service "
            "RBAC Admin' where Azure RBAC is on. docs/azure.md lists the rights that aks.gpu requires."
        )
    return KubernetesError(
        f"{method} {path}: {text}." if not status.get("message") else f"{text}.", hint=hint, **common
    )


Connect = Callable[[], Client]
"""Returns a client of the cluster of a task."""
