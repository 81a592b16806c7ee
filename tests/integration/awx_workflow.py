# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which AWX runs the nodes of a workflow, and what it hands from one to the next.

The rules are those of AWX 24.6.1; no AWX takes part:

- which node runs, which never does, and whether the workflow has failed: `bfs_nodes_to_run`, `mark_dnr_nodes` and
  `has_workflow_failed` in awx/main/scheduler/dag_workflow.py, for nodes without `all_parents_must_converge`;
- what a node gets: `WorkflowJobNode.get_job_kwargs` in awx/main/models/workflow.py: what the nodes before have handed
  on, variable by variable, and above it the variables of the workflow;
- a sliced template becomes a workflow job of its own, and `awx_workflow_job_id` of its jobs names that one:
  `JobTemplate.create_unified_job` in jobs.py and `awx_meta_vars` in unified_jobs.py. What its jobs hand on is put
  together in the order in which they ended, without those that were cancelled: `WorkflowJob.get_effective_artifacts`;
- an approval is successful when somebody approves, and failed when somebody denies: `WorkflowApproval` in workflow.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
KINDS = ("success_nodes", "failure_nodes", "always_nodes")
BAD = ("failed", "canceled", "error")


@dataclass(frozen=True)
class Ended:
    """How the job of a node has ended: its status, and what it hands on."""

    status: str
    artifacts: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Launch:
    """A job that a node launches.

    Attributes:
        node: The identifier of the node.
        template: The name of the job template.
        variables: What the workflow gives to it, and AWX's own variables.
        slice: Number and count of the slice, from 0 on.
    """

    node: str
    template: str
    variables: Json
    slice: tuple[int, int] = (0, 1)


class Workflow:
    """A workflow of examples/awx/assets.yml.

    Args:
        template: The workflow job template, as assets.yml has it.
        answers: Its survey's.
        perform: Runs a job.
        approves: Whether somebody approves what has to be approved.
        slices: By node, how many jobs its template is cut into.
        first: The number of the workflow job; those of its jobs follow.
    """

    def __init__(
        self,
        template: Json,
        answers: Json,
        perform: Callable[[Launch], Ended],
        *,
        approves: bool = True,
        slices: dict[str, int] | None = None,
        first: int = 57,
    ) -> None:
        self.nodes: dict[str, Json] = {each["identifier"]: each for each in template["related"]["workflow_nodes"]}
        self.after = {
            (name, kind): [target["identifier"] for target in (node.get("related") or {}).get(kind, [])]
            for name, node in self.nodes.items()
            for kind in KINDS
        }
        self.answers, self.perform, self.approves, self.slices = answers, perform, approves, slices or {}
        self.number = first
        self._numbers = itertools.count(first + 1)
        self.ended: dict[str, Ended | None] = {}
        self.ancestors: dict[str, Json] = {}
        self.order: list[str] = []

    def run(self) -> str:
        """Run all nodes that are to be run; returns the status of the workflow."""
        while waiting := [name for name in self.nodes if name not in self.ended]:
            (name, *_others) = [each for each in waiting if all(parent in self.ended for parent in self._parents(each))]
            self.ended[name] = self._node(name) if self._is_reached(name) else None
        bad = [name for name, ended in self.ended.items() if ended is not None and ended.status in BAD]
        unhandled = [name for name in bad if not self.after[name, "failure_nodes"] + self.after[name, "always_nodes"]]
        return "failed" if unhandled else "successful"

    def status(self, name: str) -> str:
        """The status of a node; "never" for one that was not reached."""
        ended = self.ended[name]
        return "never" if ended is None else ended.status

    def _parents(self, name: str) -> list[str]:
        return list(dict.fromkeys(parent for (parent, _kind), targets in self.after.items() if name in targets))

    def _is_reached(self, name: str) -> bool:
        parents = self._parents(name)
        ended = [(parent, self.ended[parent]) for parent in parents]
        return not parents or any(
            name in self.after[parent, "always_nodes"]
            or name in self.after[parent, "success_nodes" if how.status == "successful" else "failure_nodes"]
            for parent, how in ended
            if how is not None
        )

    def _node(self, name: str) -> Ended:
        self.order.append(name)
        handed_on: Json = {}
        for parent in self._parents(name):
            handed_on.update(self.ancestors.get(parent, {}))
            how = self.ended[parent]
            handed_on.update(how.artifacts if how is not None else {})
        self.ancestors[name] = handed_on
        node = self.nodes[name]
        if "create_approval_template" in (node.get("related") or {}):
            return Ended("successful" if self.approves else "failed")
        template = str(node["unified_job_template"]["name"])
        variables = {**handed_on, **self.answers}
        count = self.slices.get(name, 1)
        if count == 1:
            return self.perform(Launch(name, template, {**variables, **self._own(self.number)}))
        number = next(self._numbers)
        launches = [Launch(name, template, {**variables, **self._own(number)}, (part, count)) for part in range(count)]
        ended = [self.perform(launch) for launch in launches]
        artifacts: Json = {}
        for each in ended:
            artifacts.update(each.artifacts if each.status in ("successful", "failed") else {})
        return Ended("failed" if any(each.status in BAD for each in ended) else "successful", artifacts)

    def _own(self, workflow: int) -> Json:
        job = next(self._numbers)
        return {
            f"{prefix}_{key}": value
            for prefix in ("awx", "tower")
            for key, value in (("job_id", job), ("workflow_job_id", workflow), ("job_launch_type", "workflow"))
        }
