# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A relay between a client and an API server, that can lose connections, and that sees what it carries."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import struct
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from aks_sandbox.certificates import Authority

Json = dict[str, Any]
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
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._carried = bytearray()
        self._refusing = False
        self.connections = 0
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def kubeconfig(self) -> str:
        """A kubeconfig that leads through the relay, YAML."""
        port = self._listener.getsockname()[1]
        cluster = {"server": f"https://localhost:{port}", "certificate-authority-data": self._authority}
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
        """Reset all connections; with `stay`, refuse new ones until `mend`."""
        with self._lock:
            self._refusing = stay
            sockets, self._open = self._open, set()
        for each in sockets:
            _reset(each)

    def mend(self) -> None:
        """Accept connections again."""
        self._refusing = False

    def carried(self, text: str) -> bool:
        """Has the server sent this text?"""
        with self._lock:
            return text.encode() in self._carried

    def close(self) -> None:
        """Stop."""
        self._listener.close()
        self.cut(stay=True)

    def _accept(self) -> None:
        while True:
            try:
                accepted, _address = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                _reset(accepted)
                continue
            threading.Thread(target=self._carry, args=(accepted,), name="relay", daemon=True).start()

    def _carry(self, accepted: socket.socket) -> None:
        try:
            client = self._tls.wrap_socket(accepted, server_side=True)
            plain = socket.create_connection((self._server.hostname or "", self._server.port or 443))
            server = self._upstream.wrap_socket(plain, server_hostname=self._server.hostname)
        except OSError:
            _reset(accepted)
            return
        with self._lock:
            self.connections += 1
            self._open |= {client, server}
        threading.Thread(target=self._pump, args=(client, server, False), name="relay", daemon=True).start()
        self._pump(server, client, True)

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(CHUNK):
                if answers:
                    with self._lock:
                        self._carried += data
                target.sendall(data)
        except OSError:
            pass
        with self._lock:
            self._open -= {source, target}
        for each in (source, target):
            _reset(each)


def _reset(connection: socket.socket) -> None:
    """Close it the rude way."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        connection.close()
