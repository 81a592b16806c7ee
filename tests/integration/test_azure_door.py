# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token of Resource Manager is for Resource Manager: no answer makes the collection ask another host."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aks_sandbox.testing import Sandbox
from arm_harness import QUICK, pool, text_of
from arm_harness import play as run_tasks
from harness import Ansible

Json = dict[str, Any]


class Listener:
    """Another host: it counts who connects."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._server.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._server.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def other() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.started("azure-door", kubernetes=False, settings=QUICK) as own:
        yield own


@pytest.fixture
def ansible(sandbox: Sandbox, tmp_path: Path) -> Ansible:
    sandbox.clear_faults()
    return Ansible(sandbox, tmp_path)


POOL: Json = {"vm_size": "Standard_NC4as_T4_v3", "count": 1, "wait_timeout": 20}


def fault_of(where: str, url: str) -> Json:
    """An answer of Azure that leads elsewhere."""
    if where == "nextLink":
        body: Json = {"value": [], "nextLink": f"{url}/subscriptions/x/agentPools?api-version=2026-08-01"}
        return {"method": "GET", "path": r"/agentPools\?", "status": 200, "body": body}
    if where == "nextLink of another provider":
        body = {"value": [], "nextLink": f"{url}/skus?page=2"}
        return {"method": "GET", "path": "/Microsoft.Compute/skus", "status": 200, "body": body}
    if where == "Azure-AsyncOperation":
        body = {"name": "door", "properties": {"provisioningState": "Creating"}}
        headers = {"Azure-AsyncOperation": f"{url}/operations/1"}
        return {"method": "PUT", "path": "/agentPools/door", "status": 201, "body": body, "headers": headers}
    status = int(where.removeprefix("redirect "))
    return {"method": "GET", "path": r"/agentPools/door\?", "status": status, "headers": {"Location": f"{url}/x"}}


@pytest.mark.parametrize(
    "where",
    [
        "nextLink",
        "nextLink of another provider",
        "Azure-AsyncOperation",
        "redirect 301",
        "redirect 302",
        "redirect 307",
        "redirect 308",
    ],
)
def test_another_host_is_never_asked(sandbox: Sandbox, ansible: Ansible, other: Listener, where: str) -> None:
    place = {"resource_group": sandbox.resource_group, "cluster_name": sandbox.cluster}
    sandbox.fault(**fault_of(where, other.url))
    if where == "nextLink":
        result = ansible.module("aks.gpu.node_pool_info", place)
    elif where == "nextLink of another provider":
        result = ansible.module("aks.gpu.vm_size_info", {"location": "westus2"})
    else:
        (result,) = run_tasks(ansible, pool(sandbox, "door", **POOL))
    message = text_of(result)
    assert other.connections == 0
    assert "Bearer" not in message
    if where.startswith("redirect"):
        assert f"HTTP {where.removeprefix('redirect ')}" in message
    else:
        assert f"points to {other.url}" in message
