# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The update of the inventory source of examples/awx, with an image that has no collection, only AWX's environment.

The collections are where AWX puts those of a project's collections/requirements.yml: /runner/requirements_collections,
whose first part is another folder here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aks_sandbox.testing import Sandbox
from environment import ROOT
from runner_harness import CREDENTIAL, Image

Json = dict[str, Any]

PROJECT = ROOT / "examples" / "awx"
(SOURCE,) = yaml.safe_load((PROJECT / "assets.yml").read_text())["inventory_sources"]
CONTAINER_ROOT = "/runner"  # awx/main/utils/execution_environments.py

SETTINGS = {
    # BaseTask.build_env of awx/main/tasks/jobs.py in AWX 24.6.1: settings (awx/settings/defaults.py), then its own
    "ANSIBLE_HOST_KEY_CHECKING": "False",
    "ANSIBLE_PARAMIKO_RECORD_HOST_KEYS": "False",
    "ANSIBLE_FORCE_COLOR": "True",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
    "AWX_PRIVATE_DATA_DIR": "/tmp/awx_3_x7qk2mzd",
    # RunInventoryUpdate.build_env: STANDARD_INVENTORY_UPDATE_ENV of awx/main/constants.py
    "INVENTORY_SOURCE_ID": "2",
    "INVENTORY_UPDATE_ID": "3",
    "ANSIBLE_INVENTORY_EXPORT": "True",
    "ANSIBLE_VERBOSE_TO_STDERR": "True",
    "ANSIBLE_HOST_PATTERN_MISMATCH": "error",
}
PATHS = (
    "/runner/requirements_collections:~/.ansible/collections:/usr/share/ansible/collections"
    ":/usr/share/automation-controller/collections"
)
"""What the same function makes of ANSIBLE_COLLECTIONS_PATHS."""
BLOCKED = ("HOME", "USER", "_", "TERM", "PATH")
"""INV_ENV_VARIABLE_BLOCKED of awx/settings/defaults.py: variables of a source that AWX refuses."""


@pytest.fixture(scope="module")
def azure() -> Iterator[Sandbox]:
    """An Azure with two clusters, without Kubernetes: the inventory reads Resource Manager only."""
    with Sandbox.started("awx-inventory", kubernetes=False, clusters=2) as own:
        yield own


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image.built(tmp_path_factory.mktemp("image"))


def environment(image: Image, azure: Sandbox, source_vars: Json) -> dict[str, str]:
    """The variables of the container: its own, then AWX's. The authority is the one that the image trusts."""
    own = {name: value for name, value in image.environment().items() if not name.startswith("ANSIBLE_")}
    env = {**SETTINGS}
    env.update({name: str(value) for name, value in source_vars.items() if name not in {*env, *BLOCKED}})
    env["ANSIBLE_COLLECTIONS_PATHS"] = PATHS
    env.update({name: azure.variables[name] for name in CREDENTIAL})
    trust = {name: azure.variables[name] for name in ("REQUESTS_CA_BUNDLE", "NO_PROXY")}
    return {**own, **env, **trust}


def update(folder: Path, image: Image, azure: Sandbox, source_vars: Json) -> subprocess.CompletedProcess[str]:
    """What RunInventoryUpdate.build_args of awx/main/tasks/jobs.py runs."""
    root = folder / "runner"
    (root / "artifacts" / "3").mkdir(parents=True)
    shutil.copytree(PROJECT, root / "project")
    (root / "requirements_collections").symlink_to(image.collections)
    inventory = f"{CONTAINER_ROOT}/project/{SOURCE['source_path']}"
    words = ["ansible-inventory", "--list", "--export", "-i", inventory]
    words += ["--output", f"{CONTAINER_ROOT}/artifacts/3/output.json", "--playbook-dir", os.path.dirname(inventory)]

    def moved(value: str) -> str:
        return value.replace(f"{CONTAINER_ROOT}/", f"{root}/")

    variables = {name: moved(value) for name, value in environment(image, azure, source_vars).items()}
    return subprocess.run(
        [moved(word) for word in words], env=variables, cwd=root, capture_output=True, text=True, check=False
    )


def test_it_needs_no_collection_in_the_image(tmp_path: Path, image: Image, azure: Sandbox) -> None:
    source_vars = yaml.safe_load(SOURCE["source_vars"])
    done = update(tmp_path, image, azure, source_vars)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "runner" / "artifacts" / "3" / "output.json").read_text())
    assert len(found["_meta"]["hostvars"]) == 2


def test_what_awx_sets_alone_is_not_enough(tmp_path: Path, image: Image, azure: Sandbox) -> None:
    """The variable that AWX sets has gone from ansible-core 2.19, which the image has; so a real AWX failed (D3)."""
    done = update(tmp_path, image, azure, {})
    assert done.returncode != 0
    assert "No module named 'ansible_collections.aks'" in done.stderr
