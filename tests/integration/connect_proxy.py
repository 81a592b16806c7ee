# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP proxy as companies have it: it tunnels TLS by CONNECT, may ask for a password, and remembers whereto."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping

Address = tuple[str, int]

BLOCK = 65536


class ConnectProxy:
    """What it did, and how it is reached.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        tunnels: Whereto clients asked to be connected, in order.
        answered: Bytes that each of those hosts sent through it.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.tunnels: list[Address] = []
        self.answered: dict[Address, int] = {}

    def url(self, credentials: str = "") -> str:
        """Its URL, with `user:password` in it when they are given."""
        return f"http://{credentials}{'@' if credentials else ''}127.0.0.1:{self.port}"

    def environment(self, credentials: str = "") -> dict[str, str]:
        """What sends a client through it; no host is excepted."""
        return {"HTTPS_PROXY": self.url(credentials), "NO_PROXY": "", "no_proxy": ""}


@contextlib.contextmanager
def connect_proxy(*, credentials: str = "", routes: Mapping[Address, Address] | None = None) -> Iterator[ConnectProxy]:
    """A proxy for the length of a block.

    Args:
        credentials: `user:password` that it asks for; empty: it asks for none.
        routes: Where it connects to instead of where it was asked for.
    """
    wanted = f"Basic {base64.b64encode(credentials.encode()).decode()}" if credentials else None

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            method, target, _version = self.rfile.readline().decode().split()
            headers = {}
            while line := self.rfile.readline().decode().strip():
                name, _colon, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
            if method != "CONNECT":
                self.wfile.write(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
                return
            if wanted and headers.get("proxy-authorization") != wanted:
                self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            host, _colon, port = target.rpartition(":")
            address = (host, int(port))
            proxy.tunnels.append(address)
            with socket.create_connection((routes or {}).get(address, address), timeout=10) as upstream:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._pump(upstream, address)

        def _pump(self, upstream: socket.socket, address: Address) -> None:
            other = {self.connection: upstream, upstream: self.connection}
            while True:
                for readable in select.select(list(other), [], [])[0]:
                    try:
                        data = readable.recv(BLOCK)
                        other[readable].sendall(data)
                    except OSError:
                        return
                    if not data:
                        return
                    if readable is upstream:
                        proxy.answered[address] = proxy.answered.get(address, 0) + len(data)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        proxy = ConnectProxy(int(server.server_address[1]))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            server.shutdown()
