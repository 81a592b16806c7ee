# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``monitoring``: Container Insights and Managed Prometheus of a cluster, on or off."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded, Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._azure._arguments import AZURE_ARGUMENTS, CLUSTER_OPTIONS
from ansible_collections.aks.gpu.plugins.module_utils._azure._client import ArmClient, ArmResponse, if_not_modified
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError
from ansible_collections.aks.gpu.plugins.module_utils._azure._operations import (
    ENDED,
    PollResult,
    operation_failure,
    wait_for_operation,
    wait_until,
)
from ansible_collections.aks.gpu.plugins.module_utils._azure._ownership import CREATED_BY_TAG, ownership_tags
from ansible_collections.aks.gpu.plugins.module_utils._azure._policies import Call, backoff
from ansible_collections.aks.gpu.plugins.module_utils._azure._session import open_session
from ansible_collections.aks.gpu.plugins.module_utils._azure._subscription import cluster, cluster_path
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._cluster import (
    ADDON_METHOD,
    METHODS,
    MONITORING_PROFILE,
    insights_state,
    set_insights,
    set_prometheus,
    uses_own_sign_in,
    writable_cluster,
)
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._data_collection import (
    INSIGHTS_STREAM,
    PROMETHEUS_STREAM,
    CollectionStep,
    DataCollection,
    DataStream,
)
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._workspaces import (
    normalized_workspace_id,
    prometheus_profile,
)

MONITORING_ARGUMENTS = AZURE_ARGUMENTS.merge(
    ArgumentSpec(
        options={
            **CLUSTER_OPTIONS,
            "container_insights": {"type": "bool"},
            "method": {"type": "str", "choices": ["auto", *METHODS], "default": "auto"},
            "workspace": {"type": "str"},
            "workspace_resource_group": {"type": "str"},
            "create_workspace": {"type": "bool", "default": False},
            "prometheus": {"type": "bool"},
            "azure_monitor_workspace": {"type": "str"},
            "azure_monitor_workspace_resource_group": {"type": "str"},
            "create_azure_monitor_workspace": {"type": "bool", "default": False},
            "only_created_by_us": {"type": "bool", "default": False},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 1800},
        },
        required_one_of=(("container_insights", "prometheus"),),
    )
)

MONITORING_FIRST_PAUSE = 0.2


@dataclass(frozen=True)
class _WorkspaceType:
    """A kind of workspace.

    Attributes:
        what: What a message calls it.
        type: Its ARM type.
        api: Its key of ``API_VERSIONS``.
        option: The option that names it; the options besides it are called after it.
        names: A pattern of names that Azure takes.
        rules: The same in words.
        properties: Of a new one.
    """

    what: str
    type: str
    api: str
    option: str
    names: str
    rules: str
    properties: Mapping[str, Any]


_LOGS = _WorkspaceType(
    "Log Analytics workspace",
    "Microsoft.OperationalInsights/workspaces",
    "workspaces",
    "workspace",
    r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
    "4 to 63 letters, digits and hyphens",
    {"sku": {"name": "PerGB2018"}, "retentionInDays": 30},
)
_ACCOUNTS = _WorkspaceType(
    "Azure Monitor workspace",
    "Microsoft.Monitor/accounts",
    "monitor_accounts",
    "azure_monitor_workspace",
    r"[A-Za-z0-9][A-Za-z0-9-]{2,42}[A-Za-z0-9]",
    "4 to 44 letters, digits and hyphens",
    {},
)


class MonitoringRefused(Failure):
    """The options ask for what can't be done."""

    def __init__(self, name: str, problems: list[str]) -> None:
        numbered = (f"({number}) {text}" for number, text in enumerate(problems, 1)) if len(problems) > 1 else problems
        super().__init__(
            f"Monitoring of cluster {name}: nothing was changed. {' '.join(numbered)}",
            problems=problems,
        )


@dataclass
class _SourcePlan:
    """One of the two, planned.

    Attributes:
        steps: Before or after the update of the cluster.
        before: The update needs the steps to have been made.
        change: Changes the properties of the cluster's body; None leaves them.
        workspace: ARM id of the workspace in the end.
    """

    steps: list[CollectionStep]
    first: bool
    change: Callable[[dict[str, Any]], None] | None
    workspace: str | None


def plan_monitoring(task: Task) -> Plan:
    """Says what a task of the module ``monitoring`` is going to do. Raises subclasses of ``Failure``."""
    return _MonitoringPlanner(task).plan()


