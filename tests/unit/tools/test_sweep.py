# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a killed run left is swept; what a running one uses stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from environment import sweep


def test_only_folders_of_ended_runs_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = [f"ansible-local-{ended.pid}ab1_9xyz", f"ansible-local-{os.getpid()}12345678", "ansible-local-abc", "other"]
    for name in names:
        (tmp_path / name / "aks-gpu-abc").mkdir(parents=True)
        (tmp_path / name / "aks-gpu-abc" / "client.key").touch()
    sweep(tmp_path)
    sweep(tmp_path / "missing")
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])
