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
  only_if_all_failed:
    description:
      - Inventory hosts. Nothing is done as long as M(aks.gpu.evidence) has not found a fault with each of them in this
        run. For a C(rescue), because Ansible runs no further play when all hosts have failed.
    type: list
    elements: str
  run:
    description:
      - The name of the run, which is handed on as C(aks_gpu_run), see RV(ansible_stats).
    type: str
  job:
    description:
      - The number of the job in AWX. With it, what became of the hosts is handed on in a variable of this job, so that
        jobs at once, such as slices, don't take each other's place.
    type: str
  return_details:
    description:
      - Whether to return RV(summary), RV(run_summary), RV(lines) and RV(notes). RV(shown) and RV(ansible_stats) say the
        most of it.
    type: bool
    default: true
  named_pools:
    description:
      - The node pools that the hosts of the inventory name, as the filter P(aks.gpu.named_pools#filter) returns them.
        Pools that aks.gpu created in a cluster of this run and that no host names are returned as RV(left_behind).
      - By default it is not known which are named, and none is returned.
    type: list
    elements: dict
    suboptions:
      resource_group:
        description: The resource group of the cluster.
        type: str
        required: true
      cluster_name:
        description: The name of the cluster.
        type: str
        required: true
      node_pool:
        description: The name of the node pool; null where it is not known, and then nothing is said of the cluster.
        type: str
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
  description: How many clusters of the report have which verdict; empty with O(return_details=false).
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
  description: The same for the clusters of this run alone; empty with O(return_details=false).
  returned: always
  type: dict
  contains: *summary
ansible_stats:
  description:
    - The variables for what comes next in a workflow, handed on as C(ansible.builtin.set_stats) does.
  returned: when there was something to report
  type: dict
  contains:
    data:
      description:
        - C(aks_gpu_summary) is the summary of this run, as RV(run_summary). With O(job), C(aks_gpu_summary_<job>) is
          the same with C(hosts), the verdict of each host, in place of C(failed). With O(run), C(aks_gpu_run) is that
          name.
      type: dict
      returned: always
      sample:
        aks_gpu_summary: {"clusters": 100, "works": 98}
        aks_gpu_summary_57: {"clusters": 100, "works": 98, "hosts": {"aks-train-1": "works"}}
        aks_gpu_run: awx.example.com/56
    per_host:
      description: Whether they are handed on for each host by itself.
      type: bool
      returned: always
      sample: false
    aggregate:
      description: Whether a dictionary is added to one that is handed on already.
      type: bool
      returned: always
      sample: true
lines:
  description: What there is to say about this run, for a terminal; empty with O(return_details=false).
  returned: always
  type: list
  elements: str
  sample: ["98 of 100 clusters work, 480 GPU(s) on 120 node(s)"]
left_behind:
  description:
    - The node pools with the tag C(aks.gpu.created-by), of the clusters of this run, that no host names any more, with
      C(resource_group), C(cluster) and C(node_pool). They are neither looked at nor removed.
  returned: always
  type: list
  elements: dict
  sample:
    - resource_group: myResourceGroup
      cluster: myAKSCluster
      node_pool: oldpool
notes:
  description: RV(left_behind) in words, at most 50 lines; empty with O(return_details=false).
  returned: always
  type: list
  elements: str
  sample: []
shown:
  description:
    - What the task shows on standard error - RV(lines) where there are several clusters, RV(notes), and where the
      report is.
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

from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run
from ansible_collections.aks.gpu.plugins.module_utils._evidence._report import (
    EVIDENCE_REPORT_ARGUMENTS,
    plan_evidence_report,
)


def main() -> None:
    """Runs the module."""
    run(EVIDENCE_REPORT_ARGUMENTS, plan_evidence_report)


if __name__ == "__main__":
    main()
