# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe's script in a real shell, and what is made of its log."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_probe import (
    PROBE_SCRIPT,
    Probe,
    job_name,
    manifest,
    probes_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._workload_log import WorkloadLog

HEADER = "| NVIDIA-SMI 550.54.15              Driver Version: 550.54.15      CUDA Version: 12.4     |"
TWO = "GPU 0: Tesla T4 (UUID: GPU-aaaa-0)\nGPU 1: Tesla T4 (UUID: GPU-bbbb-1)"
MIG = (
    "GPU 0: NVIDIA A100 80GB PCIe (UUID: GPU-aaaa-0)\n"
    "  MIG 1g.10gb     Device  0: (UUID: MIG-1)\n  MIG 1g.10gb     Device  1: (UUID: MIG-2)"
)


def program(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def play(folder: Path, listing: str, test: str = "echo Test PASSED") -> tuple[int, WorkloadLog, str]:
    program(folder, "nvidia-smi", f"[ $# = 0 ] && echo '{HEADER}' && exit 0\nprintf '%s\\n' '{listing}'")
    vector_add = program(folder, "vectorAdd", f'echo "on $CUDA_VISIBLE_DEVICES"\n{test}')
    done = subprocess.run(
        ["/bin/sh", "-c", PROBE_SCRIPT, "gpu-probe", vector_add],
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    log = WorkloadLog()
    for line in done.stdout.splitlines():
        log.feed(line)
    return done.returncode, log, done.stdout


@pytest.mark.parametrize(
    ("listing", "devices"), [(TWO, ["GPU-aaaa-0", "GPU-bbbb-1"]), (MIG, ["MIG-1", "MIG-2"])], ids=["GPUs", "MIG"]
)
def test_every_device_by_itself(tmp_path: Path, listing: str, devices: list[str]) -> None:
    code, log, output = play(tmp_path, listing)
    assert code == 0
    assert [device["uuid"] for device in log.devices] == devices
    assert [line.split()[1] for line in output.splitlines() if line.startswith("on ")] == devices
    assert (log.passed, log.driver_version, log.cuda_version) == (2, "550.54.15", "12.4")


def test_first_device_that_fails_ends_the_probe(tmp_path: Path) -> None:
    code, log, _output = play(tmp_path, TWO, 'echo "Test FAILED"; exit 3')
    assert code != 0
    assert log.passed == 0


@pytest.mark.parametrize(
    ("asked", "problem"),
    [(2, None), (1, "it asked for 1 and saw 2 devices"), (3, "it asked for 3 and saw 2 devices")],
)
def test_seen_has_to_be_what_was_asked_for(tmp_path: Path, asked: int, problem: str | None) -> None:
    probe = Probe("node", asked, 0, asked)
    probe.judge(play(tmp_path, TWO)[1])
    assert probe.works is (problem is None)
    assert problem is None or problem in str(probe.problem)


def test_device_that_does_not_compute_right(tmp_path: Path) -> None:
    probe = Probe("node", 2, 0, 2)
    probe.judge(play(tmp_path, TWO, "echo hm")[1])
    assert probe.problem == "0 of 2 devices computed right"


def node(name: str, allocatable: int = 4, in_use: int = 0, ready: bool = True) -> dict[str, Any]:
    return {"name": name, "allocatable": allocatable, "in_use": in_use, "ready": ready}


def test_only_free_gpus_are_asked_for() -> None:
    nodes = [node("a"), node("b", in_use=3), node("c", in_use=4), node("d", ready=False), node("e", 0)]
    probes = probes_of(nodes, names=None, shared=False)
    assert [(probe.asked, probe.held) for probe in probes] == [(4, 0), (1, 3), (0, 4), (0, 0), (0, 0)]
    assert [probe.problem for probe in probes] == [None, None, None, "it is not Ready", "it offers no GPUs"]
    assert [probe.asked for probe in probes_of(nodes[:3], names=None, shared=True)] == [1, 1, 0]


def test_names() -> None:
    assert [probe.node for probe in probes_of([node("a"), node("b")], names=["b"], shared=False)] == ["b"]
    with pytest.raises(Failure, match=r"no GPU node x\. There are: a"):
        probes_of([node("a")], names=["x"], shared=False)
    assert len(job_name("aks-" + "x" * 80, "12345678")) <= 57
    assert job_name("aks-gpunp-12345678-vmss000000", "1") == "gpu-probe-aks-gpunp-12345678-vmss000000-1"


LONG = "k3s-wasm-kubernetes-b3be-3981a1-node-pool-fd3d"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Findings E11: names of auto-provisioned nodes differ after 36 characters.
        ("aks-default-a100-system-surge-x7k2p-aaaaa", "aks-default-a100-system-surge-x7k2p-bbbbb"),
        # skypilot-org/skypilot#2752: names with dots.
        ("ip-10-0-1-17.us-west-2.compute.internal", "ip-10-0-1-17-us-west-2-compute-internal"),
        # A name has up to 253 characters: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
        ("a" * 252 + "b", "a" * 253),
        ("node.a", "node-a"),
        # KWasm/kwasm-operator#21, kubevirt/hostpath-provisioner-operator#184: long names of pools.
        (f"{LONG}-xq21v", f"{LONG}-b7k2p"),
    ],
)
def test_names_of_jobs_are_unique(one: str, other: str) -> None:
    assert job_name(one, "12345678") != job_name(other, "12345678")
    for name in (one, other):
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", job_name(name, "12345678"))
        assert len(job_name(name, "12345678")) <= 57


def job_of_a_probe() -> dict[str, Any]:
    params = {
        "image_pull_secret": None,
        "wait_timeout": 600,
        "image": "img",
        "command": None,
        "program": "/p",
        "resource_name": "nvidia.com/gpu",
    }
    return manifest(Probe("node", 2, 0, 2), params, "n", "run")


def test_pod_takes_usual_house_rules() -> None:
    """Findings C1. https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, field by field.

    haproxytech/helm-charts#236, iovisor/kubectl-trace#49 and rook/rook#14397: quotas that ask for cpu and memory of
    every container, as requests and as limits.
    """
    spec = job_of_a_probe()["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert "volumes" not in spec
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert {"cpu", "memory", "nvidia.com/gpu"} == container["resources"]["limits"].keys()
