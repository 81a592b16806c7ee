"""VM sizes: what Resource Manager offers and what a node of each size has.

Source of sizes, GPUs and vCPUs: Azure's VM size documentation (learn.microsoft.com/azure/virtual-machines/sizes). GPU
memory and clocks are what the CUDA runtime reports for the model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class GpuModel:
    """A GPU as a CUDA program sees it."""

    name: str
    vendor: str
    compute_capability: str
    memory_gib: float
    clock_ghz: float
    mig_slices: int = 0
    """Compute slices that MIG can cut; 0: the model has no MIG."""


K80 = GpuModel("Tesla K80", "nvidia", "3.7", 11.17, 0.8235)
M60 = GpuModel("Tesla M60", "nvidia", "5.2", 7.94, 1.1775)
P40 = GpuModel("Tesla P40", "nvidia", "6.1", 22.38, 1.531)
P100 = GpuModel("Tesla P100-PCIE-16GB", "nvidia", "6.0", 15.90, 1.3285)
V100 = GpuModel("Tesla V100-PCIE-16GB", "nvidia", "7.0", 15.77, 1.38)
V100_32 = GpuModel("Tesla V100-SXM2-32GB", "nvidia", "7.0", 31.74, 1.53)
T4 = GpuModel("Tesla T4", "nvidia", "7.5", 14.58, 1.59)
A10 = GpuModel("NVIDIA A10", "nvidia", "8.6", 22.04, 1.695)
A100_40 = GpuModel("NVIDIA A100-SXM4-40GB", "nvidia", "8.0", 39.39, 1.41, 7)
A100_80 = GpuModel("NVIDIA A100-SXM4-80GB", "nvidia", "8.0", 79.15, 1.41, 7)
A100_PCIE = GpuModel("NVIDIA A100 80GB PCIe", "nvidia", "8.0", 79.15, 1.41, 7)
H100_NVL = GpuModel("NVIDIA H100 NVL", "nvidia", "9.0", 93.11, 1.785, 7)
H100 = GpuModel("NVIDIA H100 80GB HBM3", "nvidia", "9.0", 79.11, 1.98, 7)
H200 = GpuModel("NVIDIA H200", "nvidia", "9.0", 139.72, 1.98, 7)
MI25 = GpuModel("Radeon Instinct MI25", "amd", "", 15.98, 1.5)
MI300X = GpuModel("AMD Instinct MI300X", "amd", "", 191.98, 2.1)


@dataclass(frozen=True)
class VmSize:
    """One VM size. `family` is the key of its vCPU quota."""

    name: str
    family: str
    vcpus: int
    memory_gib: float
    gpus: float = 0
    """GPUs as Azure states them; a fraction for a part of one."""
    gpu: GpuModel | None = None
    generations: tuple[str, ...] = ("V1", "V2")
    retired: str | None = None
    """Date when Azure took it out of service."""
    spot: bool = True
    zones: tuple[str, ...] = ("1", "2", "3")

    @property
    def gpu_devices(self) -> int:
        """GPUs that the operating system shows: a part of one is one device."""
        return 0 if self.gpu is None else max(1, round(self.gpus))

    @property
    def arm(self) -> bool:
        """Has it ARM processors? Azure's names say so with a `p` after the number."""
        return re.match(r"Standard_[A-Z]+\d+p", self.name) is not None

    @property
    def nvidia(self) -> bool:
        return self.gpu is not None and self.gpu.vendor == "nvidia"


