"""The simulated kubelets of a cluster: they run Pods as a kubelet reports them, without running anything.

Each Pod on a simulated node has one `PodWorker`. It admits the Pod, pulls its images, plays its containers' scripts
(`workloads`), restarts them by the Pod's policy with back-off, writes statuses and events in a kubelet's words, and
ends them when the Pod is deleted. The real controllers see nothing else and do the rest.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import posixpath
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from aks_sandbox import gpu_operator, gpus, workloads
from aks_sandbox.apiclient import STRATEGIC, ApiClient, ApiError, background
from aks_sandbox.gpus import GPU, Device, extended_resources
from aks_sandbox.interfaces import Json, Settings, matching
from aks_sandbox.logs import ContainerLog, LogStore
from aks_sandbox.nodes import SimulatedNode, base_resources, timestamp
from aks_sandbox.sizes import K80
from aks_sandbox.workloads import FOREVER, MARK, Script, Situation

_RETRY_SECONDS = 0.2
_MOST_BACKOFFS = 30
_TERMINAL = ("Succeeded", "Failed")
_UNREACHABLE = (aiohttp.ClientError, TimeoutError, OSError)
_SEES_ALL_GPUS = ("nvidia/cuda", "vectoradd", "cuda-sample", "pytorch", "tensorflow", "nvcr.io/nvidia/")
"""Images whose own environment says NVIDIA_VISIBLE_DEVICES=all."""


class EventRecorder:
    """Writes Events; a repeated one is counted up as a kubelet does."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._seen: dict[tuple[str, ...], tuple[str, int]] = {}

    async def record(self, involved: Json, kind: str, reason: str, message: str, component: str = "kubelet") -> None:
        """Write an Event about an object reference. Failures are ignored: events are never guaranteed."""
        namespace = involved.get("namespace") or "default"
        key = (namespace, involved.get("uid", ""), involved.get("fieldPath", ""), reason, message)
        known = self._seen.get(key)
        now = timestamp()
        with contextlib.suppress(ApiError, *_UNREACHABLE):
            if known is not None:
                name, count = known[0], known[1] + 1
                self._seen[key] = (name, count)
                await self._client.patch(
                    f"/api/v1/namespaces/{namespace}/events/{name}", {"count": count, "lastTimestamp": now}
                )
                return
            name = f"{involved['name']}.{random.getrandbits(64):016x}"
            self._seen[key] = (name, 1)
            if len(self._seen) > 5000:
                self._seen.pop(next(iter(self._seen)))
            await self._client.create(
                f"/api/v1/namespaces/{namespace}/events",
                {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {"name": name, "namespace": namespace},
                    "involvedObject": involved,
                    "type": kind,
                    "reason": reason,
                    "message": message,
                    "source": {"component": component, **({"host": involved["host"]} if "host" in involved else {})},
                    "firstTimestamp": now,
                    "lastTimestamp": now,
                    "count": 1,
                },
            )


@dataclass(frozen=True)
class Fault:
    """What `Settings.image_faults` says of an image."""

    kind: str
    message: str = ""
    exit_code: int = 1
    after: float = 0.2

    @classmethod
    def of(cls, value: Any) -> Fault:
        if isinstance(value, str):
            kind, _unused, message = value.partition(":")
            return cls(kind.strip(), message.strip())
        return cls(
            str(value.get("fault", "crash")),
            str(value.get("message", "")),
            int(value.get("exit_code", 1)),
            float(value.get("after", 0.2)),
        )


