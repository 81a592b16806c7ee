# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands that AKS runs in a cluster, for API servers that only AKS can reach.

https://learn.microsoft.com/rest/api/aks/managed-clusters/run-command
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded, Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Task
    from ansible_collections.aks.gpu.plugins.module_utils._azure._client import ArmClient, ArmResponse

RUN_COMMAND_READ_SECONDS = 300.0
"""How long a task without ``wait_timeout`` may take."""

RUN_COMMAND_SPARE_SECONDS = 300.0
"""So much longer than its wait may a task take, for what it does before and after."""

COMMAND_SECONDS = 240.0
"""How long a command may take, its Pod's start included. AKS itself gives up a Pod that does not start in a minute."""

RUN_COMMAND_FIRST_INTERVAL = 1.0
RUN_COMMAND_LONGEST_INTERVAL = 5.0
DOING = "Running a command in the cluster"


class SilentProgress(Progress):
    """A wait says itself how far it is; each command that it takes is not worth a line."""

    def __call__(self, state: str) -> None:
        """Says nothing."""


def executor(task: Task, cluster_id: str, server_id: str | None) -> Callable[[str, bytes], tuple[int, str]]:
    """Signs in, and returns what runs a command line with a zip of its files in a cluster.

    What it returns raises ``AzureError`` when Azure refuses, ``Failure`` when the command could not be run, and
    ``DeadlineExceeded``.

    Args:
        task: Its options hold those of ``AZURE_ARGUMENTS``.
        cluster_id: The cluster's ARM id.
        server_id: The application of its API server, where Microsoft Entra ID says who somebody is: the command then
            runs with the rights that the signed-in principal has there.

    Raises:
        SignInFailed: The way to sign in that was asked for isn't there.
    """
    # Only few tasks need it, and it costs a third of a second.
    from ansible_collections.aks.gpu.plugins.module_utils._azure._policies import Call
    from ansible_collections.aks.gpu.plugins.module_utils._azure._session import sign_in

    deadline = task.deadline(
        float(task.params.get("wait_timeout") or RUN_COMMAND_READ_SECONDS) + RUN_COMMAND_SPARE_SECONDS
    )
    params = {**task.params, "subscription_id": task.params.get("subscription_id") or _subscription_of(cluster_id)}
    client = sign_in(params, task.run_directory, task.secret, deadline, SilentProgress()).client

    def execute(command: str, files: bytes) -> tuple[int, str]:
        body = {"command": command, "context": base64.b64encode(files).decode()}
        if server_id:
            body["clusterToken"] = client.token(server_id)
        answer = client.begin(
            client.aks.managed_clusters.begin_run_command,
            *_result_url(cluster_id),
            body=body,
            call=Call(DOING, repeatable=False),
        )
        return _wait_for_result(client, answer, task.deadline(COMMAND_SECONDS))

    return execute


def requires_run_command(cluster: Mapping[str, Any], reason: str) -> bool:
    """Says that AKS's run-command is the way to a cluster whose API server can't be reached.

    Args:
        cluster: The managed cluster as ARM has it.
        reason: Why its API server can't be reached.

    Raises:
        Failure: It is no private cluster, and none that allows only certain IP ranges; it is stopped; or its
            run-command is switched off.
    """
    properties = cluster.get("properties") or {}
    profile = properties.get("apiServerAccessProfile") or {}
    name = cluster.get("name")
    if (properties.get("powerState") or {}).get("code") == "Stopped":
        raise Failure(f"Cluster {name} is stopped.", hint="Start it: az aks start")
    private = bool(profile.get("enablePrivateCluster"))
    if not private and not profile.get("authorizedIPRanges"):
        raise Failure(
            f"The API server of cluster {name} can't be reached, although the cluster is not private: {reason}",
            hint="Check the network and the proxy. O(run_command=always) goes past the API server's network.",
        )
    if profile.get("disableRunCommand"):
        what = "is private" if private else "allows only certain IP ranges"
        raise Failure(
            f"Cluster {name} {what}, its API server can't be reached from here, and its run-command is switched off "
            f"(apiServerAccessProfile.disableRunCommand): {reason}",
            hint="Run this from a network that reaches it, or switch run-command on: az aks update "
            "--enable-run-command.",
        )
    return True


def _subscription_of(cluster_id: str) -> str:
    return cluster_id.split("/")[2]


def _result_url(cluster_id: str) -> tuple[str, str]:
    """Returns the resource group and the name of a cluster."""
    parts = cluster_id.split("/")
    return unquote(parts[4]), unquote(parts[8])


def _wait_for_result(client: ArmClient, answer: ArmResponse, deadline: Deadline) -> tuple[int, str]:
    where = answer.headers.get("location")
    interval = RUN_COMMAND_FIRST_INTERVAL
    while answer.status == 202:
        if not where:
            raise Failure(f"{DOING}: Azure does not say where its result will be.")
        if deadline.expired:
            raise DeadlineExceeded(f"{DOING}: it has not ended after {deadline.seconds:.0f} s.")
        client.pause(answer.retry_after if answer.retry_after is not None else interval)
        interval = min(RUN_COMMAND_LONGEST_INTERVAL, interval * 1.5)
        answer = client.get(where, "", activity=DOING)
    body = answer.body if isinstance(answer.body, Mapping) else {}
    properties = body.get("properties") or {}
    if str(properties.get("provisioningState")).lower() != "succeeded":
        raise Failure(
            f"{DOING}: AKS could not do it: {properties.get('reason') or properties.get('provisioningState')}.",
            hint="Its Pod needs room on a node, and an image from mcr.microsoft.com. kubectl get events --namespace "
            "aks-command says more.",
        )
    return int(properties.get("exitCode") or 0), str(properties.get("logs") or "")
