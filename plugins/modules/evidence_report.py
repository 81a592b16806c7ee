#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: evidence_report
short_description: Make one report of the evidence of many clusters
version_added: 0.1.0
author:
  - The aks.gpu authors (@aks-gpu)
description:
  - Reads the documents that M(aks.gpu.evidence) has left, and writes C(index.html), a page that needs nothing from
    the network; C(junit.xml), for CI systems; and C(summary.json).
  - Documents may be of several runs, such as slices of a job, also in several directories. Of two about the same
    cluster the younger one counts, and a cluster stays in the report until its file is removed.
  - The report is a record of what was seen, as a log is, so nothing is reported as changed. In check mode nothing
    is written.
extends_documentation_fragment:
  - aks.gpu.attributes
  - aks.gpu.attributes.reads
options:
  directory:
    description:
      - Where to write, and to read where O(sources) is not set.
      - By default nothing is written, and what M(aks.gpu.evidence) left in this run without a directory is summed up.
    type: path
  sources:
    description:
      - The directories to read, each as M(aks.gpu.evidence) was given it, or a folder with such JSON files.
    type: list
    elements: path
  hosts:
    description:
      - The inventory hosts of this run. One that has left no evidence in it appears as a cluster that could not be
        looked at.
    type: list
    elements: str
  stats_name:
    description:
      - The name under which RV(run_summary) is handed on, as M(ansible.builtin.set_stats) does. By default it is not.
    type: str
  unless_going:
    description:
      - Inventory hosts. Nothing is done as long as M(aks.gpu.evidence) has not found a fault with each of them in this
        run. For a C(rescue), because Ansible runs no further play when all hosts have failed.
    type: list
    elements: str
requirements:
  - Jinja2, which ansible-core brings
seealso:
  - module: aks.gpu.evidence
"""

EXAMPLES = r"""
- name: Make the report
  aks.gpu.evidence_report:
    directory: evidence
  run_once: true
  delegate_to: localhost

- name: Make one report of three slices
  aks.gpu.evidence_report:
    directory: fleet
    sources: [slice-1, slice-2, slice-3]
"""

RETURN = r"""
made:
  description: Whether there was something to report.
  returned: always
  type: bool
  sample: true
summary:
  description: How many clusters of the report have which verdict.
  returned: always
  type: dict
  contains: &summary
    clusters:
      description: How many clusters there are.
      type: int
      returned: always
      sample: 100
    works:
      description: How many work.
      type: int
      returned: always
      sample: 98
    does_not_work:
      description: How many do not work.
      type: int
      returned: always
      sample: 1
    not_looked_at:
      description: How many could not be looked at.
      type: int
      returned: always
      sample: 1
    idle:
      description: How many have no GPU nodes now.
      type: int
      returned: always
      sample: 0
    nodes:
      description: How many GPU nodes there are.
      type: int
      returned: always
      sample: 120
    gpus:
      description: How many GPUs they offer.
      type: int
      returned: always
      sample: 480
    gpus_passed:
      description: How many of them computed right.
      type: int
      returned: always
      sample: 476
    gpus_held:
      description: How many of them other work holds.
      type: int
      returned: always
      sample: 4
    failed:
      description:
        - The first 50 clusters that do not work or could not be looked at, with C(host), C(cluster) and C(headline).
      type: list
      elements: dict
      returned: always
      sample: []
run_summary:
  description: The same for the clusters of this run alone.
  returned: always
  type: dict
  contains: *summary
lines:
  description: What there is to say about this run, for a terminal.
  returned: always
  type: list
  elements: str
  sample: ["98 of 100 clusters work, 480 GPU(s) on 120 node(s)"]
shown:
  description:
    - What the task shows on standard error, RV(lines) where there are several clusters, and where the report is.
  returned: always
  type: list
  elements: str
  sample: ["98 of 100 clusters work, 480 GPU(s) on 120 node(s)"]
page:
  description: The page; null without a directory.
  returned: always
  type: str
  sample: evidence/index.html
junit:
  description: The JUnit XML; null without a directory.
  returned: always
  type: str
  sample: evidence/junit.xml
summary_file:
  description: The summary, with all clusters that failed; null without a directory.
  returned: always
  type: str
  sample: evidence/summary.json
"""

from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run
from ansible_collections.aks.gpu.plugins.module_utils._evidence._report import plan_report

ARGUMENTS = ArgumentSpec(
    options={
        "directory": {"type": "path"},
        "sources": {"type": "list", "elements": "path"},
        "hosts": {"type": "list", "elements": "str"},
        "stats_name": {"type": "str"},
        "unless_going": {"type": "list", "elements": "str"},
    }
)


def main() -> None:
    """Runs the module."""
    run(ARGUMENTS, plan_report)


if __name__ == "__main__":
    main()
