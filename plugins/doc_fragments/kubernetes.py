# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a module reaches a cluster's API server; the options are those of ``_kubernetes/_arguments.py``."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation that modules compose."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - A path to a kubeconfig, or the kubeconfig itself as a dictionary or as YAML text.
      - Several paths are separated as in the environment variable E(KUBECONFIG); they are merged as C(kubectl)
        merges them.
      - When neither this nor O(host) is set, the options are taken from the environment variables
        E(K8S_AUTH_KUBECONFIG) or E(KUBECONFIG), E(K8S_AUTH_CONTEXT), E(K8S_AUTH_HOST), E(K8S_AUTH_API_KEY) and
        E(K8S_AUTH_SSL_CA_CERT); when these name no cluster either, from C(~/.kube/config), then from the
        service account of the Pod that the task runs in. A task that names its cluster is never led to another
        one by its environment.
      - Sign-in by certificates, by tokens and by exec plugins such as C(kubelogin) works. Impersonation (C(as) and its
        companions) and C(proxy-url) are honoured.
    type: raw
  context:
    description:
      - The context of the kubeconfig. By default its C(current-context).
    type: str
  host:
    description:
      - The URL of the API server, instead of the one of the kubeconfig.
    type: str
  api_key:
    description:
      - A bearer token, instead of the credentials of the kubeconfig.
    type: str
  ca_cert:
    description:
      - A file with the certificate authority of the API server, instead of the one of the kubeconfig.
    type: path
    aliases: [ssl_ca_cert]
requirements:
  - kubernetes >= 29.0.0
  - PyYAML
notes:
  - An API server that restarts, or that answers 429 or 5xx for a moment, does not end a task; it is asked again.
"""

    IN_CLUSTER = r"""
options:
  resource_group:
    description:
      - The resource group of the cluster, with O(cluster_name).
    type: str
    aliases: [resource_group_name]
  cluster_name:
    description:
      - The AKS cluster, where neither O(kubeconfig) nor O(host) is set. The task asks Azure for its credentials, as
        M(aks.gpu.kubeconfig) does, and shares them with the other tasks of the run, so that Azure is asked once.
    type: str
  kubeconfig_directory:
    description:
      - With O(cluster_name), a directory that keeps a kubeconfig for each cluster, as the option
        O(aks.gpu.kubeconfig#module:directory). A file that is written is not reported as a change. In check mode none
        is written.
    type: path
  run_command:
    description:
      - With O(cluster_name), whether to reach it by AKS's run-command, as the option
        O(aks.gpu.kubeconfig#module:run_command).
    type: str
    choices: [never, auto, always]
    default: never
"""
