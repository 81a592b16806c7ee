# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Helm, run as a program, with what the cluster says while it waits.

The module ``helm`` of kubernetes.core 6.6 says nothing until Helm has ended, which waits for Pods that no node takes
until its time is over, and it does not hand its option ``timeout`` to ``helm uninstall``.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded, Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._files import write_private
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Executed, Task
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, duration_text
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._pods import pod_problems
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import GraceTracker, Problem
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import Access
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Client
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import WaitFailed
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._libraries import SafeLoader, yaml
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._paths import EVENT, POD
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._text import one_line
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._watch import Query, State, Watch

RELEASE_NAME = re.compile(r"(?=.{1,53}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""Names of releases. https://helm.sh/docs/chart_best_practices/conventions/, and at most 53 characters."""

INSTALL_PAGE = "https://helm.sh/docs/intro/install/"
INSTANCE_LABEL = "app.kubernetes.io/instance"
"""By it charts name the release on what they bring. https://helm.sh/docs/chart_best_practices/labels/"""

ASK_SECONDS = 120.0
"""The most that a question to Helm may take; a chart may have to be downloaded for the answer."""

HELM_SPARE_SECONDS = 30.0
"""Helm ends by its own timeout; it is killed so much later."""

OLD_PATIENCE = 3
"""So many times the grace a Pod has that was there before: what Helm is about to do may be what replaces it."""

HELM_ENVIRONMENT = dict.fromkeys(
    (
        "HELM_KUBEAPISERVER",
        "HELM_KUBEASGROUPS",
        "HELM_KUBEASUSER",
        "HELM_KUBECAFILE",
        "HELM_KUBECONTEXT",
        "HELM_KUBEINSECURE_SKIP_TLS_VERIFY",
        "HELM_KUBETLS_SERVER_NAME",
        "HELM_KUBETOKEN",
    ),
    "",
)
"""Variables that could lead Helm to another cluster, or make it somebody else, are taken from it: ``helm env``."""

MOST_SAID = 1000
"""Characters of Helm's own words in a message."""

_WORKLOAD_HASHES = frozenset({"pod-template-hash", "controller-revision-hash", "pod-template-generation"})


class HelmError(Failure):
    """Helm ended with an error."""


@dataclass(frozen=True)
class Chart:
    """Where a chart is.

    Attributes:
        reference: Its name in the repository, ``oci://`` and path, a URL, or a path of this machine.
        repository: The URL of the repository; None for a chart that is found by itself.
        version: The version, or a range of versions; None for the newest.
    """

    reference: str
    repository: str | None = None
    version: str | None = None

    def arguments(self) -> list[str]:
        """Returns the arguments of Helm that name it."""
        repository = ["--repo", self.repository] if self.repository else []
        return [self.reference, *repository, *(["--version", self.version] if self.version else [])]

    @property
    def names_one_version(self) -> bool:
        """False for a file or a folder, whose version is what is inside."""
        archive = self.reference.startswith(("http://", "https://")) or Path(self.reference).expanduser().exists()
        return bool(self.version) and not archive


@dataclass(frozen=True)
class Release:
    """A release as Helm has it.

    Attributes:
        chart: Name and version of its chart, such as ``gpu-operator-v26.7.0``.
        status: Such as ``deployed``, ``failed``, ``pending-upgrade``, ``uninstalling``.
        revision: Its number, from 1.
        updated: When that was, in RFC 3339.
    """

    chart: str
    status: str
    revision: int
    updated: str

    @property
    def version(self) -> str:
        """The version of its chart; empty when the text holds none."""
        found = re.search(r"-(v?[0-9]+\.[0-9]+\.[0-9]+.*)$", self.chart)
        return found[1] if found else ""


class Helm:
    """One release of one cluster.

    Args:
        task: Its option ``helm`` is the program's path, None for ``helm`` on PATH.
        client: Speaks with the cluster's API server.
        namespace: Of the release.
        name: Of the release.

    Raises:
        Failure: There is no such program, or Helm can't reach the cluster.
    """

    def __init__(self, task: Task, client: Client, namespace: str, name: str) -> None:
        asked = task.params["helm"] or "helm"
        program = shutil.which(os.path.expanduser(asked))
        if program is None:
            raise Failure(
                f"Helm is needed where Ansible runs, and there is no {task.params['helm'] or 'helm on PATH'}: install "
                f"it ({INSTALL_PAGE}), or say where it is. Nothing was changed."
            )
        if client.access.run_command is not None:
            raise Failure(
                "Helm has to reach the API server by itself, and the kubeconfig says that only AKS's run-command can. "
                "Nothing was changed.",
                hint="Run this from the cluster's own network.",
            )
        self._task = task
        self._client = client
        self._program = program
        self._namespace = namespace
        self._name = name

    def release(self) -> Release | None:
        """Returns the newest revision, None when there is no release."""
        done = self._run(["history", self._name, "--max", "1", "--output", "json"])
        if done.status and "release: not found" in done.stderr:
            return None
        found = json.loads(self._judged(done, "can't tell the release").stdout)[-1]
        return Release(
            str(found.get("chart")), str(found.get("status")), int(found["revision"]), str(found.get("updated"))
        )

    def values(self) -> dict[str, Any]:
        """Returns the values that the newest revision was given."""
        return json.loads(self._ask("get", "values", self._name, "--output", "json").stdout) or {}

    def name_of(self, chart: Chart) -> str:
        """Returns name and version of a chart, as ``Release.chart`` has them."""
        found = yaml.load(self._ask("show", "chart", *chart.arguments()).stdout, Loader=SafeLoader) or {}
        return f"{found.get('name')}-{found.get('version')}"

    def objects(self, chart: Chart, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Returns what a chart brings, its CustomResourceDefinitions too, filled in without the cluster.

        ``helm show crds`` puts nothing between two files.

        Raises:
            HelmError: The chart can't be had, or refuses the values.
        """
        words = ["template", self._name, *chart.arguments(), "--include-crds", "--values", self._values_file(values)]
        shown = self._ask(*words).stdout
        return [found for found in yaml.load_all(shown, Loader=SafeLoader) if isinstance(found, dict)]

    def upgrade(self, chart: Chart, values: Mapping[str, Any], deadline: Deadline, grace: float) -> None:
        """Installs the release, or brings it to a chart and values.

        NVIDIA's chart brings its kinds up to date by a hook; until then the old ones know no new fields, so they are
        not validated by. https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/upgrade.html

        Raises:
            WaitFailed: A Pod that it waits for does not come.
            HelmError: Helm failed.
        """
        self._carry_out(
            ["upgrade", self._name, *chart.arguments(), "--install", "--reset-values", "--values",
             self._values_file(values), "--wait", "--disable-openapi-validation"],
            "being installed", deadline, grace,
        )  # fmt: skip

    def uninstall(self, deadline: Deadline, grace: float) -> None:
        """Removes the release. Raises as ``upgrade``."""
        self._carry_out(["uninstall", self._name, "--wait"], "being removed", deadline, grace)

    def roll_back(self, deadline: Deadline, grace: float) -> None:
        """Brings the release back to the revision before. Raises as ``upgrade``."""
        self._carry_out(["rollback", self._name], "being rolled back", deadline, grace)

    def _ask(self, *arguments: str) -> Executed:
        return self._judged(self._run(list(arguments)), f"{arguments[0]} failed")

    def _run(self, arguments: list[str], seconds: float = ASK_SECONDS, stop: threading.Event | None = None) -> Executed:
        command = [self._program, *arguments, "--namespace", self._namespace, "--kubeconfig", self._kubeconfig()]
        try:
            return self._task.execute(command, HELM_ENVIRONMENT, seconds, stop)
        except TimeoutError as error:
            raise DeadlineExceeded(f"helm {arguments[0]} took longer than {duration_text(seconds)}.") from error
        except OSError as error:
            raise Failure(f"{self._program} can't be run: {error}.") from error

    def _judged(self, done: Executed, what: str) -> Executed:
        if done.status:
            raise HelmError(f"Helm release {self._namespace}/{self._name}: {what}. Helm says: {said(done)}")
        return done

    def _kubeconfig(self) -> str:
        """Returns the path of a private kubeconfig, written anew: a token of it may have expired."""
        path = Path(self._task.temporary_directory) / "helm.kubeconfig"
        write_private(path, json.dumps(kubeconfig_of(self._client.access)))
        return str(path)

    def _values_file(self, values: Mapping[str, Any]) -> str:
        path = Path(self._task.temporary_directory) / "helm.values"
        write_private(path, json.dumps(values))
        return str(path)

    def _carry_out(self, arguments: list[str], activity: str, deadline: Deadline, grace: float) -> None:
        timeout = f"{max(1, int(deadline.remaining()))}s"
        queries = {
            "pods": Query(POD.path(self._namespace), label_selector=f"{INSTANCE_LABEL}={self._name}", optional=True),
            "events": Query(EVENT.path(self._namespace), field_selector="type=Warning", optional=True),
        }
        stop = threading.Event()
        wait = _ReleaseWait(f"Helm release {self._namespace}/{self._name}: {activity}", grace, self._task.progress)
        with Watch(self._client, queries) as watch, concurrent.futures.ThreadPoolExecutor(1) as pool:
            states = watch.states(self._task.deadline(deadline.remaining() + 2 * HELM_SPARE_SECONDS))
            wait.begin(next(states))
            seconds = deadline.remaining() + HELM_SPARE_SECONDS
            running = pool.submit(self._run, [*arguments, "--timeout", timeout], seconds, stop)
            running.add_done_callback(lambda _done: watch.wake())
            try:
                for state in states:
                    if running.done():
                        break
                    wait.look(state)
            finally:
                stop.set()
            done = running.result()
        if done.status:
            raise wait.failure(f"Helm says: {said(done)}")


@dataclass
class _ReleaseWait:
    """What the Pods of a release say while Helm waits for them."""

    activity: str
    grace: float
    progress: Callable[[str], None]
    problems: list[Problem] = field(default_factory=list)
    _old: set[str] = field(default_factory=set)
    _patience: GraceTracker = field(init=False)

    def __post_init__(self) -> None:
        self._patience = GraceTracker(
            lambda problem: self.grace * (OLD_PATIENCE if problem.subject in self._old else 1)
        )

    def begin(self, state: State) -> None:
        """Remembers what was there before."""
        self._old = {_subject(pod) for pod in state.all("pods")}

    def look(self, state: State) -> None:
        """Tells how far it is.

        Raises:
            WaitFailed: A Pod will not come.
        """
        pods = _wanted(state.all("pods"))
        self.problems = [problem for pod in pods for problem in pod_problems(pod, state.all("events"))]
        ready = sum(_is_done(pod) for pod in pods)
        count = f", {ready} of {len(pods)} Pods ready" if pods else ""
        self.progress("; ".join([f"{self.activity}{count}", *(problem.text() for problem in self.problems[:3])]))
        expired = self._patience.expired(self.problems)
        if expired:
            self.problems = expired
            raise self.failure("Helm waits for a Pod that does not come, and was stopped.")

    def failure(self, why: str) -> Failure:
        """Returns the error for a Helm that did not get there."""
        if not self.problems:
            return HelmError(f"{self.activity}, and failed. {why}")
        lines = [f"{self.activity}, and failed. {why}", *(f"- {problem.text()}" for problem in self.problems)]
        if any("taint" in problem.message for problem in self.problems):
            lines.append(
                "Add a node that takes these Pods, or tolerations to the values of the chart, and run this again."
            )
        return WaitFailed("\n".join(lines), problems=[problem.as_result() for problem in self.problems])


def said(done: Executed) -> str:
    """Returns what Helm gave as its reason."""
    text = done.stderr.strip() or done.stdout.strip() or f"nothing, and ended with {done.status}"
    _before, error, after = text.partition("Error: ")
    return one_line(after if error else text)[-MOST_SAID:]


def kubeconfig_of(access: Access) -> dict[str, Any]:
    """Returns a kubeconfig by which a program reaches a cluster as the client does.

    Args:
        access: The server and the credentials for it. Certificates and keys stay in the files that it names.

    Raises:
        SignInFailed: There are no credentials.
    """
    credentials = access.credentials
    cluster = {
        "server": access.server,
        "certificate-authority": access.ca_file,
        "insecure-skip-tls-verify": None if access.verify else True,
        "tls-server-name": access.tls_server_name,
        # What resolves names at the proxy is called socks5 there; client-go's clientcmd refuses socks5h.
        "proxy-url": access.proxy and re.sub("^socks5h:", "socks5:", access.proxy),
    }
    if credentials.renewable:
        credentials.renew()
    user: dict[str, Any] = {"token": credentials.token()}
    if credentials.certificate:
        user["client-certificate"], user["client-key"] = credentials.certificate
    if credentials.password:
        user["username"], user["password"] = credentials.password
    extra: dict[str, list[str]] = {}
    for header, value in access.impersonation:
        text = value.encode("latin-1").decode()
        if header == "Impersonate-Group":
            user.setdefault("as-groups", []).append(text)
        elif header.startswith("Impersonate-Extra-"):
            extra.setdefault(unquote(header.removeprefix("Impersonate-Extra-")), []).append(text)
        else:
            user["as" if header == "Impersonate-User" else "as-uid"] = text
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": _set(cluster)}],
        "users": [{"name": "it", "user": _set({**user, "as-user-extra": extra or None})}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "current-context": "it",
    }


def _set(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value is not None}


def _subject(pod: dict[str, Any]) -> str:
    return f"Pod {pod['metadata'].get('namespace')}/{pod['metadata']['name']}"


def _wanted(pods: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the Pods that are to stay: of each workload those of its newest revision."""
    newest: dict[tuple[tuple[str, str], ...], tuple[str, str]] = {}
    staying = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    for pod in staying:
        made, revision = _revision(pod)
        newest[_workload(pod)] = max(newest.get(_workload(pod), ("", "")), (made, revision))
    return [pod for pod in staying if _revision(pod)[1] == newest[_workload(pod)][1]]


def _workload(pod: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    labels = pod["metadata"].get("labels") or {}
    return tuple(sorted((key, value) for key, value in labels.items() if key not in _WORKLOAD_HASHES))


def _revision(pod: dict[str, Any]) -> tuple[str, str]:
    labels = pod["metadata"].get("labels") or {}
    revision = labels.get("pod-template-hash") or labels.get("controller-revision-hash") or ""
    return str(pod["metadata"].get("creationTimestamp")), str(revision)


def _is_done(pod: dict[str, Any]) -> bool:
    status = pod.get("status") or {}
    ready = any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in status.get("conditions") or []
    )
    return ready or status.get("phase") == "Succeeded"
