"""AKS's run-command: commands that run in a cluster, asked for and answered by Resource Manager.

The real one starts a Pod from an image with kubectl in the namespace aks-command; here the command is a process of the
sandbox, with its kubectl. What is AKS's: 202 and Location, the files of the command in its directory, output of at most
512 KB, the token that a cluster with Entra ID asks for.

Witness: CLI test_aks_run_command.yaml, 2022-05-13: status, headers and bodies from the POST to the result.
No witness: the refusals (run command disabled, a stopped cluster, an empty command, no clusterToken, a context that is
not base64), the 404 of an unknown command, and `Failed` with `reason` when the command could not be run.
"""

from __future__ import annotations

import base64
import binascii
import time
import uuid
from typing import Any

from ..entra import SERVER_ID
from ..interfaces import NodePlane, Settings
from .agent_pools import ACTION, CLUSTERS, NAMESPACE, find_cluster
from .calls import Call, Reply, Route, route
from .errors import GatewayError, ProviderError
from .world import World

Json = dict[str, Any]

MOST_LOGGED = 512 * 1024
"""Of a command's output (bytes); the rest is cut off."""


class RunCommands:
    """Handlers of runCommand and commandResults."""

    def __init__(self, world: World, plane: NodePlane, settings: Settings) -> None:
        self._world = world
        self._plane = plane
        self._settings = settings
        self._results: dict[str, Json] = {}

    def routes(self) -> list[Route]:
        """Everything served here. What a command may write is the cluster's to refuse."""
        one = CLUSTERS + "/{cluster}"
        submit = f"{ACTION}/runCommand/action"
        return [
            route("POST", one + "/runCommand", self.submit, submit, reads=True, throttle="Other"),
            route(
                "GET",
                one + "/commandResults/{command}",
                self.result,
                f"{ACTION}/commandResults/read",
                throttle="Other",
            ),
        ]

    async def submit(self, call: Call) -> Reply:
        """POST …/managedClusters/{cluster}/runCommand"""
        cluster = find_cluster(self._world, call)
        properties = cluster.properties
        if (properties.get("apiServerAccessProfile") or {}).get("disableRunCommand"):
            raise ProviderError(400, "BadRequest", "The run command is disabled for this managed cluster.")
        if cluster.power == "Stopped":
            raise ProviderError(400, "BadRequest", "The managed cluster is stopped.")
        body = call.json()
        command = body.get("command")
        if not isinstance(command, str) or not command:
            raise ProviderError(400, "BadRequest", "The command must not be empty.")
        token = body.get("clusterToken") or None
        if properties.get("aadProfile") and token is None:
            text = f"clusterToken, a token for {SERVER_ID}, is needed for a cluster that uses Microsoft Entra ID."
            raise ProviderError(400, "BadRequest", text)
        try:
            files = base64.b64decode(body.get("context") or "", validate=True)
        except binascii.Error as error:
            raise ProviderError(400, "BadRequest", f"The context is no base64: {error}") from error
        key = uuid.uuid4().hex
        result: Json = {"id": key, "properties": {"provisioningState": "Running"}}
        self._results[key] = result
        self._world.spawn(self._run(cluster.key, command, files, token, result["properties"]), f"run-command {key}")
        return Reply(202, None, {"location": self._location(call, key)})

    async def result(self, call: Call) -> Reply:
        """GET …/managedClusters/{cluster}/commandResults/{command}: 202 while it runs, with a body that says so"""
        found = self._results.get(call.names["command"].lower())
        if found is None:
            raise GatewayError(404, "NotFound", f"The command '{call.names['command']}' was not found.")
        if found["properties"]["provisioningState"] == "Running":
            return Reply(202, found, {"location": self._location(call, found["id"])})
        return Reply(200, found)

    def _location(self, call: Call, key: str) -> str:
        names = call.names
        return (
            f"{call.base_url}/subscriptions/{names['subscription']}/resourceGroups/{names['resource_group']}/providers/"
            f"{NAMESPACE}/managedclusters/{names['cluster']}/commandResults/{key}"
            f"?api-version={call.query['api-version']}"
        )

    async def _run(self, cluster: str, command: str, files: bytes, token: str | None, properties: Json) -> None:
        await self._world.clock.sleep(self._settings.run_command_seconds)
        started = _now()
        try:
            code, output = await self._plane.run_command(cluster, command, files, token)
        except (OSError, TimeoutError, ValueError) as error:
            properties.update(provisioningState="Failed", reason=f"the command could not be run: {error}")
            return
        properties.update(
            provisioningState="Succeeded",
            exitCode=code,
            startedAt=started,
            finishedAt=_now(),
            logs=output[:MOST_LOGGED].decode(errors="replace"),
        )


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
