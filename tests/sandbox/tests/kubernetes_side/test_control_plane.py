"""The control plane: real, quick, on loopback only, with AKS's rules, and gone when its owner is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from .conftest import CLUSTER_ID, Kubernetes, job


def test_starts_quickly_and_is_the_release_that_was_asked_for(kubernetes: Kubernetes) -> None:
    print(f"one control plane: {kubernetes.start_seconds:.1f} s")  # 3 s on two idle cores
    assert kubernetes.start_seconds < 60
    version = json.loads(kubernetes.kubectl("version", "-o", "json"))
    assert version["serverVersion"]["gitVersion"] == f"v{kubernetes.binaries.kubernetes_version}"
    assert version["clientVersion"]["gitVersion"] == version["serverVersion"]["gitVersion"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_listens_beyond_loopback(kubernetes: Kubernetes) -> None:
    pids = [*kubernetes.cluster.control_plane.pids().values(), os.getpid()]
    assert len(pids) == 6
    sockets = {
        os.readlink(descriptor).removeprefix("socket:[").rstrip("]")
        for pid in pids
        for descriptor in Path(f"/proc/{pid}/fd").iterdir()
        if descriptor.is_symlink() and os.readlink(descriptor).startswith("socket:[")
    }
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                listening.append(fields[1].split(":")[0])
    assert listening
    assert set(listening) == {"0100007F"}


def test_a_user_is_no_master_and_writes_are_audited(kubernetes: Kubernetes) -> None:
    who = json.loads(kubernetes.kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert "system:masters" not in who["groups"]
    kubernetes.kubectl("create", "configmap", "audited", "--from-literal=a=b")
    events = [json.loads(line) for line in kubernetes.cluster.control_plane.audit_log.read_text().splitlines()]
    written = [event for event in events if event["objectRef"].get("name") == "audited"]
    assert written[0]["requestObject"]["data"] == {"a": "b"}
    assert written[0]["user"]["username"] == "masterclient"


def test_labels_and_taints_of_the_pool_belong_to_aks(kubernetes: Kubernetes) -> None:
    kubernetes.apply_pool("tainted", "Standard_D2s_v5", nodeTaints=["sku=gpu:NoSchedule"], nodeLabels={"team": "ml"})
    node = kubernetes.node("tainted")["metadata"]["name"]
    for change in ("team=other", "agentpool=other", "kubernetes.azure.com/mode=system", "kubernetes.azure.com/x=y"):
        refused = kubernetes.kubectl("label", "node", node, change, "--overwrite", check=False)
        assert 'configured on aks node pool "tainted"' in refused, refused
    refused = kubernetes.kubectl("taint", "node", node, "sku=gpu:NoSchedule-", check=False)
    assert 'Taint delete request "sku=gpu:NoSchedule" refused' in refused
    kubernetes.kubectl("label", "node", node, "mine=yes")
    kubernetes.kubectl("taint", "node", node, "mine=yes:NoSchedule")
    kubernetes.kubectl("cordon", node)

    kubernetes.apply_pool("tainted", "Standard_D2s_v5", nodeTaints=["sku=other:NoSchedule"])
    changed = kubernetes.node("tainted")
    assert "team" not in changed["metadata"]["labels"]
    assert changed["metadata"]["labels"]["mine"] == "yes"
    taints = {f"{taint['key']}={taint.get('value', '')}" for taint in changed["spec"]["taints"]}
    assert {"sku=other", "mine=yes"} <= taints
    assert "sku=gpu" not in taints


def test_a_pool_is_updated_while_others_write_to_its_nodes(kubernetes: Kubernetes) -> None:
    kubernetes.apply_pool("busy", "Standard_D2s_v5")
    name = kubernetes.node("busy")["metadata"]["name"]
    properties: dict[str, Any] = {"vmSize": "Standard_D2s_v5", "mode": "User"}

    async def write(done: asyncio.Event) -> None:
        number = 0
        while not done.is_set():
            number += 1
            note = {"metadata": {"annotations": {"number": str(number)}}}
            await kubernetes.cluster.control_plane.client.patch(f"/api/v1/nodes/{name}", note)

    async def update() -> None:
        done = asyncio.Event()
        writers = [asyncio.create_task(write(done)) for _writer in range(3)]
        try:
            for value in range(5):
                labelled = {**properties, "nodeLabels": {"team": f"ml{value}"}}
                pool = {"name": "busy", "properties": labelled, "headers": {}}
                await kubernetes.plane.apply_pool(CLUSTER_ID, pool, 1)
        finally:
            done.set()
            await asyncio.gather(*writers)

    kubernetes.run(update())
    assert kubernetes.node("busy")["metadata"]["labels"]["team"] == "ml4"


def test_writes_are_refused_on_demand_while_controllers_work_on(kubernetes: Kubernetes) -> None:
    kubernetes.set(generic_pod_seconds=1.5)
    kubernetes.apply(job("busybox"))
    kubernetes.set(refuse_writes=True)
    refused = kubernetes.kubectl("create", "configmap", "no", "--from-literal=a=b", check=False)
    assert "The sandbox refuses writes" in refused
    assert "refuses writes" in kubernetes.kubectl("delete", "job", "work", check=False)
    kubernetes.kubectl("create", "configmap", "no", "--from-literal=a=b", "--dry-run=server")
    kubernetes.kubectl("auth", "can-i", "create", "pods")
    kubernetes.kubectl("wait", "--for=condition=complete", "job/work", "--timeout=20s")
    kubernetes.set(refuse_writes=False)
    kubernetes.kubectl("create", "configmap", "yes", "--from-literal=a=b")


@pytest.mark.parametrize("name", ["kube-apiserver", "etcd"])
def test_survives_a_component_that_is_killed(kubernetes: Kubernetes, name: str) -> None:
    control_plane = kubernetes.cluster.control_plane
    kubernetes.set(generic_pod_seconds=2)
    kubernetes.apply(job("busybox"))
    kubernetes.until(lambda: kubernetes.get("jobs", "work")["status"].get("active"), 1)
    kubernetes.run(control_plane.kill_component(name))
    time.sleep(0.5)
    kubernetes.run(control_plane.restart_component(name))
    kubernetes.kubectl("wait", "--for=condition=complete", "job/work", "--timeout=30s")


_OWNER = """
import asyncio, pathlib, sys
from aks_sandbox import build
from aks_sandbox.controlplane import ControlPlane

async def main():
    plane = ControlPlane("orphan", pathlib.Path(sys.argv[1]), build.binaries(print))
    await plane.start()
    print(*plane.pids().values(), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_is_left_when_the_owner_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path / "cp")], stdout=subprocess.PIPE, text=True, env=environment
    ) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 5
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while alive := [pid for pid in pids if _alive(pid)]:
        assert time.monotonic() < deadline, f"still running: {alive}"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
