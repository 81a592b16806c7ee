# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters with Microsoft Entra ID, signed in to by the real kubelogin with the sandbox's tokens."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aks_sandbox import build
from aks_sandbox.entra import SERVER_ID
from aks_sandbox.testing import Sandbox
from harness import Ansible, Json

ENTRA: Json = {"managed": True, "enableAzureRBAC": False, "adminGroupObjectIDs": [], "tenantID": "of-the-cluster"}


@pytest.fixture
def kubelogin(tmp_path: Path) -> Json:
    """Variables by which kubelogin is found, and keeps its tokens for this test alone."""
    built = build.kubelogin(lambda line: print(line, file=sys.stderr, flush=True))
    return {"PATH": f"{built.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}


@pytest.fixture
def entra(sandbox: Sandbox) -> Iterator[Sandbox]:
    """A sandbox whose cluster asks Entra ID who somebody is, and has no local accounts."""
    properties = {"aadProfile": ENTRA, "disableLocalAccounts": True}
    sandbox.act("cluster", cluster=sandbox.cluster, properties=properties)
    yield sandbox
    sandbox.act("cluster", cluster=sandbox.cluster, properties={"aadProfile": None, "disableLocalAccounts": False})


def coordinates(sandbox: Sandbox) -> Json:
    return {"resource_group": sandbox.resource_group, "cluster_name": sandbox.cluster}


def whoami(sandbox: Sandbox, **sign_in: str) -> list[Json]:
    """Plays: fetch the credentials, then ask the API server who one is there, which only it can know."""
    review = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "by-kubelogin", "namespace": "default"}}
    tasks = [
        {"name": "Fetch", "aks.gpu.kubeconfig": {**coordinates(sandbox), **sign_in}, "register": "cluster"},
        {"name": "Read", "ansible.builtin.slurp": {"src": "{{ cluster.path }}"}, "register": "file"},
        {"name": "Apply", "aks.gpu.manifest": {"kubeconfig": "{{ cluster.path }}", "definition": review}},
        {"name": "Remove", "aks.gpu.manifest": {
            "kubeconfig": "{{ cluster.path }}", "definition": review, "state": "absent"}},
    ]  # fmt: skip
    return [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]


def writer(sandbox: Sandbox) -> str:
    """Who wrote the ConfigMap, by the API server's own audit log."""
    log = sandbox.state.path / "clusters" / sandbox.cluster / "audit.jsonl"
    events = [yaml.safe_load(line) for line in log.read_text().splitlines() if "by-kubelogin" in line]
    return str(events[-1]["user"]["username"])


