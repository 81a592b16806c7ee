"""What AKS does to an agent pool's JSON: which properties it knows, what it fills in, what it refuses to change.

Known properties and their types are those of API version 2026-08-01 (azure-mgmt-containerservice 41.8.0); defaults
are what recorded traffic shows, see `filled_in`.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Collection
from typing import Any

from ..sizes import node_size
from .errors import ProviderError, property_change_not_allowed

Json = dict[str, Any]

SPOT_TAINT = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
SPOT_LABEL = "kubernetes.azure.com/scalesetpriority"
NODE_IMAGE = "AKSUbuntu-2204gen2containerd-202611.02.0"

READ_ONLY = ("eTag", "provisioningState", "currentOrchestratorVersion", "virtualMachineNodesStatus", "status")
SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("eTag", "provisioningState", "currentOrchestratorVersion"), str),
    **dict.fromkeys(
        [
            "vmSize",
            "osDiskType",
            "kubeletDiskType",
            "workloadRuntime",
            "messageOfTheDay",
            "vnetSubnetID",
            "podSubnetID",
            "podIPAllocationMode",
            "osType",
            "osSKU",
            "scaleDownMode",
            "type",
            "mode",
            "orchestratorVersion",
            "nodeImageVersion",
            "nodePublicIPPrefixID",
            "scaleSetPriority",
            "scaleSetEvictionPolicy",
            "proximityPlacementGroupID",
            "gpuInstanceProfile",
            "capacityReservationGroupID",
            "hostGroupID",
        ],
        str,
    ),
    **dict.fromkeys(("count", "osDiskSizeGB", "maxPods", "maxCount", "minCount"), int),
    **dict.fromkeys(
        ("enableAutoScaling", "enableNodePublicIP", "enableEncryptionAtHost", "enableUltraSSD", "enableFIPS"), bool
    ),
    "spotMaxPrice": float,
    "availabilityZones": list,
    "nodeTaints": list,
    "nodeLabels": dict,
    "tags": dict,
    "upgradeSettings": {
        "maxSurge": str,
        "maxUnavailable": str,
        "drainTimeoutInMinutes": int,
        "nodeSoakDurationInMinutes": int,
        "undrainableNodeBehavior": str,
    },
    "gpuProfile": {"driver": str, "nvidia": {"managementMode": str}},
    "powerState": {"code": str},
    "securityProfile": {"enableVTPM": bool, "enableSecureBoot": bool, "sshAccess": str},
    "creationData": {"sourceResourceId": str},
    **dict.fromkeys(
        [
            "kubeletConfig",
            "linuxOSConfig",
            "networkProfile",
            "windowsProfile",
            "gatewayProfile",
            "artifactStreamingProfile",
            "virtualMachinesProfile",
            "localDNSProfile",
            "status",
        ],
        dict,
    ),
    "virtualMachineNodesStatus": list,
}
GO_NAMES = {str: "string", int: "int32", bool: "bool", float: "float64", list: "[]string", dict: "map[string]string"}

IMMUTABLE = (
    "vmSize",
    "maxPods",
    "osType",
    "osDiskType",
    "osDiskSizeGB",
    "kubeletDiskType",
    "gpuInstanceProfile",
    "scaleSetPriority",
    "scaleSetEvictionPolicy",
    "spotMaxPrice",
    "hostGroupID",
    "vnetSubnetID",
    "podSubnetID",
    "enableNodePublicIP",
    "availabilityZones",
    "type",
)
"""Properties that a PUT may repeat but not change; gpuProfile's two are checked apart."""

