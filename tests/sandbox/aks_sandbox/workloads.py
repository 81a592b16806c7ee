"""What containers do on a simulated node: lines over time, then an exit code. No GPU computes anything here.

A workload is found by its image, or by what its command says. Every log whose numbers are made up begins with `MARK`.
"""

from __future__ import annotations

import datetime
import fnmatch
import gzip
import posixpath
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aks_sandbox import gpus
from aks_sandbox.gpus import Device
from aks_sandbox.sizes import K80

MARK = "[sandbox] simulated output: no GPU computed this"
DRIVER_MISMATCH = "CUDA driver version is insufficient for CUDA runtime version"
FOREVER = float("inf")


@dataclass(frozen=True)
class Situation:
    """All that a workload may depend on."""

    image: str
    words: tuple[str, ...]
    """Command and arguments."""
    environment: dict[str, str]
    devices: tuple[Device, ...]
    """GPUs that the container sees."""
    of_job: bool
    """A container that is expected to end."""
    seed: str
    generic_seconds: float
    training_seconds: float
    article_image_runs_on_modern_gpus: bool
    driver_version: str = gpus.DRIVER_VERSION
    cuda_version: str = gpus.CUDA_VERSION
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What ConfigMaps put into the container, by path."""

    @property
    def text(self) -> str:
        return " ".join(self.words)


@dataclass
class Script:
    """What a container prints and how it ends. `lines`: seconds since its start, text."""

    lines: list[tuple[float, str]] = field(default_factory=list)
    seconds: float = 0.0
    """When it ends; `FOREVER`: never."""
    exit_code: int = 0


Play = Callable[[Situation], Script]


def script(situation: Situation) -> Script:
    """The script of a container."""
    for patterns, play in _BY_IMAGE:
        if any(fnmatch.fnmatchcase(situation.image, pattern) for pattern in patterns):
            return play(situation)
    if _PROGRAMS.search(situation.text):
        return _programs(situation)
    if _DIGITS in situation.text:
        return _digits(situation)
    if "mnist" in situation.text.lower():
        return _own_mnist(situation)
    return _generic(situation)


def driver_mismatch(situation: Situation) -> Script:
    """A CUDA program that is newer than the driver."""
    stamp, problem = _stamp(0), "CUDA_ERROR_NO_DEVICE"
    return Script(
        [
            (0.0, MARK),
            (0.1, f"{stamp}: E tensorflow/stream_executor/cuda/cuda_driver.cc:406] failed call to cuInit: {problem}"),
            (0.1, f"Check failed: cudaSuccess == cudaGetDevice: {DRIVER_MISMATCH}"),
        ],
        0.3,
        1,
    )  # fmt: skip


def _mnist(situation: Situation) -> Script:
    """The article's image: CUDA 8, TensorFlow 1.4."""
    device = situation.devices[0] if situation.devices else None
    if device is not None and device.model is not K80 and not situation.article_image_runs_on_modern_gpus:
        return driver_mismatch(situation)
    length = situation.training_seconds
    head = [
        MARK,
        f"{_stamp(0)}: I tensorflow/core/platform/cpu_feature_guard.cc:137] Your CPU supports instructions that this "
        "TensorFlow binary was not compiled to use: SSE4.1 SSE4.2 AVX AVX2 FMA",
    ]
    if device is not None:
        major, minor = device.model.compute_capability.split(".")
        head += [
            f"{_stamp(0.14)}: I tensorflow/core/common_runtime/gpu/gpu_device.cc:1030] Found device 0 with "
            "properties: ",
            f"name: {device.model.name} major: {major} minor: {minor} memoryClockRate(GHz): {device.model.clock_ghz:g}",
            f"pciBusID: {device.bus_id}",
            f"totalMemory: {device.model.memory_gib:.2f}GiB freeMemory: {device.model.memory_gib - 0.07:.2f}GiB",
            f"{_stamp(0.15)}: I tensorflow/core/common_runtime/gpu/gpu_device.cc:1120] Creating TensorFlow device "
            f"(/device:GPU:0) -> (device: 0, name: {device.model.name}, pci bus id: {device.bus_id}, "
            f"compute capability: {device.model.compute_capability})",
            f"{_stamp(4.8)}: I tensorflow/stream_executor/dso_loader.cc:139] successfully opened CUDA library "
            "libcupti.so.8.0 locally",
        ]
    for name, size in _DATA:
        head.append(f"Successfully downloaded {name}-ubyte.gz {size} bytes.")
        head.append(f"Extracting /tmp/tensorflow/input_data/{name}-ubyte.gz")
    training: list[str] = []
    for step, value in _accuracy(situation, _steps(situation, 1000), 10):
        if value is None:
            training.append(f"Adding run metadata for {step}")
        else:
            training.append(f"Accuracy at step {step}: {value:.4g}")
    return _spread(head, training, length)


