# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet in three slices at once, as AWX distributes it over a receptor mesh: transmit, worker, process for each.

The slices know nothing of one another. They share subscriptions, so features, providers and throttles are shared, too.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aks_sandbox.testing import Sandbox
from harness import QUICK
from runner_harness import Image, Job, credential, everything_written, sliced

Json = dict[str, Any]

SECOND = "22222222-0000-4000-8000-222222222222"
CLUSTERS = 8
SLICES = 3
AZURES_PART = ["--skip-tags", "kubernetes"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image.built(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def azure() -> Iterator[Sandbox]:
    """Clusters of two subscriptions; two of the same name."""
    settings = {"clock_speed": 20.0}
    with Sandbox.started("slices", clusters=CLUSTERS, kubernetes=False, settings=settings) as own:
        own.act("add_subscription", id=SECOND, name="second", resource_group="other")
        for number in range(2, CLUSTERS):
            own.act(
                "add_cluster",
                name=f"myAKSCluster{number}",
                version="1.36.0",
                subscription=SECOND,
                resource_group="other",
            )
        yield own


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of AWX: it can't start a playbook by its collection's name."""
    folder = tmp_path / "project"
    folder.mkdir()
    play = {"name": "Provision", "ansible.builtin.import_playbook": "aks.gpu.site"}
    (folder / "site.yml").write_text(yaml.safe_dump([play]))
    (folder / "aks_gpu.yml").write_text("plugin: aks.gpu.clusters\nsubscriptions: ['*']\n")
    return folder


def inventory_of(image: Image, project: Path, azure: Sandbox) -> Json:
    """What AWX's update of an inventory source reads."""
    done = subprocess.run(
        ["ansible-inventory", "-i", str(project / "aks_gpu.yml"), "--list", "--export"],
        env={**image.environment(), **credential(azure)},
        cwd=project,
        check=True,
        capture_output=True,
        text=True,
    )
    found: Json = json.loads(done.stdout)
    return found


def jobs(folder: Path, image: Image, project: Path, azure: Sandbox, inventory: Json, **extra_vars: Any) -> list[Job]:
    return [
        Job(
            folder / f"slice-{number}",
            image,
            "site.yml",
            project,
            sliced(inventory, number, SLICES),
            credential(azure),
            extra_vars,
            AZURES_PART,
        )
        for number in range(SLICES)
    ]


def at_once(slices: list[Job]) -> list[str]:
    for job in slices:
        job.start()
    return [job.wait() for job in slices]


def creations(azure: Sandbox, mark: int) -> Counter[str]:
    """How often each pool was PUT successfully."""
    return Counter(
        each["url"].partition("?")[0].lower()
        for each in azure.writes(mark)
        if each["method"] == "PUT" and each["status"] < 300
    )


def test_three_slices_at_once(tmp_path: Path, image: Image, project: Path, azure: Sandbox) -> None:
    inventory = inventory_of(image, project, azure)
    hosts = inventory["_meta"]["hostvars"]
    assert len(hosts) == 2 * CLUSTERS - 2
    broken = "myAKSCluster3.other"
    mark = azure.mark()
    fault = azure.fault(
        method="PUT",
        path="other/.*/myAKSCluster3/agentPools/gpunp",
        times=0,
        status=409,
        body={"code": "ScopeLocked", "message": "The scope is locked."},
    )
    variables = {"gpu_stack": "managed", "node_pool_enable_auto_scaling": False, "node_pool_count": 1}
    slices = jobs(tmp_path / "first", image, project, azure, inventory, **variables)
    assert sorted(host for job in slices for host in job.inventory["_meta"]["hostvars"]) == sorted(hosts)
    statuses = at_once(slices)

    assert Counter(statuses) == {"successful": 2, "failed": 1}, [job.output() for job in slices]
    (failed,) = (job for job, status in zip(slices, statuses, strict=True) if status == "failed")
    assert failed.failed_hosts() == [broken]
    assert "ScopeLocked" in failed.output()
    made = creations(azure, mark)
    assert len(made) == len(hosts) - 1
    assert set(made.values()) == {1}
    tokens = [each for each in azure.traffic(mark) if each["url"].endswith("/oauth2/v2.0/token")]
    assert len(tokens) == SLICES

    azure.clear_faults()
    assert fault
    again = jobs(tmp_path / "again", image, project, azure, inventory, **variables)
    index = slices.index(failed)
    mark = azure.mark()
    again[index] = Job(
        tmp_path / "relaunched",
        image,
        "site.yml",
        project,
        failed.inventory,
        credential(azure),
        variables,
        [*AZURES_PART, "--limit", ",".join(failed.failed_hosts())],
    )
    assert set(at_once(again)) == {"successful"}, [job.output() for job in again]
    assert [path.rpartition("/managedclusters/")[2] for path in creations(azure, mark)] == [
        "myakscluster3/agentpools/gpunp"
    ]
    for number, job in enumerate(again):
        assert set(job.stats()["ok"]) == ({broken} if number == index else set(job.inventory["_meta"]["hostvars"]))

    secrets = [azure.variables["AZURE_SECRET"].encode(), b"eyJ"]
    for job in (*slices, *again):
        for path, content in everything_written(job.folder):
            if path in (job.sent / "env" / "envvars", job.artifacts / "command"):  # the job's environment itself
                continue
            assert not [secret for secret in secrets if secret in content], path
        assert not (job.folder / "node" / "private").exists()


def test_evidence_of_slices_becomes_one_report(tmp_path: Path, image: Image, project: Path) -> None:
    """The whole main job; what a slice writes into its artifacts comes back with them."""
    with Sandbox.started("slices-whole", clusters=SLICES, settings=QUICK) as sandbox:
        inventory = inventory_of(image, project, sandbox)
        evidence = "{{ lookup('ansible.builtin.env', 'AWX_ISOLATED_DATA_DIR') }}/evidence"
        template = {"gpu_verify_evidence_directory": evidence}  # AWX takes Jinja only from a template's own variables
        slices = [
            Job(
                tmp_path / f"slice-{number}",
                image,
                "site.yml",
                project,
                sliced(inventory, number, SLICES),
                credential(sandbox),
                template,
                template_vars=template,
            )
            for number in range(SLICES)
        ]
        assert set(at_once(slices)) == {"successful"}, [job.output() for job in slices]
        for job in slices:
            assert job.handed_on()["aks_gpu_summary"]["works"] == 1

    directories = [str(job.artifacts / "evidence") for job in slices]
    variables = {
        "gpu_verify_evidence_sources": ", ".join(directories),
        "gpu_verify_evidence_directory": str(tmp_path / "fleet"),
    }
    subprocess.run(
        ["ansible-playbook", "aks.gpu.report", "-e", json.dumps(variables)],
        env=image.environment(),
        cwd=tmp_path,
        check=True,
    )
    summary = json.loads((tmp_path / "fleet" / "summary.json").read_text())
    assert (summary["clusters"], summary["works"]) == (SLICES, SLICES)
    page = (tmp_path / "fleet" / "index.html").read_text()
    for host in inventory["_meta"]["hostvars"]:
        assert host in page
