# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of every module that talks to Azure; documented in the fragment ``aks.gpu.azure``."""

from __future__ import annotations

from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec

AUTH_SOURCES = ("auto", "cli", "credential_file", "env", "msi", "workload_identity")

AZURE_ARGUMENTS = ArgumentSpec(
    options={
        "subscription_id": {"type": "str"},
        "tenant": {"type": "str", "aliases": ["tenant_id", "azure_tenant"]},
        "client_id": {"type": "str"},
        "secret": {"type": "str", "no_log": True, "aliases": ["client_secret"]},
        "x509_certificate_path": {"type": "path"},
        "thumbprint": {"type": "str"},
        "ad_user": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "profile": {"type": "str"},
        "federated_token_file": {"type": "path"},
        "auth_source": {"type": "str", "choices": list(AUTH_SOURCES)},
        "cloud_environment": {"type": "str"},
        "ca_bundle": {"type": "path"},
    }
)
"""Nothing has a default here: an environment variable that is set but empty must count as unset, so the sign-in reads
them itself."""

CLUSTER_OPTIONS: dict[str, dict[str, Any]] = {
    "resource_group": {"type": "str", "required": True, "aliases": ["resource_group_name"]},
    "cluster_name": {"type": "str", "required": True},
}
"""The options of modules for one cluster; documented in the fragment ``aks.gpu.azure.cluster``."""
