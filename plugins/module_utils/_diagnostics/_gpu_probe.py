# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Probes: a short Job on each node that computes on every GPU that is free there."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._aks._session import CLUSTER_ARGUMENTS, plan_in_cluster
from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, duration_text
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_nodes import evaluate_state, watched
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_observations import Expectation
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._job_logs import JobLogs
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._jobs import UNSCHEDULED, by_object, evaluate_job
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._log_tails import with_log_tails
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import GraceTracker, Problem
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._workload_log import WorkloadLog
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import RETRY_SECONDS, Client, Connect
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError, WaitFailed
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._paths import EVENT, JOB, POD, require_place
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._resources import Resources
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._text import log_lines
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import Query, State, not_looked_at, observe

GPU_PROBE_ARGUMENTS = CLUSTER_ARGUMENTS.merge(
    ArgumentSpec(
        options={
            "node_pool": {"type": "str"},
            "nodes": {"type": "list", "elements": "str"},
            "resource_name": {"type": "str", "default": "nvidia.com/gpu"},
            "shared": {"type": "bool", "default": False},
            "namespace": {"type": "str"},
            "image": {"type": "str", "default": "nvcr.io/nvidia/k8s/cuda-sample:vectoradd-cuda12.5.0"},
            "image_pull_secret": {"type": "str", "no_log": False},
            "program": {"type": "str", "default": "/cuda-samples/vectorAdd"},
            "command": {"type": "list", "elements": "str"},
            "return_details": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 600},
            "grace": {"type": "int", "default": 60},
        }
    ),
)


PROBE_NAME = "gpu-probe"
RUN_LABEL = "aks.gpu/probe-run"
PROBE_POOL_LABEL = "aks.gpu/node-pool"
PROBE_CONTAINER = "probe"
KEEP_SECONDS = 300
"""A probe that nobody was left to remove goes by itself so long after its end."""

LONGEST_NODE_NAME = 36
"""Characters of the name of a node in the name of its Job, of which the names of its Pods are made."""

REQUESTS = {"cpu": "100m", "memory": "256Mi"}
LIMITS = {"cpu": "1", "memory": "2Gi"}
"""Quotas and policies ask for them. CUDA takes some hundred MiB of memory for each process."""

USER = 65534
"""Nobody: Pod Security's level restricted allows no root. NVIDIA's devices are open to everyone."""

MOST_OF_THE_LOG = 16 * 1024 * 1024
"""Bytes; nvidia-smi and a line for each device are some KiB. A longer log is not judged by its beginning."""

PROBE_SCRIPT = r"""set -eu
nvidia-smi
listed=$(nvidia-smi -L)
echo "$listed"
devices=$(echo "$listed" | sed -n 's/.*(UUID: \(MIG-[^)]*\)).*/\1/p')
[ -n "$devices" ] || devices=$(echo "$listed" | sed -n 's/.*(UUID: \(GPU-[^)]*\)).*/\1/p')
for device in $devices; do
  echo "Device $device"
  CUDA_VISIBLE_DEVICES=$device "$1"
done
"""
"""Lists the devices that the container sees, and runs a program on each by itself."""


class LogNotRead(KubernetesError):
    """A log is too long to be read."""


@dataclass
class Probe:
    """The probe of one node.

    Attributes:
        node: The node's name.
        asked: How many GPUs it asks for: those that are free.
        held: How many others hold, which are left alone.
        expected_devices: How many devices the container has to see.
        node_pool: The node pool of the node; None where it is not known.
        log: What it told; None before.
        problem: Why it failed, in words; None when it did not.
    """

    node: str
    asked: int
    held: int
    expected_devices: int
    node_pool: str | None = None
    log: WorkloadLog | None = None
    problem: str | None = None
    problems: list[Problem] = field(default_factory=list)

    @property
    def works(self) -> bool:
        """True when every device that was asked for was seen, no other one was, and each computed right."""
        return self.log is not None and self.problem is None

    def judge(self, log: WorkloadLog) -> None:
        """Decides by what the Job told."""
        self.log = log
        seen, passed = len(log.devices), log.passed
        if log.trouble:
            self.problem = f"{log.trouble.message}. {log.trouble.advice}"
        elif seen != self.expected_devices:
            self.problem = f"it asked for {self.asked} and saw {seen} devices, where {self.expected_devices} are right"
        elif passed != seen:
            self.problem = f"{passed} of {seen} devices computed right"

    def as_result(self) -> dict[str, Any]:
        """Returns the probe as a return value."""
        log = self.log or WorkloadLog()
        return {
            "node": self.node,
            "node_pool": self.node_pool,
            "asked": self.asked,
            "held": self.held,
            "seen": len(log.devices) if self.log else None,
            "passed": log.passed if self.log else None,
            "works": self.works if self.asked else None,
            "devices": [{"name": device["name"], "uuid": device["uuid"]} for device in log.devices],
            "driver_version": log.driver_version,
            "cuda_version": log.cuda_version,
            "problem": self.problem,
            "log_tail": log.tail,
        }


