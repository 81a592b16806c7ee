# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One LIST serves a fleet, and nothing is decided by what is too old to decide by.

Some tests run plays over several clusters; others use the library as tasks do, in processes of their own, where a
moment counts.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import stat
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, Progress
from ansible_collections.aks.gpu.plugins.module_utils._azure._cluster_cache import CacheHit, ClusterCache
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError
from ansible_collections.aks.gpu.plugins.module_utils._azure._session import sign_in
from emulated import RESOURCE_GROUP, Emulated, emulated
from environment import COLLECTIONS, ROOT

from playbooks import Ansible, Ran, python_under_test, without_foreign_settings

Json = dict[str, Any]

POOL = {"vmSize": "Standard_NC4as_T4_v3", "count": 1, "mode": "User", "nodeLabels": {"team": "vision"}}
WHERE = {"resource_group": RESOURCE_GROUP, "cluster_name": "{{ aks_cluster_name }}", "name": "gpunp"}
ASKED = {**WHERE, "vm_size": "Standard_NC4as_T4_v3", "node_labels": {"team": "vision"}}
CLUSTERS = ("myAKSCluster", "myAKSCluster2", "myAKSCluster3", "myAKSCluster4")


@pytest.fixture(scope="module")
def running() -> Iterator[Emulated]:
    with emulated("--clusters", str(len(CLUSTERS))) as sandbox:
        sandbox.set(clock_speed=20.0)
        yield sandbox


@pytest.fixture
def azure(running: Emulated) -> Iterator[Emulated]:
    """Four clusters, each with the pool that ASKED asks for."""
    for name in CLUSTERS:
        running.make_pool("gpunp", POOL, cluster=name)
    for name in CLUSTERS:
        running.settled("gpunp", cluster=name)
    yield running
    running.clear_faults()
    running.set(page_size=0, empty_last_page="pools", permissions_removed=[], create_seconds=6.0, clock_speed=20.0)
    for name in CLUSTERS:
        running.remove_pools(cluster=name)


def fleet(
    azure: Emulated,
    folder: Path,
    tasks: Sequence[Json],
    *arguments: str,
    clusters: Sequence[str] = CLUSTERS,
    settings: Mapping[str, str] | None = None,
    **play: Any,
) -> Ran:
    """Runs tasks on several clusters, a host each, in one play; `settings` are environment variables."""
    hosts = {name.lower(): {"aks_cluster_name": name} for name in clusters}
    inventory = {"all": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}
    (folder / "inventory.json").write_text(json.dumps(inventory))
    variables = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    book = {"hosts": "all", "gather_facts": False, "vars": variables, **play, "tasks": list(tasks)}
    (folder / "play.json").write_text(json.dumps([book]))
    environment = {**without_foreign_settings(), **azure.environment}
    ansible = Ansible(python_under_test(), COLLECTIONS, environment, by_server=True)
    return ansible.command(
        ["ansible-playbook", str(folder / "play.json"), "-i", str(folder / "inventory.json"), *arguments],
        folder,
        180,
        {"ANSIBLE_LOCAL_TEMP": str(folder / "tmp"), **(settings or {})},
    )


def requests(azure: Emulated, mark: int) -> Counter[str]:
    """What was asked of Resource Manager: LIST for the subscription's clusters, else method and kind of resource."""
    kinds = []
    for each in azure.sent(mark):
        parts = urlsplit(each["url"]).path.strip("/").split("/")
        if parts[0].lower() == "subscriptions":
            listing = parts[-1] == "managedClusters" and "resourceGroups" not in parts
            kinds.append("LIST" if listing else f"{each['method']} {parts[-1] if len(parts) % 2 else parts[-2]}")
    return Counter(kinds)


def task(title: str, **options: Any) -> Json:
    """Our node_pool; options that begin with ``task_`` are keywords of the task."""
    keywords = {key.removeprefix("task_"): value for key, value in options.items() if key.startswith("task_")}
    given = {key: value for key, value in options.items() if not key.startswith("task_")}
    return {"name": title, "aks.gpu.node_pool": {**ASKED, **given}, **keywords}


