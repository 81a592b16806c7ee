# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Azure's clouds: where Resource Manager is and who issues tokens for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure

METADATA_API_VERSION = "2022-09-01"


@dataclass(frozen=True)
class Cloud:
    """A cloud.

    Attributes:
        name: Its name.
        resource_manager: The base URL of Resource Manager, without a slash at the end.
        authority: The host that issues tokens, with scheme.
        audience: What a token for Resource Manager is issued for.
        log_analytics: The base URL of Log Analytics' query API, or None when it is not known.
        public: False for a cloud of one's own: its authority is then not looked up at login.microsoftonline.com.
    """

    name: str
    resource_manager: str
    authority: str
    audience: str
    log_analytics: str | None = None
    public: bool = True


CLOUDS: dict[str, Cloud] = {
    "azurecloud": Cloud(
        "AzureCloud",
        "https://management.azure.com",
        "https://login.microsoftonline.com",
        "https://management.azure.com/",
        "https://api.loganalytics.azure.com",
    ),
    "azureusgovernment": Cloud(
        "AzureUSGovernment",
        "https://management.usgovcloudapi.net",
        "https://login.microsoftonline.us",
        "https://management.usgovcloudapi.net/",
        "https://api.loganalytics.us",
    ),
    "azurechinacloud": Cloud(
        "AzureChinaCloud",
        "https://management.chinacloudapi.cn",
        "https://login.chinacloudapi.cn",
        "https://management.chinacloudapi.cn/",
        "https://api.loganalytics.azure.cn",
    ),
}
CLOUDS["azurepubliccloud"] = CLOUDS["azurecloud"]


def named_cloud(name: str) -> Cloud | None:
    """Returns the cloud of a name, or None when the name is the URL of a cloud's metadata.

    Args:
        name: ``AzureCloud``, ``AzureUSGovernment``, ``AzureChinaCloud``, or an https URL; letter case is ignored.

    Raises:
        Failure: It is neither.
    """
    cloud = CLOUDS.get(name.lower())
    if cloud is not None:
        return cloud
    if urlsplit(name).scheme.lower() == "https" and urlsplit(name).netloc:
        return None
    raise Failure(
        f"cloud_environment: {name!r} is no cloud of Azure.",
        hint="It is AzureCloud, AzureUSGovernment, AzureChinaCloud, or the https URL of a Resource Manager.",
    )


def metadata_url(name: str) -> str:
    """Returns the URL at which a Resource Manager describes its cloud."""
    parts = urlsplit(name)
    return f"https://{parts.netloc}/metadata/endpoints?api-version={METADATA_API_VERSION}"


def cloud_of_metadata(name: str, metadata: Any) -> Cloud:
    """Returns the cloud that its metadata describe.

    Args:
        name: The URL that was given.
        metadata: The parsed answer of ``metadata_url``.

    Raises:
        Failure: The answer lacks the authority or the audience, or names an address without TLS.
    """
    authentication = metadata.get("authentication") if isinstance(metadata, Mapping) else None
    if not isinstance(authentication, Mapping) or not authentication.get("loginEndpoint"):
        raise Failure(f"{metadata_url(name)} doesn't describe a cloud: it names no authentication.loginEndpoint.")
    parts = urlsplit(name)
    own = f"https://{parts.netloc}"
    resource_manager = str(metadata.get("resourceManager") or own).rstrip("/")
    authority = str(authentication["loginEndpoint"]).rstrip("/")
    audiences = authentication.get("audiences") or [resource_manager + "/"]
    log_analytics = metadata.get("logAnalyticsResourceId")
    for address in (resource_manager, authority):
        if urlsplit(address).scheme != "https":
            raise Failure(f"{metadata_url(name)} names {address}, which is not an https address.")
    return Cloud(
        name=str(metadata.get("name") or name),
        resource_manager=resource_manager,
        authority=authority,
        audience=str(audiences[0]),
        log_analytics=str(log_analytics).rstrip("/") if log_analytics else None,
        public=False,
    )
