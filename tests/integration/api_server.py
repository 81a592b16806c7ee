# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that answers as a test says, in the place of an API server, for what a real one shows only at scale."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import access_of
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Client


class Asked(NamedTuple):
    method: str
    path: str
    query: dict[str, str]
    body: Any


class ApiServer:
    """What was asked of it is in ``asked``."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.asked: list[Asked] = []
        config: dict[str, Any] = {
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        }
        self.kubeconfig = config
        self.client = Client(access_of({"kubeconfig": config}, str(folder), lambda *_values: None, _no_programs))

    def paths(self, method: str) -> list[str]:
        return [asked.path for asked in self.asked if asked.method == method]


def _no_programs(*_unused: object) -> tuple[int, str, str]:
    raise AssertionError("no program is to be run")


@contextlib.contextmanager
def api_server(folder: Path, answer: Callable[[Asked], tuple[int, Any]]) -> Iterator[ApiServer]:
    """Serves until the end of the block; every request is answered by ``answer`` with a status and an object."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            parts = urlsplit(self.path)
            body = json.loads(self.rfile.read(length)) if length else None
            asked = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), body)
            served.asked.append(asked)
            status, found = answer(asked)
            text = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PATCH = do_DELETE = do_POST = _answer  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = ApiServer(f"http://127.0.0.1:{server.server_port}", folder)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def status(code: int, reason: str, message: str, causes: list[dict[str, str]] | None = None) -> tuple[int, Any]:
    """A refusal as an API server words it."""
    details = {"causes": causes} if causes else {}
    return code, {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}
