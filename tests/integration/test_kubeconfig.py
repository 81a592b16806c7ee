# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module kubeconfig against an emulated Azure: where credentials go, who can see them, what is left alone.

What ``az aks get-credentials`` gets wrong (lost entries of parallel merges, a switched current context, users of two
subscriptions that collide) is held against ours.
"""

from __future__ import annotations

import base64
import datetime
import json
import os
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml
from aks_sandbox.testing import Sandbox
from arm_harness import Call, play, run, text_of
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from harness import Ansible, PlaybookRun

Json = dict[str, Any]

FLEET = 6
WAYS = ("always", "never")
MINE = """\
# my clusters
apiVersion: v1
kind: Config
x-mine: kept
clusters:
  - name: prod   # careful
    cluster: {server: "https://prod:6443"}
contexts:
  - name: prod
    context: {cluster: prod, user: me}
users:
  - name: me
    user: {token: mine}
current-context: prod
"""


@pytest.fixture(scope="module")
def clusters() -> Iterator[Sandbox]:
    with Sandbox.started("kubeconfig", clusters=FLEET, kubernetes=False) as own:
        yield own


@pytest.fixture
def azure(clusters: Sandbox) -> Iterator[Sandbox]:
    """Clusters that only Azure knows: their kubeconfigs lead nowhere."""
    yield clusters
    clusters.clear_faults()


@pytest.fixture
def control(azure: Sandbox, tmp_path: Path) -> Ansible:
    return Ansible(azure, tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kube" / "config"


def credentials(azure: Sandbox, check: bool = False, **options: Any) -> Call:
    place = {"resource_group": azure.resource_group, "cluster_name": azure.cluster}
    return Call("kubeconfig", {**place, **options}, check)


def asked(azure: Sandbox, since: int) -> int:
    """How often Azure was asked for credentials."""
    return sum("credential" in each["url"].lower() and each["method"] == "POST" for each in azure.traffic(since))


def token_of(azure: Sandbox) -> str:
    config = yaml.safe_load(azure.kubeconfig(admin=False))
    user = config["users"][0]["user"]
    return str(user.get("token") or user["client-key-data"])


def four(control: Ansible, call: Call) -> tuple[list[bool], list[Json]]:
    checked = Call(call.module, call.options, True)
    results = play(control, checked, call, call, checked)
    assert not any(each["failed"] for each in results), results
    return [each["changed"] for each in results], results


def test_private_file_of_the_run(azure: Sandbox, control: Ansible) -> None:
    mark = azure.mark()
    look = {
        "name": "Look",
        "ansible.builtin.stat": {"path": "{{ first.path }}"},
        "register": "seen",
        "check_mode": False,
    }
    fetch = {
        "name": "Fetch",
        "aks.gpu.kubeconfig": {"resource_group": azure.resource_group, "cluster_name": azure.cluster},
    }
    for check in (True, False):
        tasks = [{**fetch, "register": "first"}, look, {**fetch, "name": "Fetch again"}]
        done = control.playbook([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}], check=check)
        assert done.changed == 0
        assert done["Look"]["stat"]["mode"] == "0600"
        assert done["Fetch"]["path"] == done["Fetch again"]["path"]
        assert done["Fetch"]["context"] == azure.cluster
        assert not Path(done["Fetch"]["path"]).exists()
        assert not Path(done["Fetch"]["path"]).parent.exists()
    assert asked(azure, mark) == 2
    assert azure.writes(mark) == []


def test_file_in_four_variants(azure: Sandbox, control: Ansible, path: Path) -> None:
    changed, results = four(control, credentials(azure, path=str(path)))
    assert changed == [True, True, False, False]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    config = yaml.safe_load(path.read_text())
    assert config["current-context"] == results[1]["context"] == azure.cluster
    assert results[0]["diff"]["before"] in ("", {})
    assert results[0]["diff"]["after"]["clusters"] == {azure.cluster: config["clusters"][0]["cluster"]["server"]}
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["config"]
    path.chmod(0o644)
    assert play(control, credentials(azure, path=str(path)))[0]["changed"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    changed, _results = four(control, credentials(azure, path=str(path), state="absent"))
    assert changed == [True, True, False, False]
    assert not path.exists()


@pytest.mark.parametrize(
    "content",
    [
        # kind's and k3s's own files, and what an editor may have left at the path
        "clusters: [{name: kind-kind, cluster: {server: 'https://127.0.0.1:6443'}}]\n",
        "users: [{name: default, user: {token: theirs}}]\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ncontexts: [{name: prod, context: {cluster: c}}]\n",
        "just a note\n",
    ],
)
def test_a_file_of_somebody_else_is_refused(azure: Sandbox, control: Ansible, path: Path, content: str) -> None:
    """Findings, E3; files of kind (https://kind.sigs.k8s.io/docs/user/quick-start/) and k3s (https://docs.k3s.io)."""
    path.parent.mkdir()
    path.write_text(content)
    mark = azure.mark()
    for state in ("present", "absent"):
        for check in (True, False):
            [refused] = play(control, credentials(azure, path=str(path), state=state, check=check))
            assert refused["failed"]
            assert "did not write" in refused["msg"]
            assert "merge: true" in refused["msg"]
            assert "theirs" not in refused["msg"]
    assert path.read_text() == content
    assert asked(azure, mark) == 0


def test_an_empty_file_is_written(azure: Sandbox, control: Ansible, path: Path) -> None:
    """As the module ansible.builtin.tempfile makes it."""
    path.parent.mkdir()
    path.touch()
    [written] = play(control, credentials(azure, path=str(path)))
    assert not written["failed"]
    assert "server" in path.read_text()


def test_a_second_principal_gets_its_own_kubeconfig(azure: Sandbox, control: Ansible) -> None:
    """Findings, E5: two credentials in one run."""
    mark = azure.mark()
    own = {"resource_group": azure.resource_group, "cluster_name": azure.cluster}
    environment = azure.environment()
    owner = {
        "client_id": environment["AKS_SANDBOX_OWNER_CLIENT_ID"],
        "secret": environment["AKS_SANDBOX_OWNER_SECRET"],
        "tenant": environment["AZURE_TENANT"],
    }
    tasks = [
        {"name": "First", "aks.gpu.kubeconfig": own},
        {"name": "Second", "aks.gpu.kubeconfig": {**own, **owner}},
        {"name": "Third", "aks.gpu.kubeconfig": {**own, "login": "azurecli"}},
        {"name": "First again", "aks.gpu.kubeconfig": own},
    ]
    done = control.playbook([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}])
    assert len({done[name]["path"] for name in ("First", "Second", "Third")}) == 3
    assert done["First"]["path"] == done["First again"]["path"]
    assert asked(azure, mark) == 3