def theirs(azure: Emulated, cluster: str = "{{ aks_cluster_name }}", **keywords: Any) -> Json:
    """A task that changes a cluster's pool as others do, by the az CLI or the portal."""
    properties = json.dumps({"nodeLabels": {"team": "theirs"}})
    command = [sys.executable, "-m", "aks_sandbox", "act", "pool", f"cluster={cluster}", "pool=gpunp"]
    return {
        "name": "Theirs",
        "ansible.builtin.command": {"argv": [*command, f"properties={properties}", "--name", azure.state.name]},
        "environment": {
            "PYTHONPATH": str(ROOT / "tests" / "sandbox"),
            "AKS_SANDBOX_HOME": str(azure.state.path.parent),
        },
        **keywords,
    }


def results(ran: Ran, title: str) -> list[Json]:
    """What a task returned, on all clusters."""
    return [each["result"] for each in ran.tasks if each["task"] == title]


# --- runs of several clusters ---------------------------------------------------------------------------------------


def test_one_list_serves_a_task_of_all_clusters(azure: Emulated, tmp_path: Path) -> None:
    mark = azure.mark()
    ran = fleet(azure, tmp_path, [task("Again")])
    assert ran.status == 0, ran.output
    assert [each["changed"] for each in results(ran, "Again")] == [False] * 4
    asked = requests(azure, mark)
    assert asked["LIST"] == 1
    assert asked["GET agentPools"] <= 1  # of the first cluster: it can't know yet that there will be more
    for each in results(ran, "Again"):
        cluster = each["node_pool"]["id"].split("/")[8]
        pool = azure.pool("gpunp", cluster)
        assert pool is not None
        assert each["node_pool"]["etag"] == pool["eTag"]
        assert each["node_pool"]["node_labels"] == pool["nodeLabels"]
        assert each["node_pool"]["id"].endswith("/agentPools/gpunp")


def test_what_a_list_shows_is_what_a_read_returns(azure: Emulated, tmp_path: Path) -> None:
    listed = {each["node_pool"]["id"]: each["node_pool"] for each in results(fleet(azure, tmp_path, [task("A")]), "A")}
    for name in CLUSTERS[1:]:
        (tmp_path / name).mkdir()
        (read,) = results(fleet(azure, tmp_path / name, [task("A")], clusters=[name]), "A")
        assert listed[read["node_pool"]["id"]] == read["node_pool"]


def test_a_single_cluster_is_read_and_nothing_is_listed(azure: Emulated, tmp_path: Path) -> None:
    mark = azure.mark()
    assert fleet(azure, tmp_path, [task("Again"), task("And again")], clusters=CLUSTERS[:1]).status == 0
    assert requests(azure, mark) == {"GET agentPools": 2}


@pytest.mark.parametrize("strategy", ["linear", "free", "host_pinned"])
def test_what_the_run_itself_has_written_is_never_overlooked(azure: Emulated, tmp_path: Path, strategy: str) -> None:
    tasks = [
        task("Before"),
        task("Another label", node_labels={"team": "research"}, wait=False),
        task("The old label"),
        task("Again"),
    ]
    ran = fleet(azure, tmp_path, tasks, strategy=f"ansible.builtin.{strategy}")
    assert ran.status == 0, ran.output
    changed = {title: {each["changed"] for each in results(ran, title)} for title in ("Before", "Another label")}
    assert changed == {"Before": {False}, "Another label": {True}}
    assert {each["changed"] for each in results(ran, "The old label")} == {True}
    assert {each["changed"] for each in results(ran, "Again")} == {False}
    for name in CLUSTERS:
        pool = azure.pool("gpunp", name)
        assert pool is not None
        assert pool["nodeLabels"]["team"] == "vision"


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_what_others_wrote_before_the_task_is_seen(azure: Emulated, tmp_path: Path, strategy: str) -> None:
    """As when a task of the user's own calls the az CLI in between."""
    ran = fleet(azure, tmp_path, [task("Before"), theirs(azure), task("After")], strategy=f"ansible.builtin.{strategy}")
    assert ran.status == 0, ran.output
    assert [each["changed"] for each in results(ran, "After")] == [True] * 4


