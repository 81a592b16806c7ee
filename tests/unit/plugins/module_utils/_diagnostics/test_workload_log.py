# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GPU workloads print, in the shapes of the article and of today's programs."""

from __future__ import annotations

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._workload_log import MOST_ACCURACIES, WorkloadLog
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._text import log_text

ARTICLE = """\
2019-05-16 16:08:31.258328: I tensorflow/core/platform/cpu_feature_guard.cc:137] Your CPU supports instructions
2019-05-16 16:08:31.396846: I tensorflow/core/common_runtime/gpu/gpu_device.cc:1030] Found device 0 with properties: 
name: Tesla K80 major: 3 minor: 7 memoryClockRate(GHz): 0.8235
pciBusID: 2fd7:00:00.0
totalMemory: 11.17GiB freeMemory: 11.10GiB
2019-05-16 16:08:31.396886: I tensorflow/core/common_runtime/gpu/gpu_device.cc:1120] Creating TensorFlow device \
(/device:GPU:0) -> (device: 0, name: Tesla K80, pci bus id: 2fd7:00:00.0, compute capability: 3.7)
Successfully downloaded train-images-idx3-ubyte.gz 9912422 bytes.
Accuracy at step 0: 0.1081
Accuracy at step 10: 0.7457
Adding run metadata for 99
Accuracy at step 120: 0.922
Adding run metadata for 499
"""  # noqa: W291

TENSORFLOW_2 = """\
2026-01-01 10:00:00.1: I tensorflow/core/common_runtime/gpu/gpu_device.cc:1561] Found device 0 with properties: 
pciBusID: 0001:00:00.0 name: Tesla T4 computeCapability: 7.5
coreClock: 1.59GHz coreCount: 40 deviceMemorySize: 14.75GiB deviceMemoryBandwidth: 298.08GiB/s
2026-01-01 10:00:00.2: I tensorflow/core/common_runtime/gpu/gpu_device.cc:1747] Created device \
/job:localhost/replica:0/task:0/device:GPU:0 with 13970 MB memory:  -> device: 0, name: Tesla T4, \
pci bus id: 0001:00:00.0, compute capability: 7.5
"""  # noqa: W291


def read(text: str) -> WorkloadLog:
    log = WorkloadLog()
    for line in text.splitlines():
        log.feed(line)
    return log


def test_article() -> None:
    log = read(ARTICLE)
    assert log.devices == [
        {
            "name": "Tesla K80",
            "compute_capability": "3.7",
            "memory": "11.17GiB",
            "bus_id": "2fd7:00:00.0",
            "uuid": None,
        }
    ]
    assert log.accuracy == [
        {"step": 0, "accuracy": 0.1081},
        {"step": 10, "accuracy": 0.7457},
        {"step": 120, "accuracy": 0.922},
    ]
    assert log.tail[-1] == "Adding run metadata for 499"
    assert log.trouble is None


def test_tensorflow_2() -> None:
    assert read(TENSORFLOW_2).devices == [
        {
            "name": "Tesla T4",
            "compute_capability": "7.5",
            "memory": "14.75GiB",
            "bus_id": "0001:00:00.0",
            "uuid": None,
        }
    ]


def test_several_devices() -> None:
    text = "\n".join(
        f"I gpu] Found device {n} with properties: \nname: Tesla T4 major: 7 minor: 5\npciBusID: 000{n}:00:00.0"
        for n in range(4)
    )
    devices = read(text).devices
    assert [device["bus_id"] for device in devices] == [f"000{n}:00:00.0" for n in range(4)]
    assert {device["compute_capability"] for device in devices} == {"7.5"}


def test_nvidia_smi() -> None:
    log = read("GPU 0: Tesla T4 (UUID: GPU-0e8c2f5d-1111-2222-3333-444444444444)\nTest PASSED")
    assert [(device["name"], device["uuid"]) for device in log.devices] == [
        ("Tesla T4", "GPU-0e8c2f5d-1111-2222-3333-444444444444")
    ]
    assert log.passed


def test_mig_counts_slices_not_the_card() -> None:
    log = read(
        "GPU 0: NVIDIA A100 80GB PCIe (UUID: GPU-0e8c2f5d-1111-2222-3333-444444444444)\n"
        "  MIG 1g.10gb     Device  0: (UUID: MIG-1)\n"
        "  MIG 1g.10gb     Device  1: (UUID: MIG-2)"
    )
    assert [device["uuid"] for device in log.devices] == ["MIG-1", "MIG-2"]


