# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin: ansible-inventory and playbooks with it, on an Azure of several subscriptions."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aks_sandbox.testing import Sandbox
from environment import ROOT, tool_environment
from harness import Ansible

Json = dict[str, Any]

PROD, TEST, HIDDEN = (f"{digit * 8}-0000-4000-8000-{digit * 12}" for digit in "234")
POOL = {"name": "gpunp", "vmSize": "Standard_NC64as_T4_v3", "count": 2, "gpuProfile": {"driver": "Install"}}


@pytest.fixture(scope="module")
def azure() -> Iterator[Sandbox]:
    """Three subscriptions: four clusters in the first, prod-two and test-three with clusters of the same names."""
    options = ["--location", "westus2,eastus"]
    with Sandbox.started("inventory", clusters=4, kubernetes=False, options=options) as own:
        own.act("add_subscription", id=PROD, name="prod-two", resource_group="prod")
        own.act("add_resource_group", subscription=PROD, name="prod.more")
        own.act("add_subscription", id=TEST, name="test-three", resource_group="test")
        for subscription, group, name in (
            (PROD, "prod", "vision"),
            (PROD, "prod.more", "vision"),
            (TEST, "test", "myAKSCluster"),
            (TEST, "test", "speech"),
        ):
            own.act(
                "add_cluster",
                name=name,
                version="1.35.4",
                subscription=subscription,
                resource_group=group,
                location="northeurope",
            )
        own.act("cluster", cluster="speech", tags={"Team": "speech", "note": "{{ 6 * 7 }}{{ lookup('env', 'HOME') }}"})
        own.act("cluster", cluster="myAKSCluster3", properties={"powerState": {"code": "Stopped"}})
        yield own


@pytest.fixture(autouse=True)
def tidy(azure: Sandbox) -> Iterator[None]:
    yield
    azure.clear_faults()


class Inventories:
    """Runs ansible-inventory on files with the plugin's options."""

    def __init__(self, azure: Sandbox, folder: Path) -> None:
        self.azure = azure
        self.folder = folder
        self.environment = {
            **tool_environment(Path(sys.executable)),
            **azure.variables,
            "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
        }

    def file(self, options: Json | str, name: str = "aks_gpu.yml") -> Path:
        path = self.folder / name
        text = options if isinstance(options, str) else yaml.safe_dump({"plugin": "aks.gpu.clusters", **options})
        path.write_text(text)
        return path

    def run(self, options: Json | str, *arguments: str, name: str = "aks_gpu.yml", **environment: str) -> Any:
        """The finished process of ansible-inventory --list."""
        return subprocess.run(
            ["ansible-inventory", "-i", str(self.file(options, name)), "--list", *arguments],
            env={**self.environment, **environment},
            cwd=self.folder,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def list(self, options: Json | str, *arguments: str, **environment: str) -> tuple[Json, Json]:
        """Variables of each host, and hosts of each group."""
        done = self.run(options, *arguments, **environment)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        found = json.loads(done.stdout)
        variables = found.pop("_meta")["hostvars"]
        return variables, {name: group.get("hosts", []) for name, group in found.items()}

    def fails(self, options: Json | str, *arguments: str, **environment: str) -> str:
        """What is printed; no traceback and no secret is in it."""
        done = self.run(options, *arguments, **environment)
        assert done.returncode != 0, done.stdout
        printed: str = done.stdout + done.stderr
        assert "Traceback" not in printed
        assert self.azure.variables["AZURE_SECRET"] not in printed
        return " ".join(printed.split())


@pytest.fixture
def inventories(azure: Sandbox, tmp_path: Path) -> Inventories:
    return Inventories(azure, tmp_path)


def lists(azure: Sandbox, mark: int) -> list[str]:
    """Paths of the LISTs of clusters since a mark."""
    paths = [each["url"].partition("?")[0] for each in azure.traffic(mark)]
    return [path for path in paths if path.lower().endswith("managedclusters")]


def test_the_sign_ins_subscription(azure: Sandbox, inventories: Inventories) -> None:
    mark = azure.mark()
    hosts, groups = inventories.list({})
    assert sorted(hosts) == ["myAKSCluster", "myAKSCluster2", "myAKSCluster3", "myAKSCluster4"]
    assert len(lists(azure, mark)) == 1
    assert azure.writes(mark) == []
    own = hosts["myAKSCluster"]
    assert own["aks_subscription_id"] == azure.subscription
    assert (own["aks_resource_group"], own["aks_cluster_name"]) == (azure.resource_group, "myAKSCluster")
    assert groups["aks_region_eastus"] == ["myAKSCluster2", "myAKSCluster4"]
    assert groups["aks_stopped"] == ["myAKSCluster3"]
    assert "aks_version_1_36" in groups
    assert not [name for name in inventories.list({"default_groups": False})[1] if name.startswith("aks_")]


def test_several_subscriptions_and_names_that_collide(azure: Sandbox, inventories: Inventories) -> None:
    mark = azure.mark()
    hosts, groups = inventories.list({"subscriptions": [azure.subscription, PROD, TEST]})
    assert len(lists(azure, mark)) == 3
    assert {"myAKSCluster.myResourceGroup", "myAKSCluster.test", "myAKSCluster2", "speech"} <= hosts.keys()
    assert {"vision.prod", "vision.prod.more"} <= hosts.keys()
    assert groups[f"aks_subscription_{TEST.replace('-', '_')}"] == ["myAKSCluster.test", "speech"]
    assert hosts["vision.prod.more"]["aks_resource_group"] == "prod.more"

    by_name, _groups = inventories.list({"subscriptions": ["prod-*"], "hostname": "aks_id.split('/')[4]"})
    assert {name: each["aks_subscription_name"] for name, each in by_name.items()} == {
        "prod": "prod-two",
        "prod.more": "prod-two",
    }
    everything, _groups = inventories.list({"subscriptions": ["*"]})
    assert everything.keys() == hosts.keys()
    assert "several clusters the name 'same'" in inventories.fails({"hostname": "'same'"})
    said = inventories.fails({"subscriptions": ["nosuch-*"]})
    assert "no subscription's name fits nosuch-*. The signed-in principal can see: aks-sandbox" in said


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"locations": ["East US"]}, ["myAKSCluster2", "myAKSCluster4"]),
        ({"names": ["*cluster?", "!*4"]}, ["myAKSCluster2", "myAKSCluster3"]),
        ({"resource_groups": ["prod*"], "subscriptions": [PROD, TEST]}, ["vision.prod", "vision.prod.more"]),
        ({"resource_groups": ["prod"], "subscriptions": [PROD, TEST]}, ["vision"]),
        ({"tags": {"team": "sp*"}, "subscriptions": [PROD, TEST]}, ["speech"]),
        ({"power_state": "Stopped"}, ["myAKSCluster3"]),
        ({"names": "myAKSCluster2, myAKSCluster3"}, ["myAKSCluster2", "myAKSCluster3"]),
    ],
)
def test_selection(inventories: Inventories, options: Json, names: list[str]) -> None:
    assert sorted(inventories.list(options)[0]) == names