EPHEMERAL_DISK_GB = {
    "standard_d4ds_v4": 150,
    "standard_d4lds_v5": 150,
    "standard_d4plds_v5": 150,
    "standard_d8plds_v5": 200,
    "standard_nc6s_v3": 320,
    "standard_nc24ads_a100_v4": 128,
    "standard_nd96asr_v4": 128,
}
"""Default size of an ephemeral OS disk, by VM size.

Witness: CLI test_aks_create_gpu_driver_flow.yaml, 2025-03-21; CLI test_aks_nodepool_stop_and_start.yaml, 2025-07-08;
CLI test_aks_machine_cmds.yaml, 2025-06-24; CLI test_aks_create_spot_node_pool.yaml, 2025-07-07; PS TestSpot.json,
2025-10-28; CLX test_aks_nodepool_add_with_gpu_instance_profile.yaml, 2022-09; PS TestGpuInstanceProfile.json, 2023-05.
No witness: 128 of any other size.
"""
DISK_GB = 128
UPGRADE_SETTINGS = {"maxSurge": "10%", "maxUnavailable": "0"}
"""Witness: ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18; CLI test_aks_nodepool_stop_and_start.yaml,
2025-07-08: there they stand beside what was sent."""

SPOT_DEFAULTS = {"scaleSetPriority": "Regular", "scaleSetEvictionPolicy": "Delete", "spotMaxPrice": -1.0}
KEPT_WHEN_ABSENT = (*IMMUTABLE, "mode", "orchestratorVersion", "osSKU", "gpuProfile", "powerState", "enableFIPS")
NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
TAINT = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
    r"=(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?:(?:NoSchedule|PreferNoSchedule|NoExecute)"
)
LABEL_KEY = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
OWN_DOMAIN = "kubernetes.azure.com"
ALLOWED_PREFIXES = ("kubelet.kubernetes.io/", "node.kubernetes.io/")

ENUMS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("mode",): ("System", "User", "Gateway"),
    ("type",): ("VirtualMachineScaleSets", "AvailabilitySet", "VirtualMachines"),
    ("osType",): ("Linux", "Windows"),
    ("osDiskType",): ("Managed", "Ephemeral"),
    ("kubeletDiskType",): ("OS", "Temporary"),
    ("scaleDownMode",): ("Delete", "Deallocate"),
    ("scaleSetPriority",): ("Spot", "Regular"),
    ("scaleSetEvictionPolicy",): ("Delete", "Deallocate"),
    ("gpuInstanceProfile",): ("MIG1g", "MIG2g", "MIG3g", "MIG4g", "MIG7g"),
    ("gpuProfile", "driver"): ("Install", "None"),
    ("gpuProfile", "nvidia", "managementMode"): ("Unmanaged", "Managed"),
    ("upgradeSettings", "undrainableNodeBehavior"): ("Cordon", "Schedule"),
    ("powerState", "code"): ("Running", "Stopped"),
}
OS_SKUS = {
    "Linux": ("Ubuntu", "Ubuntu2204", "Ubuntu2404", "AzureLinux", "AzureLinux3", "CBLMariner", "AzureContainerLinux"),
    "Windows": ("Windows2019", "Windows2022", "Windows2025"),
}


def invalid(target: str, text: str) -> ProviderError:
    """400 InvalidParameter. No witness: the texts, where the function that raises it names none."""
    return ProviderError(400, "InvalidParameter", text, target=target)


def unmarshal_error(text: str) -> ProviderError:
    """400 UnmarshalError: the provider's strict JSON reader did not accept the body.

    No witness: that a field of an unknown name is refused by AKS rather than left out.
    """
    return ProviderError(400, "UnmarshalError", f"UnmarshalEntity encountered error: json: {text}.")


def read(body: Json, future: Json) -> Json:
    """The properties of a PUT's body, as the provider reads them: nulls dropped, types checked.

    Args:
        future: names that the provider knows and no SDK does.

    Raises:
        ProviderError: 400 UnmarshalError.
    """
    for name in body:
        if name not in ("id", "name", "type", "properties", "systemData", "etag", "eTag"):
            raise unmarshal_error(f'unknown field "{name}"')
    properties = body.get("properties")
    if properties is None:
        raise invalid("properties", "Required parameter properties is missing (null).")
    if not isinstance(properties, dict):
        raise unmarshal_error("cannot unmarshal value into Go struct field AgentPool.properties of type object")
    return _read(properties, {**SCHEMA, **dict.fromkeys(future, object)}, "properties")


