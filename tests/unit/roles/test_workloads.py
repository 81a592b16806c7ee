# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workloads that the role mnist ships: their objects, their files, and that their logs are understood."""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aks_sandbox import gpus, sizes, workloads
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._workload_log import WorkloadLog

ROLE = Path(__file__).parents[3] / "roles" / "mnist"
FILES = ROLE / "files"
SCIKIT_LEARN_S = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
"""SHA-256 of digits.csv.gz in scikit-learn 1.9.1."""
MOST_BYTES = 1024 * 1024
"""What a ConfigMap may hold."""


def role(expression: str, **variables: Any) -> Any:
    """Evaluates an expression as a task of the role would."""
    loader = DataLoader()
    loader.set_basedir(str(ROLE))
    layers: dict[str, Any] = {}
    for name in ("defaults", "vars"):
        layers.update(loader.load_from_file(str(ROLE / name / "main.yml"), trusted_as_template=True))
    templar = Templar(loader=loader, variables={**layers, "ansible_search_path": [str(ROLE)], **variables})
    return templar.template(trust_as_template(f"{{{{ {expression} }}}}"))


def objects(**variables: Any) -> list[dict[str, Any]]:
    return list(role("__mnist_objects", **variables))


def script() -> ModuleType:
    """The training script, which needs PyTorch only to train."""
    spec = importlib.util.spec_from_file_location("train_digits", FILES / "train_digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def digits() -> bytes:
    return base64.b64decode((FILES / "digits.csv.gz.base64").read_text())


def container(job: dict[str, Any]) -> dict[str, Any]:
    return dict(job["spec"]["template"]["spec"]["containers"][0])


def read(lines: list[str], pattern: str | None = None) -> WorkloadLog:
    log = WorkloadLog()
    for line in lines:
        log.feed(line)
    return log


def test_the_digits_are_scikit_learns(tmp_path: Path) -> None:
    assert hashlib.sha256(digits()).hexdigest() == SCIKIT_LEARN_S
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(digits())
    images, shown = script().read_digits(str(path))
    assert len(images) == len(shown) == 1797
    assert {len(image) for image in images} == {64}
    assert {value for image in images for value in image} == set(range(17))
    assert min(shown.count(digit) for digit in range(10)) > 170


def test_digits_workload() -> None:
    config_map, job = objects(mnist_workload="digits", mnist_name="train", mnist_namespace="ml", mnist_max_steps=50)
    assert config_map["metadata"]["name"] == job["metadata"]["name"] == "train"
    assert config_map["metadata"]["namespace"] == job["metadata"]["namespace"] == "ml"
    assert config_map["data"] == {"train_digits.py": (FILES / "train_digits.py").read_text()}
    assert base64.b64decode(config_map["binaryData"]["digits.csv.gz"], validate=True) == digits()
    assert sum(map(len, (*config_map["data"].values(), *config_map["binaryData"].values()))) < MOST_BYTES / 5
    pod = job["spec"]["template"]["spec"]
    assert container(job)["command"] == ["python3", "/workload/train_digits.py"]
    assert container(job)["args"] == ["--max_steps", "50"]
    assert container(job)["image"] == "docker.io/pytorch/pytorch:2.10.0-cuda12.8-cudnn9-runtime"
    (mount,) = container(job)["volumeMounts"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/workload", True)
    assert pod["volumes"] == [{"name": mount["name"], "configMap": {"name": "train"}}]
    assert container(job)["resources"] == {"limits": {"nvidia.com/gpu": "1"}}
    assert container(job)["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_other_files_make_another_job() -> None:
    marks = [
        objects(mnist_workload="digits", **changed)[1]["spec"]["template"]["metadata"]["annotations"]
        for changed in ({}, {}, {"__mnist_training_script": "print()"}, {"__mnist_training_data": ""})
    ]
    assert marks[0] == marks[1]
    assert len({mark["aks.gpu/files-sha256"] for mark in marks}) == 3


def test_vector_add_workload() -> None:
    (job,) = objects(mnist_workload="vector_add", mnist_gpus=4)
    assert container(job)["command"][:2] == ["/bin/sh", "-c"]
    assert container(job)["args"] == []
    assert container(job)["resources"] == {"limits": {"nvidia.com/gpu": "4"}}
    assert role("mnist_log_pattern", mnist_workload="vector_add") == "Test PASSED"


@pytest.mark.parametrize("workload", ["digits", "vector_add"])
def test_image_and_arguments_are_the_users(workload: str) -> None:
    job = objects(mnist_workload=workload, mnist_image="mirror.example/it:1", mnist_args="--device, cpu")[-1]
    assert container(job)["image"] == "mirror.example/it:1"
    assert container(job)["args"] == ["--device", "cpu"]


@pytest.mark.parametrize(
    "definition",
    [
        {"kind": "Job", "metadata": {"name": "samples-tf-mnist-demo"}},
        [{"kind": "Job", "metadata": {"name": "samples-tf-mnist-demo", "namespace": "default"}}],
        "kind: Job\nmetadata: {name: samples-tf-mnist-demo}\n---\n---\nkind: Secret\nmetadata: {name: token}\n",
    ],
)
def test_a_definition_of_ones_own(definition: Any) -> None:
    assert role("mnist_workload", mnist_definition=definition) == "custom"
    assert objects(mnist_definition=definition)[0]["kind"] == "Job"
    assert role("__mnist_problems", mnist_definition=definition) == []
    assert role("[mnist_minimum_accuracy, mnist_log_pattern]", mnist_definition=definition) == ["", ""]


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"mnist_workload": "custom"}, ["mnist_template or mnist_definition"]),
        (
            {"mnist_workload": "tensorflow"},
            ["mnist_workload: tensorflow is not one of article, digits, vector_add, custom"],
        ),
        ({"mnist_state": "gone"}, ["mnist_state: gone is not one of present, absent"]),
        (
            {"mnist_template": "job.yaml.j2", "mnist_workload": "digits"},
            ["mnist_template is for mnist_workload: custom"],
        ),
        (
            {"mnist_definition": {"kind": "Job", "metadata": {"name": "other"}}},
            ["no Job samples-tf-mnist-demo in the namespace default", "it has other"],
        ),
        (
            {"mnist_definition": {"kind": "Job", "metadata": {"name": "x", "namespace": "a"}}, "mnist_name": "x"},
            ["no Job x in the namespace default"],
        ),
        (
            {"mnist_completions": "three", "mnist_gpus": 0},
            ["mnist_gpus, mnist_completions: a whole number of 1 or more"],
        ),
        ({"mnist_backoff_limit": "-1"}, ["mnist_backoff_limit: a whole number of 0 or more"]),
        ({"mnist_minimum_accuracy": "90"}, ["mnist_minimum_accuracy: 90 is not between 0 and 1"]),
        ({"mnist_log_pattern": ".*"}, ["mnist_log_pattern: .* is found in every log"]),
        (
            {"mnist_max_steps": "many", "mnist_parallelism": "1.5", "mnist_minimum_accuracy": "good"},
            ["mnist_max_steps, mnist_parallelism", "mnist_minimum_accuracy: good"],
        ),
    ],
)
def test_what_can_not_be_is_named_all_at_once(variables: dict[str, Any], says: list[str]) -> None:
    wrong = ". ".join(role("__mnist_problems", **variables))
    for text in says:
        assert text in wrong