def test_every_batch_looks_anew(azure: Emulated, tmp_path: Path) -> None:
    mark = azure.mark()
    assert fleet(azure, tmp_path, [task("Again")], serial=2).status == 0
    assert requests(azure, mark)["LIST"] == 2


def test_another_attempt_looks_anew(azure: Emulated, tmp_path: Path) -> None:
    azure.set(update_seconds=40.0)  # two seconds
    try:
        ran = fleet(
            azure,
            tmp_path,
            [
                task("Change", node_labels={"team": "research"}, wait=False),
                task(
                    "Until",
                    node_labels={"team": "research"},
                    wait=False,
                    task_register="seen",
                    task_until="seen.node_pool.provisioning_state == 'Succeeded'",
                    task_retries=20,
                    task_delay=1,
                ),
            ],
        )
    finally:
        azure.set(update_seconds=3.0)
    assert ran.status == 0, ran.output
    assert {each["node_pool"]["provisioning_state"] for each in results(ran, "Until")} == {"Succeeded"}


def test_an_update_reads_the_pool_itself_and_sends_its_etag(azure: Emulated, tmp_path: Path) -> None:
    azure.set(future_fields={"fieldOfTheFuture": "kept"})
    mark = azure.mark()
    ran = fleet(azure, tmp_path, [task("Change", node_labels={"team": "research"})])
    azure.set(future_fields={})
    assert ran.status == 0, ran.output
    puts = [each for each in azure.sent(mark) if each["method"] == "PUT"]
    reads = [each for each in azure.sent(mark) if each["method"] == "GET" and "/agentPools/" in each["url"]]
    assert len(puts) == 4
    for put in puts:
        path = urlsplit(put["url"]).path
        last = [each for each in reads if urlsplit(each["url"]).path == path and each["time"] <= put["time"]][-1]
        # An entity tag of HTTP stands in quotation marks (RFC 9110, 8.8.3); so azure-core's quote_etag writes it.
        assert put["request_headers"]["if-match"] == f'"{last["response_body"]["properties"]["eTag"]}"'


def test_new_pools_are_awaited_by_a_few_lists(azure: Emulated, tmp_path: Path) -> None:
    for name in CLUSTERS:
        azure.remove_pools(cluster=name)
    azure.set(create_seconds=60.0)  # three seconds
    mark = azure.mark()
    ran = fleet(azure, tmp_path, [task("Start", wait=False), task("Wait")], "--forks", "2")
    assert ran.status == 0, ran.output
    assert [each["changed"] for each in results(ran, "Start")] == [True] * 4
    assert [each["changed"] for each in results(ran, "Wait")] == [False] * 4
    assert {each["node_pool"]["provisioning_state"] for each in results(ran, "Wait")} == {"Succeeded"}
    asked = requests(azure, mark)
    assert asked["PUT agentPools"] == 4
    assert asked["LIST"] <= 8
    assert asked["GET agentPools"] <= 4
    assert asked["GET skus"] <= 2  # once for each of the two tasks at most
    assert asked["GET usages"] <= 2
    assert asked["GET permissions"] <= 2  # of the resource group, not of each cluster


@pytest.mark.parametrize("status", [200, 403])
def test_permissions_are_asked_of_the_group_and_where_that_does_not_suffice_of_each_cluster(
    azure: Emulated, tmp_path: Path, status: int
) -> None:
    """As with a role on the clusters alone: of their group it lets its principal see nothing."""
    group = r"resourceGroups/[^/]+/providers/Microsoft.Authorization/permissions"
    body: Json = {"value": []} if status == 200 else {"error": {"code": "AuthorizationFailed", "message": "No."}}
    azure.fault({"method": "GET", "path": group, "status": status, "body": body, "times": 0})
    mark = azure.mark()
    ran = fleet(azure, tmp_path, [task("Another", name="another", task_check_mode=True)])
    assert ran.status == 0, ran.output
    assert [each["changed"] for each in results(ran, "Another")] == [True] * 4
    assert requests(azure, mark)["GET permissions"] == 1 + len(CLUSTERS)


