# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one door to an API server: the official client, with a ``Configuration`` filled from an ``Access``.

Connections, TLS, proxies and the header of the sign-in are the library's. It tries nothing again (``retries=False``)
and follows no redirect: ``_client`` decides that, within the task's deadline.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import MissingLibrary
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _official_client as official
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import Access
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import Unreachable

API_SERVER_CONNECT_SECONDS = 10.0
MOST_IDLE_CONNECTIONS = 64
"""More are never kept; each watch and each log that is followed holds one of its own."""

_OR_RUN_COMMAND = ", or go through AKS: run_command: auto of aks.gpu.kubeconfig, aks_run_command: auto of the roles."

_CONNECTION_LOST: tuple[type[Exception], ...] = (http.client.HTTPException, OSError)
if official.urllib3 is not None:
    _CONNECTION_LOST += (official.urllib3.exceptions.HTTPError,)


@dataclass(frozen=True)
class ApiResponse:
    """An answer of the API server, as far as the client looks at it.

    Attributes:
        status_code: The HTTP status.
        reason: Its words.
        headers: By name, in title case as ``Retry-After``.
        content: The body; empty while ``stream`` gives it.
        stream: Set when the body is read as it comes.
    """

    status_code: int
    reason: str
    headers: Mapping[str, str]
    content: bytes
    stream: ResponseStream | None = None

    def json(self) -> Any:
        """Returns the body as data. Raises ``ValueError`` when it is not JSON."""
        return json.loads(self.content)


class ResponseStream:
    """A response that is read as it comes.

    Args:
        response: The open response of ``urllib3``.
        server: The API server, for messages.
    """

    def __init__(self, response: Any, server: str) -> None:
        self._response = response
        self._server = server

    def lines(self) -> Iterator[bytes]:
        """Yields lines without their ends until the server ends the response.

        Raises:
            Unreachable: The connection was lost, also by ``interrupt``.
        """
        begun: list[bytes] = []  # Joined once: a line may come in any number of pieces.
        for chunk in self.chunks():
            first, *others = chunk.split(b"\n")
            begun.append(first)
            for other in others:
                yield b"".join(begun)
                begun = [other]
        rest = b"".join(begun)
        if rest:
            yield rest

    def chunks(self) -> Iterator[bytes]:
        """Yields bytes as they come until the server ends the response.

        Raises:
            Unreachable: The connection was lost, also by ``interrupt``.
        """
        try:
            # read_chunked gives what has come; stream would hold a line back until more comes.
            chunked = self._response.chunked
            yield from self._response.read_chunked() if chunked else self._response.stream(512)
        except _CONNECTION_LOST as error:
            raise Unreachable(f"The API server ended a response early: {error}.", transient=True) from error

    def interrupt(self) -> None:
        """Ends a ``lines`` that another thread is blocked in."""
        official.interrupt(self._response)

    def close(self) -> None:
        """Gives the connection up."""
        self._response.close()


class HttpTransport:
    """Sends requests to one API server; may be used by several threads.

    Args:
        access: The server and the credentials.

    Raises:
        MissingLibrary: ``kubernetes`` is missing, or PySocks where the proxy requires it.
    """

    def __init__(self, access: Access) -> None:
        official.require_official_client()
        self._access = access
        self._lock = threading.Lock()
        self._client: Any = None
        self._certificate: tuple[str, str] | None = None
        self._proxy = _proxy_of(access)
        if not access.verify:
            # The kubeconfig asks for insecure-skip-tls-verify; a warning for each request adds nothing.
            official.urllib3.disable_warnings(official.urllib3.exceptions.InsecureRequestWarning)

    def send(
        self, method: str, target: str, headers: Mapping[str, str], body: Any, seconds: float, *, stream: bool = False
    ) -> ApiResponse:
        """Sends a request once, and returns the answer, whatever its status.

        Args:
            method: The HTTP method.
            target: Path and query.
            headers: Header fields.
            body: Sent as JSON; None for none.
            seconds: Without a byte for so long, the answer counts as lost.
            stream: The body of an answer that is not an error is read as it comes.

        Raises:
            SignInFailed: There are no credentials to be had.
            Unreachable: The server gave no answer.
        """
        server = self._access.server
        fields = official.HTTPHeaderDict({"User-Agent": "aks.gpu", "Accept-Encoding": "gzip", **headers})
        for name, value in self._access.impersonation:
            fields.add(name, value)
        with self._lock:
            client = self._sign_in(fields, method, target)
        with _translated(server):
            response = official.open_response(
                client, method, f"{server}{target}", fields, body, (API_SERVER_CONNECT_SECONDS, seconds)
            )
            if stream and response.status < 300:
                return ApiResponse(
                    response.status, response.reason, response.headers, b"", ResponseStream(response, server)
                )
            return ApiResponse(response.status, response.reason, response.headers, response.data)

    def _sign_in(self, headers: Any, method: str, target: str) -> Any:
        """Adds credentials that hold, and returns the client: another one where an exec plugin changed certificates."""
        credentials = self._access.credentials
        prefix, value = "Bearer", credentials.token() or ""
        if self._client is None or self._certificate != credentials.certificate:
            self._certificate = credentials.certificate
            self._client = official.api_client(self._configuration())
        if not value and credentials.password:
            configuration = self._client.configuration
            configuration.username, configuration.password = credentials.password
            prefix, value = "", configuration.get_basic_auth_token()
        official.authorize(self._client, headers, method, target, prefix, value)
        return self._client

    def _configuration(self) -> Any:
        access = self._access
        configuration = official.Configuration(host=access.server)
        configuration.verify_ssl = access.verify
        configuration.ssl_ca_cert = access.ca_file
        configuration.tls_server_name = access.tls_server_name
        configuration.cert_file, configuration.key_file = self._certificate or (None, None)
        configuration.proxy, configuration.no_proxy = self._proxy, ""
        configuration.proxy_headers = _proxy_headers(self._proxy)
        configuration.retries = False
        configuration.connection_pool_maxsize = MOST_IDLE_CONNECTIONS
        configuration.socket_options = _socket_options()
        return configuration


