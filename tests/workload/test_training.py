# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make workload`: the role mnist's training script really trains, here on the CPU, and on a GPU where there is one.

It runs as the Job's container runs it: script and digits beside each other, nothing else.
"""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from aks_sandbox import workloads
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._workload_log import WorkloadLog

ROLE = Path(__file__).parents[2] / "roles" / "mnist"
LEAST_ACCURACY = 0.95
"""The role's own rule for success."""
SECONDS = 300


@dataclass(frozen=True)
class Trained:
    """A run of the script: its exit status, its lines, warnings, and what wait_for_job reads in all of it."""

    status: int
    lines: list[str]
    warnings: list[str]
    log: WorkloadLog

    @property
    def curve(self) -> list[tuple[int, float]]:
        return [(entry["step"], entry["accuracy"]) for entry in self.log.accuracy]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mounted = tmp_path_factory.mktemp("workload")
    (mounted / "train_digits.py").write_bytes((ROLE / "files" / "train_digits.py").read_bytes())
    (mounted / "digits.csv.gz").write_bytes(base64.b64decode((ROLE / "files" / "digits.csv.gz.base64").read_text()))
    return mounted


def train(folder: Path, *words: str) -> Trained:
    done = subprocess.run(
        [sys.executable, str(folder / "train_digits.py"), *words],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    log = WorkloadLog()
    for line in (done.stderr + done.stdout).splitlines():
        log.feed(line)
    return Trained(done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), log)


@pytest.fixture(scope="session")
def on_the_cpu(folder: Path) -> Trained:
    return train(folder, "--device", "cpu")


def test_it_learns_to_read_digits_that_it_was_not_trained_on(on_the_cpu: Trained) -> None:
    sys.stdout.write("\n".join(["", *on_the_cpu.lines[:4], "…", *on_the_cpu.lines[-3:], ""]))
    assert on_the_cpu.status == 0, on_the_cpu.warnings
    assert "1437 digits; 360 more are held out" in on_the_cpu.lines[1]
    steps, accuracies = zip(*on_the_cpu.curve, strict=True)
    assert steps == (*range(0, 500, 10), 500)
    assert accuracies[0] < 0.3
    assert accuracies[-1] >= LEAST_ACCURACY
    assert min(accuracies[-10:]) >= LEAST_ACCURACY - 0.02
    assert (on_the_cpu.log.devices, on_the_cpu.log.trouble) == ([], None)


def test_equal_seeds_train_equally(folder: Path, on_the_cpu: Trained) -> None:
    assert train(folder, "--device", "cpu").curve == on_the_cpu.curve
    other = train(folder, "--device", "cpu", "--seed", "1")
    assert other.curve != on_the_cpu.curve
    assert other.curve[-1][1] >= LEAST_ACCURACY


def test_few_steps_are_too_few(folder: Path) -> None:
    few = train(folder, "--device", "cpu", "--max_steps", "15")
    assert [step for step, _accuracy in few.curve] == [0, 10, 15]
    assert few.curve[-1][1] < LEAST_ACCURACY


def test_options_that_can_not_be(folder: Path) -> None:
    refused = train(folder, "--max_steps", "0")
    assert refused.status == 2
    assert "--max_steps has to be 1 or more" in refused.warnings[-1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so_and_fails(folder: Path) -> None:
    refused = train(folder)
    assert refused.status == 1
    assert refused.lines[-1].startswith("No GPU can be used: ")
    assert refused.lines[-1].endswith("With --device cpu it trains without a GPU.")
    assert refused.log.trouble is not None
    assert refused.log.trouble.cause in ("NoDevice", "DriverMismatch")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here")
def test_on_a_gpu(folder: Path) -> None:
    trained = train(folder)
    sys.stdout.write("\n".join(["", *trained.lines[:5], "…", *trained.lines[-3:], ""]))
    assert trained.status == 0, trained.warnings
    assert trained.curve[-1][1] >= LEAST_ACCURACY
    assert len(trained.log.devices) == torch.cuda.device_count()
    for device in trained.log.devices:
        assert all(device.values()), device
    assert trained.log.driver_version
    assert trained.log.cuda_version
    assert train(folder).curve == trained.curve


def test_this_pytorch_tells_what_the_script_asks_it_about_a_gpu() -> None:
    properties = torch._C._CudaDeviceProperties
    for name in ("name", "major", "minor", "pci_domain_id", "pci_bus_id", "pci_device_id", "uuid"):
        assert hasattr(properties, name), name


def test_it_is_the_pytorch_of_the_image_and_has_code_for_todays_gpus() -> None:
    image = re.search(r"pytorch:([\d.]+)-cuda([\d.]+)-", (ROLE / "vars" / "main.yml").read_text())
    assert image is not None
    assert torch.__version__.split("+")[0] == image[1]
    assert torch.version.cuda == image[2]
    flags = torch._C._cuda_getArchFlags().split()
    # V100, T4, A100, A10, H100 and H200, B200, RTX PRO 6000.
    assert {"sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"} <= set(flags)


def test_the_sandbox_plays_what_it_really_prints(folder: Path, on_the_cpu: Trained) -> None:
    """The simulated log has the lines of a real run, number by number but for the numbers."""
    files = {f"/workload/{path.name}": path.read_bytes() for path in folder.iterdir()}
    played = workloads.script(
        workloads.Situation(
            image="docker.io/pytorch/pytorch:2.10.0-cuda12.8-cudnn9-runtime",
            words=("python3", "/workload/train_digits.py", "--device", "cpu"),
            environment={},
            devices=(),
            of_job=True,
            seed="",
            generic_seconds=1.0,
            training_seconds=1.0,
            article_image_runs_on_modern_gpus=True,
            files=files,
        )
    )
    lines = [text for _seconds, text in played.lines]
    assert lines[0] == workloads.MARK
    assert [shape(line) for line in lines[1:]] == [shape(line) for line in on_the_cpu.lines]


def shape(line: str) -> str:
    return re.sub(r"\d+\.\d+( s|$)", "#", line)
