# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way to sign in to Azure, and which of them a task takes.

Options and environment variables have the names that azure.azcollection, AWX and Azure's SDKs use. A variable that is
set but empty is an unset one: AWX always sets some of them.
"""

from __future__ import annotations

import configparser
import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._azure import _libraries as libraries
from ansible_collections.aks.gpu.plugins.module_utils._azure._cloud import Cloud
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureSignInFailed
from ansible_collections.aks.gpu.plugins.module_utils._azure._run_cache import RunCache, key_of

SIGN_IN_ENVIRONMENT: dict[str, tuple[str, ...]] = {
    "subscription_id": ("AZURE_SUBSCRIPTION_ID",),
    "tenant": ("AZURE_TENANT", "AZURE_TENANT_ID"),
    "client_id": ("AZURE_CLIENT_ID",),
    "secret": ("AZURE_SECRET", "AZURE_CLIENT_SECRET"),
    "x509_certificate_path": ("AZURE_X509_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PATH"),
    "ad_user": ("AZURE_AD_USER", "AZURE_USERNAME"),
    "password": ("AZURE_PASSWORD",),
    "profile": ("AZURE_PROFILE",),
    "federated_token_file": ("AZURE_FEDERATED_TOKEN_FILE",),
    "auth_source": ("ANSIBLE_AZURE_AUTH_SOURCE",),
    "cloud_environment": ("AZURE_CLOUD_ENVIRONMENT",),
    "ca_bundle": ("REQUESTS_CA_BUNDLE",),
}
"""Which variables stand in for an option, in order."""

SIGN_IN_SETTINGS = ("subscription_id", "cli_subscription_id", "cloud_environment", "ca_bundle")
"""What is no part of a way to sign in, and no secret."""

AZURE_CLI_CLIENT_ID = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
"""The public client of the az CLI, by which a user signs in with a password."""

RENEW_BEFORE = 300.0
"""Seconds before its end at which a token is no longer used."""

INSTANCE_METADATA = "http://169.254.169.254"
PROBE_SECONDS = 1.0
RETRIES = {"retry_total": 3, "retry_backoff_factor": 0.5}
CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
CLI_SECONDS = 60


@dataclass(frozen=True)
class Method:
    """One way to sign in.

    Attributes:
        kind: ``secret``, ``certificate``, ``workload_identity``, ``user``, ``cli`` or ``msi``.
        source: Where it was found, for a message.
        values: Tenant, client id and so on. Secrets are among them.
    """

    kind: str
    source: str
    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        """What a message calls it; no secret is in it."""
        who = self.values.get("client_id") or self.values.get("ad_user")
        text = {
            "secret": f"service principal {who} by secret",
            "certificate": f"service principal {who} by certificate",
            "workload_identity": f"workload identity {who}",
            "user": f"user {self.values.get('ad_user')} by password",
            "cli": "az CLI",
            "msi": f"managed identity {who}" if who else "managed identity of the machine",
        }[self.kind]
        return f"{text} ({self.source})"


@dataclass(frozen=True)
class Choice:
    """What the options, the environment and the files of the user amount to.

    Attributes:
        methods: Ways to sign in, in the order in which they are tried; all but the last two kinds are final.
        passed_over: Ways that are not complete, with what they lack.
        settings: The values of ``SIGN_IN_SETTINGS`` that are set.
    """

    methods: tuple[Method, ...]
    passed_over: tuple[str, ...]
    settings: Mapping[str, str]

    @property
    def principal(self) -> list[str | None]:
        """All that decides who signs in; secrets are among it."""
        names = ("tenant", "client_id", "secret", "x509_certificate_path", "ad_user", "password", "cli_folder")
        return [part for method in self.methods for part in (method.kind, *map(method.values.get, names))]


def choose(params: Mapping[str, Any], environ: Mapping[str, str]) -> Choice:
    """Says how to sign in.

    Args:
        params: The options of the module.
        environ: The environment.

    Raises:
        SignInFailed: The profile that was asked for doesn't exist, or ``auth_source`` is unknown.
    """
    options = {name: str(params[name]) for name in SIGN_IN_ENVIRONMENT if params.get(name)}
    variables = {
        name: value
        for name, names in SIGN_IN_ENVIRONMENT.items()
        if (value := next((environ[variable] for variable in names if environ.get(variable)), None))
    }
    source = options.get("auth_source") or variables.get("auth_source") or "auto"
    if source not in _SOURCES:
        raise AzureSignInFailed(
            f"ANSIBLE_AZURE_AUTH_SOURCE is {source!r}, which is no way to sign in.",
            hint=f"It is one of {', '.join(sorted(_SOURCES))}.",
        )
    finder = _Finder(options, variables, environ, forced=source == "env")
    if source == "auto" and "profile" in options:
        source = "credential_file"
    for step in _SOURCES[source]:
        getattr(finder, step)()
    settings = {**finder.file_settings, **variables, **options} if source != "env" else {**options, **variables}
    if source == "credential_file":
        settings = {**variables, **finder.file_settings, **options}
    if "subscription_id" not in settings and any(method.kind == "cli" for method in finder.methods):
        subscription = _cli_subscription(environ)
        if subscription:
            settings["cli_subscription_id"] = subscription
    shown = {name: value for name, value in settings.items() if name in SIGN_IN_SETTINGS}
    return Choice(tuple(finder.methods), tuple(finder.passed_over), shown)


_SOURCES: dict[str, tuple[str, ...]] = {
    "auto": ("by_options", "by_environment", "by_file", "by_cli", "by_managed_identity"),
    "env": ("by_environment",),
    "credential_file": ("by_file",),
    "cli": ("by_cli",),
    "msi": ("by_managed_identity",),
    "workload_identity": ("by_workload_identity",),
}

_PROOFS = (("secret", "secret"), ("certificate", "x509_certificate_path"), ("user", "password"))


class _Finder:
    """Collects the ways to sign in, and why the others are none."""

    def __init__(
        self, options: dict[str, str], variables: dict[str, str], environ: Mapping[str, str], forced: bool
    ) -> None:
        self.forced = forced
        self.options = options
        self.variables = variables
        self.environ = environ
        self.methods: list[Method] = []
        self.passed_over: list[str] = []
        self.file_settings: dict[str, str] = {}

    def by_options(self) -> None:
        """Whatever proof the options hold; what they don't say comes from the environment."""
        self._by_proof("options", self.options, {**self.variables, **self.options})

    def by_environment(self) -> None:
        """Whatever proof the environment holds; options go before it, unless ``auth_source`` is ``env``."""
        values = {**self.options, **self.variables} if self.forced else {**self.variables, **self.options}
        self._by_proof("environment", self.variables, values)

    def by_file(self) -> None:
        """A profile of ``~/.azure/credentials``."""
        path = os.path.join(self.environ.get("HOME") or os.path.expanduser("~"), ".azure", "credentials")
        shown = "~/.azure/credentials"
        name = self.options.get("profile") or self.variables.get("profile") or "default"
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise AzureSignInFailed(
                f"{shown} can't be read: {type(error).__name__}.", hint="It is an INI file."
            ) from error
        if not parser.has_section(name):
            if "profile" in self.options or "profile" in self.variables:
                raise AzureSignInFailed(
                    f"{shown} has no profile [{name}].", hint="Add it, or leave the option profile out."
                )
            self.passed_over.append(f"{shown}: no profile [{name}]")
            return
        found = {key: value for key, value in parser.items(name) if value}
        self.file_settings = {key: found[key] for key in ("subscription_id", "cloud_environment") if key in found}
        self._by_proof(f"profile {name} of {shown}", found, found)

    def by_workload_identity(self) -> None:
        """A federated token that Kubernetes or a pipeline puts into a file."""
        values = {**self.variables, **self.options}
        self._workload_identity("options and environment", values)

    def by_cli(self) -> None:
        """Whoever has signed in with ``az login``."""
        tenant = self.options.get("tenant")
        values = {"cli_folder": _cli_folder(self.environ), **({"tenant": tenant} if tenant else {})}
        self.methods.append(Method("cli", "az login", values))

    def by_managed_identity(self) -> None:
        """The identity of the machine, or the user-assigned one whose client id is given."""
        client_id = self.options.get("client_id") or self.variables.get("client_id")
        self.methods.append(Method("msi", "managed identity", {"client_id": client_id} if client_id else {}))

    def _by_proof(self, source: str, proofs: Mapping[str, str], values: Mapping[str, str]) -> None:
        for kind, proof in _PROOFS:
            if proof not in proofs:
                continue
            needed = ("ad_user",) if kind == "user" else ("client_id", "tenant")
            missing = [name for name in needed if name not in values]
            if missing:
                self.passed_over.append(f"{source}: {proof} without {' and '.join(missing)}")
                continue
            self.methods.append(Method(kind, source, dict(values)))
        if "federated_token_file" in proofs:
            self._workload_identity(source, values)
        elif not any(proof in proofs for _kind, proof in _PROOFS):
            self.passed_over.append(f"{source}: no secret, certificate, password or federated token")

    def _workload_identity(self, source: str, values: Mapping[str, str]) -> None:
        missing = [name for name in ("federated_token_file", "client_id", "tenant") if name not in values]
        if missing:
            self.passed_over.append(f"{source}: workload identity without {' and '.join(missing)}")
        else:
            self.methods.append(Method("workload_identity", source, dict(values)))