class Kubelets:
    """All kubelets of a cluster. Feed it every Pod event of the cluster."""

    def __init__(self, client: ApiClient, settings: Settings, logs: LogStore, recorder: EventRecorder) -> None:
        self.client = client
        self.settings = settings
        self.logs = logs
        self.recorder = recorder
        self.nodes: dict[str, SimulatedNode] = {}
        self._workers: dict[str, PodWorker] = {}
        self._fault_uses: dict[str, int] = {}

    async def handle(self, kind: str, pod: Json) -> None:
        """A Pod was added, modified or deleted."""
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if kind == "DELETED":
            if worker is not None:
                worker.deleted()
            self.logs.forget(pod["metadata"]["namespace"], pod["metadata"]["name"])
            return
        if worker is not None:
            worker.update(pod)
            return
        node = self.nodes.get(pod["spec"].get("nodeName", ""))
        if node is None:
            return
        deleting = "deletionTimestamp" in pod["metadata"]
        if pod.get("status", {}).get("phase") in _TERMINAL and not deleting:
            return
        worker = self._workers[uid] = PodWorker(self, pod, node, self._forget)
        worker.start()

    def adopt(self, pods: list[Json], node: SimulatedNode) -> None:
        """Pods that were bound to a node before it was known here."""
        for pod in pods:
            uid = pod["metadata"]["uid"]
            here = pod["spec"].get("nodeName") == node.name and pod.get("status", {}).get("phase") not in _TERMINAL
            if here and uid not in self._workers:
                worker = self._workers[uid] = PodWorker(self, pod, node, self._forget)
                worker.start()

    def on_node(self, name: str) -> list[PodWorker]:
        return [worker for worker in self._workers.values() if worker.node.name == name]

    async def stop(self) -> None:
        workers = list(self._workers.values())
        for worker in workers:
            worker.deleted()
        await asyncio.gather(*(worker.wait() for worker in workers))

    def fault(self, image: str) -> Fault | None:
        """The fault to play for an image now; counts its uses."""
        for pattern, value in self.settings.image_faults.items():
            if matching({pattern: True}, image) is None:
                continue
            if isinstance(value, dict) and "times" in value:
                used = self._fault_uses.get(pattern, 0)
                if used >= int(value["times"]):
                    continue
                self._fault_uses[pattern] = used + 1
            return Fault.of(value)
        return None

    def settings_changed(self, names: set[str]) -> None:
        if "image_faults" in names:
            self._fault_uses.clear()
            for worker in self._workers.values():
                worker.retry_pulls()

    def _forget(self, worker: PodWorker) -> None:
        self._workers.pop(worker.uid, None)


@dataclass(eq=False)
class _Container:
    """One container of a Pod and the state that its status shows."""

    spec: Json
    init: bool = False
    state: Json = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last_state: Json = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    started: bool = False
    identity: str = ""
    devices: tuple[Device, ...] = ()
    log: ContainerLog | None = None

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def sidecar(self) -> bool:
        return self.init and self.spec.get("restartPolicy") == "Always"

    def status(self) -> Json:
        image = self.spec.get("image", "")
        pulled = bool(self.identity)
        return {
            "name": self.name,
            "image": image,
            "imageID": f"{image.split(':')[0]}@sha256:{hashlib.sha256(image.encode()).hexdigest()}" if pulled else "",
            "containerID": self.identity,
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last_state,
        }


