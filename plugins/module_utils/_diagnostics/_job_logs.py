# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The logs of a Job's Pods, and what they must contain."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._pods import container_statuses
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import Permanence, Problem
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._workload_log import WorkloadLog

_NO_LOG = re.compile(
    r'unable to retrieve container logs for \S+$|failed to (?:open log file|try resolving symlinks in path) "/var/log/'
)
"""What the kubelet sends as the whole log of a container that is no longer on its node, with the status 200
(kubernetes/kubernetes#111812, #98236, #45911)."""


PODS_GONE = "its Pods are gone, and with them what they told"


LOGS_GONE = "the logs of its Pods are no longer on their nodes"


RUN_AGAIN = "Run the Job again: the role aks.gpu.mnist does with mnist_recreate: true."


@dataclass
class JobLogs:
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
class SuccessCriteria:
    """What the Pods of a Job have to tell besides ending well.

    Attributes:
        pattern: A line of the log has to match it somewhere; None for nothing.
        minimum_accuracy: The last accuracy has to be at least this, from 0 to 1; None for any, or none at all.
    """

    pattern: re.Pattern[str] | None = None
    minimum_accuracy: float | None = None

    @classmethod
    def of(cls, params: dict[str, Any]) -> SuccessCriteria:
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

    def violations(self, subject: str, pods: Iterable[dict[str, Any]], evidence: JobLogs) -> list[Problem]:
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
            return [Problem(subject, "LogGone", LOGS_GONE if keys else PODS_GONE, RUN_AGAIN, Permanence.TRANSIENT)]
        return [
            problem
            for pod in read
            for problem in self._violations_of(
                pod, evidence.of(pod) or WorkloadLog(), unread.get(pod["metadata"]["uid"])
            )
        ]

    def _violations_of(self, pod: dict[str, Any], log: WorkloadLog, unread: str | None) -> list[Problem]:
        subject = f"Pod {pod['metadata'].get('namespace')}/{pod['metadata']['name']}"
        problems = []
        if unread is not None and not self._holds(log):
            text = f"its log could not be read as a whole: {unread}"
            advice = "Whether it says what is asked for is not known. Run the task again."
            return [Problem(subject, "LogNotRead", text, advice, Permanence.PERMANENT)]
        if self.pattern is not None and not log.pattern_found:
            text = f"no line of its log matches {self.pattern.pattern}"
            problems.append(Problem(subject, "PatternNotFound", text, "", Permanence.PERMANENT))
        least, last = self.minimum_accuracy, log.last
        if least is not None and log.no_accuracy is not None:
            found = log.no_accuracy or "empty"
            text = f"its accuracy at the last step is {found}, which is not between 0 and 1; {least:g} is asked for"
            problems.append(Problem(subject, "AccuracyNotTold", text, "", Permanence.PERMANENT))
        elif least is not None and last is None:
            text = f"its log tells no accuracy, and {least:g} or more is asked for"
            problems.append(Problem(subject, "AccuracyNotTold", text, "", Permanence.PERMANENT))
        elif least is not None and last is not None and last < least:
            text = f"its accuracy at the last step is {last:g}, and {least:g} or more is asked for"
            problems.append(Problem(subject, "AccuracyTooLow", text, "Train for more steps.", Permanence.PERMANENT))
        return problems

    def _holds(self, log: WorkloadLog) -> bool:
        """Says whether a log that was read in part is good enough: only its end tells the last accuracy."""
        return self.minimum_accuracy is None and log.pattern_found


def main_container(pod: dict[str, Any]) -> str:
    """Returns the container of a Pod that does its work.

    That is the one that asks for a GPU, else the one that kubectl takes
    (https://kubernetes.io/docs/reference/labels-annotations-taints/#kubectl-kubernetes-io-default-container), else the
    first.
    """
    containers = pod["spec"]["containers"]
    names = [str(container["name"]) for container in containers]
    default = str((pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container"))
    asking = [str(container["name"]) for container in containers if requests_gpu(container)]
    if asking:
        return default if default in asking else asking[0]
    return default if default in names else names[0]


def requests_gpu(container: dict[str, Any]) -> bool:
    """Returns whether a container asks for a GPU."""
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


def log_key(pod: dict[str, Any], container: str) -> str | None:
    """Returns what names the log of a container's last start; None when it has not been started."""
    for status in container_statuses(pod.get("status") or {}):
        if status["name"] == container:
            state = status.get("state") or {}
            if "running" in state or "terminated" in state or (status.get("lastState") or {}).get("terminated"):
                return f"{pod['metadata']['uid']}/{container}/{int(status.get('restartCount') or 0)}"
    return None


def is_running(pod: dict[str, Any], container: str) -> bool:
    return any(
        status["name"] == container and "running" in (status.get("state") or {})
        for status in container_statuses(pod.get("status") or {})
    )