class _MonitoringPlanner:
    """One task.

    Args:
        task: The task.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.params = params = task.params
        session = open_session(task)
        self.client: ArmClient = session.client
        self.subscription_id = session.subscription_id
        self.group: str = params["resource_group"]
        self.name: str = params["cluster_name"]
        self.cluster_id = cluster_path(self.subscription_id, self.group, self.name)
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.creating: list[CollectionStep] = []
        self.profile_unknown = False

    def plan(self) -> Plan:
        """Reads, and says what is going to be done; raises ``MonitoringRefused`` with every problem found."""
        self._check_options()
        body = cluster(self.client, self.subscription_id, self.group, self.name)
        self.location = str(body.get("location") or "")
        self.properties: dict[str, Any] = body.get("properties") or {}
        insights, prometheus = self._pipe(INSIGHTS_STREAM), self._pipe(PROMETHEUS_STREAM)
        sides = [self._insights(insights), self._prometheus(prometheus)]
        if self.problems:
            raise MonitoringRefused(self.name, self.problems)
        wanted = writable_cluster(body)
        for side in sides:
            if side.change is not None:
                side.change(wanted["properties"])
        updating = wanted["properties"] != writable_cluster(body)["properties"]
        steps = [step for side in sides for step in side.steps]
        before = _monitoring_diff(self.properties, insights.workspace, prometheus.workspace)
        after = _monitoring_diff(wanted["properties"], sides[0].workspace, sides[1].workspace)
        written = [text for text, _do in [*self.creating, *steps]]
        changed = updating or bool(steps) or bool(self.creating)
        return Plan(
            changed=changed,
            result={"monitoring": after},
            apply=(lambda: self._apply(sides, body, updating)) if changed else None,
            before=before,
            after={**after, **({"written": written} if written else {})},
            warnings=self.warnings,
        )

    def _check_options(self) -> None:
        for store, switch in ((_LOGS, "container_insights"), (_ACCOUNTS, "prometheus")):
            given = self.params[store.option]
            if given and self.params[switch] is not True:
                self.problems.append(f"{store.option} is of use with {switch}: true only.")
            if self.params[f"create_{store.option}"] and not given:
                self.problems.append(f"create_{store.option} needs {store.option}, the name of the one to create.")
            if given and "/" not in given and not re.fullmatch(store.names, given):
                self.problems.append(f"{store.option}: {given!r} is no name of one: it has {store.rules}.")
            if given and "/" in given and not re.search(f"/providers/{store.type}/[^/]+$", given, re.IGNORECASE):
                self.problems.append(f"{store.option}: {given!r} is no ARM id of a {store.what}.")

    def _pipe(self, stream: DataStream) -> DataCollection:
        return DataCollection(self.client, stream, self.cluster_id, self.location).read()

    # --- Container Insights --------------------------------------------------------------------------------------

    def _insights(self, pipe: DataCollection) -> _SourcePlan:
        state = insights_state(self.properties)
        current = normalized_workspace_id(state["workspace"]) if state["workspace"] else None
        wanted = self.params["container_insights"]
        if wanted is None:
            return _SourcePlan([], True, None, current)
        method = self._method(state)
        if not wanted:
            return self._insights_off(pipe, state, method, current)
        workspace, location = self._store(_LOGS, current)
        if workspace is None:
            return _SourcePlan([], True, None, None)
        same = state["enabled"] and (current or "").lower() == workspace.lower()
        if same and state["method"] == ADDON_METHOD and not uses_own_sign_in(self.properties):
            self.warnings.append(
                f"Container Insights of cluster {self.name} signs in by the workspace's key, as older add-ons do: it "
                "is left so. Switched off and on again, it signs in by its managed identity."
            )
            return _SourcePlan([], True, None, workspace)
        steps = pipe.steps_on(workspace, location, current if state["enabled"] else None)
        if same:
            return _SourcePlan(steps, True, None, workspace)
        return _SourcePlan(
            steps, True, lambda body: set_insights(body, True, workspace, self._chosen(method)), workspace
        )

    def _insights_off(
        self, pipe: DataCollection, state: Mapping[str, Any], method: str, current: str | None
    ) -> _SourcePlan:
        if state["enabled"] and self.params["only_created_by_us"] and not (pipe.is_own or pipe.previous_workspace):
            self.warnings.append(
                f"Container Insights of cluster {self.name} stays on: aks.gpu did not switch it on, as no data "
                f"collection rule of the cluster has the tag {CREATED_BY_TAG}. With O(only_created_by_us=false) it is "
                "switched off."
            )
            return _SourcePlan([], False, None, current)
        before = pipe.previous_workspace
        steps = pipe.steps_off()
        if state["enabled"] and before:
            return _SourcePlan(steps, False, lambda body: set_insights(body, True, before, method), before)
        change = (lambda body: set_insights(body, False, None, method)) if state["enabled"] else None
        return _SourcePlan(steps, False, change, current)

    def _method(self, state: Mapping[str, Any]) -> str:
        asked = self.params["method"]
        if state["enabled"] and asked not in ("auto", state["method"]):
            self.problems.append(
                f"method: {asked}: Container Insights is on by the {state['method']} of the cluster; switch it off "
                "first, or leave method out."
            )
        if asked != "auto":
            return str(asked)
        return str(state["method"] or MONITORING_PROFILE)

    def _chosen(self, method: str) -> str:
        """Returns the method, or the other one once Azure has said that it doesn't know the profile."""
        return ADDON_METHOD if self.profile_unknown else method

    # --- Prometheus ----------------------------------------------------------------------------------------------

    def _prometheus(self, pipe: DataCollection) -> _SourcePlan:
        enabled = bool(prometheus_profile(self.properties).get("enabled"))
        wanted = self.params["prometheus"]
        if wanted is None:
            return _SourcePlan([], True, None, pipe.workspace)
        if wanted:
            workspace, location = self._store(_ACCOUNTS, pipe.workspace)
            if workspace is None:
                return _SourcePlan([], True, None, None)
            steps = pipe.steps_on(workspace, location, pipe.workspace if enabled else None)
            return _SourcePlan(steps, True, None if enabled else (lambda body: set_prometheus(body, True)), workspace)
        if enabled and self.params["only_created_by_us"] and not (pipe.is_own or pipe.previous_workspace):
            self.warnings.append(
                f"Managed Prometheus of cluster {self.name} stays on: aks.gpu did not switch it on, as no data "
                f"collection rule of the cluster has the tag {CREATED_BY_TAG}. With O(only_created_by_us=false) it is "
                "switched off."
            )
            return _SourcePlan([], False, None, pipe.workspace)
        before = pipe.previous_workspace
        change = (lambda body: set_prometheus(body, False)) if enabled and not before else None
        left = None if pipe.is_own else pipe.workspace
        return _SourcePlan(pipe.steps_off(), False, change, before or left)

    # --- workspaces ----------------------------------------------------------------------------------------------

    def _store(self, store: _WorkspaceType, current: str | None) -> tuple[str | None, str]:
        """Returns ARM id and region of the workspace that is asked for, by default the one that is set.

        None, after a problem, when there is none and none is to be created.
        """
        given = self.params[store.option]
        if not given and not current:
            there = self._stores_there(store)
            self.problems.append(f"{store.option} is needed: the cluster has none so far. {there}")
            return None, ""
        group = self.params[f"{store.option}_resource_group"] or self.group
        wanted = normalized_workspace_id(str(given or current))
        if "/" not in wanted:
            wanted = (
                f"/subscriptions/{quote(self.subscription_id)}/resourceGroups/{quote(group)}"
                f"/providers/{store.type}/{quote(wanted)}"
            )
        name = wanted.rpartition("/")[2]
        try:
            found = self.client.get_or_none(wanted, store.api, activity=f"Reading {store.what} {name}")
        except AzureError as error:
            if error.code == "MissingSubscriptionRegistration":
                found = None  # where the provider is not registered, as in check mode before it is, nothing can be
            elif error.status == 403 and current and current.lower() == wanted.lower():
                return wanted, self.location  # what is set already need not be readable to the principal
            else:
                raise
        if found is not None:
            return wanted, str(found.get("location") or self.location)
        if not self.params[f"create_{store.option}"]:
            self.problems.append(
                f"{store.option}: there is no {store.what} {name} in {wanted.split('/')[4]}. "
                f"{self._stores_there(store)} O(create_{store.option}=true) creates it."
            )
            return None, ""
        body = {"location": self.location, "tags": ownership_tags(None), "properties": dict(store.properties)}

        def create() -> None:
            activity = f"Creating {store.what} {name}"
            self._wait_for_store(store, wanted, self.client.put(wanted, store.api, body, activity=activity), activity)

        self.creating.append((f"{store.what} {name}", create))
        return wanted, self.location

    def _wait_for_store(self, store: _WorkspaceType, resource_id: str, answer: ArmResponse, activity: str) -> None:
        """Waits until a new workspace is there: a rule can't name one that Azure is still creating.

        Azure answers a Log Analytics workspace with 201 and ``Creating``, and starts no operation that could be
        watched. So this waits with ``wait: false`` as well.

        Args:
            store: Which kind.
            resource_id: Its ARM id.
            answer: What its PUT was answered.
            activity: What was asked for.

        Raises:
            OperationFailed: Azure could not create it.
            DeadlineExceeded: The time is up.
        """

        def seen(body: Any) -> PollResult:
            if not isinstance(body, Mapping):
                return PollResult("not there yet", False)
            state = str((body.get("properties") or {}).get("provisioningState") or "Succeeded")
            return PollResult(state, state.lower() in ENDED, body)

        ended = wait_until(
            self.client,
            lambda: seen(self.client.get_or_none(resource_id, store.api, activity=activity)),
            what=activity,
            first=seen(answer.body),
        )
        if ended.state.lower() != "succeeded":
            raise operation_failure(ended.value, ended.state, activity)

    def _stores_there(self, store: _WorkspaceType) -> str:
        path = f"/subscriptions/{quote(self.subscription_id)}/providers/{store.type}"
        try:
            found = [str(each.get("id")) for each in self.client.items(path, store.api)]
        except AzureError:
            return ""  # listing needs more rights than the caller may have
        shown = ", ".join(f"{each.rpartition('/')[2]} (in {each.split('/')[4]})" for each in sorted(found)[:10])
        return f"The subscription has {shown or 'none'}."

    # --- writing -------------------------------------------------------------------------------------------------

    def _apply(self, sides: list[_SourcePlan], body: dict[str, Any], updating: bool) -> dict[str, Any]:
        for text, do in [*self.creating, *(step for side in sides if side.first for step in side.steps)]:
            self.client.progress(f"{self.name}: {text}")
            do()
        if updating:
            self._update(sides, body)
        for text, do in (step for side in sides if not side.first for step in side.steps):
            self.client.progress(f"{self.name}: {text}")
            do()
        found = cluster(self.client, self.subscription_id, self.group, self.name)
        return {"monitoring": _monitoring_diff(found.get("properties") or {}, sides[0].workspace, sides[1].workspace)}

    def _update(self, sides: list[_SourcePlan], body: dict[str, Any]) -> None:
        """Writes the cluster as it was read, with what is asked for laid over it; when it came too late, once more."""
        late = 0
        while True:
            wanted = writable_cluster(body)
            for side in sides:
                if side.change is not None:
                    side.change(wanted["properties"])
            if wanted["properties"] == writable_cluster(body)["properties"]:
                return
            etag = body.get("eTag") or body.get("etag")
            activity = f"Updating cluster {self.name}"
            try:
                answer = self.client.begin(
                    self.client.aks.managed_clusters.begin_create_or_update,
                    self.group,
                    self.name,
                    body=wanted,
                    headers=if_not_modified(etag),
                    call=Call(activity, wait_while_busy=True, planned=True),
                )
            except AzureError as error:
                if self._is_unknown_profile(error):
                    self.profile_unknown = True
                    self.task.warn(
                        "Azure does not know azureMonitorProfile.containerInsights here: the add-on omsagent is taken."
                    )
                elif error.stale:
                    late += 1
                    self._pause(late, error)
                else:
                    raise
                body = cluster(self.client, self.subscription_id, self.group, self.name)
                continue
            if self.params["wait"] or any(side.steps and not side.first for side in sides):
                wait_for_operation(self.client, answer, activity=activity)
            return

    def _is_unknown_profile(self, error: AzureError) -> bool:
        return (
            error.status == 400
            and self.params["method"] == "auto"
            and not self.profile_unknown
            and "containerinsights" in error.azure_message.lower()
        )

    def _pause(self, times: int, error: AzureError) -> None:
        if self.client.deadline.expired:
            raise DeadlineExceeded(
                f"Cluster {self.name} changed before each of {times} writes; Azure's last answer: {error.code}: "
                f"{error.azure_message}",
                hint="Nothing was overwritten. Run again when no other operation on the cluster is in progress.",
            ) from error
        self.client.progress(f"{self.name}: the cluster has changed, planning again: {error.code}")
        self.client.pause(backoff(times, first=MONITORING_FIRST_PAUSE))


def _monitoring_diff(properties: Mapping[str, Any], insights: str | None, prometheus: str | None) -> dict[str, Any]:
    """Returns the state of monitoring as a module returns it.

    Args:
        properties: Of the cluster.
        insights: ARM id of the Log Analytics workspace that data goes, or would go, to.
        prometheus: Likewise of the Azure Monitor workspace.
    """
    state = insights_state(properties)
    workspace = state["workspace"] or insights
    return {
        "container_insights": {
            "enabled": state["enabled"],
            "method": state["method"],
            "workspace": normalized_workspace_id(workspace) if workspace else None,
        },
        "prometheus": {
            "enabled": bool(prometheus_profile(properties).get("enabled")),
            "azure_monitor_workspace": prometheus,
        },
    }
