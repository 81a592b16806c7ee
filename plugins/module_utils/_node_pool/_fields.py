# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a node pool, one row each.

Argument spec, request body, comparison, diff, the check of immutable fields and the returned value all follow from
``FIELDS``. Which fields are immutable is documented at
https://learn.microsoft.com/en-us/azure/templates/microsoft.containerservice/managedclusters/agentpools.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._azure._ownership import OWNERSHIP_TAGS

Option = tuple[str, ...]
"""The way to an option: ``("gpu_profile", "driver")``."""

Values = dict[Option, Any]
"""Options that are set, by the way to them. An option that is not in it is left as it is."""

AKS_PREFIX = "kubernetes.azure.com/"
"""Labels and taints of this domain are AKS's own: it sets them, and only it may remove them."""

SKIP_DRIVER_TAG = "skipgpudriverinstall"
"""The retired tag that meant ``driver: None``; pools with it may still be moved to the field."""


class Kind(Enum):
    """How two values of a field are compared."""

    EXACT = "exact"
    TEXT = "letter case is ignored"
    IDENTIFIER = "an ARM id: letter case and a trailing slash are ignored"
    TAINTS = "order is ignored, AKS's own taints are passed over"
    LABELS = "a map, AKS's own labels are passed over"
    TAGS = "a map whose keys are compared without letter case, the tags of this collection are passed over"
    VERSION = "1.36 means any 1.36.x; a newer patch release is not a difference, as AKS upgrades by itself"
    PRICE = "AKS keeps five digits of a price, cut off in binary"
    ZONES = "order is ignored, auto leaves the choice to AKS"
    DISK_SIZE = "0 means the default size"


class Owner(Enum):
    """Who else may change a field."""

    USER = "nobody"
    NODES = "the autoscaler, while it is on; AKS, while the pool is stopped"
    LIMITS = "AKS, while the pool is stopped or its autoscaler is off"


def _never(_properties: Mapping[str, Any], _value: Any) -> bool:
    return False


def _driver_may_change(properties: Mapping[str, Any], value: Any) -> bool:
    """True for the one change of the driver that AKS takes: to None, on a pool that said so by the retired tag."""
    tags = {key.lower(): str(text).lower() for key, text in (properties.get("tags") or {}).items()}
    return str(value).lower() == "none" and tags.get(SKIP_DRIVER_TAG) == "true"


@dataclass(frozen=True)
class Field:
    """One option of a node pool.

    Attributes:
        option: The way to the option.
        path: The way to the field under ``properties`` in ARM.
        type: The Ansible type; ``raw`` for text that may be a number.
        kind: How values are compared.
        choices: The values that Azure knows, in its spelling; any letter case is accepted. Empty: any value.
        immutable: True when AKS takes a value only at creation.
        absent: What it means when ARM returns nothing.
        default: What AKS takes where it returns nothing, in comparisons only: it is not shown as the pool's value.
        owner: Who else may change the field.
        exempt: Says whether AKS takes this one change of an immutable field.
    """

    option: Option
    path: tuple[str, ...]
    type: str = "str"
    kind: Kind = Kind.EXACT
    choices: tuple[str, ...] = ()
    immutable: bool = False
    absent: Any = None
    default: Any = None
    owner: Owner = Owner.USER
    exempt: Callable[[Mapping[str, Any], Any], bool] = _never

    @property
    def name(self) -> str:
        """The option as a person writes it: ``gpu_profile.driver``."""
        return ".".join(self.option)


def _row(option: str, path: str, ansible_type: str = "str", **more: Any) -> Field:
    if "choices" in more:
        more.setdefault("kind", Kind.TEXT)
    return Field(option=tuple(option.split(".")), path=tuple(path.split(".")), type=ansible_type, **more)