def test_a_task_may_outlive_the_run(azure: Sandbox, control: Ansible, path: Path) -> None:
    """Findings, E10: poll 0 as the last task that counts. Its certificates are written when Azure has answered."""
    place = {"resource_group": azure.resource_group, "cluster_name": azure.cluster}
    options = {**place, "path": str(path), "run_command": "auto"}
    azure.act("cluster", cluster=azure.cluster, properties={"apiServerAccessProfile": {"enablePrivateCluster": True}})
    azure.fault("POST", "listClusterUserCredential", status=503, headers={"Retry-After": "9"})
    start = {"name": "Start", "aks.gpu.kubeconfig": options, "async": 90, "poll": 0}
    begun = {"name": "Let it begin", "ansible.builtin.wait_for": {"timeout": 3}}
    try:
        control.playbook([{"hosts": "localhost", "gather_facts": False, "tasks": [start, begun]}])
        assert not path.exists(), "the task was to end after the run"
        deadline = time.monotonic() + 30
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        azure.act("cluster", cluster=azure.cluster, properties={"apiServerAccessProfile": None})
    assert path.exists(), "the task failed after the run"
    assert "server" in path.read_text()


def test_check_mode_writes_no_file(azure: Sandbox, control: Ansible, path: Path) -> None:
    for options in ({"path": str(path)}, {"path": str(path), "merge": True}, {"directory": str(path.parent)}):
        assert play(control, credentials(azure, True, **options))[0]["changed"]
    assert not path.parent.exists()


