# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a Job stands, and the wait for its end with its log at hand."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import (
    POOL_LABELS,
    SIZE_LABEL,
    condition_of,
    labels_of,
    name_of,
    pool_of,
    pool_of_labels,
    taint_text,
    taints_of,
    untolerated,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._pods import (
    is_over,
    pod_problems,
    terminations,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import Hope, Problem
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._workload_log import Trouble, WorkloadLog
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

_NO_LOG = re.compile(
    r'unable to retrieve container logs for \S+$|failed to (?:open log file|try resolving symlinks in path) "/var/log/'
)
"""What the kubelet sends as the whole log of a container that is no longer on its node, with the status 200
(kubernetes/kubernetes#111812, #98236, #45911)."""

PODS_GONE = "its Pods are gone, and with them what they told"
LOGS_GONE = "the logs of its Pods are no longer on their nodes"
RUN_AGAIN = "Run the Job again: the role aks.gpu.mnist does with mnist_recreate: true."

_FAILURE_ADVICE = {
    "BackoffLimitExceeded": "Its Pods failed too often; see below why.",
    "DeadlineExceeded": "It ran longer than its activeDeadlineSeconds.",
    "PodFailurePolicy": "Its podFailurePolicy ended it.",
    "MaxFailedIndexesExceeded": "Too many of its indexes failed.",
    "FailedIndexes": "Some of its indexes failed.",
}


@dataclass(frozen=True)
class Verdict:
    """How a Job stands.

    Attributes:
        complete: It has succeeded.
        problems: What is wrong; those without hope make the Job one that can't succeed.
        summary: One line for a person who waits.
    """

    complete: bool
    problems: list[Problem]
    summary: str


@dataclass
class Evidence:
    """What the Pods of a Job told, by the uid of the Pod.

    Attributes:
        pattern: What a line of each log has to match somewhere; None for nothing.
        logs: The logs read so far, by ``log_key``.
        latest: The last accuracy that came, as a person reads it.
        unread: Why logs could not be read to their end, by ``log_key``.
        gone: Those of them that are no longer there.
    """

    pattern: re.Pattern[str] | None = None
    logs: dict[str, WorkloadLog] = field(default_factory=dict)
    latest: str = ""
    unread: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    _starts: dict[str, list[str]] = field(default_factory=dict)

    def take(self, lines: Iterable[tuple[str, str]]) -> None:
        """Takes lines in, each with the key that ``log_key`` made."""
        for key, line in lines:
            said = (self.logs.get(key) or self._begin(key)).feed(line)
            if said:
                self.latest = f"accuracy {said['accuracy']:.4g} at step {said['step']}"

    def of(self, pod: dict[str, Any]) -> WorkloadLog | None:
        """Returns the log of the last start of a Pod's main container, or None."""
        key = self._last_key(pod, main_container(pod))
        return self.logs[key] if key else None

    def all_of(self, pod: dict[str, Any]) -> list[WorkloadLog]:
        """Returns the logs of the last start of each container of a Pod, as far as they were read."""
        keys = [self._last_key(pod, container) for container in containers_of(pod)]
        return [self.logs[key] for key in keys if key]

    def says_nothing(self, key: str) -> bool:
        """Says whether the kubelet has sent its own words instead of a log that its node no longer has."""
        log = self.logs.get(key)
        return log is not None and log.tail == log.head and len(log.head) == 1 and bool(_NO_LOG.match(log.head[0]))

    def _begin(self, key: str) -> WorkloadLog:
        log = self.logs[key] = WorkloadLog(pattern=self.pattern)
        self._starts.setdefault(key.rpartition("/")[0], []).append(key)
        return log

    def _last_key(self, pod: dict[str, Any], container: str) -> str | None:
        mine = [key for key in self._starts.get(f"{pod['metadata']['uid']}/{container}", ()) if key in self.logs]
        return max(mine, key=lambda key: int(key.rpartition("/")[2])) if mine else None


@dataclass(frozen=True)
class Rule:
    """What the Pods of a Job have to tell besides ending well.

    Attributes:
        pattern: A line of the log has to match it somewhere; None for nothing.
        minimum_accuracy: The last accuracy has to be at least this, from 0 to 1; None for any, or none at all.
    """

    pattern: re.Pattern[str] | None = None
    minimum_accuracy: float | None = None

    @classmethod
    def of(cls, params: dict[str, Any]) -> Rule:
        """Returns the rule of a module's options ``log_pattern`` and ``minimum_accuracy``.

        Raises:
            Failure: There can be no such rule. All that is wrong with it is named.
        """
        text, least = params["log_pattern"], params["minimum_accuracy"]
        pattern, wrong = None, []
        try:
            pattern = re.compile(text) if text else None
        except re.error as error:
            wrong.append(f"log_pattern is no regular expression: {text}: {error}.")
        if least is not None and not 0 <= least <= 1:
            wrong.append(f"minimum_accuracy has to be between 0 and 1, not {least:g}.")
        if wrong:
            raise Failure(" ".join(wrong))
        return cls(pattern, least)

    def broken(self, subject: str, pods: Iterable[dict[str, Any]], evidence: Evidence) -> list[Problem]:
        """Returns where the Pods that succeeded did not tell what they have to.

        Args:
            subject: The Job.
            pods: Its Pods.
            evidence: The logs read. Of a Job of hundreds that are the logs of its youngest Pods.
        """
        if self.pattern is None and self.minimum_accuracy is None:
            return []
        ended = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Succeeded"]
        keys = {pod["metadata"]["uid"]: log_key(pod, main_container(pod)) for pod in ended}
        ended = [pod for pod in ended if keys[pod["metadata"]["uid"]] not in evidence.gone]
        unread = {uid: evidence.unread[key] for uid, key in keys.items() if key in evidence.unread}
        read = [pod for pod in ended if evidence.of(pod) or pod["metadata"]["uid"] in unread] or ended
        if not read:
            return [Problem(subject, "LogGone", LOGS_GONE if keys else PODS_GONE, RUN_AGAIN, Hope.GOOD)]
        return [
            problem
            for pod in read
            for problem in self._broken_by(pod, evidence.of(pod) or WorkloadLog(), unread.get(pod["metadata"]["uid"]))
        ]

    def _broken_by(self, pod: dict[str, Any], log: WorkloadLog, unread: str | None) -> list[Problem]:
        subject = f"Pod {pod['metadata'].get('namespace')}/{pod['metadata']['name']}"
        problems = []
        if unread is not None and not self._holds(log):
            text = f"its log could not be read as a whole: {unread}"
            advice = "Whether it says what is asked for is not known. Run the task again."
            return [Problem(subject, "LogNotRead", text, advice, Hope.NONE)]
        if self.pattern is not None and not log.pattern_found:
            text = f"no line of its log matches {self.pattern.pattern}"
            problems.append(Problem(subject, "PatternNotFound", text, "", Hope.NONE))
        least, last = self.minimum_accuracy, log.last
        if least is not None and log.no_accuracy is not None:
            found = log.no_accuracy or "empty"
            text = f"its accuracy at the last step is {found}, which is not between 0 and 1; {least:g} is asked for"
            problems.append(Problem(subject, "AccuracyNotTold", text, "", Hope.NONE))
        elif least is not None and last is None:
            text = f"its log tells no accuracy, and {least:g} or more is asked for"
            problems.append(Problem(subject, "AccuracyNotTold", text, "", Hope.NONE))
        elif least is not None and last is not None and last < least:
            text = f"its accuracy at the last step is {last:g}, and {least:g} or more is asked for"
            problems.append(Problem(subject, "AccuracyTooLow", text, "Train for more steps.", Hope.NONE))
        return problems

    def _holds(self, log: WorkloadLog) -> bool:
        """Says whether a log that was read in part is good enough: only its end tells the last accuracy."""
        return self.minimum_accuracy is None and log.pattern_found


def evaluate(
    job: dict[str, Any],
    pods: Iterable[dict[str, Any]],
    events: Iterable[dict[str, Any]] = (),
    nodes: Iterable[dict[str, Any]] | None = None,
    evidence: Evidence | None = None,
) -> Verdict:
    """Judges a Job by what is in the cluster and by what its Pods told.

    Args:
        job: The Job.
        pods: Its Pods.
        events: Warnings of its namespace about it and its Pods.
        nodes: The nodes; None when they could not be looked at.
        evidence: The logs read so far.
    """
    pods, events = sorted(pods, key=created_), list(events)
    nodes = None if nodes is None else list(nodes)
    evidence = evidence or Evidence()
    subject = f"Job {job['metadata'].get('namespace')}/{job['metadata']['name']}"
    status = job.get("status") or {}
    wanted = _completions(job)
    complete = has_(job, "Complete") or has_(job, "SuccessCriteriaMet")
    problems = [] if complete else _ended(subject, job)
    if has_(job, "Suspended") and (job.get("spec") or {}).get("suspend"):
        problems.append(Problem(subject, "Suspended", "it is suspended", "Whoever suspended it has to resume it."))
    problems += _troubles(pods, evidence, over=has_(job, "Failed"))
    if not complete:
        warnings = by_object(events)
        anywhere = _with_every_taint(nodes or [])
        for pod in pods:
            problems += _pod_findings(pod, warnings.get(pod["metadata"]["uid"], []), anywhere)
        problems += _killed_for_memory(subject, pods)
        problems += _lost_nodes(pods, nodes)
        problems += _not_created(subject, job, pods, events)
    count = f"{int(status.get('succeeded') or 0)} of {wanted} complete"
    running = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
    told = f", {evidence.latest}" if evidence.latest else ""
    where = ""
    if running and not told:
        where = f", Pod {running[-1]['metadata']['name']} runs on {running[-1]['spec'].get('nodeName')}"
    return Verdict(complete, problems, f"{subject}: {count}{where}{told}")


def job_result(
    namespace: str,
    name: str,
    job: dict[str, Any] | None,
    pods: Iterable[dict[str, Any]] = (),
    evidence: Evidence | None = None,
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
    evidence = evidence or Evidence()
    by_name = None if nodes is None else {name_of(node): node for node in nodes}
    status = (job or {}).get("status") or {}
    complete = job is not None and has_(job, "Complete")
    ordered = sorted(pods, key=created_)
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


def main_container(pod: dict[str, Any]) -> str:
    """Returns the container of a Pod that does its work.

    That is the one that asks for a GPU, else the one that kubectl takes
    (https://kubernetes.io/docs/reference/labels-annotations-taints/#kubectl-kubernetes-io-default-container), else the
    first.
    """
    containers = pod["spec"]["containers"]
    names = [str(container["name"]) for container in containers]
    default = str((pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container"))
    asking = [str(container["name"]) for container in containers if _asks_for_gpu(container)]
    if asking:
        return default if default in asking else asking[0]
    return default if default in names else names[0]


def _asks_for_gpu(container: dict[str, Any]) -> bool:
    resources = container.get("resources") or {}
    amounts = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    named = any(
        (name.startswith("nvidia.com/") or "gpu" in name.lower()) and str(amount) != "0"
        for name, amount in amounts.items()
    )
    return named or bool(resources.get("claims"))


def containers_of(pod: dict[str, Any]) -> list[str]:
    """Returns the names of the containers of a Pod, init containers and sidecars first."""
    spec = pod["spec"]
    return [str(each["name"]) for each in [*(spec.get("initContainers") or []), *spec["containers"]]]


def _container_statuses(pod: dict[str, Any]) -> list[dict[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def log_key(pod: dict[str, Any], container: str) -> str | None:
    """Returns what names the log of a container's last start; None when it has not been started."""
    for status in _container_statuses(pod):
        if status["name"] == container:
            state = status.get("state") or {}
            if "running" in state or "terminated" in state or (status.get("lastState") or {}).get("terminated"):
                return f"{pod['metadata']['uid']}/{container}/{int(status.get('restartCount') or 0)}"
    return None


def is_running(pod: dict[str, Any], container: str) -> bool:
    return any(
        status["name"] == container and "running" in (status.get("state") or {}) for status in _container_statuses(pod)
    )


def has_(job: dict[str, Any], condition: str) -> bool:
    return any(
        entry.get("type") == condition and entry.get("status") == "True"
        for entry in (job.get("status") or {}).get("conditions") or []
    )


def has_ended(job: dict[str, Any]) -> bool:
    return has_(job, "Complete") or has_(job, "Failed")


def _ended(subject: str, job: dict[str, Any]) -> list[Problem]:
    for kind in ("Failed", "FailureTarget"):
        for entry in (job.get("status") or {}).get("conditions") or []:
            if entry.get("type") == kind and entry.get("status") == "True":
                reason = str(entry.get("reason"))
                text = f"{kind}: {reason}: {entry.get('message')}"
                return [Problem(subject, reason, text, _FAILURE_ADVICE.get(reason, ""), Hope.NONE)]
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
        forever = problem.cause == "OOMKilled" and problem.hope is Hope.NONE
        seen = problem if lasting or forever else replace(problem, hope=Hope.GOOD)
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


def _troubles(pods: list[dict[str, Any]], evidence: Evidence, *, over: bool) -> list[Problem]:
    """What logs say about CUDA, of any container.

    It ends a wait when all Pods say so, or the Job has failed: the next Pod may run well on another node. A Pod that
    failed for good, the only one so far, is followed by another one soon.
    """
    found = [(pod, trouble) for pod in pods if (trouble := _trouble(pod, evidence)) is not None]
    fatal = [pod for pod, trouble in found if trouble.cause in _FATAL_TROUBLES and _ended_badly(pod)]
    hope = Hope.GOOD
    if over or (fatal and len(fatal) == len(pods)):
        alone = len(pods) == 1 and (pods[0].get("status") or {}).get("phase") == "Failed"
        hope = Hope.LITTLE if alone and not over else Hope.NONE
    uids = {pod["metadata"]["uid"] for pod in fatal}
    return [
        Problem(
            f"Pod {pod['metadata'].get('namespace')}/{pod['metadata']['name']}",
            trouble.cause,
            trouble.message,
            trouble.advice,
            hope if pod["metadata"]["uid"] in uids else Hope.GOOD,
        )
        for pod, trouble in found
    ]


def _trouble(pod: dict[str, Any], evidence: Evidence) -> Trouble | None:
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
    return [Problem(subject, "OOMKilled", text, "Raise the container's memory limit.", Hope.NONE)]


def _lost_nodes(pods: list[dict[str, Any]], nodes: list[dict[str, Any]] | None) -> list[Problem]:
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
        problems.append(Problem(subject, "NodeLost", text, "A Spot node may have been evicted.", Hope.LITTLE))
    return problems


def _not_created(
    subject: str, job: dict[str, Any], pods: list[dict[str, Any]], events: list[dict[str, Any]]
) -> list[Problem]:
    uid = job["metadata"]["uid"]
    mine = [event for event in events if (event.get("involvedObject") or {}).get("uid") == uid]
    last = max(mine, key=_event_time, default=None)
    if last is None or (pods and last.get("reason") != "FailedCreate") or not _pods_missing(job, pods):
        return []
    # Times of Kubernetes are whole seconds: a Pod and the refusal of the next one may have the same.
    if pods and _event_time(last)[:19] < max(created_(pod)[0] for pod in pods)[:19]:
        return []
    advice = "A quota, Pod Security or an admission rule is in the way; the message names it."
    return [Problem(subject, "FailedCreate", f"{last.get('reason')}: {last.get('message')}", advice, Hope.LITTLE)]


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


def _log_state(complete: bool, shown: dict[str, Any] | None, evidence: Evidence) -> tuple[str | None, str | None]:
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


def _place(pod: dict[str, Any], nodes: dict[str, dict[str, Any]] | None) -> dict[str, Any]:
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
        "node_pool": pool_of(name, labels_of(node) if node else {}),
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
        **_place(pod, nodes),
        "phase": (pod.get("status") or {}).get("phase"),
        "asks_for_gpu": any(_asks_for_gpu(container) for container in pod["spec"]["containers"]),
        "exit_code": last.get("exitCode"),
        "devices": log.devices if log else [],
        "accuracy_last": log.last if log else None,
        "log_pattern_found": log.pattern_found if log and log.pattern else None,
    }


def created_(pod: dict[str, Any]) -> tuple[str, str]:
    return str(pod["metadata"].get("creationTimestamp") or ""), str(pod["metadata"]["name"])


def _ended_at(pod: dict[str, Any]) -> str:
    return max((str(entry.get("finishedAt") or "") for _container, entry in terminations(pod)), default="")


def _seconds(start: str | None, end: str | None) -> int | None:
    if not start:
        return None
    until = parse_time(end) if end else datetime.datetime.now(datetime.timezone.utc)
    return max(0, int((until - parse_time(start)).total_seconds()))


def node_core(node: dict[str, Any]) -> dict[str, Any]:
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
