#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``aks.gpu.feature``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: feature
short_description: Registers a preview feature of an Azure subscription
version_added: 0.1.0
author: aks.gpu authors (@aks-gpu)
description:
  - Registers a preview feature, or takes it back, and waits for that. It takes minutes.
  - A feature belongs to the subscription. After a registration, refresh the resource provider with
    M(aks.gpu.resource_provider). The role C(aks.gpu.preview_feature) does both.
extends_documentation_fragment:
  - aks.gpu.azure
  - aks.gpu.attributes
  - aks.gpu.attributes.writes
options:
  name:
    description: The feature, such as C(ManagedGPUExperiencePreview).
    type: str
    required: true
  namespace:
    description: The resource provider that the feature belongs to.
    type: str
    default: Microsoft.ContainerService
  state:
    description: Whether the feature shall be registered.
    type: str
    choices: [registered, unregistered]
    default: registered
  wait:
    description: Whether to wait until it is. A registration that somebody else has started is awaited too.
    type: bool
    default: true
  wait_timeout:
    description: The most seconds that the whole task may take.
    type: int
    default: 1800
seealso:
  - module: aks.gpu.resource_provider
"""

EXAMPLES = r"""
- name: Register the preview of managed GPU node pools
  aks.gpu.feature:
    name: ManagedGPUExperiencePreview
  register: feature

- name: Refresh the resource provider when it has just been registered
  aks.gpu.resource_provider:
    refresh: true
  when: feature.previous_state != 'Registered'
"""

RETURN = r"""
feature:
  description: The feature, in check mode as it would be.
  returned: success
  type: dict
  contains:
    id:
      description: The ARM id.
      returned: always
      type: str
      sample: /subscriptions/00000000-0000-0000-0000-000000000000/providers/Microsoft.Features/…
    name:
      description: The name.
      returned: always
      type: str
      sample: ManagedGPUExperiencePreview
    namespace:
      description: The resource provider that it belongs to.
      returned: always
      type: str
      sample: Microsoft.ContainerService
    state:
      description: C(NotRegistered), C(Registering), C(Registered), C(Unregistering) or C(Unregistered).
      returned: always
      type: str
      sample: Registered
previous_state:
  description:
    - The state that the task met. Refresh the resource provider with M(aks.gpu.resource_provider) when it was not
      C(Registered), also when somebody else had begun the registration.
  returned: success
  type: str
  sample: NotRegistered
"""

from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run
from ansible_collections.aks.gpu.plugins.module_utils._azure._registrations import FEATURE_ARGUMENTS, plan_feature


def main() -> None:
    """Runs the module."""
    run(FEATURE_ARGUMENTS, plan_feature)


if __name__ == "__main__":
    main()
