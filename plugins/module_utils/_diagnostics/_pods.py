# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a Pod, from its own status. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import count_of
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import LogReference, Permanence, Problem

_PULL_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable"})
_CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"})
_PERMANENT_PULL = re.compile(
    r"not found|manifest unknown|does not exist|access denied|denied:|unauthorized|forbidden|invalid reference|"
    r"no match for platform",
    re.IGNORECASE,
)
_POD_LOST = frozenset({"NodeLost", "NodeShutdown", "Shutdown", "Terminated"})


def pod_problems(pod: dict[str, Any], events: Iterable[dict[str, Any]] = ()) -> list[Problem]:
    """Returns what keeps a Pod from running, or made it fail.

    Args:
        pod: As the API server returns it.
        events: Warnings of its namespace, for what stands nowhere else, such as a volume that can't be mounted.
    """
    subject = f"Pod {pod['metadata'].get('namespace')}/{pod['metadata']['name']}"
    status = pod.get("status") or {}
    problems: list[Problem] = []
    phase = status.get("phase")
    if phase == "Failed" and status.get("reason"):
        problems.append(_failed(subject, pod))
    if phase == "Pending":
        problems += _unscheduled(subject, status)
    if phase != "Succeeded":
        for container in container_statuses(status):
            problems += _container_problems(subject, pod, container)
    if phase == "Pending" and not problems:
        problems += _from_events(subject, pod, events)
    problems += _disrupted(subject, status) if phase != "Succeeded" and not problems else []
    return problems


def requested(pod: dict[str, Any], resource: str) -> int:
    """Returns how many of a resource a Pod holds; a container's limit counts where it makes no request.

    Sidecars, init containers that restart, run beside what comes after them.
    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    """
    spec = pod.get("spec") or {}

    def of(container: dict[str, Any]) -> int:
        resources = container.get("resources") or {}
        value = (resources.get("requests") or {}).get(resource, (resources.get("limits") or {}).get(resource, 0))
        return count_of(value)

    beside, most = 0, 0
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            beside += of(container)
        most = max(most, beside + (0 if container.get("restartPolicy") == "Always" else of(container)))
    return max(most, beside + sum(of(container) for container in spec.get("containers") or []))


def holder_core(pod: dict[str, Any], resource: str) -> dict[str, Any]:
    """Returns what says which node a Pod holds a resource on, how many of it, and whether it was refused there.

    Args:
        pod: As the API server returns it.
        resource: The resource.
    """
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    place = "nodeName" if spec.get("nodeName") else "affinity"
    return {
        "metadata": {
            **_only(metadata, ("name", "namespace", "uid", "deletionTimestamp")),
            "ownerReferences": [{"uid": owner.get("uid")} for owner in metadata.get("ownerReferences") or []],
        },
        "spec": {
            **_only(spec, (place,)),
            "initContainers": _asking(spec.get("initContainers") or [], resource),
            "containers": _asking(spec.get("containers") or [], resource),
        },
        "status": _only(status, ("phase", "reason", "message")),
    }


def _only(found: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: found[key] for key in keys if key in found}


def _asking(containers: Iterable[dict[str, Any]], resource: str) -> list[dict[str, Any]]:
    """The containers that ask for a resource; that is all that is kept of them."""
    asking = []
    for container in containers:
        resources = container.get("resources") or {}
        kept = {key: _only(resources.get(key) or {}, (resource,)) for key in ("requests", "limits")}
        if any(kept.values()):
            asking.append({**_only(container, ("name", "restartPolicy")), "resources": kept})
    return asking


def is_over(pod: dict[str, Any]) -> bool:
    """True when a Pod holds nothing any more."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def terminations(pod: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the containers that ended, with the ``terminated`` state of the last time."""
    for container in container_statuses(pod.get("status") or {}):
        for state in ("state", "lastState"):
            ended = (container.get(state) or {}).get("terminated")
            if ended:
                yield container["name"], ended
                break