FIELDS: tuple[Field, ...] = (
    # Azure is about to allow another vm_size in place (preview): then it is no longer immutable.
    _row("vm_size", "vmSize", kind=Kind.TEXT, immutable=True),
    _row("count", "count", "int", owner=Owner.NODES),
    _row("enable_auto_scaling", "enableAutoScaling", "bool", absent=False),
    _row("min_count", "minCount", "int", owner=Owner.LIMITS),
    _row("max_count", "maxCount", "int", owner=Owner.LIMITS),
    _row("scale_down_mode", "scaleDownMode", choices=("Delete", "Deallocate"), absent="Delete"),
    _row("mode", "mode", choices=("System", "User")),
    _row("node_taints", "nodeTaints", "list", kind=Kind.TAINTS, absent=[]),
    _row("node_labels", "nodeLabels", "dict", kind=Kind.LABELS, absent={}),
    _row("tags", "tags", "dict", kind=Kind.TAGS, absent={}),
    _row("availability_zones", "availabilityZones", "list", kind=Kind.ZONES, absent=[], immutable=True),
    _row("os_type", "osType", choices=("Linux", "Windows"), absent="Linux", immutable=True),
    _row("os_sku", "osSKU", kind=Kind.TEXT),
    _row("os_disk_size_gb", "osDiskSizeGB", "int", kind=Kind.DISK_SIZE, immutable=True),
    _row("os_disk_type", "osDiskType", choices=("Managed", "Ephemeral"), immutable=True),
    _row("kubelet_disk_type", "kubeletDiskType", choices=("OS", "Temporary"), absent="OS", immutable=True),
    _row("max_pods", "maxPods", "int", immutable=True),
    _row("vnet_subnet_id", "vnetSubnetID", kind=Kind.IDENTIFIER, immutable=True),
    _row("pod_subnet_id", "podSubnetID", kind=Kind.IDENTIFIER, immutable=True),
    _row("enable_node_public_ip", "enableNodePublicIP", "bool", absent=False, immutable=True),
    _row("scale_set_priority", "scaleSetPriority", choices=("Regular", "Spot"), absent="Regular", immutable=True),
    # AKS leaves out what belongs to Spot pools only; what it means then is the documented default.
    _row(
        "scale_set_eviction_policy",
        "scaleSetEvictionPolicy",
        choices=("Delete", "Deallocate"),
        default="Delete",
        immutable=True,
    ),
    _row("spot_max_price", "spotMaxPrice", "float", kind=Kind.PRICE, default=-1.0, immutable=True),
    _row(
        "gpu_profile.driver",
        "gpuProfile.driver",
        choices=("Install", "None"),
        absent="Install",
        immutable=True,
        exempt=_driver_may_change,
    ),
    _row(
        "gpu_profile.nvidia.management_mode",
        "gpuProfile.nvidia.managementMode",
        choices=("Unmanaged", "Managed"),
        absent="Unmanaged",
        immutable=True,
    ),
    _row(
        "gpu_instance_profile",
        "gpuInstanceProfile",
        choices=("MIG1g", "MIG2g", "MIG3g", "MIG4g", "MIG7g"),
        immutable=True,
    ),
    _row("capacity_reservation_group_id", "capacityReservationGroupID", kind=Kind.IDENTIFIER),
    _row("proximity_placement_group_id", "proximityPlacementGroupID", kind=Kind.IDENTIFIER),
    _row("host_group_id", "hostGroupID", kind=Kind.IDENTIFIER, immutable=True),
    _row("upgrade_settings.max_surge", "upgradeSettings.maxSurge", "raw"),
    # Whether AKS returns these depends on the API version, the priority of the pool and what was sent.
    _row("upgrade_settings.max_unavailable", "upgradeSettings.maxUnavailable", "raw", default="0"),
    _row("upgrade_settings.drain_timeout_in_minutes", "upgradeSettings.drainTimeoutInMinutes", "int", default=30),
    _row(
        "upgrade_settings.node_soak_duration_in_minutes",
        "upgradeSettings.nodeSoakDurationInMinutes",
        "int",
        default=0,
    ),
    _row(
        "upgrade_settings.undrainable_node_behavior",
        "upgradeSettings.undrainableNodeBehavior",
        choices=("Cordon", "Schedule"),
        default="Schedule",
    ),
    _row("orchestrator_version", "orchestratorVersion", kind=Kind.VERSION),
    _row("power_state", "powerState.code", choices=("Running", "Stopped"), absent="Running"),
)

BY_OPTION: dict[Option, Field] = {field.option: field for field in FIELDS}

COUNT: Option = ("count",)
MIN_COUNT: Option = ("min_count",)
MAX_COUNT: Option = ("max_count",)
AUTOSCALER: Option = ("enable_auto_scaling",)
VERSION: Option = ("orchestrator_version",)
POWER: Option = ("power_state",)

STOPPED_STATE = "Stopped"

