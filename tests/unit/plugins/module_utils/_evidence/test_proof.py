# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proof is of the hardware that it is about, and what could not be looked at is neither good nor bad."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from ansible_collections.aks.gpu.plugins.module_utils._evidence._checks import (
    Check,
    Expectations,
    Observations,
    checks_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._evidence._document import lines_of
from ansible_collections.aks.gpu.plugins.module_utils._evidence._report import _left_behind, _own_node_pools

ROOT = Path(__file__).parents[5]
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "docs" / "evidence.schema.json").read_text()))
_spec = importlib.util.spec_from_file_location("evidence_generated_here", Path(__file__).with_name("generated.py"))
assert _spec is not None
assert _spec.loader is not None
generated = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generated)

JOB = "samples-tf-mnist-demo"
SIZE = "Standard_NC96ads_A100_v4"
NODE, OLD = "aks-a100-28993262-vmss000000", "aks-gpunp-28993262-vmss000000"
ASKED = Expectations(job=JOB, training=True, minimum_accuracy=0.9, node_pool="a100")
GONE = "its Pods are gone, and with them what they told"


def pod(node: str | None, pool: str | None, there: bool | None = True, **more: Any) -> dict[str, Any]:
    place = {"node": node, "node_pool": pool, "node_is_there": there, "vm_size": None}
    return {"name": "mnist-1", "phase": "Succeeded", "asks_for_gpu": True, **place, **more}


def found(*pods: dict[str, Any], nodes: tuple[str, ...] = (NODE,), **job: Any) -> Observations:
    made = [generated.node(name, SIZE, node_pool="a100") for name in nodes]
    told = {"node_pool": None, "log_state": "read", "log_problem": None, "pods": list(pods), **job}
    expected = {"nodes": len(nodes), "gpus_per_node": 4, "resource_name": "nvidia.com/gpu"}
    return Observations(
        gpus=generated.gpus(made, expected=expected),
        probe={"probes": [generated.probe(name, SIZE) for name in nodes]},
        job=generated.job(**told),
    )


def checks(asked: Expectations, what: Observations) -> dict[str, Check]:
    return {check.name: check for check in checks_of(asked, what)}


def about_the_job(asked: Expectations, what: Observations) -> list[bool | None]:
    made = checks(asked, what)
    return [made[name].holds for name in ("job", "job_pool", "device", "accuracy")]


def made(what: Observations, asked: Expectations = ASKED, **more: Any) -> dict[str, Any]:
    evidence: dict[str, Any] = generated.cluster(
        1, **{"found": what, "asked": asked, "failure": None, "node_pool": asked.node_pool, **more}
    )
    SCHEMA.validate(evidence)
    return evidence


def test_a_job_on_a_node_of_the_pool() -> None:
    evidence = made(found(pod(NODE, "a100")))
    assert about_the_job(ASKED, found(pod(NODE, "a100"))) == [True, True, True, True]
    assert evidence["verdict"] == "works"
    assert evidence["headline"].endswith(f"{JOB} complete on Tesla T4")
    assert evidence["nodes"][0]["node_pool"] == "a100"
    assert evidence["job"]["pods"][0]["node_pool"] == "a100"


def test_a_job_of_the_pool_of_before_proves_nothing_of_the_new_one() -> None:
    """Findings C9: the pool was renamed in the inventory, and "works … complete on Tesla T4" was said of A100."""
    what = found(pod(OLD, "gpunp"))
    assert about_the_job(ASKED, what) == [True, False, None, None]
    evidence = made(what)
    assert evidence["verdict"] == "does_not_work"
    assert "on a node of the node pool gpunp, not of a100" in evidence["headline"]
    assert "mnist_recreate: true" in evidence["headline"]
    assert "mnist_node_pool: a100" in evidence["headline"]
    assert "Tesla T4" not in evidence["headline"]


@pytest.mark.parametrize(
    "job",
    [
        # Azure/aks-engine#4241 shows how names of nodes are made: those of a pool that is made anew are the same.
        pytest.param({"pods": [pod(NODE, "a100", there=False)]}, id="the node was replaced by one of the same name"),
        pytest.param({"pods": [pod("aks-a100-28993262-vmss000007", "a100", there=False)]}, id="the node is gone"),
    ],
)
def test_a_node_that_the_pool_no_longer_has(job: dict[str, Any]) -> None:
    what = found(**job)
    assert about_the_job(ASKED, what) == [True, None, None, None]
    evidence = made(what)
    assert evidence["verdict"] == "works"
    assert "complete, but not judged: it ran on aks-a100-28993262-vmss00000" in evidence["headline"]
    assert "mnist_recreate: true" in checks(ASKED, what)["job_pool"].line


