# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a cluster's GPUs work, judged line by line by what was found. Pure functions.

What was found are the return values of ``node_pool_info``, ``wait_for_gpus``, ``gpu_probe`` and ``wait_for_job``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._nodes import (
    ACCELERATOR_LABEL,
    ailment_of,
    is_about_gpus,
)

WORKS, FAULTY, UNSEEN, IDLE = "works", "does_not_work", "not_looked_at", "idle"
VERDICTS = {
    WORKS: "works",
    FAULTY: "does not work",
    UNSEEN: "could not be looked at",
    IDLE: "has no GPU nodes now",
}
"""Verdict → in words. Only an autoscaled pool that is empty, and no Job, make the last one."""

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """What is asked for besides nodes with GPUs.

    Attributes:
        gpu_stack: How GPUs become schedulable.
        probe: The probe: ``asked``, else the reason why it was not.
        job: The name of the Job that has to be complete; empty for none.
        training: The log of the Job has to name a GPU.
        minimum_accuracy: That the Job has to reach, from 0 to 1; None for none.
        shared: Several Pods share a GPU.
    """

    gpu_stack: str = "device_plugin"
    probe: str = "asked"
    job: str = ""
    training: bool = False
    minimum_accuracy: float | None = None
    shared: bool = False


@dataclass(frozen=True)
class Found:
    """What was found; empty where nobody could look.

    Attributes:
        gpus: What ``wait_for_gpus`` returned, failed or not.
        probe: What ``gpu_probe`` returned.
        job: The Job that ``wait_for_job`` returned.
    """

    gpus: Facts = field(default_factory=dict)
    probe: Facts = field(default_factory=dict)
    job: Facts = field(default_factory=dict)

    @property
    def nodes(self) -> list[Facts]:
        """The GPU nodes."""
        return list(self.gpus.get("nodes") or [])

    @property
    def probes(self) -> list[Facts]:
        """The probe of each node."""
        return list(self.probe.get("probes") or [])

    @property
    def looked(self) -> bool:
        """Whether the GPU nodes were looked at."""
        return "nodes" in self.gpus


@dataclass(frozen=True)
class Check:
    """One assertion.

    Attributes:
        name: A word for programs.
        holds: None for what is only told, because it was not asked for or can't be known.
        line: What was found, and what was expected.
    """

    name: str
    holds: bool | None
    line: str

    def as_result(self) -> dict[str, Any]:
        """Returns the check as a return value."""
        return {"name": self.name, "holds": self.holds, "line": self.line}


def checks_of(asked: Asked, found: Found) -> list[Check]:
    """Returns every assertion about a cluster whose nodes were looked at, and none for one that could not be."""
    if not found.looked:
        return []
    checks = [*_node_checks(asked, found), *_probe_checks(asked, found)]
    return checks + (_job_checks(asked, found.job) if asked.job else [])


def _node_checks(asked: Asked, found: Found) -> list[Check]:
    nodes, total = found.nodes, len(found.nodes)
    expected = found.gpus.get("expected") or {}
    wanted = max(total, int(expected.get("nodes") or 0))
    each = int(expected.get("gpus_per_node") or 1)
    amount = f"{expected.get('resource_name') or 'nvidia.com/gpu'} of {each} or more"
    ready = sum(bool(node["ready"]) for node in nodes)
    labelled = sum(node["labels"].get(ACCELERATOR_LABEL) == "nvidia" for node in nodes)
    capable = sum(int(node["capacity"]) >= each for node in nodes)
    offering = sum(int(node["allocatable"]) >= each for node in nodes)
    checks = [
        Check("nodes_ready", ready == wanted, f"nodes Ready: {ready} of {wanted}"),
        Check("labels", labelled == total, f"nodes with the label {ACCELERATOR_LABEL}=nvidia: {labelled} of {total}"),
        Check("capacity", capable == total, f"nodes with capacity {amount}: {capable} of {total}"),
        Check("allocatable", offering == total, f"nodes with allocatable {amount}: {offering} of {total}"),
    ]
    if asked.gpu_stack == "device_plugin":
        plugged = sum(bool(node.get("device_plugin")) for node in nodes)
        line = f"nodes with a running device plugin: {plugged} of {total}"
        if plugged < total and {"daemon_sets", "pods"} & set(found.gpus.get("not_looked_at") or ()):
            line = f"{line}; of the others it is not known, for DaemonSets or Pods may not be listed"
            checks.append(Check("device_plugin", None, line))
        else:
            checks.append(Check("device_plugin", plugged == total, line))
    return [*checks, _health(nodes)]


def _health(nodes: Sequence[Facts]) -> Check:
    ill: list[str] = []
    open_: list[str] = []
    telling = 0
    blocking = False
    for node in nodes:
        known = [each for each in node.get("conditions") or [] if is_about_gpus(str(each.get("type")))]
        telling += bool(known)
        for condition in known:
            ailment = ailment_of(condition)
            if ailment is None:
                continue
            status = condition.get("status")
            said = f"{node['name']}: {ailment.kind}" + ("" if status == "True" else f" is {status}")
            (ill if status in ("True", "False") else open_).append(said)
            blocking = blocking or ailment.blocking
    unclear = f"; without a result: {listed(open_)}" if open_ else ""
    if ill:
        kind = "" if blocking else ", none of which keeps GPUs from working"
        return Check("health", not blocking, f"GPU health conditions that are not well: {listed(ill)}{kind}{unclear}")
    if open_:
        return Check("health", None, f"GPU health conditions without a result: {listed(open_)}")
    if not telling:
        return Check("health", None, "GPU health conditions: no node reports any")
    return Check(
        "health", True, f"nodes whose GPU health conditions are all well: {telling} of {telling} that report them"
    )


