# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Searches for secrets: in output, in process lists, and in files that a run left behind."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import stat
import subprocess
import threading
from pathlib import Path

import yaml

TOKEN = re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}")
WRONG = "wr0ng-S3cret~of-a-principal"
"""A secret that Azure refuses."""


class Planted:
    """The values that must not show."""

    def __init__(self, secret: str, kubeconfig: str) -> None:
        user = yaml.safe_load(kubeconfig)["users"][0]["user"]
        known = {"a cluster's token": "token", "a cluster's key": "client-key-data"}
        self.all = {
            "the principal's secret": secret,
            "a wrong secret": WRONG,
            **{name: user[field] for name, field in known.items() if field in user},
            "a kubeconfig": base64.b64encode(kubeconfig.encode()).decode()[120:200],
        }

    def found(self, data: bytes) -> list[str]:
        """Which of them are in `data`, also in base64 or as an access token."""
        seen = [name for name, value in self.all.items() if value.encode() in data or _in_base64(value, data)]
        return [*seen, "an access token"] if TOKEN.search(data) else seen

    def left(self, folder: Path, *, kept: tuple[Path, ...] = ()) -> dict[str, list[str]]:
        """Files below a folder that hold one of them, by path."""
        files = (Path(root) / name for root, _folders, names in os.walk(folder) for name in names)
        held = {}
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                if file not in kept and file.is_file() and (names := self.found(file.read_bytes())):
                    held[str(file.relative_to(folder))] = names
        return held


def _in_base64(value: str, data: bytes) -> bool:
    """Is the value in a longer text that was encoded? At any of the three offsets."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + value.encode()).rstrip(b"=")
        if encoded[4 if offset else 0 : -2] in data:
            return True
    return False


class Processes:
    """Samples the command lines of all processes."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Processes:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.03):
            if Path("/proc").is_dir():
                for process in filter(str.isdigit, os.listdir("/proc")):
                    with contextlib.suppress(OSError):
                        self.seen.add(Path("/proc", process, "cmdline").read_bytes())
            else:
                self.seen.add(subprocess.run(["ps", "-axww", "-o", "command"], capture_output=True, check=True).stdout)


def only_in_private_directories(folder: Path, left: dict[str, list[str]]) -> None:
    """What was left lies in the directories that the documentation names, which nobody else can enter."""
    for name in left:
        parents = [folder / parent for parent in Path(name).parents][:-1]
        assert any(stat.S_IMODE(parent.stat().st_mode) == 0o700 for parent in parents), left
        assert re.match(r"(ansible|home/\.ansible)/tmp/ansible-", name), left
