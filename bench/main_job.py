# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole main job on real control planes: site.yml, and a script of az and kubectl that does the same steps.

The script waits as the tools let it: az polls its operation, kubectl watches. All clusters run at the same time on
both sides. What nobody can avoid is the time that the emulated Azure takes for a pool and the workload for its work;
the rest of a run is overhead.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aks_sandbox.testing import Sandbox
from emulated import RESOURCE_GROUP, Emulated
from environment import SetUpError, link_collection, say
from measured_run import Contestant, inventory_of, run
from peer_environments import cli_python

from playbooks import without_foreign_settings

Json = dict[str, Any]

LIMIT_SECONDS = 600

TOLERATIONS = [
    {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
]
PLUGIN: list[Json] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gpu-resources"}},
    {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "nvidia-device-plugin-daemonset", "namespace": "gpu-resources"},
        "spec": {
            "selector": {"matchLabels": {"name": "nvidia-device-plugin-ds"}},
            "template": {
                "metadata": {"labels": {"name": "nvidia-device-plugin-ds"}},
                "spec": {
                    "nodeSelector": {"kubernetes.azure.com/accelerator": "nvidia"},
                    "tolerations": TOLERATIONS,
                    "containers": [
                        {
                            "name": "nvidia-device-plugin-ctr",
                            "image": "mcr.microsoft.com/oss/v2/nvidia/k8s-device-plugin:v0.18.2",
                            "securityContext": {"privileged": True},
                            "volumeMounts": [{"name": "device-plugin", "mountPath": "/var/lib/kubelet/device-plugins"}],
                        }
                    ],
                    "volumes": [{"name": "device-plugin", "hostPath": {"path": "/var/lib/kubelet/device-plugins"}}],
                },
            },
        },
    },
]
JOB: Json = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "samples-tf-mnist-demo"},
    "spec": {
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "samples-tf-mnist-demo",
                        "image": "mcr.microsoft.com/azuredocs/samples-tf-mnist-demo:gpu",
                        "args": ["--max_steps", "500"],
                        "resources": {"limits": {"nvidia.com/gpu": 1}},
                    }
                ],
                "restartPolicy": "OnFailure",
                "tolerations": TOLERATIONS,
            }
        }
    },
}

SCRIPT = """\
set -eu
export KUBECONFIG="$FOLDER/$CLUSTER.kubeconfig"
"$PYTHON" -m azure.cli aks get-credentials --resource-group "$GROUP" --name "$CLUSTER" --file "$KUBECONFIG"
"$KUBECTL" apply -f "$FOLDER/plugin.json"
"$PYTHON" -m azure.cli aks nodepool add --resource-group "$GROUP" --cluster-name "$CLUSTER" --name gpunp \
    --node-count 1 --node-vm-size Standard_NC4as_T4_v3 --node-taints sku=gpu:NoSchedule \
    --enable-cluster-autoscaler --min-count 1 --max-count 3 --output none
"$KUBECTL" wait node --selector agentpool=gpunp --for condition=Ready --timeout 300s
"$KUBECTL" wait node --selector agentpool=gpunp --for 'jsonpath={.status.allocatable.nvidia\\.com/gpu}=1' --timeout 300s
"$KUBECTL" apply -f "$FOLDER/job.json"
"$KUBECTL" wait job/samples-tf-mnist-demo --for condition=Complete --timeout 300s
"$KUBECTL" logs job/samples-tf-mnist-demo
"""


@dataclass(frozen=True)
class Compared:
    """What came of it.

    Attributes:
        figure: What was measured.
        value: The figures.
        ratio: Our overhead, as a multiple of theirs.
    """

    figure: str
    value: str
    ratio: float