def _probe_checks(asked: Asked, found: Found) -> list[Check]:
    images = sorted({str(node["node_image_version"]) for node in found.nodes if node.get("node_image_version")})
    imaged = f"node image {listed(images)}" if images else "node image unknown"
    if asked.probe != "asked" or not found.probes:
        why = asked.probe if asked.probe != "asked" else "it did not come to that"
        holds = False if asked.probe == "asked" and found.nodes and found.gpus.get("gpus_ready") else None
        return [
            Check("probe", holds, f"GPUs that computed right: none was probed, {why}"),
            Check("versions", None, f"versions: driver and CUDA unknown without a probe, {imaged}"),
        ]
    probes = found.probes
    tried = [probe for probe in probes if probe["asked"]]
    want = sum(int(probe["asked"]) for probe in tried)
    seen = sum(int(probe["seen"] or 0) for probe in tried)
    passed = sum(int(probe["passed"] or 0) for probe in tried)
    exact = sum(probe["seen"] == probe["asked"] for probe in tried)
    held = sum(int(probe["held"]) for probe in probes)
    unfit = any(probe["problem"] for probe in probes if not probe["asked"])
    drivers = sorted({str(probe["driver_version"]) for probe in tried if probe["driver_version"]})
    cudas = sorted({str(probe["cuda_version"]) for probe in tried if probe["cuda_version"]})
    versions = f"driver {listed(drivers) or 'unknown'}, CUDA up to {listed(cudas) or 'unknown'}, {imaged}"
    recorded = bool(drivers and cudas and images)
    return [
        Check(
            "probe_devices",
            exact == len(tried) and not unfit,
            f"nodes whose probe saw as many devices as it asked for: {exact} of {len(tried)}"
            f" ({seen} devices seen, {want} asked for)",
        ),
        Check("probe", passed == want and not unfit, f"GPUs that computed right: {passed} of {want}{_shares(asked)}"),
        Check("held", None, f"GPUs that other work holds, left alone and not probed: {held}"),
        Check("versions", True if recorded else None, f"versions: {versions}"),
    ]


def _shares(asked: Asked) -> str:
    return ", one of each node, for its GPUs are shared" if asked.shared else ""


def _job_checks(asked: Asked, job: Facts) -> list[Check]:
    complete = bool(job.get("complete"))
    succeeded, completions = job.get("succeeded") or 0, job.get("completions") or 1
    checks = [Check("job", complete, f"Job {asked.job} complete: {succeeded} of {completions}")]
    if asked.training:
        devices = [str(device["name"]) for device in job.get("devices") or []]
        checks.append(Check("device", bool(devices), f"device found: {listed(devices) or 'none'}"))
    if asked.minimum_accuracy is not None:
        last = job.get("accuracy_last")
        checks.append(
            Check(
                "accuracy",
                last is not None and float(last) >= asked.minimum_accuracy,
                f"accuracy at the last step: {'none was told' if last is None else last},"
                f" {asked.minimum_accuracy} or more is asked for",
            )
        )
    return checks


def verdict_of(asked: Asked, found: Found, checks: Iterable[Check], failed: bool) -> str:
    """Returns the verdict.

    Args:
        asked: What is asked for.
        found: What was found.
        checks: The assertions.
        failed: A step failed.
    """
    wrong = any(check.holds is False for check in checks)
    if not found.looked:
        return UNSEEN
    if wrong or failed:
        return FAULTY
    return IDLE if not found.nodes and not found.job.get("complete") else WORKS


def headline_of(
    name: str, verdict: str, asked: Asked, found: Found, failure: Facts | None, wrong: Sequence[str]
) -> str:
    """Returns what there is to say about a cluster in one sentence.

    Args:
        name: The cluster.
        verdict: Whether it works.
        asked: What is asked for.
        found: What was found.
        failure: The step that failed, with ``step``, ``message`` and ``problems``.
        wrong: The lines of the assertions that don't hold.
    """
    head = f"{name} {VERDICTS[verdict]}"
    if verdict == IDLE:
        return f"{head}, as its autoscaler may leave it; nothing was proved"
    if verdict == WORKS:
        gpus = sum(int(node["allocatable"]) for node in found.nodes)
        devices = [str(device["name"]) for device in found.job.get("devices") or []]
        trained = f", {asked.job} complete{' on ' + listed(devices) if devices else ''}" if asked.job else ""
        return f"{head}: {gpus} GPU(s) on {len(found.nodes)} node(s){trained}"
    if failure:
        problems = failure.get("problems") or []
        first = problems[0] if problems else {"subject": failure["step"], "message": failure["message"]}
        return f"{head}: {' '.join(str(first['subject']).split())}: {' '.join(str(first['message']).split())}"
    return f"{head}: {'; '.join(wrong)}"


def listed(words: Iterable[str], most: int = 8) -> str:
    """Returns words with commas between them, each once, and how many are left out."""
    distinct = list(dict.fromkeys(words))
    rest = len(distinct) - most
    return ", ".join(distinct[:most]) + (f" and {rest} more" if rest > 0 else "")
