# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Never two device plugins on a node: what each GPU stack meets in a cluster, in every combination."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLES = Path(__file__).parents[3] / "roles"
STACKS = ("device_plugin", "gpu_image", "managed", "operator")
OTHERS = ("gpu_image", "managed", "operator")
LABEL = "nvidia.com/gpu.deploy.operands"


def variable(role: str, name: str, **variables: Any) -> Any:
    """A variable of a role as its tasks see it: defaults, the role's own vars, then what is given."""
    loader = DataLoader()
    layers: dict[str, Any] = {}
    for path in (ROLES / role / "defaults/main.yml", ROLES / role / "vars/main.yml"):
        layers.update(loader.load_from_file(str(path), trusted_as_template=True))
    return Templar(loader=loader, variables={**layers, **variables}).template(trust_as_template(f"{{{{ {name} }}}}"))


def node(pool: str = "gpunp", gpus_from: str | None = "node", *sets: str, **labels: str) -> dict[str, Any]:
    return {
        "name": f"aks-{pool}",
        "node_pool": pool,
        "gpus_from": gpus_from,
        "daemon_sets": list(sets),
        "labels": labels,
    }


def found(*nodes: dict[str, Any], plugins: tuple[str, ...] = (), policies: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"nodes": list(nodes), "pool_device_plugins": list(plugins), "cluster_policies": list(policies)}


OURS, ARTICLE = "gpu-resources/nvidia-device-plugin-gpunp", "gpu-resources/nvidia-device-plugin-daemonset"
OPERATORS, THEIRS = "gpu-operator/nvidia-device-plugin-daemonset", "kube-system/theirs"

MET: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "nothing": (found(), (), ""),
    "our DaemonSet for this pool": (found(plugins=(OURS,)), OTHERS, OURS),
    "our DaemonSet serving this pool": (found(node("gpunp", "daemon_set", OURS), plugins=(OURS,)), OTHERS, OURS),
    "the article's DaemonSet": (found(plugins=(ARTICLE,)), STACKS, ARTICLE),
    "somebody's DaemonSet in another namespace": (found(plugins=(THEIRS,)), STACKS, THEIRS),
    "two of them": (found(plugins=(OURS, THEIRS)), STACKS, THEIRS),
    "the operator's ClusterPolicy": (
        found(policies=("cluster-policy",)),
        ("device_plugin", "gpu_image", "managed"),
        "ClusterPolicy cluster-policy",
    ),
    "the operator with its DaemonSet": (
        found(plugins=(OPERATORS,), policies=("cluster-policy",)),
        ("device_plugin", "gpu_image", "managed"),
        OPERATORS,
    ),
    "a managed node of this pool": (found(node("gpunp", "managed")), ("device_plugin",), "aks-gpunp"),
    "a node of the GPU image of this pool": (found(node("gpunp", "node")), ("device_plugin",), "aks-gpunp"),
    "a managed node of another pool": (found(node("other", "managed")), (), ""),
    "a node of the GPU image of another pool": (found(node("other", "node")), (), ""),
    "our DaemonSet for another pool": (
        found(node("other", "daemon_set", "gpu-resources/nvidia-device-plugin-other")),
        (),
        "",
    ),
}


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("met", MET)
def test_a_second_device_plugin_is_refused(met: str, stack: str) -> None:
    there, refusing, names = MET[met]
    problems = variable("device_plugin", "__device_plugin_problems", gpu_stack=stack, __device_plugin_gpu_nodes=there)
    if stack not in refusing:
        assert problems == []
        return
    text = " ".join(problems)
    assert names in text
    assert text.endswith("Two device plugins on one node would hand out each GPU twice.")


def also(there: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**there, **more}


def test_a_node_that_is_there_is_better_than_what_is_foreseen() -> None:
    """NVIDIA/k8s-device-plugin#708, #1213: NVIDIA's chart selects labels that come with node feature discovery."""
    there = found(node("gpunp", "daemon_set", OURS, THEIRS), plugins=(OURS,))
    assert THEIRS in " ".join(variable("device_plugin", "__device_plugin_problems", __device_plugin_gpu_nodes=there))


def test_gpus_that_dra_hands_out_are_refused() -> None:
    """Azure/AKS#5962; a node of another pool is none of ours."""
    assert (
        "NVIDIA's DRA driver hands out the GPUs of aks-gpunp"
        in variable("device_plugin", "__device_plugin_problems", __device_plugin_gpu_nodes=found(node("gpunp", "dra")))[
            0
        ]
    )
    assert not variable(
        "device_plugin", "__device_plugin_problems", __device_plugin_gpu_nodes=found(node("other", "dra"))
    )


@pytest.mark.parametrize("stack", ["device_plugin", "managed", "gpu_image"])
def test_an_operator_in_dra_mode_is_refused(stack: str) -> None:
    """NVIDIA/gpu-operator#2571, #2696: GPUCluster instead of ClusterPolicy."""
    there = also(found(), gpu_clusters=["gpu-cluster"])
    problems = variable("device_plugin", "__device_plugin_problems", gpu_stack=stack, __device_plugin_gpu_nodes=there)
    assert "GPUCluster gpu-cluster" in " ".join(problems)