def test_removal_in_a_fleet(azure: Emulated, tmp_path: Path) -> None:
    gone = {"aks.gpu.node_pool": {**WHERE, "state": "absent", "wait": False}, "name": "Start"}
    wait = {"aks.gpu.node_pool": {**WHERE, "state": "absent"}, "name": "Wait"}
    ran = fleet(azure, tmp_path, [gone, wait, {**wait, "name": "Again"}])
    assert ran.status == 0, ran.output
    assert [each["changed"] for each in results(ran, "Start")] == [True] * 4
    assert [each["changed"] for each in results(ran, "Wait") + results(ran, "Again")] == [False] * 8
    assert all(azure.pool("gpunp", name) is None for name in CLUSTERS)


def test_a_failed_pool_fails_with_azures_reason_and_the_others_go_on(azure: Emulated, tmp_path: Path) -> None:
    azure.remove_pools(cluster=CLUSTERS[2])
    azure.fault(
        {
            "method": "PUT",
            "path": f"{CLUSTERS[2]}/agentPools",
            "operation": {"code": "AllocationFailed", "message": "No capacity."},
        }
    )
    ran = fleet(azure, tmp_path, [task("Start", wait=False), task("Wait")])
    assert ran.status != 0
    states = {each["host"]: each["status"] for each in ran.tasks if each["task"] == "Wait"}
    assert states == {name.lower(): "failed" if name == CLUSTERS[2] else "ok" for name in CLUSTERS}
    (failed,) = [each["result"] for each in ran.tasks if each["status"] == "failed"]
    assert "AllocationFailed" in failed["msg"]
    assert "No capacity" in failed["msg"]


def test_a_list_of_pages(azure: Emulated, tmp_path: Path) -> None:
    azure.set(page_size=3, empty_last_page="all")
    mark = azure.mark()
    ran = fleet(azure, tmp_path, [task("Again")])
    assert ran.status == 0, ran.output
    asked = requests(azure, mark)
    assert asked["GET agentPools"] <= 1
    assert asked["LIST"] == 3


def test_a_cluster_that_is_not_there_fails_alone(azure: Emulated, tmp_path: Path) -> None:
    ran = fleet(azure, tmp_path, [task("Again")], clusters=[*CLUSTERS, "nobody"])
    states = {each["host"]: each["status"] for each in ran.tasks}
    assert states == {**{name.lower(): "ok" for name in CLUSTERS}, "nobody": "failed"}
    assert "myAKSCluster2" in ran.output


@pytest.mark.parametrize("trouble", ["no permission", "an error"])
def test_without_a_list_every_cluster_is_read(azure: Emulated, tmp_path: Path, trouble: str) -> None:
    if trouble == "an error":
        path = r"providers/Microsoft.ContainerService/managedClusters\?"
        azure.fault({"method": "GET", "path": path, "status": 400, "body": {}, "times": 0})
    else:
        azure.set(permissions_removed=["Microsoft.ContainerService/managedClusters/read"])
    mark = azure.mark()
    ran = fleet(azure, tmp_path, [task("Again"), task("And again")])
    assert ran.status == 0, ran.output
    asked = requests(azure, mark)
    assert asked["LIST"] == 1
    assert asked["GET agentPools"] == 8


def test_the_ordinary_way_shares_it_too(azure: Emulated, tmp_path: Path) -> None:
    mark = azure.mark()
    ran = fleet(azure, tmp_path, [task("Again")], "-e", "aks_gpu_in_process=never")
    assert ran.status == 0, ran.output
    assert requests(azure, mark)["LIST"] == 1
    assert requests(azure, mark)["GET agentPools"] <= 1


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_a_feature_and_its_provider_once_for_all_clusters(azure: Emulated, tmp_path: Path, strategy: str) -> None:
    name = "ManagedGPUExperiencePreview"
    azure.act("feature", name=name, state="NotRegistered")
    mark = azure.mark()
    tasks = [
        {"name": "Feature", "aks.gpu.feature": {"name": name}},
        {"name": "Provider", "aks.gpu.resource_provider": {"refresh": True}},
    ]
    ran = fleet(azure, tmp_path, tasks, strategy=f"ansible.builtin.{strategy}")
    assert ran.status == 0, ran.output
    assert [each["feature"]["state"] for each in results(ran, "Feature")] == ["Registered"] * 4
    assert sorted(each["changed"] for each in results(ran, "Feature")) == [False, False, False, True]
    registered = [each for each in azure.sent(mark) if each["method"] == "POST" and "/register" in each["url"]]
    features = [each for each in registered if "/features/" in each["url"]]
    providers = [each for each in registered if "/features/" not in each["url"]]
    assert len(features) == 1
    assert 1 <= len(providers) <= (1 if strategy == "linear" else 4)
    assert features[0]["time"] < providers[0]["time"]
    assert any(each["changed"] for each in results(ran, "Provider"))