def container_statuses(status: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the statuses of all containers in the status of a Pod, those of init containers first."""
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _failed(subject: str, pod: dict[str, Any]) -> Problem:
    status = pod["status"]
    reason = str(status["reason"])
    message = f"{reason}: {status.get('message') or 'no message'}"
    if reason == "UnexpectedAdmissionError":
        advice = (
            "The node's kubelet had lost its GPUs when the Pod came. Restart the device plugin's Pod of that node, "
            "then delete the failed Pods."
        )
        return Problem(subject, "UnexpectedAdmissionError", message, advice, Permanence.UNCERTAIN)
    if reason.startswith("OutOf"):
        return Problem(
            subject, "OutOfResource", message, "Something else took the node's resource first.", Permanence.UNCERTAIN
        )
    if reason == "Evicted":
        return Problem(
            subject, "Evicted", message, "The node ran short of the resource that is named.", Permanence.UNCERTAIN
        )
    if reason in _POD_LOST:
        return Problem(
            subject, "NodeLost", message, "The node went away; a Spot node may have been evicted.", Permanence.UNCERTAIN
        )
    if reason == "DeadlineExceeded":
        return Problem(subject, "DeadlineExceeded", message, "Raise its activeDeadlineSeconds.", Permanence.PERMANENT)
    return Problem(subject, reason, message, "", Permanence.UNCERTAIN)


def _unscheduled(subject: str, status: dict[str, Any]) -> list[Problem]:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            cause = condition.get("reason") or "Unschedulable"
            message = condition.get("message") or "not scheduled yet"
            return [Problem(subject, cause, f"{cause}: {message}", _scheduling_advice(message), Permanence.UNCERTAIN)]
    return []


def _scheduling_advice(message: str) -> str:
    if "Insufficient nvidia.com/" in message or "Insufficient amd.com/" in message:
        return (
            "No node has that many GPUs free: others hold them, the nodes have fewer, or they are not advertised yet."
        )
    if "didn't match Pod's node affinity/selector" in message:
        return "Look at the Pod's nodeSelector and affinity, and at the labels of the nodes."
    if "Insufficient" in message:
        return "The nodes are too small or too full for its requests."
    return ""


def _container_problems(subject: str, pod: dict[str, Any], container: dict[str, Any]) -> list[Problem]:
    name = container["name"]
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    message = str(waiting.get("message") or "")
    image = container.get("image") or _image(pod, name)
    if reason in ("InvalidImageName", "ErrImageNeverPull"):
        text = f"{reason}: image {image}: {message}"
        return [
            Problem(
                subject, "ImagePull", text, "Correct the image's name or its imagePullPolicy.", Permanence.PERMANENT
            )
        ]
    if reason in _PULL_REASONS:
        permanent = bool(_PERMANENT_PULL.search(message))
        advice = (
            "Check the image's name and tag, and whether the cluster may pull from that registry (imagePullSecrets, "
            "AcrPull)."
            if permanent
            else "The registry can't be reached, or asks to wait."
        )
        permanence = Permanence.PERMANENT if permanent else Permanence.UNCERTAIN
        return [
            Problem(subject, "ImagePull", f"{reason}: image {image}: {message or 'no message'}", advice, permanence)
        ]
    if reason in _CONFIG_REASONS:
        return [
            Problem(
                subject, reason, f"{reason}: {message}", "Look at what the container refers to.", Permanence.UNCERTAIN
            )
        ]
    ended = (container.get("state") or {}).get("terminated") or {}
    before = (container.get("lastState") or {}).get("terminated") or {}
    last = ended or before
    if reason == "CrashLoopBackOff" or (last and int(last.get("exitCode") or 0) != 0):
        return [_crashed(subject, pod, container, last, previous=not ended, looping=reason == "CrashLoopBackOff")]
    return []


def _crashed(
    subject: str, pod: dict[str, Any], container: dict[str, Any], last: dict[str, Any], *, previous: bool, looping: bool
) -> Problem:
    name = container["name"]
    restarts = int(container.get("restartCount") or 0)
    log = LogReference(
        pod["metadata"].get("namespace", "default"), pod["metadata"]["name"], name, previous, f"{name}#{restarts}"
    )
    ended = f"container {name} ended with exit code {last.get('exitCode')}"
    if last.get("reason") and last["reason"] not in ("Error", "Completed"):
        ended += f" ({last['reason']})"
    if last.get("message"):
        ended += f": {str(last['message']).strip()[-500:]}"
    if restarts:
        ended += f", {restarts} restart{'s' if restarts > 1 else ''}"
    if last.get("reason") == "OOMKilled":
        permanence = Permanence.PERMANENT if restarts > 1 else Permanence.UNCERTAIN
        return Problem(subject, "OOMKilled", ended, "Raise the container's memory limit.", permanence, log)
    if looping:
        return Problem(subject, "CrashLoopBackOff", f"CrashLoopBackOff: {ended}", "", Permanence.UNCERTAIN, log)
    return Problem(subject, "ContainerFailed", ended, "", Permanence.TRANSIENT, log)


def _disrupted(subject: str, status: dict[str, Any]) -> list[Problem]:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            message = f"{condition.get('reason')}: {condition.get('message')}"
            return [
                Problem(
                    subject, "Disrupted", message, "It was stopped in favour of something else.", Permanence.TRANSIENT
                )
            ]
    return []


def _from_events(subject: str, pod: dict[str, Any], events: Iterable[dict[str, Any]]) -> list[Problem]:
    mine = [event for event in events if (event.get("involvedObject") or {}).get("uid") == pod["metadata"]["uid"]]
    if not mine:
        return []
    last = max(mine, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    return [
        Problem(
            subject, str(last.get("reason")), f"{last.get('reason')}: {last.get('message')}", "", Permanence.UNCERTAIN
        )
    ]


def _image(pod: dict[str, Any], container: str) -> str:
    spec = pod.get("spec") or {}
    for candidate in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        if candidate["name"] == container:
            return str(candidate.get("image"))
    return "?"
