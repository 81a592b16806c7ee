#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_probe
short_description: Compute on every free GPU of every node, and say which work
version_added: 0.1.0
author:
  - The aks.gpu authors (@aks-gpu)
description:
  - Runs a short Job on each GPU node that asks for all GPUs that are free there, lists the devices that it
    sees, and adds vectors on each of them.
  - It fails when a node's probe sees another number of devices than it asked for, when a device does not
    compute right, or when a node has no GPUs to offer.
  - GPUs that other work holds are counted, and neither disturbed nor waited for.
  - The Jobs are removed at the end, so nothing is reported as changed. A run that is killed leaves Jobs that go
    by themselves some minutes after their end.
  - In check mode it tells what it would ask for, and makes no Job.
extends_documentation_fragment:
  - aks.gpu.attributes
  - aks.gpu.attributes.reads
  - aks.gpu.kubernetes
  - aks.gpu.kubernetes.in_cluster
  - aks.gpu.azure
options:
  node_pool:
    description:
      - The node pool whose nodes are probed. By default all nodes that AKS labels
        C(kubernetes.azure.com/accelerator).
    type: str
  nodes:
    description:
      - Names of the nodes to probe. By default all of them.
    type: list
    elements: str
  resource_name:
    description:
      - The resource that the device plugin advertises.
    type: str
    default: nvidia.com/gpu
  shared:
    description:
      - Several Pods share a device, by time slicing or MPS. Then one is asked for on each node, and one device
        has to be seen.
    type: bool
    default: false
  namespace:
    description:
      - Where the Jobs run. By default the namespace of the context.
    type: str
  image:
    description:
      - The image. It needs a shell and O(program); C(nvidia-smi) comes from the node. It runs as the user 65534.
    type: str
    default: nvcr.io/nvidia/k8s/cuda-sample:vectoradd-cuda12.5.0
  image_pull_secret:
    description:
      - The name of a Secret of the namespace with which to pull the image.
    type: str
  program:
    description:
      - The program that is run on each device by itself. It has to print V(Test PASSED) and to end with 0.
    type: str
    default: /cuda-samples/vectorAdd
  command:
    description:
      - The container's command instead of the one that lists the devices as C(nvidia-smi -L) does and runs
        O(program) on each. Its log has to show the same.
    type: list
    elements: str
  return_details:
    description:
      - Whether RV(probes) have their C(log_tail). A failed task returns it in any case.
    type: bool
    default: true
  wait_timeout:
    description:
      - How long to wait for all probes, in seconds.
    type: int
    default: 600
  grace:
    description:
      - How long a probe may find no place on its node, in seconds, because other work took the GPUs meanwhile.
    type: int
    default: 60
seealso:
  - module: aks.gpu.wait_for_gpus
"""

EXAMPLES = r"""
- name: Probe every GPU of a pool
  aks.gpu.gpu_probe:
    kubeconfig: "{{ credentials.path }}"
    node_pool: gpunp
  register: probe

- name: Which driver each node has
  ansible.builtin.debug:
    msg: "{{ item.node }}: {{ item.seen }} GPUs, driver {{ item.driver_version }}"
  loop: "{{ probe.probes }}"
"""

RETURN = r"""
probes:
  description:
    - The probe of each node, by name. A failed task returns them too.
  returned: when the cluster could be looked at
  type: list
  elements: dict
  contains:
    node:
      description: The node.
      type: str
      returned: always
      sample: aks-gpunp-28993262-vmss000000
    node_pool:
      description: Its node pool; null when that is not known.
      type: str
      returned: always
      sample: gpunp
    asked:
      description: How many GPUs were asked for, those that were free.
      type: int
      returned: always
      sample: 4
    held:
      description: How many GPUs other work held.
      type: int
      returned: always
      sample: 0
    seen:
      description: How many devices the probe saw; null when it told nothing, as in check mode.
      type: int
      returned: always
      sample: 4
    passed:
      description: On how many of them it computed right; null when it told nothing.
      type: int
      returned: always
      sample: 4
    works:
      description: Whether all of them were seen and computed right; null when none was free.
      type: bool
      returned: always
      sample: true
    devices:
      description: The devices, with C(name) and C(uuid).
      type: list
      elements: dict
      returned: always
      sample:
        - name: Tesla T4
          uuid: GPU-0e8c2f5d-1111-2222-3333-444444444444
    driver_version:
      description: The NVIDIA driver of the node; null when it is not known.
      type: str
      returned: always
      sample: 580.95.05
    cuda_version:
      description: The newest CUDA that the driver serves; null when it is not known.
      type: str
      returned: always
      sample: "13.0"
    problem:
      description: Why the probe failed; null when it did not.
      type: str
      returned: always
      sample: null
    log_tail:
      description: The last lines of its log; empty with O(return_details=false).
      type: list
      elements: str
      returned: always
      sample: [Test PASSED, Done]
gpus_probed:
  description:
    - How many GPUs were probed.
  returned: when the cluster could be looked at
  type: int
  sample: 4
gpus_held:
  description:
    - How many GPUs other work held.
  returned: when the cluster could be looked at
  type: int
  sample: 0
gpus_work:
  description:
    - Whether all probed GPUs work, and no node is without GPUs. In check mode always false, unless all GPUs are
      held.
  returned: when the cluster could be looked at
  type: bool
  sample: true
"""

from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_probe import GPU_PROBE_ARGUMENTS, plan_gpu_probe


def main() -> None:
    """Runs the module."""
    run(GPU_PROBE_ARGUMENTS, plan_gpu_probe)


if __name__ == "__main__":
    main()
