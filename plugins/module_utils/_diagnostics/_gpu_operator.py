# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""NVIDIA's GPU Operator: whose it is, what it needs on AKS, and its Helm release.

What the chart brings: https://github.com/NVIDIA/gpu-operator/tree/v26.7.0/deployments/gpu-operator
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._aks._session import CLUSTER_ARGUMENTS, plan_in_cluster
from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded, Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._files import locked
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, duration_text
from ansible_collections.aks.gpu.plugins.module_utils._ansible._runs import RUN_ARGUMENTS, why_kept
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._helm import (
    HELM_SPARE_SECONDS,
    RELEASE_NAME,
    Chart,
    Helm,
    HelmError,
    Release,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import parse_time
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Connect
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._manifest_objects import is_own
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._ownership import (
    RUN_ANNOTATION,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._paths import CONFIG_MAP, ResourceType, place_problems
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._resources import METADATA_TYPE, Resources, describe

GPU_OPERATOR_ARGUMENTS = CLUSTER_ARGUMENTS.merge(
    RUN_ARGUMENTS,
    ArgumentSpec(
        options={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "name": {"type": "str", "default": "gpu-operator"},
            "namespace": {"type": "str", "default": "gpu-operator"},
            "chart": {"type": "str", "default": "gpu-operator"},
            "chart_repository": {"type": "str"},
            "chart_version": {"type": "str"},
            "values": {"type": "dict", "default": {}},
            "helm": {"type": "path"},
            "wait_timeout": {"type": "int", "default": 600},
            "grace": {"type": "int", "default": 120},
        }
    ),
)


SECRET = ResourceType("v1", "Secret", "secrets", True)
DEPLOYMENT = ResourceType("apps/v1", "Deployment", "deployments", True)
CLUSTER_POLICY = ResourceType("nvidia.com/v1", "ClusterPolicy", "clusterpolicies", False)
GPU_CLUSTER = ResourceType("nvidia.com/v1alpha1", "GPUCluster", "gpuclusters", False)
DEFINITION = ResourceType("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", False)

OPERATOR_SELECTOR = "app.kubernetes.io/component=gpu-operator"
"""Label of the chart's Deployment, in every version from v1.x to v26.7."""

_EVERY: list[dict[str, Any]] = [{"operator": "Exists"}]
_SYSTEM: list[dict[str, Any]] = [
    {"key": "CriticalAddonsOnly", "operator": "Exists"},
    {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"},
]
"""The taint that AKS recommends for system pools, and the one that the chart tolerates by default.
https://learn.microsoft.com/azure/aks/use-system-pools"""

_LINUX = {"kubernetes.io/os": "linux"}

NEEDED_VALUES: dict[str, Any] = {
    "daemonsets": {"tolerations": _EVERY},
    # The chart's hooks, all but the last one, have the operator's tolerations.
    "operator": {"tolerations": _SYSTEM, "nodeSelector": _LINUX},
    "node-feature-discovery": {
        "master": {"tolerations": _SYSTEM, "nodeSelector": _LINUX},  # and of the post-delete hook
        "gc": {"tolerations": _SYSTEM, "nodeSelector": _LINUX},
        "worker": {"tolerations": _EVERY, "nodeSelector": _LINUX},
    },
}
"""What AKS needs: the taints of a GPU pool are the user's, Spot nodes have one of AKS's, system pools may have one, and
Windows nodes have none (https://github.com/Azure/AKS/issues/1905)."""

LOOK_SECONDS = 2.0
"""Between two looks at a release that another Helm works on."""

_BUSY_STATUSES = (
    "another operation (install/upgrade/rollback) is in progress",
    "cannot re-use a name that is still in use",
)


def with_needed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values of the chart over those that AKS needs; a list replaces a list."""
    return _merged_values(NEEDED_VALUES, values)


def _merged_values(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(dict(below))
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged_values(merged[key], value) if both else copy.deepcopy(value)
    return merged


def refused_values(values: Mapping[str, Any]) -> str:
    """Returns why values of the chart can't be used here; empty when they can."""
    if _at(values, "gpuCluster", "deployCR") is True:
        return (
            "gpuCluster.deployCR: true lets the operator hand GPUs out by DRA, and what this collection runs asks for "
            "nvidia.com/gpu. Leave it away."
        )
    return ""


def _at(values: Any, *keys: str) -> Any:
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


@dataclass(frozen=True)
class InstalledOperator:
    """What is in the cluster of NVIDIA's GPU Operator.

    Attributes:
        namespace: Of the release that is meant.
        name: Of the release that is meant.
        own: True when aks.gpu has installed it: its mark is there.
        status: Status of the release that is meant, as its labels say; None when there is no such release.
        operators: Deployments of the operator, each ``namespace/name``; without that of the release when that is own.
        policies: ClusterPolicies, by name.
        clusters: GPUClusters, by name.
        kept: Why a removal that is limited to one run leaves the release; None otherwise.
    """

    namespace: str
    name: str
    own: bool = False
    status: str | None = None
    operators: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    kept: str | None = None

    @property
    def foreign(self) -> bool:
        """True when there is an operator, or what is left of one, that aks.gpu has not installed."""
        return bool(not self.own and (self.status or self.operators or self.policies or self.clusters))

    def what(self) -> str:
        """Returns what there is, in words."""
        parts = [f"Helm release {self.namespace}/{self.name} ({self.status})"] if self.status else []
        parts += [f"Deployment {each}" for each in self.operators]
        parts += [f"ClusterPolicy {each}" for each in self.policies]
        parts += [f"GPUCluster {each}" for each in self.clusters]
        return ", ".join(parts)

    def refusal(self) -> str:
        """Returns why nothing can be installed, and what is there can't be used; empty otherwise."""
        if self.own and (self.operators or self.clusters):
            others = InstalledOperator(
                self.namespace, self.name, operators=self.operators, clusters=self.clusters
            ).what()
            return (
                f"{others} is in the cluster beside the release of aks.gpu. A cluster takes one GPU Operator, with "
                "either ClusterPolicy or GPUCluster: remove what aks.gpu has not installed."
            )
        if not self.foreign:
            return ""
        theirs = f"NVIDIA's GPU Operator is in the cluster already ({self.what()}), and aks.gpu has not installed it"
        if self.clusters:
            return (
                f"{theirs}. By a GPUCluster it hands GPUs out by DRA, and what this collection runs asks for "
                "nvidia.com/gpu. It was left as it is. Use another cluster, or let its owner remove it."
            )
        if self.policies and not self.operators:
            return (
                f"{theirs}. No operator runs that would obey it, and Helm takes over nothing that it has not made. "
                "Let its owner install the operator, or remove what is left of it."
            )
        if not self.policies:
            return (
                f"{theirs}. It has no ClusterPolicy, so it offers no node's GPUs. It was left as it is: let its owner "
                "finish or remove it."
            )
        return ""

    def left(self, to_be: str) -> str:
        """Returns why nothing is done, where that is no error; empty when something may have to be done."""
        if self.foreign:
            return (
                f"NVIDIA's GPU Operator is in the cluster already ({self.what()}), and aks.gpu has not installed it: "
                "it is left as it is."
            )
        if to_be == "absent" and not self.own:
            return "aks.gpu has not installed NVIDIA's GPU Operator in this cluster."
        if to_be == "absent" and self.kept:
            return f"NVIDIA's GPU Operator is left: {self.kept}."
        return ""


def look(resources: Resources, namespace: str, name: str, params: Mapping[str, Any]) -> InstalledOperator:
    """Returns what is in the cluster of NVIDIA's GPU Operator. It asks the API server only, not Helm.

    Helm keeps a Secret, or by a setting a ConfigMap, for each revision.
    https://helm.sh/docs/topics/advanced/#storage-backends

    Args:
        resources: Of the cluster.
        namespace: Of the release.
        name: Of the release.
        params: The options of the task, for the run that a removal is limited to.

    Raises:
        KubernetesError: Something can't be read, so that it isn't known whether there is an operator.
    """
    mark = resources.get(CONFIG_MAP, namespace, f"aks-gpu-{name}")
    noted = (mark["metadata"].get("annotations") or {}) if mark else {}
    own = is_own(mark)
    every = resources.items(DEPLOYMENT, label_selector=OPERATOR_SELECTOR)
    theirs = [each for each in every if not (own and each["metadata"]["namespace"] == namespace)]
    return InstalledOperator(
        namespace,
        name,
        own,
        _status(resources, namespace, name),
        tuple(sorted(f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in theirs)),
        _object_names(resources, CLUSTER_POLICY),
        _object_names(resources, GPU_CLUSTER),
        why_kept(noted.get(RUN_ANNOTATION), params) if own and params["state"] == "absent" else None,
    )


def _object_names(resources: Resources, kind: ResourceType) -> tuple[str, ...]:
    try:
        return tuple(sorted(each["metadata"]["name"] for each in resources.items(kind)))
    except KubernetesError as error:
        if error.status == 404:  # the cluster does not have that kind
            return ()
        raise


def _status(resources: Resources, namespace: str, name: str) -> str | None:
    """Returns the status of the newest revision by the labels of what Helm keeps; its content is not read."""
    revisions: list[tuple[int, str]] = []
    for kind in (SECRET, CONFIG_MAP):
        query = {"labelSelector": f"owner=helm,name={name}", "limit": 500}
        try:
            page = resources.client.request("GET", kind.path(namespace), query=query, accept=METADATA_TYPE)
        except KubernetesError as error:
            if error.status == 404:
                continue
            raise
        for item in page.get("items") or []:
            labels = item["metadata"].get("labels") or {}
            version = str(labels.get("version", ""))
            revisions.append((int(version) if version.isdigit() else 0, str(labels.get("status") or "unknown")))
    newest = max(revisions)[1] if revisions else None
    return None if newest == "uninstalled" else newest  # of that only the history was kept


def plan_release(task: Task, connect: Connect) -> Plan:
    """Plans what the module ``gpu_operator`` does.

    Args:
        task: Its options are those of the module.
        connect: Returns a client of the cluster.

    Raises:
        Failure: The release can't be as wanted; nothing was changed.
    """
    params = task.params
    namespace, name = params["namespace"], params["name"]
    problems = place_problems({"apiVersion": "v1", "metadata": {"name": name, "namespace": namespace}})
    if not RELEASE_NAME.fullmatch(name):
        problems.append(f"{ascii(name)[:80]} is not a valid name of a Helm release")
    if problems:
        raise Failure(f"{'; '.join(problems)}. Nothing was changed.")
    if params["state"] == "present" and (refused := refused_values(params["values"] or {})):
        raise Failure(f"{refused} Nothing was changed.")
    client = connect()
    resources = Resources(client)
    found = look(resources, namespace, name, params)
    if params["state"] == "present" and (refusal := found.refusal()):
        raise Failure(f"{refusal} Nothing was changed.")
    if left := found.left(params["state"]):
        return Plan(False, _operator_result(found, "left", left))
    if params["state"] == "absent" and found.status is None:
        return Plan(False, _operator_result(found, "unchanged"))
    work = _ReleaseWork(task, resources, Helm(task, client, namespace, name), found)
    return work.present() if params["state"] == "present" else work.absent()


def _operator_result(
    found: InstalledOperator, action: str, left: str = "", release: Release | None = None
) -> dict[str, Any]:
    return {
        "action": action,
        "left": left,
        "own": found.own,
        "foreign": found.foreign,
        "release": {
            "namespace": found.namespace,
            "name": found.name,
            "status": release.status if release else found.status,
            "chart": release.chart if release else None,
            "revision": release.revision if release else None,
        },
        "operators": list(found.operators),
        "cluster_policies": list(found.policies),
        "gpu_clusters": list(found.clusters),
    }


@dataclass(frozen=True)
class _Change:
    """What a release is to become.

    Attributes:
        before: Its chart and values; None where there is none.
        after: Its chart and values.
        why: What is different; empty when nothing is.
        chart: The chart to install.
    """

    before: dict[str, Any] | None
    after: dict[str, Any]
    why: str
    chart: Chart


@dataclass
class _ReleaseWork:
    task: Task
    resources: Resources
    helm: Helm
    found: InstalledOperator
    _shown: Callable[[str], None] = field(init=False)

    def __post_init__(self) -> None:
        self._shown = self.task.progress

    def present(self) -> Plan:
        """Plans to install the release, or to bring it to chart and values."""
        release = self.helm.release()
        change = self._change(release)
        if not change.why:
            return Plan(False, _operator_result(self.found, "unchanged", release=release))
        self.helm.objects(change.chart, change.after["values"])  # a chart refuses values that exclude each other
        action = "installed" if release is None else "upgraded"
        return Plan(
            True,
            _operator_result(self.found, action, release=release),
            lambda: self._locked(self._install),
            change.before,
            change.after,
        )

    def absent(self) -> Plan:
        """Plans to remove the release."""
        before = {"release": f"{self.found.namespace}/{self.found.name}", "status": self.found.status}
        return Plan(True, _operator_result(self.found, "removed"), lambda: self._locked(self._uninstall), before)

    def _locked(self, act: Callable[[Deadline], dict[str, Any]]) -> dict[str, Any]:
        """Acts while no other host of this run is at the same release."""
        deadline = self.task.deadline(self.task.params["wait_timeout"])
        if self.task.run_directory is None:
            return act(deadline)
        place = f"{self.resources.client.access.server} {self.found.namespace} {self.found.name}"
        path = Path(self.task.run_directory, f"helm-{hashlib.sha256(place.encode()).hexdigest()[:16]}.lock")
        with locked(path, timeout=max(1.0, deadline.remaining())):
            return act(deadline)

    def _change(self, release: Release | None) -> _Change:
        params = self.task.params
        values = with_needed(params["values"] or {})
        version = params["chart_version"] or (release.version if release else "") or None
        chart = Chart(params["chart"], params["chart_repository"], version)
        if release is None:
            return _Change(None, {"chart": self.helm.name_of(chart), "values": values}, "there is none", chart)
        same_version = chart.names_one_version and version == release.version
        before = {"chart": release.chart, "values": self.helm.values()}
        after = {"chart": release.chart if same_version else self.helm.name_of(chart), "values": values}
        why = "" if before == after else "its chart or values"
        if not why and release.status != "deployed":
            why = f"it is {release.status}"
        return _Change(before, after, why, chart)

    def _install(self, deadline: Deadline) -> dict[str, Any]:
        if not self.found.own:
            raise Failure(
                f"The namespace {self.found.namespace} lacks the mark of aks.gpu, the ConfigMap "
                f"aks-gpu-{self.found.name}, so the release would be taken for somebody else's. Nothing was changed.",
                hint="Use the role aks.gpu.gpu_operator, or apply such a ConfigMap by aks.gpu.manifest before.",
            )
        grace = float(self.task.params["grace"])
        while True:
            release = self._settled(deadline)
            change = self._change(release)
            if not change.why:  # another host of the run, or another run, has been here
                return {**_operator_result(self.found, "unchanged", release=release), "changed": False}
            self._renew_kinds(self.helm.objects(change.chart, change.after["values"]))
            try:
                self.helm.upgrade(change.chart, change.after["values"], deadline, grace)
            except HelmError as error:
                if not any(text in str(error) for text in _BUSY_STATUSES) or deadline.expired:
                    raise
                time.sleep(LOOK_SECONDS)
                continue
            action = "installed" if release is None else "upgraded"
            return _operator_result(self.found, action, release=self.helm.release())

    def _uninstall(self, deadline: Deadline) -> dict[str, Any]:
        if self.helm.release() is None:
            return {**_operator_result(self.found, "unchanged"), "changed": False}
        self.helm.uninstall(deadline, float(self.task.params["grace"]))
        self._remove_hooks()
        return _operator_result(self.found, "removed")

    def _settled(self, deadline: Deadline) -> Release | None:
        """Returns the release once no other Helm works on it.

        A Helm that was killed leaves its mark for good: https://github.com/helm/helm/issues/8987. When that is older
        than a Helm may take, it is undone: what was never installed is removed, else the revision before comes back.

        Raises:
            DeadlineExceeded: Another Helm is at it all the time.
        """
        while True:
            release = self.helm.release()
            if release is None or not release.status.startswith(("pending-", "uninstalling")):
                return release
            said = f"Helm release {self.found.namespace}/{self.found.name}: {release.status} since {release.updated}"
            abandoned = _age(release.updated) > float(self.task.params["wait_timeout"]) + HELM_SPARE_SECONDS
            if release.status == "uninstalling" or (abandoned and release.status == "pending-install"):
                self.helm.uninstall(deadline, float(self.task.params["grace"]))
            elif abandoned:
                self.helm.roll_back(deadline, float(self.task.params["grace"]))
            elif deadline.expired:
                raise DeadlineExceeded(
                    f"{said}, so another Helm works on it. It was waited for {duration_text(deadline.seconds)}.",
                    hint="Run this again. One that was killed is undone once it is older than the time to wait.",
                )
            else:
                self._shown(f"{said}: another Helm works on it")
                time.sleep(min(LOOK_SECONDS, max(0.1, deadline.remaining())))

    def _renew_kinds(self, objects: Iterable[dict[str, Any]]) -> None:
        """Brings kinds that are there already to those of the chart: Helm installs only those that are missing.

        With the kinds of an older version, which Helm leaves behind, the API server refuses the chart's objects or
        drops their new fields: https://github.com/NVIDIA/gpu-operator/issues/431
        """
        for definition in objects:
            name = definition["metadata"]["name"]
            if definition["kind"] == DEFINITION.kind and self.resources.get(DEFINITION, None, name) is not None:
                self.resources.apply(DEFINITION, definition, field_manager="aks.gpu", force=True)

    def _remove_hooks(self) -> None:
        """Removes what hooks that failed have left, which Helm does not; only where no other release lives."""
        contents, _unknown = self.resources.contents(self.found.namespace)
        if any((each["metadata"].get("labels") or {}).get("owner") == "helm" for each in contents):
            return
        for each in contents:
            if "helm.sh/hook" in (each["metadata"].get("annotations") or {}):
                self._shown(f"{describe(each)}: being removed, a hook of Helm left it")
                self.resources.delete(self.resources.type_of(each["apiVersion"], each["kind"]), each)


def _age(time_text: str) -> float:
    """Returns how long ago a time was, in seconds; 0 for one that can't be read."""
    try:
        return (datetime.datetime.now(datetime.timezone.utc) - parse_time(time_text)).total_seconds()
    except ValueError:
        return 0.0


def plan_gpu_operator(task: Task) -> Plan:
    """Plans what the module ``gpu_operator`` does."""
    return plan_in_cluster(task, plan_release)
