"""The unmodified official SDK against the sandbox's Azure Resource Manager."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
import yaml
from aks_sandbox.arm import pool_rules
from aks_sandbox.testing import Sandbox
from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.mgmt.containerservice import models
from azure.mgmt.containerservice.models import AgentPool, ManagedCluster, ManagedClusterAgentPoolProfileProperties

GPU_POOL = {"count": 1, "vmSize": "Standard_NC4as_T4_v3", "nodeTaints": ["sku=gpu:NoSchedule"]}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.started("test-arm-sdk", kubernetes=False, settings={"clock_speed": 20}) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Any:
    return sandbox.container_service()


def error_of(caught: pytest.ExceptionInfo[HttpResponseError]) -> Any:
    """What the SDK made of Azure's error."""
    return caught.value.error


def test_the_sandbox_knows_the_enumerations_of_the_sdk() -> None:
    of_the_sdk = {frozenset(each.value for each in vars(models)[name]) for name in models.__all__ if _is_enum(name)}
    assert [path for path, values in pool_rules.ENUMS.items() if frozenset(values) not in of_the_sdk] == []
    assert {sku for skus in pool_rules.OS_SKUS.values() for sku in skus} == {each.value for each in models.OSSKU}


def _is_enum(name: str) -> bool:
    return isinstance(vars(models)[name], type) and issubclass(vars(models)[name], Enum)


def test_clusters_are_listed_and_read(sandbox: Sandbox, client: Any) -> None:
    assert [each.name for each in client.managed_clusters.list()] == ["myAKSCluster"]
    assert [each.name for each in client.managed_clusters.list_by_resource_group("MYRESOURCEGROUP")] == ["myAKSCluster"]
    cluster = client.managed_clusters.get(sandbox.resource_group, sandbox.cluster)
    assert cluster.location == "westus2"
    assert cluster.properties.power_state.code == "Running"
    assert [each.mode for each in cluster.properties.agent_pool_profiles] == ["System"]
    assert "/resourcegroups/" in cluster.id


def test_missing_things_are_not_found(sandbox: Sandbox, client: Any) -> None:
    with pytest.raises(ResourceNotFoundError) as caught:
        client.managed_clusters.get(sandbox.resource_group, "nobody")
    assert error_of(caught).code == "ResourceNotFound"
    with pytest.raises(ResourceNotFoundError) as caught:
        client.managed_clusters.get("nowhere", "nobody")
    assert error_of(caught).code == "ResourceGroupNotFound"
    with pytest.raises(ResourceNotFoundError) as caught:
        client.agent_pools.get(sandbox.resource_group, sandbox.cluster, "nopool")
    assert error_of(caught).code == "NotFound"
    with pytest.raises(ResourceNotFoundError) as caught:
        client.agent_pools.begin_create_or_update(sandbox.resource_group, "nobody", "gpunp", {"properties": GPU_POOL})
    assert error_of(caught).code == "ParentResourceNotFound"


def test_a_pool_from_creation_to_deletion(sandbox: Sandbox, client: Any) -> None:
    where = (sandbox.resource_group, sandbox.cluster, "gpunp")
    properties: Any = ManagedClusterAgentPoolProfileProperties(
        count=1,
        vm_size="Standard_NC4as_T4_v3",
        node_taints=["sku=gpu:NoSchedule"],
        enable_auto_scaling=True,
        min_count=1,
        max_count=3,
    )
    wanted = AgentPool(properties=properties)
    poller = client.agent_pools.begin_create_or_update(
        *where, wanted, etag="*", match_condition=MatchConditions.IfMissing
    )
    assert client.agent_pools.get(*where).properties.provisioning_state == "Creating"
    with pytest.raises(ResourceExistsError) as caught:
        client.agent_pools.begin_create_or_update(*where[:2], "other", {"properties": GPU_POOL})
    assert "Another agentpool operation (gpunp - Creating) is in progress" in str(caught.value)
    pool = poller.result()
    assert pool.properties.provisioning_state == "Succeeded"
    assert pool.properties.gpu_profile.driver == "Install"
    assert pool.properties.vm_size == "Standard_NC4as_T4_v3"

    changed = client.agent_pools.get(*where)
    changed.properties.max_count = 5
    changed.properties.node_image_version = None
    done = client.agent_pools.begin_create_or_update(
        *where, changed, etag=changed.properties.e_tag, match_condition=MatchConditions.IfNotModified
    ).result()
    assert (done.properties.max_count, done.properties.count) == (5, 1)
    with pytest.raises(ResourceModifiedError):
        client.agent_pools.begin_create_or_update(
            *where, changed, etag=changed.properties.e_tag, match_condition=MatchConditions.IfNotModified
        )
    client.agent_pools.begin_delete(*where).result()
    assert [each.name for each in client.agent_pools.list(*where[:2])] == ["nodepool1"]
    client.agent_pools.begin_delete(*where).result()


