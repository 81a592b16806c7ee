# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that name a cluster as Azure does, and get its credentials by themselves."""

from __future__ import annotations

import stat
from pathlib import Path

from aks_sandbox.testing import Sandbox
from harness import Ansible, Json
from test_kubeconfig import asked


def test_credentials_are_kept_and_are_no_change(sandbox: Sandbox, ansible: Ansible, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    cluster = {"resource_group": sandbox.resource_group, "cluster_name": sandbox.cluster}
    options: Json = {**cluster, "kubeconfig_directory": str(kept)}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kept"}}
    manifest = {**options, "definition": namespace, "return_objects": False}

    predicted = ansible.module("aks.gpu.manifest", manifest, check=True)
    assert (predicted["failed"], predicted["changed"]) == (False, True)
    assert not kept.exists()
    made = ansible.module("aks.gpu.manifest", manifest)
    assert (made["failed"], made["changed"]) == (False, True)
    assert made["resources"][0]["object"] is None
    assert "kept" in sandbox.kubectl("get", "namespaces", "-o", "name")
    (file,) = kept.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    mark = sandbox.mark()
    for check in (False, True):
        again = ansible.module("aks.gpu.manifest", manifest, check=check)
        assert (again["failed"], again["changed"]) == (False, False)
    assert asked(sandbox, mark) == 0

    file.write_text("")
    looked = ansible.module("aks.gpu.wait_for_gpus", {**options, "wait_timeout": 1}, check=True)
    assert (looked["failed"], looked["changed"], looked["nodes"]) == (False, False, [])
    assert file.read_text() == ""
    assert asked(sandbox, mark) == 1


def test_a_cluster_that_is_not_there(ansible: Ansible, sandbox: Sandbox) -> None:
    options = {"resource_group": sandbox.resource_group, "cluster_name": "nobody", "name": "job"}
    failed = ansible.module("aks.gpu.wait_for_job", options)
    assert failed["failed"]
    assert "nobody" in failed["msg"]
    assert failed["code"] == "ResourceNotFound"
    assert "invocation" not in failed or not failed["invocation"]
