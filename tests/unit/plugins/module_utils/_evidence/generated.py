# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules return for clusters that were never there: for tests of evidence and of its report, and for a look.

python generated.py FOLDER [CLUSTERS]    writes the evidence of a fleet and its report
"""

from __future__ import annotations

import math
import sys
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._evidence._checks import Expectations, Observations
from ansible_collections.aks.gpu.plugins.module_utils._evidence._document import Document, document

Json = dict[str, Any]
RUN = {"id": "0123456789abcdef", "started": "2026-08-01T10:00:00.000Z"}
NOW = "2026-08-01T10:12:30.000Z"
SIZES = {
    "Standard_NC4as_T4_v3": (1, "Tesla T4"),
    "Standard_NC96ads_A100_v4": (4, "NVIDIA A100 80GB PCIe"),
    "Standard_ND96isr_H100_v5": (8, "NVIDIA H100 80GB HBM3"),
}


def node(name: str, size: str = "Standard_NC4as_T4_v3", **more: Any) -> Json:
    gpus = SIZES[size][0]
    return {
        "name": name,
        "node_pool": "gpunp",
        "vm_size": size,
        "ready": True,
        "capacity": gpus,
        "allocatable": gpus,
        "in_use": 0,
        "free": gpus,
        "device_plugin": "gpu-resources/nvidia-device-plugin-daemonset-x8tqk",
        "gpus_from": "daemon_set",
        "daemon_sets": ["gpu-resources/nvidia-device-plugin-daemonset"],
        "labels": {"agentpool": "gpunp", "kubernetes.azure.com/accelerator": "nvidia"},
        "taints": ["sku=gpu:NoSchedule"],
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"},
            {"type": "GPUMissing", "status": "False", "reason": "NoGPUMissing", "message": "all GPUs are there"},
        ],
        "node_image_version": "AKSUbuntu-2204gen2containerd-202608.01.0",
        "kubelet_version": "v1.36.3",
        **more,
    }


def probe(name: str, size: str = "Standard_NC4as_T4_v3", **more: Any) -> Json:
    gpus, model = SIZES[size]
    return {
        "node": name,
        "asked": gpus,
        "held": 0,
        "seen": gpus,
        "passed": gpus,
        "works": True,
        "devices": [{"name": model, "uuid": f"GPU-{index:08x}"} for index in range(gpus)],
        "driver_version": "580.95.05",
        "cuda_version": "13.0",
        "problem": None,
        "log_tail": ["Test PASSED", "Done"],
        **more,
    }


def job(points: int = 50, **more: Any) -> Json:
    accuracy = [{"step": 10 * n, "accuracy": round(0.97 - 0.87 * math.exp(-n / 8), 4)} for n in range(points)]
    return {
        "name": "samples-tf-mnist-demo",
        "namespace": "default",
        "exists": True,
        "complete": True,
        "completions": 1,
        "succeeded": 1,
        "failed": 0,
        "start_time": "2026-08-01T10:08:00Z",
        "completion_time": "2026-08-01T10:11:10Z",
        "duration_seconds": 190,
        "pods": [
            {"name": "samples-tf-mnist-demo-smnr6", "node": "aks-gpunp-28993262-vmss000000", "phase": "Succeeded"}
        ],
        "devices": [
            {
                "name": "Tesla T4",
                "compute_capability": "7.5",
                "memory": "14.75GiB",
                "bus_id": "0001:00:00.0",
                "uuid": None,
            }
        ],
        "accuracy": accuracy,
        "accuracy_first": accuracy[0]["accuracy"] if accuracy else None,
        "accuracy_last": accuracy[-1]["accuracy"] if accuracy else None,
        "accuracy_best": max((point["accuracy"] for point in accuracy), default=None),
        "log_head": [],
        "log_tail": ["Accuracy at step 490: 0.9258", "Adding run metadata for 499"],
        **more,
    }


def gpus(nodes: list[Json], **more: Any) -> Json:
    expected = {"nodes": 1, "gpus_per_node": nodes[0]["capacity"] if nodes else 1, "resource_name": "nvidia.com/gpu"}
    return {"nodes": nodes, "problems": [], "gpus_ready": True, "expected": expected, **more}


def steps(failed: str = "") -> list[Json]:
    told = [
        ("aks.gpu.node_pool : GPU node pool: look for everything that would go wrong", 0, 0.4, "predicted"),
        ("aks.gpu.device_plugin : Look for what offers GPUs already", 1, 0.2, "ok"),
        ("aks.gpu.device_plugin : Apply the device plugin", 2, 0.6, "changed"),
        ("aks.gpu.node_pool : GPU node pool: start", 3, 1.2, "changed"),
        ("aks.gpu.node_pool : GPU node pool: wait for it", 6, 232, "ok"),
        ("aks.gpu.gpu_verify : Wait until every node of the pool offers its GPUs", 240, 95, "ok"),
        ("aks.gpu.gpu_verify : Compute on every GPU that nothing else holds", 336, 41, "ok"),
        ("aks.gpu.mnist : Apply the Job", 378, 0.3, "changed"),
        ("aks.gpu.gpu_verify : Wait until the Job is complete", 379, 190, "ok"),
    ]
    made = []
    for name, at, seconds, outcome in told:
        ends = bool(failed) and failed in name
        made.append(
            {
                "name": name,
                "module": "aks.gpu.node_pool",
                "started": f"2026-08-01T10:{int(at) // 60:02}:{int(at) % 60:02}.000Z",
                "seconds": seconds,
                "outcome": "failed" if ends else outcome,
                "message": "It failed." if ends else "",
            }
        )
        if ends:
            break
    return made


def cluster(number: int = 1, **more: Any) -> Document:
    """The evidence of one cluster of a fleet: most work, some do not, each kind of trouble comes up."""
    size = list(SIZES)[number % 3]
    names = [f"aks-gpunp-{28993262 + number}-vmss00000{index}" for index in range(1 + number % 2)]
    nodes, probes = [node(name, size) for name in names], [probe(name, size) for name in names]
    failure: Json | None = None
    found = Observations(gpus=gpus(nodes), probe={"probes": probes}, job=job(accuracy=[]) if number % 4 == 3 else job())
    failed = ""
    if number % 23 == 5:
        failed = "start"
        text = (
            f"Creating node pool gpunp of aks-{number:04}: Insufficient regional vcpu quota left for location westus2."
            f" left regional vcpu quota {number % 4}, requested quota 6. ErrCode_InsufficientVCPUQuota (HTTP 400)."
        )
        failure, found = {"step": "GPU node pool: start", "message": text}, Observations()
    elif number % 23 == 11:
        failed = "offers its GPUs"
        trouble = {
            "subject": f"Node {names[0]}",
            "cause": "NotTolerated",
            "message": "DaemonSet gpu-resources/nvidia-device-plugin-daemonset makes no Pod for it, it does not"
            " tolerate the taint team=vision:NoSchedule",
            "advice": "Add the toleration to the DaemonSet: device_plugin_taints.",
            "log_tail": [],
        }
        nodes = [node(name, size, capacity=0, allocatable=0, device_plugin=None) for name in names]
        found = Observations(gpus=gpus(nodes, problems=[trouble], gpus_ready=False))
        step = "Wait until every node of the pool offers its GPUs"
        failure = {"step": step, "message": "The GPUs can't be used.", "problems": [trouble]}
    elif number % 23 == 17:
        probes[0] = probe(names[0], size, passed=SIZES[size][0] - 1, works=False, problem="one device computed wrong")
        ill = {"type": "XIDErrors", "status": "True", "reason": "XIDErrorDetected", "message": "XID 79"}
        nodes[0] = node(names[0], size, conditions=[*nodes[0]["conditions"], ill])
        found = Observations(gpus=gpus(nodes), probe={"probes": probes}, job=job())
    elif number % 23 == 20 and SIZES[size][0] > 1:
        probes[0] = probe(names[0], size, asked=1, held=SIZES[size][0] - 1, seen=1, passed=1)
        found = Observations(gpus=gpus(nodes), probe={"probes": probes}, job=job())
    return document(
        **{
            "host": f"aks-{number:04}",
            "cluster": {
                "subscription_id": "00000000-1111-2222-3333-444444444444",
                "resource_group": f"rg-{number % 7}",
                "name": f"aks-{number:04}",
            },
            "node_pool": "gpunp",
            "pool": {"vm_size": size, "count": len(names), "provisioning_state": "Succeeded"},
            "asked": Expectations(
                job="samples-tf-mnist-demo", training=True, minimum_accuracy=0.9 if number % 4 != 3 else None
            ),
            "found": found,
            "failure": failure,
            "steps": steps(failed),
            "run": RUN,
            "now": NOW,
            **more,
        }
    )


def series(points: int = 60) -> list[Json]:
    times = [f"2026-08-01T10:{minute:02}:00Z" for minute in range(points)]
    dimensions = {"node": "aks-gpunp-28993262-vmss000000", "gpu": "0"}
    duty = [[time, 50 + 45 * math.sin(index / 6)] for index, time in enumerate(times)]
    memory = [[time, None if index < 5 else 1.2e9 + 1e7 * index] for index, time in enumerate(times)]
    return [
        {"name": "containerGpuDutyCycle", "unit": "%", "dimensions": dimensions, "points": duty},
        {"name": "containerGpumemoryUsedBytes", "unit": "bytes", "dimensions": dimensions, "points": memory},
    ]


def main(folder: str, clusters: int) -> None:
    from pathlib import Path
    from time import monotonic

    from ansible_collections.aks.gpu.plugins.module_utils._evidence._junit import junit_of
    from ansible_collections.aks.gpu.plugins.module_utils._evidence._page import page_of
    from ansible_collections.aks.gpu.plugins.plugin_utils._evidence_page import page_files

    made = [cluster(number, metrics=series() if number == 1 else ()) for number in range(1, clusters + 1)]
    began = monotonic()
    page = page_of(made, RUN["id"], page_files())
    print(f"page: {len(page.encode()):,} bytes in {monotonic() - began:.2f} s")
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / "index.html").write_text(page)
    (Path(folder) / "junit.xml").write_text(junit_of(made))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1)
