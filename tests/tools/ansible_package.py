# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collections of others, out of PyPI's package `ansible`, whose other hundred are not unpacked.

Only the standard library is used here, and pip.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from environment import SetUpError, cache_directory

ANSIBLE = "ansible==14.5.0"
"""Holds azure.azcollection 3.21.0 and kubernetes.core 6.6.0, which ask for ansible-core 2.16 or newer; `ansible` itself
asks for a newer Python."""


def collection(name: str) -> Path:
    """The folder for Ansible's collections path that holds a collection; fetched (51 MB) if the cache does not have it.

    Args:
        name: Such as `kubernetes.core`.

    Raises:
        SetUpError: pip failed.
    """
    home = cache_directory() / f"collection-{name}-{ANSIBLE.replace('==', '-')}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix="aks-gpu-collection-") as folder:
                unpack(download(sys.executable, Path(folder)), name, home)
            (home / "complete").touch()
    return home


def download(python: str | Path, folder: Path) -> Path:
    """Fetch the wheel of `ANSIBLE` into a folder with the pip of `python`, and return its path. Raises `SetUpError`."""
    done = subprocess.run(
        [python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
         "--ignore-requires-python", "--dest", folder, ANSIBLE],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SetUpError(f"pip could not fetch {ANSIBLE}:\n{done.stderr[-2000:]}")
    return next(folder.glob("ansible-*.whl"))


def unpack(wheel: Path, name: str, home: Path) -> None:
    """Unpack one collection of the wheel below a folder."""
    prefix = f"ansible_collections/{name.replace('.', '/')}/"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(home, [member for member in archive.namelist() if member.startswith(prefix)])
