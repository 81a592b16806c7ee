# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known is said, with what could not be read: lists that take too long or fail, logs that can't be had."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics import (
    _gpu_probe,
    _wait_for_gpus,
    _wait_for_job,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _watch
from ansible_collections.aks.gpu.plugins.modules import gpu_probe, wait_for_gpus, wait_for_job
from ansible_collections.aks.gpu.plugins.plugin_utils import _isolation

Json = dict[str, Any]
NODE = "aks-gpunp-28993262-vmss000000"
OTHER = "aks-gpunp-28993262-vmss000001"
NODES, PODS, DAEMON_SETS = "/api/v1/nodes", "/api/v1/pods", "/apis/apps/v1/daemonsets"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
JOB_PODS = "/api/v1/namespaces/default/pods"
HANGS = 599
"""In place of a status: the answer does not come."""

TUNNEL = 'Get "https://10.224.0.5:10250/containerLogs/default/work/c": dial tcp 10.224.0.5:10250: i/o timeout'
"""kubernetes/kubernetes#76987; Azure/AKS#1632 has it on one node of two."""

OVERLOADED = "etcdserver: request timed out"
"""kubernetes/kubernetes#34709: lists that answer 500 while the server is under load."""


class Server(http.server.ThreadingHTTPServer):
    """An API server of a few objects.

    Attributes:
        objects: By path of their collection.
        answers: In place of these objects a status and a message, by path.
        logs: By name of the Pod: its log, or a status.
        applied: What clients have applied.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, list[Json]] = {}
        self.answers: dict[str, tuple[int, str]] = {}
        self.logs: dict[str, str | tuple[int, str]] = {}
        self.applied: list[Json] = []
        self.ending = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        code, message = self.server.answers.get(path, (200, ""))
        if code == HANGS:
            self.server.ending.wait(20)
            return
        if "watch=true" in self.path and code == 200:
            self.send_response(200)
            self.end_headers()
            self.server.ending.wait(20)
            return
        if path.endswith("/log"):
            log = self.server.logs[path.split("/")[-2]]
            if isinstance(log, str):
                self.answer(200, log.encode())
                return
            code, message = log
        if code != 200:
            self.status(code, message)
            return
        items = self.server.objects.get(path, [])
        self.answer(200, json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode())

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body["metadata"]["uid"] = f"uid-{body['metadata']['name']}"
        self.server.applied.append(body)
        self.server.objects.setdefault(JOBS, []).append(body)
        self.server.objects.setdefault(JOB_PODS, []).append(pod_of(body))
        self.answer(200, json.dumps(body).encode())

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        code, message = self.server.answers.get("DELETE", (200, ""))
        if code == 200:
            self.answer(200, b"{}")
        else:
            self.status(code, message)

    def status(self, code: int, message: str) -> None:
        self.answer(code, json.dumps({"kind": "Status", "code": code, "message": message}).encode())

    def answer(self, code: int, body: bytes) -> None:
        with contextlib.suppress(OSError):
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def node(name: str = NODE, ready: bool = False) -> Json:
    reason = ("KubeletReady", "ready") if ready else ("KubeletNotReady", "container runtime is down")
    condition = {"type": "Ready", "status": str(ready), "reason": reason[0], "message": reason[1]}
    gpus = {"nvidia.com/gpu": "1"}
    return {
        "metadata": {"name": name, "uid": name, "labels": {"kubernetes.azure.com/agentpool": "gpunp"}},
        "status": {"capacity": gpus, "allocatable": gpus, "conditions": [condition]},
    }


def pod_of(job: Json, name: str = "", where: str = "") -> Json:
    """The Pod of a Job that has succeeded; of a probe on the node that it is bound to."""
    name = name or job["metadata"]["name"]
    spec = job["spec"]["template"]["spec"]
    if not where:
        affinity = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        where = affinity["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]
    container = spec["containers"][0]["name"]
    ended = {"terminated": {"exitCode": 0, "finishedAt": "2026-08-01T10:03:00Z"}}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"pod-{name}",
            "creationTimestamp": "2026-08-01T10:00:00Z",
            "ownerReferences": [{"uid": job["metadata"]["uid"]}],
        },
        "spec": {"nodeName": where, "containers": [{"name": container}]},
        "status": {
            "phase": "Succeeded",
            "containerStatuses": [{"name": container, "image": "i", "restartCount": 0, "state": ended}],
        },
    }


def complete_job() -> Json:
    return {
        "metadata": {"name": "work", "namespace": "default", "uid": "job"},
        "spec": {"template": {"spec": {"containers": [{"name": "c"}]}}},
        "status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]},
    }


Run = Callable[..., Json]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(_wait_for_gpus, "GPU_FIRST_READ_SECONDS", 0.5)
    monkeypatch.setattr(_wait_for_job, "JOB_FIRST_READ_SECONDS", 0.5)
    for module in (_watch, _gpu_probe):
        monkeypatch.setattr(module, "RETRY_SECONDS", 0.3)
    found = Server()
    threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield found
    found.ending.set()
    found.shutdown()
    found.server_close()


@pytest.fixture
def run(server: Server, tmp_path: Path) -> Run:
    path = tmp_path / "config"
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "default"}}
    config = {
        "clusters": [cluster],
        "contexts": [context],
        "users": [{"name": "u", "user": {}}],
        "current-context": "c",
    }
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **config}))

    def run(module: ModuleType, **options: Any) -> Json:
        ended = _isolation.call_main(
            module.main,
            json.dumps({"ANSIBLE_MODULE_ARGS": {"kubeconfig": str(path), "wait_timeout": 1, **options}}).encode(),
            environment={},
            working_directory=str(tmp_path),
            parent_directory=str(tmp_path),
            show=lambda _line: None,
        )
        return dict(json.loads(ended.stdout.strip().splitlines()[-1]))

    return run


@pytest.mark.parametrize(
    ("late", "collection"),
    [
        (PODS, "pods"),
        (DAEMON_SETS, "daemon_sets"),
        ("/api/v1/events", "events"),
        ("/apis/resource.k8s.io/v1/resourceslices", "resource_slices"),
    ],
)
def test_a_first_look_that_misses_its_deadline(server: Server, run: Run, late: str, collection: str) -> None:
    """Findings C3: 5,000 Pods over a slow line; "could not be looked at", and the NotReady reason discarded."""
    server.objects[NODES] = [node()]
    server.answers[late] = (HANGS, "")
    result = run(wait_for_gpus, node_pool="gpunp", wait_timeout=3)
    assert result["failed"]
    assert "NotReady: KubeletNotReady: container runtime is down" in result["msg"]
    assert f"Not looked at: GET {late}: it was not read within 3 s" in result["msg"]
    assert [problem["cause"] for problem in result["problems"]] == ["NotReady"]
    assert result["not_looked_at"] == [collection]
    assert result["nodes"][0]["in_use"] == (None if late == PODS else 0)


def test_nothing_is_known_without_the_nodes(server: Server, run: Run) -> None:
    server.answers[NODES] = (HANGS, "")
    result = run(wait_for_gpus, node_pool="gpunp")
    assert "did not answer in time. Not read: nodes." in result["msg"]
    assert "nodes" not in result


@pytest.mark.parametrize("failing", [PODS, DAEMON_SETS])
@pytest.mark.parametrize("code", [500, 504, 429])
def test_a_list_that_fails_does_not_take_the_rest_with_it(server: Server, run: Run, failing: str, code: int) -> None:
    server.objects[NODES] = [node()]
    server.answers[failing] = (code, OVERLOADED)
    result = run(wait_for_gpus, node_pool="gpunp", wait_timeout=3)
    assert [problem["cause"] for problem in result["problems"]] == ["NotReady"]
    assert "Not looked at: " in result["msg"]
    assert OVERLOADED in result["msg"]
    assert result["not_looked_at"] == ["pods" if failing == PODS else "daemon_sets"]


def test_a_list_that_failed_is_read_later(server: Server, run: Run) -> None:
    server.objects[NODES] = [node(ready=False)]
    server.answers[PODS] = (500, OVERLOADED)
    threading.Timer(1.5, server.answers.clear).start()
    result = run(wait_for_gpus, node_pool="gpunp", wait_timeout=5)
    assert result["not_looked_at"] == []
    assert result["nodes"][0]["in_use"] == 0


def test_free_gpus_are_not_guessed(server: Server, run: Run) -> None:
    server.objects[NODES] = [node(ready=True)]
    server.answers[PODS] = (500, OVERLOADED)
    result = run(gpu_probe, node_pool="gpunp")
    assert "Which GPUs are free can't be seen" in result["msg"]
    assert OVERLOADED in result["msg"]
    assert server.applied == []


@pytest.mark.parametrize("answer", [(HANGS, ""), (500, OVERLOADED), (403, "nodes is forbidden")])
def test_a_job_is_judged_without_the_nodes(server: Server, run: Run, answer: tuple[int, str]) -> None:
    job = complete_job()
    server.objects[JOBS], server.objects[JOB_PODS] = [job], [pod_of(job, "work-1", NODE)]
    server.logs["work-1"] = "Accuracy at step 490: 0.95\n"
    server.answers[NODES] = answer
    result = run(wait_for_job, name="work", wait_timeout=3)
    assert not result.get("failed"), result
    (pod,) = result["job"]["pods"]
    assert (pod["node_pool"], pod["node_is_there"]) == ("gpunp", None)
    if answer[0] != HANGS:
        assert (result["job"]["accuracy_last"], result["job"]["log_state"]) == (0.95, "read")
    else:
        assert result["job"]["log_state"] == "not_read"


@pytest.mark.parametrize(
    ("log", "nodes", "state"),
    [
        pytest.param((404, f'nodes "{NODE}" not found'), [], "gone", id="the Pod's node is gone"),
        pytest.param((500, TUNNEL), [], "gone", id="nobody answers where the node was"),
        pytest.param((500, TUNNEL), [node(ready=True)], "not_read", id="the node is there"),
        # kubernetes/kubernetes#98236
        pytest.param(
            "unable to retrieve container logs for containerd://61a93aa17bfb193b", [node(ready=True)], "gone",
            id="its container is gone",
        ),
    ],
)  # fmt: skip
def test_a_log_that_can_not_be_read_any_more(
    server: Server, run: Run, log: str | tuple[int, str], nodes: list[Json], state: str
) -> None:
    """Findings C12: what is gone is told, and only what can still be read is waited for; neither says no."""
    job = complete_job()
    server.objects.update({JOBS: [job], JOB_PODS: [pod_of(job, "work-1", NODE)], NODES: nodes})
    server.logs["work-1"] = log
    result = run(wait_for_job, name="work", minimum_accuracy=0.9, wait_timeout=5)
    assert result["job"]["log_state"] == state
    assert result["job"]["devices"] == []
    causes = [problem["cause"] for problem in result["problems"]]
    assert causes == (["LogGone"] if state == "gone" else ["LogNotRead"])
    assert bool(result.get("failed")) == (state == "not_read")


def test_there_is_no_job(server: Server, run: Run) -> None:
    result = run(wait_for_job, name="work")
    assert "There is no Job work" in result["msg"]
    assert (result["job"]["exists"], result["job"]["complete"]) == (False, False)


LISTING = "GPU 0: Tesla T4 (UUID: GPU-aaaa-0)\nDevice GPU-aaaa-0\nTest PASSED\n"


def test_one_probe_whose_log_can_not_be_read(server: Server, run: Run) -> None:
    """Azure/AKS#1632: the logs of one node of two can be read. The probe of the good node was thrown away."""
    server.objects[NODES] = [node(NODE, ready=True), node(OTHER, ready=True)]

    class Logs(dict[str, str | tuple[int, str]]):
        def __missing__(self, name: str) -> str | tuple[int, str]:
            return LISTING if NODE in name else (500, TUNNEL)

    server.logs = Logs()
    result = run(gpu_probe, node_pool="gpunp", wait_timeout=20)
    assert result["failed"]
    good, bad = result["probes"]
    assert (good["node"], good["passed"], good["works"], good["problem"]) == (NODE, 1, True, None)
    assert (good["node_pool"], bad["node_pool"]) == ("gpunp", "gpunp")
    assert (bad["node"], bad["seen"]) == (OTHER, None)
    assert "its log could not be read" in bad["problem"]
    assert "i/o timeout" in bad["problem"]
    assert f"Node {OTHER}: what its probe found is not known" in result["msg"]
    labels = [job["metadata"]["labels"]["aks.gpu/node-pool"] for job in server.applied]
    assert labels == ["gpunp", "gpunp"]


@pytest.mark.parametrize(("log", "passed"), [(LISTING, 1), (LISTING.replace("Test PASSED", "Test FAILED"), 0)])
def test_probes_that_can_not_be_removed(server: Server, run: Run, log: str, passed: int) -> None:
    """What they found is known all the same, and comes first."""
    server.objects[NODES] = [node(ready=True)]
    server.answers["DELETE"] = (403, "jobs.batch is forbidden")

    class Logs(dict[str, str | tuple[int, str]]):
        def __missing__(self, name: str) -> str:
            return log

    server.logs = Logs()
    result = run(gpu_probe, node_pool="gpunp", wait_timeout=20)
    assert result["failed"]
    assert "could not be removed" in result["msg"]
    assert [probe["passed"] for probe in result["probes"]] == [passed]
    assert ("did not pass" in result["msg"]) == (passed == 0)