def _read(value: Json, schema: Json, path: str) -> Json:
    kept: Json = {}
    for name, each in value.items():
        if name not in schema:
            raise unmarshal_error(f'unknown field "{name}"')
        if each is None:
            continue
        kind = schema[name]
        if isinstance(kind, dict):
            if not isinstance(each, dict):
                raise _wrong_type(each, f"{path}.{name}", dict)
            kept[name] = _read(each, kind, f"{path}.{name}")
        elif kind is object:
            kept[name] = copy.deepcopy(each)
        else:
            number = kind is float and isinstance(each, (int, float)) and not isinstance(each, bool)
            if not number and (not isinstance(each, kind) or (kind is int and isinstance(each, bool))):
                raise _wrong_type(each, f"{path}.{name}", kind)
            kept[name] = float(each) if kind is float else copy.deepcopy(each)
    return kept


def _wrong_type(value: Any, path: str, kind: Any) -> ProviderError:
    sent = {str: "string", bool: "bool", list: "array", dict: "object"}.get(type(value), "number")
    return unmarshal_error(f"cannot unmarshal {sent} into Go struct field AgentPool.{path} of type {GO_NAMES[kind]}")


def check(name: str, wanted: Json, *, kept_labels: Collection[str] = (), system_max: int = 1000) -> None:
    """What AKS refuses whatever exists already.

    Args:
        kept_labels: Keys of labels that the pool has already; AKS's own may be sent back.

    Raises:
        ProviderError: 400.
    """
    _check_enums(wanted)
    _check_labels(wanted, kept_labels)
    limit = 6 if wanted.get("osType") == "Windows" else 12
    if not NAME.fullmatch(name) or len(name) > limit:
        raise invalid(
            "agentPoolProfile.name",
            "The value of parameter agentPoolProfile.name is invalid. Error details: agentPoolProfile.name must "
            "match the "
            f"regex pattern: ^[a-z][a-z0-9]{{0,{limit - 1}}}$. Please see https://aka.ms/aks-naming-rules for more "
            "details.",
        )
    for taint in wanted.get("nodeTaints", []):
        if not isinstance(taint, str) or not TAINT.fullmatch(taint):
            raise invalid(
                "agentPoolProfile.nodeTaints",
                "The value of parameter agentPoolProfile.nodeTaints is invalid. Error details: invalid taint: "
                f"{taint}. "
                "Taints must be of the form key=value:Effect.",
            )
    if "count" not in wanted:
        raise invalid("properties.count", "Required parameter properties.count is missing (null).")
    low = 1 if wanted.get("mode") == "System" else 0
    if not low <= wanted["count"] <= system_max:
        raise invalid(
            "agentPoolProfile.count",
            f"The value of parameter agentPoolProfile.count is invalid. Error details: must be between {low} and "
            f"{system_max}, is {wanted['count']}.",
        )
    _check_autoscaler(wanted, low, system_max)
    if wanted.get("spotMaxPrice", -1) != -1 and wanted.get("scaleSetPriority") != "Spot":
        raise invalid("agentPoolProfile.spotMaxPrice", "spotMaxPrice can only be set when scaleSetPriority is Spot.")
    if wanted.get("scaleSetPriority") == "Spot" and wanted.get("mode") == "System":
        raise invalid("agentPoolProfile.scaleSetPriority", "Spot is not supported for agent pools of mode System.")


def _check_enums(wanted: Json) -> None:
    """Codes of the OS SKU are as users met them; those of the other enumerations are not confirmed."""
    for path, known in ENUMS.items():
        value: Any = wanted
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None and value not in known:
            name = f"agentPoolProfile.{'.'.join(path)}"
            raise invalid(
                name,
                f"The value of parameter {name} is invalid. Error details: {value!r} is not one of {', '.join(known)}.",
            )
    sku = wanted.get("osSKU")
    if sku is not None and sku not in OS_SKUS[wanted.get("osType", "Linux")]:
        raise invalid_os_sku(sku, "Unrecognized OSSKU")