def test_what_can_not_be_foreseen_is_warned_of() -> None:
    there = also(found(plugins=(OURS,)), possible_device_plugins=[THEIRS])
    assert variable("device_plugin", "__device_plugin_problems", __device_plugin_gpu_nodes=there) == []
    (warning,) = variable("device_plugin", "__device_plugin_warnings", __device_plugin_gpu_nodes=there)
    assert warning.startswith(f"{THEIRS} may put another device plugin")
    assert variable("device_plugin", "__device_plugin_warnings", __device_plugin_gpu_nodes=found()) == []


def test_what_may_not_be_listed_is_not_known() -> None:
    """With GPUs and no DaemonSet in sight, a second run took the nodes for ones of the GPU image."""
    there = also(found(node("gpunp", None)), not_looked_at=["daemon_sets", "events"])
    assert variable("device_plugin", "__device_plugin_problems", __device_plugin_gpu_nodes=there) == []
    (warning,) = variable("device_plugin", "__device_plugin_warnings", __device_plugin_gpu_nodes=there)
    assert "may not list DaemonSets in all namespaces" in warning


@pytest.mark.parametrize(
    ("unseen", "words"),
    [
        ("cluster_policies", "ClusterPolicies (nvidia.com)"),
        ("gpu_clusters", "GPUClusters (nvidia.com)"),
        ("resource_slices", "ResourceSlices (resource.k8s.io)"),
        ("pods", "Pods in all namespaces"),
    ],
)
def test_an_operator_that_may_not_be_listed_is_not_known(unseen: str, words: str) -> None:
    """Findings C13: it was taken for absent, and the device plugin put beside it."""
    there = also(found(), not_looked_at=[unseen])
    (warning,) = variable("device_plugin", "__device_plugin_warnings", __device_plugin_gpu_nodes=there)
    assert f"may not list {words}." in warning


def test_the_plugin_stays_where_it_is_not_known_who_needs_it() -> None:
    used = also(found({**node("gpunp", None), "capacity": 1}, {**node("cpu", None), "name": "aks-cpu", "capacity": 0}))
    used["not_looked_at"] = ["daemon_sets"]
    assert variable("device_plugin", "__device_plugin_dependent_nodes", __device_plugin_remaining_gpu_nodes=used) == [
        "aks-gpunp"
    ]


@pytest.mark.parametrize("gpus_from", ["node", "managed"])
@pytest.mark.parametrize("pool", ["gpunp", "other"])
def test_the_articles_manifest_reaches_every_pool(gpus_from: str, pool: str) -> None:
    problems = variable(
        "device_plugin",
        "__device_plugin_problems",
        device_plugin_manifest="article",
        __device_plugin_gpu_nodes=found(node(pool, gpus_from)),
    )
    assert f"aks-{pool} already bring a device plugin" in problems[0]


@pytest.mark.parametrize("labels", [{LABEL: "false"}, {LABEL: False}, f"team=vision,{LABEL}=false"])
def test_a_pool_that_the_operator_keeps_off(labels: Any) -> None:
    there = found(policies=("cluster-policy",))
    assert variable(
        "device_plugin", "__device_plugin_problems", node_pool_node_labels=labels, __device_plugin_gpu_nodes=there
    ) == []  # fmt: skip


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"device_plugin_sharing": "time_slicing"}, "needs device_plugin_sharing_replicas"),
        ({"device_plugin_sharing": "mps", "device_plugin_sharing_replicas": "1"}, "of 2 or more"),
        (
            {
                "device_plugin_sharing": "mps",
                "device_plugin_sharing_replicas": 4,
                "node_pool_gpu_instance_profile": "MIG1g",
            },
            "does not go with MIG",
        ),
        ({"device_plugin_manifest": "article", "device_plugin_mig_strategy": "mixed"}, "knows neither MIG nor sharing"),
    ],
)
def test_options_that_exclude_each_other(options: dict[str, Any], says: str) -> None:
    (problem,) = variable("device_plugin", "__device_plugin_problems", __device_plugin_gpu_nodes=found(), **options)
    assert says in problem


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, False),
        ({"device_plugin_mig_strategy": "mixed"}, True),
        ({"device_plugin_mig_strategy": "mixed", "node_pool_enable_auto_scaling": "no"}, False),
        ({"device_plugin_sharing": "time_slicing", "device_plugin_sharing_rename": "yes"}, True),
        ({"device_plugin_sharing": "time_slicing"}, False),
        ({"device_plugin_sharing_rename": "yes"}, False),
        ({"device_plugin_mig_strategy": "mixed", "node_pool_enable_auto_scaling": False}, False),
        ({"device_plugin_mig_strategy": "mixed", "node_pool_enable_auto_scaling": ""}, True),
    ],
)
def test_what_the_autoscaler_does_not_understand_is_told(options: dict[str, Any], told: bool) -> None:
    warnings = variable("device_plugin", "__device_plugin_warnings", __device_plugin_gpu_nodes=found(), **options)
    assert [warning.startswith("The cluster autoscaler understands nvidia.com/gpu only") for warning in warnings] == [
        True
    ] * told


