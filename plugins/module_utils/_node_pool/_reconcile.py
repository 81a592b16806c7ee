# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the module ``node_pool``, and what comes of them: look, plan, write, wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec, items
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded, Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._ansible._runs import (
    RUN_ARGUMENTS,
    run_of_task,
)
from ansible_collections.aks.gpu.plugins.module_utils._ansible._values import misread_texts, without_unset
from ansible_collections.aks.gpu.plugins.module_utils._azure._arguments import AZURE_ARGUMENTS, CLUSTER_OPTIONS
from ansible_collections.aks.gpu.plugins.module_utils._azure._client import ArmResponse
from ansible_collections.aks.gpu.plugins.module_utils._azure._cluster_cache import CachedResource
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError
from ansible_collections.aks.gpu.plugins.module_utils._azure._ownership import (
    is_created_by_us,
)
from ansible_collections.aks.gpu.plugins.module_utils._azure._policies import BUSY_FIRST_DELAY, backoff
from ansible_collections.aks.gpu.plugins.module_utils._azure._session import open_session
from ansible_collections.aks.gpu.plugins.module_utils._azure._subscription import (
    AKS_NAMESPACE,
    feature_state,
    permissions,
    vnet_subnet,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._absent import plan_absent
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._azure_checks import (
    AzureEnvironment,
    LiveSize,
    Subnet,
    environment_problems,
    size_problems,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._compute_skus import (
    actions_on_cluster,
    live_size,
    quotas_of,
    size_of,
    sizes_of_region,
    subnet_of,
    unless_forbidden,
    usages_of_region,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import (
    VERSION,
    Values,
    option_spec,
    option_values,
    to_result,
    unmanaged_type,
    writable_properties,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._node_pool_client import (
    BROKEN,
    DELETING,
    NodePoolClient,
    failure_of,
    is_settled,
    state_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._options import PRIORITY, SUBNET, VM_SIZE
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._plan import (
    Pool,
    PoolPlan,
    PoolStep,
    conflicts,
    plan_pool,
    resulting,
    upgraded_beyond,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._preflight import (
    creation_problems,
    name_problems,
    option_problems,
    retirement_problems,
    stack_problems,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._stacks import STACKS, Stack, stack_of

NODE_POOL_ARGUMENTS = AZURE_ARGUMENTS.merge(
    ArgumentSpec(
        options={
            **CLUSTER_OPTIONS,
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "gpu_stack": {"type": "str", "choices": list(STACKS)},
            "custom_headers": {"type": "dict"},
            "replaces": {"type": "str"},
            "settings": {"type": "dict"},
            "preflight": {"type": "bool", "default": True},
            "repair": {"type": "bool", "default": False},
            "abort": {"type": "bool", "default": False},
            "ignore_pod_disruption_budget": {"type": "bool", "default": False},
            "only_created_by_us": {"type": "bool", "default": False},
            "return_details": {"type": "bool", "default": True},
            "return_node_pools": {"type": "bool", "default": False},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 3600},
        }
    ),
    RUN_ARGUMENTS,
    ArgumentSpec(options=option_spec()),
)


RETURNED = ("return_details", "return_node_pools")
"""The options that say what is returned."""

SETTINGS_OPTION: dict[str, dict[str, Any]] = {
    name: rule
    for name, rule in NODE_POOL_ARGUMENTS.options.items()
    if name not in {*AZURE_ARGUMENTS.options, *CLUSTER_OPTIONS, "name", "settings", *RETURNED}
}
"""The options that ``settings`` may hold."""

ESSENTIAL = ("id", "name", "provisioning_state", "etag", "vm_size", "count")
"""What is returned of a pool without ``return_details``."""

TELLING = (
    *("enable_auto_scaling", "min_count", "gpu_instance_profile", "gpu_profile", "scale_set_priority", "power_state"),
    *("mode", "os_type", "node_labels", "node_taints", "tags", "orchestrator_version", "status"),
)
"""What is returned besides, of a settled pool where it says something: ``wait_for_gpus`` and ``evidence`` read it."""

LISTS = frozenset(name for name, rule in SETTINGS_OPTION.items() if rule["type"] == "list")
"""Those of them that may be comma-separated text."""

CONFLICT_FIRST_PAUSE = 0.2
"""Seconds before a write that came too late is planned again."""

REFUSED_CREATIONS = 1
"""How often a creation that Azure refuses with 412 is tried again although there is no pool of that name."""


class NodePoolRefused(Failure):
    """The options ask for what Azure would not do.

    Args:
        name: The node pool.
        problems: Sentences, each with a way out.
        changed: Whether this task has changed the node pool already.
    """

    def __init__(self, name: str, problems: list[str], *, changed: bool = False) -> None:
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        extent = "after this task had changed the node pool" if changed else "nothing was changed"
        super().__init__(
            f"Node pool {name}: {count} found, {extent}. "
            + " ".join(f"({number}) {text}" if len(problems) > 1 else text for number, text in enumerate(problems, 1)),
            problems=problems,
        )


def plan_node_pool(task: Task) -> Plan:
    """Says what a task of the module ``node_pool`` is going to do. Raises subclasses of ``Failure``."""
    task.params = with_settings(task.params)
    session = open_session(task)
    params = task.params
    access = NodePoolClient(session, params["resource_group"], params["cluster_name"], params["name"])
    planned = plan_absent(task, access) if params["state"] == "absent" else _Reconciler(task, access).plan()
    apply = planned.apply
    return replace(
        planned,
        result=_pool_result(access, params, planned.result, planned.changed, last=apply is None),
        apply=None if apply is None else lambda: _pool_result(access, params, apply(), False, last=True),
    )


def with_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of a task, with those of ``settings`` in their places.

    Args:
        params: The options after Ansible's validation.

    Raises:
        Failure: ``settings`` has what is no option, or no such value of it.
    """
    given = {
        name: items(value) if name in LISTS and isinstance(value, (str, list, tuple)) else value
        for name, value in without_unset(SETTINGS_OPTION, params["settings"] or {}).items()
    }
    misread = misread_texts(SETTINGS_OPTION, given)
    found = ArgumentSpecValidator(SETTINGS_OPTION).validate(given)
    if misread or found.error_messages:
        raise Failure(f"settings: {' '.join([*misread, *(f'{text}.' for text in found.error_messages)])}")
    return {**params, **{name: found.validated_parameters[name] for name in given}}


def _pool_result(
    access: NodePoolClient, params: Mapping[str, Any], result: dict[str, Any], pending: bool, *, last: bool
) -> dict[str, Any]:
    """Returns a result that also says whether there is anything left to do or to wait for.

    Args:
        access: The pool.
        params: The options of the task.
        result: The result.
        pending: Whether the task has something to do.
        last: Whether this is the result after which nothing is done any more.

    Raises:
        AzureError: The cluster can't be read.
    """
    pool = result["node_pool"]
    settled = not pending and (pool is None or pool["provisioning_state"] == "Succeeded")
    if pool is not None and not params["return_details"]:
        result = {**result, "node_pool": _essential_pool(pool, settled)}
    pools = _pools(access.cluster()) if last and params["return_node_pools"] else None
    return {"settled": settled, **result, "node_pools": pools}


def _essential_pool(pool: Mapping[str, Any], settled: bool) -> dict[str, Any]:
    telling = {name: pool[name] for name in TELLING if settled and pool.get(name) not in (None, {}, [])}
    return {**{name: pool.get(name) for name in ESSENTIAL}, **telling}


def _pools(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the name of each node pool of a cluster, and whether it has the mark of this collection."""
    profiles = (found.get("properties") or {}).get("agentPoolProfiles") or []
    return [{"name": each["name"], "own": is_created_by_us(each.get("tags"))} for each in profiles]


# --- absent ------------------------------------------------------------------------------------------------------


# --- present -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _DesiredPool:
    """What is to be there: the options, and for a new pool what its stack adds to them."""

    options: Values
    headers: Mapping[str, str]
    stack: Stack | None

    def for_creation(self) -> tuple[Values, dict[str, str]]:
        """Returns fields and headers of a new pool."""
        if self.stack is None:
            return dict(self.options), dict(self.headers)
        return {**self.stack.fields, **self.options}, {**self.stack.headers, **self.headers}


class _Reconciler:
    """One task that wants a node pool.

    Args:
        task: The task.
        access: The pool.
    """

    def __init__(self, task: Task, access: NodePoolClient) -> None:
        self.task = task
        self.access = access
        params = task.params
        self.wait: bool = params["wait"]
        self.may_repair: bool = params["repair"]
        self.run = run_of_task(params)
        self.old = access.sibling(params["replaces"]) if params["replaces"] else None
        self.replaced: Pool | None = None
        self.written = False
        self.wanted = _DesiredPool(
            options=option_values(params),
            headers={str(name): _custom_headers(value) for name, value in (params["custom_headers"] or {}).items()},
            stack=STACKS.get(params["gpu_stack"] or ""),
        )

    def plan(self) -> Plan:
        """Reads, and says what is going to be done; raises ``NodePoolRefused`` with every problem found."""
        if self.old is not None:
            self.replaced = self.old.read()
        current = self.access.get_cached()
        if isinstance(current, CachedResource) and state_of(current) in BROKEN:
            current = self.access.read()
        creating = current is None or state_of(current) == DELETING
        planned = self._plan_creation(current) if creating or current is None else self._plan_change(current)
        return planned if self.old is None or self.replaced is None else self._with_replacement(planned, self.old)

    def _with_replacement(self, planned: Plan, old: NodePoolClient) -> Plan:
        """Returns the plan with what makes the old pool go afterwards."""
        # All that knows Kubernetes, half of the collection: not in the memory of a fleet's every process, but here.
        from ansible_collections.aks.gpu.plugins.module_utils._node_pool._replacement import Replacement

        replacement = Replacement(self.task, self.access, old, self.task.params["gpu_stack"])
        if self.replaced is not None and state_of(self.replaced) != DELETING:
            replacement.require_access()

        def apply() -> dict[str, Any]:
            result = planned.result if planned.apply is None else planned.apply()
            replacement.carry_out(result["node_pool"])
            return result

        return replace(
            planned,
            changed=True,
            apply=apply,
            before={**(planned.before or {}), "replaces": old.name},
            after={**(planned.after or {}), "replaces": None},
        )

    def _replacement_problems(self, values: Values) -> list[str]:
        if self.old is None:
            return []
        from ansible_collections.aks.gpu.plugins.module_utils._node_pool._replacement import replacement_problems

        return replacement_problems(self.access.name, values, self.replaced, self.old.name, self.wait)

    def _plan_creation(self, current: Pool | None) -> Plan:
        values, headers = self.wanted.for_creation()
        problems = [
            *name_problems(self.access.name, values),
            *option_problems(values, values, headers),
            *creation_problems(values, headers, self.wanted.stack),
            *self._replacement_problems(values),
        ]
        found = self._cluster(values, problems)
        if self.task.params["preflight"]:
            problems += self._live_problems(values, headers, found)
        self._refuse(problems)
        stack = self.wanted.stack or stack_of(values, headers)
        decision = plan_pool(None, values, self.run)
        predicted = {"id": self.access.id, "name": self.access.name, **(decision.predicted or {})}
        return Plan(
            changed=True,
            result={"node_pool": to_result(predicted)},
            apply=lambda: self._apply(current),
            before={},
            after={"name": self.access.name, **decision.after},
            warnings=[stack.warning] if stack is not None and stack.warning else [],
        )

    def _cluster(self, values: Values, problems: list[str]) -> Mapping[str, Any]:
        """Reads the cluster.

        Raises:
            Refused: There is none, and the options have problems as well.
        """
        access = self.access
        try:
            return access.cluster()
        except AzureError as error:
            others = [*problems, *size_problems(values, None)]
            if error.status != 404 or not others:
                raise
            raise NodePoolRefused(access.name, [str(error), *others]) from error

    def _plan_change(self, current: Pool) -> Plan:
        given, headers = self.wanted.options, self.wanted.headers
        decision = plan_pool(current, given)
        if unmanaged_type(current) is not None:
            self._refuse(list(decision.problems))
        self._refuse(
            [
                *option_problems(resulting(current, given), given, headers),
                *stack_problems(current, given, self.wanted.stack),
                *self._replacement_problems(resulting(current, given)),
                *decision.problems,
            ]
        )
        broken = state_of(current) in BROKEN
        if broken and not self.may_repair:
            raise failure_of(current, self.access.name)
        aborting = self.task.params["abort"] and not is_settled(current)
        changed = decision.action == "update" or broken or aborting
        attach = self.wait and not is_settled(current)
        return Plan(
            changed=changed,
            result={"node_pool": to_result(decision.predicted or current)},
            apply=(lambda: self._apply(current)) if changed or attach else None,
            before=decision.before,
            after=decision.after,
            warnings=self._version_warnings(current),
        )

    def _version_warnings(self, current: Pool) -> list[str]:
        version = upgraded_beyond(current, self.wanted.options)
        if version is None:
            return []
        return [
            f"Node pool {self.access.name} runs Kubernetes {version}, which is newer than orchestrator_version: "
            f"{self.wanted.options[VERSION]}. It is left as it is: AKS does not downgrade a node pool."
        ]

    def _live_problems(self, values: Values, headers: Mapping[str, str], found: Mapping[str, Any]) -> list[str]:
        """Asks Azure about the place of a new pool. What the principal may not ask is not judged."""
        access = self.access
        location = str(found.get("location") or "")
        size: LiveSize | None = None
        offered: list[str] | None = None
        quotas: tuple[Any, ...] = ()
        if VM_SIZE in values:
            skus = sizes_of_region(access.session, location)
            if skus is not None:
                size = live_size(values[VM_SIZE], location, skus)
                offered = [each.name for each in (size_of(sku, location) for sku in skus) if each.blocked is None]
                usages = usages_of_region(access.session, location)
                quotas = quotas_of(size, values.get(PRIORITY) == "Spot", usages or [])
        actions = actions_on_cluster(access.session, access.cluster_id)
        subnet: Subnet | None = None
        subnet_actions = None
        if SUBNET in values:
            subnet_id = str(values[SUBNET]).rstrip("/")
            subnet = unless_forbidden(lambda: subnet_of(subnet_id, vnet_subnet(access.client, subnet_id)))
            if subnet is not None and subnet.exists:
                subnet_actions = unless_forbidden(lambda: permissions(access.client, subnet_id))
        return [
            *size_problems(values, size),
            *retirement_problems(self.wanted.stack or stack_of(values, headers), offered),
            *environment_problems(values, AzureEnvironment(found, size, quotas, actions, subnet, subnet_actions)),
        ]

    def _refuse(self, problems: list[str]) -> None:
        if problems:
            raise NodePoolRefused(self.access.name, problems, changed=self.written)

    # --- writing -------------------------------------------------------------------------------------------------

    def _apply(self, current: Pool | None) -> dict[str, Any]:
        """Brings the pool to what is wanted, from whatever state it is in by now.

        Each PUT is planned from what was last read. One that comes too late (412, 409 ``EtagMismatch``) is planned
        again; that ends, because every round needs a change by another client, and with the deadline.
        """
        sent: set[tuple[str, ...]] = set()
        late: list[AzureError] = []
        refused = 0
        while True:
            if current is not None and not is_settled(current):
                current = self._wait_until_settled(current)
                if isinstance(current, CachedResource) and state_of(current) in BROKEN:
                    current = self.access.read()
                if current is not None and not is_settled(current):
                    return {"node_pool": to_result(current)}
            if current is not None and state_of(current) in BROKEN and not self.may_repair:
                raise failure_of(current, self.access.name)
            decision = self._plan_now(current)
            repairing = current is not None and state_of(current) in BROKEN
            if decision.action == "nothing" and not repairing and current is not None:
                return {"node_pool": to_result(current)}
            if isinstance(current, CachedResource):
                current = self._reread(current)
                continue
            step = decision.steps[0] if decision.steps else PoolStep(writable_properties(current), ())
            if current is not None and not repairing and sent & set(step.options):
                self._warn_not_applied(decision)
                return {"node_pool": to_result(current)}
            try:
                answer = self._put(step, current, late)
            except AzureError as error:
                if not _is_late(error, current):
                    raise
                late.append(error)
                self._pause_after_a_late_write(late)
                now = self._reread(current)
                refused += current is None and now is None and error.status == 412
                if refused > REFUSED_CREATIONS:
                    raise
                current = now
                continue
            self.written = True
            self.may_repair = False
            sent |= set(step.options)
            if not self.wait and len(decision.steps) <= 1:
                started = answer.body if isinstance(answer.body, Mapping) else decision.predicted or {}
                return {"node_pool": to_result({"id": self.access.id, "name": self.access.name, **started})}
            activity = "Creating" if current is None else "Updating"
            self.access.wait_for_operation(answer, f"{activity} {self.access.what}")
            current = self.access.read()

    def _wait_until_settled(self, current: Pool) -> Pool | None:
        """Waits for, or ends, what is under way; without ``wait`` it returns at once when there is nothing to write."""
        if self.task.params["abort"] and state_of(current) != DELETING:
            self.access.abort()
            self.written = self.may_repair = True
        elif not self.wait and state_of(current) != DELETING and self._plan_now(current).action == "nothing":
            return current
        else:
            return self.access.wait_until_settled(current)
        return self.access.wait_until_settled()

    def _plan_now(self, current: Pool | None) -> PoolPlan:
        """Plans from the state as it is now.

        Raises:
            Refused: AKS would not take it.
        """
        values = self.wanted.for_creation()[0] if current is None else self.wanted.options
        decision = plan_pool(current, values, self.run)
        self._refuse(list(decision.problems))
        return decision

    def _put(self, step: PoolStep, current: Pool | None, late: list[AzureError]) -> ArmResponse:
        """Sends a PUT and returns the answer.

        A creation asks Azure to refuse when there is a pool of that name. Azure has answered so where there was none,
        and asked to leave the condition out: it is left out after that answer only.
        Source: https://github.com/Azure/azure-cli/pull/30309
        """
        if current is not None:
            return self.access.update(step.body, current)
        values, headers = self.wanted.for_creation()
        if self.task.params["preflight"]:
            self._require_feature(self.wanted.stack or stack_of(values, headers))
        unwanted = bool(late) and late[-1].status == 412 and "resource not found" in late[-1].azure_message.lower()
        return self.access.create(step.body, headers, guarded=not unwanted)

    def _pause_after_a_late_write(self, late: list[AzureError]) -> None:
        """Leaves others some time before the next attempt.

        Raises:
            DeadlineExceeded: There is no time for one.
        """
        client, error = self.access.client, late[-1]
        if client.deadline.expired:
            raise DeadlineExceeded(
                f"Node pool {self.access.name} changed before each of {len(late)} writes; Azure's last answer: "
                f"{error.code}: {error.azure_message}",
                hint="Nothing was overwritten. Run again when no other operation on the cluster is in progress.",
            ) from error
        client.progress(f"{self.access.what}: it has changed, planning again: {error.code}")
        client.pause(backoff(len(late), first=BUSY_FIRST_DELAY if error.busy else CONFLICT_FIRST_PAUSE))

    def _reread(self, base: Pool | None) -> Pool | None:
        """Reads the pool after somebody else has changed it.

        Raises:
            Failure: They have changed what this task was about to change, to another value.
        """
        now = self.access.read()
        if base is None or now is None:
            return now
        disputed = conflicts(base, now, self.wanted.options)
        if disputed:
            raise Failure(
                f"Node pool {self.access.name} was changed by somebody else meanwhile: {'; '.join(disputed)}.",
                hint="Nothing was overwritten. Run again if your value shall win.",
            )
        return now

    def _require_feature(self, stack: Stack | None) -> None:
        """Makes sure that the preview feature of a stack is registered; one that Azure no longer lists isn't needed.

        It is asked for here, and not while planning: in check mode the registration itself is only predicted.
        """
        if stack is None or stack.feature is None:
            return
        feature = stack.feature
        access = self.access
        try:
            state = access.session.cached(
                f"state of {AKS_NAMESPACE}/{feature}",
                lambda: feature_state(access.client, access.subscription_id, AKS_NAMESPACE, feature),
            )
        except AzureError as error:
            if error.status in (403, 404):
                return
            raise
        if state != "Registered":
            raise NodePoolRefused(
                access.name,
                [
                    f"gpu_stack: {stack.name} needs the preview feature {AKS_NAMESPACE}/{feature}, which is {state}. "
                    "Register it with aks.gpu.feature or the role aks.gpu.preview_feature."
                ],
            )

    def _warn_not_applied(self, decision: PoolPlan) -> None:
        names = ", ".join(".".join(option) for step in decision.steps for option in step.options)
        self.task.warn(f"Azure took the request for node pool {self.access.name} but did not keep: {names}.")


def _is_late(error: AzureError, current: Pool | None) -> bool:
    """Says whether a write was refused because the pool is no longer as it was read."""
    deleted = error.status == 409 and "deletion was issued" in error.azure_message
    vanished = error.status == 404 and current is not None
    return error.stale or deleted or vanished


def _custom_headers(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
