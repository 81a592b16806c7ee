#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``aks.gpu.kubeconfig``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeconfig
short_description: Fetches the credentials of an AKS cluster
version_added: 0.1.0
author: aks.gpu authors (@aks-gpu)
description:
  - Fetches the kubeconfig of a cluster and puts it where other tasks, C(kubectl) and Helm can use it.
  - Without O(path) and O(directory) it goes to a file that is private to this run of Ansible, which removes it at the
    end. All tasks of the run share the file, so Azure is asked once for a cluster. The task reports no change. It
    writes the file in check mode too, because later tasks of the check have to read the cluster; nothing else is ever
    written then.
  - With O(path) it becomes a file of its own, or with O(merge) a part of an existing one such as C(~/.kube/config),
    as C(az aks get-credentials) does it. Unlike that, parallel tasks and C(kubectl config) do not lose each other's
    entries, the current context changes only when O(set_current_context) asks for it, comments and entries of others
    stay, and clusters of the same name in two subscriptions do not overwrite each other.
  - Files are written at once or not at all, with mode C(0600); an existing file keeps its owner, and its mode when it
    is merged into. A symbolic link of another user is not followed.
  - A cluster that authenticates by Microsoft Entra ID needs C(kubelogin) on the machine that uses the kubeconfig. Its
    sign-in, by default with a browser and a code, is changed to the one that the task itself uses, so that no person is
    needed. The secret of a service principal is written only to the private file of the run; with any other file,
    C(kubelogin) takes it from the environment variable E(AZURE_CLIENT_SECRET).
extends_documentation_fragment:
  - aks.gpu.azure
  - aks.gpu.azure.cluster
  - aks.gpu.attributes
  - aks.gpu.attributes.writes
options:
  state:
    description:
      - Whether the credentials shall be there.
      - With V(absent) the file is removed, or with O(merge) the cluster's context and user, and its cluster entry
        when no other context uses it. Azure is not asked, so the cluster may be gone already.
    type: str
    choices: [present, absent]
    default: present
  admin:
    description:
      - Whether to fetch the credentials of the cluster's administrator, who passes by Kubernetes RBAC. They do not
        exist where local accounts are disabled.
    type: bool
    default: false
  path:
    description:
      - The file. By default a private file of the run.
      - Without O(merge), a file with anything in it that neither this module nor C(az) has written for the cluster is
        refused, also with O(state=absent).
    type: path
  directory:
    description:
      - A directory that keeps one file for each cluster, for fleets. A file that is there is used again without asking
        Azure, until a day before its client certificate expires.
    type: path
  merge:
    description:
      - Whether to merge into the kubeconfig at O(path), and leave what else is in it alone.
    type: bool
    default: false
  context:
    description:
      - A name for the context. By default the cluster's name, with C(-admin) when O(admin=true).
    type: str
  set_current_context:
    description:
      - Whether the cluster's context becomes the current one when merging. A file of its own always names its context.
    type: bool
    default: false
  login:
    description:
      - How C(kubelogin) signs in to clusters that authenticate by Microsoft Entra ID. V(auto) takes the sign-in of
        the task, V(spn) for a service principal by secret or certificate, V(ropc) for a user by password.
    type: str
    choices: [auto, azurecli, devicecode, msi, ropc, spn, workloadidentity]
    default: auto
  run_command:
    description:
      - Whether the modules of this collection that use the kubeconfig reach the cluster by AKS's run-command instead of
        its API server. The API server of a private cluster is reached only from its own network; AKS runs commands
        there for whoever has the permission C(Microsoft.ContainerService/managedClusters/runCommand/action).
      - With V(auto) they do so when no connection to the API server is to be had and Azure says that the cluster is
        private, or allows only certain IP ranges.
      - Each request, or each look of a wait, then starts a Pod in the namespace C(aks-command) of the cluster, in check
        mode too, which takes some seconds. C(kubectl) and others that use the kubeconfig are not led that way.
    type: str
    choices: [never, auto, always]
    default: never
  return_content:
    description:
      - Whether to return the kubeconfig. Ansible then censors the result wherever it is shown, also with C(-vvv); a
        registered variable has it all the same.
    type: bool
    default: false
requirements:
  - PyYAML
  - kubernetes >= 29.0.0, with O(run_command=auto)
seealso:
  - module: aks.gpu.manifest
  - name: kubelogin
    description: The sign-in of Kubernetes clients by Microsoft Entra ID.
    link: https://azure.github.io/kubelogin/
"""

EXAMPLES = r"""
- name: Fetch the credentials for this run
  aks.gpu.kubeconfig:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
  register: cluster

- name: Use them
  aks.gpu.manifest:
    kubeconfig: "{{ cluster.path }}"
    context: "{{ cluster.context }}"
    definition:
      apiVersion: v1
      kind: Namespace
      metadata:
        name: gpu-resources

- name: Merge them into one's own kubeconfig, as az aks get-credentials does
  aks.gpu.kubeconfig:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
    path: ~/.kube/config
    merge: true
    set_current_context: true

- name: Keep one file for each cluster of a fleet
  aks.gpu.kubeconfig:
    resource_group: "{{ aks_resource_group }}"
    cluster_name: "{{ aks_cluster_name }}"
    directory: ~/.kube/fleet

- name: Take them out again
  aks.gpu.kubeconfig:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
    path: ~/.kube/config
    merge: true
    state: absent
"""

RETURN = r"""
path:
  description:
    - The file. Null when it went nowhere because the task ran away from Ansible's own machine.
    - In check mode, for a file of O(directory) that is still to be written, one that lives as long as the run.
  returned: success
  type: str
  sample: /home/me/.kube/config
context:
  description: The name of the cluster's context in it. Null when O(state=absent).
  returned: success
  type: str
  sample: myAKSCluster
kubeconfig:
  description: The cluster's kubeconfig, as YAML. The result is censored wherever it is shown.
  returned: when O(return_content=true) and O(state=present)
  type: str
"""

from ansible_collections.aks.gpu.plugins.module_utils._aks._kubeconfig_module import (
    KUBECONFIG_ARGUMENTS,
    plan_kubeconfig,
)
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run


def main() -> None:
    """Runs the module."""
    run(KUBECONFIG_ARGUMENTS, plan_kubeconfig)


if __name__ == "__main__":
    main()