def invalid_os_sku(sku: str, details: str) -> ProviderError:
    """400 InvalidOSSKU, in the text of https://github.com/Azure/azure-cli/issues/24966."""
    return ProviderError(
        400,
        "InvalidOSSKU",
        f"OSSKU='{sku}' is invalid, details: {details}",
        target="agentPoolProfile.osSKU",
    )


def _check_labels(wanted: Json, kept: Collection[str]) -> None:
    """Texts of reserved keys are as users met them: https://github.com/ams0/aks-nvme-ssd-provisioner/issues/5 and
    https://github.com/Azure/AKS/issues/2866; that of a malformed label is not confirmed.
    """
    for key, value in wanted.get("nodeLabels", {}).items():
        if not LABEL_KEY.fullmatch(key) or not isinstance(value, str) or not LABEL_VALUE.fullmatch(value):
            raise invalid(
                "agentPoolProfile.nodeLabels",
                "The value of parameter agentPoolProfile.nodeLabels is invalid. Error details: invalid label: "
                f"{key}={value}.",
            )
        domain = key.partition("/")[0] if "/" in key else ""
        spot = key == SPOT_LABEL and wanted.get("scaleSetPriority") == "Spot"
        if domain == OWN_DOMAIN and key not in kept and not spot:
            raise ProviderError(
                400,
                "BadRequest",
                f"Invalid node label key {key}. The '{OWN_DOMAIN}' prefix is preserved by aks system labels",
            )
        kubernetes = domain in ("kubernetes.io", "k8s.io") or domain.endswith((".kubernetes.io", ".k8s.io"))
        if kubernetes and not key.startswith(ALLOWED_PREFIXES):
            raise ProviderError(
                400,
                "BadRequest",
                "For Kubernetes version greater than or equal to 1.16, node label keys in the 'kubernetes.io' or "
                "'k8s.io' namespace must begin with an allowed prefix (kubelet.kubernetes.io, node.kubernetes.io). "
                "For more information, please check https://aka.ms/aks-node-labels-116.",
                target=f"{key}={value}",
            )


def check_first_count(wanted: Json) -> None:
    """A new pool begins within the bounds of its autoscaler.

    Raises:
        ProviderError: 400, in the text of https://github.com/kubernetes-sigs/cluster-api-provider-azure/issues/5947.
    """
    if wanted.get("enableAutoScaling") and not wanted["minCount"] <= wanted["count"] <= wanted["maxCount"]:
        raise invalid(
            "agentPoolProfile.count",
            "The value of parameter agentPoolProfile.count is invalid. Error details: agentPoolProfile.count was "
            f"{wanted['count']}. It must be greater or equal to minCount:{wanted['minCount']} and less than or equal "
            f"to maxCount:{wanted['maxCount']}.",
        )


def _check_autoscaler(wanted: Json, low: int, high: int) -> None:
    if not wanted.get("enableAutoScaling"):
        for name in ("minCount", "maxCount"):
            if name in wanted:
                raise invalid(
                    f"agentPoolProfile.{name}",
                    f"The value of parameter agentPoolProfile.{name} is invalid. Error details: {name} must be null "
                    "when "
                    "enableAutoScaling is false.",
                )
        return
    for name in ("minCount", "maxCount"):
        if name not in wanted:
            raise invalid(
                f"agentPoolProfile.{name}",
                f"The value of parameter agentPoolProfile.{name} is invalid. Error details: {name} is required when "
                "enableAutoScaling is true.",
            )
    if not low <= wanted["minCount"] <= wanted["maxCount"] <= high:
        raise invalid(
            "agentPoolProfile.minCount",
            "The value of parameter agentPoolProfile.minCount is invalid. Error details: minCount "
            f"{wanted['minCount']} and "
            f"maxCount {wanted['maxCount']} must satisfy {low} <= minCount <= maxCount <= {high}.",
        )


def truncated(price: float) -> float:
    """A Spot price as AKS keeps it: five digits, the rest cut off in binary arithmetic.

    Witness: PS TestSpot.json, 2025-10-28 (0.577 comes back as 0.57699) and CLI test_aks_create_spot_node_pool.yaml,
    2025-07-07 (88.88888 comes back whole). No witness: the formula, which fits both.
    """
    return math.trunc(price * 100_000) / 100_000


