#!/usr/bin/python
# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``aks.gpu.monitoring``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: monitoring
short_description: Switches Container Insights and Managed Prometheus of an AKS cluster on or off
version_added: 0.1.0
author: aks.gpu authors (@aks-gpu)
description:
  - Switches Container Insights of a cluster on or off, with the Log Analytics workspace, the data collection rule and
    the association of the cluster with it.
  - Switches Managed Prometheus of a cluster on or off, with the Azure Monitor workspace, the data collection endpoint,
    the rule and the association.
  - The cluster is read, what is asked for is laid over it, and it is written with its etag; nothing else of it
    changes. An update that somebody else was quicker than is made anew from what they wrote.
  - Switching off keeps the id of the workspace in the cluster, and the workspace with its data. What this collection
    made besides goes, and what it redirected goes back to where it was; if the cluster sent its data to another
    workspace before, it does so again.
  - A data collection rule that others have directed to several destinations keeps them. One of our own is added beside
    them, and taken away when switching off; where it can't be told apart, nothing is changed.
  - An option that is not set leaves things as they are.
extends_documentation_fragment:
  - aks.gpu.azure
  - aks.gpu.azure.cluster
  - aks.gpu.attributes
  - aks.gpu.attributes.writes
options:
  container_insights:
    description: Whether Container Insights is on.
    type: bool
  method:
    description:
      - How the cluster says that Container Insights is on.
      - V(profile) is C(azureMonitorProfile.containerInsights), V(addon) the older C(addonProfiles.omsagent).
      - V(auto) keeps to the one by which it is on, else takes the profile; where Azure doesn't know the profile, the
        add-on.
    type: str
    choices: [auto, profile, addon]
    default: auto
  workspace:
    description:
      - The Log Analytics workspace, by ARM id, or by name in O(workspace_resource_group). By default the one that the
        cluster has already.
    type: str
  workspace_resource_group:
    description: The resource group of the Log Analytics workspace. By default that of the cluster.
    type: str
  create_workspace:
    description: Whether a Log Analytics workspace that isn't there is created, in the cluster's region.
    type: bool
    default: false
  prometheus:
    description: Whether Managed Prometheus is on.
    type: bool
  azure_monitor_workspace:
    description:
      - The Azure Monitor workspace, by ARM id, or by name in O(azure_monitor_workspace_resource_group). By default the
        one that the cluster sends to already.
    type: str
  azure_monitor_workspace_resource_group:
    description: The resource group of the Azure Monitor workspace. By default that of the cluster.
    type: str
  create_azure_monitor_workspace:
    description: Whether an Azure Monitor workspace that isn't there is created, in the cluster's region.
    type: bool
    default: false
  only_created_by_us:
    description: Whether what this collection did not switch on stays on, with a warning.
    type: bool
    default: false
  wait:
    description: Whether to wait until the cluster is updated. A workspace that the module creates is always waited for.
    type: bool
    default: true
  wait_timeout:
    description: How long to wait, in seconds.
    type: int
    default: 1800
seealso:
  - module: aks.gpu.gpu_metrics_info
  - module: aks.gpu.prometheus_scraping
notes:
  - What it needs besides the role of this collection is in C(docs/custom-role-monitoring.json).
  - The resource providers C(Microsoft.OperationalInsights), C(Microsoft.Insights) and C(Microsoft.Monitor) must be
    registered; M(aks.gpu.resource_provider) does that.
"""

EXAMPLES = r"""
- name: Switch Container Insights on, with a workspace that may have to be created
  aks.gpu.monitoring:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
    container_insights: true
    workspace: myWorkspace
    create_workspace: true

- name: Switch Managed Prometheus on
  aks.gpu.monitoring:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
    prometheus: true
    azure_monitor_workspace: myMonitorWorkspace
    azure_monitor_workspace_resource_group: monitoring

- name: Switch off what was switched on by this collection
  aks.gpu.monitoring:
    resource_group: myResourceGroup
    cluster_name: myAKSCluster
    container_insights: false
    prometheus: false
    only_created_by_us: true
"""

RETURN = r"""
monitoring:
  description: The monitoring of the cluster.
  returned: success
  type: dict
  contains:
    container_insights:
      description: Container Insights.
      returned: always
      type: dict
      contains:
        enabled:
          description: Whether it is on.
          returned: always
          type: bool
          sample: true
        method:
          description: C(profile) or C(addon); null while it is off.
          returned: always
          type: str
          sample: profile
        workspace:
          description: The ARM id of the Log Analytics workspace; it stays when Container Insights is switched off.
          returned: always
          type: str
          sample: /subscriptions/…/providers/Microsoft.OperationalInsights/workspaces/myWorkspace
    prometheus:
      description: Managed Prometheus.
      returned: always
      type: dict
      contains:
        enabled:
          description: Whether it is on.
          returned: always
          type: bool
          sample: true
        azure_monitor_workspace:
          description: The ARM id of the Azure Monitor workspace that a data collection rule leads to, or null.
          returned: always
          type: str
          sample: /subscriptions/…/providers/Microsoft.Monitor/accounts/myMonitorWorkspace
"""

from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import run
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._monitoring_module import (
    MONITORING_ARGUMENTS,
    plan_monitoring,
)


def main() -> None:
    """Runs the module."""
    run(MONITORING_ARGUMENTS, plan_monitoring)


if __name__ == "__main__":
    main()
