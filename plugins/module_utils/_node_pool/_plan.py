# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be done to make a node pool what its options say. Pure: nothing here reads or writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from ansible_collections.aks.gpu.plugins.module_utils._azure._ownership import ownership_tags
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import (
    AUTOSCALER,
    BY_OPTION,
    COUNT,
    MAX_COUNT,
    MIN_COUNT,
    POWER,
    STOPPED_STATE,
    VERSION,
    Field,
    Option,
    Owner,
    Values,
    compared,
    current_value,
    normalized,
    overlay,
    properties_of,
    unmanaged_type,
    user_owned_part,
    values_equal,
    writable_properties,
)

Pool = Mapping[str, Any]
"""A pool as ARM returns it: ``{"id": …, "name": …, "properties": {…}}``."""


@dataclass(frozen=True)
class PoolStep:
    """One PUT.

    Attributes:
        body: The body of the request.
        options: The options that it changes.
    """

    body: dict[str, Any]
    options: tuple[Option, ...]


@dataclass(frozen=True)
class PoolPlan:
    """What is to be done with a pool.

    Attributes:
        action: What the steps amount to; ``refuse`` means that nothing can be done, for the reasons in ``problems``.
        steps: The PUTs, in turn; each is made when the one before has ended.
        before: The owned fields now.
        after: The owned fields to come.
        predicted: The pool to come, or None when there will be none.
        problems: Why AKS would not take the change, each with a way out.
    """

    action: Literal["create", "update", "delete", "nothing", "refuse"]
    steps: tuple[PoolStep, ...] = ()
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    predicted: Pool | None = None
    problems: tuple[str, ...] = ()


def plan_pool(current: Pool | None, desired: Values | None, run: str | None = None) -> PoolPlan:
    """Says how to get from one state to the other.

    Args:
        current: The pool as GET returned it, or None when there is none.
        desired: The options that are set, or None when there shall be no pool.
        run: The run that creates the pool, if it has to be created.
    """
    if desired is None:
        if current is None:
            return PoolPlan("nothing")
        return PoolPlan("delete", before=_pool_diff(current, tuple(BY_OPTION)))
    if current is None:
        return _creation(desired, run)
    return _update(current, desired)


def resulting(current: Pool | None, desired: Values) -> Values:
    """Returns the values that the pool will have, as far as they are known: what it says now, overlaid."""
    values: Values = {}
    if current is not None:
        properties = properties_of(current)
        for option, row in BY_OPTION.items():
            value = current_value(row, properties)
            if value is not None:
                values[option] = value
    values.update(desired)
    if values.get(AUTOSCALER) is False and AUTOSCALER in desired:
        for option in (MIN_COUNT, MAX_COUNT):
            if option not in desired:
                values.pop(option, None)
    return values


def conflicts(base: Pool, now: Pool, desired: Values) -> tuple[str, ...]:
    """Names the fields that somebody else has changed since the plan was made, to another value than the one desired.

    Args:
        base: The pool that the plan was made from.
        now: The pool as it is now.
        desired: The options that are set.
    """
    told, found = properties_of(base), properties_of(now)
    owned_now = [row for row in _changed_rows(base, desired) if _is_owned(row, found, desired)]
    return tuple(
        f"{row.name} was {_value_text(current_value(row, told))}, is now {_value_text(current_value(row, found))}, "
        f"and shall become {_value_text(desired[row.option])}"
        for row in owned_now
        if not values_equal(row, compared(row, told), compared(row, found))
        and not values_equal(row, compared(row, found), desired[row.option])
    )


def upgraded_beyond(current: Pool, desired: Values) -> str | None:
    """Returns the version of a pool that is newer than the one in the options, or None.

    AKS upgrades by itself to newer patch releases, and doesn't go back: that is no difference, but worth a warning.
    """
    version = current_value(BY_OPTION[VERSION], properties_of(current))
    wanted = str(desired.get(VERSION) or "").lstrip("v")
    if not wanted or not version or not values_equal(BY_OPTION[VERSION], version, wanted):
        return None
    return None if str(version).split(".")[: len(wanted.split("."))] == wanted.split(".") else str(version)


def _creation(desired: Values, run: str | None) -> PoolPlan:
    values = dict(desired)
    # AKS wants a count in any case; its documented default is 1.
    values.setdefault(COUNT, values.get(MIN_COUNT, 1) if values.get(AUTOSCALER) else 1)
    stop = values.pop(POWER, None) == STOPPED_STATE
    body: dict[str, Any] = {"properties": {"tags": ownership_tags(run)}}
    for option, value in values.items():
        if value is not None:
            overlay(BY_OPTION[option], body["properties"], value)
    steps = [PoolStep(body, tuple(values))]
    if stop:
        steps.append(_overlaid_body(body, {POWER: STOPPED_STATE}))
    predicted = _with_power(deepcopy(steps[-1].body), {})
    return PoolPlan("create", tuple(steps), {}, _pool_diff(predicted, tuple(desired)), _settled(predicted))


