#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wait_for_job
short_description: Wait for a Job's end, follow its log, and say why it can't succeed
version_added: 0.1.0
author:
  - The aks.gpu authors (@aks-gpu)
description:
  - Watches a Job and its Pods until it is complete, and follows their logs meanwhile; accuracy is shown as it
    comes.
  - It fails as soon as the Job can't succeed, with the cluster's own words and what to do. That it failed, that
    a Pod can't be scheduled, that an image can't be pulled, that the image's CUDA and the node's driver do not
    fit, and so on.
  - In check mode it returns the state as it is, at once, also that of a Job that is not there yet.
extends_documentation_fragment:
  - aks.gpu.attributes
  - aks.gpu.attributes.reads
  - aks.gpu.kubernetes
  - aks.gpu.kubernetes.in_cluster
  - aks.gpu.azure
options:
  name:
    description:
      - The name of the Job.
    type: str
    required: true
  namespace:
    description:
      - Its namespace. By default that of the context.
    type: str
  return_details:
    description:
      - Whether RV(job) has everything. Otherwise it has neither C(log_head), C(log_pattern_found), C(driver_version)
        nor C(cuda_version), its Pods have only what tells where they ran and how they ended, and C(accuracy) is a list
        of pairs of a step and its accuracy. A failed task returns all.
    type: bool
    default: true
  wait_timeout:
    description:
      - How long to wait altogether, in seconds.
    type: int
    default: 1800
  unschedulable_grace:
    description:
      - How long a Pod may be without a node, in seconds. An autoscaler needs some minutes for a new GPU node.
    type: int
    default: 600
  log_pattern:
    description:
      - A regular expression of Python that a line of the log has to match somewhere; otherwise a Job that is
        complete fails all the same.
      - Each Pod that succeeded has to have such a line. Of a Job with many Pods those of the youngest are looked at.
    type: str
  minimum_accuracy:
    description:
      - The accuracy at the last step that a complete Job has to have reached at least, from 0 to 1, in each Pod. In
        the log it may have a percent sign. What is not a number from 0 to 1, such as V(nan), is not an accuracy.
    type: float
  grace:
    description:
      - How long other problems that rarely go away by themselves may last, in seconds, such as a registry that
        can't be reached, a volume that can't be mounted, or a node that is lost.
    type: int
    default: 120
seealso:
  - module: aks.gpu.manifest
  - module: aks.gpu.wait_for_gpus
"""

EXAMPLES = r"""
- name: Wait for the MNIST Job
  aks.gpu.wait_for_job:
    kubeconfig: "{{ credentials.path }}"
    name: samples-tf-mnist-demo
    namespace: default
  register: mnist

- name: Wait for a Job of one's own, whose program says when all is well
  aks.gpu.wait_for_job:
    name: vector-add
    namespace: default
    log_pattern: Test PASSED

- name: Which GPU was found
  ansible.builtin.debug:
    msg: "{{ mnist.job.devices | map(attribute='name') | join(', ') }}, accuracy {{ mnist.job.accuracy_last }}"