def test_merge_in_four_variants_keeps_the_rest(azure: Sandbox, control: Ansible, path: Path) -> None:
    path.parent.mkdir()
    path.write_text(MINE)
    path.chmod(0o640)
    changed, results = four(control, credentials(azure, path=str(path), merge=True))
    assert changed == [True, True, False, False]
    text = path.read_text()
    assert set(MINE.splitlines()) <= set(text.splitlines())
    assert yaml.safe_load(text)["current-context"] == "prod"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert results[0]["diff"] == results[1]["diff"]
    current, admin = play(
        control,
        credentials(azure, path=str(path), merge=True, set_current_context=True),
        credentials(azure, path=str(path), merge=True, admin=True, context="boss"),
    )
    assert current["changed"]
    assert admin["changed"]
    config = yaml.safe_load(path.read_text())
    assert config["current-context"] == azure.cluster
    assert [entry["name"] for entry in config["contexts"]] == ["prod", azure.cluster, "boss"]
    assert len(config["clusters"]) == 2
    (refused,) = play(control, credentials(azure, path=str(path), merge=True, context="prod"))
    assert "belongs to another cluster" in text_of(refused)
    both = [
        credentials(azure, path=str(path), merge=True, state="absent", admin=admin, check=check)
        for admin in (False, True)
        for check in (True, False, False)
    ]
    assert [each["changed"] for each in play(control, *both)] == [True, True, False, True, True, False]
    assert path.read_text() == MINE.replace("prod\n", "prod\n", 1).replace(
        "current-context: prod", "current-context: ''"
    )


def test_parallel_merges_lose_nothing(azure: Sandbox, control: Ansible, path: Path) -> None:
    names = [each["name"] for each in azure.status()["clusters"]]
    assert len(names) == FLEET
    local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    hosts = {"all": {"vars": local, "hosts": {name: {} for name in names}}}
    options = {"resource_group": azure.resource_group, "path": str(path), "merge": True}
    task = {"name": "Merge", "aks.gpu.kubeconfig": {**options, "cluster_name": "{{ inventory_hostname }}"}}
    done = control.playbook(
        [{"hosts": "all", "gather_facts": False, "tasks": [task]}], inventory=hosts, arguments=("--forks", "6")
    )
    assert done.changed == FLEET
    config = yaml.safe_load(path.read_text())
    assert sorted(entry["name"] for entry in config["contexts"]) == sorted(names)
    assert sorted(entry["name"] for entry in config["clusters"]) == sorted(names)
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["config"]


def test_kubectl_is_given_way_to(azure: Sandbox, control: Ansible, path: Path) -> None:
    path.parent.mkdir()
    lock = path.with_name("config.lock")
    lock.touch()
    thread = threading.Timer(3, lock.unlink)
    thread.start()
    (merged,) = play(control, credentials(azure, path=str(path), merge=True))
    thread.join()
    assert merged["changed"]
    assert not merged["failed"]


@pytest.mark.parametrize("way", WAYS)
def test_content_is_censored_and_secrets_never_shown(azure: Sandbox, control: Ansible, path: Path, way: str) -> None:
    place = {"resource_group": azure.resource_group, "cluster_name": azure.cluster}
    tasks = [
        {"name": "Content", "aks.gpu.kubeconfig": {**place, "return_content": True}, "register": "content"},
        {"name": "Items", "aks.gpu.kubeconfig": {**place, "return_content": True}, "loop": [1, 2]},
        {"name": "Length", "ansible.builtin.debug": {"msg": "{{ content.kubeconfig | from_yaml | length }}"}},
        {"name": "File", "aks.gpu.kubeconfig": {**place, "path": str(path)}},
        {"name": "Merge", "aks.gpu.kubeconfig": {**place, "path": f"{path}2", "merge": True}},
    ]
    done = control.playbook(
        [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}],
        diff=True,
        arguments=("-vvv",),
        environment={"AKS_GPU_IN_PROCESS": way},
    )
    assert "own process" in done.output if way == "always" else "process of its own" in done.output
    assert int(done["Length"]["msg"]) > 4
    assert "the output has been hidden" in done.output
    assert token_of(azure) not in done.output
    assert azure.variables["AZURE_CLIENT_SECRET"] not in done.output


def entra(azure: Sandbox) -> str:
    """The kubeconfig of a cluster that authenticates by Entra ID, as Azure's answer."""
    config = yaml.safe_load(azure.kubeconfig(admin=False))
    config["users"][0]["user"] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": "kubelogin",
            "args": [
                *(
                    "get-token",
                    "--environment",
                    "AzurePublicCloud",
                    "--server-id",
                    "6dae42f8",
                    "--client-id",
                    "80faf920",
                ),
                *("--tenant-id", "of-the-cluster", "--login", "devicecode"),
            ],
            "env": None,
            "provideClusterInfo": False,
        }
    }
    return yaml.safe_dump(config)


def answer(text: str) -> Json:
    return {"kubeconfigs": [{"name": "clusterUser", "value": base64.b64encode(text.encode()).decode()}]}


