# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at a broken cluster whose lists take longer than the wait: 5,000 Pods, or a slow line."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.aks.gpu.plugins.modules import wait_for_gpus
from ansible_collections.aks.gpu.plugins.plugin_utils import _isolation

CONDITION = {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "container runtime is down"}
NODE = {
    "metadata": {"name": "aks-gpunp-1-vmss000000", "uid": "n", "labels": {"kubernetes.azure.com/agentpool": "gpunp"}},
    "status": {"capacity": {}, "allocatable": {}, "conditions": [CONDITION]},
}
SLOW_SECONDS = 1.6


class Handler(http.server.BaseHTTPRequestHandler):
    """Nodes at once, Pods after a while, no events."""

    def do_GET(self) -> None:
        if "watch=true" in self.path:
            self.send_response(200)
            self.end_headers()
            time.sleep(SLOW_SECONDS * 2)
            return
        if self.path.startswith("/api/v1/pods"):
            time.sleep(SLOW_SECONDS)
        items = [NODE] if self.path.startswith("/api/v1/nodes") else []
        body = json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    path = tmp_path / "config"
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    config = {
        "clusters": [cluster],
        "contexts": [context],
        "users": [{"name": "u", "user": {}}],
        "current-context": "c",
    }
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **config}))
    yield str(path)
    server.shutdown()
    server.server_close()


def test_a_verdict_that_is_known_is_kept(kubeconfig: str, tmp_path: Path) -> None:
    options = {"kubeconfig": kubeconfig, "node_pool": "gpunp", "wait_timeout": 1}
    ended = _isolation.call_main(
        wait_for_gpus.main,
        json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode(),
        environment={},
        working_directory=str(tmp_path),
        parent_directory=str(tmp_path),
        show=lambda _line: None,
    )
    result = json.loads(ended.stdout.strip().splitlines()[-1])
    assert result["failed"]
    assert "NotReady: KubeletNotReady: container runtime is down" in result["msg"]
    assert "could not be read again" in result["msg"]
    assert [problem["cause"] for problem in result["problems"]] == ["NotReady"]
    assert result["nodes"][0]["name"] == "aks-gpunp-1-vmss000000"
