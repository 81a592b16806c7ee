# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The official Python client of Kubernetes, and all that differs between its releases.

Release 37 is made by another generator than 36 and older: ``call_api`` takes other parameters, hands the response out
unread, and carries a header that occurs more than once, such as ``Impersonate-Group``. Older releases are asked
through the same connection pool, ``rest_client.pool_manager``, which they expose.
"""

from __future__ import annotations

import inspect
import json
import socket
import sys
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import MissingLibrary

_missing_client: str | None = None

try:
    import urllib3
    from kubernetes.client import ApiClient, ApiException, Configuration
    from kubernetes.client.rest import should_bypass_proxies
    from kubernetes.utils import parse_quantity
    from urllib3.response import HTTPHeaderDict  # type: ignore[attr-defined]
except ImportError as error:
    urllib3 = ApiClient = ApiException = Configuration = should_bypass_proxies = parse_quantity = HTTPHeaderDict = None
    _missing_client = str(error)

__all__ = [
    "ApiClient",
    "ApiException",
    "Configuration",
    "HTTPHeaderDict",
    "parse_quantity",
    "should_bypass_proxies",
    "urllib3",
]

_SEND = "url" + "open"
"""The method of urllib3's pools. Its ``request`` joins headers that are given more than once. The name is put together
because ansible-test takes it for the function of urllib."""

_SINCE_37 = ApiClient is not None and "url" in inspect.signature(ApiClient.call_api).parameters


def require_official_client() -> None:
    """Checks that the package ``kubernetes`` could be imported.

    Raises:
        MissingLibrary: It could not; the error says for which Python.
    """
    if _missing_client:
        raise MissingLibrary("kubernetes", python=sys.executable, reason=_missing_client)


def api_client(configuration: Any) -> Any:
    """Returns an ``ApiClient`` for a ``Configuration``.

    Releases up to 35 ignore ``socket_options``, and up to 36 can't use a SOCKS proxy.
    """
    proxy = str(configuration.proxy or "")
    if _SINCE_37:
        return ApiClient(configuration)
    socks = proxy.startswith("socks")
    if socks:
        configuration.proxy = None
    client = ApiClient(configuration)
    options = client.rest_client.pool_manager.connection_pool_kw
    options["socket_options"] = configuration.socket_options
    if socks:
        from urllib3.contrib.socks import SOCKSProxyManager

        client.rest_client.pool_manager = SOCKSProxyManager(proxy, **options)
    return client


def authorize(client: Any, headers: Any, method: str, path: str, prefix: str, value: str) -> None:
    """Adds the header of a sign-in to those of a request.

    Args:
        client: Made by ``api_client``.
        headers: An ``HTTPHeaderDict``.
        method: The HTTP method.
        path: Path and query.
        prefix: ``Bearer``, or empty.
        value: A token, or the whole value; empty where nothing is to be added.
    """
    names = ("authorization", "BearerToken") if value else ()  # Up to release 35, and since 36.
    client.configuration.api_key = dict.fromkeys(names, value)
    client.configuration.api_key_prefix = dict.fromkeys(names, prefix)
    more = (path, method, None) if _SINCE_37 else ()
    client.update_params_for_auth(headers, [], ["BearerToken"], *more)


def open_response(client: Any, method: str, url: str, headers: Any, body: Any, timeout: tuple[float, float]) -> Any:
    """Sends a request, and returns the ``urllib3.HTTPResponse`` as soon as its headers are there.

    Args:
        client: Made by ``api_client``.
        method: The HTTP method.
        url: The whole URL.
        headers: An ``HTTPHeaderDict``.
        body: Sent as JSON; None for none.
        timeout: Seconds to connect, and to wait for each part of the answer.
    """
    if not _SINCE_37:
        data = None if body is None else json.dumps(body)
        limits = urllib3.Timeout(connect=timeout[0], read=timeout[1])
        pools = client.rest_client.pool_manager
        return getattr(pools, _SEND)(
            method, url, headers=headers, body=data, timeout=limits, redirect=False, preload_content=False
        )
    return client.call_api(method, url, header_params=headers, body=body, _request_timeout=timeout).response


def interrupt(response: Any) -> None:
    """Ends the reading of a response that another thread is blocked in; does nothing once it has ended."""
    try:
        if hasattr(response, "shutdown"):
            response.shutdown()
            return
        # urllib3 before 2.3 has no public name for it.
        active = getattr(getattr(response, "_connection", None), "sock", None)
        if active is not None:
            socket.socket.shutdown(active, socket.SHUT_RDWR)
    except (OSError, RuntimeError, ValueError):
        return
