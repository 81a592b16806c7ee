"""What joins the two halves of the sandbox: the emulated Azure Resource Manager and the Kubernetes side.

Resource Manager owns clusters and agent pools; it asks a `NodePlane` to make them real. `Settings` holds every switch
of a sandbox; both halves read it whenever they need a value, so a change takes effect at once.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import types
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]
CountsChanged = Callable[[str, str, int], Awaitable[None]]
"""Called with cluster id, pool name and new node count when the autoscaler or an eviction moved a pool's count."""


class SandboxError(Exception):
    """Something the person who runs the sandbox has to know; the text is the whole message."""


class SettingError(SandboxError):
    """A setting that does not exist, or a value of the wrong type."""


@dataclass(frozen=True)
class Machine:
    """The virtual machine of a node.

    Attributes:
        name: the node's name, such as aks-gpunp-12345678-vmss000000.
        instance: its id in the scale set.
        address: its IPv4 address.
        zone: availability zone, or None.
    """

    name: str
    instance: int
    address: str
    zone: str | None

    @property
    def scale_set(self) -> str:
        """The name of its scale set."""
        return self.name[: self.name.index("-vmss") + len("-vmss")]


class NodePlane(Protocol):
    """What Resource Manager asks of Kubernetes. A cluster id is its ARM id in lower case.

    `cluster` is the managed cluster's ARM JSON (`id`, `name`, `location`, `properties`), `pool` the agent pool's
    (`name`, `properties`; custom headers of its PUT, lower-cased, under `headers` where they matter to the nodes:
    `usegpudedicatedvhd`).
    """

    async def create_cluster(self, cluster: Json) -> None:
        """Start a control plane with RBAC and AKS's admission policies. Returns when it answers."""

    async def delete_cluster(self, cluster_id: str) -> None:
        """Stop the control plane and forget it. A cluster that does not exist is no error."""

    async def apply_pool(self, cluster_id: str, pool: Json, count: int) -> None:
        """Make the pool's nodes `count` many, with the pool's labels and taints.

        Missing nodes join (NotReady first), surplus ones are drained and removed. Returns when all are Ready.
        Cancelling it is allowed and leaves the nodes as they are.
        """

    async def drain_pool(
        self, cluster_id: str, pool_name: str, ignore_pod_disruption_budget: bool, timeout: float
    ) -> list[str]:
        """Cordon the pool and evict its Pods. Returns the Pods that block, each "namespace/name: reason"."""

    async def remove_pool(self, cluster_id: str, pool_name: str) -> None:
        """Delete the pool's nodes and the Pods on them, drained or not."""

    async def kubeconfig(self, cluster_id: str, *, admin: bool, direct: bool = False) -> str:
        """The kubeconfig (YAML) that listClusterUserCredential or listClusterAdminCredential hands out.

        `direct`: past the gateway of the setting `api_server_gateway`.
        """

    async def run_command(self, cluster_id: str, command: str, files: bytes, token: str | None) -> tuple[int, bytes]:
        """Run a command with kubectl. Returns its exit code and its output, standard error included.

        Args:
            command: for a shell.
            files: a zip of what is in its directory; may be empty.
            token: whose rights it has; None: the administrator's.

        Raises:
            TimeoutError: it did not end.
            ValueError: the files are no zip.
        """

    async def node_counts(self, cluster_id: str) -> dict[str, int]:
        """Nodes that exist now, by pool."""

    async def machines(self, cluster_id: str, pool_name: str) -> list[Machine]:
        """The machines of the pool's nodes that exist now, in the order of their instance ids."""

    async def remove_machines(self, cluster_id: str, pool_name: str, names: list[str]) -> None:
        """Take machines away as `deleteMachines` does: their nodes and Pods go, neither cordoned nor drained."""

    async def component(self, cluster_id: str, name: str, what: str, seconds: float = 0.0) -> None:
        """Disturb a part of the control plane (etcd, kube-apiserver, …, kwok): kill | restart | pause (`seconds`)."""

    async def settings_changed(self, names: set[str]) -> None:
        """Put changed settings into effect. Returns when they are (`refuse_writes` then refuses)."""

    def on_count_changed(self, callback: CountsChanged) -> None:
        """Register who is told when a pool's count moves by itself."""

    async def close(self) -> None:
        """Stop everything. Nothing is left running."""


