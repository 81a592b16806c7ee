# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options by which every module of this room reaches a cluster; documented in the fragment ``aks.gpu.kubernetes``.

There are no fallbacks to environment variables here: a task that names one cluster must never be led to another by
a variable of its surroundings. ``_access.access_of`` looks at them when no option names a cluster.
"""

from __future__ import annotations

from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._secrets import seal_kubeconfig

KUBERNETES_ARGUMENTS = ArgumentSpec(
    options={
        "kubeconfig": {"type": "raw"},
        "context": {"type": "str"},
        "host": {"type": "str"},
        "api_key": {"type": "str", "no_log": True},
        "ca_cert": {"type": "path", "aliases": ["ssl_ca_cert"]},
    },
    seals={"kubeconfig": seal_kubeconfig},
)