SCALE_SETS = "VirtualMachineScaleSets"
"""The type of the pools that this collection manages. Those of type ``VirtualMachines`` keep sizes and counts elsewhere
(``virtualMachinesProfile``), and show ``count: null`` and ``vmSize: ""``."""

PRICE_TOLERANCE = 1.5e-5
"""AKS returns 0.577 as 0.57699 (azure-powershell TestSpot.json, 2025-10-28), in US dollars."""

ANY_ZONES = "auto"
"""The zone that leaves the choice to AKS."""

READ_ONLY = (
    "eTag",
    "provisioningState",
    "currentOrchestratorVersion",
    "nodeImageVersion",
    "status",
    "virtualMachineNodesStatus",
)
"""What only AKS may say. ``nodeImageVersion`` is writable since API 2026-08-01, but an echo of it is a rollback."""

READ_ONLY_RESOURCE = ("id", "name", "type", "eTag", "etag", "systemData", "properties")


# --- the options of a module -------------------------------------------------------------------------------------


def option_spec() -> dict[str, dict[str, Any]]:
    """Returns the fields as options of an argument spec.

    Choices are not part of it: Ansible compares them with letter case, Azure does not. See ``option_values``.
    """
    spec: dict[str, dict[str, Any]] = {}
    for field in FIELDS:
        level = spec
        for part in field.option[:-1]:
            level = level.setdefault(part, {"type": "dict", "options": {}})["options"]
        entry: dict[str, Any] = {"type": field.type}
        if field.type == "list":
            entry["elements"] = "raw" if field.kind is Kind.ZONES else "str"
        level[field.option[-1]] = entry
    return spec


def option_values(params: Mapping[str, Any]) -> Values:
    """Returns the options that are set, each in Azure's own spelling.

    Args:
        params: The options of the module; ``None`` means unset, an empty list or map means emptied.
    """
    values: Values = {}
    for field in FIELDS:
        value: Any = params
        for part in field.option:
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            values[field.option] = normalized(field, value)
    return values


def normalized(field: Field, value: Any) -> Any:
    """Returns a value in the spelling and the type that ARM expects; what can't be put so is returned as it is."""
    if field.choices:
        return next((choice for choice in field.choices if choice.lower() == str(value).lower()), value)
    if field.kind in (Kind.LABELS, Kind.TAGS) and isinstance(value, Mapping):
        return {str(key): _plain_value(text) for key, text in value.items()}
    if field.kind in (Kind.ZONES, Kind.TAINTS) and isinstance(value, Iterable) and not isinstance(value, str):
        return list(dict.fromkeys(str(item).strip() for item in value))
    return str(value) if field.type == "raw" else value


def _plain_value(value: Any) -> str:
    """The text of a label: YAML's true is ``true``, its null is the empty text."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- reading a pool ----------------------------------------------------------------------------------------------


def properties_of(pool: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the ``properties`` of a pool as ARM returned it."""
    return dict((pool or {}).get("properties") or {})


def current_value(field: Field, properties: Mapping[str, Any]) -> Any:
    """Returns what a pool says of a field: its value, or what it means that there is none."""
    if field.kind is Kind.VERSION:
        return properties.get("currentOrchestratorVersion") or properties.get("orchestratorVersion")
    value: Any = properties
    for part in field.path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return deepcopy(field.absent) if value is None else value


def compared(field: Field, properties: Mapping[str, Any]) -> Any:
    """Returns what a pool says of a field, or what AKS takes where the pool says nothing."""
    value = current_value(field, properties)
    return field.default if value is None else value


def user_owned_part(field: Field, value: Any) -> Any:
    """Returns the part of a value that a user may own: without what AKS adds by itself."""
    if field.kind is Kind.TAINTS:
        return [taint for taint in value or [] if not taint.startswith(AKS_PREFIX)]
    if field.kind is Kind.LABELS:
        return {key: text for key, text in (value or {}).items() if not key.startswith(AKS_PREFIX)}
    if field.kind is Kind.TAGS:
        return {key: text for key, text in (value or {}).items() if key.lower() not in OWNERSHIP_TAGS}
    return value