def setting(default: Any, doc: str, *, choices: tuple[str, ...] = ()) -> Any:
    """A documented field of `Settings`. Mutable defaults are copied. `choices`: the only values; empty: any."""
    # pylint: disable=invalid-field-call
    metadata = {"doc": doc, "choices": choices}
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class Settings:
    """Every switch of a sandbox, changeable at run time (`aks_sandbox set name=value`).

    Seconds are real seconds. Patterns are shell patterns (`fnmatch`) on the name that is said; a node pattern matches
    `cluster/node` or the node's name alone.
    """

    # Resource Manager: durations
    clock_speed: float = setting(1.0, "Divides Resource Manager's durations; throttles refill so much faster.")
    create_seconds: float = setting(6.0, "A pool's creation, nodes included.")
    update_seconds: float = setting(3.0, "An update of a pool that moves no node.")
    scale_seconds: float = setting(4.0, "A pool's scaling, nodes included.")
    delete_seconds: float = setting(3.0, "A pool's deletion, its drain not included.")
    cluster_update_seconds: float = setting(3.0, "An update of a cluster.")
    cluster_power_seconds: float = setting(4.0, "Stopping or starting a cluster.")
    feature_seconds: float = setting(3.0, "How long a preview feature is Registering or Unregistering.")
    provider_seconds: float = setting(1.0, "How long a resource provider is Registering.")
    token_lifetime_seconds: float = setting(3599.0, "Lifetime of access tokens, not divided by clock_speed.")

    # Resource Manager: what Azure is like
    azure_of_2023: bool = setting(
        False, "The article's Azure: Standard_NC6 and the other retired sizes, and the AKS GPU image, can be had."
    )
    features_pending: list[str] = setting([], "Patterns of preview features that stay Pending: somebody must approve.")
    quotas: dict[str, int] = setting(
        {},
        "vCPUs a family (by its name in Compute usages), the region (`cores`) or Spot nodes (`lowPriorityCores`) may "
        "use; other families: no limit.",
    )
    family_quota: str = setting(
        "put", "When a family's quota is judged: put (400 ErrCode_InsufficientVCPUQuota, as recorded) | operation."
    )
    capacity_missing: dict[str, str] = setting(
        {},
        "VM size pattern -> code of the failed operation: AllocationFailed | ZonalAllocationFailed | "
        "OverconstrainedAllocationRequest | SkuNotAvailable.",
    )
    sizes_restricted: dict[str, str] = setting(
        {}, "VM size pattern -> reasonCode: NotAvailableForSubscription (AKS refuses it) | QuotaId."
    )
    two_pools_at_a_time: str = setting(
        "refuse", "A second operation in a cluster: refuse (409) | accept.", choices=("refuse", "accept")
    )
    busy_answer: str = setting(
        "recorded",
        "What the 409 of a busy cluster says: recorded (as the case was recorded) | another_operation | "
        "in_progress_operation | on_agent_pool | etag_mismatch.",
        choices=("recorded", "another_operation", "in_progress_operation", "on_agent_pool", "etag_mismatch"),
    )
    count_under_autoscaler: str = setting(
        "ignore",
        "A PUT whose count differs, under the autoscaler: ignore | refuse (400) | accept.",
        choices=("ignore", "refuse", "accept"),
    )
    etag_since: str = setting(
        "2026-05-01", "The first stable API version whose answers have eTags (no stable one before had them); or never."
    )
    create_precondition: str = setting(
        "accept",
        "If-None-Match: * on a create: accept | refuse (412 that asks for a request without ETag).",
        choices=("accept", "refuse"),
    )
    failure_shape: str = setting(
        "recorded",
        "Where the error of a failed operation has its cause: recorded (as the cause was recorded) | direct | "
        "json_in_message | code_in_message | subcode_in_message | details | internal.",
        choices=(
            *("recorded", "direct", "json_in_message", "code_in_message", "subcode_in_message", "details", "internal"),
        ),
    )
    operation_status_texts: dict[str, list[str]] = setting(
        {"Creating": ["CreatingAgentPool", "CreatingAgentPool: 0/{count} nodes completed"]},
        "Provisioning state -> what the operation's status says while in progress, one after the other; others: "
        "InProgress.",
    )
    spot_max_price_default: str = setting(
        "shown",
        "spotMaxPrice of a Spot pool without a price of its own: shown (-1) | absent.",
        choices=("shown", "absent"),
    )
    delete_machines_lowers_count: bool = setting(
        True, "deleteMachines lowers the pool's count (recorded so); false: other machines take their place."
    )
    managed_gpu_needs_feature: bool = setting(True, "Managed GPU needs ManagedGPUExperiencePreview registered.")
    spot_taint_dropped: str = setting(
        "refuse",
        "A PUT of a Spot pool without AKS's own taint: refuse (400, as recorded in 2021) | accept | readd.",
        choices=("refuse", "accept", "readd"),
    )
    future_fields: dict[str, Any] = setting(
        {}, "Properties of every new pool that no SDK knows; a PUT without them loses them, as a PUT does."
    )
    page_size: int = setting(0, "Items of a page of a list; 0: one page.")
    empty_last_page: str = setting(
        "pools", "Lists that end with a nextLink to an empty page: pools (as recorded) | clusters | all | none."
    )
    workspace_seconds: float = setting(3.0, "A Log Analytics workspace's creation; in the recording, less than 30.")
    run_command_seconds: float = setting(0.5, "The start of a run-command's Pod; AKS's takes 5 to 20.")
    retry_after_seconds: int = setting(0, "Retry-After of long-running answers; 0: none, as AKS.")
    background_operation_seconds: float = setting(
        0.0, "A pool operation that ends is followed by an add-on's own operation on the cluster, so long."
    )
    vnet_subnets: dict[str, str] = setting({}, "Subnet id -> address prefix: subnets besides the default one.")

    # Resource Manager: limits
    throttles: bool = setting(False, "The documented throttles of AKS and of Resource Manager.")
    record_traffic: bool = setting(True, "Record Resource Manager's traffic in traffic.jsonl.")
    permissions_removed: list[str] = setting([], "Patterns of actions taken from the principal's role.")

    # Monitoring
    metrics_interval_seconds: float = setting(1.0, "How often a cluster's monitoring agents report (Azure's: 60).")
    ingestion_delay_seconds: float = setting(0.0, "From an agent's report to its appearance in answers of queries.")
    accelerator_metrics: str = setting(
        "auto",
        "The kubelet's accelerator metrics, from which come containerGpuDutyCycle and the GPU memory: auto (clusters "
        "below Kubernetes 1.25) | always | never.",
    )
    logs_query_seconds: float = setting(0.0, "How long a query of metrics takes; longer than the client waits: 504.")
    logs_row_limit: int = setting(500000, "Rows of an answer of Log Analytics; with more it is a partial one.")
    container_insights_in_profile: bool = setting(
        True, "False: the API does not know azureMonitorProfile.containerInsights (UnmarshalError)."
    )

    # Kubernetes: nodes
    node_join_seconds: float = setting(0.3, "From a pool's apply to its nodes' appearance, NotReady.")
    node_ready_seconds: float = setting(1.5, "From a node's appearance to Ready.")
    node_faults: dict[str, str] = setting(
        {},
        "Node pattern -> not_ready | lost (kubelet stops posting) | never_joins | mig_reboot (Ready, then a reboot).",
    )
    node_conditions: dict[str, Any] = setting(
        {},
        "Node pattern -> {condition type: true | false | [status, reason, message]}: GPUMissing, XIDErrors, "
        "UnhealthyNvidiaDevicePlugin and the like.",
    )
    spot_evictions: list[str] = setting([], "Node patterns: Spot nodes that Azure takes away, with their Pods.")
    spot_notice_seconds: float = setting(
        1.0, "From the notice of a Spot eviction to the end of the node; Azure's is 30."
    )
    mig_reboot_seconds: float = setting(1.5, "How long a node with a MIG profile is NotReady while it reboots.")
    drain_timeout_seconds: float = setting(10.0, "How long a drain of surplus nodes tries before it gives up.")

    # Kubernetes: GPUs
    gpu_registration_seconds: float = setting(0.3, "From a ready device plugin to nvidia.com/gpu on its node.")
    driver_late_seconds: float = setting(
        0.0, "The plugin runs but finds no driver until this long after the node was Ready."
    )
    wrong_strategy: bool = setting(
        False, "The plugin runs but its discovery strategy finds no NVML on the node, so it advertises nothing."
    )
    gpus_missing: dict[str, int] = setting({}, "Node pattern -> how many of its GPUs the node does not show.")
    unhealthy_gpus: dict[str, int] = setting({}, "Node pattern -> GPUs in capacity, but not allocatable.")
    devices_lost: list[str] = setting(
        [], "Node patterns whose kubelet lost its devices: GPU Pods there fail with UnexpectedAdmissionError."
    )
    capacity_grace_seconds: float = setting(300.0, "How long capacity stays after the plugin is gone.")
    unadvertised_gpus_visible: bool = setting(
        True, "A container with NVIDIA_VISIBLE_DEVICES=all sees every GPU of the node, asked for or not."
    )

    # Kubernetes: Pods
    image_pull_seconds: float = setting(0.3, "First pull of an image on a node.")
    container_start_seconds: float = setting(0.1, "From a pulled image to a running container.")
    pod_termination_seconds: float = setting(0.3, "How long a container takes to end when asked to.")
    generic_pod_seconds: float = setting(2.0, "How long a container of a Job runs when nothing else is known of it.")
    workload_seconds: float = setting(5.0, "How long the MNIST training takes; its log is spread over it.")
    restart_backoff_seconds: float = setting(
        2.0, "First back-off after a crash or a failed pull (a kubelet: 10); doubled each time up to 30 times this."
    )
    image_faults: dict[str, Any] = setting(
        {},
        "Image pattern -> fault or {fault, message, exit_code, after, times}; fault: pull | crash | fail | oom | "
        "hang | driver_mismatch | evicted | config. `times`: so many attempts fail, later ones work.",
    )
    article_image_runs_on_modern_gpus: bool = setting(
        True, "False: the article's CUDA 8 image ends with a driver mismatch on anything newer than a K80."
    )

    # Kubernetes: API server, autoscaler
    api_server_gateway: bool = setting(
        False,
        "Kubeconfigs that Azure hands out lead to a gateway before the API server: faults with kubernetes=true work "
        "there, and its requests are in kubernetes.jsonl.",
    )
    refuse_writes: bool = setting(
        False, "Refuse every write that is no dry run, in Kubernetes (users only) and in Resource Manager."
    )
    autoscaler: bool = setting(True, "Play the cluster autoscaler for pools that enable it.")
    autoscaler_stops_without_gpus: bool = setting(
        False, "GPU nodes without nvidia.com/gpu stop the autoscaler of the whole cluster (seen on AKS 1.35)."
    )
    autoscaler_idle_seconds: float = setting(600.0, "How long a node must be idle before the autoscaler removes it.")

    def as_json(self) -> Json:
        """All settings as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Settings:
        """Settings with `values` over the defaults.

        Raises:
            SettingError: unknown name or wrong type.
        """
        settings = cls()
        settings.update(values)
        return settings

    def update(self, values: Mapping[str, Any]) -> set[str]:
        """Set all of `values`, or none of them. Returns the names whose value changed.

        Raises:
            SettingError: unknown name or wrong type.
        """
        hints = typing.get_type_hints(type(self))
        choices_of = {each.name: each.metadata["choices"] for each in dataclasses.fields(self)}
        checked: Json = {}
        for name, value in values.items():
            if name not in hints:
                raise SettingError(f"There is no setting {name}. Settings: {', '.join(sorted(hints))}")
            checked[name] = _checked(name, value, hints[name])
            choices = choices_of[name]
            if choices and value not in choices:
                raise SettingError(f"{name}: {value!r} is not one of {', '.join(choices)}")
        changed = {name for name, value in checked.items() if getattr(self, name) != value}
        for name in changed:
            setattr(self, name, checked[name])
        return changed

    @classmethod
    def parse(cls, text: str) -> Json:
        """One `name=value` of the command line; the value is JSON, or plain text where the setting is text.

        Raises:
            SettingError: no `=`, unknown name, or a value that is not JSON where it must be.
        """
        name, separator, value = text.partition("=")
        if not separator:
            raise SettingError(f"{text!r} is not name=value")
        hint = typing.get_type_hints(cls).get(name)
        if hint is None:
            cls().update({name: value})
        if hint is str:
            return {name: value}
        try:
            return {name: json.loads(value)}
        except json.JSONDecodeError as error:
            if value.lower() in ("yes", "no", "on", "off", "true", "false"):
                return {name: value.lower() in ("yes", "on", "true")}
            if str in typing.get_args(hint):
                return {name: value}
            raise SettingError(f"{name}: {value!r} is not JSON: {error}") from error

    @classmethod
    def documentation(cls) -> dict[str, str]:
        """What each setting does, by name."""
        return {each.name: each.metadata["doc"] for each in dataclasses.fields(cls)}


def _checked(name: str, value: Any, hint: Any) -> Any:
    origin = typing.get_origin(hint)
    options = typing.get_args(hint) if origin in (typing.Union, types.UnionType) else (hint,)
    for option in options:
        kind = typing.get_origin(option) or option
        if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if kind is int and isinstance(value, bool):
            continue
        if isinstance(value, kind):
            return value
    raise SettingError(f"{name}: {value!r} is not {getattr(hint, '__name__', hint)}")


def matching(patterns: Mapping[str, Any], *names: str) -> Any:
    """The value of the first pattern that matches one of `names`, or None."""
    for pattern, value in patterns.items():
        if any(fnmatch.fnmatchcase(name, pattern) for name in names):
            return value
    return None
