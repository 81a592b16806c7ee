# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module of the kernel of aks.gpu: secrets, progress, defects, private directory."""

from __future__ import annotations

from ansible_collections.aks.gpu.plugins.module_utils._ansible import _progress
from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task, run


def plan(task: Task) -> Plan:
    """Does what the option says."""
    what, secret = task.params["do"], task.params["secret"]
    task.secret(secret)
    task.warn(f"warned of {secret}")
    if what == "defect":
        raise TypeError(f"defect with {secret}")
    if what == "failure":
        raise Failure(f"failure with {secret}", hint="Do better.", code="Bad")
    print(f'{{"printed": "{secret}"}}')

    def apply() -> dict[str, str | None]:
        _progress.SHORTEST_INTERVAL = 0.0
        task.progress(f"gpunp: {secret} Creating")
        return {"directory": task.run_directory}

    return Plan(True, {"directory": task.run_directory}, apply, before={"count": 1}, after={"count": 2})


def main() -> None:
    """Runs the module."""
    options = {"do": {"type": "str", "default": "wait"}, "secret": {"type": "str"}, "name": {"type": "str"}}
    run(ArgumentSpec(options=options), plan)


if __name__ == "__main__":
    main()