PROOFS = ("AZURE_SECRET", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE")
NOBODY = dict.fromkeys(("AZURE_CLIENT_ID", *PROOFS), "")


@pytest.mark.parametrize("way", ["secret", "certificate", "workload identity", "managed identity"])
def test_every_sign_in(entra: Sandbox, ansible: Ansible, kubelogin: Json, way: str) -> None:
    variables = entra.variables
    client_id = variables["AZURE_CLIENT_ID"]
    environment = {**NOBODY, **kubelogin}
    if way == "secret":
        sign_in = {"client_id": client_id, "secret": variables["AZURE_CLIENT_SECRET"]}
        # A certificate of somebody else's, which kubelogin would prefer.
        environment["AZURE_CLIENT_CERTIFICATE_PATH"] = "/nowhere/else.pem"
    elif way == "certificate":
        sign_in = {"client_id": client_id, "x509_certificate_path": variables["AKS_SANDBOX_CLIENT_CERTIFICATE"]}
    elif way == "workload identity":
        sign_in = {"client_id": client_id, "federated_token_file": variables["AKS_SANDBOX_FEDERATED_TOKEN_FILE"]}
    else:
        sign_in = {"auth_source": "msi", "client_id": variables["AKS_SANDBOX_USER_IDENTITY_CLIENT_ID"]}
        environment["IDENTITY_ENDPOINT"] = f"{variables['AKS_SANDBOX_IMDS']}/msi/token"
        environment["IDENTITY_HEADER"] = variables["AKS_SANDBOX_IDENTITY_HEADER"]
    run = ansible.playbook(whoami(entra, **sign_in), environment=environment)
    assert run["Apply"]["changed"]
    expected = "user-identity" if way == "managed identity" else "default"
    assert writer(entra) == object_id(expected)
    assert variables["AZURE_CLIENT_SECRET"] not in run.output


def object_id(principal: str) -> str:
    from aks_sandbox.arm.identity import stable_id

    return stable_id(f"{principal}/object")


def test_main_job(entra: Sandbox, ansible: Ansible, kubelogin: Json) -> None:
    """The whole of site.yml, by a service principal whom the API server knows from Entra ID only."""
    run = ansible.playbook(
        "aks.gpu.site",
        {"aks_resource_group": entra.resource_group, "aks_cluster_name": entra.cluster},
        environment=kubelogin,
    )
    assert run.changed
    assert run["Wait until the Job is complete"]["job"]["complete"]


def test_what_azure_hands_out(entra: Sandbox) -> None:
    """The sandbox's answer is AKS's: kubelogin with a browser and a code, for AKS's application."""
    clusters = entra.container_service().managed_clusters
    found: Any = clusters.list_cluster_user_credentials(entra.resource_group, entra.cluster).kubeconfigs
    user = yaml.safe_load(bytes(found[0].value))["users"][0]["user"]
    assert user["exec"]["command"] == "kubelogin"
    assert user["exec"]["args"][-2:] == ["--login", "devicecode"]
    assert SERVER_ID in user["exec"]["args"]


def test_kubelogin_is_missing(entra: Sandbox, ansible: Ansible) -> None:
    run = ansible.playbook(whoami(entra), fails=True)
    assert "the command is not on PATH" in run.failures[0]
    assert "https://aka.ms/aks/kubelogin" in run.failures[0]


def test_local_accounts_are_disabled(entra: Sandbox, ansible: Ansible) -> None:
    result = ansible.module("aks.gpu.kubeconfig", {**coordinates(entra), "admin": True})
    assert result["failed"]
    assert "its local accounts are disabled" in result["msg"]
    assert "Leave admin out" in result["msg"]


def test_somebody_without_rights(entra: Sandbox, ansible: Ansible, kubelogin: Json, tmp_path: Path) -> None:
    """Known to Entra ID, but not to Kubernetes RBAC: the message says what to do."""
    path = tmp_path / "config"
    variables = entra.variables
    stranger = {"AZURE_CLIENT_ID": variables["AKS_SANDBOX_STRANGER_CLIENT_ID"],
                "AZURE_CLIENT_SECRET": variables["AKS_SANDBOX_STRANGER_SECRET"]}  # fmt: skip
    assert not ansible.module("aks.gpu.kubeconfig", {**coordinates(entra), "path": str(path)})["failed"]
    config = yaml.safe_load(path.read_text())
    plugin = config["users"][0]["user"]["exec"]
    plugin["env"] = [{**each, "value": stranger.get(each["name"], each["value"])} for each in plugin["env"]]
    plugin["env"] += [{"name": "AZURE_CLIENT_SECRET", "value": stranger["AZURE_CLIENT_SECRET"]}]
    path.write_text(yaml.safe_dump(config))
    options = {"kubeconfig": str(path), "node_pool": "gpunp", "wait_timeout": 5}
    result = ansible.module("aks.gpu.wait_for_gpus", options, environment=kubelogin)
    assert result["failed"]
    assert "Azure Kubernetes Service RBAC Admin" in result["msg"]


def test_secret_that_is_wrong(entra: Sandbox, ansible: Ansible, kubelogin: Json, tmp_path: Path) -> None:
    path = tmp_path / "config"
    assert not ansible.module("aks.gpu.kubeconfig", {**coordinates(entra), "path": str(path)})["failed"]
    options = {"kubeconfig": str(path), "name": "nobody"}
    environment = {**kubelogin, "AZURE_CLIENT_SECRET": "wrong"}
    result = ansible.module("aks.gpu.wait_for_job", options, environment=environment)
    assert result["failed"]
    assert "exec plugin kubelogin failed" in result["msg"]
    assert "AADSTS7000215" in result["msg"]


def az_cli() -> Path | None:
    """The az CLI that `make clients` installs (700 MB, which `make test` leaves alone), or None."""
    found = sorted(build.cache_directory().glob("venv-azure-cli-*/complete"))
    return found[-1].parent / "bin" / "az" if found else None


@pytest.mark.skipif(az_cli() is None, reason="there is no az CLI: make clients installs one")
def test_az_cli(entra: Sandbox, ansible: Ansible, kubelogin: Json, tmp_path: Path) -> None:
    az = az_cli()
    assert az is not None
    variables = entra.variables
    environment = {
        **NOBODY,
        **kubelogin,
        "AZURE_CONFIG_DIR": str(tmp_path / "azure"),
        "AZURE_CORE_INSTANCE_DISCOVERY": "false",
        "AZURE_CORE_COLLECT_TELEMETRY": "false",
    }
    environment["PATH"] = f"{az.parent}{os.pathsep}{environment['PATH']}"
    sign_in = ["--service-principal", "--username", variables["AZURE_CLIENT_ID"], "--tenant", variables["AZURE_TENANT"]]
    for words in (
        ["cloud", "register", "--name", "Own", "--endpoint-resource-manager", entra.url],
        ["cloud", "set", "--name", "Own"],
        ["login", *sign_in, "--password", variables["AZURE_CLIENT_SECRET"]],
    ):
        command = [str(az), *words, "--output", "none"]
        subprocess.run(command, env={**entra.environment(), **environment}, check=True, capture_output=True, text=True)
    # Ansible must not be found beside az.
    environment["PATH"] = f"{kubelogin['PATH']}{os.pathsep}{az.parent}"
    run = ansible.playbook(whoami(entra, login="azurecli", auth_source="cli"), environment=environment)
    assert run["Apply"]["changed"]
    assert writer(entra) == object_id("default")
