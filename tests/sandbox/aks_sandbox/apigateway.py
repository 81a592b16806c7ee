"""Stands before an API server, as a load balancer does, and breaks the requests that a test has planted faults for.

It ends TLS with a certificate of the cluster's own authority, and goes on as whoever the client's certificate says it
is; tokens are passed on. What is streamed (watches, logs) is passed on as it comes. Upgraded connections (exec,
port-forward) are not.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import time
from pathlib import Path

import aiohttp
from aiohttp import web

from aks_sandbox.arm.faults import Faults, Rule
from aks_sandbox.certificates import Authority, KeyPair, write_private
from aks_sandbox.interfaces import Json

STREAM_SECONDS = 1.0
"""How long a stream goes well before it is reset."""

_REASONS = {
    401: ("Unauthorized", "Unauthorized"),
    409: (
        "Conflict",
        "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version "
        "and try again",
    ),
    410: ("Expired", "The resourceVersion for the provided watch is too old."),
    429: ("TooManyRequests", "Too many requests, please try again later."),
    500: ("InternalError", "Internal error occurred: etcdserver: request timed out"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
}
_OF_ONE_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host", "content-length"}


class ApiGateway:
    """The front of one API server.

    Args:
        server: URL of the API server.
        directory: The control plane's, where keys may lie.
        authority: The cluster's.
        clients: Client certificates of those who may come, by the organization in them.
        faults: The sandbox's; those for Kubernetes are looked at.
        record: Each request is written there, a JSON object a line: time, method, url, status; 0 for a reset.
    """

    def __init__(
        self,
        server: str,
        directory: Path,
        authority: Authority,
        clients: dict[str, KeyPair],
        faults: Faults,
        record: Path,
    ) -> None:
        self._server = server
        self._directory = directory
        self._authority = authority
        self._clients = clients
        self._faults = faults
        self._record = record
        self._sessions: dict[str | None, aiohttp.ClientSession] = {}
        self._runner: web.ServerRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen on a free loopback port."""
        ca = str(self._directory / "ca.pem")
        certificate, key = self._authority.server().write(self._directory, "gateway")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
        context.load_cert_chain(certificate, key)
        context.verify_mode = ssl.CERT_OPTIONAL
        for organization, pair in (*self._clients.items(), (None, None)):
            upstream = ssl.create_default_context(cafile=ca)
            if pair is not None:
                both = self._directory / "gateway-client.pem"
                write_private(both, pair.certificate + pair.key)
                upstream.load_cert_chain(both)
                both.unlink()
            self._sessions[organization] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=upstream, limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                auto_decompress=False,
            )
        handler = web.Server(self._handle, access_log=None, handler_cancellation=True)  # type: ignore[arg-type]
        self._runner = web.ServerRunner(handler, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the front and its connections."""
        if self._runner is not None:
            await self._runner.cleanup()
        await asyncio.gather(*(session.close() for session in self._sessions.values()))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        rule = self._faults.matching(request.method, request.path_qs, kubernetes=True)
        if rule is not None:
            if rule.reset == "before":
                return self._reset(request)
            await asyncio.sleep(rule.hang)
            status = self._refusal(rule)
            if status and not rule.acts:
                return self._answer(request, status, rule)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_ONE_HOP}
        session = self._sessions[self._organization(request)]
        try:
            async with session.request(
                request.method,
                self._server + request.path_qs,
                data=body or None,
                headers=headers,
                allow_redirects=False,
                skip_auto_headers=("Accept", "Content-Type", "User-Agent", "Accept-Encoding"),
            ) as upstream:
                return await self._pass_on(request, upstream, rule)
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            return self._reset(request)

    async def _pass_on(
        self, request: web.Request, upstream: aiohttp.ClientResponse, rule: Rule | None
    ) -> web.StreamResponse:
        streamed = request.query.get("watch") == "true" or request.query.get("follow") == "true"
        headers = {name: value for name, value in upstream.headers.items() if name.lower() not in _OF_ONE_HOP}
        if not streamed:
            content = await upstream.read()
            if rule is not None:
                await asyncio.sleep(rule.hang_after)
                if rule.reset == "after":
                    return self._reset(request)
                if rule.acts and rule.status:
                    return self._answer(request, rule.status, rule)
            self._write(request, upstream.status)
            return web.Response(status=upstream.status, headers=headers, body=content)
        self._write(request, upstream.status)
        response = web.StreamResponse(status=upstream.status, headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        until = time.monotonic() + STREAM_SECONDS if rule is not None and rule.reset == "after" else None
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            try:
                chunk = await asyncio.wait_for(upstream.content.readany(), left)
            except TimeoutError:
                return self._reset(request)
            if not chunk:
                break
            await response.write(chunk)
        await response.write_eof()
        return response

    def _organization(self, request: web.Request) -> str | None:
        assert request.transport is not None
        certificate = request.transport.get_extra_info("peercert") or {}
        names = {name: value for part in certificate.get("subject", ()) for name, value in part}
        organization = names.get("organizationName")
        return organization if organization in self._clients else None

    def _refusal(self, rule: Rule) -> int:
        return 401 if rule.expired_token else 409 if rule.in_progress else rule.status or 0

    def _answer(self, request: web.Request, status: int, rule: Rule) -> web.Response:
        reason, message = _REASONS.get(status, ("", ""))
        body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": status,
        }
        self._write(request, status)
        return web.json_response(
            rule.body if isinstance(rule.body, dict) else body, status=status, headers=rule.headers
        )

    def _write(self, request: web.Request, status: int) -> None:
        entry = {"time": time.time(), "method": request.method, "url": request.path_qs, "status": status}
        with self._record.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def _reset(self, request: web.Request) -> web.StreamResponse:
        self._write(request, 0)
        transport = request.transport
        if transport is not None:
            connection = transport.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        return web.Response(status=500)
