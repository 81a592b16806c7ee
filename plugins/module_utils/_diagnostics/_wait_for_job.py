# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wait for the end of a Job: the module wait_for_job."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._aks._session import CLUSTER_ARGUMENTS, plan_in_cluster
from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import duration_text
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._job_logs import (
    JobLogs,
    SuccessCriteria,
    containers_of,
    is_running,
    log_key,
    main_container,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._jobs import (
    UNSCHEDULED,
    JobStatus,
    creation_key,
    evaluate_job,
    has_condition,
    has_ended,
    job_node_core,
    job_result,
    nodes_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._log_tails import with_log_tails
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import (
    name_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import GraceTracker, Permanence, Problem
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Client, Connect
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import WaitFailed
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._paths import EVENT, JOB, NODE, POD, require_place
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import (
    Query,
    State,
    Watch,
    not_looked_at,
    observe,
)

WAIT_FOR_JOB_ARGUMENTS = CLUSTER_ARGUMENTS.merge(
    ArgumentSpec(
        options={
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str"},
            "return_details": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 1800},
            "log_pattern": {"type": "str"},
            "minimum_accuracy": {"type": "float"},
            "unschedulable_grace": {"type": "int", "default": 600},
            "grace": {"type": "int", "default": 120},
        }
    ),
)


MOST_FOLLOWED = 8
"""The logs of so many Pods are followed at a time, those of the youngest; a Job of hundreds is not read as a whole."""


MOST_FOLLOWED_LOGS = 16
"""So many logs are followed at a time: those of the main containers, then those of the other ones."""


SILENT_SECONDS = 20.0
"""A log that has not been read to its end when the Job ends is waited for as long as bytes come, and so much longer."""


JOB_FIRST_READ_SECONDS = 60.0
"""The first look may take so long, also where ``wait_timeout`` is shorter."""


def plan_job_wait(task: Task, connect: Connect) -> Plan:
    """Plans the wait for the end of a Job; a Job that is complete is read at once, also in check mode.

    Args:
        task: Its options are those of the module ``wait_for_job``.
        connect: Returns a client of the cluster.
    """
    require_place(task.params["namespace"], task.params["name"])
    client = connect()
    namespace = task.params["namespace"] or client.access.namespace
    wait = _JobWait(task, client, namespace, task.params["name"])
    result, over = wait.look()
    if task.params["return_details"]:
        return Plan(changed=False, result=result, apply=None if over else wait.run)
    return Plan(
        changed=False, result=_essential_job(result), apply=None if over else lambda: _essential_job(wait.run())
    )


NOT_JUDGED = ("log_head", "log_pattern_found", "driver_version", "cuda_version")


NOT_JUDGED_OF_POD = ("exit_code", "devices", "accuracy_last", "log_pattern_found")
"""What is not returned of a Job and of its Pods without ``return_details``."""


def _essential_job(result: dict[str, Any]) -> dict[str, Any]:
    """Returns a result without what nothing is judged by; an accuracy is a pair of the step and its number."""
    job = {name: value for name, value in result["job"].items() if name not in NOT_JUDGED}
    pods = [{name: value for name, value in pod.items() if name not in NOT_JUDGED_OF_POD} for pod in job["pods"]]
    accuracy = [[told["step"], told["accuracy"]] for told in job["accuracy"]]
    return {**result, "job": {**job, "pods": pods, "accuracy": accuracy}}


class _JobWait:
    def __init__(self, task: Task, client: Client, namespace: str, name: str) -> None:
        self._task = task
        self._client = client
        self._namespace = namespace
        self._name = name
        self._rule = SuccessCriteria.of(task.params)
        self._evidence = JobLogs(self._rule.pattern)
        self._deadline = task.deadline(task.params["wait_timeout"])
        self._watch = task.keep(self._observed())
        self._states = self._watch.states(task.deadline(max(self._deadline.seconds, JOB_FIRST_READ_SECONDS)))
        self._state = State()

    def look(self) -> tuple[dict[str, Any], bool]:
        """Returns the state as it is now, and whether the Job is complete.

        Raises:
            WaitFailed: It is complete, but did not tell what it has to.
        """
        job: dict[str, Any] | None = None
        began = time.monotonic()
        for state in self._states:
            self._state = state
            job = self._job(state)
            if job is None or not has_condition(job, "Complete"):
                return self._result(job, state, []), False
            if self._logs_read(time.monotonic() - began):
                break
        if job is None:
            raise Failure(f"Nothing could be seen of Job {self._namespace}/{self._name} in time.")
        return self._judged(job, self._verdict(job, self._state), self._state), True

    def run(self) -> dict[str, Any]:
        """Waits until the Job is complete and returns what it told. It goes on with the watch of the first look.

        Raises:
            WaitFailed: It can't succeed, has not within ``wait_timeout``, or did not tell what it has to.
        """
        params = self._task.params
        patience = GraceTracker(
            lambda problem: params["unschedulable_grace"] if problem.cause in UNSCHEDULED else params["grace"]
        )
        job = self._job(self._state)
        verdict: JobStatus | None = None
        over_since: float | None = None
        for state in self._states:
            self._state = state
            job = self._job(state) or self._gone(job)
            now = time.monotonic()
            read = self._logs_read(now - (over_since if over_since is not None else now))
            verdict = self._verdict(job, state)
            self._task.progress(_job_progress(verdict, state))
            expired = patience.expired(verdict.problems)
            if verdict.complete or expired:
                over_since = over_since if over_since is not None else now
                if verdict.complete and read and has_condition(job, "Complete"):
                    return self._judged(job, verdict, state)
                if expired and not verdict.complete and (read or not has_ended(job)):
                    raise self._failure("can't succeed", job, verdict, state)
            else:
                over_since = None
            if self._deadline.expired:
                break
        if job is None:
            return self._gone(None)
        verdict = verdict or self._verdict(job, self._state)
        if has_condition(job, "Complete"):
            return self._judged(job, verdict, self._state)
        said = f"is not complete after {duration_text(self._deadline.seconds)}"
        raise self._failure(said, job, verdict, self._state)

    def _judged(self, job: dict[str, Any], verdict: JobStatus, state: State) -> dict[str, Any]:
        """Returns the result of a Job that is complete, once its logs are read."""
        subject = f"Job {self._namespace}/{self._name}"
        self._note_unread(job, state)
        broken = self._rule.violations(subject, self._pods(job, state), self._evidence)
        judged = replace(verdict, problems=[*broken, *verdict.problems])
        if any(problem.permanence is Permanence.PERMANENT for problem in broken):
            raise self._failure("is complete, but did not do what is asked for", job, judged, state)
        return self._result(job, state, judged.problems)

    def _observed(self) -> Watch:
        mine = f"metadata.name={self._name}"
        return observe(
            self._client,
            {
                "jobs": Query(JOB.path(self._namespace), field_selector=mine, remember=True),
                "pods": Query(
                    POD.path(self._namespace),
                    label_selector=f"batch.kubernetes.io/job-name={self._name}",
                    remember=True,
                ),
                "events": Query(
                    EVENT.path(self._namespace),
                    field_selector="type=Warning",
                    optional=True,
                    keep=self._event_that_matters,
                ),
                "nodes": Query(NODE.path(), optional=True, keep=job_node_core),
            },
        )

    def _event_that_matters(self, event: dict[str, Any]) -> dict[str, Any] | None:
        involved = event.get("involvedObject") or {}
        return event if str(involved.get("name", "")).startswith(self._name) else None

    def _job(self, state: State) -> dict[str, Any] | None:
        jobs = [job for job in state.all("jobs") if not job["metadata"].get("deletionTimestamp") or has_ended(job)]
        # A Job with ttlSecondsAfterFinished may be gone at once; how it ended is its result all the same.
        ended = [job for job in state.gone.get("jobs", {}).values() if has_ended(job)]
        return jobs[0] if jobs else max(ended, key=creation_key, default=None)

    def _gone(self, before: dict[str, Any] | None) -> dict[str, Any]:
        if before is not None:
            raise Failure(f"Job {self._namespace}/{self._name} was deleted while it was waited for, before it ended.")
        raise Failure(
            f"There is no Job {self._name} in the namespace {self._namespace}.",
            hint="A Job with ttlSecondsAfterFinished is removed after its end.",
            job=job_result(self._namespace, self._name, None),
        )

    def _pods(self, job: dict[str, Any] | None, state: State) -> list[dict[str, Any]]:
        """Returns the Pods of a Job: those there are, and the last states of those that went with it."""
        if job is None:
            return []
        uid = job["metadata"]["uid"]
        there = state.objects.get("pods", {})
        gone = state.gone.get("pods", {}) if has_ended(job) else {}
        return [
            pod
            for pod in {**gone, **there}.values()
            if any(ref.get("uid") == uid for ref in pod["metadata"].get("ownerReferences") or [])
        ]

    def _verdict(self, job: dict[str, Any], state: State) -> JobStatus:
        return evaluate_job(job, self._pods(job, state), state.all("events"), nodes_of(state), self._evidence)

    def _logs_read(self, over_seconds: float) -> bool:
        """Follows the logs there are; True when those of all ended containers are read, or nothing more comes.

        Args:
            over_seconds: How long the Job is known to have ended.
        """
        self._evidence.take(self._state.lines)
        logs = self._logs()
        for key, (pod, container) in logs.items():
            path = POD.path(self._namespace, pod["metadata"]["name"])
            self._watch.follow_log(key, path, container, running=is_running(pod, container))
        return logs.keys() <= self._state.ended or min(over_seconds, self._watch.silence) > SILENT_SECONDS

    def _logs(self) -> dict[str, tuple[dict[str, Any], str]]:
        """Returns the logs to follow, by ``log_key``: those of main containers first."""
        pods = sorted(self._pods(self._job(self._state), self._state), key=creation_key)[-MOST_FOLLOWED:]
        main = [(pod, main_container(pod)) for pod in pods]
        others = [(pod, name) for pod in pods for name in containers_of(pod) if name != main_container(pod)]
        keyed = [(log_key(pod, container), pod, container) for pod, container in [*main, *others]]
        return {key: (pod, container) for key, pod, container in keyed[:MOST_FOLLOWED_LOGS] if key is not None}

    def _note_unread(self, job: dict[str, Any], state: State) -> None:
        evidence = self._evidence
        nodes = nodes_of(state)
        names = None if nodes is None else {name_of(node) for node in nodes}
        for key, (pod, _container) in self._logs().items():
            error = state.unread.get(key)
            lost = names is not None and (pod.get("spec") or {}).get("nodeName") not in names
            if error is not None and (error.status == 404 or lost):
                evidence.gone.add(key)
            elif evidence.says_nothing(key):
                evidence.gone.add(key)
                del evidence.logs[key]
            elif error is not None:
                evidence.unread[key] = error.message.rstrip(".")
            elif key not in state.ended:
                evidence.unread[key] = "it did not come to its end in time"
            elif key in state.cut:
                evidence.unread[key] = "it is too long for AKS's run-command, and only its end was read"

    def _result(self, job: dict[str, Any] | None, state: State, problems: list[Problem]) -> dict[str, Any]:
        pods = self._pods(job, state)
        return {
            "job": job_result(self._namespace, self._name, job, pods, self._evidence, nodes_of(state)),
            "problems": [problem.as_result() for problem in problems],
        }

    def _failure(self, said: str, job: dict[str, Any], verdict: JobStatus, state: State) -> WaitFailed:
        problems = with_log_tails(self._client, verdict.problems)
        result = self._result(job, state, problems)
        lines = [f"Job {self._namespace}/{self._name} {said} ({verdict.summary.split(': ', 1)[1]})."]
        lines += [f"- {problem.text()}" for problem in problems]
        if state.lost:
            lines.append(f"- The API server was out of reach at the end: {state.lost}")
        lines += [f"- {text}" for text in not_looked_at(state)]
        if not any(problem.log_tail for problem in problems) and result["job"]["log_tail"]:
            lines.append("- Its log ends: " + " | ".join(result["job"]["log_tail"][-5:]))
        lines += [f"- Not looked at: {words}" for words in state.denied.values()]
        return WaitFailed("\n".join(lines), **result)


def _job_progress(verdict: JobStatus, state: State) -> str:
    if state.lost:
        return f"{verdict.summary}; the API server is out of reach: {state.lost}"
    if not verdict.problems or verdict.complete:
        return verdict.summary
    return f"{verdict.summary}; {verdict.problems[0].subject}: {verdict.problems[0].message}"


def plan_wait_for_job(task: Task) -> Plan:
    """Plans what the module ``wait_for_job`` does."""
    return plan_in_cluster(task, plan_job_wait)
