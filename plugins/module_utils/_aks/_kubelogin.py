# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How kubelogin signs in as the principal that signs in to Azure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._azure._cloud import Cloud
from ansible_collections.aks.gpu.plugins.module_utils._azure._sign_in import Choice

LOGIN_METHODS = {
    "cli": "azurecli",
    "msi": "msi",
    "secret": "spn",
    "certificate": "spn",
    "user": "ropc",
    "workload_identity": "workloadidentity",
}
"""How kubelogin calls the ways to sign in to Azure."""


def login_arguments(
    choice: Choice, cloud: Cloud, params: Mapping[str, Any], wanted: str = "auto"
) -> tuple[str, dict[str, Any], dict[str, str | None]]:
    """Returns kubelogin's method, the values of the sign-in, and whom to trust: the arguments of ``login_of``.

    Args:
        choice: The ways to sign in to Azure.
        cloud: Whose authority issues the tokens.
        params: The options of the module, for a method that is not among the ways.
        wanted: A method of kubelogin, or ``auto`` for that of the first way.
    """
    # Without any proof of identity the az CLI comes first, and a managed identity where nobody has run az login.
    methods = [one for one in choice.methods if one.kind != "cli" or "cli_subscription_id" in choice.settings]
    methods = methods or list(choice.methods)
    method = next((one for one in methods if wanted in ("auto", LOGIN_METHODS[one.kind])), None)
    trust = {"authority": None if cloud.public else cloud.authority, "ca_bundle": choice.settings.get("ca_bundle")}
    if method is None:
        return "azurecli" if wanted == "auto" else wanted, dict(params), trust
    other = {"secret": "x509_certificate_path", "certificate": "secret"}.get(method.kind)
    return LOGIN_METHODS[method.kind], {name: value for name, value in method.values.items() if name != other}, trust
