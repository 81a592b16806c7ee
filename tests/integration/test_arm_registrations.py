# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules feature, resource_provider and vm_size_info against an emulated Azure, read back with plain requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from aks_sandbox.testing import SCOPE, Sandbox
from arm_harness import QUICK, Call, four, play, text_of
from harness import Ansible

Json = dict[str, Any]

FEATURE = "ManagedGPUExperiencePreview"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An Azure of its own for each test."""
    with Sandbox.started("arm-registrations", kubernetes=False, settings=QUICK) as own:
        yield own


@pytest.fixture
def ansible(sandbox: Sandbox, tmp_path: Path) -> Ansible:
    return Ansible(sandbox, tmp_path)


def read(sandbox: Sandbox, path: str, version: str) -> Json:
    """What Resource Manager says of something in the subscription."""
    token = sandbox.credential("owner").get_token(SCOPE).token
    url = f"{sandbox.url}/subscriptions/{sandbox.subscription}/providers/{path}?api-version={version}"
    answer = requests.get(url, headers={"Authorization": f"Bearer {token}"}, verify=str(sandbox.state.ca), timeout=10)
    body: Json = answer.json()
    return body


def feature_state(sandbox: Sandbox) -> str:
    path = f"Microsoft.Features/providers/Microsoft.ContainerService/features/{FEATURE}"
    return str(read(sandbox, path, "2021-07-01")["properties"]["state"])


def test_a_feature_is_registered_and_taken_back(sandbox: Sandbox, ansible: Ansible) -> None:
    results = four(ansible, Call("feature", {"name": FEATURE}))
    assert [result["changed"] for result in results] == [True, True, False, False]
    assert {result["feature"]["state"] for result in results} == {"Registered"}
    assert results[0]["diff"] == {"before": {"state": "NotRegistered"}, "after": {"state": "Registered"}}
    assert feature_state(sandbox) == "Registered"
    results = four(ansible, Call("feature", {"name": FEATURE, "state": "unregistered"}))
    assert [result["changed"] for result in results] == [True, True, False, False]
    assert feature_state(sandbox) in ("Unregistered", "NotRegistered")


def test_a_registration_under_way_is_awaited(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.set(feature_seconds=30)
    mark = sandbox.mark()
    started, again, checked, awaited = play(
        ansible,
        Call("feature", {"name": FEATURE, "wait": False}),
        Call("feature", {"name": FEATURE, "wait": False}),
        Call("feature", {"name": FEATURE}, check=True),
        Call("feature", {"name": FEATURE}),
    )
    assert (started["changed"], again["changed"], awaited["changed"]) == (True, False, False)
    assert started["feature"]["state"] == again["feature"]["state"] == "Registering"
    assert checked["feature"]["state"] == awaited["feature"]["state"] == "Registered"
    assert len(sandbox.writes(mark)) == 1


def test_a_registration_has_a_deadline(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.set(feature_seconds=10000)
    (late,) = play(ansible, Call("feature", {"name": FEATURE, "wait_timeout": 2}))
    assert f"Feature Microsoft.ContainerService/{FEATURE} is still Registering after 2 s" in text_of(late)


def test_a_feature_that_somebody_must_approve_is_not_awaited(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.set(features_pending=[f"*{FEATURE}"])
    first, second = play(ansible, Call("feature", {"name": FEATURE}), Call("feature", {"name": FEATURE}))
    for result in (first, second):
        assert "is Pending: Microsoft has to approve it" in text_of(result)


def test_a_provider_is_registered_and_refreshed(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.act("provider", namespace="Microsoft.ContainerService", state="NotRegistered")
    results = four(ansible, Call("resource_provider"))
    assert [result["changed"] for result in results] == [True, True, False, False]
    assert {result["resource_provider"]["registration_state"] for result in results} == {"Registered"}
    assert read(sandbox, "Microsoft.ContainerService", "2025-04-01")["registrationState"] == "Registered"
    mark = sandbox.mark()
    checked, refreshed = play(
        ansible, Call("resource_provider", {"refresh": True}, check=True), Call("resource_provider", {"refresh": True})
    )
    assert (checked["changed"], refreshed["changed"]) == (True, True)
    assert len(sandbox.writes(mark)) == 1


def test_a_missing_provider_is_not_registered_behind_ones_back(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.act("provider", namespace="Microsoft.ContainerService", state="NotRegistered")
    mark = sandbox.mark()
    place = {"resource_group": sandbox.resource_group, "cluster_name": sandbox.cluster, "name": "gpunp"}
    (result,) = play(ansible, Call("node_pool", {**place, "vm_size": "Standard_NC4as_T4_v3", "preflight": False}))
    assert "MissingSubscriptionRegistration" in text_of(result)
    assert "aks.gpu.resource_provider" in text_of(result)
    assert [write for write in sandbox.writes(mark) if write["method"] == "POST"] == []


def test_vm_size_info(sandbox: Sandbox, ansible: Ansible) -> None:
    sandbox.set(
        quotas={"cores": 100},
        sizes_restricted={"Standard_ND40rs_v2": "NotAvailableForSubscription"},
        page_size=3,
        empty_last_page="all",
    )
    everything, named = play(
        ansible,
        Call("vm_size_info", {"location": "West US 2"}, check=True),
        Call("vm_size_info", {"location": "westus2", "names": "standard_nc4as_t4_v3,Standard_NC6"}),
    )
    sizes = {size["name"]: size for size in everything["vm_sizes"]}
    assert list(sizes) == sorted(sizes)
    assert all(size["gpus"] > 0 for size in sizes.values())
    assert sizes["Standard_NC4as_T4_v3"]["available"]
    assert not sizes["Standard_ND40rs_v2"]["available"]
    assert sizes["Standard_ND40rs_v2"]["restrictions"][0]["reason_code"] == "NotAvailableForSubscription"
    assert sizes["Standard_NC4as_T4_v3"]["regional_quota"]["limit"] == 100
    t4, k80 = named["vm_sizes"]
    assert (t4["name"], t4["gpus"], t4["vcpus"]) == ("Standard_NC4as_T4_v3", 1, 4)
    assert (k80["offered"], k80["retired"], k80["successor"]) == (False, "2023-08-31", "Standard_NC4as_T4_v3")
    assert t4.keys() == k80.keys() == sizes["Standard_NC4as_T4_v3"].keys()