def test_device_query() -> None:
    assert read('Device 0: "NVIDIA H100 NVL"').devices[0]["name"] == "NVIDIA H100 NVL"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (
            "Check failed: cudaSuccess: CUDA driver version is insufficient for CUDA runtime version",
            "DriverMismatch",
        ),
        ("nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.5", "DriverMismatch"),
        ("CUDA error: no kernel image is available for execution on the device", "ImageTooOldForGpu"),
        ("Failed to initialize NVML: Unknown Error", "GpuLost"),
        ("failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected", "NoDevice"),
        ("urllib2.HTTPError: HTTP Error 403: Forbidden", "DataRefused"),
    ],
)
def test_trouble(line: str, cause: str) -> None:
    trouble = read(f"hello\n{line}\nbye").trouble
    assert trouble is not None
    assert (trouble.cause, trouble.message) == (cause, line)
    assert trouble.advice


def test_driver_mismatch_wins_over_what_comes_before_it() -> None:
    log = read(
        "failed call to cuInit: CUDA_ERROR_NO_DEVICE\nCUDA driver version is insufficient for CUDA runtime version"
    )
    assert log.trouble is not None
    assert log.trouble.cause == "DriverMismatch"


def test_a_log_without_anything() -> None:
    log = read("Epoch 1/5\nloss: 0.3")
    assert (log.devices, log.accuracy, log.trouble, log.passed) == ([], [], None, 0)


@pytest.mark.parametrize(
    ("said", "accuracy"),
    [
        # Findings D2: the reports kubernetes-sigs/jobset#95 and TangleML/tangle#278 have such lines.
        ("12.5%", 0.125),
        ("0.9712.", 0.9712),
        ("nan", None),
        ("-1", None),
        # kubeflow/katib#2723: a number may begin with its point, or be missing.
        (".98", 0.98),
        ("", None),
        # wangkuiyi/gotorch#265: PyTorch's example counts, and has per cent in brackets.
        ("9166/10000 (92%)", None),
        # AI-Rank/AI-Rank#20: 77.9%.
        ("77.9%", 0.779),
        ("77.9 %", 0.779),
        # prometheus/prometheus#860 and JInsight#3: NaN, as other programs write it.
        ("NaN", None),
        ("inf", None),
        ("97.5", None),
        ("100%.", 1.0),
        ("1e-1", 0.1),
        ("1e-1_0", None),
        ("0,97", None),
        ('0.97"}', 0.97),
        ("0.9.7.1", None),
    ],
)
def test_accuracy(said: str, accuracy: float | None) -> None:
    log = read(f"Accuracy at step 480: 0.5\nAccuracy at step 490: {said}")
    assert log.last == accuracy
    assert (log.no_accuracy is None) is (accuracy is not None)
    assert log.accuracy[0] == {"step": 480, "accuracy": 0.5}


def test_frames_of_a_line_count_in_their_order() -> None:
    """Findings D2; moby/moby#19645, tqdm/tqdm#1319 and argoproj/argo-workflows#7671 show lines written over."""
    log = WorkloadLog()
    told = log.feed("Accuracy at step 0: 0.1\rAccuracy at step 480: 0.95\rAccuracy at step 490: 0.97\r\n")
    assert told == {"step": 490, "accuracy": 0.97}
    assert log.last == 0.97
    assert log.tail == ["Accuracy at step 490: 0.97"]


def test_colours_do_not_hide_an_accuracy() -> None:
    log = WorkloadLog()
    log.feed(log_text(b"Accuracy at step 490: \x1b[32m0.97\x1b[0m"))
    assert log.last == 0.97


def test_several_on_one_line() -> None:
    log = read("Accuracy at step 0: 0.1, Accuracy at step 10: 0.9; done")
    assert [entry["accuracy"] for entry in log.accuracy] == [0.1, 0.9]


def test_memory_is_bounded() -> None:
    log = WorkloadLog()
    for step in range(3 * MOST_ACCURACIES):
        log.feed(f"Accuracy at step {step}: {0.99 if step == 7 else 0.5}" + " " * 5000)
    assert len(log.accuracy) <= MOST_ACCURACIES
    assert log.accuracy[-1]["step"] == 3 * MOST_ACCURACIES - 1
    assert log.best == 0.99
    assert max(map(len, log.tail)) < 2100
