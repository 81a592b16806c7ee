# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The validation of the options of the role mnist."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

DOCUMENTATION = r"""
name: workload_problems
short_description: What is wrong with a GPU workload, all of it at once
version_added: 0.1.0
author: the aks.gpu authors
description:
  - Validates the options of the role P(aks.gpu.mnist#role) against each other and against the objects of the workload.
  - The role refuses the workload with these texts, before anything is changed.
options:
  _input:
    description:
      - The options by the names of the role's variables, such as C(mnist_gpus), with their defaults filled in. An empty
        text is an unset option.
    type: dict
    required: true
  workloads:
    description: The names of the workloads that O(_input) may choose with C(mnist_workload).
    type: list
    elements: str
    required: true
  objects:
    description: The objects of a workload of your own. Of C(mnist_workload=custom) only.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: A count that is not a number
  ansible.builtin.debug:
    msg: "{{ options | aks.gpu.workload_problems(['digits']) }}"
    # ["mnist_gpus: a whole number of 1 or more is needed"]
  vars:
    options: {mnist_state: present, mnist_workload: digits, mnist_gpus: two}
"""

RETURN = r"""
_value:
  description: A sentence without its full stop for each problem; empty when there is none.
  type: list
  elements: str
"""

STATES = ("present", "absent")
DEFINITIONS = ("mnist_template", "mnist_definition")
COUNTS_FROM_ONE = (
    "mnist_max_steps",
    "mnist_gpus",
    "mnist_completions",
    "mnist_parallelism",
    "mnist_active_deadline_seconds",
)
COUNTS_FROM_ZERO = ("mnist_backoff_limit", "mnist_ttl_seconds_after_finished")
ACCURACY = re.compile(r"(|0|1|0?[.][0-9]+|1[.]0+)$")

WorkloadOptions = Mapping[str, Any]


def workload_problems(value: WorkloadOptions, workloads: Iterable[str], objects: Iterable[Any] = ()) -> list[str]:
    """Returns a sentence for each problem of a workload.

    Args:
        value: The options by the names of the role's variables.
        workloads: The names of the workloads that can be chosen.
        objects: The objects of a workload of the user's own.
    """
    return [
        *_workload_choice_problems(value, list(workloads)),
        *_definition_problems(value, list(objects)),
        *_workload_count_problems(value),
        *_result_problems(value),
    ]


def _workload_choice_problems(options: WorkloadOptions, workloads: list[str]) -> Iterator[str]:
    if options["mnist_state"] not in STATES:
        yield f"mnist_state: {options['mnist_state']} is not one of {', '.join(STATES)}"
    if options["mnist_workload"] not in workloads:
        yield f"mnist_workload: {options['mnist_workload']} is not one of {', '.join(workloads)}"


def _definition_problems(options: WorkloadOptions, objects: list[Any]) -> Iterator[str]:
    given = [name for name in DEFINITIONS if options.get(name)]
    workload = options["mnist_workload"]
    if workload != "custom":
        if given:
            yield f"{' and '.join(given)} is for mnist_workload: custom, not for {workload}"
        return
    if len(given) != 1:
        yield "mnist_workload: custom needs either mnist_template or mnist_definition"
        return
    name, namespace = options["mnist_name"], options["mnist_namespace"]
    jobs = [each["metadata"] for each in objects if _is_named_job(each)]
    if not any(job["name"] == name and job.get("namespace", "default") == namespace for job in jobs):
        yield (
            f"{given[0]} has no Job {name} in the namespace {namespace}, which mnist_name and mnist_namespace name; "
            f"it has {', '.join(str(job['name']) for job in jobs) or 'none'}"
        )


def _is_named_job(found: Any) -> bool:
    metadata = found.get("metadata") if isinstance(found, Mapping) and found.get("kind") == "Job" else None
    return isinstance(metadata, Mapping) and "name" in metadata


def _workload_count_problems(options: WorkloadOptions) -> Iterator[str]:
    for names, pattern, least in ((COUNTS_FROM_ONE, r"([1-9][0-9]*)?$", 1), (COUNTS_FROM_ZERO, r"[0-9]*$", 0)):
        wrong = [name for name in names if not re.match(pattern, str(options.get(name, "")))]
        if wrong:
            yield f"{', '.join(wrong)}: a whole number of {least} or more is needed"


def _result_problems(options: WorkloadOptions) -> Iterator[str]:
    accuracy, pattern = options.get("mnist_minimum_accuracy", ""), str(options.get("mnist_log_pattern", ""))
    if not ACCURACY.match(str(accuracy)):
        yield f"mnist_minimum_accuracy: {accuracy} is not between 0 and 1"
    try:
        found_in_every_log = bool(pattern) and re.search(pattern, "") is not None
    except re.error as error:
        yield f"mnist_log_pattern: {pattern} is not a valid regular expression: {error}"
        return
    if found_in_every_log:
        yield f"mnist_log_pattern: {pattern} is found in every log"


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filters by name."""
        return {"workload_problems": workload_problems}
