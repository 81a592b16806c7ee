#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``aks.gpu.prometheus_scraping``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prometheus_scraping
short_description: Chooses what Managed Prometheus scrapes in an AKS cluster
version_added: 0.1.0
author: aks.gpu authors (@aks-gpu)
description:
  - Switches default targets of Azure's Prometheus agent on, such as V(dcgmexporter), in the ConfigMap
    C(ama-metrics-settings-configmap) of the namespace C(kube-system).
  - The ConfigMap is merged, not overwritten. Of the text that holds the targets only the line of the target changes,
    comments and everything else stay; both schemas of the settings, v1 and v2, are known.
  - With O(state=absent), each target is put back to what it was before, and a ConfigMap that this module made and that
    nobody has added to is deleted.
extends_documentation_fragment:
  - aks.gpu.kubernetes
  - aks.gpu.attributes
  - aks.gpu.attributes.writes
options:
  targets:
    description: The default targets.
    type: list
    elements: str
    default: [dcgmexporter]
  state:
    description: V(present) switches the targets on, V(absent) puts them back.
    type: str
    choices: [present, absent]
    default: present
notes:
  - The target V(dcgmexporter) is that of managed GPU node pools (port 19400 of nodes with the label
    C(kubernetes.azure.com/dcgm-exporter=enabled)). Azure drops the labels C(modelName), C(UUID) and C(Hostname) of its
    metrics. Another DCGM exporter needs a PodMonitor, which the role P(aks.gpu.gpu_monitoring#role) applies.
seealso:
  - module: aks.gpu.monitoring
"""

EXAMPLES = r"""
- name: Have Managed Prometheus scrape the DCGM exporter of managed GPU node pools
  aks.gpu.prometheus_scraping:
    kubeconfig: ~/.kube/config
"""

RETURN = r"""
config_map:
  description: Namespace and name of the ConfigMap; null when there is none.
  returned: success
  type: str
  sample: kube-system/ama-metrics-settings-configmap
schema:
  description: The schema of the settings, C(v1) or C(v2); null without a ConfigMap.
  returned: success
  type: str
  sample: v1
key:
  description: The key of the text that holds the targets; null without a ConfigMap.
  returned: success
  type: str
  sample: default-scrape-settings-enabled
targets:
  description: Whether each of the targets is on.
  returned: success
  type: dict
  sample: {"dcgmexporter": true}
"""

from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._scraping import (
    PROMETHEUS_SCRAPING_ARGUMENTS,
    plan_prometheus_scraping,
)


def main() -> None:
    """Runs the module."""
    run(PROMETHEUS_SCRAPING_ARGUMENTS, plan_prometheus_scraping)


if __name__ == "__main__":
    main()
