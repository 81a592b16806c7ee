# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way to sign in, against the sandbox's token endpoints; and what a failed one says."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aks_sandbox.testing import Sandbox
from arm_harness import QUICK, Call, play, run, text_of
from connect_proxy import connect_proxy
from harness import Ansible

Json = dict[str, Any]

NONE = dict.fromkeys(
    (
        "AZURE_CLIENT_ID",
        "AZURE_SECRET",
        "AZURE_CLIENT_SECRET",
        "AZURE_TENANT",
        "AZURE_TENANT_ID",
        "AZURE_AUTHORITY_HOST",
        "AZURE_AD_USER",
        "AZURE_PASSWORD",
    ),
    "",
)
"""The environment of AWX: every variable is set, and empty."""


@pytest.fixture(scope="module")
def azure() -> Iterator[Sandbox]:
    with Sandbox.started("arm-sign-in", kubernetes=False, settings=QUICK) as own:
        yield own


@pytest.fixture
def ansible(azure: Sandbox, tmp_path: Path) -> Ansible:
    return Ansible(azure, tmp_path)


@pytest.fixture
def quiet(tmp_path: Path) -> dict[str, str]:
    """An environment in which nobody has signed in."""
    home = tmp_path / "home"
    home.mkdir()
    return {
        **NONE,
        "HOME": str(home),
        "AZURE_CONFIG_DIR": str(home / ".azure"),
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:9",
    }


def listing(azure: Sandbox, **options: Any) -> Call:
    return Call("node_pool_info", {"resource_group": azure.resource_group, "cluster_name": azure.cluster, **options})


def works(ansible: Ansible, call: Call, environment: dict[str, str]) -> None:
    (result,) = play(ansible, call, environment=environment)
    assert not result["failed"], result["msg"]
    assert result["node_pools"][0]["name"] == "nodepool1"


def test_by_secret(azure: Sandbox, ansible: Ansible, quiet: dict[str, str]) -> None:
    values = azure.variables
    options = {
        "tenant": values["AZURE_TENANT"],
        "client_id": values["AZURE_CLIENT_ID"],
        "secret": values["AZURE_SECRET"],
    }
    works(ansible, listing(azure, **options), quiet)
    for secret, tenant in (("AZURE_SECRET", "AZURE_TENANT"), ("AZURE_CLIENT_SECRET", "AZURE_TENANT_ID")):
        names = {"AZURE_CLIENT_ID": options["client_id"], secret: options["secret"], tenant: options["tenant"]}
        works(ansible, listing(azure), {**quiet, **names})


def test_by_certificate(azure: Sandbox, ansible: Ansible, quiet: dict[str, str]) -> None:
    values = azure.variables
    options = {
        "tenant": values["AZURE_TENANT"],
        "client_id": values["AZURE_CLIENT_ID"],
        "x509_certificate_path": values["AKS_SANDBOX_CLIENT_CERTIFICATE"],
        "thumbprint": values["AKS_SANDBOX_CLIENT_THUMBPRINT"],
    }
    works(ansible, listing(azure, **options), quiet)


def test_by_workload_identity(azure: Sandbox, ansible: Ansible, quiet: dict[str, str]) -> None:
    values = azure.variables
    names = {
        "AZURE_CLIENT_ID": values["AZURE_CLIENT_ID"],
        "AZURE_TENANT_ID": values["AZURE_TENANT_ID"],
        "AZURE_FEDERATED_TOKEN_FILE": values["AKS_SANDBOX_FEDERATED_TOKEN_FILE"],
    }
    works(ansible, listing(azure), {**quiet, **names})
    works(ansible, listing(azure, auth_source="workload_identity"), {**quiet, **names})


@pytest.mark.parametrize("tenant", ["its own", "adfs", "none"])
def test_by_user_and_password(azure: Sandbox, ansible: Ansible, quiet: dict[str, str], tenant: str) -> None:
    """MSAL looks a user's realm up at the authority's port 443, whatever its port: here a proxy leads it back."""
    values = azure.variables
    names = {
        "AZURE_AD_USER": values["AKS_SANDBOX_USER"],
        "AZURE_PASSWORD": values["AKS_SANDBOX_PASSWORD"],
        "AZURE_TENANT": {"its own": values["AZURE_TENANT"], "adfs": "adfs", "none": ""}[tenant],
    }
    port = int(urlsplit(azure.url).port or 443)
    with connect_proxy(routes={("localhost", 443): ("localhost", port)}) as proxy:
        works(ansible, listing(azure), {**quiet, **names, **proxy.environment()})
    assert (("localhost", 443) in proxy.tunnels) == (tenant != "adfs")


def test_by_managed_identity(azure: Sandbox, ansible: Ansible, quiet: dict[str, str]) -> None:
    values = azure.variables
    machine = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": values["AKS_SANDBOX_IMDS"]}
    works(ansible, listing(azure), {**quiet, **machine})
    works(ansible, listing(azure, auth_source="msi"), {**quiet, **machine})
    user = values["AKS_SANDBOX_USER_IDENTITY_CLIENT_ID"]
    works(ansible, listing(azure, auth_source="msi", client_id=user), {**quiet, **machine})
    service = {
        "IDENTITY_ENDPOINT": values["AKS_SANDBOX_IMDS"] + "/msi/token",
        "IDENTITY_HEADER": values["AKS_SANDBOX_IDENTITY_HEADER"],
    }
    works(ansible, listing(azure, auth_source="msi"), {**quiet, **service})