def _sizes() -> tuple[VmSize, ...]:
    gen1, gen2 = ("V1",), ("V2",)
    return (
        VmSize("Standard_B2s", "standardBSFamily", 2, 4),
        VmSize("Standard_D2s_v3", "standardDSv3Family", 2, 8),
        VmSize("Standard_D4s_v3", "standardDSv3Family", 4, 16),
        VmSize("Standard_D8s_v3", "standardDSv3Family", 8, 32),
        VmSize("Standard_DS2_v2", "standardDSv2Family", 2, 7),
        VmSize("Standard_DS3_v2", "standardDSv2Family", 4, 14),
        VmSize("Standard_D2s_v5", "standardDSv5Family", 2, 8),
        VmSize("Standard_D4s_v5", "standardDSv5Family", 4, 16),
        VmSize("Standard_D8s_v5", "standardDSv5Family", 8, 32),
        VmSize("Standard_D2ds_v5", "standardDDSv5Family", 2, 8),
        VmSize("Standard_D4ds_v5", "standardDDSv5Family", 4, 16),
        VmSize("Standard_D8ds_v5", "standardDDSv5Family", 8, 32),
        VmSize("Standard_D4ds_v4", "standardDDSv4Family", 4, 16),
        VmSize("Standard_D4plds_v5", "standardDPLDSv5Family", 4, 8, generations=gen2),
        VmSize("Standard_D8plds_v5", "standardDPLDSv5Family", 8, 16, generations=gen2),
        VmSize("Standard_E4s_v5", "standardESv5Family", 4, 32),
        VmSize("Standard_F4s_v2", "standardFSv2Family", 4, 8),
        VmSize("Standard_NC6", "standardNCFamily", 6, 56, 1, K80, gen1, "2023-08-31"),
        VmSize("Standard_NC12", "standardNCFamily", 12, 112, 2, K80, gen1, "2023-08-31"),
        VmSize("Standard_NC24", "standardNCFamily", 24, 224, 4, K80, gen1, "2023-08-31"),
        VmSize("Standard_NC24r", "standardNCFamily", 24, 224, 4, K80, gen1, "2023-08-31"),
        VmSize("Standard_NC6s_v2", "standardNCSv2Family", 6, 112, 1, P100, retired="2023-08-31"),
        VmSize("Standard_NC12s_v2", "standardNCSv2Family", 12, 224, 2, P100, retired="2023-08-31"),
        VmSize("Standard_NC24s_v2", "standardNCSv2Family", 24, 448, 4, P100, retired="2023-08-31"),
        VmSize("Standard_ND6s", "standardNDSFamily", 6, 112, 1, P40, retired="2023-08-31"),
        VmSize("Standard_ND24s", "standardNDSFamily", 24, 448, 4, P40, retired="2023-08-31"),
        VmSize("Standard_NV6", "standardNVFamily", 6, 56, 1, M60, gen1, "2023-09-30"),
        VmSize("Standard_NV12", "standardNVFamily", 12, 112, 2, M60, gen1, "2023-09-30"),
        VmSize("Standard_NC6s_v3", "standardNCSv3Family", 6, 112, 1, V100, retired="2025-09-30"),
        VmSize("Standard_NC12s_v3", "standardNCSv3Family", 12, 224, 2, V100, retired="2025-09-30"),
        VmSize("Standard_NC24s_v3", "standardNCSv3Family", 24, 448, 4, V100, retired="2025-09-30"),
        VmSize("Standard_NV12s_v3", "standardNVSv3Family", 12, 112, 1, M60, retired="2026-09-30"),
        VmSize("Standard_NV4as_v4", "standardNVSv4Family", 4, 14, 0.125, MI25, retired="2026-09-30"),
        VmSize("Standard_NV8as_v4", "standardNVSv4Family", 8, 28, 0.25, MI25, retired="2026-09-30"),
        VmSize("Standard_NV16as_v4", "standardNVSv4Family", 16, 56, 0.5, MI25, retired="2026-09-30"),
        VmSize("Standard_NV32as_v4", "standardNVSv4Family", 32, 112, 1, MI25, retired="2026-09-30"),
        VmSize("Standard_NC4as_T4_v3", "Standard NCASv3_T4 Family", 4, 28, 1, T4),
        VmSize("Standard_NC8as_T4_v3", "Standard NCASv3_T4 Family", 8, 56, 1, T4),
        VmSize("Standard_NC16as_T4_v3", "Standard NCASv3_T4 Family", 16, 110, 1, T4),
        VmSize("Standard_NC64as_T4_v3", "Standard NCASv3_T4 Family", 64, 440, 4, T4),
        VmSize("Standard_NC24ads_A100_v4", "StandardNCADSA100v4Family", 24, 220, 1, A100_PCIE, gen2),
        VmSize("Standard_NC48ads_A100_v4", "StandardNCADSA100v4Family", 48, 440, 2, A100_PCIE, gen2),
        VmSize("Standard_NC96ads_A100_v4", "StandardNCADSA100v4Family", 96, 880, 4, A100_PCIE, gen2),
        VmSize("Standard_NC40ads_H100_v5", "StandardNCadsH100v5Family", 40, 320, 1, H100_NVL, gen2),
        VmSize("Standard_NC80adis_H100_v5", "StandardNCadsH100v5Family", 80, 640, 2, H100_NVL, gen2),
        VmSize("Standard_ND40rs_v2", "standardNDv2Family", 40, 672, 8, V100_32, gen2),
        VmSize("Standard_ND96asr_v4", "Standard NDASv4_A100 Family", 96, 900, 8, A100_40, gen2),
        VmSize("Standard_ND96amsr_A100_v4", "standard NDAMSv4_A100Family", 96, 1900, 8, A100_80, gen2),
        VmSize("Standard_ND96isr_H100_v5", "standardNDSH100v5Family", 96, 1900, 8, H100, gen2),
        VmSize("Standard_ND96isr_H200_v5", "standardNDISRH200V5Family", 96, 1850, 8, H200, gen2),
        VmSize("Standard_ND96isr_MI300X_v5", "standardNDISv5MI300XFamily", 96, 1850, 8, MI300X, gen2),
        VmSize("Standard_NV6ads_A10_v5", "StandardNVADSA10v5Family", 6, 55, 1 / 6, A10),
        VmSize("Standard_NV12ads_A10_v5", "StandardNVADSA10v5Family", 12, 110, 1 / 3, A10),
        VmSize("Standard_NV18ads_A10_v5", "StandardNVADSA10v5Family", 18, 220, 0.5, A10),
        VmSize("Standard_NV36ads_A10_v5", "StandardNVADSA10v5Family", 36, 440, 1, A10),
        VmSize("Standard_NV36adms_A10_v5", "StandardNVADSA10v5Family", 36, 880, 1, A10),
        VmSize("Standard_NV72ads_A10_v5", "StandardNVADSA10v5Family", 72, 880, 2, A10),
    )