def filled_in(
    wanted: Json, cluster_version: str, full_version: str, *, price_shown: bool = True, max_pods: int = 250
) -> Json:
    """A new pool's properties: what was asked for, and AKS's defaults for the rest.

    Witness: ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18, and PS TestSpot.json, 2025-10-28: a Spot pool
    has no `upgradeSettings` but those that were sent, `enableEncryptionAtHost` and `enableUltraSSD` are absent unless
    sent, `sshAccess` is LocalUser; with AzureContainerLinux secure boot and vTPM are on.

    Args:
        max_pods: The default of the cluster's network, see `default_max_pods`.
        price_shown: A Spot pool without a price of its own shows -1. No witness, neither for nor against.
    """
    wanted = copy.deepcopy(wanted)
    size = node_size(wanted["vmSize"])
    version = wanted.get("orchestratorVersion") or cluster_version
    spot = wanted.get("scaleSetPriority") == "Spot"
    trusted = wanted.get("osSKU") == "AzureContainerLinux"
    local_disk = bool(size.gpus) or size.name.lower() in EPHEMERAL_DISK_GB
    disk_type = wanted.get("osDiskType", "Ephemeral" if local_disk else "Managed")
    disk_size = EPHEMERAL_DISK_GB.get(size.name.lower(), DISK_GB) if disk_type == "Ephemeral" else DISK_GB
    properties: Json = {
        "count": wanted["count"],
        "vmSize": wanted["vmSize"],
        "osDiskSizeGB": wanted.get("osDiskSizeGB") or disk_size,
        "osDiskType": disk_type,
        "kubeletDiskType": wanted.get("kubeletDiskType", "OS"),
        "maxPods": wanted.get("maxPods") or max_pods,
        "type": wanted.get("type", "VirtualMachineScaleSets"),
        "enableAutoScaling": wanted.get("enableAutoScaling", False),
        "scaleDownMode": wanted.get("scaleDownMode", "Delete"),
        "powerState": wanted.get("powerState", {"code": "Running"}),
        "orchestratorVersion": version,
        "currentOrchestratorVersion": full_version if f"{full_version}.".startswith(f"{version}.") else version,
        "enableNodePublicIP": wanted.get("enableNodePublicIP", False),
        "mode": wanted.get("mode", "User"),
        "osType": wanted.get("osType", "Linux"),
        "osSKU": wanted.get("osSKU", "Windows2022" if wanted.get("osType") == "Windows" else "Ubuntu"),
        "nodeImageVersion": NODE_IMAGE,
        "enableFIPS": wanted.get("enableFIPS", False),
        "securityProfile": {
            "sshAccess": "LocalUser",
            "enableVTPM": trusted,
            "enableSecureBoot": trusted,
            **wanted.get("securityProfile", {}),
        },
    }
    upgrade_settings = {**({} if spot else UPGRADE_SETTINGS), **wanted.get("upgradeSettings", {})}
    if upgrade_settings:
        properties["upgradeSettings"] = upgrade_settings
    if size.gpus:
        properties["gpuProfile"] = {"driver": "Install", **wanted.get("gpuProfile", {})}
    for name, value in wanted.items():
        if name not in properties and name not in READ_ONLY and name not in SPOT_DEFAULTS and value not in ({}, []):
            properties[name] = value
    if spot:
        properties.update({name: wanted.get(name, default) for name, default in SPOT_DEFAULTS.items()})
        properties["spotMaxPrice"] = truncated(properties["spotMaxPrice"])
        if properties["spotMaxPrice"] == -1 and not price_shown:
            del properties["spotMaxPrice"]
        add_spot_marks(properties)
    return properties


