# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kubelogin in a kubeconfig: how a user signs in with Microsoft Entra ID."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KUBELOGIN_METHODS = ("azurecli", "devicecode", "msi", "ropc", "spn", "workloadidentity")
"""The ways of kubelogin to sign in: https://azure.github.io/kubelogin/concepts/login-modes.html"""


SECRET_VARIABLE = re.compile("SECRET|PASSWORD")


@dataclass(frozen=True)
class KubeloginConfig:
    """How kubelogin is to sign in, for clusters that ask Microsoft Entra ID who somebody is.

    Attributes:
        method: One of ``KUBELOGIN_METHODS``.
        client_id: The service principal or managed identity; None for the default one.
        tenant: The tenant's id, where the method needs it.
        environment: Further environment variables for kubelogin, such as the secret of a service principal.
        authority: The URL of whoever issues tokens, for a cloud that kubelogin does not know.
    """

    method: str
    client_id: str | None = None
    tenant: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    authority: str | None = None


def kubelogin_config(
    method: str, values: Mapping[str, str], *, authority: str | None = None, ca_bundle: str | None = None
) -> KubeloginConfig:
    """Returns how kubelogin signs in as the principal that signs in to Azure.

    Args:
        method: One of ``KUBELOGIN_METHODS``.
        values: The sign-in's ``client_id``, ``tenant``, ``secret``, ``x509_certificate_path``, ``ad_user``,
            ``password``, ``federated_token_file``, as far as there are any.
        authority: The URL of whoever issues tokens, for a cloud that kubelogin does not know.
        ca_bundle: A file of certificates to trust instead of the system's.
    """
    variables = {
        "spn": {
            "AZURE_CLIENT_SECRET": "secret",
            "AZURE_CLIENT_CERTIFICATE_PATH": "x509_certificate_path",
        },
        "ropc": {"AZURE_USERNAME": "ad_user", "AZURE_PASSWORD": "password"},
        "workloadidentity": {"AZURE_FEDERATED_TOKEN_FILE": "federated_token_file"},
    }.get(method, {})
    if method in ("spn", "workloadidentity"):
        variables = {"AZURE_CLIENT_ID": "client_id", "AZURE_TENANT_ID": "tenant", **variables}
    environment = [(name, values[key]) for name, key in variables.items() if values.get(key)]
    if method == "workloadidentity" and authority:
        environment.append(("AZURE_AUTHORITY_HOST", _with_slash(authority)))
    if ca_bundle and method != "azurecli":
        environment.append(("SSL_CERT_FILE", ca_bundle))
    return KubeloginConfig(method, values.get("client_id"), values.get("tenant"), tuple(environment), authority)


def convert(config: dict[str, Any], login: KubeloginConfig) -> dict[str, Any]:
    """Returns the kubeconfig with users of kubelogin signing in by another method, without a person.

    Users with certificates or tokens stay as they are. The arguments are those that ``kubelogin convert-kubeconfig``
    keeps for the method: https://azure.github.io/kubelogin/concepts/login-modes.html

    Args:
        config: A kubeconfig.
        login: How to sign in.
    """
    converted = copy.deepcopy(config)
    for entry in converted["users"]:
        plugin = (entry.get("user") or {}).get("exec")
        if isinstance(plugin, dict) and "kubelogin" in str(plugin.get("command")).lower():
            plugin["args"] = _kubelogin_arguments(plugin.get("args") or [], login)
            variables = _kubelogin_variables(plugin["args"], login)
            plugin["env"] = [{"name": name, "value": value} for name, value in variables.items()] or None
    return converted


def without_login_secrets(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the kubeconfig without the secrets that ``convert`` gave to kubelogin."""
    stripped = copy.deepcopy(config)
    for entry in stripped["users"]:
        plugin = (entry.get("user") or {}).get("exec") or {}
        if plugin.get("env"):
            plugin["env"] = [one for one in plugin["env"] if not SECRET_VARIABLE.search(str(one.get("name")))] or None
    return stripped


def needs_login(config: dict[str, Any]) -> bool:
    """True when a user signs in with kubelogin, so that ``convert`` has something to do."""
    plugins = [(entry.get("user") or {}).get("exec") or {} for entry in config["users"]]
    return any("kubelogin" in str(plugin.get("command")).lower() for plugin in plugins)


def _with_slash(url: str) -> str:
    """kubelogin takes an authority only so."""
    return url if url.endswith("/") else f"{url}/"


def _kubelogin_variables(arguments: list[str], login: KubeloginConfig) -> dict[str, str]:
    """The variables win over kubelogin's arguments, so somebody else's in the environment must not be left to it."""
    variables = dict(login.environment)
    given = dict(itertools.pairwise(arguments))
    if login.method in ("devicecode", "msi", "ropc"):
        variables["AZURE_CLIENT_ID"] = given.get("--client-id", "")
    if login.method in ("devicecode", "ropc") and "--tenant-id" in given:
        variables["AZURE_TENANT_ID"] = given["--tenant-id"]
    if login.method == "spn" and "AZURE_CLIENT_SECRET" in variables:
        variables.setdefault("AZURE_CLIENT_CERTIFICATE_PATH", "")
    return variables


def _kubelogin_arguments(arguments: list[str], login: KubeloginConfig) -> list[str]:
    given = {name: arguments[at + 1] for at, name in enumerate(arguments[:-1]) if name.startswith("--")}
    client, tenant = login.client_id, login.tenant or given.get("--tenant-id")
    wanted: dict[str, str | None] = {"--login": login.method, "--server-id": given.get("--server-id")}
    if login.method == "spn":
        wanted |= {"--client-id": client, "--tenant-id": tenant, "--environment": given.get("--environment")}
    elif login.method in ("devicecode", "ropc"):
        client = given.get("--client-id")
        wanted |= {"--client-id": client, "--tenant-id": tenant, "--environment": given.get("--environment")}
    elif login.method == "workloadidentity":
        wanted |= {"--client-id": client, "--tenant-id": tenant}
    elif login.method == "msi":
        wanted |= {"--client-id": client}
    if login.authority and login.method in ("devicecode", "ropc", "spn", "workloadidentity"):
        wanted |= {"--authority-host": _with_slash(login.authority)}
    result = ["get-token"]
    for name, value in wanted.items():
        if value:
            result += [name, value]
    if "--authority-host" in result:
        result.append("--disable-instance-discovery")
    if login.method in ("devicecode", "ropc", "spn") and "--legacy" in arguments:
        result.append("--legacy")
    return result
