# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make pictures`: the evidence report of a fleet in the sandbox, as docs/ shows it, wide and narrow.

Three clusters: two work; in the third the article's image of 2019 fails, by a setting of the sandbox.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import browser
from environment import ROOT, SetUpError, check_python, link_collection, say, tool_environment, virtual_environment

PICTURES = ROOT / "docs" / "_static"
TRAINING = {"node_pool_vm_size": "Standard_NC24ads_A100_v4", "mnist_workload": "digits"}
INVENTORY: dict[str, Any] = {
    "all": {
        "vars": {"aks_resource_group": "myResourceGroup", "aks_cluster_name": "{{ inventory_hostname }}"},
        "hosts": {
            "myAKSCluster": {**TRAINING, "node_pool_min_count": 2},
            "myAKSCluster2": TRAINING,
            "myAKSCluster3": {},
        },
    }
}
SANDBOX = ["run", "--clusters", "3", "--set", "article_image_runs_on_modern_gpus=false"]


def evidence(folder: Path) -> Path:
    """Run the main job over the fleet and return its report.

    Raises:
        SetUpError: There is none.
    """
    python = virtual_environment("demo")
    link_collection()
    inventory = folder / "fleet.json"
    inventory.write_text(json.dumps(INVENTORY))
    command: list[str | Path] = [python, "-m", "aks_sandbox", *SANDBOX, "--name", f"pictures-{os.getpid()}", "--"]
    command += ["ansible-playbook", "-i", inventory, "aks.gpu.site", "-e", f"gpu_verify_evidence_directory={folder}"]
    subprocess.run(command, env=tool_environment(python), stdin=subprocess.DEVNULL, check=False)
    page = folder / "index.html"
    if not page.exists():
        raise SetUpError("the run left no report; what it printed is above")
    return page


def main() -> int:
    check_python()
    program = browser.chromium()
    if program is None:
        raise SetUpError("there is no Chromium here; AKS_GPU_CHROMIUM names one that is not on PATH")
    with tempfile.TemporaryDirectory() as folder:
        report = evidence(Path(folder)).as_uri()
        with browser.browser(program) as page:
            for name, width, height in (("report-wide", 1000, 650), ("report-narrow", 390, 820)):
                page.open(report, width=width, height=height)
                path = PICTURES / f"{name}.png"
                page.picture(path, whole=False)
                say(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetUpError as error:
        sys.exit(f"make pictures: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