@pytest.mark.parametrize("accuracy", ["", "0", "0.9", ".5", "1", "1.0", 0.75, 1])
def test_accuracies_that_can_be(accuracy: Any) -> None:
    assert role("__mnist_problems", mnist_minimum_accuracy=accuracy) == []


def test_the_scripts_lines_are_understood() -> None:
    train = script()
    gib = train.GIB
    log = read(
        [
            train.versions_line("580.95.05", 13000),
            train.device_line(0, "Tesla T4", (7, 5), (14 * gib, 13 * gib), "0001:00:00.0", "GPU-0a1b-2c3d"),
            train.device_line(1, "NVIDIA A100 80GB PCIe MIG 1g.10gb", (8, 0), (9 * gib, gib), None, None),
            train.accuracy_line(0, 0.1),
            train.accuracy_line(490, 0.97779),
        ]
    )
    nothing = dict.fromkeys(("bus_id", "uuid"))
    assert log.devices == [
        {
            "name": "Tesla T4",
            "compute_capability": "7.5",
            "memory": "14.00GiB",
            "bus_id": "0001:00:00.0",
            "uuid": "GPU-0a1b-2c3d",
        },
        {
            "name": "NVIDIA A100 80GB PCIe MIG 1g.10gb",
            "compute_capability": "8.0",
            "memory": "9.00GiB",
            **nothing,
        },
    ]
    assert (log.driver_version, log.cuda_version) == ("580.95.05", "13.0")
    assert log.accuracy == [{"step": 0, "accuracy": 0.1}, {"step": 490, "accuracy": 0.9778}]


