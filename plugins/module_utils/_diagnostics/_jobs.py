# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a Job stands, and the wait for its end with its log at hand."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._job_logs import (
    LOGS_GONE,
    PODS_GONE,
    JobLogs,
    log_key,
    main_container,
    requests_gpu,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import (
    POOL_LABELS,
    SIZE_LABEL,
    condition_of,
    labels_of,
    name_of,
    node_pool_of,
    pool_of_labels,
    taint_text,
    taints_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._placement import untolerated
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._pods import (
    is_over,
    pod_problems,
    terminations,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import Permanence, Problem
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._workload_log import CudaError, WorkloadLog
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import parse_time
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import (
    State,
)

UNSCHEDULED = frozenset({"Unschedulable", "SchedulingGated", "SchedulerError"})
_FATAL_TROUBLES = frozenset({"DriverMismatch", "ImageTooOldForGpu", "DriverChanged", "NoDevice"})
_STALLING = UNSCHEDULED | {
    "ImagePull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
    "FailedMount",
    "FailedAttachVolume",
    "FailedCreatePodSandBox",
}
"""What a Pod does not get over by being started again."""


_FAILURE_ADVICE = {
    "BackoffLimitExceeded": "Its Pods failed too often; see below why.",
    "DeadlineExceeded": "It ran longer than its activeDeadlineSeconds.",
    "PodFailurePolicy": "Its podFailurePolicy ended it.",
    "MaxFailedIndexesExceeded": "Too many of its indexes failed.",
    "FailedIndexes": "Some of its indexes failed.",
}


@dataclass(frozen=True)
class JobStatus:
    """How a Job stands.

    Attributes:
        complete: It has succeeded.
        problems: What is wrong; those without hope make the Job one that can't succeed.
        summary: One line for a person who waits.
    """

    complete: bool
    problems: list[Problem]
    summary: str


def evaluate_job(
    job: dict[str, Any],
    pods: Iterable[dict[str, Any]],
    events: Iterable[dict[str, Any]] = (),
    nodes: Iterable[dict[str, Any]] | None = None,
    evidence: JobLogs | None = None,
) -> JobStatus:
    """Judges a Job by what is in the cluster and by what its Pods told.

    Args:
        job: The Job.
        pods: Its Pods.
        events: Warnings of its namespace about it and its Pods.
        nodes: The nodes; None when they could not be looked at.
        evidence: The logs read so far.
    """
    pods, events = sorted(pods, key=creation_key), list(events)
    nodes = None if nodes is None else list(nodes)
    evidence = evidence or JobLogs()
    subject = f"Job {job['metadata'].get('namespace')}/{job['metadata']['name']}"
    status = job.get("status") or {}
    wanted = _completions(job)
    complete = has_condition(job, "Complete") or has_condition(job, "SuccessCriteriaMet")
    problems = [] if complete else _end_problems(subject, job)
    if has_condition(job, "Suspended") and (job.get("spec") or {}).get("suspend"):
        problems.append(Problem(subject, "Suspended", "it is suspended", "Whoever suspended it has to resume it."))
    problems += _cuda_problems(pods, evidence, over=has_condition(job, "Failed"))
    if not complete:
        warnings = by_object(events)
        anywhere = _with_every_taint(nodes or [])
        for pod in pods:
            problems += _pod_findings(pod, warnings.get(pod["metadata"]["uid"], []), anywhere)
        problems += _killed_for_memory(subject, pods)
        problems += _node_lost_problems(pods, nodes)
        problems += _creation_problems(subject, job, pods, events)
    count = f"{int(status.get('succeeded') or 0)} of {wanted} complete"
    running = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
    told = f", {evidence.latest}" if evidence.latest else ""
    where = ""
    if running and not told:
        where = f", Pod {running[-1]['metadata']['name']} runs on {running[-1]['spec'].get('nodeName')}"
    return JobStatus(complete, problems, f"{subject}: {count}{where}{told}")


def job_result(
    namespace: str,
    name: str,
    job: dict[str, Any] | None,
    pods: Iterable[dict[str, Any]] = (),
    evidence: JobLogs | None = None,
    nodes: Iterable[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Returns a Job as a return value, with the same keys whether it is there or not.

    Args:
        namespace: Its namespace.
        name: Its name.
        job: The Job; None when there is none.
        pods: Its Pods.
        evidence: The logs read.
        nodes: The nodes of the cluster; None when they could not be looked at.
    """
    evidence = evidence or JobLogs()
    by_name = None if nodes is None else {name_of(node): node for node in nodes}
    status = (job or {}).get("status") or {}
    complete = job is not None and has_condition(job, "Complete")
    ordered = sorted(pods, key=creation_key)
    succeeded = [pod for pod in ordered if (pod.get("status") or {}).get("phase") == "Succeeded"]
    read = [pod for pod in succeeded if evidence.of(pod)] or succeeded
    # Of a complete Job a Pod that failed tells nothing about what completed it.
    shown = min(read, key=_ended_at) if read else (ordered[-1] if ordered and not complete else None)
    log = (evidence.of(shown) if shown else None) or WorkloadLog()
    log_state, log_problem = _log_state(complete, shown, evidence)
    accuracies = [entry["accuracy"] for entry in log.accuracy]
    completion = status.get("completionTime")
    return {
        "name": name,
        "namespace": namespace,
        "exists": job is not None,
        "complete": complete,
        "completions": _completions(job) if job else None,
        "succeeded": int(status.get("succeeded") or 0),
        "failed": int(status.get("failed") or 0),
        "start_time": status.get("startTime"),
        "completion_time": completion,
        "duration_seconds": _seconds(status.get("startTime"), completion),
        "node_pool": _bound_to(job),
        "pods": [_pod_result(pod, evidence.of(pod), by_name) for pod in ordered],
        "devices": log.devices,
        "accuracy": log.accuracy,
        "accuracy_first": accuracies[0] if accuracies else None,
        "accuracy_last": log.last,
        "accuracy_best": log.best,
        "log_pattern_found": log.pattern_found if log.pattern and log.head else None,
        "driver_version": log.driver_version,
        "cuda_version": log.cuda_version,
        "log_state": log_state,
        "log_problem": log_problem,
        "log_head": log.head,
        "log_tail": log.tail,
    }


def has_condition(job: dict[str, Any], condition: str) -> bool:
    return any(
        entry.get("type") == condition and entry.get("status") == "True"
        for entry in (job.get("status") or {}).get("conditions") or []
    )


def has_ended(job: dict[str, Any]) -> bool:
    return has_condition(job, "Complete") or has_condition(job, "Failed")


def _end_problems(subject: str, job: dict[str, Any]) -> list[Problem]:
    for kind in ("Failed", "FailureTarget"):
        for entry in (job.get("status") or {}).get("conditions") or []:
            if entry.get("type") == kind and entry.get("status") == "True":
                reason = str(entry.get("reason"))
                text = f"{kind}: {reason}: {entry.get('message')}"
                return [Problem(subject, reason, text, _FAILURE_ADVICE.get(reason, ""), Permanence.PERMANENT)]
    return []


def _pod_findings(pod: dict[str, Any], events: list[dict[str, Any]], anywhere: dict[str, Any]) -> list[Problem]:
    """What is wrong with a Pod, seen from its Job, which starts another where one fails.

    Args:
        pod: The Pod.
        events: Warnings about it.
        anywhere: A node with the taints of all nodes.
    """
    over = (pod.get("status") or {}).get("phase") == "Failed"
    findings = []
    for problem in pod_problems(pod, events):
        lasting = problem.cause in _STALLING and not over
        forever = problem.cause == "OOMKilled" and problem.permanence is Permanence.PERMANENT
        seen = problem if lasting or forever else replace(problem, permanence=Permanence.TRANSIENT)
        if problem.cause == "Unschedulable":
            seen = replace(seen, advice=_taints_in_the_way(pod, anywhere) or seen.advice)
        findings.append(seen)
    return findings


def _taints_in_the_way(pod: dict[str, Any], anywhere: dict[str, Any]) -> str:
    """Names the taints that the Pod does not tolerate, which the scheduler only counts."""
    taints = untolerated(pod.get("spec") or {}, anywhere)
    return f"Nodes have taints that it does not tolerate: {', '.join(sorted(taints))}." if taints else ""


def _with_every_taint(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns a node with the taints of all nodes, each of them once."""
    taints = {taint_text(taint): taint for node in nodes for taint in taints_of(node)}
    return {"spec": {"taints": list(taints.values())}}


def by_object(events: Iterable[dict[str, Any]]) -> dict[Any, list[dict[str, Any]]]:
    """Returns events by the uid of the object that they are about."""
    found: dict[Any, list[dict[str, Any]]] = {}
    for event in events:
        found.setdefault((event.get("involvedObject") or {}).get("uid"), []).append(event)
    return found


def _cuda_problems(pods: list[dict[str, Any]], evidence: JobLogs, *, over: bool) -> list[Problem]:
    """What logs say about CUDA, of any container.

    It ends a wait when all Pods say so, or the Job has failed: the next Pod may run well on another node. A Pod that
    failed for good, the only one so far, is followed by another one soon.
    """
    found = [(pod, trouble) for pod in pods if (trouble := _cuda_error_of(pod, evidence)) is not None]
    fatal = [pod for pod, trouble in found if trouble.cause in _FATAL_TROUBLES and _ended_badly(pod)]
    permanence = Permanence.TRANSIENT
    if over or (fatal and len(fatal) == len(pods)):
        alone = len(pods) == 1 and (pods[0].get("status") or {}).get("phase") == "Failed"
        permanence = Permanence.UNCERTAIN if alone and not over else Permanence.PERMANENT
    uids = {pod["metadata"]["uid"] for pod in fatal}
    return [
        Problem(
            f"Pod {pod['metadata'].get('namespace')}/{pod['metadata']['name']}",
            trouble.cause,
            trouble.message,
            trouble.advice,
            permanence if pod["metadata"]["uid"] in uids else Permanence.TRANSIENT,
        )
        for pod, trouble in found
    ]


def _cuda_error_of(pod: dict[str, Any], evidence: JobLogs) -> CudaError | None:
    main = evidence.of(pod)
    logs = [*([main] if main else []), *evidence.all_of(pod)]
    return next((log.trouble for log in logs if log.trouble is not None), None)


def _ended_badly(pod: dict[str, Any]) -> bool:
    return any(int(ended.get("exitCode") or 0) for _container, ended in terminations(pod))


def _killed_for_memory(subject: str, pods: list[dict[str, Any]]) -> list[Problem]:
    killed = [
        pod
        for pod in pods
        if (pod.get("status") or {}).get("phase") == "Failed"
        and any(ended.get("reason") == "OOMKilled" for _container, ended in terminations(pod))
    ]
    if len(killed) < 2:
        return []
    text = f"{len(killed)} of its Pods were OOMKilled"
    return [Problem(subject, "OOMKilled", text, "Raise the container's memory limit.", Permanence.PERMANENT)]


def _node_lost_problems(pods: list[dict[str, Any]], nodes: list[dict[str, Any]] | None) -> list[Problem]:
    if nodes is None:
        return []
    by_name = {name_of(node): node for node in nodes}
    problems = []
    for pod in pods:
        node_name = (pod.get("spec") or {}).get("nodeName")
        if not node_name or (pod.get("status") or {}).get("phase") not in ("Running", "Pending"):
            continue
        node = by_name.get(node_name)
        ready = condition_of(node, "Ready") if node else None
        if node is not None and (ready is None or ready.get("status") == "True"):
            continue
        words = f"{ready.get('reason')}: {ready.get('message')}" if ready else "it is no longer in the cluster"
        subject = f"Pod {pod['metadata'].get('namespace')}/{pod['metadata']['name']}"
        text = f"its node {node_name} is lost: {words}"
        problems.append(Problem(subject, "NodeLost", text, "A Spot node may have been evicted.", Permanence.UNCERTAIN))
    return problems


def _creation_problems(
    subject: str, job: dict[str, Any], pods: list[dict[str, Any]], events: list[dict[str, Any]]
) -> list[Problem]:
    uid = job["metadata"]["uid"]
    mine = [event for event in events if (event.get("involvedObject") or {}).get("uid") == uid]
    last = max(mine, key=_event_time, default=None)
    if last is None or (pods and last.get("reason") != "FailedCreate") or not _pods_missing(job, pods):
        return []
    # Times of Kubernetes are whole seconds: a Pod and the refusal of the next one may have the same.
    if pods and _event_time(last)[:19] < max(creation_key(pod)[0] for pod in pods)[:19]:
        return []
    advice = "A quota, Pod Security or an admission rule is in the way; the message names it."
    return [
        Problem(subject, "FailedCreate", f"{last.get('reason')}: {last.get('message')}", advice, Permanence.UNCERTAIN)
    ]


def _pods_missing(job: dict[str, Any], pods: list[dict[str, Any]]) -> bool:
    """Says whether fewer Pods are under way than the Job should have now."""
    spec, status = job.get("spec") or {}, job.get("status") or {}
    parallelism = spec.get("parallelism")
    wanted = min(
        int(parallelism) if parallelism is not None else 1, _completions(job) - int(status.get("succeeded") or 0)
    )
    return sum(not is_over(pod) for pod in pods) < wanted


def _event_time(event: dict[str, Any]) -> str:
    series = event.get("series") or {}
    created = (event.get("metadata") or {}).get("creationTimestamp")
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"), created)
    return str(next((time for time in times if time), ""))


def _completions(job: dict[str, Any]) -> int:
    spec = job.get("spec") or {}
    return int(spec["completions"]) if spec.get("completions") is not None else 1


def nodes_of(state: State) -> list[dict[str, Any]] | None:
    return None if "nodes" in state.denied else state.all("nodes")


def _log_state(complete: bool, shown: dict[str, Any] | None, evidence: JobLogs) -> tuple[str | None, str | None]:
    """Returns what has become of the log of the Pod that is shown, and why it was not read to its end."""
    if shown is None:
        return ("gone", PODS_GONE) if complete else (None, None)
    key = log_key(shown, main_container(shown))
    if key in evidence.gone:
        return "gone", LOGS_GONE
    if key in evidence.unread:
        return "not_read", evidence.unread[str(key)]
    return ("read" if complete or evidence.of(shown) else None), None


def _bound_to(job: dict[str, Any] | None) -> str | None:
    """Returns the node pool that a Job is bound to by its nodeSelector; None when it is bound to none."""
    template = ((job or {}).get("spec") or {}).get("template") or {}
    return pool_of_labels((template.get("spec") or {}).get("nodeSelector") or {})


def _pod_placement(pod: dict[str, Any], nodes: dict[str, dict[str, Any]] | None) -> dict[str, Any]:
    """Returns where a Pod ran: a node that has been replaced may have the same name."""
    name = str((pod.get("spec") or {}).get("nodeName") or "")
    node = (nodes or {}).get(name)
    started = str((pod.get("status") or {}).get("startTime") or "")
    there: bool | None = None
    if name and nodes is not None:
        created = str(((node or {}).get("metadata") or {}).get("creationTimestamp") or "")
        there = node is not None and not (started and created and parse_time(created) > parse_time(started))
    return {
        "node": name or None,
        "node_pool": node_pool_of(name, labels_of(node) if node else {}),
        "vm_size": labels_of(node).get(SIZE_LABEL) if node and there else None,
        "node_is_there": there,
    }


def _pod_result(
    pod: dict[str, Any], log: WorkloadLog | None, nodes: dict[str, dict[str, Any]] | None
) -> dict[str, Any]:
    ended = dict(terminations(pod))
    last = ended.get(main_container(pod)) or next((entry for entry in ended.values() if entry.get("exitCode")), {})
    return {
        "name": pod["metadata"]["name"],
        **_pod_placement(pod, nodes),
        "phase": (pod.get("status") or {}).get("phase"),
        "asks_for_gpu": any(requests_gpu(container) for container in pod["spec"]["containers"]),
        "exit_code": last.get("exitCode"),
        "devices": log.devices if log else [],
        "accuracy_last": log.last if log else None,
        "log_pattern_found": log.pattern_found if log and log.pattern else None,
    }


def creation_key(pod: dict[str, Any]) -> tuple[str, str]:
    return str(pod["metadata"].get("creationTimestamp") or ""), str(pod["metadata"]["name"])


def _ended_at(pod: dict[str, Any]) -> str:
    return max((str(entry.get("finishedAt") or "") for _container, entry in terminations(pod)), default="")


def _seconds(start: str | None, end: str | None) -> int | None:
    if not start:
        return None
    until = parse_time(end) if end else datetime.datetime.now(datetime.timezone.utc)
    return max(0, int((until - parse_time(start)).total_seconds()))


def job_node_core(node: dict[str, Any]) -> dict[str, Any]:
    conditions = [entry for entry in (node.get("status") or {}).get("conditions") or [] if entry.get("type") == "Ready"]
    metadata, labels = node["metadata"], labels_of(node)
    kept = {key: labels[key] for key in (*POOL_LABELS, SIZE_LABEL) if key in labels}
    return {
        "metadata": {
            "name": metadata["name"],
            "labels": kept,
            "creationTimestamp": metadata.get("creationTimestamp"),
        },
        "spec": {"taints": (node.get("spec") or {}).get("taints") or []},
        "status": {"conditions": conditions},
    }