def manifest(probe: Probe, params: dict[str, Any], namespace: str, run: str) -> dict[str, Any]:
    """Returns the Job of a probe.

    It is bound to its node and tolerates whatever keeps others away; the scheduler still gives it only what is free.

    Args:
        probe: The probe.
        params: The options of the module.
        namespace: Where it runs.
        run: A word that all Jobs of this run share.
    """
    labels = {"app.kubernetes.io/name": PROBE_NAME, "app.kubernetes.io/managed-by": "aks.gpu", RUN_LABEL: run}
    if probe.node_pool:
        labels[PROBE_POOL_LABEL] = probe.node_pool
    node = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [probe.node]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [node]}}
    secret = params["image_pull_secret"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(probe.node, run), "namespace": namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(params["wait_timeout"]) + 60,
            "ttlSecondsAfterFinished": KEEP_SECONDS,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "affinity": {"nodeAffinity": required},
                    "tolerations": [{"operator": "Exists"}],
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "imagePullSecrets": [{"name": secret}] if secret else [],
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": USER,
                        "runAsGroup": USER,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": PROBE_CONTAINER,
                            "image": params["image"],
                            "command": params["command"]
                            or ["/bin/sh", "-c", PROBE_SCRIPT, PROBE_NAME, params["program"]],
                            "env": [{"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "compute,utility"}],
                            "resources": {
                                "requests": REQUESTS,
                                "limits": {**LIMITS, params["resource_name"]: str(probe.asked)},
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "capabilities": {"drop": ["ALL"]},
                            },
                        }
                    ],
                },
            },
        },
    }


def job_name(node: str, run: str) -> str:
    """Returns the name of a probe's Job: short enough for the names that are made of it, and unique for each node.

    A name that has to be changed gets a hash of the whole one: names of nodes that Azure makes by itself begin alike.
    """
    word = re.sub(r"[^a-z0-9-]", "-", node.lower()).strip("-")
    if word != node or len(word) > LONGEST_NODE_NAME:
        digest = hashlib.sha256(node.encode()).hexdigest()[:8]
        word = f"{word[: LONGEST_NODE_NAME - 9].strip('-')}-{digest}"
    return f"{PROBE_NAME}-{word}-{run}"


def probes_of(nodes: Iterable[dict[str, Any]], *, names: list[str] | None, shared: bool) -> list[Probe]:
    """Returns the probes for nodes as ``wait_for_gpus`` returns them.

    Args:
        nodes: The nodes.
        names: Only these; None for all.
        shared: Several Pods share a device, so one is asked for.

    Raises:
        Failure: A name is none of a node.
    """
    by_name = {node["name"]: node for node in nodes}
    missing = [name for name in names or [] if name not in by_name]
    if missing:
        known = ", ".join(sorted(by_name)) or "none"
        raise Failure(f"There is no GPU node {', '.join(missing)}. There are: {known}.")
    probes = []
    for name in names or sorted(by_name):
        node = by_name[name]
        free = max(0, node["allocatable"] - node["in_use"]) if node["ready"] else 0
        asked = min(free, 1) if shared else free
        probes.append(Probe(name, asked, node["in_use"], asked, node.get("node_pool")))
        if not node["ready"]:
            probes[-1].problem = "it is not Ready"
        elif not node["allocatable"]:
            probes[-1].problem = "it offers no GPUs"
    return probes


def plan_probe(task: Task, connect: Connect) -> Plan:
    """Plans the probes of GPU nodes; in check mode they are told, not made.

    Args:
        task: Its options are those of the module ``gpu_probe``.
        connect: Returns a client of the cluster.
    """
    params = task.params
    require_place(params["namespace"])
    client = connect()
    expected = Expectation(node_pool=params["node_pool"], resource=params["resource_name"])
    with observe(client, watched(expected)) as watch:
        state = next(iter(watch.states(task.deadline(max(60.0, params["wait_timeout"])))))
    if "pods" in state.denied:
        raise KubernetesError(
            f"Which GPUs are free can't be seen: {state.denied['pods']}", hint="A probe must not disturb others' work."
        )
    probes = probes_of(evaluate_state(expected, state).nodes, names=params["nodes"] or None, shared=params["shared"])
    work = _ProbeWork(task, client, params["namespace"] or client.access.namespace, probes)
    returned = _all_probes if params["return_details"] else _essential_probes
    return Plan(changed=False, result=returned(result_of(probes)), apply=lambda: returned(work.carry_out()))


