# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make clients`: the az CLI, unmodified, does on the sandbox what the article does, in turn with our modules.

What az has made, our modules find unchanged; what they have made, az shows and changes. After the article's Azure comes
today's, with Kubernetes: az is answered as real Azure was recorded to, and what the sandbox lacks it says. Prints a
line for each step; the exit status is 1 when a step is not as it must be. What was said to the sandbox is held against
the SDK's models.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aks_sandbox.testing import Sandbox
from emulated import CLUSTER, RESOURCE_GROUP, Emulated, emulated
from environment import SetUpError, link_collection, say
from peer_environments import cli_python
from sdk_models import mistakes

from playbooks import Ansible, without_foreign_settings

Json = dict[str, Any]

NAMESPACE = "Microsoft.ContainerService"
FEATURE = "GPUDedicatedVHDPreview"
IN_CLUSTER = ["--resource-group", RESOURCE_GROUP, "--cluster-name", CLUSTER]
ARTICLE = [
    "--node-count", "1", "--node-vm-size", "Standard_NC6", "--node-taints", "sku=gpu:NoSchedule",
    "--enable-cluster-autoscaler", "--min-count", "1", "--max-count", "3",
]  # fmt: skip
ARTICLE_OPTIONS = {
    "vm_size": "Standard_NC6",
    "count": 1,
    "node_taints": ["sku=gpu:NoSchedule"],
    "enable_auto_scaling": True,
    "min_count": 1,
    "max_count": 3,
}
"""The article's node pool, as az and as our module say it."""


class Wrong(Exception):
    """A step that is not as it must be."""