def test_entra_id_without_a_person(azure: Sandbox, control: Ansible, path: Path) -> None:
    azure.fault("POST", "listClusterUserCredential", status=200, body=answer(entra(azure)), times=0)
    path.parent.mkdir()
    tasks: list[Json] = [
        {
            "name": "Private",
            "aks.gpu.kubeconfig": {"resource_group": azure.resource_group, "cluster_name": azure.cluster},
            "register": "private",
        },
        {"name": "Copy", "ansible.builtin.copy": {"src": "{{ private.path }}", "dest": f"{path}.private"}},
    ]
    control.playbook([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}])
    play(
        control,
        credentials(azure, path=str(path)),
        credentials(azure, path=f"{path}.cli", login="azurecli"),
        credentials(azure, path=f"{path}.merged", merge=True),
    )
    secret = azure.variables["AZURE_CLIENT_SECRET"]
    plugin = yaml.safe_load(path.read_text())["users"][0]["user"]["exec"]
    assert plugin["args"][:3] == ["get-token", "--login", "spn"]
    assert plugin["args"][plugin["args"].index("--client-id") + 1] == azure.variables["AZURE_CLIENT_ID"]
    assert secret in Path(f"{path}.private").read_text()
    for kept in (path, Path(f"{path}.merged"), Path(f"{path}.cli")):
        assert secret not in kept.read_text()
    assert "azurecli" in Path(f"{path}.cli").read_text()


def test_disabled_local_accounts_are_explained(azure: Sandbox, control: Ansible) -> None:
    text = "Getting static credential is not allowed because this cluster is set to disable local accounts."
    azure.fault("POST", "listClusterAdminCredential", status=400, body={"code": "BadRequest", "message": text}, times=0)
    (refused,) = play(control, credentials(azure, admin=True))
    assert "local accounts are disabled" in text_of(refused)
    assert "Leave admin out" in text_of(refused)
    assert refused["code"] == "BadRequest"


def test_unknown_cluster_names_those_that_are(azure: Sandbox, control: Ansible) -> None:
    (refused,) = play(control, credentials(azure, cluster_name="nope"))
    assert azure.cluster in text_of(refused)


def test_same_names_in_two_subscriptions(azure: Sandbox, control: Ansible, path: Path) -> None:
    other = azure.kubeconfig(admin=False).replace("https://", "https://other-")
    azure.fault("POST", "00000000-0000-0000-0000-00000000beef.*Credential", status=200, body=answer(other), times=0)
    results = play(
        control,
        credentials(azure, path=str(path), merge=True),
        credentials(azure, path=str(path), merge=True, subscription_id="00000000-0000-0000-0000-00000000beef"),
        credentials(azure, path=str(path), merge=True),
        credentials(azure, path=str(path), merge=True, subscription_id="00000000-0000-0000-0000-00000000beef"),
    )
    assert [each["changed"] for each in results] == [True, True, False, False], results
    config = yaml.safe_load(path.read_text())
    assert len({entry["name"] for entry in config["users"]}) == 2
    assert len({entry["cluster"]["server"] for entry in config["clusters"]}) == 2
    assert results[0]["context"] != results[1]["context"]


