# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure and the API server are reached through the proxy that the environment names, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import yaml
from aks_sandbox.testing import Sandbox
from arm_harness import Call, run
from connect_proxy import Address, connect_proxy
from harness import Ansible, Json, PlaybookRun

WAYS = pytest.mark.parametrize("way", ["always", "never"])
PASSWORD = "pr0xy-Passw0rd"
CREDENTIALS = f"worker:{PASSWORD}"
DEAD = "http://127.0.0.1:9"


@pytest.fixture
def file(ansible: Ansible, sandbox: Sandbox) -> Iterator[str]:
    """The kubeconfig that the tests' tasks write."""
    path = ansible.folder / "kubeconfig"
    yield str(path)
    path.unlink(missing_ok=True)


def tasks(sandbox: Sandbox, file: str, **access: object) -> tuple[Call, ...]:
    """Two requests to Azure, one of which gives the credentials for the third, to the API server."""
    where = {"resource_group": sandbox.resource_group, "cluster_name": sandbox.cluster}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "behind-a-proxy"}}
    return (
        Call("node_pool_info", where),
        Call("kubeconfig", {**where, "path": file}),
        Call("manifest", {"kubeconfig": file, **access, "definition": namespace}),
    )


def addresses(sandbox: Sandbox) -> tuple[Address, Address]:
    """Where Azure is, and where the API server."""
    server = yaml.safe_load(sandbox.kubeconfig())["clusters"][0]["cluster"]["server"]
    azure, kubernetes = (urlsplit(url) for url in (sandbox.url, server))
    return (str(azure.hostname), int(azure.port or 443)), (str(kubernetes.hostname), int(kubernetes.port or 443))


def failed(done: PlaybookRun) -> list[bool]:
    return [each.status != "ok" for each in done.results]


@WAYS
def test_everything_goes_through_the_proxy(sandbox: Sandbox, ansible: Ansible, file: str, way: str) -> None:
    with connect_proxy(credentials=CREDENTIALS) as proxy:
        environment = {**proxy.environment(CREDENTIALS), "AKS_GPU_IN_PROCESS": way}
        done = run(ansible, *tasks(sandbox, file), environment=environment)
    assert failed(done) == [False] * 3, done.output
    assert set(proxy.tunnels) == set(addresses(sandbox))
    assert all(proxy.answered[address] > 1000 for address in addresses(sandbox))
    assert "behind-a-proxy" in sandbox.kubectl("get", "namespaces")
    assert PASSWORD not in done.output


@WAYS
def test_hosts_of_no_proxy_are_reached_without(sandbox: Sandbox, ansible: Ansible, file: str, way: str) -> None:
    with connect_proxy() as proxy:
        environment = {**proxy.environment(), "NO_PROXY": "example.org,localhost", "AKS_GPU_IN_PROCESS": way}
        done = run(ansible, *tasks(sandbox, file), environment=environment)
    assert failed(done) == [False] * 3, done.output
    assert proxy.tunnels == []


def test_a_kubeconfigs_own_proxy_goes_before_the_environments(sandbox: Sandbox, ansible: Ansible, file: str) -> None:
    with connect_proxy() as proxy:
        config: Json = yaml.safe_load(sandbox.kubeconfig())
        config["clusters"][0]["cluster"]["proxy-url"] = proxy.url()
        done = run(
            ansible,
            *tasks(sandbox, file, kubeconfig=config),
            environment={"HTTPS_PROXY": DEAD, "NO_PROXY": "localhost"},
        )
    assert failed(done) == [False] * 3, done.output
    assert set(proxy.tunnels) == {addresses(sandbox)[1]}


def test_a_proxy_that_refuses_is_named_and_its_password_is_not(sandbox: Sandbox, ansible: Ansible, file: str) -> None:
    config: Json = yaml.safe_load(sandbox.kubeconfig())
    with connect_proxy(credentials=CREDENTIALS) as proxy:
        environment = proxy.environment(f"worker:wrong-{PASSWORD}")
        done = run(ansible, *tasks(sandbox, file, kubeconfig=config), environment=environment)
    assert failed(done) == [True] * 3, done.output
    for each in done.results:
        assert "407 Proxy Authentication Required" in each.result["msg"]
    assert PASSWORD not in done.output
    assert proxy.tunnels == []