def test_gpu_pools(azure: Sandbox, inventories: Inventories) -> None:
    client = azure.container_service("owner")
    pool: Any = {"properties": {key: value for key, value in POOL.items() if key != "name"}}
    client.agent_pools.begin_create_or_update(
        azure.resource_group, "myAKSCluster2", "gpunp", pool, polling_interval=0.2
    ).result()
    try:
        hosts, groups = inventories.list({"gpu_pools": True})
        assert list(hosts) == ["myAKSCluster2"]
        (found,) = hosts["myAKSCluster2"]["aks_gpu_pools"]
        assert (found["name"], found["count"], found["gpus"], found["gpu_model"]) == ("gpunp", 2, 8, "NVIDIA T4")
        assert hosts["myAKSCluster2"]["aks_gpus"] == 8
        assert groups["aks_gpu_model_nvidia_t4"] == groups["aks_gpu_stack_device_plugin"] == ["myAKSCluster2"]
        assert "myAKSCluster2" not in inventories.list({"gpu_pools": False})[0]
    finally:
        client.agent_pools.begin_delete(azure.resource_group, "myAKSCluster2", "gpunp", polling_interval=0.2).result()


def test_constructed(inventories: Inventories) -> None:
    options: Json = {
        "keyed_groups": [
            {"key": "aks_location", "prefix": "", "separator": ""},
            {"key": "aks_tags.Team | default('nobody')", "prefix": "team", "parent_group": "teams"},
        ],
        "groups": {"second": "aks_cluster_name.endswith('2')"},
        "compose": {"node_pool_name": "aks_cluster_name[-5:] | lower", "ansible_connection": "'local'"},
    }
    hosts, groups = inventories.list(options)
    assert groups["westus2"] == ["myAKSCluster", "myAKSCluster3"]
    assert len(groups["team_nobody"]) == 4
    assert groups["second"] == ["myAKSCluster2"]
    assert hosts["myAKSCluster2"]["node_pool_name"] == "ster2"
    assert hosts["myAKSCluster2"]["ansible_connection"] == "local"

    wrong = {"compose": {"x": "nosuch.thing"}}
    assert "x" not in inventories.list(wrong)[0]["myAKSCluster"]
    assert "Could not set x for host myAKSCluster" in inventories.fails({**wrong, "strict": True})
    assert "hostname" in inventories.fails({"hostname": "nosuch.thing"})

    extra = {"compose": {"x": "more"}, "use_extra_vars": True}
    assert inventories.list(extra, "-e", "more=17")[0]["myAKSCluster"]["x"] in (17, "17")


