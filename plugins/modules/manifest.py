#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: manifest
short_description: Apply Kubernetes objects on the server, or delete them
version_added: 0.1.0
author:
  - The aks.gpu authors (@aks-gpu)
description:
  - Applies Kubernetes objects by server-side apply, or deletes them.
  - Predictions are the API server's own, by dry runs. An object in a namespace that is still to come, for
    example because an earlier task was run in check mode, is validated elsewhere and predicted as well.
  - All objects are checked before the first one is changed, and everything that is wrong with them is named at
    once.
  - The values of Secrets are masked in the options, differences and results that are shown; of a ConfigMap's binary
    data they show length and SHA-256.
  - Objects that this module creates carry the annotation C(aks.gpu/created-by).
extends_documentation_fragment:
  - aks.gpu.attributes
  - aks.gpu.attributes.writes
  - aks.gpu.kubernetes
  - aks.gpu.kubernetes.in_cluster
  - aks.gpu.azure
options:
  definition:
    description:
      - The objects, as a dictionary, a list of dictionaries, or YAML or JSON text with one or more documents.
      - They are applied in the order given, and deleted in the reverse order, so that one definition serves for
        both.
      - Objects without a namespace belong to the one of the context.
    type: raw
    required: true
  state:
    description:
      - With V(present), the objects exist with the given fields; fields that are not given are left as they
        are, and fields that were given by an earlier run and are no longer are removed.
      - With V(absent), they do not exist.
    type: str
    choices: [present, absent]
    default: present
  field_manager:
    description:
      - The owner of the fields that are applied.
    type: str
    default: aks.gpu
  force_conflicts:
    description:
      - Take over fields that belong to another field manager. Otherwise a conflict fails, and names the fields
        and their owner.
      - Fields that a controller takes over as its job are left to it in any case, and are no difference - of a Job
        C(suspend), C(parallelism), C(nodeSelector) and C(tolerations), which queues such as Kueue set; of a Deployment,
        ReplicaSet or StatefulSet the C(replicas), which autoscalers set.
    type: bool
    default: false
  recreate_immutable:
    description:
      - Delete and create anew an object whose change the server refuses because the field is immutable, such as
        the Pod template of a Job.
      - An object that this module did not create is refused, unless O(force_conflicts=true) as well.
    type: bool
    default: false
  recreate:
    description:
      - Objects of O(definition) to delete and create anew, whatever their state is, such as a Job to run again. Each
        with C(kind) and C(metadata), in which C(name) and C(namespace) count.
      - An object that this module did not create is refused, unless O(force_conflicts=true) as well.
    type: list
    elements: dict
    default: []
  namespaces_exist:
    description:
      - Refuse objects in a namespace that is not there also where nothing would be changed. By default check mode
        predicts them, because an earlier task may be about to create the namespace.
    type: bool
    default: false
  only_created_by_us:
    description:
      - With O(state=absent), leave objects that this module did not create.
    type: bool
    default: false
  run:
    description:
      - The name of the run that the task belongs to, at most 256 characters. An object that is created gets it as the
        annotation C(aks.gpu/run). An object that is there keeps the one that it has, also when
        O(recreate_immutable=true) creates it anew.
    type: str
  only_run:
    description:
      - With O(state=absent), leave objects whose annotation C(aks.gpu/run) is not O(run), and warn of each.
      - It requires O(run).
    type: bool
    default: false
  only_if_empty:
    description:
      - With O(state=absent), leave a namespace in which anything lives besides the other objects of
        O(definition) and what belongs to them.
      - A Lease lives there while somebody renews it. Whether that is so takes as long to see as the Lease lasts, a
        minute at most. What belongs to objects that have gone does not count.
    type: bool
    default: false
  return_objects:
    description:
      - Whether RV(resources[].object) is returned.
    type: bool
    default: true
  wait:
    description:
      - With O(state=absent), wait until the objects and what belongs to them are gone.
    type: bool
    default: true
  wait_timeout:
    description:
      - How long to wait for deletions, in seconds.
    type: int
    default: 300
seealso:
  - name: Server-side apply
    description: What happens on the server.
    link: https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

EXAMPLES = r"""
- name: A namespace and what lives in it
  aks.gpu.manifest:
    kubeconfig: "{{ credentials.path }}"
    definition: "{{ lookup('ansible.builtin.template', 'nvidia-device-plugin-ds.yaml.j2') }}"

- name: A Job is replaced when its template changes, for Jobs are immutable
  aks.gpu.manifest:
    definition: "{{ lookup('ansible.builtin.file', 'samples-tf-mnist-demo.yaml') }}"
    recreate_immutable: true

- name: Remove what was made, and the namespace if nobody else uses it
  aks.gpu.manifest:
    definition: "{{ lookup('ansible.builtin.template', 'nvidia-device-plugin-ds.yaml.j2') }}"
    state: absent
    only_created_by_us: true
    only_if_empty: true
"""

RETURN = r"""
resources:
  description:
    - What became of each object, in the order in which it was dealt with.
  returned: success
  type: list
  elements: dict
  contains:
    api_version:
      description: Its C(apiVersion).
      type: str
      returned: always
      sample: apps/v1
    kind:
      description: Its C(kind).
      type: str
      returned: always
      sample: DaemonSet
    namespace:
      description: Its namespace; null for a kind that has none.
      type: str
      returned: always
      sample: gpu-resources
    name:
      description: Its name.
      type: str
      returned: always
      sample: nvidia-device-plugin-daemonset
    action:
      description: What was done, or in check mode would be. V(left) is for objects that must not be deleted.
      type: str
      returned: always
      choices: [created, changed, recreated, deleted, unchanged, left]
      sample: created
    reason:
      description: Why an object was left; empty otherwise.
      type: str
      returned: always
      sample: ""
    object:
      description:
        - The object as it is, or would be; null when there is none, or with O(return_objects=false). The values of a
          Secret are masked.
      type: dict
      returned: always
      sample:
        apiVersion: v1
        kind: Namespace
        metadata:
          name: gpu-resources
"""

from ansible_collections.aks.gpu.plugins.module_utils._aks._manifest_module import MANIFEST_ARGUMENTS, plan_manifest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run


def main() -> None:
    """Runs the module."""
    run(MANIFEST_ARGUMENTS, plan_manifest)


if __name__ == "__main__":
    main()