SIZES: dict[str, VmSize] = {each.name.lower(): each for each in _sizes()}


def find(name: str) -> VmSize | None:
    """The size of that name, in any letter case."""
    return SIZES.get(name.lower())


def node_size(name: str) -> VmSize:
    """The size of that name, or a plausible one without GPUs for a name that the table does not have."""
    known = find(name)
    if known is not None:
        return known
    vcpus = int(number.group()) if (number := re.search(r"\d+", name)) else 4
    return VmSize(name, "standardDSv5Family", max(1, vcpus), 4.0 * max(1, vcpus))


MIG_PROFILES = {"MIG1g": 1, "MIG2g": 2, "MIG3g": 3, "MIG4g": 4, "MIG7g": 7}


@dataclass(frozen=True)
class MigLayout:
    """How one GPU is cut by AKS's `gpuInstanceProfile`."""

    resource: str
    """Profile name in NVIDIA's form, e.g. `1g.10gb`."""
    instances: int
    """Instances of one GPU."""


def mig_layout(gpu: GpuModel, profile: str) -> MigLayout | None:
    """The MIG layout of `gpu` under AKS's profile; None when the model or profile has none.

    Source: NVIDIA MIG user guide, supported profiles (A100, H100: 7/3/2/1/1 instances of 1g/2g/3g/4g/7g).
    """
    slices = MIG_PROFILES.get(profile)
    if slices is None or not gpu.mig_slices:
        return None
    memory = round(gpu.memory_gib / 10) * 10
    eighths = {1: 1, 2: 2, 3: 4, 4: 4, 7: 8}[slices]
    size = memory * eighths // 8
    if gpu is H100_NVL:
        size = {1: 12, 2: 24, 3: 47, 4: 47, 7: 94}[slices]
    elif gpu is H200:
        size = {1: 18, 2: 35, 3: 71, 4: 71, 7: 141}[slices]
    return MigLayout(f"{slices}g.{size}gb", {1: 7, 2: 3, 3: 2, 4: 1, 7: 1}[slices])