def test_a_tag_is_never_a_template(inventories: Inventories, ansible: Ansible) -> None:
    """Whoever may tag a cluster must not run lookups on the controller."""
    options: Json = {
        "subscriptions": [TEST],
        "names": ["speech"],
        "compose": {"copy": "aks_tags.note", "again": "aks_tags.note ~ '!'"},
    }
    run = ansible.playbook(
        [
            {
                "hosts": "all",
                "connection": "local",
                "gather_facts": False,
                "tasks": [{"name": "Show", "ansible.builtin.debug": {"msg": "{{ [aks_tags.note, copy, again] }}"}}],
            }
        ],
        inventory=inventories.file(options),
    )
    text = "{{ 6 * 7 }}{{ lookup('env', 'HOME') }}"
    assert run["Show"]["msg"] == [text, text, text + "!"]


@pytest.fixture
def ansible(azure: Sandbox, tmp_path: Path) -> Ansible:
    return Ansible(azure, tmp_path)


def test_pages_and_a_throttle(azure: Sandbox, inventories: Inventories) -> None:
    with azure.having(page_size=2, empty_last_page="all"):
        azure.fault(method="GET", path="managedClusters", nth=2, status=429, headers={"Retry-After": "1"})
        mark = azure.mark()
        done = inventories.run({})
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["_meta"]["hostvars"]) == 4
        statuses = [each["status"] for each in azure.traffic(mark) if "managedClusters" in each["url"]]
        assert statuses == [200, 429, 200, 200]
        assert "waiting for Azure" in done.stderr
    azure.clear_faults()
    azure.fault(method="GET", path="managedClusters", times=0, status=429, headers={"Retry-After": "600"})
    started = time.monotonic()
    said = inventories.fails({"timeout": 5})
    assert "TooManyRequests" in said or "429" in said
    assert time.monotonic() - started < 30


def test_a_subscription_without_permission(azure: Sandbox, inventories: Inventories) -> None:
    body = {"error": {"code": "AuthorizationFailed", "message": "The client 'x' does not have authorization"}}
    azure.fault(method="GET", path=f"{PROD}/.*managedClusters", times=0, status=403, body=body)
    options: Json = {"subscriptions": [PROD, TEST, HIDDEN]}
    assert f"Listing the clusters of subscription {PROD}: AuthorizationFailed" in inventories.fails(options)

    done = inventories.run({**options, "strict_permissions": False})
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads(done.stdout)["_meta"]["hostvars"]) == ["myAKSCluster", "speech"]
    warned = " ".join(done.stderr.split())
    assert PROD in warned
    assert HIDDEN in warned

    azure.clear_faults()
    azure.fault(method="GET", path=f"{PROD}/.*managedClusters", times=0, status=409, body=body)
    assert PROD in inventories.fails({**options, "strict_permissions": False})


def test_sign_in_by_options(azure: Sandbox, inventories: Inventories) -> None:
    """Options, templates over extra variables and lookups, and a vault; no variable of the environment."""
    values = azure.variables
    none = {name: "" for name in values if name.startswith("AZURE_")}
    options = {
        "subscription_id": values["AZURE_SUBSCRIPTION_ID"],
        "azure_tenant": values["AZURE_TENANT"],
        "client_id": "{{ app }}",
        "secret": "{{ lookup('ansible.builtin.env', 'MY_SECRET') }}",
        "cloud_environment": values["AZURE_CLOUD_ENVIRONMENT"],
    }
    arguments = ("-e", f"app={values['AZURE_CLIENT_ID']}")
    hosts, _groups = inventories.list(options, *arguments, **none, MY_SECRET=values["AZURE_SECRET"])
    assert len(hosts) == 4
    password = inventories.folder / "password"
    password.write_text("vault password")
    vaulted = subprocess.run(
        ["ansible-vault", "encrypt_string", "--vault-password-file", str(password), "--stdin-name", "secret"],
        input=values["AZURE_SECRET"],
        env=inventories.environment,
        text=True,
        capture_output=True,
        check=True,
    ).stdout
    text = yaml.safe_dump({"plugin": "aks.gpu.clusters", **options, "secret": None}).replace("secret: null\n", "")
    hosts, _groups = inventories.list(text + vaulted, *arguments, "--vault-password-file", str(password), **none)
    assert len(hosts) == 4


