# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trains a small network on handwritten digits with PyTorch, and tells GPUs and accuracy as it goes.

The digits lie beside this file, so nothing is downloaded: 1,797 images of 8 by 8 pixels, from forms that 13 people
filled in, the test set of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak (1998), UCI Machine
Learning Repository, https://doi.org/10.24432/C50P49, licence CC BY 4.0, as scikit-learn ships it.

What it prints has the words of TensorFlow's MNIST sample, which aks.gpu.wait_for_job reads.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

DIGITS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "digits.csv.gz")
TELL_EVERY = 10
"""Steps between two lines of accuracy."""
HOLD_OUT_EVERY = 5
"""Every fifth digit is held out: accuracy is measured on those, and they are never trained on."""
MOST_DISAGREEMENT = 0.01
"""What another GPU's accuracy of the same network may differ by."""
GIB = 1024**3


class CannotTrain(Exception):
    """There is nothing to train on; its text says why."""


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the options of the command line.

    Args:
        words: The words after the program's name; None for those of this process.
    """
    parser = argparse.ArgumentParser(description="Train a small network on handwritten digits.")
    parser.add_argument("--max_steps", "--max-steps", type=int, default=500, help="how many steps to train")
    parser.add_argument("--batch_size", "--batch-size", type=int, default=64, help="digits in a step")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds train equally")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: train without a GPU")
    options = parser.parse_args(words)
    for name in ("max_steps", "batch_size"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} has to be 1 or more")
    return options


def read_digits(path: str = DIGITS) -> tuple[list[list[int]], list[int]]:
    """Returns the images, 64 values from 0 to 16 each, and what each shows, from 0 to 9.

    Args:
        path: A file as scikit-learn ships it.
    """
    with gzip.open(path, "rt", encoding="ascii") as file:
        rows = [[int(float(value)) for value in line.split(",")] for line in file if line.strip()]
    return [row[:-1] for row in rows], [row[-1] for row in rows]


def device_line(
    index: int, name: str, capability: tuple[int, int], memory: tuple[int, int], bus_id: str | None, uuid: str | None
) -> str:
    """Returns the line that tells a GPU.

    Args:
        index: Its number in this container.
        name: The model.
        capability: Compute capability, major and minor.
        memory: Bytes altogether and free.
        bus_id: ``domain:bus:device.function``; None when PyTorch does not tell.
        uuid: ``GPU-…`` or ``MIG-…``; None likewise.
    """
    told = [
        f"name: {name}",
        f"compute capability: {capability[0]}.{capability[1]}",
        f"totalMemory: {memory[0] / GIB:.2f}GiB",
        f"freeMemory: {memory[1] / GIB:.2f}GiB",
    ]
    told += [f"pciBusID: {bus_id}"] if bus_id else []
    told += [f"uuid: {uuid}"] if uuid else []
    return f"Found device {index} with properties: {', '.join(told)}"


def versions_line(driver: str, cuda: int) -> str:
    """Returns the line that tells the driver.

    Args:
        driver: The version of the NVIDIA driver.
        cuda: The newest CUDA that it serves, as NVML counts it: 12080 is 12.8.
    """
    return f"Driver Version: {driver}  CUDA Version: {cuda // 1000}.{cuda % 1000 // 10}"


def accuracy_line(step: int, accuracy: float) -> str:
    """Returns the line that tells how many of the digits that were held out are read right, from 0 to 1."""
    return f"Accuracy at step {step}: {accuracy:.4f}"


def driver_versions() -> tuple[str, int] | None:
    """Returns the driver's version and the newest CUDA that it serves, from NVML; None where that is not there."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    text, number = ctypes.create_string_buffer(96), ctypes.c_int()
    if nvml.nvmlInit_v2():
        return None
    try:
        if nvml.nvmlSystemGetDriverVersion(text, ctypes.c_uint(96)):
            return None
        if nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(number)):
            return None
        return text.value.decode("ascii", "replace"), number.value
    finally:
        nvml.nvmlShutdown()


