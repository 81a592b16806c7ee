# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task pays for the libraries that it uses: Azure's do not load Kubernetes' client, nor the reverse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.aks.gpu.plugins import modules

NAMES = sorted(path.stem for path in Path(next(iter(modules.__path__))).glob("[a-z]*.py"))
KUBERNETES = {"gpu_operator", "gpu_probe", "manifest", "prometheus_scraping", "wait_for_gpus", "wait_for_job"}
NEITHER = {"evidence", "evidence_report", "role_variables"}
BOTH = {"kubeconfig"}
"""It fetches credentials from Azure, and with `run_command: auto` asks the API server whether it is in reach."""

LOOK = """
import importlib, json, sys
importlib.import_module("ansible_collections.aks.gpu.plugins.modules." + sys.argv[1])
print(json.dumps([name for name in ("azure.core", "kubernetes") if name in sys.modules]))
"""


@pytest.mark.parametrize("name", NAMES)
def test_libraries_of_a_module(name: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", LOOK, name], env=environment, capture_output=True, text=True, check=True
    )
    azure = [] if name in KUBERNETES | NEITHER else ["azure.core"]
    kubernetes = ["kubernetes"] if name in KUBERNETES | BOTH else []
    assert json.loads(done.stdout) == azure + kubernetes


WITHOUT = """
import sys
sys.modules["kubernetes"] = None
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = b'{"ANSIBLE_MODULE_ARGS": {"host": "https://h.invalid", "definition": {}}}'
basic._ANSIBLE_PROFILE = "legacy"
from ansible_collections.aks.gpu.plugins.modules import manifest
manifest.main()
"""


def test_a_missing_client_is_named() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", WITHOUT], env=environment, capture_output=True, text=True, check=False)
    message = json.loads(done.stdout)["msg"]
    assert message.startswith(f"The Python library kubernetes can't be imported by {sys.executable}: ")
    assert message.endswith("-m pip install kubernetes")