def _cli_folder(environ: Mapping[str, str]) -> str:
    """Returns the folder where the az CLI keeps who has signed in."""
    home = environ.get("HOME") or os.path.expanduser("~")
    return environ.get("AZURE_CONFIG_DIR") or os.path.join(home, ".azure")


def _cli_subscription(environ: Mapping[str, str]) -> str | None:
    """Returns the subscription that ``az account set`` has made the default, or None."""
    try:
        with open(os.path.join(_cli_folder(environ), "azureProfile.json"), encoding="utf-8-sig") as file:
            subscriptions = json.load(file).get("subscriptions", [])
    except (OSError, ValueError):
        return None
    return next((entry.get("id") for entry in subscriptions if entry.get("isDefault")), None)


class Tokens:
    """Fetches tokens by the first way that leads to one, once for a run.

    Args:
        choice: The ways to sign in.
        cloud: Whose authority issues the tokens.
        environ: The environment.
        shared: Where tokens are kept.
        mask: Called with each token before it is used, so that it is never shown.
        remaining: Says how many seconds the task has left.
    """

    def __init__(
        self,
        choice: Choice,
        cloud: Cloud,
        environ: Mapping[str, str],
        shared: RunCache,
        mask: Callable[[str], None],
        remaining: Callable[[], float] = lambda: READ_SECONDS,
    ) -> None:
        self._choice = choice
        self._cloud = cloud
        self._environ = environ
        self._shared = shared
        self._mask = mask
        self._remaining = remaining

    def token(self, audience: str | None = None) -> str:
        """Returns a token that is good for some minutes at least.

        Args:
            audience: For whom; by default Resource Manager.

        Raises:
            SignInFailed: None of the ways led to a token; the message names them in order.
        """
        scope = (audience or self._cloud.audience).rstrip("/") + "/.default"
        fact = self._shared.get(self._key(scope), _is_fresh, lambda: self._fetched(scope))
        self._mask(fact["token"])
        return str(fact["token"])

    def of(self, audience: str) -> Tokens:
        """Returns the same way to sign in, for another service.

        Args:
            audience: What its tokens are issued for.
        """
        cloud = replace(self._cloud, audience=audience)
        return Tokens(self._choice, cloud, self._environ, self._shared, self._mask, self._remaining)

    def forget(self, token: str, audience: str | None = None) -> None:
        """Drops a token that Azure has refused."""
        scope = (audience or self._cloud.audience).rstrip("/") + "/.default"
        self._shared.forget(self._key(scope), lambda fact: fact.get("token") == token)

    def _key(self, scope: str) -> str:
        return key_of("token", self._cloud.authority, scope, *self._choice.principal)

    def _fetched(self, scope: str) -> dict[str, Any]:
        tried = list(self._choice.passed_over)
        for method in self._choice.methods:
            if method.kind == "msi" and len(self._choice.methods) > 1 and not _has_managed_identity(self._environ):
                tried.append(f"{method.label}: this machine has none")
                continue
            try:
                credential = _credential(method, self._cloud, self._environ, self._choice.settings, self._remaining())
                token = credential.get_token(scope)
            except libraries.CredentialUnavailableError as error:
                tried.append(f"{method.label}: {_first_line(error)}")
                continue
            except (libraries.CoreError, ValueError, OSError) as error:
                tried.append(f"{method.label}: {_first_line(error)}")
                if method.kind == "cli":
                    continue
                break
            return {"token": token.token, "expires_on": token.expires_on}
        raise AzureSignInFailed(
            "Can't sign in to Azure. Tried, in order: " + "; ".join(tried or ["nothing is configured"]) + ".",
            hint=f"The cloud is {self._cloud.name}, its authority {self._cloud.authority}.",
        )