def values_equal(field: Field, current: Any, desired: Any) -> bool:
    """Compares two values of a field as AKS would."""
    current, desired = user_owned_part(field, current), user_owned_part(field, desired)
    if current is None or desired is None:
        return current is None and desired is None
    if field.kind is Kind.TEXT:
        return str(current).lower() == str(desired).lower()
    if field.kind is Kind.IDENTIFIER:
        return str(current).lower().rstrip("/") == str(desired).lower().rstrip("/")
    if field.kind is Kind.ZONES:
        return ANY_ZONES in desired or {str(item) for item in current} == {str(item) for item in desired}
    if field.kind is Kind.PRICE:
        return abs(float(current) - float(desired)) < PRICE_TOLERANCE
    if field.kind is Kind.TAINTS:
        return {_normalized_taint(item) for item in current} == {_normalized_taint(item) for item in desired}
    if field.kind is Kind.TAGS:
        return {key.lower(): text for key, text in current.items()} == {
            key.lower(): text for key, text in desired.items()
        }
    if field.kind is Kind.VERSION:
        return _is_version(str(current).lstrip("v"), str(desired).lstrip("v"))
    if field.kind is Kind.DISK_SIZE and desired == 0:
        return True
    return bool(current == desired)


def _is_version(current: str, desired: str) -> bool:
    """Says whether a version is the desired one, or a later patch release of it."""
    now, wanted = current.split("."), desired.split(".")
    if now[: len(wanted)] == wanted:
        return True
    patches = now[:2] == wanted[:2] and len(now) == len(wanted) == 3 and now[2].isdigit() and wanted[2].isdigit()
    return patches and int(now[2]) > int(wanted[2])


def _normalized_taint(text: str) -> str:
    """A taint without a value may be written with or without the equals sign."""
    return text.replace("=:", ":")


def overlay(field: Field, properties: dict[str, Any], desired: Any) -> None:
    """Puts a value into the properties of a request, next to what AKS added to the same field by itself."""
    current = current_value(field, properties)
    if field.kind is Kind.TAINTS:
        desired = [taint for taint in current if taint.startswith(AKS_PREFIX) and taint not in desired] + list(desired)
    elif field.kind is Kind.LABELS:
        desired = {**{key: text for key, text in current.items() if key.startswith(AKS_PREFIX)}, **desired}
    elif field.kind is Kind.TAGS:
        desired = {
            **{key: text for key, text in current.items() if key.lower() in OWNERSHIP_TAGS},
            **user_owned_part(field, desired),
        }
    level = properties
    for part in field.path[:-1]:
        if not isinstance(level.get(part), dict):
            level[part] = {}
        level = level[part]
    level[field.path[-1]] = deepcopy(desired)


def unmanaged_type(pool: Mapping[str, Any]) -> str | None:
    """Returns the type of a pool that this collection doesn't manage, or None where it does.

    A pool that names no type is one of a scale set.
    """
    kind = properties_of(pool).get("type") or SCALE_SETS
    return None if str(kind).lower() == SCALE_SETS.lower() else str(kind)


def writable_properties(pool: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the body of a PUT that changes nothing: what GET returned, without what only AKS may say.

    Fields that this collection does not know survive.
    """
    body = {key: deepcopy(value) for key, value in (pool or {}).items() if key not in READ_ONLY_RESOURCE}
    body["properties"] = {key: deepcopy(v) for key, v in properties_of(pool).items() if key not in READ_ONLY}
    return body


# --- return values -----------------------------------------------------------------------------------------------


_BEFORE_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""Where a word of a name begins, also after a word that is all capitals."""


def snake(name: str) -> str:
    """Returns a name of ARM as Ansible writes it: ``osDiskSizeGB`` is ``os_disk_size_gb``."""
    return _BEFORE_CAPITAL.sub("_", name).lower()


_MAPS = tuple(field.path for field in FIELDS if field.type == "dict")


def _snaked(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping) and path not in _MAPS:
        return {snake(key): _snaked(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_snaked(item, path) for item in value]
    return deepcopy(value)


def to_result(pool: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a pool as a module returns it: one level of snake_case keys, every option among them.

    Fields that this collection does not know are returned as well.
    """
    properties = properties_of(pool)
    result: dict[str, Any] = {field.option[0]: None for field in FIELDS}
    result.update({"provisioning_state": None, "current_orchestrator_version": None, "node_image_version": None})
    result.update(_snaked(properties, ()))
    result["etag"] = result.pop("e_tag", None) or pool.get("eTag") or pool.get("etag")
    for field in FIELDS:
        if len(field.option) == 1 and field.kind is not Kind.VERSION:
            result[field.option[0]] = current_value(field, properties)
    result["id"] = pool.get("id")
    result["name"] = pool.get("name")
    return result