def test_a_fleets_directory_is_used_again(azure: Sandbox, control: Ansible, path: Path) -> None:
    mark = azure.mark()
    changed, results = four(control, credentials(azure, directory=str(path)))
    assert changed == [True, True, False, False]
    assert asked(azure, mark) == 1  # what was fetched to predict serves the run
    file = Path(results[1]["path"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("no kubeconfig")
    assert play(control, credentials(azure, directory=str(path)))[0]["changed"]
    assert asked(azure, mark) == 2
    changed, _results = four(control, credentials(azure, directory=str(path), state="absent"))
    assert changed == [True, True, False, False]


def test_a_change_is_predicted_once_as_it_is_made_once(azure: Sandbox, control: Ansible, path: Path) -> None:
    """Each role gets the credentials anew; a run writes the file with the first."""
    tasks = [credentials(azure, check, directory=str(path)) for check in (True, True)]
    mark = azure.mark()
    results = play(control, *tasks)
    assert [each["changed"] for each in results] == [True, False]
    assert results[0]["diff"]["after"]
    assert not results[1].get("diff")
    assert results[0]["path"] == results[1]["path"]
    assert asked(azure, mark) == 1
    assert not path.exists()
    results = play(control, *tasks, credentials(azure, directory=str(path)), credentials(azure, directory=str(path)))
    assert [each["changed"] for each in results] == [True, False, True, False]
    assert yaml.safe_load(Path(results[3]["path"]).read_text())["current-context"] == azure.cluster


def expired(config: Json) -> Json:
    """A kubeconfig whose client certificate ends within a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "user")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=300))
        .not_valid_after(now + datetime.timedelta(hours=23))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    (user,) = config["users"]
    user["user"]["client-certificate-data"] = base64.b64encode(certificate).decode()
    return config


def test_a_fleets_next_run_asks_only_for_files_that_are_no_use(azure: Sandbox, control: Ansible, path: Path) -> None:
    """The last cluster is two hosts, as two node pools of it are."""
    names = [each["name"] for each in azure.status()["clusters"]]
    hosts = {name.lower(): {"aks_cluster_name": name} for name in names}
    hosts["again"] = {"aks_cluster_name": names[-1]}
    common = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    options = {
        "resource_group": azure.resource_group,
        "cluster_name": "{{ aks_cluster_name }}",
        "directory": str(path),
    }
    tasks = [{"aks.gpu.kubeconfig": options}] * 2
    plays = [{"hosts": "all", "connection": "local", "gather_facts": False, "tasks": tasks}]

    def fleet() -> tuple[PlaybookRun, int]:
        mark = azure.mark()
        ran = control.playbook(plays, inventory={"all": {"hosts": hosts, "vars": common}})
        return ran, asked(azure, mark)

    ran, count = fleet()
    assert FLEET <= count <= FLEET + 1  # the two hosts may ask at once
    files = {each.host: Path(each.result["path"]) for each in ran.results}
    assert len(set(files.values())) == FLEET
    assert files["again"] == files[names[-1].lower()]
    texts = {file: file.read_text() for file in files.values()}
    assert set(path.iterdir()) == set(texts)
    assert {stat.S_IMODE(file.stat().st_mode) for file in texts} == {0o600}
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    ran, count = fleet()
    assert (ran.changed, count) == (0, 0)

    truncated, foreign, old, readable, *_others = (files[name.lower()] for name in names)
    truncated.write_text(texts[truncated][: len(texts[truncated]) // 2])
    foreign.write_text(texts[old])
    old.write_text(yaml.safe_dump(expired(yaml.safe_load(texts[old]))))
    readable.chmod(0o644)
    ran, count = fleet()
    assert (ran.changed, count) == (4, 3)
    assert {file: file.read_text() for file in texts} == texts
    assert {stat.S_IMODE(file.stat().st_mode) for file in texts} == {0o600}


def test_absent_asks_nobody(azure: Sandbox, control: Ansible, path: Path) -> None:
    play(control, credentials(azure, path=str(path), merge=True))
    mark = azure.mark()
    nobody = {name: "" for name in azure.variables if name.startswith("AZURE_") and name != "AZURE_SUBSCRIPTION_ID"}
    (gone,) = play(control, credentials(azure, path=str(path), merge=True, state="absent"), environment=nobody)
    assert gone["changed"], gone
    assert azure.traffic(mark) == []


@pytest.mark.parametrize("options", [{"merge": True}, {"path": "x", "directory": "y"}, {"state": "maybe"}])
def test_refused_before_anything_happens(azure: Sandbox, control: Ansible, options: Json) -> None:
    mark = azure.mark()
    (refused,) = play(control, credentials(azure, **options))
    assert refused["failed"]
    assert azure.traffic(mark) == []


def test_a_broken_file_is_left_alone(azure: Sandbox, control: Ansible, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("clusters: [")
    (refused,) = play(control, credentials(azure, path=str(path), merge=True))
    assert "no valid YAML" in text_of(refused)
    assert path.read_text() == "clusters: ["


def test_the_file_leads_to_the_cluster(sandbox: Sandbox, ansible: Ansible, path: Path) -> None:
    """With a real control plane, read by the Kubernetes client of others."""
    done: PlaybookRun = run(
        ansible,
        Call(
            "kubeconfig",
            {
                "resource_group": sandbox.resource_group,
                "cluster_name": sandbox.cluster,
                "path": str(path),
                "admin": True,
            },
        ),
    )
    assert done.changed == 1
    client = kubernetes.config.new_client_from_config(str(path))
    assert kubernetes.client.CoreV1Api(client).list_node().items
    kubectl = sandbox.variables.get("AKS_SANDBOX_KUBECTL", "kubectl")
    listed = subprocess.run(
        [kubectl, "--kubeconfig", str(path), "config", "view", "-o", "json"],
        capture_output=True,
        check=True,
        env={**os.environ},
    )
    assert json.loads(listed.stdout)["current-context"] == f"{sandbox.cluster}-admin"