def _all_probes(result: dict[str, Any]) -> dict[str, Any]:
    return result


def _essential_probes(result: dict[str, Any]) -> dict[str, Any]:
    """Returns a result without the logs: a probe that failed ends its task as failed, which returns them."""
    return {**result, "probes": [{**probe, "log_tail": []} for probe in result["probes"]]}


def result_of(probes: list[Probe]) -> dict[str, Any]:
    """Returns probes as return values."""
    return {
        "probes": [probe.as_result() for probe in probes],
        "gpus_probed": sum(probe.asked for probe in probes if probe.log is not None),
        "gpus_held": sum(probe.held for probe in probes),
        "gpus_work": all(probe.works for probe in probes if probe.asked) and not any(probe.problem for probe in probes),
    }


def _by_owner(pods: Iterable[dict[str, Any]]) -> dict[Any, list[dict[str, Any]]]:
    owned: dict[Any, list[dict[str, Any]]] = {}
    for pod in pods:
        for reference in pod["metadata"].get("ownerReferences") or []:
            owned.setdefault(reference.get("uid"), []).append(pod)
    return owned


class _ProbeWork:
    def __init__(self, task: Task, client: Client, namespace: str, probes: list[Probe]) -> None:
        self._task = task
        self._client = client
        self._resources = Resources(client)
        self._namespace = namespace
        self._probes = probes
        self._asking = {probe.node: probe for probe in probes if probe.asked}
        self._run = secrets.token_hex(4)
        self._unseen: list[str] = []

    def carry_out(self) -> dict[str, Any]:
        """Makes the Jobs, waits for them, reads what they told, and removes them.

        Raises:
            WaitFailed: A GPU does not work, or a probe did not end in time.
            KubernetesError: The server refused.
        """
        deadline = self._task.deadline(self._task.params["wait_timeout"])
        made: list[dict[str, Any]] = []
        try:
            for probe in self._asking.values():
                job = manifest(probe, self._task.params, self._namespace, self._run)
                made.append(self._resources.apply(JOB, job, field_manager="aks.gpu"))
            if made:
                self._wait(deadline)
        except BaseException:
            left = self._remove(made)
            if left is not None:
                self._task.warn(str(left))
            raise
        left = self._remove(made)
        broken = [probe for probe in self._probes if probe.problem]
        if broken:
            lines = [f"{len(broken)} of {len(self._probes)} GPU nodes did not pass their probe."]
            for probe in broken:
                lines.append(f"- Node {probe.node}: {str(probe.problem).rstrip('.')}.")
                lines += [f"  {problem.text()}" for problem in probe.problems]
            lines += [f"- {left}"] if left is not None else []
            lines += [f"- {text}" for text in self._unseen]
            raise WaitFailed("\n".join(lines), **result_of(self._probes))
        if left is not None:
            raise WaitFailed(str(left), **{**left.details, **result_of(self._probes)})
        return result_of(self._probes)

    def _remove(self, jobs: list[dict[str, Any]]) -> KubernetesError | None:
        """Removes Jobs, each of them whatever becomes of the others; returns what to say of those that stay."""
        left: dict[str, KubernetesError] = {}
        for job in jobs:
            try:
                self._resources.delete(JOB, job, propagation="Background")
            except KubernetesError as error:
                left[job["metadata"]["name"]] = error
        if not left:
            return None
        reason = next(iter(left.values()))
        return KubernetesError(
            f"{len(left)} of {len(jobs)} probes could not be removed: {', '.join(left)} in the namespace "
            f"{self._namespace}. {reason.message}",
            status=reason.status,
            reason=reason.reason,
            hint=f"A probe goes by itself, {KEEP_SECONDS} s after its end. Run the task again.",
        )

    def _wait(self, deadline: Deadline) -> None:
        waiting = dict(self._asking)
        patience = {
            node: GraceTracker(lambda problem: self._task.params["grace"] * (1 if problem.cause in UNSCHEDULED else 2))
            for node in waiting
        }
        selector = f"{RUN_LABEL}={self._run}"
        queries = {
            "jobs": Query(JOB.path(self._namespace), label_selector=selector),
            "pods": Query(POD.path(self._namespace), label_selector=selector),
            "events": Query(
                EVENT.path(self._namespace),
                field_selector="type=Warning",
                optional=True,
                keep=self._event_that_matters,
            ),
        }
        state = State()
        with observe(self._client, queries) as watch:
            for state in watch.states(deadline):
                self._unseen = not_looked_at(state)
                by_name = {job["metadata"]["name"]: job for job in state.all("jobs")}
                pods, warnings = _by_owner(state.all("pods")), by_object(state.all("events"))
                for node in list(waiting):
                    job = by_name.get(job_name(node, self._run))
                    if job is not None and self._look(waiting[node], job, pods, warnings, patience[node]):
                        del waiting[node]
                if not waiting:
                    return
                self._task.progress(self._line(waiting))
        for probe in waiting.values():
            # What was wrong when it was last looked at is said by ``problems``.
            probe.problem = f"its probe did not end within {duration_text(deadline.seconds)}"
            probe.problems = with_log_tails(self._client, probe.problems)

    def _event_that_matters(self, event: dict[str, Any]) -> dict[str, Any] | None:
        involved = event.get("involvedObject") or {}
        mine = str(involved.get("name", "")).startswith(f"{PROBE_NAME}-") and self._run in str(involved.get("name", ""))
        return event if mine else None

    def _line(self, waiting: dict[str, Probe]) -> str:
        done = f"{PROBE_NAME}: {len(self._asking) - len(waiting)} of {len(self._asking)} nodes probed"
        problems = [problem for probe in waiting.values() for problem in probe.problems]
        return f"{done}; {problems[0].subject}: {problems[0].message}" if problems else done

    def _look(
        self,
        probe: Probe,
        job: dict[str, Any],
        pods_of: dict[Any, list[dict[str, Any]]],
        warnings: dict[Any, list[dict[str, Any]]],
        patience: GraceTracker,
    ) -> bool:
        """Looks at a probe's Job; True when there is nothing more to wait for.

        Args:
            probe: The probe.
            job: Its Job.
            pods_of: Pods by the uid of their owner.
            warnings: Events by the uid of what they are about.
            patience: With the probe.
        """
        pods = pods_of.get(job["metadata"]["uid"], [])
        events = [event for found in (job, *pods) for event in warnings.get(found["metadata"]["uid"], [])]
        ended = [pod for pod in pods if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")]
        verdict = evaluate_job(job, pods, events, evidence=JobLogs())
        probe.problems = verdict.problems
        if ended:
            self._ended(probe, ended[0], verdict.problems)
            return True
        expired = patience.expired(verdict.problems)
        if expired:
            self._fail(probe, expired)
        return bool(expired)

    def _ended(self, probe: Probe, pod: dict[str, Any], problems: list[Problem]) -> None:
        succeeded = pod["status"]["phase"] == "Succeeded"
        probe.problems = []
        try:
            log = self._read(pod)
        except KubernetesError as error:
            # One node whose kubelet can't be reached (Azure/AKS#1632) says nothing about the others.
            probe.problem = f"what its probe found is not known: its log could not be read: {error.message.rstrip('.')}"
            probe.problems = [] if succeeded else problems
            return
        if succeeded:
            probe.judge(log)
        else:
            probe.log = log
            self._fail(probe, problems)

    def _fail(self, probe: Probe, problems: list[Problem]) -> None:
        probe.problems = with_log_tails(self._client, problems)
        trouble = probe.log.trouble if probe.log else None
        probe.problem = f"{trouble.message}. {trouble.advice}" if trouble else "its probe failed"

    def _read(self, pod: dict[str, Any]) -> WorkloadLog:
        log = WorkloadLog()
        path = POD.path(self._namespace, pod["metadata"]["name"], "log")
        text = self._client.text(
            path, retry_seconds=RETRY_SECONDS, container=PROBE_CONTAINER, limitBytes=MOST_OF_THE_LOG
        )
        if len(text.encode()) >= MOST_OF_THE_LOG:
            raise LogNotRead(f"it is longer than {MOST_OF_THE_LOG // 2**20} MiB")
        for line in log_lines(text):
            log.feed(line)
        return log


def plan_gpu_probe(task: Task) -> Plan:
    """Plans what the module ``gpu_probe`` does."""
    return plan_in_cluster(task, plan_probe)