def test_the_node_is_known_by_the_pool_where_nodes_can_not_be_listed_by_the_wait() -> None:
    assert about_the_job(ASKED, found(pod(NODE, None, there=None))) == [True, True, True, True]


@pytest.mark.parametrize("pool", ["A100", "a100"])
def test_letter_case_of_a_pool_does_not_count(pool: str) -> None:
    assert about_the_job(ASKED, found(pod(NODE, pool)))[1] is True


def test_where_it_ran_is_not_known() -> None:
    what = found(pod("some-node", None, there=None))
    assert about_the_job(ASKED, what) == [True, None, True, True]
    assert "not known" in checks(ASKED, what)["job_pool"].line


def test_a_job_without_gpus_is_on_any_node() -> None:
    """A Job of the user's own that only prepares something runs where it likes."""
    asked = Expectations(job=JOB, node_pool="a100")
    what = found(pod("aks-nodepool1-28993262-vmss000000", "nodepool1", asks_for_gpu=False))
    assert checks(asked, what)["job_pool"].holds is None
    assert made(what, asked)["verdict"] == "works"


def test_one_of_several_pods_on_the_pool_is_enough() -> None:
    """kubeflow/trainer has a launcher beside the workers."""
    launcher = pod("aks-cpu-28993262-vmss000000", "cpu")
    assert checks(ASKED, found(launcher, pod(NODE, "a100")))["job_pool"].holds is True


def test_the_pods_of_a_complete_job_are_gone() -> None:
    """Findings C12; kubernetes/autoscaler#2157: completed Pods go with their nodes. "device found: none" was said."""
    what = found(devices=[], accuracy=[], accuracy_last=None, log_tail=[], log_state="gone", log_problem=GONE)
    assert about_the_job(ASKED, what) == [True, None, None, None]
    note = {"subject": f"Job default/{JOB}", "cause": "LogGone", "message": GONE, "advice": "mnist_recreate: true …"}
    evidence = made(what, job_problems=[note])
    assert evidence["verdict"] == "works"
    assert f"complete, but not judged: {GONE}" in evidence["headline"]
    assert f"note: Job default/{JOB}: {GONE}" in lines_of(evidence)
    for name in ("device", "accuracy"):
        line = checks(ASKED, what)[name].line
        assert f"not judged: {GONE}" in line
        assert "mnist_recreate: true" in line


@pytest.mark.parametrize(("bound", "holds"), [("a100", None), ("gpunp", False), (None, None)])
def test_the_pods_are_gone_and_the_job_says_where_it_was_bound_to(bound: str | None, holds: bool | None) -> None:
    what = found(devices=[], accuracy_last=None, log_state="gone", log_problem=GONE, node_pool=bound)
    assert checks(ASKED, what)["job_pool"].holds is holds


def test_an_empty_pool_and_a_job_of_before_prove_nothing() -> None:
    """The pool was scaled to 0 after the Job (min_count 0)."""
    gone = found(nodes=(), devices=[], accuracy_last=None, log_state="gone", log_problem=GONE)
    assert made(gone)["verdict"] == "idle"
    assert made(found(pod(NODE, "a100", there=False), nodes=()))["verdict"] == "idle"


def test_a_log_that_was_not_read_does_not_say_no() -> None:
    why = "dial tcp 10.224.0.5:10250: i/o timeout"
    what = found(pod(NODE, "a100"), devices=[], accuracy_last=None, log_state="not_read", log_problem=why)
    assert about_the_job(ASKED, what) == [True, True, None, None]
    assert f"not read: {why}" in checks(ASKED, what)["accuracy"].line
    part = found(pod(NODE, "a100"), accuracy_last=0.2, log_state="not_read", log_problem=why)
    assert about_the_job(ASKED, part) == [True, True, True, None]


def test_a_log_that_was_read_and_says_nothing_says_no() -> None:
    what = found(pod(NODE, "a100"), devices=[], accuracy_last=None)
    assert about_the_job(ASKED, what) == [True, True, False, False]


def test_a_step_before_the_job_failed() -> None:
    """Findings C14: "FAIL Job … complete: 0 of 1" and "FAIL device found: none" though nobody looked."""
    before = found()
    what = Observations(gpus=before.gpus, probe=before.probe)
    assert about_the_job(ASKED, what) == [None, None, None, None]
    assert all("not looked at" in checks(ASKED, what)[name].line for name in ("job", "job_pool", "device", "accuracy"))
    evidence = made(what, failure={"step": "Apply the Job", "message": "exceeded quota"})
    assert evidence["verdict"] == "does_not_work"
    assert "exceeded quota" in evidence["headline"]
    assert not [line for line in lines_of(evidence) if line.startswith("FAIL")]