@dataclass
class Az:
    """The az CLI with a configuration of its own."""

    python: Path
    environment: Mapping[str, str]

    def __call__(self, *words: str, fails: str = "") -> Any:
        """Run a command and return its JSON.

        Args:
            words: The command without `az`.
            fails: It has to fail with this text; without, it has to succeed.

        Raises:
            Wrong: it did not.
        """
        done = subprocess.run(
            [self.python, "-m", "azure.cli", *words, "--output", "json"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if fails:
            if done.returncode == 0 or fails not in done.stderr:
                raise Wrong(f"has to fail with {fails!r}, ended with {done.returncode}: {done.stderr.strip()[-800:]}")
            return None
        if done.returncode:
            raise Wrong(f"ended with {done.returncode}: {done.stderr.strip()[-800:]}")
        return json.loads(done.stdout) if done.stdout.strip() else None


@dataclass
class Story:
    """The steps, one after the other; each says what it does and what came of it."""

    azure: Emulated
    az: Az
    ansible: Ansible
    folder: Path
    wrong: int = 0
    _began: float = field(default_factory=time.monotonic)

    def step(self, what: str, problem: str | None) -> None:
        """Show one step; `problem` is empty when it is as it must be."""
        self.wrong += bool(problem)
        verdict = f"WRONG  {what}: {problem}" if problem else f"right  {what}"
        say(f"[{time.monotonic() - self._began:5.1f} s] {verdict}")

    def by_az(self, *words: str, fails: str = "", shows: Mapping[str, Any] | None = None) -> Any:
        """A command of az, and values that its answer has to show."""
        what = "az " + " ".join(word.rpartition("/")[2] if word.startswith("/") else word for word in words)
        try:
            answer = self.az(*words, fails=fails)
        except Wrong as wrong:
            self.step(what, str(wrong))
            return {}
        different = {k: answer.get(k) for k, v in (shows or {}).items() if answer.get(k) != v}
        self.step(what + (f" (refused: {fails})" if fails else ""), f"shows {different}" if different else "")
        return answer

    def by_us(self, module: str, options: Json, *, changed: bool) -> Json:
        """One of our modules, and whether it has to change something."""
        ran = self.ansible.run([{"name": "Task", f"aks.gpu.{module}": options}], limit=180)
        result = ran.last or {"failed": True, "msg": ran.output}
        what = f"aks.gpu.{module} {' '.join(str(v) for v in options.values() if isinstance(v, str))}".strip()
        if result.get("failed"):
            self.step(what, f"failed: {result.get('msg')}")
        elif bool(result.get("changed")) != changed:
            self.step(what, f"changed={result.get('changed')}; diff {result.get('diff')}")
        else:
            self.step(f"{what} ({'changed' if changed else 'unchanged'})", "")
        return result

    def pool(self, name: str, *, changed: bool, **options: Any) -> Json:
        """Our node_pool for a pool of the cluster."""
        where = {"resource_group": RESOURCE_GROUP, "cluster_name": CLUSTER, "name": name}
        return self.by_us("node_pool", {**where, **options}, changed=changed)

    def is_as_before(self, what: str, before: Json | None, after: Json | None) -> None:
        """The pool was not touched."""
        self.step(what, "" if before == after else f"was {before}, is {after}")


def sign_in(story: Story) -> None:
    """As the principal that may do what the collection documents."""
    environment = story.azure.environment
    _sign_in(story, environment["AZURE_CLIENT_ID"], environment["AZURE_SECRET"])


def sign_in_as_owner(story: Story) -> None:
    """As somebody who may do everything."""
    environment = story.azure.environment
    _sign_in(story, environment["AKS_SANDBOX_OWNER_CLIENT_ID"], environment["AKS_SANDBOX_OWNER_SECRET"])


def _sign_in(story: Story, client_id: str, secret: str) -> None:
    environment = story.azure.environment
    story.by_az("cloud", "register", "--name", "AKSSandbox", "--endpoint-resource-manager", story.azure.url)
    story.by_az("cloud", "set", "--name", "AKSSandbox")
    answer = story.az(
        "login", "--service-principal", "--username", client_id, "--password", secret,
        "--tenant", environment["AZURE_TENANT"],
    )  # fmt: skip
    found = [each["id"] for each in answer]
    wanted = [environment["AZURE_SUBSCRIPTION_ID"]]
    story.step("az login --service-principal", "" if found == wanted else f"subscriptions {found}")


def our_sign_in_by_az(story: Story) -> None:
    """Our modules sign in as whoever has said `az login`, and say so when nobody has."""
    environment = {
        **{name: value for name, value in story.az.environment.items() if name != "AZURE_CORE_COLLECT_TELEMETRY"},
        "PATH": f"{story.az.python.parent}{os.pathsep}{story.az.environment['PATH']}",
        "AZURE_CLOUD_ENVIRONMENT": story.azure.url,
        # Nobody else's identity: this machine has no managed one.
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:9",
    }
    ansible = dataclasses.replace(story.ansible, environment=environment)
    task = {"resource_group": RESOURCE_GROUP, "cluster_name": CLUSTER}
    for way, options in (("auth_source: cli", {"auth_source": "cli"}), ("nothing else set", {})):
        ran = ansible.run([{"name": "Task", "aks.gpu.node_pool_info": {**task, **options}}], limit=180)
        found = [pool["name"] for pool in (ran.last or {}).get("node_pools", [])]
        problem = "" if found == ["nodepool1"] else str((ran.last or {}).get("msg", ran.output))
        story.step(f"aks.gpu.node_pool_info after az login, {way}", problem)
    signed_out = {**environment, "AZURE_CONFIG_DIR": str(story.folder / "nobody")}
    ansible = dataclasses.replace(story.ansible, environment=signed_out)
    task["subscription_id"] = story.azure.environment["AZURE_SUBSCRIPTION_ID"]
    ran = ansible.run([{"name": "Task", "aks.gpu.node_pool_info": {**task, "auth_source": "cli"}}], limit=180)
    message = str((ran.last or {}).get("msg", ran.output))
    right = ran.status != 0 and "az CLI" in message and "az login" in message
    story.step("aks.gpu.node_pool_info without az login says to sign in", "" if right else message)


def features(story: Story) -> None:
    """The article's preview feature by az: ours finds nothing to do. And the other way round, with another one."""
    names = ("--namespace", NAMESPACE, "--name")
    story.by_az("feature", "register", *names, FEATURE)
    story.by_us("feature", {"name": FEATURE, "namespace": NAMESPACE}, changed=False)
    story.by_az("feature", "show", *names, FEATURE, shows={"properties": {"state": "Registered"}})
    story.by_az("provider", "register", "--namespace", NAMESPACE, "--wait")
    story.by_us("resource_provider", {"namespace": NAMESPACE}, changed=False)
    story.by_us("feature", {"name": "ManagedGPUExperiencePreview", "namespace": NAMESPACE}, changed=True)
    story.by_az("feature", "show", *names, "ManagedGPUExperiencePreview", shows={"properties": {"state": "Registered"}})


def credentials(story: Story) -> None:
    """Both write a kubeconfig; ours is merged into az's file, and then there is nothing left to merge."""
    file = story.folder / "kubeconfig"
    where = ["--resource-group", RESOURCE_GROUP, "--name", CLUSTER]
    story.by_az("aks", "get-credentials", *where, "--file", str(file))
    theirs = yaml.safe_load(file.read_text())
    options = {"resource_group": RESOURCE_GROUP, "cluster_name": CLUSTER, "path": str(file), "merge": True}
    story.by_us("kubeconfig", options, changed=False)
    ours = yaml.safe_load(file.read_text())
    same = {each["name"] for each in theirs["contexts"]} == {each["name"] for each in ours["contexts"]}
    story.step("the file's contexts are those that az wrote", "" if same else f"{theirs} became {ours}")


def pools_of_az(story: Story) -> None:
    """The article's two node pools by az; ours finds them as they are."""
    header = ["--aks-custom-headers", "UseGPUDedicatedVHD=true"]
    story.by_az("aks", "nodepool", "add", *IN_CLUSTER, "--name", "gpunp", *ARTICLE,
                shows={"name": "gpunp", "count": 1, "maxCount": 3, "provisioningState": "Succeeded"})  # fmt: skip
    before = story.azure.pool("gpunp")
    story.pool("gpunp", changed=False, **ARTICLE_OPTIONS)
    story.is_as_before("az's pool is as it was", before, story.azure.pool("gpunp"))
    story.by_az(
        "aks", "nodepool", "add", *IN_CLUSTER, "--name", "gpuimage", *ARTICLE, *header, shows={"name": "gpuimage"}
    )
    story.pool("gpuimage", changed=False, **ARTICLE_OPTIONS, custom_headers={"UseGPUDedicatedVHD": "true"})
    autoscaler = ["--update-cluster-autoscaler", "--min-count", "1", "--max-count", "5"]
    story.by_az("aks", "nodepool", "update", *IN_CLUSTER, "--name", "gpunp", *autoscaler, shows={"maxCount": 5})
    story.pool("gpunp", changed=False, **{**ARTICLE_OPTIONS, "max_count": 5})
    story.pool("gpunp", changed=True, **ARTICLE_OPTIONS)
    story.by_az("aks", "nodepool", "show", *IN_CLUSTER, "--name", "gpunp", shows={"minCount": 1, "maxCount": 3})
    story.by_az("aks", "nodepool", "delete", *IN_CLUSTER, "--name", "gpunp")
    story.pool("gpunp", changed=False, state="absent")


def pools_of_ours(story: Story) -> None:
    """A pool of ours: az shows it, refuses to add it again, changes it and keeps what ours set; ours deletes it."""
    labels = {"team": "vision"}
    story.pool("gpuours", changed=True, **ARTICLE_OPTIONS, node_labels=labels,
               upgrade_settings={"drain_timeout_in_minutes": 60})  # fmt: skip
    shown = story.by_az("aks", "nodepool", "show", *IN_CLUSTER, "--name", "gpuours", shows={
        "vmSize": "Standard_NC6", "count": 1, "nodeTaints": ["sku=gpu:NoSchedule"], "nodeLabels": labels,
        "enableAutoScaling": True, "minCount": 1, "maxCount": 3, "provisioningState": "Succeeded",
    })  # fmt: skip
    drain = (shown.get("upgradeSettings") or {}).get("drainTimeoutInMinutes")
    story.step("az shows the drain timeout that ours set", "" if drain == 60 else f"it shows {drain}")
    story.by_az("aks", "nodepool", "add", *IN_CLUSTER, "--name", "gpuours", *ARTICLE, fails="already exists")
    story.by_az("aks", "nodepool", "update", *IN_CLUSTER, "--name", "gpuours", "--tags", "owner=ml",
                shows={"tags": {"owner": "ml"}})  # fmt: skip
    story.pool("gpuours", changed=False, **ARTICLE_OPTIONS, node_labels=labels)
    story.pool("gpuours", changed=True, state="absent")
    story.by_az("aks", "nodepool", "show", *IN_CLUSTER, "--name", "gpuours", fails="NotFound")
    names = [each["name"] for each in story.az("aks", "nodepool", "list", *IN_CLUSTER)]
    story.step("az aks nodepool list", "" if names == ["nodepool1", "gpuimage"] else f"shows {names}")


def clusters(story: Story) -> None:
    """What az reads and changes of a cluster, and what the sandbox says it does not emulate."""
    where = ["--resource-group", RESOURCE_GROUP, "--name", CLUSTER]
    # CLI test_aks_run_command.yaml, 2022-05-13: polls with a body.
    ran = story.by_az("aks", "command", "invoke", *where, "--command", "kubectl get nodes --output name",
                      shows={"exitCode": 0, "provisioningState": "Succeeded"})  # fmt: skip
    story.step("its logs are kubectl's", "" if "node/aks-nodepool1-" in str(ran.get("logs")) else str(ran))
    # ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18: identityProfile.kubeletidentity, which az needs.
    story.by_az("aks", "update", *where, "--tags", "team=vision", shows={"tags": {"team": "vision"}, "kind": "Base"})
    shown = story.az("aks", "show", *where)
    lasting = {
        "kubelet identity": shown["identityProfile"]["kubeletidentity"]["resourceId"],
        "outbound address": shown["networkProfile"]["loadBalancerProfile"]["effectiveOutboundIPs"],
        "issuer": shown["oidcIssuerProfile"]["issuerUrl"],
    }
    story.step("what only AKS says has survived it", ", ".join(name for name, value in lasting.items() if not value))
    story.by_az("aks", "get-versions", "--location", "westus2", fails="does not emulate")
    story.by_az("aks", "get-upgrades", *where, fails="does not emulate")
    story.by_az(
        "aks", "nodepool", "get-upgrades", *IN_CLUSTER, "--nodepool-name", "nodepool1", fails="does not emulate"
    )
    story.by_az("aks", "create", "--resource-group", RESOURCE_GROUP, "--name", "another", "--no-ssh-key",
                fails="does not emulate")  # fmt: skip
    story.by_az("aks", "upgrade", *where, "--kubernetes-version", "1.99.0", "--yes", fails="does not emulate")
    story.by_az("aks", "operation-abort", *where, fails="Cancel operation is not allowed")


def system_pools(story: Story) -> None:
    """What AKS refuses to do to the pool that keeps the cluster alive."""
    pool = [*IN_CLUSTER, "--name", "nodepool1"]
    story.by_az("aks", "nodepool", "stop", *IN_CLUSTER, "--nodepool-name", "nodepool1", fails="can't be stopped")
    story.by_az("aks", "nodepool", "upgrade", *pool, "--kubernetes-version", "1.99.0", "--yes", fails="1.99.0")
    story.by_az("aks", "nodepool", "upgrade", *pool, "--node-image-only", "--yes", fails="does not emulate")
    story.by_az("aks", "nodepool", "operation-abort", *IN_CLUSTER, "--nodepool-name", "nodepool1",
                fails="Cancel operation is not allowed")  # fmt: skip
    names = [each["name"] for each in story.az("aks", "nodepool", "list", *IN_CLUSTER)]
    story.step("az aks nodepool list follows the link to the empty page", "" if names == ["nodepool1"] else str(names))


def pools_of_today(story: Story) -> None:
    """What a new pool shows, and a pool that is stopped and started."""
    gpu = ["--node-vm-size", "Standard_NC4as_T4_v3", "--node-count", "1"]
    # ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18; "undrainableNodeBehavior" is az's own.
    added = story.by_az("aks", "nodepool", "add", *IN_CLUSTER, "--name", "gpu", *gpu, "--drain-timeout", "45")
    settings = added.get("upgradeSettings") or {}
    kept = {name: settings.get(name) for name in ("maxSurge", "maxUnavailable", "drainTimeoutInMinutes")}
    wanted = {"maxSurge": "10%", "maxUnavailable": "0", "drainTimeoutInMinutes": 45}
    story.step("the defaults stay beside a drain timeout", "" if kept == wanted else f"upgradeSettings {settings}")
    # CLI test_aks_nodepool_stop_and_start.yaml, 2025-07-08.
    stopped = ["--nodepool-name", "gpu"]
    story.by_az("aks", "nodepool", "stop", *IN_CLUSTER, *stopped, shows={"count": 0, "powerState": {"code": "Stopped"}})
    story.pool("gpu", changed=False, vm_size="Standard_NC4as_T4_v3", count=1, power_state="Stopped")
    story.by_az(
        "aks", "nodepool", "start", *IN_CLUSTER, *stopped, shows={"count": 1, "powerState": {"code": "Running"}}
    )
    # CLI test_aks_machine_cmds.yaml, 2025-06-24, and test_aks_nodepool_delete_machines.yaml, 2024-09-19.
    machines = story.az("aks", "machine", "list", *IN_CLUSTER, "--nodepool-name", "gpu")
    story.step("az aks machine list", "" if len(machines) == 1 else f"shows {machines}")
    for machine in machines:
        story.by_az("aks", "nodepool", "delete-machines", *IN_CLUSTER, "--name", "gpu",
                    "--machine-names", machine["name"])  # fmt: skip
    story.by_az("aks", "nodepool", "show", *IN_CLUSTER, "--name", "gpu", shows={"count": 0})
    story.by_az("aks", "nodepool", "add", *IN_CLUSTER, "--name", "vms", "--vm-set-type", "VirtualMachines",
                "--vm-sizes", "Standard_D2s_v5", "--node-count", "1", fails="does not emulate")  # fmt: skip
    story.by_az("aks", "nodepool", "delete", *IN_CLUSTER, "--name", "gpu")


def spot_and_quotas(story: Story) -> None:
    """Spot nodes have a price, a taint and a quota of their own; a family's quota is refused at once."""

    def used() -> dict[str, int]:
        usages = story.az("vm", "list-usage", "--location", "westus2")
        return {each["name"]["value"]: int(each["currentValue"]) for each in usages}

    before = used()
    spot = ["--node-vm-size", "Standard_NC4as_T4_v3", "--node-count", "1", "--priority", "Spot"]
    # PS TestSpot.json, 2025-10-28: a price of 0.577 comes back as 0.57699.
    story.by_az("aks", "nodepool", "add", *IN_CLUSTER, "--name", "spot", *spot, "--spot-max-price", "0.577", shows={
        "spotMaxPrice": 0.57699, "nodeTaints": ["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"],
    })  # fmt: skip
    story.pool("spot", changed=False, vm_size="Standard_NC4as_T4_v3", scale_set_priority="Spot", spot_max_price=0.577)
    after = used()
    more = {
        name: after[name] - before[name]
        for name in after
        if name.endswith(("ores", "Family")) and after[name] != before[name]
    }
    story.step("az vm list-usage counts Spot by itself", "" if more == {"lowPriorityCores": 4} else f"more in {more}")
    story.by_az("aks", "nodepool", "delete", *IN_CLUSTER, "--name", "spot")
    story.azure.set(quotas={"Standard NCASv3_T4 Family": 2})
    story.by_az("aks", "nodepool", "add", *IN_CLUSTER, "--name", "gpu", *spot[:4],
                fails="requested 4, remaining 2 for family Standard NCASv3_T4 Family")  # fmt: skip
    story.azure.set(quotas={})


def monitoring(story: Story) -> None:
    """Workspaces and the add-on by az; ours finds them."""
    place = ["--resource-group", RESOURCE_GROUP, "--name"]
    # CLI test_monitor_log_analytics_workspace_default.yaml, 2021-01-15; az waits until it is created.
    made = story.by_az("monitor", "log-analytics", "workspace", "create", *place, "logs",
                       shows={"provisioningState": "Succeeded"})  # fmt: skip
    found = [each["name"] for each in story.az("monitor", "log-analytics", "workspace", "list")]
    story.step("az monitor log-analytics workspace list", "" if found == ["logs"] else f"shows {found}")
    story.by_az("provider", "register", "--namespace", "Microsoft.Monitor", "--wait")
    story.by_az("monitor", "account", "create", *place, "metrics", shows={"name": "metrics"})
    listed = [each["name"] for each in story.az("monitor", "account", "list")]
    story.step("az monitor account list", "" if listed == ["metrics"] else f"shows {listed}")
    if made.get("id"):
        story.by_az("aks", "enable-addons", *place, CLUSTER, "--addons", "monitoring", "--workspace-resource-id",
                    made["id"].replace("resourcegroups", "resourceGroups"))  # fmt: skip
    addons = story.az("aks", "show", *place, CLUSTER)["addonProfiles"]
    enabled = (addons.get("omsagent") or {}).get("enabled")
    story.step("the add-on is on", "" if enabled else f"addonProfiles {addons}")
    story.by_az("aks", "disable-addons", *place, CLUSTER, "--addons", "monitoring")


def scaling(story: Story) -> None:
    """The autoscaler leaves a stopped pool alone, and does not wait for a cordoned node."""
    story.by_az("aks", "nodepool", "add", *IN_CLUSTER, "--name", "scaled", "--node-vm-size", "Standard_D4s_v5",
                "--node-count", "1", "--enable-cluster-autoscaler", "--min-count", "0", "--max-count", "3")  # fmt: skip
    (node,) = (each["metadata"]["name"] for each in _kubectl(story, "get", "nodes", "-l", "agentpool=scaled")["items"])
    _kubectl(story, "cordon", node)
    pod = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "waiting"}, "spec": {
        "nodeSelector": {"agentpool": "scaled"},
        "containers": [{"name": "main", "image": "nginx", "resources": {"requests": {"cpu": "3"}}}],
    }})  # fmt: skip
    _kubectl(story, "apply", "-f", "-", stdin=pod)
    counts = [1]
    deadline = time.monotonic() + 20
    while counts[-1] != 2 and time.monotonic() < deadline:
        time.sleep(0.5)
        counts.append(story.azure.pools()["scaled"]["count"])
    story.step("a Pod beside a cordoned node makes the pool grow", "" if counts[-1] == 2 else f"counts {counts}")
    story.by_az("aks", "nodepool", "stop", *IN_CLUSTER, "--nodepool-name", "scaled", shows={"count": 0})
    _kubectl(story, "delete", "pod", "--all", "--force", "--grace-period=0")
    _kubectl(story, "apply", "-f", "-", stdin=pod)
    time.sleep(3)  # an autoscaler that looked at it would have acted in one
    story.by_az("aks", "nodepool", "show", *IN_CLUSTER, "--name", "scaled", shows={"count": 0})
    left = _kubectl(story, "get", "nodes", "-l", "agentpool=scaled")["items"]
    story.step("a Pod that waits starts no node in a stopped pool", "" if not left else f"{len(left)} nodes")