def _proxy_of(access: Access) -> str | None:
    """Returns the proxy to a server.

    As in kubectl, the kubeconfig's own proxy goes before the environment's, and ``NO_PROXY`` is not for it.
    """
    proxy = access.proxy
    if proxy is None:
        proxies = getproxies()
        proxy = proxies.get(urlsplit(access.server).scheme) or proxies.get("all")
        # Not getproxies()["no"]: an empty no_proxy would undo NO_PROXY there, as it does not in kubectl.
        without = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        if not proxy or official.should_bypass_proxies(access.server, no_proxy=without):
            return None
        proxy = proxy if "://" in proxy else f"http://{proxy}"
    if proxy.startswith("socks") and importlib.util.find_spec("socks") is None:
        why = f"the proxy {_without_password(proxy)} is a SOCKS proxy, which requires it"
        raise MissingLibrary("PySocks", python=sys.executable, reason=why)
    return proxy


def _without_password(url: str) -> str:
    scheme, _slashes, place = url.partition("://")
    return f"{scheme}://{place.rpartition('@')[2]}"


def _proxy_headers(proxy: str | None) -> Any:
    found = urlsplit(proxy or "")
    if not found.username or not found.scheme.startswith("http"):
        return None
    pair = f"{unquote(found.username)}:{unquote(found.password or '')}"
    return official.urllib3.make_headers(proxy_basic_auth=pair)


def _socket_options() -> list[tuple[int, int, int]]:
    """Returns what makes connections notice a dead peer within half a minute."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


@contextlib.contextmanager
def _translated(server: str) -> Iterator[None]:
    try:
        yield
    except official.ApiException as error:  # What the library makes of an error of TLS, and of nothing else.
        raise _unreachable(server, error.__context__ or error) from error
    except _CONNECTION_LOST as error:
        raise _unreachable(server, error) from error


def _unreachable(server: str, error: BaseException) -> Unreachable:
    errors = official.urllib3.exceptions
    text = f"{type(error).__name__}: {error}"
    host = urlsplit(server).hostname or server
    if isinstance(error, errors.SSLError):
        return Unreachable(
            f"The certificate of {server} is not accepted: {_innermost_error(error)}.",
            hint="The kubeconfig may be of a cluster that was created anew since; fetch it again. A proxy that "
            "breaks TLS open needs its authority in ca_cert.",
            transient=False,
        )
    if isinstance(error, errors.ProxyError):
        return Unreachable(f"The proxy to {server} can't be used: {_innermost_error(error)}.", transient=True)
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
    if isinstance(error, errors.TimeoutError) and not isinstance(error, errors.NewConnectionError):
        return Unreachable(
            f"The API server {server} does not answer.",
            hint="A stopped cluster has to be started. A private cluster is reached only from its own network, and a "
            f"public one may allow only certain IP ranges (authorizedIpRanges){_OR_RUN_COMMAND}",
            transient=True,
        )
    return Unreachable(
        f"There is no connection to the API server {server}: {_innermost_error(error)}.",
        hint=f"The cluster may be stopped or deleted, or this network may not be allowed to reach it{_OR_RUN_COMMAND}",
        transient=True,
    )


def _innermost_error(error: BaseException) -> str:
    """The text at the bottom of a chain of exceptions, without the addresses of objects that the outer ones carry."""
    inner: BaseException | None = error
    while inner is not None:
        error = inner
        reason = getattr(inner, "reason", None)
        first = inner.args[0] if inner.args else None
        inner = next((x for x in (reason, first, *inner.args) if isinstance(x, BaseException)), None)
    text = str(error).rsplit("object at 0x", 1)[-1]
    return text.split(">: ", 1)[-1].split("): ", 1)[-1].rstrip(".")