@pytest.mark.parametrize(
    ("probe", "holds"),
    [({"failed": True, "msg": "exceeded quota: count/jobs.batch"}, None), ({}, False)],
    ids=["it could not be made", "it was not made"],
)
def test_a_probe_that_could_not_be_made_has_found_no_fault(probe: dict[str, Any], holds: bool | None) -> None:
    before = found(pod(NODE, "a100"))
    assert checks(ASKED, Observations(gpus=before.gpus, probe=probe, job=before.job))["probe"].holds is holds


def test_what_could_not_be_read_is_named() -> None:
    before = found(pod(NODE, "a100"))
    what = Observations(gpus={**before.gpus, "not_looked_at": ["pods"]}, probe=before.probe, job=before.job)
    assert made(what)["not_looked_at"] == ["pods"]


def test_there_is_no_job() -> None:
    what = found(exists=False, complete=False, succeeded=0, completions=None, devices=[], accuracy_last=None)
    assert about_the_job(ASKED, what) == [False, None, None, None]
    assert "there is no such Job" in checks(ASKED, what)["job"].line


def test_a_job_that_has_not_begun() -> None:
    what = found(complete=False, succeeded=0, devices=[], accuracy_last=None, log_state=None)
    assert about_the_job(ASKED, what) == [False, None, None, None]
    failed = found(complete=False, succeeded=0, devices=[], accuracy_last=None, log_state="read")
    assert about_the_job(ASKED, failed) == [False, None, False, False]


@pytest.mark.parametrize(("last", "cause"), [(0.5, "AccuracyTooLow"), (None, "AccuracyNotTold")])
def test_what_an_assertion_states_is_no_step_that_failed(last: float | None, cause: str) -> None:
    problem = {"subject": "Pod default/m", "cause": cause, "message": "low", "advice": "", "permanent": True}
    failure = {"step": "Wait until the Job is complete", "message": "…", "problems": [problem]}
    evidence = made(found(pod(NODE, "a100"), accuracy_last=last), failure=failure)
    assert (evidence["failure"], evidence["verdict"]) == (None, "does_not_work")
    assert "accuracy at the last step" in evidence["headline"]
    unread = {**problem, "cause": "LogNotRead"}
    evidence = made(found(pod(NODE, "a100"), accuracy_last=last), failure={**failure, "problems": [unread]})
    assert evidence["failure"]["problems"][0]["cause"] == "LogNotRead"
    # Another Pod than the one that is shown.
    assert made(found(pod(NODE, "a100")), failure=failure)["failure"] is not None


def test_evidence_of_an_older_release_is_valid() -> None:
    evidence = made(found(pod(NODE, "a100")))
    del evidence["own_node_pools"]
    del evidence["not_looked_at"]
    for key in ("node_pool", "log_state", "log_problem"):
        del evidence["job"][key]
    del evidence["nodes"][0]["node_pool"]
    SCHEMA.validate(evidence)


def named(pool: str | None, cluster: str = "aks-0001", group: str = "RG-1") -> dict[str, str | None]:
    return {"resource_group": group, "cluster_name": cluster, "node_pool": pool}


@pytest.mark.parametrize(
    ("own", "pools", "left"),
    [
        (["a100", "gpunp"], [named("a100")], ["gpunp"]),  # findings C9
        (["a100", "gpunp"], [named("a100"), named("GPUNP")], []),
        (["a100", "gpunp"], [named("gpunp", cluster="aks-0002")], ["gpunp"]),
        (["a100", "gpunp"], [named("a100"), named(None)], []),
        (["a100", "gpunp"], None, []),
        (["a100"], [], []),
        (None, [named("a100")], []),
    ],
)
def test_pools_of_ours_that_no_host_names(
    own: list[str] | None, pools: list[dict[str, str | None]] | None, left: list[str]
) -> None:
    evidence = made(found(pod(NODE, "a100")), own_node_pools=own)
    assert [each["node_pool"] for each in _left_behind([evidence], pools)] == left


def test_pools_of_ours_have_the_tag() -> None:
    """Azure returns names of tags in any letter case. What node_pool returns of a pool says so without the tags."""
    pools: list[dict[str, Any]] = [
        {"name": "b", "tags": {"AKS.GPU.created-by": "aks.gpu"}},
        {"name": "a", "tags": {"aks.gpu.created-by": "aks.gpu", "team": "x"}},
        {"name": "nodepool1", "tags": None},
    ]
    assert _own_node_pools(pools) == ["a", "b"]
    assert _own_node_pools(None) is None
    short = [{"name": "b", "own": True}, {"name": "nodepool1", "own": False}]
    assert _own_node_pools(short) == ["b"]
