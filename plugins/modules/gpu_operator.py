#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_operator
short_description: Install or remove the Helm release of NVIDIA's GPU Operator
version_added: 0.2.0
author:
  - The aks.gpu authors (@aks-gpu)
description:
  - Installs NVIDIA's GPU Operator by its Helm chart with the values that AKS needs, or removes it. The role
    P(aks.gpu.gpu_operator#role) puts its mark into the namespace before, by which a release is known to be its own.
  - It first looks at what is in the cluster. A GPU Operator without the mark is somebody else's. It is never changed
    or removed. One that offers C(nvidia.com/gpu) to nodes is used as it is; any other one is refused.
  - While Helm waits, it shows how many Pods of the release are ready and what keeps the others from it. A Pod that no
    node takes, or whose image can't be pulled, ends the wait with the cluster's own words.
  - A chart whose kinds (CustomResourceDefinitions) are in the cluster in another version brings them up to date, also
    where they are left of a release that was removed.
  - A release that a killed Helm has left as pending is undone once that is older than O(wait_timeout).
extends_documentation_fragment:
  - aks.gpu.attributes
  - aks.gpu.attributes.writes
  - aks.gpu.kubernetes
  - aks.gpu.kubernetes.in_cluster
  - aks.gpu.azure
options:
  state:
    description:
      - V(present) - the release has the chart and the values.
      - V(absent) - there is no such release. The kinds that the chart brought stay, as Helm leaves them.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - The name of the Helm release.
    type: str
    default: gpu-operator
  namespace:
    description:
      - The namespace of the release.
    type: str
    default: gpu-operator
  chart:
    description:
      - The chart - its name in O(chart_repository), C(oci://) with registry and path, a URL, or a path where
        Ansible runs.
    type: str
    default: gpu-operator
  chart_repository:
    description:
      - The URL of the chart repository. When unset, the chart is found by itself.
    type: str
  chart_version:
    description:
      - The version of the chart, or a range of versions as Helm takes them.
      - When unset, the newest at the installation; an installed one stays as it is.
    type: str
  values:
    description:
      - Values of the chart. They go over those that AKS needs, by which DaemonSets tolerate all taints, and
        Deployments and hooks the taint C(CriticalAddonsOnly) of system pools. A list replaces a list.
    type: dict
    default: {}
  helm:
    description:
      - The path of the program C(helm), 3.7 or newer. By default it is looked for on C(PATH).
    type: path
  wait_timeout:
    description:
      - How long Helm may take to install or to remove the release, in seconds.
    type: int
    default: 600
  run:
    description:
      - The name of the run, at most 256 characters. The mark of the release carries it as the annotation
        C(aks.gpu/run), which M(aks.gpu.manifest) writes.
    type: str
  only_run:
    description:
      - With O(state=absent), leave a release whose mark does not carry O(run), and say so. It requires O(run).
    type: bool
    default: false
  grace:
    description:
      - How long a Pod of the release may have no node, or no image, in seconds, before the wait ends.
    type: int
    default: 120
requirements:
  - Helm >= 3.7
notes:
  - In check mode the templates of the chart are filled in on the machine that runs Ansible. What the API server would
    say of the objects is not asked.
seealso:
  - module: aks.gpu.wait_for_gpus
"""

EXAMPLES = r"""
- name: Install NVIDIA's GPU Operator from a mirror
  aks.gpu.gpu_operator:
    kubeconfig: "{{ credentials.path }}"
    chart: oci://registry.example.com/charts/gpu-operator
    chart_version: v26.7.0
    values:
      driver: {repository: registry.example.com/nvidia}

- name: Remove it
  aks.gpu.gpu_operator:
    kubeconfig: "{{ credentials.path }}"
    state: absent
"""

RETURN = r"""
action:
  description:
    - What was done, or in check mode would be - V(installed), V(upgraded), V(removed), V(unchanged), or V(left) for
      what aks.gpu has not installed.
  returned: success
  type: str
  sample: installed
left:
  description:
    - Why nothing was done; empty for any other action than V(left).
  returned: success
  type: str
  sample: aks.gpu has not installed NVIDIA's GPU Operator in this cluster.
own:
  description:
    - Whether the mark of aks.gpu was found.
  returned: success
  type: bool
  sample: true
foreign:
  description:
    - Whether there is a GPU Operator, or what is left of one, that aks.gpu has not installed.
  returned: success
  type: bool
  sample: false
release:
  description:
    - The release.
  returned: success
  type: dict
  contains:
    namespace:
      description: Its namespace.
      type: str
      returned: always
      sample: gpu-operator
    name:
      description: Its name.
      type: str
      returned: always
      sample: gpu-operator
    status:
      description: Its status; null when there was none.
      type: str
      returned: always
      sample: deployed
    chart:
      description: Name and version of its chart; null when Helm was not asked.
      type: str
      returned: always
      sample: gpu-operator-v26.7.0
    revision:
      description: Its revision; null when Helm was not asked.
      type: int
      returned: always
      sample: 1
operators:
  description:
    - The Deployments of GPU Operators that are not of this release, or not of aks.gpu, each C(namespace/name).
  returned: success
  type: list
  elements: str
  sample: []
cluster_policies:
  description:
    - The ClusterPolicies in the cluster, by name.
  returned: success
  type: list
  elements: str
  sample: [cluster-policy]
gpu_clusters:
  description:
    - The GPUClusters in the cluster, by name.
  returned: success
  type: list
  elements: str
  sample: []
problems:
  description:
    - What keeps Pods of the release from running.
  returned: when Helm waited for them in vain
  type: list
  elements: dict
  sample: []
"""

from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._gpu_operator import (
    GPU_OPERATOR_ARGUMENTS,
    plan_gpu_operator,
)


def main() -> None:
    """Runs the module."""
    run(GPU_OPERATOR_ARGUMENTS, plan_gpu_operator)


if __name__ == "__main__":
    main()