def situation(size: str, *words: str, without: str = "", count: int = 1) -> workloads.Situation:
    found = sizes.find(size)
    assert found is not None
    assert found.gpu is not None
    old = found.gpu is sizes.K80
    files = {"/workload/train_digits.py": (FILES / "train_digits.py").read_bytes(), "/workload/digits.csv.gz": digits()}
    return workloads.Situation(
        image="docker.io/pytorch/pytorch:2.10.0-cuda12.8-cudnn9-runtime",
        words=("python3", "/workload/train_digits.py", *words),
        environment={},
        devices=tuple(gpus.Device(found.gpu, f"000{n}:00:00.0", f"GPU-{n}") for n in range(count)),
        of_job=True,
        seed="one",
        generic_seconds=1.0,
        training_seconds=1.0,
        article_image_runs_on_modern_gpus=True,
        driver_version=gpus.K80_DRIVER_VERSION if old else gpus.DRIVER_VERSION,
        cuda_version=gpus.K80_CUDA_VERSION if old else gpus.CUDA_VERSION,
        files={path: content for path, content in files.items() if not without or without not in path},
    )


def played(*arguments: Any, **more: Any) -> tuple[list[str], int]:
    play = workloads.script(situation(*arguments, **more))
    return [text for _seconds, text in play.lines], play.exit_code


def test_the_sandbox_plays_the_script_as_it_prints() -> None:
    train = script()
    lines, exit_code = played("Standard_NC64as_T4_v3", "--max_steps", "55", count=2)
    assert exit_code == 0
    assert lines[0] == workloads.MARK
    assert lines[2] == train.versions_line("580.95.05", 13000)
    memory = int(14.58 * train.GIB), int(14.51 * train.GIB)
    assert lines[3] == train.device_line(0, "Tesla T4", (7, 5), memory, "0000:00:00.0", "GPU-0")
    assert "with 1437 digits; 360 more are held out" in lines[5]
    log = read(lines)
    assert [device["bus_id"] for device in log.devices] == ["0000:00:00.0", "0001:00:00.0"]
    assert [entry["step"] for entry in log.accuracy] == [0, 10, 20, 30, 40, 50, 55]
    assert train.accuracy_line(55, log.accuracy[-1]["accuracy"]) in lines


@pytest.mark.parametrize(
    ("size", "more", "status", "says", "cause"),
    [
        ("Standard_NC4as_T4_v3", {"without": "train"}, 2, "can't open file '/workload/train_digits.py'", None),
        ("Standard_NC4as_T4_v3", {"without": "csv"}, 1, "No such file or directory: '/workload/digits.csv.gz'", None),
        ("Standard_NC4as_T4_v3", {"count": 0}, 1, "Found no NVIDIA driver on your system", "NoDevice"),
        ("Standard_NC6", {}, 1, "too old (found version 11040)", "DriverMismatch"),
        ("Standard_NC6s_v2", {}, 1, "no kernel image is available", "ImageTooOldForGpu"),
    ],
)
def test_ways_in_which_it_fails(size: str, more: dict[str, Any], status: int, says: str, cause: str | None) -> None:
    lines, exit_code = played(size, **more)
    assert exit_code == status
    assert says in lines[-1]
    trouble = read(lines).trouble
    assert (trouble.cause if trouble else None) == cause


def test_it_is_told_to_do_without_a_gpu() -> None:
    lines, exit_code = played("Standard_NC4as_T4_v3", "--device", "cpu", count=0)
    assert exit_code == 0
    assert read(lines).devices == []
    assert "Training on the CPU" in lines[2]


def test_gzip_is_whole() -> None:
    assert len(gzip.decompress(digits()).splitlines()) == 1797