def _own_mnist(situation: Situation) -> Script:
    """A training script of the user's own, whatever the framework: device, accuracy, final accuracy."""
    device = situation.devices[0] if situation.devices else None
    head = [MARK]
    if device is None:
        head.append("device: cpu")
    else:
        major, minor = device.model.compute_capability.split(".")
        head += [
            f"{_stamp(0)}: Found device 0 with properties: ",
            f"name: {device.model.name} major: {major} minor: {minor} memoryClockRate(GHz): {device.model.clock_ghz:g}",
            f"pciBusID: {device.bus_id}",
            f"totalMemory: {device.model.memory_gib:.2f}GiB freeMemory: {device.model.memory_gib - 0.07:.2f}GiB",
        ]
    training = [
        f"Accuracy at step {step}: {value:.4g}"
        for step, value in _accuracy(situation, _steps(situation, 500), 10)
        if value is not None
    ]
    return _spread(head, training, situation.training_seconds)


def _digits(situation: Situation) -> Script:
    """The role mnist's training script: what Python would say of its files, then what the script prints."""
    program = next(word for word in situation.words if word.endswith(_DIGITS))
    problem, lines, exit_code = _python_problem(situation, program), [MARK], 1
    data = posixpath.join(posixpath.dirname(program), "digits.csv.gz")
    name = "the CPU"
    if problem is not None:
        return _short(situation, [MARK, problem], 2)
    lines.append("PyTorch 2.10.0+cu128, built for CUDA 12.8")
    if not re.search(r"--device[ =]cpu", situation.text):
        told, problem = _pytorch_devices(situation)
        lines += told
        if problem is not None:
            return _short(situation, [*lines, problem], exit_code)
        name = situation.devices[0].model.name
    if data not in situation.files:
        problem = f"FileNotFoundError: [Errno 2] No such file or directory: '{data}'"
        return _short(situation, [*lines, problem], exit_code)
    count = len(gzip.decompress(situation.files[data]).splitlines())
    held_out = -(-count // 5)
    lines.append(f"Training on {name} with {count - held_out} digits; {held_out} more are held out")
    steps = _steps(situation, 500)
    known = [(step, value) for step, value in _accuracy(situation, steps + 1, 10) if value is not None]
    training = [f"Accuracy at step {step}: {value:.4f}" for step, value in known]
    if steps % 10:
        training.append(f"Accuracy at step {steps}: {known[-1][1]:.4f}")
    training.append(f"Trained {steps} steps in {situation.training_seconds * 0.7:.1f} s on {name}")
    training += [
        f"Accuracy on device {number}: {known[-1][1]:.4f}"
        for number in range(1, len(situation.devices) if name != "the CPU" else 0)
    ]
    return _spread(lines, training, situation.training_seconds)


def _python_problem(situation: Situation, program: str) -> str | None:
    """Why Python can't begin with a program; None when it can."""
    source = situation.files.get(program)
    if source is None:
        return f"python3: can't open file '{program}': [Errno 2] No such file or directory"
    try:
        compile(source, program, "exec")
    except SyntaxError as error:
        return f'  File "{program}", line {error.lineno}: SyntaxError: {error.msg}'
    return None


def _pytorch_devices(situation: Situation) -> tuple[list[str], str | None]:
    """The lines that tell driver and GPUs, and why PyTorch can't use them; None when it can."""
    if not situation.devices:
        return [], (
            "No GPU can be used: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and "
            f"installed a driver from http://www.nvidia.com/Download/index.aspx{_WITHOUT_GPU}"
        )
    lines = [f"Driver Version: {situation.driver_version}  CUDA Version: {situation.cuda_version}"]
    major, minor = situation.cuda_version.split(".")
    if int(major) < 12:
        number = int(major) * 1000 + int(minor) * 10
        return lines, (
            f"No GPU can be used: The NVIDIA driver on your system is too old (found version {number}). Please update "
            f"your GPU driver{_WITHOUT_GPU}"
        )
    for number, device in enumerate(situation.devices):
        told = [
            f"name: {device.model.name}" + (f" MIG {device.mig}" if device.mig else ""),
            f"compute capability: {device.model.compute_capability}",
            f"totalMemory: {device.model.memory_gib:.2f}GiB",
            f"freeMemory: {device.model.memory_gib - 0.07:.2f}GiB",
            f"pciBusID: {device.bus_id}",
            f"uuid: {device.uuid}",
        ]
        lines.append(f"Found device {number} with properties: {', '.join(told)}")
    if float(situation.devices[0].model.compute_capability) < 7:
        return lines, "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device"
    return lines, None


def _steps(situation: Situation, default: int) -> int:
    found = re.search(r"--max[_-]steps[ =](\d+)", situation.text)
    return int(found.group(1)) if found else default


def _accuracy(situation: Situation, steps: int, every: int) -> list[tuple[int, float | None]]:
    """Accuracy for every tenth step below `steps`, rising and noisy; None: the 100th step that records metadata."""
    chance = random.Random(situation.seed)
    values: list[tuple[int, float | None]] = []
    for step in range(steps):
        if step % every == 0:
            base = 0.98 - 0.87 * (1 / (1 + step / 5)) ** 0.9 if step else 0.1
            noise = chance.uniform(-0.006, 0.006) if step else chance.uniform(-0.02, 0.03)
            values.append((step, round(min(0.985, base + noise), 4)))
        elif step % 100 == 99:
            values.append((step, None))
    return values


def _spread(head: list[str], training: list[str], seconds: float) -> Script:
    first = seconds * 0.3
    lines = [(first * position / max(1, len(head)), text) for position, text in enumerate(head)]
    lines += [
        (first + (seconds - first) * position / max(1, len(training)), text) for position, text in enumerate(training)
    ]
    return Script(lines, seconds)


_DIGITS = "train_digits.py"
_WITHOUT_GPU = ". With --device cpu it trains without a GPU."
_DATA = (
    ("train-images-idx3", 9912422),
    ("train-labels-idx1", 28881),
    ("t10k-images-idx3", 1648877),
    ("t10k-labels-idx1", 4542),
)
_PROGRAMS = re.compile(r"(nvidia-smi[^;&|\n]*)|(vector[-_]?add)|(deviceQuery)", re.IGNORECASE)


def _programs(situation: Situation) -> Script:
    """A command that runs nvidia-smi, vectorAdd, deviceQuery, in the order in which it names them."""
    lines, exit_code, seen = [MARK], 0, set()
    for found in _PROGRAMS.finditer(situation.text):
        if found.group(1):
            output, exit_code = _nvidia_smi(situation, found.group(1))
        elif found.group(2):
            if "vectoradd" in seen:
                continue
            seen.add("vectoradd")
            output, exit_code = _vector_add(situation)
            if not exit_code and "CUDA_VISIBLE_DEVICES=$" in situation.text:
                # A loop over the devices, each by itself.
                output *= len(situation.devices)
        else:
            output, exit_code = _device_query(situation)
        lines += output
        if exit_code:
            break
    return _short(situation, lines, exit_code)


def _vector_add_image(situation: Situation) -> Script:
    if _PROGRAMS.search(situation.text):
        return _programs(situation)
    lines, exit_code = _vector_add(situation)
    return _short(situation, [MARK, *lines], exit_code)


def _short(situation: Situation, lines: list[str], exit_code: int) -> Script:
    seconds = min(1.0, situation.generic_seconds)
    return Script([(seconds * position / len(lines), text) for position, text in enumerate(lines)], seconds, exit_code)


def _vector_add(situation: Situation) -> tuple[list[str], int]:
    head = ["[Vector addition of 50000 elements]"]
    if not situation.devices:
        return [*head, "Failed to allocate device vector A (error code no CUDA-capable device is detected)!"], 1
    return [
        *head,
        "Copy input data from the host memory to the CUDA device",
        "CUDA kernel launch with 196 blocks of 256 threads",
        "Copy output data from the CUDA device to the host memory",
        "Test PASSED",
        "Done",
    ], 0


def _device_query(situation: Situation) -> tuple[list[str], int]:
    count = len(situation.devices)
    if not count:
        return ["cudaGetDeviceCount returned 100", "-> no CUDA-capable device is detected", "Result = FAIL"], 1
    lines = [f"Detected {count} CUDA Capable device(s)"]
    for index, device in enumerate(situation.devices):
        lines += [
            "",
            f'Device {index}: "{device.model.name}"',
            f"  CUDA Driver Version / Runtime Version          {situation.cuda_version} / {situation.cuda_version}",
            f"  CUDA Capability Major/Minor version number:    {device.model.compute_capability}",
            f"  Total amount of global memory:                 {device.model.memory_gib * 1024:.0f} MBytes",
            f"  Device PCI Domain ID / Bus ID / location ID:   {int(device.bus_id[:4], 16)} / 0 / 0",
        ]
    return [*lines, "Result = PASS"], 0


def _nvidia_smi(situation: Situation, call: str) -> tuple[list[str], int]:
    if not situation.devices:
        return [
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
            "NVIDIA driver is installed and running."
        ], 9
    cards: dict[str, list[Device]] = {}
    for device in situation.devices:
        cards.setdefault(device.bus_id, []).append(device)
    if re.search(r"\s(-L|--list-gpus)\b", call):
        lines = []
        for index, found in enumerate(cards.values()):
            card = found[0]
            uuid = card.uuid if card.mig is None else "GPU-" + card.uuid.removeprefix("MIG-")
            lines.append(f"GPU {index}: {card.model.name} (UUID: {uuid})")
            lines += [
                f"  MIG {each.mig}     Device  {number}: (UUID: {each.uuid})"
                for number, each in enumerate(found)
                if each.mig
            ]
        return lines, 0
    query = re.search(r"--query-gpu=([\w.,]+)", call)
    if query:
        header = query.group(1).split(",")
        rows = []
        for index, found in enumerate(cards.values()):
            card = found[0]
            values = {
                "index": str(index),
                "count": str(len(cards)),
                "name": card.model.name,
                "gpu_name": card.model.name,
                "uuid": card.uuid,
                "gpu_uuid": card.uuid,
                "pci.bus_id": "0000" + card.bus_id.upper(),
                "gpu_bus_id": "0000" + card.bus_id.upper(),
                "driver_version": situation.driver_version,
                "compute_cap": card.model.compute_capability,
                "memory.total": f"{card.model.memory_gib * 1024:.0f} MiB",
                "memory.used": "0 MiB",
                "utilization.gpu": "0 %",
                "temperature.gpu": "34",
                "mig.mode.current": "Enabled" if card.mig else "Disabled",
            }
            row = ", ".join(values.get(name, "[N/A]") for name in header)
            rows.append(re.sub(r" (MiB|%)", "", row) if "nounits" in call else row)
        return rows if "noheader" in call else [", ".join(header), *rows], 0
    rule = "+-----------------------------------------------------------------------------------------+"
    lines = [
        rule,
        f"| NVIDIA-SMI {situation.driver_version:<18} Driver Version: {situation.driver_version:<14} "
        f"CUDA Version: {situation.cuda_version:<8} |",
        rule,
    ]
    for index, found in enumerate(cards.values()):
        card = found[0]
        memory = f"{card.model.memory_gib * 1024:.0f}MiB"
        lines.append(f"| {index:>3}  {card.model.name:<28} {('0000' + card.bus_id).upper():<18} 0MiB / {memory:<20} |")
    return [*lines, rule], 0


def _generic(situation: Situation) -> Script:
    """Nothing is known about it: of a Job it ends well after a while, else it runs on."""
    return Script([(0.0, f"[sandbox] {situation.image} runs; nothing in it is really executed")],
                  situation.generic_seconds if situation.of_job else FOREVER)  # fmt: skip


def _stamp(seconds: float) -> str:
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return now.strftime("%Y-%m-%d %H:%M:%S.%f")


_BY_IMAGE: tuple[tuple[tuple[str, ...], Play], ...] = (
    (("*samples-tf-mnist-demo*",), _mnist),
    (("*vectoradd*", "*vector-add*", "*cuda-sample*"), _vector_add_image),
)