"""

RETURN = r"""
job:
  description:
    - The Job and what it told. A failed task returns it too.
  returned: when the cluster could be looked at
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      returned: always
      sample: samples-tf-mnist-demo
    namespace:
      description: Its namespace.
      type: str
      returned: always
      sample: default
    exists:
      description: Whether it is there. In check mode it may not be yet.
      type: bool
      returned: always
      sample: true
    complete:
      description: Whether it succeeded.
      type: bool
      returned: always
      sample: true
    completions:
      description: How many Pods have to succeed; null when there is no Job.
      type: int
      returned: always
      sample: 1
    succeeded:
      description: How many Pods succeeded.
      type: int
      returned: always
      sample: 1
    failed:
      description: How many Pods failed.
      type: int
      returned: always
      sample: 0
    start_time:
      description: When it started; null before.
      type: str
      returned: always
      sample: "2026-08-01T10:00:00Z"
    completion_time:
      description: When it was complete; null before.
      type: str
      returned: always
      sample: "2026-08-01T10:03:10Z"
    duration_seconds:
      description: Seconds from its start to its completion, or until now.
      type: int
      returned: always
      sample: 190
    node_pool:
      description: The node pool that its nodeSelector names; null when it names none.
      type: str
      returned: always
      sample: null
    pods:
      description:
        - Its Pods, the oldest first, with C(name), C(node), C(phase), C(exit_code), C(devices), C(accuracy_last)
          and C(log_pattern_found).
        - C(node_pool) is the pool of the node, by its labels or, where it is gone, by its name. C(vm_size) is the size
          of the node. C(node_is_there) is false when the node is gone, or a younger one has its name; it is null when
          nodes can't be listed. C(asks_for_gpu) says whether a container asks for a GPU.
      type: list
      elements: dict
      returned: always
      sample:
        - name: samples-tf-mnist-demo-smnr6
          node: aks-gpunp-28993262-vmss000000
          node_pool: gpunp
          vm_size: Standard_NC4as_T4_v3
          node_is_there: true
          phase: Succeeded
          asks_for_gpu: true
          exit_code: 0
          devices: []
          accuracy_last: 0.9258
          log_pattern_found: null
    devices:
      description:
        - The GPUs that the first Pod to succeed found whose log was read, else those of the youngest Pod. Of several
          containers the one that asks for a GPU counts.
      type: list
      elements: dict
      returned: always
      contains:
        name:
          description: The model.
          type: str
          returned: always
          sample: Tesla T4
        compute_capability:
          description: The compute capability; null when the log does not say.
          type: str
          returned: always
          sample: "7.5"
        memory:
          description: The memory; null when the log does not say.
          type: str
          returned: always
          sample: 14.75GiB
        bus_id:
          description: The PCI bus id; null when the log does not say.
          type: str
          returned: always
          sample: "0001:00:00.0"
        uuid:
          description: The UUID of the GPU or of its slice; null when the log does not say.
          type: str
          returned: always
          sample: null
    accuracy:
      description: The accuracy at each step that the same Pod told.
      type: list
      elements: dict
      returned: always
      contains:
        step:
          description: The step.
          type: int
          returned: always
          sample: 490
        accuracy:
          description: The accuracy, from 0 to 1.
          type: float
          returned: always
          sample: 0.9258
    accuracy_first:
      description: The first accuracy; null when there is none.
      type: float
      returned: always
      sample: 0.1081
    accuracy_last:
      description: The last accuracy; null when there is none.
      type: float
      returned: always
      sample: 0.9258
    accuracy_best:
      description: The best accuracy; null when there is none.
      type: float
      returned: always
      sample: 0.9305
    log_pattern_found:
      description: Whether a line matched O(log_pattern); null without that option, or when there is no log.
      type: bool
      returned: always
      sample: true
    driver_version:
      description: The NVIDIA driver; null when the log does not say.
      type: str
      returned: always
      sample: 580.95.05
    cuda_version:
      description: The newest CUDA that the driver serves; null when the log does not say.
      type: str
      returned: always
      sample: "13.0"
    log_state:
      description:
        - What has become of the log that is shown. V(read), V(not_read) when it could not be read to its end, V(gone)
          when the Pods, their nodes or the logs on them are gone. Null when there is none yet.
        - Only V(read) means that what it does not say was not said.
      type: str
      returned: always
      sample: read
    log_problem:
      description: Why it was not read; null when it was, or when there is none yet.
      type: str
      returned: always
      sample: null
    log_head:
      description: The first lines of the log.
      type: list
      elements: str
      returned: always
      sample: ["2019-05-16 16:08:31.258328: I tensorflow/core/platform/cpu_feature_guard.cc:137] Your CPU supports"]
    log_tail:
      description: The last lines of the log.
      type: list
      elements: str
      returned: always
      sample: ["Adding run metadata for 499"]
problems:
  description:
    - What is wrong, the most telling first, in the same form as R(wait_for_gpus,
      ansible_collections.aks.gpu.wait_for_gpus_module).
  returned: when the cluster could be looked at
  type: list
  elements: dict
  contains:
    subject:
      description: What has the problem.
      type: str
      returned: always
      sample: Pod default/samples-tf-mnist-demo-smnr6
    cause:
      description: A word for programs.
      type: str
      returned: always
      sample: DriverMismatch
    message:
      description: The cluster's or the log's own words.
      type: str
      returned: always
      sample: CUDA driver version is insufficient for CUDA runtime version
    advice:
      description: What to do; empty where waiting is all there is to do.
      type: str
      returned: always
      sample: Take an image of an older CUDA release, or update the node image of the pool.
    permanent:
      description: Whether waiting is of no use.
      type: bool
      returned: always
      sample: true
    log_tail:
      description: The last lines of the log of the container that has the problem.
      type: list
      elements: str
      returned: always
      sample: []
"""

from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._wait_for_job import (
    WAIT_FOR_JOB_ARGUMENTS,
    plan_wait_for_job,
)


def main() -> None:
    """Runs the module."""
    run(WAIT_FOR_JOB_ARGUMENTS, plan_wait_for_job)


if __name__ == "__main__":
    main()