@pytest.mark.parametrize(
    ("result", "stays"),
    [
        pytest.param(None, ["aks-gpunp"], id="the pool was not looked at"),
        pytest.param({"node_pool": None}, [], id="the pool has gone"),
        pytest.param({"node_pool": {"name": "gpunp"}}, ["aks-gpunp"], id="the pool is somebody else's and stays"),
        pytest.param({"skipped": True}, ["aks-gpunp"], id="the pool was to stay"),
    ],
)
def test_the_plugin_stays_while_nodes_need_it(result: Any, stays: list[str]) -> None:
    used = found(
        node("gpunp", "daemon_set", OURS), node("other", "daemon_set", "gpu-resources/nvidia-device-plugin-other")
    )
    more = {} if result is None else {"node_pool_result": result}
    assert (
        variable("device_plugin", "__device_plugin_dependent_nodes", __device_plugin_remaining_gpu_nodes=used, **more)
        == stays
    )


# The GPU Operator -------------------------------------------------------------------------------------------------

SERVED = node("gpunp", "daemon_set", OPERATORS)


def operator(name: str, there: dict[str, Any], *, own: bool = False, left: str = "", **more: Any) -> Any:
    """What the module gpu_operator returned: test_gpu_operator.py of the module's room says when it is what."""
    look = {"own": own, "foreign": bool(left) and "has not installed NVIDIA's" not in left, "left": left}
    return variable("gpu_operator", name, __gpu_operator_gpu_nodes=there, __gpu_operator_preview=look, **more)


@pytest.mark.parametrize(
    ("there", "left", "refused"),
    [
        pytest.param(found(), "", False, id="no GPU node"),
        pytest.param(found(node("other", None)), "", False, id="a node without a device plugin"),
        pytest.param(found(node("other", "managed")), "", True, id="managed"),
        pytest.param(found(node("other", "node")), "", True, id="GPU image"),
        pytest.param(found(node("other", "daemon_set", OURS)), "", True, id="our DaemonSet"),
        pytest.param(found(node("other", None, THEIRS)), "", True, id="somebody's DaemonSet, not yet running"),
        pytest.param(found(SERVED), "", False, id="its own"),
        pytest.param(found(node("other", "managed", **{LABEL: "false"})), "", False, id="kept off by the label"),
        pytest.param(found(node("other", "managed", **{LABEL: "False"})), "", True, id="another value of the label"),
        pytest.param(found(node("other", "managed")), "left as it is", False, id="somebody else's operator"),
    ],
)
def test_the_operator_is_not_put_beside_another_plugin(there: dict[str, Any], left: str, refused: bool) -> None:
    problems = operator("__gpu_operator_problems", there, left=left)
    assert len(problems) == refused
    if refused:
        assert "hand out each GPU twice" in problems[0]
        assert LABEL in problems[0]


PERMANENT = "aks.gpu has not installed NVIDIA's GPU Operator in this cluster."


@pytest.mark.parametrize(
    ("to_be", "own", "left", "there", "more", "says", "stays"),
    [
        ("present", False, "", found(), {}, "", False),
        ("present", True, "", found(SERVED), {}, "", False),
        ("present", False, "left as it is", found(), {}, "left as it is", True),
        ("absent", False, "left as it is", found(), {}, "left as it is", True),
        ("absent", False, PERMANENT, found(), {}, PERMANENT, False),
        ("absent", True, "", found(SERVED), {}, "would lose their GPUs", True),
        ("absent", True, "", found(SERVED), {"gpu_operator_keep_while_used": "no"}, "", False),
        ("absent", True, "", found(SERVED), {"node_pool_result": {"node_pool": None}}, "", False),
        ("absent", True, "", found(), {}, "", False),
    ],
)
def test_when_the_operator_is_left(
    to_be: str, own: bool, left: str, there: dict[str, Any], more: dict[str, Any], says: str, stays: bool
) -> None:
    more["__gpu_operator_state"] = to_be
    text = operator("__gpu_operator_skip_reason", there, own=own, left=left, **more)
    assert says in text
    assert bool(text) == bool(says)
    assert operator("__gpu_operator_kept", there, own=own, left=left, **more) is stays


@pytest.mark.parametrize(
    ("chart", "repository"),
    [
        ("gpu-operator", "https://helm.ngc.nvidia.com/nvidia"),
        ("oci://registry.example/charts/gpu-operator", ""),
        ("/charts/gpu-operator", ""),
    ],
)
def test_where_the_chart_comes_from(chart: str, repository: str) -> None:
    assert variable("gpu_operator", "gpu_operator_chart_repository", gpu_operator_chart=chart) == repository
