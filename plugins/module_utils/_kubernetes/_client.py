# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP with an API server: raw JSON, one policy of retries, typed errors, streams that can be interrupted."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import Access
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import (
    KubernetesError,
    SignInFailed,
    Unreachable,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._libraries import STREAM_ERRORS, requests, urllib3

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
"""Without a byte for so long, an answer counts as lost."""

RETRY_SECONDS = 20.0
"""How long an API server that does not answer, or answers 429 or 5xx, is asked again before a request fails; once in
any case, however long the first answer was waited for."""

_UNREADABLE: tuple[type[Exception], ...] = (ValueError, *STREAM_ERRORS)

TRANSIENT_STATUSES = frozenset({429, 500, 502, 503, 504})

_OR_RUN_COMMAND = ", or go through AKS: run_command: auto of aks.gpu.kubeconfig, aks_run_command: auto of the roles."

APPLY_TYPE = "application/apply-patch+yaml"


def is_transient(error: KubernetesError) -> bool:
    """True when the same request may succeed in a moment."""
    if isinstance(error, Unreachable):
        return error.transient
    return error.status in TRANSIENT_STATUSES and error.reason != "Invalid"


@dataclass(frozen=True)
class Ask:
    """Something to read.

    Attributes:
        path: The path from the root.
        query: Query parameters; those that are None are left out.
        accept: Wanted type of the answer; ``*/*`` for text.
    """

    path: str
    query: dict[str, Any] | None = None
    accept: str = "application/json"


class Stream:
    """A response that is read as it comes.

    Attributes:
        response: The open response.
    """

    def __init__(self, response: Any) -> None:
        self.response = response

    def lines(self) -> Iterator[bytes]:
        """Yields lines without their ends until the server ends the response.

        Raises:
            Unreachable: The connection was lost, also by ``interrupt``.
        """
        rest = b""
        try:
            # read_chunked gives what has come; iter_lines would hold a line back until more comes.
            raw = self.response.raw
            chunks = raw.read_chunked(decode_content=True) if raw.chunked else self.response.iter_content(512)
            for chunk in chunks:
                *complete, rest = (rest + chunk).split(b"\n")
                yield from complete
        except STREAM_ERRORS as error:
            raise Unreachable(f"The API server ended a response early: {error}.", transient=True) from error
        if rest:
            yield rest

    def interrupt(self) -> None:
        """Ends a ``lines`` that another thread is blocked in."""
        connection = getattr(self.response.raw, "_connection", None)
        active = getattr(connection, "sock", None)
        if active is None:
            active = getattr(getattr(getattr(self.response.raw, "_fp", None), "fp", None), "raw", None)
            active = getattr(active, "_sock", None)
        if active is not None:
            try:
                socket.socket.shutdown(active, socket.SHUT_RDWR)
            except OSError:
                return

    def close(self) -> None:
        """Gives the connection up."""
        self.response.close()


class Client:
    """Speaks with one API server; may be used by several threads.

    Args:
        access: The server and the credentials.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self._local = threading.local()
        self._renewing = threading.Lock()
        if not access.verify:
            # Whoever writes insecure-skip-tls-verify knows; a line on standard error for each request tells nobody.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

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
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(body).encode()
        response = self._answered(method, path, query, headers, data, retry_seconds)
        try:
            answer = response.json() if response.content else {}
        except ValueError as error:
            raise KubernetesError(f"{method} {path}: the answer of {self.access.server} is no JSON.") from error
        return answer if isinstance(answer, dict) else {}

    def exchange(self, asks: Sequence[Ask]) -> list[Any]:
        """Reads several things, and returns for each the object that is the answer, or the error."""
        return [self._asked(ask) for ask in asks]

    def _asked(self, ask: Ask) -> Any:
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
        return str(response.content.decode(errors="replace"))

    def stream(self, path: str, *, query: dict[str, Any], silence_seconds: float) -> Stream:
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
        return Stream(self._send("GET", path, query, headers, None, silence_seconds, stream=True))

    def _session(self) -> Any:
        session = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.mount("https://", _adapter(self.access.tls_server_name))
            session.mount("http://", _adapter(None))
            if self.access.proxy:
                session.proxies = {"http": self.access.proxy, "https": self.access.proxy}
            self._local.session = session
        return session

    def _answered(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None,
        headers: dict[str, str],
        data: bytes | None,
        retry_seconds: float,
    ) -> Any:
        """Returns the response to a request that may safely be sent twice."""
        until = time.monotonic() + retry_seconds
        pause = 0.2
        once_more = retry_seconds > 0
        while True:
            try:
                return self._send(method, path, query, headers, data, READ_SECONDS, stream=False)
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
        data: bytes | None,
        read_seconds: float,
        *,
        stream: bool,
        renewed: bool = False,
    ) -> Any:
        with self._renewing:
            authorization = self.access.credentials.header()
        try:
            # verify and auth are given with each request: else requests lets REQUESTS_CA_BUNDLE and a .netrc win.
            response = self._session().request(
                method,
                f"{self.access.server}{path}",
                params=query_parameters(query),
                data=data,
                headers={**headers, "User-Agent": "aks.gpu"},
                auth=_Authorization(authorization),
                cert=self.access.credentials.certificate,
                verify=(self.access.ca_file or True) if self.access.verify else False,
                timeout=(CONNECT_SECONDS, read_seconds),
                stream=stream,
                allow_redirects=False,
            )
        except requests.exceptions.RequestException as error:
            raise _unreachable(self.access.server, error) from error
        if response.status_code == 401 and not renewed and self.access.credentials.renewable:
            response.close()
            self.access.credentials.renew()
            return self._send(method, path, query, headers, data, read_seconds, stream=stream, renewed=True)
        if response.status_code >= 300:
            raise refusal(method, path, response, self.access.credentials.kind)
        return response


if requests is not None:

    class _Authorization(requests.auth.AuthBase):
        def __init__(self, value: str | None) -> None:
            self._value = value

        def __call__(self, request: Any) -> Any:
            if self._value:
                request.headers["Authorization"] = self._value
            return request

    class _Adapter(requests.adapters.HTTPAdapter):
        """Connections that notice a dead peer, and that may expect another name in the certificate."""

        def __init__(self, tls_server_name: str | None) -> None:
            self._pool_options: dict[str, Any] = {"socket_options": _socket_options()}
            if tls_server_name:
                self._pool_options |= {"server_hostname": tls_server_name, "assert_hostname": tls_server_name}
            super().__init__()

        def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
            super().init_poolmanager(connections, maxsize, block, **options, **self._pool_options)


def _adapter(tls_server_name: str | None) -> Any:
    return _Adapter(tls_server_name)


def _socket_options() -> list[tuple[int, int, int]]:
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


def query_parameters(query: dict[str, Any] | None) -> dict[str, str]:
    """Returns a query as text; what is None is left out."""
    given = {key: value for key, value in (query or {}).items() if value is not None}
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in given.items()}


def _unreachable(server: str, error: Any) -> Unreachable:
    text = str(error)
    host = urlsplit(server).hostname or server
    if isinstance(error, requests.exceptions.SSLError):
        return Unreachable(
            f"The certificate of {server} is not accepted: {_innermost(error)}.",
            hint="The kubeconfig may be of a cluster that was created anew since; fetch it again. A proxy that "
            "breaks TLS open needs its authority in ca_cert.",
            transient=False,
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return Unreachable(f"The proxy to {server} can't be used: {_innermost(error)}.", transient=True)
    if "NameResolutionError" in text or "Name or service not known" in text or "nodename nor servname" in text:
        private = ".privatelink." in host or ".private." in host
        return Unreachable(
            f"The name {host} of the API server does not resolve.",
            hint=(
                "This is a private AKS cluster: its API server has an address only inside its virtual network and the "
                f"networks linked to its private DNS zone. Run this from such a network{_OR_RUN_COMMAND}"
                if private
                else f"The cluster may be deleted, or private and out of reach from this network{_OR_RUN_COMMAND}"
            ),
            transient=False,
        )
    if isinstance(error, (requests.exceptions.ConnectTimeout, requests.exceptions.ReadTimeout)):
        return Unreachable(
            f"The API server {server} does not answer.",
            hint="A stopped cluster has to be started. A private cluster is reached only from its own network, and a "
            f"public one may allow only certain IP ranges (authorizedIpRanges){_OR_RUN_COMMAND}",
            transient=True,
        )
    return Unreachable(
        f"There is no connection to the API server {server}: {_innermost(error)}.",
        hint=f"The cluster may be stopped or deleted, or this network may not be allowed to reach it{_OR_RUN_COMMAND}",
        transient=True,
    )


def _innermost(error: BaseException) -> str:
    """The text at the bottom of a chain of exceptions, without the addresses of objects that the outer ones carry."""
    inner: BaseException | None = error
    while inner is not None:
        error = inner
        reason = getattr(inner, "reason", None)
        first = inner.args[0] if inner.args else None
        inner = next((x for x in (reason, first, *inner.args) if isinstance(x, BaseException)), None)
    text = str(error).rsplit("object at 0x", 1)[-1]
    return text.split(">: ", 1)[-1].split("): ", 1)[-1].rstrip(".")


def refusal(method: str, path: str, response: Any, credentials: str) -> KubernetesError:
    """Returns the error of a request that the API server refused.

    Args:
        method: The HTTP method.
        path: The path from the root.
        response: The answer.
        credentials: What the client signed in with, for the message.
    """
    try:
        status = json.loads(response.content)
    except _UNREADABLE:
        status = {}
    if not isinstance(status, dict):
        status = {}
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
        return SignInFailed(
            f"The API server does not accept the credentials of the kubeconfig ({credentials}): {text}.",
            hint="They may have expired, or were rotated: fetch them again, for example with aks.gpu.kubeconfig. Where "
            "local accounts are disabled, sign in with Microsoft Entra ID by kubelogin.",
            **common,
        )
    hint = None
    if code == 403 and "is forbidden: User" in text:
        hint = (
            "Give this identity the rights by Kubernetes RBAC, or by an Azure role such as 'Azure Kubernetes Service "
            "RBAC Admin' where Azure RBAC is on."
        )
    return KubernetesError(
        f"{method} {path}: {text}." if not status.get("message") else f"{text}.", hint=hint, **common
    )
