# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this collection is compared with, each in an environment of its own: azure.azcollection, and the az CLI.

The collection comes out of PyPI's package `ansible`, whose other hundred collections are not unpacked; its Python
requirements are those that it names itself.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ansible_package import ANSIBLE, unpack
from environment import ROOT, Pip, kept_environment

AZURE_CLI = "azure-cli==2.91.0"

COLLECTION = "ansible_collections/azure/azcollection/"


def peer_python() -> Path:
    """The Python of an environment with azure.azcollection, its requirements and our ansible-core.

    Raises:
        SetUpError: It could not be made.
    """
    core = pinned("ansible-core")

    def install(pip: Pip) -> None:
        with tempfile.TemporaryDirectory(prefix="aks-gpu-peer-") as folder:
            pip("download", "--no-deps", "--ignore-requires-python", "--dest", folder, ANSIBLE)
            unpack(next(Path(folder).glob("ansible-*.whl")), "azure.azcollection", pip.home)
        pip("install", core, "--requirement", pip.home / COLLECTION / "requirements.txt")

    what = "azure.azcollection and its requirements (once: about 1.3 GB, several minutes)"
    return kept_environment("peer", [ANSIBLE, core], what, install)


def peer_collections(python: Path) -> Path:
    """The folder for Ansible's collections path that holds azure.azcollection, in the environment of `python`."""
    return python.parents[1]


def cli_python() -> Path:
    """The Python of an environment with the az CLI; its `az` is beside it.

    Raises:
        SetUpError: It could not be made.
    """

    def install(pip: Pip) -> None:
        pip("install", AZURE_CLI)

    return kept_environment("azure-cli", [AZURE_CLI], f"{AZURE_CLI} (once: about 700 MB, several minutes)", install)


def pinned(package: str) -> str:
    """The requirement of a package as tests/constraints.txt pins it."""
    lines = (ROOT / "tests" / "constraints.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{package}=="))
