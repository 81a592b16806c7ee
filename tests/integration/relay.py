# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A relay between a client and an API server, that can lose connections, and that sees what it carries."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import yaml
from aks_sandbox.certificates import Authority

T = TypeVar("T")
CHUNK = 65536


class Relay:
    """Stands in front of an API server, and signs in to it; its clients need not.

    Args:
        kubeconfig: Of the cluster's administrator, YAML.
        directory: An empty directory for keys.

    Attributes:
        connections: How many were made.
    """

    def __init__(self, kubeconfig: str, directory: Path) -> None:
        config = yaml.safe_load(kubeconfig)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        for name, data in (
            ("ca.crt", cluster["certificate-authority-data"]),
            ("client.crt", user["client-certificate-data"]),
            ("client.key", user["client-key-data"]),
        ):
            (directory / name).write_bytes(base64.b64decode(data))
        self._upstream = ssl.create_default_context(cafile=str(directory / "ca.crt"))
        self._upstream.load_cert_chain(directory / "client.crt", directory / "client.key")
        self._server = urlsplit(cluster["server"])
        authority = Authority("relay")
        certificate, key = authority.server().write(directory, "relay")
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate, key)
        self._authority = base64.b64encode(authority.certificate.encode()).decode()
        self._open: set[asyncio.StreamWriter] = set()
        self._carried = bytearray()
        self._refusing = False
        self.connections = 0
        # One thread for all: OpenSSL does not let two read and write the same connection.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()
        self._listener = self._call(self._listen())
        self._port = int(self._listener.sockets[0].getsockname()[1])

    def kubeconfig(self) -> str:
        """A kubeconfig that leads through the relay, YAML."""
        cluster = {"server": f"https://localhost:{self._port}", "certificate-authority-data": self._authority}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "c",
            }
        )

    def cut(self, *, stay: bool = False) -> None:
        """Reset all connections; with `stay`, reset new ones too until `mend`."""
        self._call(self._reset_all(stay))

    def mend(self) -> None:
        """Let connections live again."""
        self._refusing = False

    def carried(self, text: str) -> bool:
        """Has the server sent this text?"""
        return text.encode() in bytes(self._carried)

    def close(self) -> None:
        """Stop."""
        self.cut(stay=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._wind_up())
        self._loop.close()

    async def _wind_up(self) -> None:
        self._listener.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.1)  # what was aborted closes its sockets

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._carry, "127.0.0.1", 0, ssl=self._tls)

    async def _reset_all(self, stay: bool) -> None:
        self._refusing = stay
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            server, to_server = await asyncio.open_connection(
                self._server.hostname, self._server.port, ssl=self._upstream
            )
        except OSError:
            writer.transport.abort()
            return
        self.connections += 1
        self._open |= {writer, to_server}
        pumps = {
            asyncio.ensure_future(self._pump(reader, to_server, None)),
            asyncio.ensure_future(self._pump(server, writer, self._carried)),
        }
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        self._open -= {writer, to_server}
        for each in (writer, to_server):
            each.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, kept: bytearray | None) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                if kept is not None:
                    kept += data
                target.write(data)
                await target.drain()
