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

from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import (
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

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Expectations:
    """What is asked for besides nodes with GPUs.

    Attributes:
        gpu_stack: How GPUs become schedulable.
        probe: The probe: ``asked``, else the reason why it was not.
        job: The name of the Job that has to be complete; empty for none.
        training: The log of the Job has to name a GPU.
        minimum_accuracy: That the Job has to reach, from 0 to 1; None for none.
        shared: Several Pods share a GPU.
        node_pool: The node pool that is to be proven; empty for the cluster as a whole.
    """

    gpu_stack: str = "device_plugin"
    probe: str = "asked"
    job: str = ""
    training: bool = False
    minimum_accuracy: float | None = None
    shared: bool = False
    node_pool: str = ""


@dataclass(frozen=True)
class Observations:
    """What was found; empty where nobody could look.

    Attributes:
        gpus: What ``wait_for_gpus`` returned, failed or not.
        probe: What ``gpu_probe`` returned.
        job: The Job that ``wait_for_job`` returned; ``exists`` is false where there is none.
    """

    gpus: Fields = field(default_factory=dict)
    probe: Fields = field(default_factory=dict)
    job: Fields = field(default_factory=dict)

    @property
    def nodes(self) -> list[Fields]:
        """The GPU nodes."""
        return list(self.gpus.get("nodes") or [])

    @property
    def probes(self) -> list[Fields]:
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


def checks_of(asked: Expectations, found: Observations) -> list[Check]:
    """Returns every assertion about a cluster whose nodes were looked at, and none for one that could not be."""
    if not found.looked:
        return []
    checks = [*_node_checks(asked, found), *_probe_checks(asked, found)]
    return checks + (_job_checks(asked, found) if asked.job else [])


def _node_checks(asked: Expectations, found: Observations) -> list[Check]:
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
            line = f"{line}; of the others it is not known, for DaemonSets or Pods could not be listed"
            checks.append(Check("device_plugin", None, line))
        else:
            checks.append(Check("device_plugin", plugged == total, line))
    return [*checks, _health(nodes)]


def _health(nodes: Sequence[Fields]) -> Check:
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


def _probe_checks(asked: Expectations, found: Observations) -> list[Check]:
    images = sorted({str(node["node_image_version"]) for node in found.nodes if node.get("node_image_version")})
    imaged = f"node image {listed(images)}" if images else "node image unknown"
    if asked.probe != "asked" or not found.probes:
        why = asked.probe if asked.probe != "asked" else "it did not come to that"
        # A probe that could not be made has found no fault; the step that failed says why.
        due = asked.probe == "asked" and found.nodes and found.gpus.get("gpus_ready") and not found.probe.get("failed")
        holds = False if due else None
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


def _shares(asked: Expectations) -> str:
    return ", one of each node, for its GPUs are shared" if asked.shared else ""


@dataclass(frozen=True)
class _Place:
    """Where the Pods of a complete Job ran.

    Attributes:
        holds: Whether it was on a node of the pool that is to be proven; None where that is not known.
        words: Where, for a person.
        other: It is known that the nodes are none of the pool as it is now, so that they prove nothing of it.
    """

    holds: bool | None
    words: str
    other: bool = False


def _place_check(asked: Expectations, found: Observations) -> _Place:
    """Says where a complete Job ran: a pool of the same name may have been made anew, with other machines."""
    pool, job = asked.node_pool.lower(), found.job
    names = {node["name"] for node in found.nodes}
    succeeded = [pod for pod in job.get("pods") or [] if pod.get("phase") == "Succeeded"]
    pods = [pod for pod in succeeded if pod.get("asks_for_gpu", True)]
    here: list[Fields] = []
    left: list[Fields] = []
    elsewhere: list[Fields] = []
    for pod in pods:
        if (pod.get("node_pool") or pool).lower() != pool:
            elsewhere.append(pod)
        elif pod.get("node_is_there") is False:
            left.append(pod)
        elif pod.get("node_pool") or pod.get("node") in names:
            here.append(pod)
    if here:
        return _Place(True, f"on {listed(str(pod['node']) for pod in here)} of the node pool {asked.node_pool}")
    if left:
        nodes = listed(str(pod["node"]) for pod in left)
        return _Place(None, f"on {nodes}, which the node pool {asked.node_pool} no longer has", other=True)
    if elsewhere:
        pools = listed(sorted({str(pod["node_pool"]) for pod in elsewhere}))
        return _Place(False, f"on a node of the node pool {pools}, not of {asked.node_pool}", other=True)
    if succeeded:
        return _Place(None, "where its Pods ran is not known" if pods else "it asks for no GPU")
    bound = job.get("node_pool")
    if bound and bound.lower() != pool:
        return _Place(False, f"in the node pool {bound}, not in {asked.node_pool}", other=True)
    return _Place(None, f"its Pods are gone{', they were bound to ' + bound if bound else ''}")


def _again(asked: Expectations, place: _Place) -> str:
    bound = f", and mnist_node_pool: {asked.node_pool} keeps it on this pool" if place.holds is False else ""
    return f"mnist_recreate: true runs it again{bound}"


def _doubt(asked: Expectations, found: Observations) -> str:
    """Returns why the log of a complete Job is not judged; empty when it is, or when nothing is required of it."""
    job = found.job
    if asked.node_pool and (place := _place_check(asked, found)).other:
        return f"it ran {place.words}"
    wanted = asked.minimum_accuracy is not None or (asked.training and not job.get("devices"))
    if wanted and job.get("log_state") in ("gone", "not_read"):
        return str(job.get("log_problem") or "its log could not be read")
    return ""


def _job_checks(asked: Expectations, found: Observations) -> list[Check]:
    job = found.job
    if not job:
        return _job_lines(asked, None, "not looked at", "not looked at")
    if not job.get("exists", True):
        return _job_lines(asked, False, "there is no such Job", "not looked at")
    complete = bool(job.get("complete"))
    succeeded, completions = job.get("succeeded") or 0, job.get("completions") or 1
    checks = [Check("job", complete, f"Job {asked.job} complete: {succeeded} of {completions}")]
    place = _place_check(asked, found) if asked.node_pool else _Place(None, "not asked for")
    if asked.node_pool:
        again = f"; {_again(asked, place)}" if place.other else ""
        words = f"{place.words}{again}" if complete else "not looked at, for it is not complete"
        checks.append(Check("job_pool", place.holds if complete else None, f"where the Job {asked.job} ran: {words}"))
    doubt = _doubt(asked, found) if complete else ""
    if asked.training:
        checks.append(_device_check(asked, job, doubt, place))
    if asked.minimum_accuracy is not None:
        checks.append(_accuracy(asked, asked.minimum_accuracy, job, doubt, place))
    return checks


def _job_lines(asked: Expectations, complete: bool | None, words: str, others: str) -> list[Check]:
    """Returns the assertions about a Job of which nothing else is known."""
    checks = [Check("job", complete, f"Job {asked.job} complete: {words}")]
    if asked.node_pool:
        checks.append(Check("job_pool", None, f"where the Job {asked.job} ran: {others}"))
    if asked.training:
        checks.append(Check("device", None, f"device found: {others}"))
    if asked.minimum_accuracy is not None:
        checks.append(Check("accuracy", None, f"accuracy at the last step: {others}"))
    return checks


def _device_check(asked: Expectations, job: Fields, doubt: str, place: _Place) -> Check:
    devices = [str(device["name"]) for device in job.get("devices") or []]
    # A device that a part of the log names was found all the same.
    if doubt and (place.other or not devices):
        return Check("device", None, f"device found: {_unjudged(job, place, doubt)}; {_again(asked, place)}")
    if not devices and not job.get("complete") and not job.get("log_state", True):
        return Check("device", None, "device found: not looked at, for the Job has no log yet")
    return Check("device", bool(devices), f"device found: {listed(devices) or 'none'}")


def _accuracy(asked: Expectations, least: float, job: Fields, doubt: str, place: _Place) -> Check:
    last = job.get("accuracy_last")
    if doubt:
        words = f"accuracy at the last step: {_unjudged(job, place, doubt)}, {least} or more is asked for"
        return Check("accuracy", None, f"{words}; {_again(asked, place)}")
    if last is None and not job.get("complete") and not job.get("log_state", True):
        return Check("accuracy", None, "accuracy at the last step: not looked at, for the Job has no log yet")
    return Check(
        "accuracy",
        last is not None and float(last) >= least,
        f"accuracy at the last step: {'none was told' if last is None else last}, {least} or more is asked for",
    )


def _unjudged(job: Fields, place: _Place, doubt: str) -> str:
    read = "not read" if job.get("log_state") == "not_read" and not place.other else "not judged"
    return f"{read}: {doubt}"


def verdict_of(asked: Expectations, found: Observations, checks: Iterable[Check], failed: bool) -> str:
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
    proved = bool(found.job.get("complete")) and not _doubt(asked, found)
    return IDLE if not found.nodes and not proved else WORKS


def headline_of(
    name: str, verdict: str, asked: Expectations, found: Observations, failure: Fields | None, wrong: Sequence[str]
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
        trained = f", {_trained(asked, found)}" if asked.job else ""
        return f"{head}: {gpus} GPU(s) on {len(found.nodes)} node(s){trained}"
    if failure:
        problems = failure.get("problems") or []
        first = problems[0] if problems else {"subject": failure["step"], "message": failure["message"]}
        return f"{head}: {' '.join(str(first['subject']).split())}: {' '.join(str(first['message']).split())}"
    return f"{head}: {'; '.join(wrong)}"


def _trained(asked: Expectations, found: Observations) -> str:
    doubt = _doubt(asked, found)
    if doubt:
        return f"{asked.job} complete, but not judged: {doubt}"
    devices = [str(device["name"]) for device in found.job.get("devices") or []]
    return f"{asked.job} complete{' on ' + listed(devices) if devices else ''}"


def listed(words: Iterable[str], most: int = 8) -> str:
    """Returns words with commas between them, each once, and how many are left out."""
    distinct = list(dict.fromkeys(words))
    rest = len(distinct) - most
    return ", ".join(distinct[:most]) + (f" and {rest} more" if rest > 0 else "")
