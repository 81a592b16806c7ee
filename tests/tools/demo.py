# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: a sandbox with one AKS cluster, the playbook aks.gpu.site against it, and nothing left running.

`make shell` is the same with a shell instead of the playbook: in it `kubectl` is the sandbox's, and reads its cluster.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from environment import (
    ROOT,
    SetUpError,
    check_python,
    link_collection,
    say,
    sweep,
    tool_environment,
    virtual_environment,
)

EVIDENCE = ROOT / "build" / "evidence"
PLAYBOOK = ["ansible-playbook", "aks.gpu.site", "-e", "aks_resource_group=myResourceGroup",
            "-e", "aks_cluster_name=myAKSCluster",
            "-e", f"gpu_verify_evidence_directory={shlex.quote(str(EVIDENCE))}"]  # fmt: skip

SHELL = [
    "sh",
    "-c",
    '(umask 077; python3 -m aks_sandbox kubeconfig myAKSCluster >"$KUBECONFIG")'
    ' && PATH="${AKS_SANDBOX_KUBECTL%/*}:$PATH" && exec "$0"',
    os.environ.get("SHELL", "/bin/sh"),
]


def demo(arguments: list[str]) -> int:
    """Set up, run the playbook (with these arguments more) in a sandbox of its own, and return its exit status."""
    began = time.monotonic()
    say("== 1. Set-up")
    check_python()
    python = virtual_environment("demo")
    link_collection()
    environment = tool_environment(python)
    sweep(Path(environment["ANSIBLE_HOME"]) / "tmp")
    # Without an inventory Ansible warns that only localhost is there, which is what is wanted.
    environment.update(ANSIBLE_LOCALHOST_WARNING="false", ANSIBLE_INVENTORY_UNPARSED_WARNING="false")
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        environment["ANSIBLE_FORCE_COLOR"] = "true"
    wants_shell = arguments == ["--shell"]
    command = SHELL if wants_shell else [*PLAYBOOK, *arguments]
    shutil.rmtree(EVIDENCE, ignore_errors=True)  # a report of an earlier demo says nothing of this one
    say("== 2. A sandbox: a simulated Azure, and one AKS cluster with a real Kubernetes control plane")
    say("== 3. In it: a shell; leave it by exit" if wants_shell else f"== 3. In it: {shlex.join(command)}")
    sandbox = [str(python), "-m", "aks_sandbox", "run", "--name", f"demo-{os.getpid()}", "--clusters", "1"]
    with tempfile.TemporaryDirectory(prefix="aks-gpu-shell-") as folder:
        if wants_shell:
            environment["KUBECONFIG"] = str(Path(folder, "kubeconfig"))
        status = _run([*sandbox, "--", *command], environment)
    took = time.monotonic() - began
    if status == 0:
        say(f"== Done in {took:.0f} s. The sandbox is stopped; Azure, the GPUs and what ran on them were simulated.")
        if (EVIDENCE / "index.html").exists():
            say(f"   The report, for a browser: {EVIDENCE / 'index.html'}")
        say('   On a cluster of yours: README.md, "On a real cluster".')
    else:
        say(f"== Ended with status {status} after {took:.0f} s. The sandbox is stopped.")
    return status


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run to the end. Ctrl-C reaches the child too, which then stops what it started: wait for it."""
    child = subprocess.Popen(command, env=environment)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            say("\n== Interrupted: stopping the sandbox")


if __name__ == "__main__":
    try:
        sys.exit(demo(sys.argv[1:]))
    except SetUpError as error:
        sys.exit(f"make demo: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