def test_by_a_profile(azure: Sandbox, ansible: Ansible, quiet: dict[str, str]) -> None:
    values = azure.variables
    folder = Path(quiet["HOME"]) / ".azure"
    folder.mkdir()
    lines = [
        "[mine]",
        f"tenant={values['AZURE_TENANT']}",
        f"client_id={values['AZURE_CLIENT_ID']}",
        f"secret={values['AZURE_SECRET']}",
        f"subscription_id={values['AZURE_SUBSCRIPTION_ID']}",
        f"cloud_environment={values['AZURE_CLOUD_ENVIRONMENT']}",
    ]
    (folder / "credentials").write_text("\n".join(lines))
    bare = {**quiet, "AZURE_SUBSCRIPTION_ID": "", "AZURE_CLOUD_ENVIRONMENT": ""}
    works(ansible, listing(azure, profile="mine"), bare)
    works(ansible, listing(azure), {**bare, "AZURE_PROFILE": "mine"})


def test_by_az_login(azure: Sandbox, ansible: Ansible, quiet: dict[str, str], tmp_path: Path) -> None:
    """An executable in the place of az, which prints what az prints; make clients does it with the real one."""
    token = azure.credential().get_token("https://management.azure.com/.default")
    tools = tmp_path / "bin"
    tools.mkdir()
    az = tools / "az"
    az.write_text(
        f"#!{sys.executable}\nimport json, sys\nassert sys.argv[1:3] == ['account', 'get-access-token'], sys.argv\n"
        f"print(json.dumps({{'accessToken': {token.token!r}, 'expires_on': {token.expires_on}, 'tokenType': 'Bearer', "
        "'expiresOn': '2099-01-01 00:00:00.000000', 'tenant': 't', 'subscription': 's'}))\n"
    )
    az.chmod(az.stat().st_mode | stat.S_IEXEC)
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    works(ansible, listing(azure), {**quiet, "PATH": path})


def test_a_failure_names_what_was_tried_in_order_without_a_secret(
    azure: Sandbox, ansible: Ansible, quiet: dict[str, str]
) -> None:
    names = {"AZURE_CLIENT_ID": azure.variables["AZURE_CLIENT_ID"], "AZURE_SECRET": "planted-wrong-secret"}
    done = run(ansible, listing(azure), environment={**quiet, **names})
    text = str(done.results[0].result["msg"])
    places = [
        text.index(part)
        for part in ("options: no secret", "environment: secret without tenant", "~/.azure/credentials", "az CLI")
    ]
    assert places == sorted(places)
    assert "this machine has none" in text
    assert "planted-wrong-secret" not in done.output

    tenant = {"AZURE_TENANT": azure.variables["AZURE_TENANT"]}
    done = run(ansible, listing(azure), environment={**quiet, **names, **tenant})
    text = str(done.results[0].result["msg"])
    assert f"service principal {names['AZURE_CLIENT_ID']} by secret (environment): " in text
    assert "AADSTS7000215" in text
    assert "az CLI" not in text, "a refused secret is not followed by somebody else's sign-in"
    assert "planted-wrong-secret" not in done.output


def test_tls_is_verified_and_the_way_out_named(azure: Sandbox, ansible: Ansible) -> None:
    (result,) = play(ansible, listing(azure), environment={"REQUESTS_CA_BUNDLE": ""})
    assert "ca_bundle" in text_of(result)
    (result,) = play(
        ansible, listing(azure, ca_bundle=azure.variables["REQUESTS_CA_BUNDLE"]), environment={"REQUESTS_CA_BUNDLE": ""}
    )
    assert not result["failed"], result["msg"]


def test_no_subscription_and_no_cloud(azure: Sandbox, ansible: Ansible, quiet: dict[str, str]) -> None:
    missing, wrong = play(
        ansible,
        listing(azure),
        listing(azure, subscription_id="x", cloud_environment="AzureMoon"),
        environment={**quiet, "AZURE_SUBSCRIPTION_ID": ""},
    )
    assert "subscription_id is needed" in text_of(missing)
    assert "'AzureMoon' is no cloud" in text_of(wrong)


def test_a_token_is_fetched_once_for_a_run(azure: Sandbox, ansible: Ansible) -> None:
    mark = azure.mark()
    calls = [listing(azure)] * 4
    assert not any(result["failed"] for result in play(ansible, *calls))
    tokens = [each for each in azure.traffic(mark) if each["url"].endswith("/oauth2/v2.0/token")]
    assert len(tokens) == 1


def test_a_token_that_azure_refuses_is_replaced(azure: Sandbox, ansible: Ansible) -> None:
    azure.fault("GET", "agentPools", expired_token=True)
    (result,) = play(ansible, listing(azure))
    azure.clear_faults()
    assert not result["failed"], result["msg"]