def test_a_failed_operation_reaches_the_client(sandbox: Sandbox, client: Any) -> None:
    where = (sandbox.resource_group, sandbox.cluster, "failing")
    with sandbox.having(quotas={"Standard NCASv3_T4 Family": 2}, family_quota="operation"):
        poller = client.agent_pools.begin_create_or_update(*where, {"properties": GPU_POOL})
        with pytest.raises(HttpResponseError) as caught:
            poller.result()
    assert error_of(caught).code == "QuotaExceeded"
    assert "Current Limit: 2, Current Usage: 0, Additional Required: 4" in error_of(caught).message
    pool = client.agent_pools.get(*where)
    assert pool.properties.provisioning_state == "Failed"
    assert pool.properties.status.provisioning_error.code == "QuotaExceeded"
    client.agent_pools.begin_create_or_update(*where, {"properties": GPU_POOL}).result()
    assert client.agent_pools.get(*where).properties.provisioning_state == "Succeeded"
    client.agent_pools.begin_delete(*where).result()


def test_abort_ends_an_endless_operation(sandbox: Sandbox, client: Any) -> None:
    where = (sandbox.resource_group, sandbox.cluster, "stuck")
    sandbox.fault("PUT", "/agentPools/stuck", operation={"endless": True})
    poller = client.agent_pools.begin_create_or_update(*where, {"properties": GPU_POOL})
    client.agent_pools.begin_abort_latest_operation(*where).result()
    with pytest.raises(HttpResponseError) as caught:
        poller.result()
    assert error_of(caught).code == "AKSOperationPreempted"
    assert client.agent_pools.get(*where).properties.provisioning_state == "Canceled"
    client.agent_pools.begin_delete(*where).result()


def test_credentials_are_kubeconfigs(sandbox: Sandbox, client: Any) -> None:
    user = client.managed_clusters.list_cluster_user_credentials(sandbox.resource_group, sandbox.cluster)
    admin = client.managed_clusters.list_cluster_admin_credentials(sandbox.resource_group, sandbox.cluster)
    assert [each.name for each in (*user.kubeconfigs, *admin.kubeconfigs)] == ["clusterUser", "clusterAdmin"]
    assert yaml.safe_load(user.kubeconfigs[0].value)["kind"] == "Config"


def test_lists_page_to_an_empty_page(sandbox: Sandbox, client: Any) -> None:
    with sandbox.having(page_size=1, empty_last_page="all"):
        mark = sandbox.mark()
        assert len(list(client.managed_clusters.list())) == 1
        assert len(sandbox.traffic(mark)) == 2


def test_stop_and_start_of_a_cluster(sandbox: Sandbox) -> None:
    owner: Any = sandbox.container_service("owner")
    where = (sandbox.resource_group, sandbox.cluster)
    owner.managed_clusters.begin_stop(*where).result()
    assert owner.managed_clusters.get(*where).properties.power_state.code == "Stopped"
    with pytest.raises(HttpResponseError, match="Stopped"):
        owner.agent_pools.begin_create_or_update(*where, "gpunp", {"properties": GPU_POOL})
    owner.managed_clusters.begin_start(*where).result()
    before = owner.agent_pools.get(*where, "nodepool1").properties.e_tag
    owner.managed_clusters.begin_update_tags(*where, {"tags": {"team": "gpu"}}).result()
    assert owner.managed_clusters.get(*where).tags == {"team": "gpu"}
    assert owner.agent_pools.get(*where, "nodepool1").properties.e_tag != before