def test_one_token_a_run_in_a_private_file(azure: Emulated, tmp_path: Path) -> None:
    mark = azure.mark()
    find = ["find", str(tmp_path / "tmp"), "-printf", "%m %y %P\n"]
    modes = {"name": "Modes", "ansible.builtin.command": {"argv": find}, "run_once": True}
    ran = fleet(azure, tmp_path, [task("Again"), task("And again", wait=False), modes], "--forks", "4")
    assert ran.status == 0, ran.output
    assert sum(each["url"].endswith("/token") for each in azure.sent(mark)) == 1
    found = [line.split(maxsplit=2) for line in results(ran, "Modes")[0]["stdout_lines"]]
    run_directory = next(each[2] for each in found[1:] if each[1] == "d" and "/" not in each[2])
    assert [each[0] for each in found if each[2:] == [run_directory]] == ["700"]
    assert {each[0] for each in found if each[1] == "f" and "/azure-" in each[2]} == {"600"}
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_token_is_renewed_before_it_expires(azure: Emulated, tmp_path: Path) -> None:
    azure.set(token_lifetime_seconds=303.0)  # good for three seconds, then there are 300 left
    mark = azure.mark()
    try:
        ran = fleet(
            azure,
            tmp_path,
            [task("Again"), {"name": "Pause", "ansible.builtin.pause": {"seconds": 4}}, task("Later")],
        )
    finally:
        azure.set(token_lifetime_seconds=3599.0)
    assert ran.status == 0, ran.output
    assert sum(each["url"].endswith("/token") for each in azure.sent(mark)) == 2
    assert not any(each["status"] == 401 for each in azure.sent(mark))


# --- the library in processes of its own ----------------------------------------------------------------------------


def snapshot(azure: Emulated, folder: Path, seconds: float = 60.0) -> ClusterCache:
    """A snapshot as a task has it."""
    environment = azure.environment
    options = {
        "subscription_id": environment["AZURE_SUBSCRIPTION_ID"],
        "tenant": environment["AZURE_TENANT"],
        "client_id": environment["AZURE_CLIENT_ID"],
        "secret": environment["AZURE_SECRET"],
        "cloud_environment": environment["AZURE_CLOUD_ENVIRONMENT"],
        "ca_bundle": environment["REQUESTS_CA_BUNDLE"],
    }
    session = sign_in(options, str(folder), lambda *_secrets: None, Deadline(seconds), Progress())
    return ClusterCache(session.client, session.subscription_id, folder / "clusters")


def shown(azure: Emulated, folder: Path, cluster: str, since: float) -> CacheHit | None:
    return snapshot(azure, folder).pool(azure.cluster_path(cluster), "gpunp", since)


def known(azure: Emulated, folder: Path) -> float:
    """Makes it known that there are several clusters; returns the time before that."""
    since = time.monotonic()
    assert shown(azure, folder, CLUSTERS[0], since) is None
    assert shown(azure, folder, CLUSTERS[1], since) is not None
    return since


