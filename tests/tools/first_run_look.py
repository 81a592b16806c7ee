# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a cluster as the collection signs in, and prints as JSON what `first_run.py` wants to know of it.

first_run_look.py RESOURCE_GROUP CLUSTER [SUBSCRIPTION]      it changes nothing
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, Progress
from ansible_collections.aks.gpu.plugins.module_utils._azure._session import METADATA_READ_SECONDS, sign_in
from ansible_collections.aks.gpu.plugins.module_utils._azure._subscription import cluster

TELLING = ("dnsPrefix", "fqdn", "azurePortalFQDN", "privateFQDN", "nodeResourceGroup", "issuerURL", "principalId",
           "clientId", "objectId", "tenantId", "resourceUID")  # fmt: skip
"""Fields of a cluster whose values must not be in a recording."""


def look(resource_group: str, name: str, subscription: str | None) -> dict[str, Any]:
    """What is there now.

    Raises:
        Failure: It can't be read.
    """
    params = {"subscription_id": subscription or None, "auth_source": None}
    session = sign_in(params, None, lambda *_secrets: None, Deadline(METADATA_READ_SECONDS), Progress())
    body = cluster(session.client, session.subscription_id, resource_group, name)
    properties = body.get("properties") or {}
    profiles = properties.get("agentPoolProfiles") or []
    return {
        "subscription": session.subscription_id,
        "cloud": session.client.cloud.name,
        "location": str(body.get("location")),
        "kubernetes_version": str(properties.get("currentKubernetesVersion")),
        "power_state": str((properties.get("powerState") or {}).get("code")),
        "pools": {str(each["name"]): str(each.get("provisioningState")) for each in profiles},
        "telling": sorted({session.subscription_id, *_telling(body)}),
    }


def _telling(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key in TELLING and isinstance(each, str) and len(each) > 3:
                yield each
            yield from _telling(each)
    elif isinstance(value, list):
        for each in value:
            yield from _telling(each)


if __name__ == "__main__":
    try:
        print(json.dumps(look(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)))
    except Failure as failure:
        sys.exit(str(failure))
