"""A sandbox for tests: start one, or use the one whose environment the test runs in.

@pytest.fixture(scope="session")
def sandbox():
    with Sandbox.started("my-tests") as sandbox:
        yield sandbox
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import cli
from .state import StateDirectory

if TYPE_CHECKING:
    from azure.identity import ClientSecretCredential
    from azure.mgmt.containerservice import ContainerServiceClient
    from azure.mgmt.resource.resources import ResourceManagementClient

Json = dict[str, Any]

SCOPE = "https://management.azure.com/.default"


class Sandbox:
    """A running sandbox.

    Attributes:
        variables: what a client's environment needs, by name.
    """

    def __init__(self, state: StateDirectory) -> None:
        self.state = state
        self.variables = state.environment()
        self._credentials: dict[str, Any] = {}

    @classmethod
    @contextlib.contextmanager
    def started(
        cls,
        name: str,
        *,
        clusters: int = 1,
        kubernetes: bool = True,
        options: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
        home: Path | None = None,
    ) -> Iterator[Sandbox]:
        """Start a sandbox, stop it at the end, or when this process dies.

        Args:
            name: of the sandbox; in the shared home it gets this process's id, so that tests may run twice at a time.

        Raises:
            SandboxError: it does not start.
        """
        state = StateDirectory(name, home) if home else StateDirectory(f"{name}-{os.getpid()}")
        arguments = ["--clusters", str(clusters), *options]
        if not kubernetes:
            arguments.append("--without-kubernetes")
        if settings:
            arguments += ["--settings", json.dumps(dict(settings))]
        read, write = os.pipe()
        try:
            process = cli.start(state, arguments, progress=sys.stderr, lifeline=read)
            try:
                yield cls(state)
            finally:
                cli.stop(state)
                process.wait()
        finally:
            os.close(read)
            os.close(write)

    @classmethod
    def attached(cls, name: str | None = None) -> Sandbox:
        """The sandbox of that name, or the one in whose environment this process runs.

        Raises:
            SandboxError: none is running.
        """
        return cls(StateDirectory(name or os.environ.get("AKS_SANDBOX_NAME", "default")))

    # identity

    @property
    def url(self) -> str:
        """Where Resource Manager, sign-in and metadata are."""
        return self.variables["AKS_SANDBOX_URL"]

    @property
    def subscription(self) -> str:
        """The subscription's id."""
        return self.variables["AZURE_SUBSCRIPTION_ID"]

    @property
    def resource_group(self) -> str:
        """The resource group of the clusters."""
        return self.variables["AKS_SANDBOX_RESOURCE_GROUP"]

    @property
    def cluster(self) -> str:
        """Name of the first cluster."""
        return self.variables["AKS_SANDBOX_CLUSTER"]

    def environment(self, **more: str) -> dict[str, str]:
        """This process's environment with the sandbox's variables, for a child process."""
        return {**os.environ, **self.variables, **more}

    # control

    def status(self) -> Json:
        """What `aks_sandbox status` shows."""
        return dict(self.state.request("GET", "/status"))

    def set(self, **settings: Any) -> None:
        """Change settings.

        Raises:
            SandboxError: unknown, or of a wrong type.
        """
        self.state.request("PATCH", "/settings", settings)

    @contextlib.contextmanager
    def having(self, **settings: Any) -> Iterator[None]:
        """Settings for the length of a block."""
        before = self.state.request("GET", "/settings")["settings"]
        self.set(**settings)
        try:
            yield
        finally:
            self.set(**{name: before[name] for name in settings})

    def fault(self, method: str = "*", path: str = "", **fields: Any) -> int:
        """Plant a fault (fields of `arm.faults.Rule`). Returns its id."""
        return int(self.state.request("POST", "/faults", {"method": method, "path": path, **fields})["id"])

    def faults(self) -> list[Json]:
        """The planted faults, with how often they were hit."""
        return list(self.state.request("GET", "/faults"))

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.state.request("DELETE", "/faults")

    def act(self, action: str, **values: Any) -> Json:
        """Let something happen in Azure (`arm.azure.Azure.act`)."""
        return dict(self.state.request("POST", f"/actions/{action}", values))

    def mark(self) -> int:
        """A place in the record, for `traffic`."""
        return self.state.traffic.stat().st_size

    def traffic(self, since: int = 0) -> list[Json]:
        """Recorded requests of Resource Manager since a `mark`; one that is being written is not among them yet."""
        with self.state.traffic.open("rb") as file:
            file.seek(since)
            return [json.loads(line) for line in file if line.endswith(b"\n")]

    def writes(self, since: int = 0) -> list[Json]:
        """Recorded requests that change something: no GETs, tokens or credentials."""
        harmless = ("/oauth2/v2.0/token", "credential", "/query", "/query_range")
        return [
            each
            for each in self.traffic(since)
            if each["method"] not in ("GET", "HEAD") and not each["url"].partition("?")[0].lower().endswith(harmless)
        ]

    # clients

    def credential(self, who: str = "default") -> ClientSecretCredential:
        """A credential of a principal: default, owner or stranger."""
        from azure.identity import ClientSecretCredential

        prefix = "AZURE_CLIENT_" if who == "default" else f"AKS_SANDBOX_{who.upper()}_"
        client_id = self.variables[f"{prefix}ID" if who == "default" else f"{prefix}CLIENT_ID"]
        secret = self.variables["AZURE_CLIENT_SECRET" if who == "default" else f"{prefix}SECRET"]
        if who not in self._credentials:
            self._credentials[who] = ClientSecretCredential(
                self.variables["AZURE_TENANT"],
                client_id,
                secret,
                authority=self.url,
                disable_instance_discovery=True,
                connection_verify=str(self.state.ca),
            )
        return self._credentials[who]  # type: ignore[no-any-return]

    def container_service(self, who: str = "default") -> ContainerServiceClient:
        """The official client for clusters and pools."""
        from azure.mgmt.containerservice import ContainerServiceClient

        return ContainerServiceClient(
            self.credential(who),
            self.subscription,
            base_url=self.url,
            credential_scopes=[SCOPE],
            connection_verify=str(self.state.ca),
            polling_interval=0.2,
        )

    def resources(self, who: str = "default") -> ResourceManagementClient:
        """The official client for resource groups and providers."""
        from azure.mgmt.resource.resources import ResourceManagementClient

        return ResourceManagementClient(
            self.credential(who),
            self.subscription,
            base_url=self.url,
            credential_scopes=[SCOPE],
            connection_verify=str(self.state.ca),
        )

    def kubeconfig(self, cluster: str | None = None, *, admin: bool = True) -> str:
        """A cluster's kubeconfig, YAML."""
        query = "?admin=true" if admin else ""
        return str(self.state.request("GET", f"/kubeconfig/{cluster or self.cluster}{query}")["kubeconfig"])

    def kubectl(self, *arguments: str, cluster: str | None = None, stdin: str | None = None) -> str:
        """Run kubectl as the cluster's administrator. Returns its output.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "config"
            path.touch(0o600)
            path.write_text(self.kubeconfig(cluster))
            done = subprocess.run(
                [self.variables.get("AKS_SANDBOX_KUBECTL", "kubectl"), "--kubeconfig", str(path), *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                check=True,
            )
        return done.stdout