def test_many_at_once_make_one_list(azure: Emulated, tmp_path: Path) -> None:
    since = known(azure, tmp_path)
    mark = azure.mark()
    later = time.monotonic()
    azure.fault({"method": "GET", "path": r"managedClusters\?", "hang_after": 0.5, "times": 0})
    context = multiprocessing.get_context("fork")
    with context.Pool(8) as pool:
        found = pool.starmap(shown, [(azure, tmp_path, name, later) for name in CLUSTERS * 4])
    assert all(each is not None and each.pool is not None for each in found)
    assert requests(azure, mark) == {"LIST": 1}
    assert shown(azure, tmp_path, CLUSTERS[0], since) is not None
    assert requests(azure, mark) == {"LIST": 1}


def test_what_is_older_than_asked_for_is_listed_again(azure: Emulated, tmp_path: Path) -> None:
    known(azure, tmp_path)
    azure.act("pool", cluster=CLUSTERS[0], pool="gpunp", properties={"nodeLabels": {"team": "theirs"}})
    found = shown(azure, tmp_path, CLUSTERS[0], time.monotonic())
    assert found is not None
    assert found.pool is not None
    assert found.pool["properties"]["nodeLabels"]["team"] == "theirs"


def test_a_killed_task_leaves_the_list_to_the_next(azure: Emulated, tmp_path: Path) -> None:
    known(azure, tmp_path)
    azure.fault({"method": "GET", "path": r"managedClusters\?", "hang": 30.0, "times": 1})
    later = time.monotonic()
    process = multiprocessing.get_context("fork").Process(target=shown, args=(azure, tmp_path, CLUSTERS[0], later))
    process.start()
    while not (tmp_path / "clusters" / "list.lock").exists():
        time.sleep(0.01)
    time.sleep(0.3)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    began = time.monotonic()
    assert shown(azure, tmp_path, CLUSTERS[0], later) is not None
    assert time.monotonic() - began < 10


def test_a_pool_is_unknown_while_it_is_written_and_until_a_newer_list(azure: Emulated, tmp_path: Path) -> None:
    since = known(azure, tmp_path)
    cluster = azure.cluster_path(CLUSTERS[0])
    tested = snapshot(azure, tmp_path)
    with tested.invalidating(cluster, "gpunp"):
        assert tested.pool(cluster, "gpunp", time.monotonic()) is None
        assert tested.pool(azure.cluster_path(CLUSTERS[1]), "gpunp", since) is not None
    mark = azure.mark()
    assert tested.pool(cluster, "gpunp", since) is not None
    assert requests(azure, mark) == {"LIST": 1}


def test_a_write_without_an_answer_leaves_the_pool_unknown(azure: Emulated, tmp_path: Path) -> None:
    known(azure, tmp_path)
    cluster = azure.cluster_path(CLUSTERS[0])
    tested = snapshot(azure, tmp_path)
    with pytest.raises(KeyboardInterrupt), tested.invalidating(cluster, "gpunp"):
        raise KeyboardInterrupt
    assert tested.pool(cluster, "gpunp", time.monotonic()) is None
    with pytest.raises(AzureError), tested.invalidating(cluster, "gpunp"):
        raise AzureError("Unavailable", "down", status=503)
    assert tested.pool(cluster, "gpunp", time.monotonic()) is None
    with pytest.raises(AzureError), tested.invalidating(cluster, "gpunp"):
        raise AzureError("PreconditionFailed", "another etag", status=412)
    assert tested.pool(cluster, "gpunp", time.monotonic()) is not None


def test_a_list_that_lags_behind_a_write_is_not_believed(azure: Emulated, tmp_path: Path) -> None:
    known(azure, tmp_path)
    pool = azure.pool("gpunp", CLUSTERS[0])
    assert pool is not None
    cluster = azure.cluster_path(CLUSTERS[0])
    tested = snapshot(azure, tmp_path)
    with tested.invalidating(cluster, "gpunp", [pool["eTag"]]):
        pass
    assert tested.pool(cluster, "gpunp", time.monotonic()) is None
    with tested.invalidating(cluster, "new", [None]):
        pass
    assert tested.pool(cluster, "new", time.monotonic()) is None


def test_its_files_are_private(azure: Emulated, tmp_path: Path) -> None:
    known(azure, tmp_path)
    folder = tmp_path / "clusters"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert len(files) >= len(CLUSTERS)
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
