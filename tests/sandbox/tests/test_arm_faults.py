"""Planted faults, throttles, and what clients see of them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests
from aks_sandbox.arm_client import GPU_POOL, Arm
from aks_sandbox.interfaces import SandboxError
from aks_sandbox.testing import Sandbox


@pytest.fixture(scope="module")
def started() -> Iterator[Sandbox]:
    with Sandbox.started("test-arm-faults", kubernetes=False, settings={"clock_speed": 40}) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(started: Sandbox) -> Iterator[Sandbox]:
    yield started
    started.clear_faults()


@pytest.fixture
def arm(sandbox: Sandbox) -> Arm:
    return Arm(sandbox)


def test_the_nth_request_is_hit(sandbox: Sandbox, arm: Arm) -> None:
    sandbox.fault("GET", r"/agentPools\?", nth=2, times=2, status=429, headers={"Retry-After": "7"})
    answers = [arm.ask("GET", arm.cluster + "/agentPools") for _unused in range(5)]
    assert [each.status_code for each in answers] == [200, 429, 429, 200, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert answers[1].json()["error"]["code"] == "TooManyRequests"
    assert [(each["seen"], each["hits"]) for each in sandbox.faults()] == [(5, 2)]


@pytest.mark.parametrize("when", ["before", "after"])
def test_resets(sandbox: Sandbox, arm: Arm, when: str) -> None:
    sandbox.fault("PUT", "/agentPools/reset", reset=when)
    with pytest.raises(requests.ConnectionError):
        arm.put_pool(f"reset{when}", GPU_POOL)
    found = arm.ask("GET", arm.pool(f"reset{when}")).status_code
    assert found == (404 if when == "before" else 200)
    if when == "after":
        while arm.properties(f"reset{when}")["provisioningState"] == "Creating":
            time.sleep(0.05)
        arm.delete(f"reset{when}")


def test_an_error_after_acting(sandbox: Sandbox, arm: Arm) -> None:
    sandbox.fault("PUT", "/agentPools/acted", status=503, acts=True)
    assert arm.put_pool("acted", GPU_POOL).status_code == 503
    assert arm.ask("GET", arm.pool("acted")).status_code == 200
    while arm.properties("acted")["provisioningState"] == "Creating":
        time.sleep(0.05)
    arm.delete("acted")


def test_a_hang(sandbox: Sandbox, arm: Arm) -> None:
    sandbox.fault("GET", "/managedClusters", hang=0.5)
    begun = time.monotonic()
    assert arm.ask("GET", arm.cluster).status_code == 200
    assert time.monotonic() - begun > 0.5


def test_named_faults(sandbox: Sandbox, arm: Arm) -> None:
    for fields, status in (
        ({"expired_token": True}, 401),
        ({"precondition_failed": True}, 412),
        ({"in_progress": True}, 409),
    ):
        sandbox.fault("PUT", "/agentPools/", **fields)
        assert arm.put_pool("gpunp", GPU_POOL).status_code == status
        sandbox.clear_faults()
    assert arm.ask("GET", arm.pool("gpunp")).status_code == 404


def test_operations_fail_as_planted(sandbox: Sandbox, arm: Arm) -> None:
    sandbox.fault("PUT", "/agentPools/", operation={"code": "CreateVMSSAgentPoolFailed", "message": "planted"})
    end = arm.create("gpunp")
    assert end["error"] == {"code": "CreateVMSSAgentPoolFailed", "message": "planted"}
    assert arm.properties("gpunp")["status"]["provisioningError"]["message"] == "planted"
    sandbox.fault("DELETE", "/agentPools/", operation={"code": "PodDrainFailure", "message": "planted"})
    assert arm.wait(arm.ask("DELETE", arm.pool("gpunp")))["error"]["code"] == "PodDrainFailure"
    arm.delete("gpunp")


def test_faults_that_make_no_sense_are_refused(sandbox: Sandbox) -> None:
    for fields in ({"nonsense": 1}, {"reset": "sometimes"}, {"path": "("}):
        with pytest.raises(SandboxError):
            sandbox.fault(**fields)
    with pytest.raises(SandboxError, match="There is no setting"):
        sandbox.set(nonsense=True)
    with pytest.raises(SandboxError, match="throttles"):
        sandbox.set(throttles="perhaps")


def test_documented_throttles(sandbox: Sandbox, arm: Arm) -> None:
    sandbox.act("fill_throttles")
    with sandbox.having(throttles=True, clock_speed=1.0):
        answers = [arm.ask("GET", arm.pool("nodepool1")) for _unused in range(70)]
        refused = [each for each in answers if each.status_code == 429]
        assert 5 <= len(refused) <= 10
        assert answers[59].status_code == 200
        assert refused[0].headers["Retry-After"] == "1"
        assert refused[0].json()["code"] == "Throttled"
        assert arm.ask("GET", arm.cluster).status_code == 200
        puts = [arm.put_pool("Invalid", GPU_POOL) for _unused in range(22)]
        assert [each.status_code for each in puts] == [400] * 20 + [429] * 2
        assert 30 <= int(puts[-1].headers["Retry-After"]) <= 60
        many = f"{arm.subscription}/resourceGroups"
        reads = [arm.ask("GET", many, version="2025-04-01").status_code for _unused in range(400)]
        if 429 in reads:
            body = arm.ask("GET", many, version="2025-04-01").json()
            assert "value" in body or body["error"]["code"] == "SubscriptionRequestsThrottled"
    sandbox.act("fill_throttles")