def test_resource_groups_and_providers(sandbox: Sandbox, client: Any) -> None:
    resources: Any = sandbox.resources()
    assert [each.name for each in resources.resource_groups.list()] == [sandbox.resource_group]
    assert resources.resource_groups.get(sandbox.resource_group).location == "westus2"
    sandbox.act("provider", namespace="Microsoft.ContainerService", state="NotRegistered")
    with pytest.raises(ResourceExistsError) as caught:
        client.agent_pools.begin_create_or_update(
            sandbox.resource_group, sandbox.cluster, "gpunp", {"properties": GPU_POOL}
        )
    assert error_of(caught).code == "MissingSubscriptionRegistration"
    assert resources.providers.register("Microsoft.ContainerService").registration_state == "Registering"
    sandbox.act("provider", namespace="Microsoft.ContainerService", state="Registered")
    assert resources.providers.get("Microsoft.ContainerService").registration_state == "Registered"


def test_the_default_principal_may_no_more_than_it_needs(sandbox: Sandbox, client: Any) -> None:
    where = (sandbox.resource_group, sandbox.cluster)
    with pytest.raises(HttpResponseError) as caught:
        client.managed_clusters.begin_update_tags(*where, {"tags": {}})
    assert caught.value.status_code == 403
    assert error_of(caught).code == "AuthorizationFailed"
    assert "Microsoft.ContainerService/managedClusters/write" in error_of(caught).message
    with sandbox.having(permissions_removed=["*/agentPools/write"]), pytest.raises(HttpResponseError) as caught:
        client.agent_pools.begin_create_or_update(*where, "gpunp", {"properties": GPU_POOL})
    assert error_of(caught).code == "AuthorizationFailed"
    with pytest.raises(HttpResponseError) as caught:
        list(sandbox.container_service("stranger").managed_clusters.list())
    assert error_of(caught).code == "AuthorizationFailed"


def test_writes_are_refused_when_told_so(sandbox: Sandbox, client: Any) -> None:
    where = (sandbox.resource_group, sandbox.cluster)
    with sandbox.having(refuse_writes=True):
        with pytest.raises(HttpResponseError) as caught:
            client.agent_pools.begin_create_or_update(*where, "gpunp", {"properties": GPU_POOL})
        assert (caught.value.status_code, error_of(caught).code) == (403, "SandboxRefusesWrites")
        assert client.managed_clusters.list_cluster_user_credentials(*where).kubeconfigs
    assert [each.name for each in client.agent_pools.list(*where)] == ["nodepool1"]


def unknown_keys(value: Any, model: Any, path: str = "") -> list[str]:
    """Keys of a JSON value that the SDK's model does not have."""
    found = []
    known = {field._rest_name: name for name, field in model._attr_to_rest_field.items()}
    for key, each in value.items():
        if key not in known:
            found.append(f"{path}.{key}")
            continue
        parsed = getattr(model, known[key])
        if isinstance(each, dict) and hasattr(parsed, "_attr_to_rest_field"):
            found += unknown_keys(each, parsed, f"{path}.{key}")
        if isinstance(each, list) and each and isinstance(each[0], dict):
            for one, item in zip(each, parsed, strict=True):
                if hasattr(item, "_attr_to_rest_field"):
                    found += unknown_keys(one, item, f"{path}.{key}[]")
    return found


def test_recorded_answers_fit_the_models_of_the_sdk(sandbox: Sandbox) -> None:
    """Everything that the tests above were answered; run alone, it makes answers of its own."""
    where = (sandbox.resource_group, sandbox.cluster)
    client: Any = sandbox.container_service()
    client.agent_pools.begin_create_or_update(*where, "models", {"properties": GPU_POOL}).result()
    client.agent_pools.begin_delete(*where, "models").result()
    client.managed_clusters.get(*where)
    seen = {"agentPools": 0, "ManagedClusters": 0}
    for entry in sandbox.traffic():
        body = entry["response_body"]
        kind = str((body or {}).get("type", "")).rpartition("/")[2] if isinstance(body, dict) else ""
        if kind in seen:
            model = {"agentPools": AgentPool, "ManagedClusters": ManagedCluster}[kind](body)
            assert unknown_keys(body, model) == [], entry["url"]
            seen[kind] += 1
    assert all(seen.values()), seen
