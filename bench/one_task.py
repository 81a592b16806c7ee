# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one module in this Python as a task's process does, and says on standard error what that took.

    one_task.py MODULE ARGUMENTS        dotted name of the module; its options as JSON

Standard error ends with one line of JSON: `began` (epoch seconds when this process's Python was up), `imported`
(seconds to import the module and what it imports at its top), `modules` (Python modules at the end), `cpu` (seconds),
`peak_mib`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import resource
import sys
import time
from pathlib import Path


def main() -> None:
    began = time.time()
    name, arguments = sys.argv[1:]
    from ansible.module_utils import basic

    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": json.loads(arguments)}).encode()
    if hasattr(basic, "_ANSIBLE_PROFILE"):
        basic._ANSIBLE_PROFILE = "legacy"
    before = time.perf_counter()
    module = importlib.import_module(name)
    imported = time.perf_counter() - before
    with contextlib.suppress(SystemExit):
        module.main()
    used = resource.getrusage(resource.RUSAGE_SELF)
    measured = {
        "began": began,
        "imported": imported,
        "modules": len(sys.modules),
        "cpu": used.ru_utime + used.ru_stime,
        "peak_mib": _peak(used.ru_maxrss) / 1024**2,
    }
    print(json.dumps(measured), file=sys.stderr)


def _peak(resident: int) -> int:
    """Returns bytes. On Linux what getrusage says may be of the process that started this one."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return resident * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
