# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as a user gets it: its tarball in an empty folder, ansible-core and requirements.txt, nothing else."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from aks_sandbox.testing import Sandbox
from environment import ROOT, virtual_environment
from harness import pools

RECAP = re.compile(r"^(\S+) +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)
SIGN_IN = {"subscription_id": "AZURE_SUBSCRIPTION_ID", "tenant": "AZURE_TENANT", "client_id": "AZURE_CLIENT_ID"}


class Installation:
    """An environment of Python, an empty home, and a folder of collections that holds aks.gpu alone."""

    def __init__(self, folder: Path) -> None:
        self.programs = virtual_environment("user").parent
        self.collections = folder / "collections"
        self.home = folder / "home"
        self.home.mkdir()
        self._run("ansible-galaxy", "collection", "build", "--output-path", str(folder), cwd=ROOT)
        (self.tarball,) = folder.glob("aks-gpu-*.tar.gz")
        self._run(
            "ansible-galaxy", "collection", "install", "--offline", "-p", str(self.collections), str(self.tarball)
        )

    def environment(self, more: dict[str, str] | None = None) -> dict[str, str]:
        return {
            "PATH": f"{self.programs}{os.pathsep}{os.defpath}",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            **(more or {}),
        }

    def _run(self, *command: str, cwd: Path | None = None) -> None:
        subprocess.run(command, check=True, env=self.environment(), cwd=cwd or self.home, capture_output=True)

    def playbook(self, *arguments: str, environment: dict[str, str]) -> tuple[int, dict[str, int], str]:
        """Runs ansible-playbook and returns its status, its counts for the one host, and what it printed."""
        done = subprocess.run(
            ["ansible-playbook", *arguments],
            env=self.environment(environment),
            cwd=self.home,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        (recap,) = RECAP.findall(done.stdout) or [("", -1, -1, -1, -1)]
        counts = dict(zip(("ok", "changed", "unreachable", "failed"), map(int, recap[1:]), strict=True))
        return done.returncode, counts, done.stdout


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("installed"))


def azure(sandbox: Sandbox) -> dict[str, str]:
    """What a user has in the environment to reach a cloud of their own; nothing else of the sandbox's."""
    wanted = ("AZURE_", "REQUESTS_CA_BUNDLE", "NO_PROXY", "no_proxy")
    return {key: value for key, value in sandbox.environment().items() if key.startswith(wanted)}


def test_the_readmes_commands(installation: Installation, sandbox: Sandbox) -> None:
    """site predicted, run, run again; cleanup, and again: each from the tarball."""
    cluster = ["-e", f"aks_resource_group={sandbox.resource_group}", "-e", f"aks_cluster_name={sandbox.cluster}"]
    environment = azure(sandbox)
    status, counts, printed = installation.playbook(
        "aks.gpu.site", *cluster, "--check", "--diff", environment=environment
    )
    assert status == 0, printed
    assert counts["changed"] > 0
    assert "gpunp" not in pools(sandbox)

    status, counts, printed = installation.playbook("aks.gpu.site", *cluster, environment=environment)
    assert status == 0, printed
    assert f"{sandbox.cluster} works" in printed
    assert pools(sandbox)["gpunp"]["properties"]["provisioningState"] == "Succeeded"
    job = sandbox.kubectl("get", "job", "samples-tf-mnist-demo", "-o", "jsonpath={.status.succeeded}")
    assert job == "1"

    status, counts, printed = installation.playbook("aks.gpu.site", *cluster, environment=environment)
    assert (status, counts["changed"]) == (0, 0), printed

    for _unused in range(2):
        status, counts, printed = installation.playbook("aks.gpu.cleanup", *cluster, environment=environment)
        assert status == 0, printed
    assert counts["changed"] == 0, printed
    assert "gpunp" not in pools(sandbox)


def test_module_defaults_carry_the_sign_in(installation: Installation, sandbox: Sandbox) -> None:
    """The group aks.gpu.azure gives every module its credentials, where the environment has none."""
    environment = azure(sandbox)
    options = {option: environment.pop(name) for option, name in SIGN_IN.items()}
    options["secret"] = environment.pop("AZURE_SECRET")
    options["cloud_environment"] = environment.pop("AZURE_CLOUD_ENVIRONMENT")
    options["ca_bundle"] = environment["REQUESTS_CA_BUNDLE"]
    environment = {key: value for key, value in environment.items() if not key.startswith("AZURE_")}
    cluster = {"resource_group": sandbox.resource_group, "cluster_name": sandbox.cluster}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "module_defaults": {"group/aks.gpu.azure": options},
        "tasks": [
            {"aks.gpu.feature": {"name": "GPUDedicatedVHDPreview"}, "check_mode": True},
            {"aks.gpu.resource_provider": {"namespace": "Microsoft.ContainerService"}, "check_mode": True},
            {"aks.gpu.node_pool_info": cluster},
            {"aks.gpu.node_pool": {**cluster, "name": "nosuch", "state": "absent"}},
            {"aks.gpu.vm_size_info": {"location": "westus2", "names": ["Standard_NC4as_T4_v3"]}},
            {"aks.gpu.kubeconfig": cluster, "register": "credentials"},
            {
                "module_defaults": {"group/aks.gpu.kubernetes": {"kubeconfig": "{{ credentials.path }}"}},
                "block": [
                    {
                        "aks.gpu.manifest": {
                            "definition": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-vision"}}
                        }
                    },
                ],
            },
        ],
    }
    path = installation.home / "defaults.yml"
    path.write_text(yaml.safe_dump([play]))
    status, counts, printed = installation.playbook(str(path), environment=environment)
    assert (status, counts["changed"]) == (0, 2), printed
    assert sandbox.kubectl("get", "namespace", "team-vision", "-o", "name").strip() == "namespace/team-vision"
