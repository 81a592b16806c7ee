# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a GPU workload's log says: devices found, accuracy by step, and why CUDA did not work.

The shapes are those of TensorFlow 1 and 2, of the role mnist's own training script, of ``nvidia-smi -L``, and of
NVIDIA's CUDA samples.
"""

from __future__ import annotations

import decimal
import re
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._text import frames, shortened

HEAD_LINES = 3
TAIL_LINES = 20

MOST_ACCURACIES = 10_000
"""So many are kept; of more every second one is left out, again and again, and the last one never."""

MOST_FRAMES = 64
"""So many of the texts that a program wrote over each other on a line are read, the last ones."""

_ACCURACY = re.compile(r"[Aa]ccuracy at step (\d+):[ \t]*((?:[^\s,;|<)\]}\\\"']|,(?=\d))*)([ \t]*%)?")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_FOUND = re.compile(r"Found device (\d+) with properties:(.*)$")
_NAME = re.compile(r"\bname: (.+?)(?= (?:major|computeCapability|pciBusID|memoryClockRate|coreClock)\b|,|\)|$)")
_MAJOR_MINOR = re.compile(r"\bmajor: (\d+) minor: (\d+)")
_CAPABILITY = re.compile(r"\bcompute ?[Cc]apability: ?(\d+\.\d+)")
_UUID = re.compile(r"\buuid: ?((?:GPU|MIG)-[0-9a-fA-F-]+)")
_BUS = re.compile(r"\b(?:pciBusID|pci bus id): ?([0-9a-fA-F]{1,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.\d)")
_OUT_OF_MEMORY = re.compile(r"\b(?:totalMemory|deviceMemorySize): ?([0-9.]+ ?[KMGT]i?B)")
_CREATED = re.compile(r"(?:Creating TensorFlow device|Created (?:TensorFlow )?device) .*?\bdevice: (\d+), name: ")
_SMI = re.compile(r"^GPU (\d+): (.+?) \(UUID: (GPU-[0-9a-f-]+)\)")
_MIG = re.compile(r"^\s*MIG (\S+)\s+Device\s+(\d+): \(UUID: (MIG-[^)]+)\)")
_VERSIONS = re.compile(r"Driver Version: *([0-9.]+) +CUDA (?:UMD )?Version: *([0-9.]+)")
_QUERY = re.compile(r'^Device (\d+): "(.+)"')


@dataclass(frozen=True)
class CudaError:
    """A line that says why CUDA does not work.

    Attributes:
        cause: A word for programs.
        message: The line.
        advice: What to do.
    """

    cause: str
    message: str
    advice: str


_OTHER_WORKLOADS = (
    "The role aks.gpu.mnist brings workloads for today's GPUs and drivers: mnist_workload: digits, or vector_add."
)
_DRIVER_ADVICE = (
    "The image needs a newer NVIDIA driver than the node has. Take an image of an older CUDA release, or update the "
    "node image of the pool; https://docs.nvidia.com/deploy/cuda-compatibility/ says which CUDA needs which driver. "
    f"{_OTHER_WORKLOADS}"
)
_OLD_IMAGE_ADVICE = (
    "The image was built for older GPUs than this one. Take an image of a CUDA release that knows it. "
    f"{_OTHER_WORKLOADS}"
)
_NO_DEVICE_ADVICE = (
    "The container got no GPU: ask for one in resources.limits, and look whether the node has its driver "
    "(aks.gpu.wait_for_gpus explains a node)."
)
_TROUBLES: tuple[tuple[str, str, str], ...] = (
    ("CUDA driver version is insufficient for CUDA runtime version", "DriverMismatch", _DRIVER_ADVICE),
    ("forward compatibility was attempted on non supported HW", "DriverMismatch", _DRIVER_ADVICE),
    ("the provided PTX was compiled with an unsupported toolchain", "DriverMismatch", _DRIVER_ADVICE),
    ("unsatisfied condition: cuda>=", "DriverMismatch", _DRIVER_ADVICE),
    ("The NVIDIA driver on your system is too old", "DriverMismatch", _DRIVER_ADVICE),
    ("no kernel image is available for execution on the device", "ImageTooOldForGpu", _OLD_IMAGE_ADVICE),
    ("cudaErrorNoKernelImageForDevice", "ImageTooOldForGpu", _OLD_IMAGE_ADVICE),
    ("is not compatible with the current PyTorch installation", "ImageTooOldForGpu", _OLD_IMAGE_ADVICE),
    (
        "Driver/library version mismatch",
        "DriverChanged",
        "The node's driver was changed while it ran: restart the node.",
    ),
    (
        "Failed to initialize NVML: Unknown Error",
        "GpuLost",
        "The container lost its GPU. The device plugin needs PASS_DEVICE_SPECS=true; restart the Pod.",
    ),
    ("no CUDA-capable device is detected", "NoDevice", _NO_DEVICE_ADVICE),
    ("CUDA_ERROR_NO_DEVICE", "NoDevice", _NO_DEVICE_ADVICE),
    ("Found no NVIDIA driver on your system", "NoDevice", _NO_DEVICE_ADVICE),
    ("No CUDA GPUs are available", "NoDevice", _NO_DEVICE_ADVICE),
    ("Torch not compiled with CUDA enabled", "NoDevice", "The PyTorch of the image is one without CUDA."),
    ("libcuda.so.1: cannot open shared object file", "NoDevice", _NO_DEVICE_ADVICE),
    (
        "CUDA_ERROR_OUT_OF_MEMORY",
        "GpuOutOfMemory",
        "Something else uses this GPU's memory, or the workload is too large for it.",
    ),
    (
        "HTTP Error 403",
        "DataRefused",
        f"The host that the workload loads its data from refuses. Take a workload that brings it. {_OTHER_WORKLOADS}",
    ),
)


def accuracy_of(text: str) -> float | None:
    """Returns an accuracy from 0 to 1, as a program writes it: ``0.9712``, ``0.9712.``, ``.98``, ``97.12%``, ``1e-1``.

    None for what is not an accuracy: no number, ``nan``, or one that is not between 0 and 1. What a program means by
    97.12 without a percent sign is not guessed.
    """
    number = text.strip().rstrip(".")
    percent = number.endswith("%")
    number = number.rstrip("%").rstrip()
    if not _NUMBER.fullmatch(number):
        return None
    value = float(decimal.Decimal(number) / (100 if percent else 1))
    return value if 0 <= value <= 1 else None


@dataclass
class WorkloadLog:
    """A log that is read line by line.

    Attributes:
        pattern: What one of its lines has to match somewhere; None for nothing.
        pattern_found: One did.
        accuracy: ``{"step": int, "accuracy": float}`` in the order of the log, up to ``MOST_ACCURACIES`` of them.
        best: The best accuracy; None when there is none.
        no_accuracy: What stands where the last accuracy should, when that is not one; otherwise None.
        head: The first lines.
        tail: The last lines.
        trouble: The line that says best why CUDA does not work.
        passed: How often a CUDA sample said ``Test PASSED``.
        driver_version: The NVIDIA driver, as ``nvidia-smi`` says; None when it does not.
        cuda_version: The newest CUDA that the driver serves, likewise.
    """

    pattern: re.Pattern[str] | None = None
    pattern_found: bool = False
    accuracy: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None
    no_accuracy: str | None = None
    head: list[str] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)
    trouble: CudaError | None = None
    passed: int = 0
    driver_version: str | None = None
    cuda_version: str | None = None
    _devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    _current: str | None = None

    def feed(self, line: str) -> dict[str, Any] | None:
        """Takes a line in.

        Args:
            line: One line, without its end.

        Returns:
            The last accuracy that the line tells, or None.
        """
        texts = frames(line.rstrip("\r\n"))[-MOST_FRAMES:]
        shown = shortened(texts[-1])
        if len(self.head) < HEAD_LINES:
            self.head.append(shown)
        self.tail = [*self.tail, shown][-TAIL_LINES:]
        told = None
        for text in texts:
            told = self._read(text) or told
        return told

    def _read(self, text: str) -> dict[str, Any] | None:
        if self.trouble is None or self.trouble.cause == "NoDevice":
            # A driver that is too old shows as a missing device first.
            self.trouble = _cuda_error_in(text) or self.trouble
        self.passed += "Test PASSED" in text
        self.pattern_found = self.pattern_found or bool(self.pattern and self.pattern.search(text))
        versions = _VERSIONS.search(text)
        if versions:
            self.driver_version, self.cuda_version = versions[1], versions[2]
        self._device(text)
        told = None
        for match in _ACCURACY.finditer(text) if "ccuracy at step" in text else ():
            told = self._accuracy(int(match[1]), match[2] + (match[3] or ""))
        return told

    def _accuracy(self, step: int, text: str) -> dict[str, Any] | None:
        value = accuracy_of(text)
        self.no_accuracy = None if value is not None else shortened(text)
        if value is None:
            return None
        if len(self.accuracy) >= MOST_ACCURACIES:
            self.accuracy = self.accuracy[::2]
        self.accuracy.append({"step": step, "accuracy": value})
        self.best = max(value, self.best or 0.0)
        return self.accuracy[-1]

    @property
    def last(self) -> float | None:
        """The accuracy that the log ends with; None when it has none, or ends with something that is not one."""
        return self.accuracy[-1]["accuracy"] if self.accuracy and self.no_accuracy is None else None

    @property
    def devices(self) -> list[dict[str, Any]]:
        """The GPUs found: name, compute_capability, memory, bus_id, uuid; None where the log is silent."""
        # A MIG GPU is not what the container got; its slices are.
        slices = [device for key, device in self._devices.items() if key.startswith("mig")]
        return [dict(device) for device in (slices or self._devices.values())]

    def _device(self, text: str) -> None:
        found = _FOUND.search(text)
        if found:
            self._current = f"device {found[1]}"
            self._properties(self._current, found[2])
            return
        created = _CREATED.search(text)
        if created:
            self._current = None
            self._properties(f"device {created[1]}", text)
            return
        smi = _SMI.match(text) or _QUERY.match(text)
        if smi:
            device = self._entry(f"device {smi[1]}")
            device["name"] = smi[2]
            device["uuid"] = smi[3] if smi.re is _SMI else device["uuid"]
            return
        mig = _MIG.match(text)
        if mig:
            device = self._entry(f"mig {mig[3]}")
            device.update(name=f"MIG {mig[1]}", uuid=mig[3])
            return
        if self._current and (_NAME.search(text) or _BUS.search(text) or _OUT_OF_MEMORY.search(text)):
            self._properties(self._current, text)
        elif self._current and ": I " in text:
            self._current = None

    def _entry(self, key: str) -> dict[str, Any]:
        empty = {"name": None, "compute_capability": None, "memory": None, "bus_id": None, "uuid": None}
        return self._devices.setdefault(key, empty)

    def _properties(self, key: str, text: str) -> None:
        device = self._entry(key)
        name, pair, capability = _NAME.search(text), _MAJOR_MINOR.search(text), _CAPABILITY.search(text)
        bus, memory, uuid = _BUS.search(text), _OUT_OF_MEMORY.search(text), _UUID.search(text)
        if name:
            device["name"] = name[1].strip()
        if pair:
            device["compute_capability"] = f"{pair[1]}.{pair[2]}"
        if capability:
            device["compute_capability"] = capability[1]
        if bus:
            device["bus_id"] = bus[1]
        if memory:
            device["memory"] = memory[1]
        if uuid:
            device["uuid"] = uuid[1]


def _cuda_error_in(text: str) -> CudaError | None:
    for phrase, cause, advice in _TROUBLES:
        if phrase in text:
            return CudaError(cause, shortened(text.strip()), advice)
    return None