def _kubectl(story: Story, *words: str, stdin: str = "") -> Any:
    """A command of the sandbox's kubectl with the kubeconfig that az wrote; its JSON where it has any."""
    file = story.folder / "kubeconfig"
    if not file.exists():
        where = ["--resource-group", RESOURCE_GROUP, "--name", CLUSTER]
        story.by_az("aks", "get-credentials", *where, "--file", str(file), "--admin")
    output = ["-o", "json"] if words[0] == "get" else []
    done = subprocess.run(
        [story.azure.environment["AKS_SANDBOX_KUBECTL"], "--kubeconfig", file, *words, *output],
        input=stdin, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Wrong(f"kubectl {' '.join(words)}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout) if output else None


def models(story: Story) -> None:
    """What az, our modules and the sandbox said to each other has the names and types of the official SDK."""
    known = [found for found in map(mistakes, story.azure.sent()) if found is not None]
    wrong = sorted({text for found in known for text in found})
    story.step(f"{len(known)} recorded exchanges fit the SDK's models", "; ".join(wrong))


ARTICLES = (sign_in, our_sign_in_by_az, features, credentials, pools_of_az, pools_of_ours, models)
"""With the article's Azure of 2023."""
TODAYS = (*(sign_in_as_owner, clusters, system_pools, pools_of_today, spot_and_quotas, monitoring, scaling, models),)
"""With today's Azure, and Kubernetes."""


def told(azure: Emulated, parts: Sequence[Callable[[Story], None]], folder: Path) -> int:
    """Tell a story; how many of its steps were wrong."""
    azure.set(clock_speed=20.0, retry_after_seconds=1)
    base = without_foreign_settings()
    configuration = {
        "AZURE_CONFIG_DIR": str(folder / "azure"),
        "AZURE_CORE_INSTANCE_DISCOVERY": "false",
        "AZURE_CORE_COLLECT_TELEMETRY": "false",
        "REQUESTS_CA_BUNDLE": azure.environment["REQUESTS_CA_BUNDLE"],
        "NO_PROXY": azure.environment["NO_PROXY"],
    }
    ansible = Ansible(Path(sys.executable), link_collection(), {**base, **azure.environment}, by_server=True)
    story = Story(azure, Az(cli_python(), {**base, **configuration}), ansible, folder)
    for part in parts:
        part(story)
    return story.wrong


def main() -> int:
    cli_python()
    with tempfile.TemporaryDirectory(prefix="aks-gpu-clients-") as folder, emulated("--azure-of-2023") as azure:
        wrong = told(azure, ARTICLES, Path(folder))
    with (
        tempfile.TemporaryDirectory(prefix="aks-gpu-clients-") as folder,
        Sandbox.started("clients", home=Path(folder) / "sandbox") as sandbox,
    ):
        wrong += told(Emulated(sandbox.state), TODAYS, Path(folder))
    say(f"\n{wrong} steps wrong" if wrong else "\nAll steps right")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (SetUpError, Wrong) as error:
        sys.exit(f"make clients: {error}")