def _is_fresh(fact: Mapping[str, Any]) -> bool:
    return float(fact.get("expires_on") or 0) - time.time() > RENEW_BEFORE


def _first_line(error: Exception) -> str:
    """The text of an error without the trace ids and the advice that the SDK appends."""
    text = str(error).strip()
    if text in ("", "None"):  # what azure-identity says of an answer that is no OAuth error
        return f"the authority answered with something else than a token ({type(error).__name__})"
    lines = text.splitlines()
    return lines[0].removeprefix("Authentication failed: ").split(" Trace ID:")[0].rstrip(".")


def _has_managed_identity(environ: Mapping[str, str]) -> bool:
    """Says whether something answers where a machine of Azure asks for its identity."""
    if environ.get("IDENTITY_ENDPOINT") or environ.get("MSI_ENDPOINT"):
        return True
    parts = urlsplit(environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or INSTANCE_METADATA)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=PROBE_SECONDS):
            return True
    except OSError:
        return False


def _credential(
    method: Method, cloud: Cloud, environ: Mapping[str, str], settings: Mapping[str, str], seconds: float
) -> Any:
    """Returns the azure-identity credential of a method, which gives up a request after so many seconds."""
    values = method.values
    if method.kind == "cli":
        return libraries.AzureCliCredential(tenant_id=values.get("tenant", ""), process_timeout=CLI_SECONDS)
    if method.kind == "msi":
        return libraries.ManagedIdentityCredential(client_id=values.get("client_id"))
    common: dict[str, Any] = {
        **RETRIES,
        "connection_timeout": min(CONNECT_SECONDS, max(1.0, seconds)),
        "read_timeout": min(READ_SECONDS, max(1.0, seconds)),
        "authority": environ.get("AZURE_AUTHORITY_HOST") if cloud.public else cloud.authority,
        "disable_instance_discovery": not cloud.public,
    }
    if not common["authority"]:
        common["authority"] = cloud.authority
    if settings.get("ca_bundle"):
        common["connection_verify"] = settings["ca_bundle"]
    tenant = values.get("tenant", "")
    if method.kind == "secret":
        return libraries.ClientSecretCredential(tenant, values["client_id"], values["secret"], **common)
    if method.kind == "certificate":
        if environ.get("AZURE_CLIENT_CERTIFICATE_PASSWORD"):
            common["password"] = environ["AZURE_CLIENT_CERTIFICATE_PASSWORD"]
        return libraries.CertificateCredential(tenant, values["client_id"], values["x509_certificate_path"], **common)
    if method.kind == "workload_identity":
        return libraries.WorkloadIdentityCredential(
            tenant_id=tenant,
            client_id=values["client_id"],
            token_file_path=values["federated_token_file"],
            **common,
        )
    return libraries.UsernamePasswordCredential(
        values.get("client_id", AZURE_CLI_CLIENT_ID),
        values["ad_user"],
        values["password"],
        **({"tenant_id": tenant} if tenant else {}),
        **common,
    )


def require_subscription(settings: Mapping[str, str]) -> str:
    """Returns the subscription that a task works in.

    Raises:
        Failure: None is named anywhere.
    """
    subscription = settings.get("subscription_id") or settings.get("cli_subscription_id")
    if not subscription:
        raise Failure(
            "subscription_id is needed: no option, variable AZURE_SUBSCRIPTION_ID, profile or az login names one.",
            hint="Sign in, for example with az login, which names one too. Roles take it from aks_subscription_id.",
        )
    return subscription
