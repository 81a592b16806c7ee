# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service account with exactly the rights that a page of docs/ gives, and what the API server refused it."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes.client
import yaml
from aks_sandbox.testing import Sandbox
from environment import ROOT
from harness import Json, kubernetes_client

ACCOUNT = "aks-gpu-rights"
HOME = "default"
RIGHTS_SECONDS = 10.0
"""How long an API server may take to notice a change of its RBAC objects."""


def documented(page: str) -> list[Json]:
    """The objects of the one YAML block of a page in docs/ that gives rights."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if "kind: ClusterRole\n" in block]
    return list(yaml.safe_load_all(block))


@dataclass(frozen=True)
class Grant:
    """One right: a verb on one resource.

    Attributes:
        role: Of what kind of role it is: ClusterRole or Role.
        name: Of the role.
        namespace: Of the role; empty for a ClusterRole.
        group: The API group; empty for the core.
        resource: With its subresource.
        verb: The verb.
        names: The names that it is limited to.
    """

    role: str
    name: str
    namespace: str
    group: str
    resource: str
    verb: str
    names: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The API server's, where it is missing (k8s.io/apiserver, responsewriters.forbiddenMessage)."""
        # Of a Namespace the server takes the name for the namespace as well.
        namespace = self.names[0] if self.resource == "namespaces" else self.namespace
        where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        return f'cannot {self.verb} resource "{self.resource}" in API group "{self.group}" {where}'

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'.' * bool(self.group)}{self.group} {self.namespace}".strip()


def grants(objects: list[Json]) -> list[Grant]:
    """All rights that objects give, one by one."""
    return [
        Grant(
            found["kind"],
            found["metadata"]["name"],
            found["metadata"].get("namespace", ""),
            group,
            resource,
            verb,
            tuple(rule.get("resourceNames", ())),
        )
        for found in objects
        if found["kind"] in ("ClusterRole", "Role")
        for rule in found["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def without(role: Json, grant: Grant) -> Json:
    """A role that gives all the same rights but one."""
    missing = (grant.group, grant.resource, grant.verb)
    rules = [
        {**rule, "apiGroups": [group], "resources": [resource], "verbs": verbs}
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if (verbs := [verb for verb in rule["verbs"] if (group, resource, verb) != missing])
    ]
    return {**role, "rules": rules}


def _place(found: Json) -> tuple[str, str, str]:
    return found["kind"], found["metadata"]["name"], found["metadata"].get("namespace", "")


class Rights:
    """A service account of the sandbox's cluster.

    Attributes:
        kubeconfig: Path of a kubeconfig that signs in with its token, through the sandbox's gateway.
    """

    def __init__(self, sandbox: Sandbox, folder: Path, pages: tuple[str, ...]) -> None:
        self.sandbox = sandbox
        self._objects = [_bound(found) for page in pages for found in documented(page)]
        client = kubernetes_client(sandbox)
        self.core = kubernetes.client.CoreV1Api(client)
        self.core.create_namespaced_service_account(HOME, {"metadata": {"name": ACCOUNT}})
        self.give(self._objects)
        token = self.core.create_namespaced_service_account_token(ACCOUNT, HOME, {"spec": {}}).status.token
        with sandbox.having(api_server_gateway=True):
            answer: Any = sandbox.container_service("owner").managed_clusters.list_cluster_user_credentials(
                sandbox.resource_group, sandbox.cluster
            )
        config = yaml.safe_load(bytes(answer.kubeconfigs[0].value))
        for user in config["users"]:
            user["user"] = {"token": token}
        path = folder / "rights.kubeconfig"
        path.touch(0o600)
        path.write_text(yaml.safe_dump(config))
        self.kubeconfig = str(path)
        self._access = kubernetes.client.AuthorizationV1Api(kubernetes.config.new_client_from_config_dict(config))
        for grant in self.grants:
            self.until(grant, allowed=True)

    @property
    def grants(self) -> list[Grant]:
        """All that it has, one by one."""
        return grants(self._objects)

    def give(self, objects: list[Json]) -> None:
        """Apply the objects as a user would."""
        self.sandbox.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(objects))

    def until(self, grant: Grant, *, allowed: bool) -> None:
        """Wait until the API server has noticed that it has, or lacks, a right."""
        resource, _slash, subresource = grant.resource.partition("/")
        attributes: Json = {"verb": grant.verb, "group": grant.group, "resource": resource, "subresource": subresource}
        attributes["namespace"] = grant.namespace or None
        attributes["name"] = grant.names[0] if grant.names else None
        end = time.monotonic() + RIGHTS_SECONDS
        while (
            self._access.create_self_subject_access_review({"spec": {"resourceAttributes": attributes}}).status.allowed
            is not allowed
        ):
            assert time.monotonic() < end, f"{grant}: allowed is not {allowed}"
            time.sleep(0.02)

    @contextlib.contextmanager
    def lacking(self, grant: Grant) -> Iterator[None]:
        """It lacks one right for the length of a block."""
        place = (grant.role, grant.name, grant.namespace)
        (role,) = [found for found in self._objects if _place(found) == place]
        self._replace(without(role, grant))
        try:
            self.until(grant, allowed=False)
            yield
        finally:
            self._replace(role)
            self.until(grant, allowed=True)

    def _replace(self, role: Json) -> None:
        api = kubernetes.client.RbacAuthorizationV1Api(self.core.api_client)
        metadata = role["metadata"]
        if role["kind"] == "ClusterRole":
            api.replace_cluster_role(metadata["name"], role)
        else:
            api.replace_namespaced_role(metadata["name"], metadata["namespace"], role)

    def mark(self) -> int:
        """The end of the record of requests."""
        record = self.sandbox.state.path / "kubernetes.jsonl"
        return record.stat().st_size if record.exists() else 0

    def sent(self, mark: int) -> list[Json]:
        """Requests through the gateway since a mark."""
        with (self.sandbox.state.path / "kubernetes.jsonl").open("rb") as file:
            file.seek(mark)
            return [json.loads(line) for line in file]

    def remove(self) -> None:
        """Take everything away but namespaces."""
        left = [found for found in self._objects if found["kind"] != "Namespace"]
        self.sandbox.kubectl("delete", "--ignore-not-found", "--filename=-", stdin=yaml.safe_dump_all(left))
        self.core.delete_namespaced_service_account(ACCOUNT, HOME)


@contextlib.contextmanager
def rights(sandbox: Sandbox, folder: Path, *pages: str) -> Iterator[Rights]:
    """The rights that pages of docs/ give, for the length of a block."""
    found = Rights(sandbox, folder, pages)
    try:
        yield found
    finally:
        found.remove()


def _bound(found: Json) -> Json:
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": HOME}
    return {**found, "subjects": [subject]} if "subjects" in found else found