def tell(line: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def gpus(torch: Any) -> list[Any]:
    """Tells the GPUs and returns them.

    Raises:
        CannotTrain: None can be used.
    """
    versions = driver_versions()
    if versions:
        tell(versions_line(*versions))
    try:
        torch.cuda.init()
    except (AssertionError, RuntimeError) as error:
        raise CannotTrain(f"No GPU can be used: {error}") from error
    found = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    if not found:
        raise CannotTrain("No GPU can be used: no CUDA-capable device is detected")
    for device in found:
        about = torch.cuda.get_device_properties(device)
        free, total = torch.cuda.mem_get_info(device)
        tell(
            device_line(
                device.index, about.name, (about.major, about.minor), (total, free), bus_id_of(about), uuid_of(about)
            )
        )
    return found


def bus_id_of(about: Any) -> str | None:
    """Returns the PCI bus id of a GPU; None when this PyTorch does not know it."""
    if not hasattr(about, "pci_bus_id"):
        return None
    return f"{about.pci_domain_id:04x}:{about.pci_bus_id:02x}:{about.pci_device_id:02x}.0"


def uuid_of(about: Any) -> str | None:
    """Returns the UUID of a GPU as nvidia-smi writes it; None when this PyTorch does not know it."""
    text = str(getattr(about, "uuid", ""))
    return text if not text or text.startswith(("GPU-", "MIG-")) else f"GPU-{text}"


def train(torch: Any, options: argparse.Namespace) -> float:
    """Trains and returns the last accuracy.

    Args:
        torch: PyTorch.
        options: Those of the command line.

    Raises:
        CannotTrain: No GPU can be used, or two of them do not agree.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.manual_seed(options.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # More threads only wait for each other over so small a network, and the order of their sums would differ.
    torch.set_num_threads(1)
    devices = gpus(torch) if options.device == "cuda" else [torch.device("cpu")]
    device = devices[0]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"

    pixels, shown = read_digits()
    images = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    labels = torch.tensor(shown)
    held_out = torch.arange(len(shown)) % HOLD_OUT_EVERY == 0
    tests = images[held_out].to(device), labels[held_out].to(device)
    images, labels = images[~held_out].to(device), labels[~held_out].to(device)
    tell(f"Training on {name} with {len(labels)} digits; {int(held_out.sum())} more are held out")

    network = build(torch).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    order = torch.Generator().manual_seed(options.seed)
    begun = time.monotonic()
    for step in range(options.max_steps):
        if step % TELL_EVERY == 0:
            tell(accuracy_line(step, accuracy_of(torch, network, *tests)))
        batch = torch.randint(len(labels), (options.batch_size,), generator=order).to(device)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
        optimizer.step()
    last = accuracy_of(torch, network, *tests)
    tell(accuracy_line(options.max_steps, last))
    tell(f"Trained {options.max_steps} steps in {time.monotonic() - begun:.1f} s on {name}")
    for other in devices[1:]:
        reached = accuracy_of(torch, network.to(other), *(part.to(other) for part in tests))
        tell(f"Accuracy on device {other.index}: {reached:.4f}")
        if abs(reached - last) > MOST_DISAGREEMENT:
            raise CannotTrain(f"Device {other.index} reads {reached:.4f} of the digits right and device 0 {last:.4f}")
    return last


def build(torch: Any) -> Any:
    """Returns the network, untrained: two convolutions and two linear layers, 85,066 parameters."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1024, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def accuracy_of(torch: Any, network: Any, images: Any, labels: Any) -> float:
    """Returns how many of the digits a network reads right, from 0 to 1."""
    with torch.no_grad():
        return float((network(images).argmax(1) == labels).float().mean())


def main(words: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status.

    Args:
        words: The words after the program's name; None for those of this process.
    """
    options = parse_arguments(words)
    try:
        import torch
    except ImportError as error:
        tell(f"This image has no PyTorch that works: {error}")
        return 1
    tell(f"PyTorch {torch.__version__}, built for CUDA {torch.version.cuda}")
    try:
        train(torch, options)
    except CannotTrain as error:
        tell(f"{error}. With --device cpu it trains without a GPU.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
