# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Preview features and resource providers of a subscription: registered, unregistered, awaited.

They belong to the subscription: when a run's task is for many clusters of it, one of them asks and acts for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._azure._arguments import AZURE_ARGUMENTS
from ansible_collections.aks.gpu.plugins.module_utils._azure._client import ArmClient
from ansible_collections.aks.gpu.plugins.module_utils._azure._operations import PollResult, wait_until
from ansible_collections.aks.gpu.plugins.module_utils._azure._session import open_session
from ansible_collections.aks.gpu.plugins.module_utils._azure._subscription import (
    AKS_NAMESPACE,
    feature_path,
    provider_path,
    state_of_feature,
)

_WAIT_OPTIONS: dict[str, dict[str, Any]] = {
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 1800},
}

FEATURE_ARGUMENTS = AZURE_ARGUMENTS.merge(
    ArgumentSpec(
        options={
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "default": AKS_NAMESPACE},
            "state": {"type": "str", "choices": ["registered", "unregistered"], "default": "registered"},
            **_WAIT_OPTIONS,
        }
    )
)

RESOURCE_PROVIDER_ARGUMENTS = AZURE_ARGUMENTS.merge(
    ArgumentSpec(
        options={
            "namespace": {"type": "str", "default": AKS_NAMESPACE},
            "state": {"type": "str", "choices": ["registered"], "default": "registered"},
            "refresh": {"type": "bool", "default": False},
            **_WAIT_OPTIONS,
        }
    )
)

GONE = ("Unregistered", "NotRegistered")


class ApprovalNeeded(Failure):
    """Microsoft has to approve the registration of a feature; waiting is of no use."""


class _Registration:
    """Something of a subscription that is registered by a POST and then takes its time.

    Args:
        client: The client.
        path: Its ARM id.
        api: A key of ``API_VERSIONS``.
        what: What a message calls it.
    """

    def __init__(self, client: ArmClient, path: str, api: str, what: str) -> None:
        self.client = client
        self.path = path
        self.api = api
        self.what = what

    def read(self) -> Mapping[str, Any]:
        body = self.client.get(self.path, self.api, activity=f"Reading {self.what}").body
        return body if isinstance(body, Mapping) else {}

    def act(self, action: str) -> Mapping[str, Any]:
        body = self.client.post(f"{self.path}/{action}", self.api, activity=f"{action.title()}ing {self.what}").body
        return body if isinstance(body, Mapping) else {}

    def state(self, body: Mapping[str, Any]) -> str:
        return str(body.get("registrationState") or state_of_feature(body))

    def wait(self, wanted: tuple[str, ...]) -> Mapping[str, Any]:
        """Waits for one of some states.

        Raises:
            ApprovalNeeded: Azure waits for an approval.
            DeadlineExceeded: The time is up.
        """

        def look() -> PollResult:
            body = self.read()
            state = self.state(body)
            self.stop_when_pending(state)
            return PollResult(state, state in wanted, body)

        found: Mapping[str, Any] = wait_until(self.client, look, what=self.what).value
        return found

    def stop_when_pending(self, state: str) -> None:
        if state == "Pending":
            raise ApprovalNeeded(
                f"The registration of {self.what} is Pending: Microsoft has to approve it.",
                hint="Ask for access to the preview, then run again.",
                state=state,
            )


def plan_feature(task: Task) -> Plan:
    """Says what a task of the module ``feature`` is going to do. Raises subclasses of ``Failure``."""
    session = open_session(task)
    params = task.params
    namespace, name = params["namespace"], params["name"]
    feature = _Registration(
        session.client,
        feature_path(session.subscription_id, namespace, name),
        "features",
        f"feature {namespace}/{name}",
    )
    registering = params["state"] == "registered"
    wanted = ("Registered",) if registering else GONE
    under_way = "Registering" if registering else "Unregistering"
    body = session.cached(f"feature {feature.path}", feature.read)
    state = before = feature.state(body)

    def returned(body: Mapping[str, Any], state: str) -> dict[str, Any]:
        shown = {"id": body.get("id") or feature.path, "name": name, "namespace": namespace, "state": state}
        return {"feature": shown, "previous_state": before}

    acted: list[bool] = []

    def act() -> Mapping[str, Any]:
        acted.append(True)
        found = body if state == under_way else feature.act("register" if registering else "unregister")
        if registering:
            feature.stop_when_pending(feature.state(found))
        if params["wait"] and feature.state(found) not in wanted:
            found = feature.wait(wanted)
        return found

    def apply() -> dict[str, Any]:
        found = session.cached(f"{params['state']} {params['wait']} {feature.path}", act)
        return {"changed": bool(acted) and not attaching, **returned(found, feature.state(found))}

    attaching = state == under_way
    if state in wanted:
        return Plan(changed=False, result=returned(body, state))
    if registering:
        feature.stop_when_pending(state)
    predicted = wanted[0] if params["wait"] else under_way
    return Plan(
        changed=not attaching,
        result=returned(body, predicted),
        apply=apply if params["wait"] or not attaching else None,
        before={"state": state},
        after={"state": predicted},
    )


def plan_resource_provider(task: Task) -> Plan:
    """Says what a task of the module ``resource_provider`` is going to do. Raises subclasses of ``Failure``."""
    session = open_session(task)
    params = task.params
    namespace = params["namespace"]
    provider = _Registration(
        session.client,
        provider_path(session.subscription_id, namespace),
        "providers",
        f"resource provider {namespace}",
    )
    body = session.cached(f"provider {provider.path}", provider.read)
    state = provider.state(body)

    def returned(body: Mapping[str, Any], state: str) -> dict[str, Any]:
        shown = {
            "id": body.get("id") or provider.path,
            "namespace": body.get("namespace") or namespace,
            "registration_state": state,
        }
        return {"resource_provider": shown}

    acted: list[bool] = []

    def act() -> Mapping[str, Any]:
        acted.append(True)
        found = body if attaching else provider.act("register")
        if params["wait"] and provider.state(found) != "Registered":
            found = provider.wait(("Registered",))
        return found

    def apply() -> dict[str, Any]:
        found = session.cached(f"register {params['wait']} {provider.path}", act)
        return {"changed": bool(acted) and changed, **returned(found, provider.state(found))}

    attaching = state == "Registering" and not params["refresh"]
    changed = params["refresh"] or state not in ("Registered", "Registering")
    if state == "Registered" and not changed:
        return Plan(changed=False, result=returned(body, state))
    predicted = "Registered" if params["wait"] or state == "Registered" else "Registering"
    return Plan(
        changed=changed,
        result=returned(body, predicted),
        apply=apply if changed or params["wait"] else None,
        before={"registration_state": state},
        after={"registration_state": predicted},
    )
