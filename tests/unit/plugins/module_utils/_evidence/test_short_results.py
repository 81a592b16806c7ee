# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results without details: the evidence is the same, but for the words of conditions that are well."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics import _gpu_probe, _wait_for_gpus, _wait_for_job
from ansible_collections.aks.gpu.plugins.module_utils._evidence._checks import Expectations, Observations
from ansible_collections.aks.gpu.plugins.module_utils._evidence._document import (
    Document,
    brief_of,
    document,
    summary_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._evidence._page import page_of
from ansible_collections.aks.gpu.plugins.module_utils._evidence._report import _reported, handed_on
from ansible_collections.aks.gpu.plugins.plugin_utils._evidence_page import page_files

Json = dict[str, Any]
ROOT = Path(__file__).parents[5]
NODE = "aks-gpunp-28993262-vmss000000"
JOB = "samples-tf-mnist-demo"


def beside(name: str) -> Any:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"short_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


generated = beside("generated")
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "docs" / "evidence.schema.json").read_text()))
ILL = {"type": "XIDErrors", "status": "True", "reason": "XIDErrorDetected", "message": "XID 79"}
NOT_READY = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "No more is heard of it."}
POD = {
    "name": f"{JOB}-smnr6",
    "node": NODE,
    "node_pool": "gpunp",
    "vm_size": "Standard_NC4as_T4_v3",
    "node_is_there": True,
    "phase": "Succeeded",
    "asks_for_gpu": True,
    "exit_code": 0,
    "devices": [{"name": "Tesla T4"}],
    "accuracy_last": 0.9258,
    "log_pattern_found": None,
}


def made(gpus: Json, probe: Json, job: Json, failure: Json | None = None) -> Document:
    evidence = document(
        host="aks-0001",
        cluster={"subscription_id": None, "resource_group": "rg", "name": "aks-0001"},
        node_pool="gpunp",
        pool={},
        asked=Expectations(job=JOB, training=True, minimum_accuracy=0.9, node_pool="gpunp"),
        found=Observations(gpus=gpus, probe=probe, job=job),
        failure=failure,
        steps=[],
        run=generated.RUN,
        now=generated.NOW,
    )
    SCHEMA.validate(evidence)
    return evidence


@pytest.mark.parametrize("condition", [None, ILL, NOT_READY], ids=["well", "ill", "not ready"])
@pytest.mark.parametrize(
    ("probe", "job"),
    [
        ({}, {}),
        ({"held": 1}, {"accuracy": [], "accuracy_last": None, "log_state": "gone", "log_problem": "Gone."}),
        ({}, {"pods": [{**POD, "node_pool": "other"}]}),
        ({}, {"accuracy_last": 0.5}),
    ],
    ids=["works", "held and gone", "elsewhere", "too low"],
)
def test_the_evidence_needs_no_details(condition: Json | None, probe: Json, job: Json) -> None:
    node = generated.node(NODE)
    if condition is not None:
        kept = [each for each in node["conditions"] if each["type"] != condition["type"]]
        node = {**node, "ready": condition is not NOT_READY, "conditions": [*kept, condition]}
    gpus = generated.gpus([node])
    probes = {"probes": [generated.probe(NODE, **probe)]}
    waited = {"job": generated.job(**{"pods": [POD], **job}), "problems": []}
    whole = made(gpus, probes, waited["job"])
    short = made(
        _wait_for_gpus._essential_nodes(gpus),
        _gpu_probe._essential_probes(probes),
        _wait_for_job._essential_job(waited)["job"],
    )
    for evidence in (whole, short):
        for each in evidence["nodes"][0]["conditions"]:
            if condition is None or each["type"] != condition["type"]:
                assert evidence is whole or (each["reason"], each["message"]) == (None, None)
                each.update(reason=None, message=None)
    assert short == whole
    run, files = generated.RUN["id"], page_files()
    assert page_of([short], run, files) == page_of([whole], run, files)


def test_what_is_left_out() -> None:
    """As the options return_details of wait_for_gpus, gpu_probe and wait_for_job describe it."""
    node = generated.node(NODE, conditions=[*generated.node(NODE)["conditions"], ILL])
    (short,) = _wait_for_gpus._essential_nodes(generated.gpus([node]))["nodes"]
    assert node.keys() - short.keys() == {"taints", "free"}
    assert short["labels"] == {"kubernetes.azure.com/accelerator": "nvidia"}
    assert short["conditions"] == [{"type": "Ready", "status": "True"}, {"type": "GPUMissing", "status": "False"}, ILL]
    assert _gpu_probe._essential_probes({"probes": [generated.probe(NODE)]})["probes"] == [
        generated.probe(NODE, log_tail=[])
    ]
    job = generated.job(pods=[POD], log_pattern_found=None, driver_version=None, cuda_version=None)
    told = _wait_for_job._essential_job({"job": job, "problems": []})["job"]
    assert job.keys() - told.keys() == {"log_head", "log_pattern_found", "driver_version", "cuda_version"}
    assert told["accuracy"][:2] == [[0, 0.1], [10, 0.2022]]
    assert told["pods"] == [{name: POD[name] for name in list(POD)[:7]}]


def test_a_step_that_said_it_already_is_only_named() -> None:
    """An accuracy that is too low is an assertion, and no failure, of the evidence; the wait has said it."""
    message = "accuracy 0.5 at the last step, 0.9 or more is asked for"
    problem = {"subject": f"Job default/{JOB}", "cause": "AccuracyTooLow", "message": message, "permanent": True}
    step = "Wait until the Job is complete"
    failure = {"step": step, "message": message, "problems": [problem]}
    gpus, probes = generated.gpus([generated.node(NODE)]), {"probes": [generated.probe(NODE)]}
    evidence = made(gpus, probes, generated.job(pods=[POD], accuracy_last=0.5), failure)
    assert evidence["failure"] is None
    assert evidence["headline"].startswith("aks-0001 does not work: accuracy at the last step: 0.5, 0.9 or more")
    assert brief_of(evidence)[0] == evidence["headline"]
    brief = brief_of(evidence, step)
    assert brief[0] == f"aks-0001 does not work. The step that failed says why: {step}"
    assert "or more is asked for" not in "\n".join(brief)


def test_a_job_hands_on_verdicts_without_reasons() -> None:
    evidence = [generated.cluster(number) for number in (1, 5)]
    data = handed_on(summary_of(evidence), evidence, None, "57")
    assert [each["host"] for each in data["aks_gpu_summary"]["failed"]] == ["aks-0005"]
    assert data["aks_gpu_summary_57"] == {
        **{name: value for name, value in data["aks_gpu_summary"].items() if name != "failed"},
        "hosts": {"aks-0001": "works", "aks-0005": "not_looked_at"},
    }


def test_a_report_without_details_shows_and_hands_on_the_same() -> None:
    evidence = [generated.cluster(number) for number in (1, 5)]
    whole, short = (
        _reported(evidence, generated.RUN["id"], None, {"run": None, "job": "57", "return_details": details})
        for details in (True, False)
    )
    assert whole["lines"] == short["shown"]
    assert short == {**whole, "summary": {}, "run_summary": {}, "lines": [], "notes": []}
