#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``aks.gpu.resource_provider``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: resource_provider
short_description: Registers a resource provider of an Azure subscription
version_added: 0.1.0
author: aks.gpu authors (@aks-gpu)
description:
  - Registers a resource provider of the subscription, or refreshes its registration, and waits for that.
extends_documentation_fragment:
  - aks.gpu.azure
  - aks.gpu.attributes
  - aks.gpu.attributes.writes
options:
  namespace:
    description: The resource provider.
    type: str
    default: Microsoft.ContainerService
  state:
    description: The provider shall be registered.
    type: str
    choices: [registered]
    default: registered
  refresh:
    description:
      - Whether to register it again although it is registered, as Azure wants it after a preview feature was
        registered.
      - Such a task always reports a change.
    type: bool
    default: false
  wait:
    description: Whether to wait until it is registered.
    type: bool
    default: true
  wait_timeout:
    description: The most seconds that the whole task may take.
    type: int
    default: 1800
seealso:
  - module: aks.gpu.feature
"""

EXAMPLES = r"""
- name: Make sure that the subscription can have AKS clusters
  aks.gpu.resource_provider:
    namespace: Microsoft.ContainerService

- name: Let a feature take effect that has just been registered
  aks.gpu.resource_provider:
    refresh: true
"""

RETURN = r"""
resource_provider:
  description: The resource provider, in check mode as it would be.
  returned: success
  type: dict
  contains:
    id:
      description: The ARM id.
      returned: always
      type: str
      sample: /subscriptions/00000000-0000-0000-0000-000000000000/providers/Microsoft.ContainerService
    namespace:
      description: The name.
      returned: always
      type: str
      sample: Microsoft.ContainerService
    registration_state:
      description: C(NotRegistered), C(Registering), C(Registered) or C(Unregistered).
      returned: always
      type: str
      sample: Registered
"""

from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run
from ansible_collections.aks.gpu.plugins.module_utils._azure._registrations import (
    RESOURCE_PROVIDER_ARGUMENTS,
    plan_resource_provider,
)


def main() -> None:
    """Runs the module."""
    run(RESOURCE_PROVIDER_ARGUMENTS, plan_resource_provider)


if __name__ == "__main__":
    main()