def _update(current: Pool, desired: Values) -> PoolPlan:
    properties = properties_of(current)
    foreign = unmanaged_type(current)
    if foreign is not None:
        return PoolPlan("refuse", predicted=current, problems=(_unmanaged_problem(foreign),))
    rows = _changed_rows(current, desired)
    before = _pool_diff(
        current, tuple(option for option in desired if _is_owned(BY_OPTION[option], properties, desired))
    )
    if not rows:
        return PoolPlan("nothing", before=before, after=before, predicted=current)

    problems = [
        f"{row.name} can't be changed on a node pool that exists: it is {_value_text(current_value(row, properties))}, "
        f"{_value_text(desired[row.option])} was asked for. Leave the option out, or give the pool another name and "
        "add O(replaces) with the name it has now."
        for row in rows
        if row.immutable and not row.exempt(properties, desired[row.option])
    ]
    stopped = _is_stopped(properties)
    # "Stopped node pools can be upgraded": https://learn.microsoft.com/en-us/azure/aks/start-stop-nodepools
    blocked = [row.name for row in rows if row.option != VERSION and not row.immutable]
    if stopped and desired.get(POWER) != "Running" and blocked:
        problems.append(
            f"The node pool is stopped, so AKS doesn't change {', '.join(blocked)}. "
            "Start it with O(power_state=Running)."
        )
    if problems:
        return PoolPlan("refuse", before=before, after=before, predicted=current, problems=tuple(problems))

    steps: list[PoolStep] = []
    body = writable_properties(current)
    for options in _groups([row.option for row in rows], stopped):
        step = _overlaid_body(body, {option: desired[option] for option in options})
        body = step.body
        steps.append(step)
    predicted = _with_power({**current, "properties": {**properties, **body["properties"]}}, desired)
    for key in ("minCount", "maxCount"):
        if key not in body["properties"]:
            predicted["properties"].pop(key, None)
    if VERSION in {row.option for row in rows}:
        predicted["properties"]["currentOrchestratorVersion"] = desired[VERSION]
    changed = {row.option for row in rows}
    after = _merged_body(before, _pool_diff(predicted, tuple(changed)))
    return PoolPlan("update", tuple(steps), before, after, _settled(predicted))


def _unmanaged_problem(kind: str) -> str:
    return (
        f"The node pool is of type {kind}, and aks.gpu manages node pools of virtual machine scale sets only. Choose "
        "another name, or change this pool with: az aks nodepool."
    )


def _is_stopped(properties: Mapping[str, Any]) -> bool:
    return bool(current_value(BY_OPTION[POWER], properties) == STOPPED_STATE)


def _with_power(pool: dict[str, Any], desired: Values) -> dict[str, Any]:
    """Returns a predicted pool with the count that AKS reports in its power state.

    A stopped pool has no nodes. A start brings back the count from before, which a stopped pool doesn't tell.
    Witness: azure-cli test_aks_nodepool_stop_and_start.yaml, 2025-07-08.

    Args:
        pool: The pool to come, with the count that the last PUT sends.
        desired: The options that are set.
    """
    properties = pool["properties"]
    if _is_stopped(properties):
        properties["count"] = 0
    elif properties.get("count") == 0 and POWER in desired and COUNT not in desired:
        properties.pop("count")
    return pool


def _groups(options: list[Option], stopped: bool) -> list[list[Option]]:
    """Deals the changes out to PUTs: what AKS refuses together comes in turn."""
    switching = AUTOSCALER in options
    first = [POWER] if POWER in options and stopped else []
    last = [POWER] if POWER in options and not stopped else []
    rest = [option for option in options if option != POWER]
    alone = [option for option in rest if option == VERSION or (option == COUNT and switching)]
    together = [option for option in rest if option not in alone]
    groups = [first, together, [o for o in alone if o == COUNT], [o for o in alone if o == VERSION], last]
    return [group for group in groups if group]


def _overlaid_body(body: Mapping[str, Any], values: Values) -> PoolStep:
    """Returns the PUT that sets some options on top of a body; fields that depend on each other move together."""
    overlaid = deepcopy(dict(body))
    properties = overlaid["properties"]
    for option, value in values.items():
        overlay(BY_OPTION[option], properties, value)
    if values.get(AUTOSCALER) is False:
        properties.pop("minCount", None)
        properties.pop("maxCount", None)
    return PoolStep(overlaid, tuple(values))


def _is_owned(row: Field, properties: Mapping[str, Any], desired: Values) -> bool:
    """Says whether an option is the user's to set in the state that is to come."""
    if row.owner is Owner.USER:
        return True
    if _is_stopped(properties) and desired.get(POWER) != "Running":
        return False
    autoscaled = desired.get(AUTOSCALER)
    if autoscaled is None:
        autoscaled = current_value(BY_OPTION[AUTOSCALER], properties)
    return bool(autoscaled) is (row.owner is Owner.LIMITS)


def _changed_rows(current: Pool, desired: Values) -> list[Field]:
    properties = properties_of(current)
    return [
        BY_OPTION[option]
        for option, value in desired.items()
        if _is_owned(BY_OPTION[option], properties, desired)
        and not values_equal(BY_OPTION[option], compared(BY_OPTION[option], properties), value)
    ]


def _pool_diff(pool: Pool, options: Iterable[Option]) -> dict[str, Any]:
    """Returns options of a pool as they are shown in a diff: nested as the options are, without what is AKS's own."""
    properties = properties_of(pool)
    shown: dict[str, Any] = {}
    for option in options:
        value = user_owned_part(BY_OPTION[option], current_value(BY_OPTION[option], properties))
        if value is None:
            continue
        level = shown
        for part in option[:-1]:
            level = level.setdefault(part, {})
        level[option[-1]] = normalized(BY_OPTION[option], value)
    return shown


def _merged_body(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a nested map with the values of another one put over it; labels and tags are replaced whole."""
    merged = dict(base)
    for key, value in more.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping) and (key,) not in BY_OPTION
        merged[key] = _merged_body(merged[key], value) if nested else value
    return merged


def _settled(pool: Pool) -> Pool:
    """Returns a pool as it will be when the operation has ended."""
    return {**pool, "properties": {**properties_of(pool), "provisioningState": "Succeeded"}}


def _value_text(value: Any) -> str:
    return "unset" if value is None else repr(value)