def compare(count: int) -> Compared:
    """Runs both on so many clusters.

    Raises:
        SetUpError: One of them failed.
    """
    az = cli_python()
    with Sandbox.started("bench-job", clusters=count) as sandbox:
        azure = Emulated(sandbox.state)
        least = azure.setting("create_seconds") + azure.setting("workload_seconds")
        ours = Contestant(Path(sys.executable), link_collection(), {**without_foreign_settings(), **azure.environment})
        say(f"  main job on {count} control planes: site.yml")
        mine = run(ours, azure, "aks.gpu.site", inventory_of(count), "-e", "gpu_verify_probe=false", forks=count)
        _clear(sandbox, azure)
        say(f"  main job on {count} control planes: az and kubectl")
        theirs, cpu = _by_script(az, sandbox, azure)
    overhead, other = mine.wall - least, theirs - least
    value = (
        f"{overhead:.1f} s / {other:.1f} s = {overhead / other:.2f}x beyond the {least:.0f} s of Azure and the "
        f"workload; CPU {mine.cpu:.0f} s / {cpu:.0f} s"
    )
    return Compared(f"whole main job, {count} control planes, overhead / az + kubectl", value, overhead / other)


def _clear(sandbox: Sandbox, azure: Emulated) -> None:
    """Takes away what the main job has made."""
    for name in azure.clusters():
        for kind in ("job/samples-tf-mnist-demo", "namespace/gpu-resources"):
            sandbox.kubectl("delete", kind, "--ignore-not-found", "--wait=true", cluster=name)
        azure.ask("DELETE", azure.pool_path("gpunp", name))
    deadline = time.monotonic() + 120
    for name in azure.clusters():
        while azure.pool("gpunp", name) is not None:
            if time.monotonic() > deadline:
                raise SetUpError(f"the pool of {name} does not go away")
            time.sleep(0.2)


def _by_script(az: Path, sandbox: Sandbox, azure: Emulated) -> tuple[float, float]:
    """Runs the script for every cluster at once; returns seconds, and seconds of CPU."""
    with tempfile.TemporaryDirectory(prefix="aks-gpu-az-") as name:
        folder = Path(name)
        (folder / "plugin.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": PLUGIN}))
        (folder / "job.json").write_text(json.dumps(JOB))
        environment = {
            **without_foreign_settings(),
            **azure.environment,
            "AZURE_CONFIG_DIR": str(folder / "azure"),
            "AZURE_CORE_INSTANCE_DISCOVERY": "false",
            "AZURE_CORE_COLLECT_TELEMETRY": "false",
            "FOLDER": name,
            "GROUP": RESOURCE_GROUP,
            "PYTHON": str(az),
            "KUBECTL": sandbox.variables["AKS_SANDBOX_KUBECTL"],
        }
        sign_in = [
            ["cloud", "register", "--name", "AKSSandbox", "--endpoint-resource-manager", azure.url],
            ["cloud", "set", "--name", "AKSSandbox"],
            ["login", "--service-principal", "--username", environment["AZURE_CLIENT_ID"], "--password",
             environment["AZURE_SECRET"], "--tenant", environment["AZURE_TENANT"]],
        ]  # fmt: skip
        for words in sign_in:
            subprocess.run([az, "-m", "azure.cli", *words], env=environment, capture_output=True, check=True)
        before, began = os.times(), time.monotonic()
        with contextlib.ExitStack() as stack:
            scripts = [
                stack.enter_context(
                    subprocess.Popen(
                        ["bash", "-c", SCRIPT],
                        env={**environment, "CLUSTER": cluster},
                        stdin=subprocess.DEVNULL,
                        stdout=stack.enter_context((folder / f"{cluster}.log").open("wb")),
                        stderr=subprocess.STDOUT,
                    )
                )
                for cluster in azure.clusters()
            ]
            for script, cluster in zip(scripts, azure.clusters(), strict=True):
                if script.wait(LIMIT_SECONDS):
                    raise SetUpError(
                        f"the script for {cluster} failed: {(folder / f'{cluster}.log').read_text()[-2000:]}"
                    )
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        return time.monotonic() - began, used
