"""What needs no control plane: plugin configuration, workloads, sizes, settings, the autoscaler's sums."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from aks_sandbox import autoscaler, gpus, sizes, workloads
from aks_sandbox.interfaces import SettingError, Settings
from aks_sandbox.nodes import ClusterFacts, base36, node_taints

FACTS = ClusterFacts("/subscriptions/s/resourcegroups/g/providers/p/m/c", "c", "westus2", "MC_g_c_westus2", "1.36.3", 1)
ARTICLE = "mcr.microsoft.com/azuredocs/samples-tf-mnist-demo:gpu"


def pool(size: str, **properties: Any) -> dict[str, Any]:
    return {"name": "gpunp", "properties": {"vmSize": size, **properties}}


def pool_gpus(size: str, **properties: Any) -> gpus.PoolGpus:
    found = sizes.find(size)
    assert found is not None
    return gpus.PoolGpus.of(found, pool(size, **properties))


def situation(size: str, *words: str, image: str = ARTICLE, count: int = 1) -> workloads.Situation:
    devices = tuple(gpus.devices(pool_gpus(size), "node")[:count])
    return workloads.Situation(image, words, {}, devices, True, "seed", 2.0, 5.0, True)


@pytest.mark.parametrize(
    ("container", "strategy", "fail"),
    [
        ({"image": "mcr.microsoft.com/oss/nvidia/k8s-device-plugin:1.11"}, "none", False),
        ({"image": "nvcr.io/nvidia/k8s-device-plugin:v0.18.0"}, "none", True),
        ({"env": [{"name": "FAIL_ON_INIT_ERROR", "value": "false"}]}, "none", False),
        ({"args": ["--mig-strategy", "mixed", "--fail-on-init-error=false"]}, "mixed", False),
        ({"env": [{"name": "MIG_STRATEGY", "value": "single"}], "args": ["--mig-strategy=mixed"]}, "mixed", True),
    ],
)
def test_plugin_configuration(container: dict[str, Any], strategy: str, fail: bool) -> None:
    config = gpus.plugin_config(container, {}, {})
    assert (config.mig_strategy, config.fail_on_init_error) == (strategy, fail)


def test_plugins_are_told_from_their_siblings() -> None:
    plugin = {"image": "nvcr.io/nvidia/k8s-device-plugin:v0.18.0"}
    assert gpus.is_plugin(plugin, {"spec": {}})
    assert not gpus.is_plugin({**plugin, "command": ["gpu-feature-discovery"]}, {"spec": {}})
    assert gpus.is_mps_daemon({**plugin, "command": ["mps-control-daemon"]})


@pytest.mark.parametrize(
    ("size", "profile", "resource", "instances"),
    [
        ("Standard_NC24ads_A100_v4", "MIG1g", "1g.10gb", 7),
        ("Standard_NC24ads_A100_v4", "MIG3g", "3g.40gb", 2),
        ("Standard_ND96asr_v4", "MIG1g", "1g.5gb", 7),
        ("Standard_ND96isr_H100_v5", "MIG7g", "7g.80gb", 1),
        ("Standard_NC40ads_H100_v5", "MIG1g", "1g.12gb", 7),
        ("Standard_ND96isr_H200_v5", "MIG2g", "2g.35gb", 3),
    ],
)
def test_mig_layouts(size: str, profile: str, resource: str, instances: int) -> None:
    found = sizes.find(size)
    assert found is not None
    assert found.gpu is not None
    assert sizes.mig_layout(found.gpu, profile) == sizes.MigLayout(resource, instances)


def test_a_size_without_mig_has_no_layout() -> None:
    assert sizes.mig_layout(sizes.T4, "MIG1g") is None


@pytest.mark.parametrize(
    ("size", "devices"), [("Standard_NC6", 1), ("Standard_NV6ads_A10_v5", 1), ("Standard_D4s_v5", 0)]
)
def test_parts_of_a_gpu_are_one_device(size: str, devices: int) -> None:
    found = sizes.find(size.upper())
    assert found is not None
    assert found.gpu_devices == devices


@pytest.mark.parametrize(
    ("size", "line"),
    [
        ("Standard_NC6", "name: Tesla K80 major: 3 minor: 7 memoryClockRate(GHz): 0.8235"),
        ("Standard_NC4as_T4_v3", "name: Tesla T4 major: 7 minor: 5 memoryClockRate(GHz): 1.59"),
        ("Standard_ND96isr_H100_v5", "name: NVIDIA H100 80GB HBM3 major: 9 minor: 0 memoryClockRate(GHz): 1.98"),
    ],
)
def test_the_device_follows_the_size(size: str, line: str) -> None:
    lines = [text for _unused, text in workloads.script(situation(size, "--max_steps", "20")).lines]
    assert lines[0] == workloads.MARK
    assert line in lines
    assert lines[-1].startswith("Accuracy at step 10: ")


def test_accuracy_rises_and_is_the_same_for_the_same_pod() -> None:
    first, second = (workloads.script(situation("Standard_NC6", "--max_steps", "500")) for _unused in range(2))
    values = [
        [float(text.split(": ")[1]) for _unused, text in each.lines if text.startswith("Accuracy")]
        for each in (first, second)
    ]
    assert values[0] == values[1]
    assert len(values[0]) == 50
    assert values[0][0] < 0.2
    assert 0.9 < values[0][-1] < 1


def test_the_article_image_on_a_modern_gpu_can_fail() -> None:
    modern = dataclasses.replace(situation("Standard_NC4as_T4_v3"), article_image_runs_on_modern_gpus=False)
    played = workloads.script(modern)
    assert played.exit_code == 1
    assert any(workloads.DRIVER_MISMATCH in text for _unused, text in played.lines)
    old = dataclasses.replace(situation("Standard_NC6"), article_image_runs_on_modern_gpus=False)
    assert workloads.script(old).exit_code == 0


def test_nvidia_smi_lists_what_the_container_was_given() -> None:
    seen = situation("Standard_NC64as_T4_v3", "sh", "-c", "nvidia-smi -L", image="nvidia/cuda:13.0", count=2)
    lines = [text for _unused, text in workloads.script(seen).lines][1:]
    assert [line.split(" (")[0] for line in lines] == ["GPU 0: Tesla T4", "GPU 1: Tesla T4"]
    without = dataclasses.replace(seen, devices=())
    assert workloads.script(without).exit_code == 9


def test_settings_are_checked_all_or_none() -> None:
    settings = Settings()
    with pytest.raises(SettingError, match="wrong_strategy"):
        settings.update({"node_ready_seconds": 9, "wrong_strategy": "maybe"})
    assert settings.node_ready_seconds == Settings().node_ready_seconds
    assert settings.update({"node_ready_seconds": 9}) == {"node_ready_seconds"}
    assert Settings.from_json(settings.as_json()) == settings
    assert Settings.parse('gpus_missing={"*": 1}') == {"gpus_missing": {"*": 1}}
    with pytest.raises(SettingError, match="There is no setting"):
        Settings.parse("nonsense=1")
    assert all(Settings.documentation().values())


def test_spot_pools_get_the_taint_of_aks() -> None:
    taints = node_taints(pool("Standard_NC6", scaleSetPriority="Spot", nodeTaints=["sku=gpu:NoSchedule"]))
    texts = [f"{each['key']}={each['value']}:{each['effect']}" for each in taints]
    assert texts == ["sku=gpu:NoSchedule", "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"]


def waiting(resource: str = "nvidia.com/gpu", count: int = 1, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"resources": {"limits": {resource: count, "cpu": "500m"}}}], **spec}}


def test_the_autoscaler_knows_what_fits() -> None:
    tainted = pool("Standard_NC64as_T4_v3", nodeTaints=["sku=gpu:NoSchedule"])
    tolerant = waiting(tolerations=[{"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}])
    assert autoscaler.fits_pool(tolerant, tainted, FACTS)
    assert not autoscaler.fits_pool(waiting(), tainted, FACTS)
    assert not autoscaler.fits_pool(waiting("nvidia.com/gpu.shared"), pool("Standard_NC64as_T4_v3"), FACTS)
    assert not autoscaler.fits_pool(waiting(nodeSelector={"agentpool": "other"}), pool("Standard_NC6"), FACTS)
    assert autoscaler.nodes_needed([waiting(count=2)] * 5, pool("Standard_NC64as_T4_v3")) == 3


@pytest.mark.parametrize(("text", "value"), [("500m", 0.5), ("2", 2.0), ("1Gi", 2.0**30), ("100k", 1e5)])
def test_quantities(text: str, value: float) -> None:
    assert autoscaler.quantity(text) == value


def test_instances_are_numbered_in_base_36() -> None:
    assert [base36(number, 6) for number in (0, 35, 36)] == ["000000", "00000z", "000010"]