def default_max_pods(network: Json) -> int:
    """How many Pods a node of a cluster may have where nothing else was asked for.

    Witness: CLI test_aks_create_gpu_driver_flow.yaml, 2025-03-21 (250, overlay); CLX
    test_aks_nodepool_add_with_gpu_instance_profile.yaml, 2022-09 (110, kubenet); PS TestSpot.json, 2025-10-28 (30,
    Azure CNI without overlay).
    """
    if network.get("networkPlugin") == "kubenet":
        return 110
    return 30 if network.get("networkPlugin") == "azure" and network.get("networkPluginMode") != "overlay" else 250


def add_spot_marks(properties: Json) -> None:
    """AKS's own taint and label on a Spot pool.

    Witness: PS TestSpot.json, 2025-10-28. No witness: that AKS puts the taint back (setting `spot_taint_dropped`).
    """
    taints = properties.setdefault("nodeTaints", [])
    if SPOT_TAINT not in taints:
        taints.append(SPOT_TAINT)
    properties.setdefault("nodeLabels", {})[SPOT_LABEL] = "spot"


def check_immutable(current: Json, wanted: Json) -> None:
    """
    Raises:
        ProviderError: 400 PropertyChangeNotAllowed with the property as its target.
    """
    for name in IMMUTABLE:
        if name not in wanted:
            continue
        old, new = current.get(name, SPOT_DEFAULTS.get(name)), wanted[name]
        if name == "availabilityZones":
            same = sorted(old or []) == sorted(new)
        elif isinstance(old, str) and isinstance(new, str):
            same = old.lower() == new.lower()
        elif name == "spotMaxPrice":  # No witness: how AKS compares a price that it has cut off.
            same = old in (new, truncated(new))
        else:
            same = old == new
        if not same:
            raise property_change_not_allowed(f"properties.{name}")
    sent, profile = wanted.get("gpuProfile", {}), current.get("gpuProfile", {})
    if "driver" in sent and sent["driver"] != profile.get("driver", "Install"):
        skipped = {name.lower(): value for name, value in current.get("tags", {}).items()}.get("skipgpudriverinstall")
        if not (sent["driver"] == "None" and str(skipped).lower() == "true"):
            raise property_change_not_allowed("properties.gpuProfile.driver")
    if "nvidia" in sent:
        mode = sent["nvidia"].get("managementMode")
        if mode != profile.get("nvidia", {}).get("managementMode", "Unmanaged"):
            raise property_change_not_allowed("properties.gpuProfile.nvidia.managementMode")


def check_spot_taint(current: Json, wanted: Json) -> None:
    """A PUT of a Spot pool has to echo AKS's own taint.

    Witness: issue pulumi/pulumi-azure-native#959, 2021; no recording.

    Raises:
        ProviderError: 400 PropertyChangeNotAllowed.
    """
    if SPOT_TAINT in current.get("nodeTaints", []) and SPOT_TAINT not in wanted.get("nodeTaints", []):
        raise property_change_not_allowed("properties.nodeTaints")


def replaced(current: Json, wanted: Json) -> Json:
    """The pool's properties after a PUT of `wanted`: it replaces, but for what cannot change or AKS fills in.

    No witness: which fields keep their value when a PUT leaves them out.

    `currentOrchestratorVersion` stays as it is: an upgrade changes it when it is done.
    """
    version = current["orchestratorVersion"]
    base = {name: value for name, value in current.items() if name in KEPT_WHEN_ABSENT}
    base.update({name: value for name, value in wanted.items() if name not in READ_ONLY})
    fresh = filled_in(base, version, current["currentOrchestratorVersion"])
    fresh.update({name: current[name] for name in IMMUTABLE if name in current})
    if "spotMaxPrice" not in current:
        fresh.pop("spotMaxPrice", None)
    fresh["currentOrchestratorVersion"] = current["currentOrchestratorVersion"]
    fresh["nodeImageVersion"] = current["nodeImageVersion"]
    fresh["eTag"] = current["eTag"]
    fresh["provisioningState"] = current["provisioningState"]
    for name in ("nodeTaints", "nodeLabels"):
        fresh.pop(name, None)
        if wanted.get(name):
            fresh[name] = copy.deepcopy(wanted[name])
    return fresh