def test_sign_in_that_fails(azure: Sandbox, inventories: Inventories) -> None:
    said = inventories.fails({"secret": "not the planted-secret"}, "-vvvv")
    assert "Can't sign in to Azure. Tried, in order: " in said
    assert "get_token failed" not in said
    assert "planted-secret" not in said
    assert "invalid_client" in said or "AADSTS7000215" in said
    home = inventories.folder / "home"
    home.mkdir()
    nothing = {name: "" for name in azure.variables if name.startswith("AZURE_")}
    said = inventories.fails({}, **nothing, HOME=str(home), AZURE_CONFIG_DIR=str(home))
    assert "subscription_id is needed" in said


def test_names_of_files_and_wrong_options(azure: Sandbox, inventories: Inventories) -> None:
    for name in ("prod.aks_gpu.yaml", "clusters.yml", "my-clusters.yaml"):
        assert inventories.run({}, name=name).returncode == 0
    done = inventories.run({}, name="hosts.yml")
    assert done.returncode != 0
    assert "could not be verified by inventory plugin 'aks.gpu.clusters'" in " ".join(done.stderr.split())
    assert "power_state" in inventories.fails({"power_state": "Paused"})
    assert "none of 4 clusters" in " ".join(inventories.run({"names": ["nosuch"]}).stderr.split())


def test_cache(azure: Sandbox, inventories: Inventories) -> None:
    cache = inventories.folder / "cache"
    options: Json = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(cache)}
    mark = azure.mark()
    first, first_groups = inventories.list(options)
    assert len(lists(azure, mark)) == 1
    second, second_groups = inventories.list(options)
    assert len(lists(azure, mark)) == 1
    assert (first, first_groups) == (second, second_groups)

    assert len(inventories.list({**options, "locations": ["eastus"]})[0]) == 2
    assert len(lists(azure, mark)) == 1
    assert len(inventories.list({**options, "subscriptions": [PROD]})[0]) == 2
    assert len(lists(azure, mark)) == 2
    inventories.list(options, "--flush-cache")
    assert len(lists(azure, mark)) == 3
    for file in cache.iterdir():
        text = file.read_text()
        assert azure.variables["AZURE_SECRET"] not in text
        assert "eyJ" not in text

    body = {"error": {"code": "AuthorizationFailed", "message": "no"}}
    azure.fault(method="GET", path=f"{TEST}/.*managedClusters", times=0, status=403, body=body)
    partly: Json = {**options, "subscriptions": [PROD, TEST], "strict_permissions": False}
    assert len(inventories.list(partly)[0]) == 2
    azure.clear_faults()
    assert len(inventories.list(partly)[0]) == 4


def test_the_cache_is_read_anew_on_refresh(azure: Sandbox, inventories: Inventories, ansible: Ansible) -> None:
    options: Json = {"subscriptions": [PROD], "cache": True}
    plays = [
        {
            "hosts": "all",
            "gather_facts": False,
            "tasks": [{"name": "Anew", "ansible.builtin.meta": "refresh_inventory"}],
        },
        {
            "hosts": "all",
            "connection": "local",
            "gather_facts": False,
            "tasks": [{"name": "Show", "ansible.builtin.debug": {"msg": "{{ aks_resource_group }}"}}],
        },
    ]
    mark = azure.mark()
    run = ansible.playbook(plays, inventory=inventories.file(options))
    assert len(lists(azure, mark)) == 2
    assert {each.result["msg"] for each in run.results if each.task == "Show"} == {"prod", "prod.more"}


def test_modules_with_the_inventory(azure: Sandbox, inventories: Inventories, ansible: Ansible) -> None:
    """The run's one token, which the inventory has asked for, serves the tasks as well."""
    play = {
        "hosts": "all",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "tasks": [
            {
                "name": "Look",
                "aks.gpu.node_pool_info": {
                    "subscription_id": "{{ aks_subscription_id }}",
                    "resource_group": "{{ aks_resource_group }}",
                    "cluster_name": "{{ aks_cluster_name }}",
                },
            }
        ],
    }
    mark = azure.mark()
    run = ansible.playbook([play], inventory=inventories.file({"subscriptions": [azure.subscription, PROD, TEST]}))
    assert len([each for each in run.results if each.status == "ok"]) == 8
    tokens = [each for each in azure.traffic(mark) if each["url"].endswith("/oauth2/v2.0/token")]
    assert len(tokens) == 1


def test_documentation() -> None:
    done = subprocess.run(
        ["ansible-doc", "-t", "inventory", "aks.gpu.clusters"],
        env=tool_environment(Path(sys.executable)),
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
    )
    assert "strict_permissions" in done.stdout
    assert "AZURE_SUBSCRIPTION_ID" in done.stdout
