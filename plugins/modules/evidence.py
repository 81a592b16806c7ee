#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: evidence
short_description: Judge whether the GPUs of a cluster work, and leave the evidence
version_added: 0.1.0
author:
  - The aks.gpu authors (@aks-gpu)
description:
  - Takes what M(aks.gpu.wait_for_gpus), M(aks.gpu.gpu_probe) and M(aks.gpu.wait_for_job) returned, failed or not,
    judges it line by line, and writes a JSON document about the cluster.
  - The document also has the steps that tasks of this collection have made for the same inventory host in this
    run, with their start and duration.
  - C(docs/evidence.schema.json) of the collection is its JSON Schema. M(aks.gpu.evidence_report) makes a page and
    JUnit XML of the documents of many clusters.
  - It does not fail when GPUs do not work; RV(verdict) says whether they do.
  - The document is a record of what was seen, as a log is, so nothing is reported as changed. The one of an
    earlier run is replaced. In check mode nothing is written.
extends_documentation_fragment:
  - aks.gpu.attributes
  - aks.gpu.attributes.reads
options:
  host:
    description:
      - The inventory host, so C(inventory_hostname).
    type: str
    required: true
  directory:
    description:
      - Where to write, in its folder C(clusters). It is made where it is not there.
      - By default a private directory that goes at the end of the run.
    type: path
  subscription_id:
    description:
      - The subscription of the cluster.
    type: str
  resource_group:
    description:
      - The resource group of the cluster.
    type: str
  cluster_name:
    description:
      - The name of the cluster. By default O(host).
    type: str
  gpu_stack:
    description:
      - How GPUs become schedulable. With V(device_plugin) every node has to run a device plugin.
    type: str
    default: device_plugin
  node_pool:
    description:
      - The name of the node pool. A Job that is complete has to have run on a node of it.
    type: str
  pool:
    description:
      - What M(aks.gpu.node_pool_info) returned for the pool.
    type: dict
  pools:
    description:
      - The C(node_pools) that M(aks.gpu.node_pool_info) or M(aks.gpu.node_pool) returned for the cluster. Those that
        aks.gpu created are named in the evidence.
    type: list
    elements: dict
  gpus:
    description:
      - What M(aks.gpu.wait_for_gpus) returned.
    type: dict
  probe:
    description:
      - What M(aks.gpu.gpu_probe) returned.
    type: dict
  job:
    description:
      - What M(aks.gpu.wait_for_job) returned.
    type: dict
  probe_requested:
    description:
      - Whether every GPU has to have computed right in O(probe).
    type: bool
    default: true
  shared:
    description:
      - Whether several Pods share a GPU.
    type: bool
    default: false
  job_name:
    description:
      - The Job that has to be complete in O(job). By default none.
    type: str
  training:
    description:
      - Whether the log of the Job has to name a GPU.
    type: bool
    default: false
  minimum_accuracy:
    description:
      - The accuracy that the Job has to reach, from 0 to 1. By default none.
    type: float
  failed_step:
    description:
      - The step that failed, such as C(ansible_failed_task.name) in a C(rescue). By default none.
    type: str
  failed_result:
    description:
      - What that step returned, such as C(ansible_failed_result). Its C(msg), C(problems) and C(probes) are read.
    type: dict
  return_document:
    description:
      - Whether to return RV(checks), RV(lines), RV(evidence) and RV(path). They are long, and the file has them.
    type: bool
    default: true
  predicted:
    description:
      - What was looked at may not be there yet, as in check mode. Then it is no failure.
    type: bool
    default: false
  metrics:
    description:
      - Series to keep and to show with the cluster.
    type: list
    elements: dict
    suboptions:
      name:
        description: What it is.
        type: str
        required: true
      unit:
        description: Its unit.
        type: str
        default: ''
      dimensions:
        description: What tells it from others of the same name, such as a node and a GPU.
        type: dict
        default: {}
      points:
        description: Pairs of a time, ISO 8601 in UTC, and a number or null.
        type: list
        elements: list
        required: true
seealso:
  - module: aks.gpu.evidence_report
"""

EXAMPLES = r"""
- name: Judge what was found
  aks.gpu.evidence:
    host: "{{ inventory_hostname }}"
    directory: evidence
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
    gpus: "{{ gpus }}"
    probe: "{{ probe }}"
    job: "{{ mnist }}"
    job_name: samples-tf-mnist-demo
    minimum_accuracy: 0.9
  register: judged

- name: Show it
  ansible.builtin.debug:
    msg: "{{ judged.brief }}"
"""

RETURN = r"""
verdict:
  description:
    - V(works), V(does_not_work), V(not_looked_at) when something failed before the GPU nodes were seen, V(idle) for
      a pool that its autoscaler has emptied, or V(predicted).
  returned: always
  type: str
  sample: works
headline:
  description: The verdict in one sentence, with the first thing that is wrong.
  returned: always
  type: str
  sample: "myAKSCluster works: 1 GPU(s) on 1 node(s), samples-tf-mnist-demo complete on Tesla T4"
checks:
  description: Every assertion; empty with O(return_document=false).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: A word for programs.
      type: str
      returned: always
      sample: nodes_ready
    holds:
      description: Whether it holds; null for what is only told.
      type: bool
      returned: always
      sample: true
    line:
      description: What was found and what was expected.
      type: str
      returned: always
      sample: "nodes Ready: 1 of 1"
lines:
  description:
    - The evidence as text for a terminal, the verdict first, then what does not hold. Empty with
      O(return_document=false).
  returned: always
  type: list
  elements: str
  sample: ["ok   nodes Ready: 1 of 1"]
brief:
  description:
    - The beginning of what RV(lines) says, in so few characters that AWX's list of events shows all of it. It names the
      step that failed, and leaves the reason to that step.
    - With O(return_document=false) only the verdict of a cluster that does not work, or could not be looked at.
  returned: always
  type: list
  elements: str
  sample: ["myAKSCluster works: 1 GPU(s) on 1 node(s), samples-tf-mnist-demo complete on Tesla T4"]
evidence:
  description:
    - The document, as C(docs/evidence.schema.json) describes it; empty when it is only predicted, or with
      O(return_document=false).
  returned: always
  type: dict
  sample: {format: aks.gpu/evidence, format_version: 1}
path:
  description: The file; null in check mode, and with O(return_document=false).
  returned: always
  type: str
  sample: evidence/clusters/myAKSCluster-3fa9c1d2b0aa.json
"""

from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run
from ansible_collections.aks.gpu.plugins.module_utils._evidence._report import EVIDENCE_ARGUMENTS, plan_evidence


def main() -> None:
    """Runs the module."""
    run(EVIDENCE_ARGUMENTS, plan_evidence)


if __name__ == "__main__":
    main()
