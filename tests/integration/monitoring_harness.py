# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of monitoring share: a principal with the documented role, and what Azure has, by plain requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import module_runner
from aks_sandbox.arm_client import Arm
from aks_sandbox.testing import Sandbox

Json = dict[str, Any]

POOL: Json = {"count": 1, "vmSize": "Standard_NC4as_T4_v3", "mode": "User"}
WORKSPACE_TYPE = "Microsoft.OperationalInsights/workspaces"
ACCOUNT_TYPE = "Microsoft.Monitor/accounts"


def monitoring_environment(sandbox: Sandbox) -> dict[str, str]:
    """The sandbox's variables, signed in as the principal that docs/custom-role-monitoring.json is for."""
    client_id = sandbox.variables["AKS_SANDBOX_MONITORING_CLIENT_ID"]
    secret = sandbox.variables["AKS_SANDBOX_MONITORING_SECRET"]
    own = {"AZURE_CLIENT_ID": client_id, "AZURE_SECRET": secret, "AZURE_CLIENT_SECRET": secret}
    return {**sandbox.variables, **own}


class Monitored:
    """One cluster of a sandbox, with modules run on it and Azure read back without them."""

    def __init__(self, sandbox: Sandbox, name: str | None = None) -> None:
        self.sandbox = sandbox
        self.name = name or sandbox.cluster
        self.arm = Arm(sandbox, "owner")
        self.place = {"resource_group": sandbox.resource_group, "cluster_name": self.name}
        self.path = self.arm.cluster.rpartition("/")[0] + f"/{self.name}"

    def run(self, module: str, *, check: bool = False, **options: Any) -> Json:
        """A module on the cluster; the result with `failed`."""
        return module_runner.run(module, {**self.place, **options}, check=check)

    def four(self, module: str, **options: Any) -> list[Json]:
        """In check mode, for real, for real again, and in check mode again."""
        return [self.run(module, check=check, **options) for check in (True, False, False, True)]

    def metrics(self, **options: Any) -> Json:
        """What gpu_metrics_info returns; it has to succeed."""
        found = self.run("gpu_metrics_info", **options)
        assert not found["failed"], found["msg"]
        return found

    # Azure

    def cluster(self) -> Json:
        """The cluster as ARM has it."""
        return dict(self.arm.ask("GET", self.path).json())

    def associations(self) -> dict[str, str]:
        """Data collection rules of the cluster by association."""
        path = f"{self.path}/providers/Microsoft.Insights/dataCollectionRuleAssociations"
        found = self.arm.ask("GET", path, version="2022-06-01").json()["value"]
        return {each["name"]: each["properties"]["dataCollectionRuleId"] for each in found}

    def resource_id(self, kind: str, name: str) -> str:
        """ARM id of something in the resource group."""
        return f"{self.arm.subscription}/resourceGroups/{self.sandbox.resource_group}/providers/{kind}/{name}"

    def put(self, type_: str, name: str, version: str, **body: Any) -> Json:
        """Make something in the resource group."""
        answer = self.arm.ask(
            "PUT", self.resource_id(type_, name), {"location": "westus2", "properties": {}, **body}, version
        )
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())

    def workspace(self, name: str) -> Json:
        """Make a Log Analytics workspace, and wait until Azure has created it."""
        self.put(WORKSPACE_TYPE, name, "2023-09-01")
        id_ = self.resource_id(WORKSPACE_TYPE, name)

        def created() -> Json | None:
            found: Json = self.arm.ask("GET", id_, version="2023-09-01").json()
            return found if found["properties"]["provisioningState"] == "Succeeded" else None

        return dict(eventually(created))

    def account(self, name: str) -> Json:
        """Make an Azure Monitor workspace."""
        self.sandbox.act("provider", namespace="Microsoft.Monitor", state="Registered")
        return self.put(ACCOUNT_TYPE, name, "2023-04-03")

    def of_kind(self, kind: str, version: str) -> dict[str, Json]:
        """All resources of a kind in the subscription, by name."""
        found = self.arm.ask("GET", f"{self.arm.subscription}/providers/{kind}", version=version).json()["value"]
        return {each["name"]: each for each in found}

    def rules(self) -> dict[str, Json]:
        """All data collection rules."""
        return self.of_kind("Microsoft.Insights/dataCollectionRules", "2022-06-01")

    def forget(self) -> None:
        """No monitoring, no workspace, no rule: as a new subscription."""
        self.sandbox.act("cluster", cluster=self.name, properties={"azureMonitorProfile": None, "addonProfiles": None})
        for name in self.associations():
            path = f"{self.path}/providers/Microsoft.Insights/dataCollectionRuleAssociations/{name}"
            self.arm.ask("DELETE", path, version="2022-06-01")
        kinds = {
            "Microsoft.Insights/dataCollectionRules": "2022-06-01",
            "Microsoft.Insights/dataCollectionEndpoints": "2022-06-01",
            WORKSPACE_TYPE: "2023-09-01",
            ACCOUNT_TYPE: "2023-04-03",
        }
        for kind, version in kinds.items():
            for each in self.of_kind(kind, version).values():
                self.arm.ask("DELETE", each["id"], version=version)


def eventually(look: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What `look` returns as soon as it is something."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.2)