class _Refused(Exception):
    """The kubelet fails the whole Pod: reason and message of its status."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class PodWorker:
    """Runs one Pod from binding to deletion."""

    def __init__(self, kubelets: Kubelets, pod: Json, node: SimulatedNode, done: Callable[[PodWorker], None]) -> None:
        self._kubelets = kubelets
        self._client = kubelets.client
        self._settings = kubelets.settings
        self._pod = pod
        self.node = node
        self._done = done
        self.uid: str = pod["metadata"]["uid"]
        self.name: str = pod["metadata"]["name"]
        self.namespace: str = pod["metadata"]["namespace"]
        spec = pod["spec"]
        self._init = [
            _Container(each, init=True, state=_waiting("PodInitializing")) for each in spec.get("initContainers", ())
        ]
        initial = "PodInitializing" if self._init else "ContainerCreating"
        for each in self._init:
            each.state = _waiting("PodInitializing" if each is not self._init[0] else "ContainerCreating")
        self._containers = [_Container(each, state=_waiting(initial)) for each in spec["containers"]]
        self._policy: str = spec.get("restartPolicy", "Always")
        self._started_at = timestamp()
        self._address: str | None = None
        self._phase: str | None = None
        self._reason: tuple[str, str] | None = None
        self._conditions: dict[str, tuple[str, str]] = {}
        self._sandbox_ready = False
        self._initialized = not self._init
        self._killing = asyncio.Event()
        self._pull_now = asyncio.Event()
        self._posted: Json | None = None
        self._posting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._late_post: asyncio.Task[None] | None = None
        self._files: dict[str, dict[str, bytes]] = {}
        if "deletionTimestamp" in pod["metadata"]:
            self._killing.set()

    def start(self) -> None:
        self._task = background(self._run(), f"pod {self.namespace}/{self.name}")

    def update(self, pod: Json) -> None:
        self._pod = pod
        if "deletionTimestamp" in pod["metadata"]:
            self._killing.set()

    def deleted(self) -> None:
        """The Pod object is gone."""
        if self._task is not None:
            self._task.cancel()

    def retry_pulls(self) -> None:
        """Faults were changed: whoever backs off from a failed pull tries again."""
        self._pull_now.set()
        self._pull_now = asyncio.Event()

    async def wait(self) -> None:
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def _reference(self) -> Json:
        return {
            "kind": "Pod",
            "apiVersion": "v1",
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "host": self.node.name,
        }

    async def _event(self, kind: str, reason: str, message: str, container: _Container | None = None) -> None:
        involved = {key: value for key, value in self._reference.items() if key != "host"}
        if container is not None:
            group = "initContainers" if container.init else "containers"
            involved["fieldPath"] = f"spec.{group}{{{container.name}}}"
        await self._kubelets.recorder.record(involved, kind, reason, message)

    # Life of the Pod

    async def _run(self) -> None:
        try:
            life = asyncio.create_task(self._live())
            killing = asyncio.create_task(self._killing.wait())
            try:
                await asyncio.wait({life, killing}, return_when=asyncio.FIRST_COMPLETED)
                if life.done() and not life.cancelled() and not self._killing.is_set():
                    life.result()
                    await killing
            finally:
                for task in (life, killing):
                    task.cancel()
                await asyncio.gather(life, killing, return_exceptions=True)
                self.node.release(self.uid)
            await self._terminate()
        finally:
            self._withdraw()
            for container in (*self._init, *self._containers):
                if container.log is not None:
                    await container.log.end()
            self._done(self)

    async def _live(self) -> None:
        deadline = self._pod["spec"].get("activeDeadlineSeconds")
        try:
            async with asyncio.timeout(deadline):
                await self._play()
        except TimeoutError:
            await self._fail_running(
                "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
            )
        except _Refused as refusal:
            await self._fail_running(refusal.reason, refusal.message)
        self.node.release(self.uid)

    async def _play(self) -> None:
        await self._admit()
        await self._post()
        await self._mount()
        self._address = self.node.address if self._pod["spec"].get("hostNetwork") else self.node.pod_address()
        self._sandbox_ready = True
        tasks: list[asyncio.Task[bool]] = []
        try:
            well = await self._run_containers(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for container in self._init:
            await self._kill(container)
        self._phase = "Succeeded" if well else "Failed"
        await self._post()

    async def _run_containers(self, tasks: list[asyncio.Task[bool]]) -> bool:
        """Init containers in turn, then all others. Returns whether all ended well; `tasks` gets what is started."""
        for container in self._init:
            task = asyncio.create_task(self._run_container(container))
            tasks.append(task)
            if container.sidecar:
                while not container.started and not task.done():
                    await asyncio.sleep(0.02)
            elif not await task:
                return False
        self._initialized = True
        regular = [asyncio.create_task(self._run_container(container)) for container in self._containers]
        tasks.extend(regular)
        return all(await asyncio.gather(*regular))

    async def _fail_running(self, reason: str, message: str) -> None:
        """End what runs and report the Pod's phase."""
        for container in (*self._init, *self._containers):
            await self._kill(container)
        if reason:
            self._phase, self._reason = "Failed", (reason, message)
            await self._event("Warning", reason, message)
        await self._post()

    async def _terminate(self) -> None:
        """The Pod was deleted: end its containers, report, let the object go."""
        if any("running" in container.state for container in self._containers):
            for container in self._containers:
                if "running" in container.state:
                    await self._event("Normal", "Killing", f"Stopping container {container.name}", container)
            grace = self._pod["metadata"].get("deletionGracePeriodSeconds", 30)
            await asyncio.sleep(min(grace, self._settings.pod_termination_seconds))
        for container in (*self._init, *self._containers):
            await self._kill(container)
        if self._phase not in _TERMINAL:
            ended = [container.state.get("terminated") for container in self._containers]
            self._phase = "Succeeded" if all(each and each["exitCode"] == 0 for each in ended) else "Failed"
        await self._post()
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": self.uid},
        }
        await self._persist(lambda: self._client.delete(f"/api/v1/namespaces/{self.namespace}/pods/{self.name}", body))

    async def _kill(self, container: _Container) -> None:
        if "running" in container.state:
            await self._ended(container, 137, "Error")
        container.ready = container.started = False

    async def _admit(self) -> None:
        requests = [each.get("resources", {}).get("requests", {}) for each in self._pod["spec"]["containers"]]
        asked = sum(_milli(each.get("cpu")) for each in requests)
        present = _milli(base_resources(self.node.size, self.node.pool)[1]["cpu"])
        if asked > present:
            text = f"Node didn't have enough resource: cpu, requested: {asked}, used: 0, capacity: {present}"
            raise _Refused("OutOfcpu", text)
        wanted = extended_resources(self._pod["spec"]["containers"])
        for name, count in extended_resources(self._pod["spec"].get("initContainers", ())).items():
            wanted[name] = max(wanted.get(name, 0), count)
        if not wanted:
            return
        refusal = None
        if self.node.matches(self._settings.devices_lost):
            refusal = (
                "Allocate failed due to no healthy devices present; cannot allocate unhealthy devices "
                f"{next(iter(wanted))}, which is unexpected"
            )
        else:
            refusal = self.node.manager.allocate(self.uid, wanted, self.node.unhealthy_gpus())
        if refusal is not None:
            raise _Refused("UnexpectedAdmissionError", refusal)

    async def _mount(self) -> None:
        """Wait for the ConfigMaps and Secrets that volumes name; keep what ConfigMaps hold."""
        for volume in self._pod["spec"].get("volumes", ()):
            for kind, source in (("configmap", volume.get("configMap")), ("secret", volume.get("secret"))):
                if source is None:
                    continue
                name = source.get("name") or source.get("secretName")
                path = f"/api/v1/namespaces/{self.namespace}/{kind}s/{name}"
                while True:
                    found = await self._persist(lambda path=path: self._client.find(path))  # type: ignore[misc]
                    problem = f'{kind} "{name}" not found' if found is None else _missing_key(kind, source, found)
                    if problem is None or source.get("optional"):
                        break
                    await self._event(
                        "Warning", "FailedMount", f'MountVolume.SetUp failed for volume "{volume["name"]}" : {problem}'
                    )
                    await asyncio.sleep(self._settings.restart_backoff_seconds)
                if kind == "configmap" and found is not None:
                    data = _contents(found)
                    items = source.get("items")
                    self._files[volume["name"]] = (
                        {item["path"]: data[item["key"]] for item in items if item["key"] in data} if items else data
                    )

    def _mounted(self, container: _Container) -> dict[str, bytes]:
        """The files of ConfigMaps in a container, by path."""
        files: dict[str, bytes] = {}
        for mount in container.spec.get("volumeMounts", ()):
            for name, content in self._files.get(mount["name"], {}).items():
                if not mount.get("subPath"):
                    files[posixpath.normpath(posixpath.join(mount["mountPath"], name))] = content
                elif mount["subPath"] == name:
                    files[posixpath.normpath(mount["mountPath"])] = content
        return files

    # Containers

    async def _run_container(self, container: _Container) -> bool:
        """Pull, start and restart a container until it has ended for good. Returns whether it ended well."""
        crashes = 0
        policy = (
            "Always"
            if container.sidecar
            else ("OnFailure" if container.init and self._policy == "Always" else self._policy)
        )
        while True:
            fault = await self._pull(container, retry=crashes > 0)
            if fault is not None and fault.kind == "evicted":
                raise _Refused("Evicted", fault.message or "The node was low on resource: memory. ")
            await asyncio.sleep(self._settings.container_start_seconds)
            await self._begin(container)
            try:
                code, reason = await self._execute(container, fault)
            finally:
                self._withdraw(container)
            await self._ended(container, code, reason)
            container.ready = code == 0 and container.init
            if policy == "Never" or (policy == "OnFailure" and code == 0):
                await self._post()
                return code == 0
            await self._post()
            crashes = crashes + 1 if code else max(crashes, 1)
            await self._back_off(container, crashes)
            container.restarts += 1

    async def _back_off(self, container: _Container, crashes: int) -> None:
        """A kubelet restarts at once after the first crash, then waits ever longer."""
        if crashes == 1:
            await asyncio.sleep(min(0.3, self._settings.restart_backoff_seconds))
            container.last_state = dict(container.state)
            return
        seconds = self._backoff_seconds(crashes - 1)
        where = f"pod={self.name}_{self.namespace}({self.uid})"
        container.last_state = dict(container.state)
        container.state = _waiting(
            "CrashLoopBackOff",
            f"back-off {_kubelet_duration(crashes - 1)} restarting failed container={container.name} {where}",
        )
        await self._post()
        await self._event(
            "Warning",
            "BackOff",
            f"Back-off restarting failed container {container.name} in pod {self.name}_{self.namespace}({self.uid})",
            container,
        )
        await asyncio.sleep(seconds)

    def _backoff_seconds(self, attempt: int) -> float:
        base = self._settings.restart_backoff_seconds
        return float(min(base * 2 ** min(attempt - 1, 10), base * _MOST_BACKOFFS))

    async def _pull(self, container: _Container, *, retry: bool) -> Fault | None:
        """Pull the image, as often as it takes. Returns the fault to play once it runs."""
        image = container.spec["image"]
        attempt = 0
        while True:
            fault = self._kubelets.fault(image)
            if fault is not None and fault.kind == "config":
                message = fault.message or 'configmap "missing" not found'
                container.state = _waiting("CreateContainerConfigError", message)
                await self._post()
                await self._event("Warning", "Failed", f"Error: {message}", container)
                await self._wait_for_pull(self._settings.restart_backoff_seconds)
                continue
            if fault is None or fault.kind != "pull":
                break
            attempt += 1
            await self._event("Normal", "Pulling", f'Pulling image "{image}"', container)
            await asyncio.sleep(self._settings.image_pull_seconds)
            problem = fault.message or (
                f'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": failed to resolve '
                f'reference "{image}": {image}: not found'
            )
            message = f'Failed to pull image "{image}": {problem}'
            container.state = _waiting("ErrImagePull", problem)
            await self._post()
            await self._event("Warning", "Failed", message, container)
            await self._event("Warning", "Failed", "Error: ErrImagePull", container)
            await self._wait_for_pull(min(1.0, self._settings.restart_backoff_seconds))
            container.state = _waiting("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {problem}')
            await self._post()
            await self._event("Normal", "BackOff", f'Back-off pulling image "{image}"', container)
            await self._event("Warning", "Failed", "Error: ImagePullBackOff", container)
            await self._wait_for_pull(self._backoff_seconds(attempt))
        if image in self.node.pulled and container.spec.get("imagePullPolicy") != "Always":
            await self._event("Normal", "Pulled", f'Container image "{image}" already present on machine', container)
            return fault
        if not retry:
            await self._event("Normal", "Pulling", f'Pulling image "{image}"', container)
            started = time.monotonic()
            await asyncio.sleep(self._settings.image_pull_seconds)
            took = f"{(time.monotonic() - started) * 1000:.0f}ms"
            self.node.pulled.add(image)
            await self._event(
                "Normal",
                "Pulled",
                f'Successfully pulled image "{image}" in {took} ({took} including waiting). Image size: 0 bytes.',
                container,
            )
        return fault

    async def _wait_for_pull(self, seconds: float) -> None:
        event = self._pull_now
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    async def _begin(self, container: _Container) -> None:
        mark = hashlib.sha256(f"{self.uid}/{container.name}/{container.restarts}".encode()).hexdigest()
        container.identity = f"containerd://{mark}"
        container.log = self._kubelets.logs.begin(self.namespace, self.name, container.name)
        container.devices = self._devices(container)
        container.state = {"running": {"startedAt": timestamp()}}
        container.started = True
        container.ready = not container.init or container.sidecar
        delay = (container.spec.get("readinessProbe") or {}).get("initialDelaySeconds", 0)
        if delay and container.ready:
            container.ready = False
            asyncio.get_running_loop().call_later(min(delay, 2), self._set_ready, container)
        await self._post()
        await self._event("Normal", "Created", f"Created container: {container.name}", container)
        await self._event("Normal", "Started", f"Started container {container.name}", container)

    def _set_ready(self, container: _Container) -> None:
        if "running" in container.state and self._task is not None and not self._task.done():
            container.ready = True
            self._late_post = background(self._post(), f"readiness of {self.namespace}/{self.name}")

    async def _ended(self, container: _Container, code: int, reason: str) -> None:
        begun = (container.state.get("running") or {}).get("startedAt", timestamp())
        container.state = {
            "terminated": {
                "exitCode": code,
                "reason": reason,
                "startedAt": begun,
                "finishedAt": timestamp(),
                "containerID": container.identity,
            }
        }
        container.ready = container.started = False
        if container.log is not None:
            await container.log.end()

    async def _execute(self, container: _Container, fault: Fault | None) -> tuple[int, str]:
        """Run the container's program. Returns exit code and reason."""
        log = container.log
        assert log is not None
        kind = fault.kind if fault else ""
        if fault is not None and kind == "crash":
            await asyncio.sleep(fault.after)
            await log.write(fault.message or "panic: the sandbox was told to crash this container")
            return fault.exit_code or 1, "Error"
        if kind == "hang":
            await log.write(MARK)
            await asyncio.Event().wait()
        if kind != "driver_mismatch":
            if gpus.is_plugin(container.spec, self._pod):
                return await self._plugin(container, log)
            if gpus.is_mps_daemon(container.spec):
                return await self._attend(self.node.mps_pods, log, "Starting MPS control daemon")
            if gpus.is_driver(container.spec):
                return await self._attend(self.node.driver_pods, log, "Done, now waiting for signal")
            play = gpu_operator.program(container.spec)
            if play is not None:
                await log.write(f"[sandbox] simulated: {container.name}")
                await play(
                    gpu_operator.Place(
                        self._client, self.namespace, self.name, self.uid, self.node.name, self.node.gpus.size.nvidia
                    )
                )
                return 0, "Completed"
        situation = self._situation(container)
        script = workloads.driver_mismatch(situation) if kind == "driver_mismatch" else workloads.script(situation)
        code, reason = script.exit_code, "Completed" if script.exit_code == 0 else "Error"
        if fault is not None and kind in ("fail", "oom"):
            half = script.lines[: max(1, len(script.lines) // 2)]
            message = fault.message or ("" if kind == "oom" else "Error: the sandbox was told to fail this container")
            seconds = (script.seconds if script.seconds != FOREVER else 2 * fault.after) / 2
            script = Script([*half, *([(seconds, message)] if message else [])], seconds)
            code, reason = (137, "OOMKilled") if kind == "oom" else (fault.exit_code or 1, "Error")
        await self._print(script, log)
        return code, reason

    async def _print(self, script: Script, log: ContainerLog) -> None:
        started = time.monotonic()
        position = 0
        while position < len(script.lines):
            elapsed = time.monotonic() - started
            due = position
            while due < len(script.lines) and script.lines[due][0] <= elapsed + 0.01:
                due += 1
            if due > position:
                await log.write(*(text for _unused, text in script.lines[position:due]))
                position = due
            else:
                # Lines come in small groups: a line is never early, and at most a tenth of a second late.
                await asyncio.sleep(max(script.lines[position][0] - elapsed, 0.1))
        if script.seconds == FOREVER:
            await asyncio.Event().wait()
        await asyncio.sleep(max(0.0, script.seconds - (time.monotonic() - started)))

    def _situation(self, container: _Container) -> Situation:
        spec = container.spec
        owners = self._pod["metadata"].get("ownerReferences", ())
        old = any(device.model is K80 for device in container.devices)
        settings = self._settings
        return Situation(
            image=spec.get("image", ""),
            words=(*spec.get("command", ()), *spec.get("args", ())),
            environment=_environment(spec),
            files=self._mounted(container),
            devices=container.devices,
            of_job=(container.init and not container.sidecar)
            or self._policy != "Always"
            or any(owner["kind"] == "Job" for owner in owners),
            seed=f"{self.uid}/{container.restarts}",
            generic_seconds=min(0.2, settings.generic_pod_seconds) if container.init else settings.generic_pod_seconds,
            training_seconds=settings.workload_seconds,
            article_image_runs_on_modern_gpus=settings.article_image_runs_on_modern_gpus,
            driver_version=gpus.K80_DRIVER_VERSION if old else gpus.DRIVER_VERSION,
            cuda_version=gpus.K80_CUDA_VERSION if old else gpus.CUDA_VERSION,
        )

    def _devices(self, container: _Container) -> tuple[Device, ...]:
        asked = sum(
            count for name, count in extended_resources([container.spec]).items() if name.startswith("nvidia.com/")
        )
        if asked:
            return container.devices or tuple(self.node.assign(self.uid, asked))
        image = container.spec.get("image", "")
        visible = _environment(container.spec).get("NVIDIA_VISIBLE_DEVICES")
        if visible is None and any(part in image for part in _SEES_ALL_GPUS):
            visible = "all"
        if visible == "all" and self._settings.unadvertised_gpus_visible and self.node.driver_found():
            return tuple(gpus.devices(self.node.gpus, self.node.name)[: self.node.visible_gpus()])
        return ()

    # What runs on a GPU node's behalf

    async def _plugin(self, container: _Container, log: ContainerLog) -> tuple[int, str]:
        files = {path: content.decode(errors="replace") for path, content in self._mounted(container).items()}
        config = gpus.plugin_config(container.spec, self._pod, files)
        await log.write('main.go:235] "Starting NVIDIA Device Plugin"', "main.go:317] Retrieving plugins.")
        if not self.node.plugin_finds_driver():
            await log.write(
                "factory.go:112] Incompatible strategy detected auto",
                "factory.go:113] If this is a GPU node, did you configure the NVIDIA Container Toolkit?",
                "factory.go:114] You can check the prerequisites at: https://github.com/NVIDIA/k8s-device-plugin#prerequisites",
                "factory.go:116] If this is not a GPU node, you should set up a toleration or nodeSelector to only "
                "deploy this plugin on GPU nodes",
            )
            if config.fail_on_init_error:
                await log.write(
                    "main.go:173] error starting plugins: error creating plugin manager: unable to create plugin "
                    "manager: invalid device discovery strategy"
                )
                return 1, "Error"
            await log.write("main.go:346] No devices found. Waiting indefinitely.")
            while not self.node.plugin_finds_driver():
                await self.node.change(self.node.generation)
        if config.mig_strategy != "none" and self.node.gpus.profile and not config.may_manage_mig:
            await log.write(
                "main.go:173] error starting plugins: error getting plugins: failed to construct NVML resource "
                "managers: error building device map: error getting MIG devices: Insufficient Permissions"
            )
            if config.fail_on_init_error:
                return 1, "Error"
            await asyncio.Event().wait()
        if config.mps:
            while not self.node.mps_pods:
                seen = self.node.generation
                await log.write("mps: waiting for the MPS control daemon to be ready")
                await self.node.change(seen)
        while not container.ready:
            await asyncio.sleep(0.05)
        await asyncio.sleep(self._settings.gpu_registration_seconds)
        told: list[str] = []
        while True:
            seen = self.node.generation
            resources = self.node.offer(self.uid, config)
            for name in resources:
                if name not in told:
                    told.append(name)
                    await log.write(
                        f"server.go:197] Starting GRPC server for '{name}'",
                        f"server.go:148] Registered device plugin for '{name}' with Kubelet",
                    )
            await self.node.change(seen)

    async def _attend(self, pods: set[str], log: ContainerLog, line: str) -> tuple[int, str]:
        await log.write(f"[sandbox] simulated: {line}")
        pods.add(self.uid)
        self.node.poke()
        await asyncio.Event().wait()
        return 0, "Completed"

    def _withdraw(self, container: _Container | None = None) -> None:
        """The Pod, or one container of it, no longer serves the node."""
        specs = [container.spec] if container else [each.spec for each in (*self._init, *self._containers)]
        for spec in specs:
            if gpus.is_plugin(spec, self._pod):
                self.node.offer(self.uid, None)
            elif gpus.is_mps_daemon(spec):
                self.node.mps_pods.discard(self.uid)
                self.node.poke()
            elif gpus.is_driver(spec):
                self.node.driver_pods.discard(self.uid)
                self.node.poke()

    # Status

    def _status(self) -> Json:
        phase = self._phase
        if phase is None:
            begun = any("waiting" not in each.state or each.last_state for each in self._containers)
            phase = "Running" if begun and self._initialized else "Pending"
        all_ready = phase == "Running" and all(each.ready for each in self._containers)
        not_ready = [each.name for each in self._containers if not each.ready]
        finished = phase in _TERMINAL
        why = (
            ("PodCompleted", "") if phase == "Succeeded"
            else ("PodFailed", "") if phase == "Failed"
            else ("ContainersNotReady", f"containers with unready status: [{' '.join(not_ready)}]")
        )  # fmt: skip
        ready = ("True", "", "") if all_ready else ("False", *why)
        incomplete = [each.name for each in self._init if each.state.get("terminated", {}).get("exitCode") != 0]
        initialized = (
            ("True", "PodCompleted" if finished else "", "") if self._initialized
            else ("False", "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(incomplete)}]")
        )  # fmt: skip
        sandbox = "True" if self._sandbox_ready and not finished else "False"
        status: Json = {
            "phase": phase,
            "conditions": [
                self._condition("PodReadyToStartContainers", sandbox, "", ""),
                self._condition("Initialized", *initialized),
                self._condition("Ready", *ready),
                self._condition("ContainersReady", *ready),
            ],
            "containerStatuses": [each.status() for each in self._containers],
            "hostIP": self.node.address,
            "hostIPs": [{"ip": self.node.address}],
            "startTime": self._started_at,
            "qosClass": self._pod.get("status", {}).get("qosClass", "BestEffort"),
        }
        if self._init:
            status["initContainerStatuses"] = [each.status() for each in self._init]
        if self._address:
            status |= {"podIP": self._address, "podIPs": [{"ip": self._address}]}
        if self._reason:
            status |= {"reason": self._reason[0], "message": self._reason[1]}
            if self._reason[0] in ("UnexpectedAdmissionError", "Evicted"):
                status["containerStatuses"] = []
        return status

    def _condition(self, kind: str, status: str, reason: str, message: str) -> Json:
        since = self._conditions.get(kind)
        if since is None or since[0] != status:
            since = self._conditions[kind] = (status, timestamp())
        return {
            "type": kind,
            "status": status,
            "lastProbeTime": None,
            "lastTransitionTime": since[1],
            "reason": reason or None,
            "message": message or None,
        }

    async def _post(self) -> None:
        """Write the status if it is not what was written last."""
        async with self._posting:
            await self.node.connection()
            status = self._status()
            if status == self._posted:
                return
            path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}/status"
            body = {"metadata": {"uid": self.uid}, "status": status}
            await self._persist(lambda: self._client.patch(path, body, content_type=STRATEGIC))
            self._posted = status

    async def _persist(self, call: Callable[[], Any]) -> Any:
        """A request that is tried again while the API server is away. None when the Pod is gone."""
        while True:
            try:
                return await call()
            except ApiError as error:
                if error.status in (404, 409):
                    return None
                if error.status < 500 and error.status != 429:
                    raise
            except _UNREACHABLE:
                pass
            await asyncio.sleep(_RETRY_SECONDS)


def _waiting(reason: str, message: str | None = None) -> Json:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def _contents(config_map: Json) -> dict[str, bytes]:
    texts = {name: text.encode() for name, text in (config_map.get("data") or {}).items()}
    return texts | {name: base64.b64decode(value) for name, value in (config_map.get("binaryData") or {}).items()}


def _missing_key(kind: str, source: Json, found: Json) -> str | None:
    """What a kubelet says of a volume that wants a key that is not there."""
    there = {*(found.get("data") or {}), *(found.get("binaryData") or {})}
    missing = [item["key"] for item in source.get("items") or () if item["key"] not in there]
    return f"{kind} references non-existent config key: {missing[0]}" if missing else None


def _environment(container: Json) -> dict[str, str]:
    return {each["name"]: str(each["value"]) for each in container.get("env", ()) if "value" in each}


def _kubelet_duration(attempt: int) -> str:
    """The back-off that a kubelet's message names: 10s, 20s, 40s, 1m20s, … 5m0s, whatever the sandbox really waits."""
    seconds = min(10 * 2 ** (attempt - 1), 300) if attempt < 10 else 300
    return f"{seconds}s" if seconds < 60 else f"{seconds // 60}m{seconds % 60}s"


__all__ = ["GPU", "EventRecorder", "Fault", "Kubelets", "PodWorker"]


def _milli(cpu: str | None) -> int:
    """A quantity of CPU in thousandths."""
    text = cpu or "0"
    return int(text[:-1]) if text.endswith("m") else int(float(text) * 1000)
