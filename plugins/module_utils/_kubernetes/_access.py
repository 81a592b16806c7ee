# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From options, a kubeconfig or a Pod's service account to a server and the credentials for it.

Kubeconfigs are read here, not by the loader of the package ``kubernetes``: it turns a failed exec plugin, such as
kubelogin, into a log line and goes on unauthenticated, waits for one without a limit, and leaves a client key's
temporary file to an exit handler that forked workers never run. ``_http`` fills a ``Configuration`` from what is found.
Formats: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/ and
https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
"""

from __future__ import annotations

import base64
import binascii
import collections
import datetime
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import (
    CredentialPluginFailed,
    InvalidKubeconfig,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._libraries import (
    SafeLoader,
    require_kubernetes_libraries,
    yaml,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._paths import namespace_problems
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._secrets import kubeconfig_secrets

EXEC_PLUGIN_SECONDS = 90
EXEC_EXTENSION = "client.authentication.k8s.io/exec"
PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
IMPERSONATION = ("as", "as-uid", "as-groups", "as-user-extra")
_FIELD_NAME = "!#$&'*+^`|"
"""Besides letters and digits, -._~, what a header field's name may have (RFC 9110) and needs no escape."""

_HEADER_TEXT = re.compile(r"[\x21-\x7e]+")
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

EXTENSION = "aks.gpu"
"""Name of the extension in which an entry of a kubeconfig says which cluster of Azure it belongs to."""

Secret = Callable[..., None]

ProgramRunner = Callable[[Sequence[str], Mapping[str, str], float], tuple[int, str, str]]
"""Runs a program with variables more and a limit of seconds; returns exit status, stdout, stderr: ``Task.execute``."""


class Credentials:
    """Who the client says it is.

    Args:
        user: The ``user`` of a kubeconfig, with paths made absolute.
        cluster: The ``cluster`` of the kubeconfig, for exec plugins that ask for it.
        directory: A private directory for certificates and keys.
        secret: Told every secret string as soon as it is known.
        execute: Runs exec plugins.
    """

    def __init__(
        self, user: dict[str, Any], cluster: dict[str, Any], directory: str, secret: Secret, execute: ProgramRunner
    ) -> None:
        self._user = user
        self._cluster = cluster
        self._directory = directory
        self._secret = secret
        self._run = execute
        self._token: str | None = None
        self._expires: datetime.datetime | None = None
        self._executed = False
        self.certificate: tuple[str, str] | None = None
        secret(user.get("token"), user.get("client-key-data"))
        self._use_certificate(
            _file_of(user, "client-certificate", directory, "client.crt"),
            _file_of(user, "client-key", directory, "client.key"),
        )

    @property
    def password(self) -> tuple[str, str] | None:
        """User name and password, where the user signs in by them."""
        name = self._user.get("username")
        return (str(name), str(self._user.get("password") or "")) if name else None

    @property
    def kind(self) -> str:
        """What the credentials are, for messages: ``exec plugin kubelogin``, ``token``, ``client certificate``…"""
        if self._user.get("token") or self._user.get("tokenFile"):
            return "token"
        if self._user.get("exec"):
            return f"exec plugin {self._user['exec'].get('command')}"
        if self.certificate:
            return "client certificate"
        return "password" if self._user.get("username") else "no credentials"

    @property
    def renewable(self) -> bool:
        """True when asking again may give other credentials: an exec plugin, or a token in a file."""
        return bool(self._user.get("tokenFile") or (self._user.get("exec") and not self._user.get("token")))

    def renew(self) -> None:
        """Forgets what an exec plugin gave, so that it is run again."""
        self._executed = False

    def token(self) -> str | None:
        """Returns the bearer token, or None; runs the exec plugin where what it gave has expired.

        Raises:
            SignInFailed: The exec plugin, or the token's file, gave none, or one that no header can hold.
        """
        user = self._user
        token = user.get("token")
        if user.get("tokenFile"):
            # Read each time: the tokens of service accounts rotate within the hour.
            token = _read_file(user["tokenFile"]).strip()
            self._secret(token)
        elif not token and user.get("exec"):
            if not self._executed or self._expired():
                self._execute()
            token = self._token
        if token and not _HEADER_TEXT.fullmatch(str(token)):
            raise CredentialPluginFailed("The token of the kubeconfig's user has characters that no token can have.")
        return str(token) if token else None

    def _expired(self) -> bool:
        if self._expires is None:
            return False
        return self._expires - datetime.datetime.now(datetime.timezone.utc) < datetime.timedelta(seconds=30)

    def _use_certificate(self, certificate: str | None, key: str | None) -> None:
        if certificate and key:
            self.certificate = (certificate, key)

    def _execute(self) -> None:
        status = _exec_credential(self._user["exec"], self._cluster, self._run)
        self._token = status.get("token")
        self._secret(self._token, status.get("clientKeyData"))
        if status.get("clientCertificateData") and status.get("clientKeyData"):
            self._use_certificate(
                _write_private(self._directory, "exec.crt", status["clientCertificateData"].encode()),
                _write_private(self._directory, "exec.key", status["clientKeyData"].encode()),
            )
        expires = status.get("expirationTimestamp")
        self._expires = parse_time(expires) if expires else None
        self._executed = True


@dataclass(frozen=True)
class RunCommand:
    """A cluster whose kubeconfig says that its API server is reached by AKS's run-command.

    Attributes:
        cluster_id: The cluster's ARM id.
        server_id: The application of its API server in Microsoft Entra ID; None where certificates are used.
    """

    cluster_id: str
    server_id: str | None


@dataclass(frozen=True)
class Access:
    """A server, and what is needed to talk to it.

    Attributes:
        server: URL of the API server, without a slash at the end.
        credentials: Who the client says it is.
        ca_file: The certificate authority of the server; None for that of the system.
        verify: False for ``insecure-skip-tls-verify``.
        tls_server_name: The name in the server's certificate, where it is not that of the URL.
        proxy: URL of a proxy; None for that of the environment.
        impersonation: Header fields that say whom the requests are made as.
        namespace: The namespace of the context, ``default`` where it names none.
        run_command: Set where the server is to be reached by AKS's run-command.
    """

    server: str
    credentials: Credentials
    ca_file: str | None = None
    verify: bool = True
    tls_server_name: str | None = None
    proxy: str | None = None
    impersonation: tuple[tuple[str, str], ...] = ()
    namespace: str = "default"
    run_command: RunCommand | None = None


def access_of(params: dict[str, Any], directory: str, secret: Secret, execute: ProgramRunner) -> Access:
    """Finds the cluster that the options name.

    Args:
        params: The options of ``KUBERNETES_ARGUMENTS``. Where neither ``kubeconfig`` nor ``host`` is set, the
            environment variables that the fragment documents are looked at, then the usual places.
        directory: A private directory for certificates and keys; whoever gives it removes it.
        secret: Told every secret string.
        execute: Runs exec plugins.

    Raises:
        InvalidKubeconfig: There is none, or it can't be used.
        MissingLibrary: A library of this room is missing.
    """
    require_kubernetes_libraries()
    options = {name: params.get(name) for name in ("kubeconfig", "context", "host", "api_key", "ca_cert")}
    if options["kubeconfig"] in (None, "") and not options["host"]:
        environment = {
            "kubeconfig": os.environ.get("K8S_AUTH_KUBECONFIG") or os.environ.get("KUBECONFIG"),
            "context": os.environ.get("K8S_AUTH_CONTEXT"),
            "host": os.environ.get("K8S_AUTH_HOST"),
            "api_key": os.environ.get("K8S_AUTH_API_KEY"),
            "ca_cert": os.environ.get("K8S_AUTH_SSL_CA_CERT"),
        }
        options = {name: value or environment[name] for name, value in options.items()}
    if options["kubeconfig"] in (None, "") and not options["host"]:
        default = os.path.expanduser("~/.kube/config")
        if not os.path.exists(default) and os.environ.get("KUBERNETES_SERVICE_HOST"):
            return _service_account(directory, secret, execute)
        options["kubeconfig"] = default
    user: dict[str, Any] = {}
    cluster: dict[str, Any] = {}
    namespace = "default"
    if options["kubeconfig"] not in (None, ""):
        config = load_kubeconfig(options["kubeconfig"])
        secret(*kubeconfig_secrets(config))
        cluster, user, namespace = _select(config, options["context"])
    if options["host"]:
        cluster = {**cluster, "server": options["host"]}
    if options["api_key"]:
        user = {"token": options["api_key"], **{key: user[key] for key in IMPERSONATION if key in user}}
    if options["ca_cert"]:
        cluster = {k: v for k, v in cluster.items() if k != "certificate-authority-data"}
        cluster["certificate-authority"] = options["ca_cert"]
    server = str(cluster.get("server") or "").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise InvalidKubeconfig(f"The cluster's server is {server!r}, which is not the URL of an API server.")
    _require_supported(user)
    return Access(
        server=server,
        credentials=Credentials(user, cluster, directory, secret, execute),
        ca_file=_file_of(cluster, "certificate-authority", directory, "ca.crt"),
        verify=not cluster.get("insecure-skip-tls-verify"),
        tls_server_name=cluster.get("tls-server-name"),
        proxy=_proxy(cluster.get("proxy-url"), secret),
        impersonation=_impersonation(user),
        namespace=namespace,
        run_command=None if options["host"] else _run_command(cluster, user),
    )


def _require_supported(user: dict[str, Any]) -> None:
    """Refuses what would change who acts, and can't be done here."""
    if user.get("auth-provider"):
        name = (user["auth-provider"] or {}).get("name")
        raise InvalidKubeconfig(
            f"The kubeconfig's user signs in by the auth-provider {name!r}, which Kubernetes 1.26 has removed.",
            hint="Use an exec plugin; for Microsoft Entra ID: kubelogin convert-kubeconfig.",
        )
    if (user.get("exec") or {}).get("interactiveMode") == "Always":
        raise InvalidKubeconfig(
            f"The exec plugin {user['exec'].get('command')} of the kubeconfig has interactiveMode Always: it needs a "
            "person at a terminal, which a playbook does not have.",
            hint="Choose a sign-in that needs no person.",
        )


def _proxy(url: str | None, secret: Secret) -> str | None:
    if not url:
        return None
    scheme, _separator, place = str(url).partition("://")
    scheme = scheme.lower()
    if scheme not in PROXY_SCHEMES or not place:
        raise InvalidKubeconfig(
            f"The proxy-url of the kubeconfig's cluster has no scheme of {', '.join(PROXY_SCHEMES)}."
        )
    secret(urlsplit(url).password)
    # As in kubectl, the proxy resolves the server's name: https://pkg.go.dev/net/http#Transport says of its field
    # Proxy that "socks5" is treated the same as "socks5h".
    return f"{'socks5h' if scheme == 'socks5' else scheme}://{place}"


def _impersonation(user: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Returns the headers of https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation.

    Raises:
        InvalidKubeconfig: A field of impersonation is of another type, or stands without ``as``.
    """
    name, uid, groups, extra = (user.get(key) for key in IMPERSONATION)
    if not name:
        if given := [key for key in IMPERSONATION[1:] if user.get(key)]:
            raise InvalidKubeconfig(f"The kubeconfig's user has {', '.join(given)} but not as.")
        return ()
    groups, extra = groups or [], extra or {}
    lists = [groups, *extra.values()] if isinstance(extra, dict) else [None]
    if not isinstance(name, str) or not all(isinstance(each, list) for each in lists):
        raise InvalidKubeconfig(
            "as of the kubeconfig's user must be a name, as-groups a list, and as-user-extra a dictionary of lists."
        )
    fields = [("Impersonate-User", name)]
    fields += [("Impersonate-Uid", uid)] if uid else []
    fields += [("Impersonate-Group", group) for group in groups]
    fields += [
        (f"Impersonate-Extra-{quote(str(key), safe=_FIELD_NAME)}", value)
        for key, values in extra.items()
        for value in values
    ]
    return tuple((header, _header_text(value)) for header, value in fields)


def _header_text(value: Any) -> str:
    """Returns a text as its UTF-8 travels in a header."""
    text = str(value)
    if not text.isprintable():
        raise InvalidKubeconfig("The impersonation of the kubeconfig's user has a control character.")
    return text.encode().decode("latin-1")


def load_kubeconfig(source: Any) -> dict[str, Any]:
    """Returns a kubeconfig with every relative path made absolute.

    Args:
        source: A dictionary, YAML text, or paths separated by the system's path separator. Of several files, as in
            kubectl, the first that names something wins.

    Raises:
        InvalidKubeconfig: It can't be read.
    """
    if isinstance(source, dict):
        return _checked_server(source, os.getcwd(), "the kubeconfig")
    if not isinstance(source, (str, os.PathLike)):
        raise InvalidKubeconfig("The kubeconfig must be a path, YAML text or a dictionary.")
    text = str(source)
    if "\n" in text.strip() or text.lstrip().startswith("{"):
        return _checked_server(load_yaml(text, "the kubeconfig"), os.getcwd(), "the kubeconfig")
    paths = [os.path.expanduser(path) for path in text.split(os.pathsep) if path]
    present = [path for path in paths if os.path.exists(path)]
    if not present:
        raise InvalidKubeconfig(
            f"There is no kubeconfig at {', '.join(paths)}.",
            hint="The module aks.gpu.kubeconfig fetches the credentials of a cluster.",
        )
    merged: dict[str, Any] = {"clusters": [], "users": [], "contexts": []}
    for path in present:
        config = _checked_server(load_yaml(_read_file(path), path), os.path.dirname(os.path.abspath(path)), path)
        for section in ("clusters", "users", "contexts"):
            known = {entry["name"] for entry in merged[section]}
            merged[section] += [entry for entry in config[section] if entry["name"] not in known]
        if config.get("current-context"):
            merged.setdefault("current-context", config["current-context"])
    return merged


def extension_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Returns what this collection noted in an entry of a kubeconfig."""
    for extension in entry.get("extensions") or []:
        if isinstance(extension, dict) and extension.get("name") == EXTENSION:
            return extension.get("extension") or {}
    return {}


def _run_command(cluster: dict[str, Any], user: dict[str, Any]) -> RunCommand | None:
    noted = extension_of(cluster)
    if not noted.get("runCommand") or not noted.get("id"):
        return None
    arguments = (user.get("exec") or {}).get("args") or []
    at = arguments.index("--server-id") + 1 if "--server-id" in arguments else len(arguments)
    return RunCommand(str(noted["id"]), str(arguments[at]) if at < len(arguments) else None)


def parse_time(text: str) -> datetime.datetime:
    """Returns an RFC 3339 time as Kubernetes writes it, such as ``2026-08-01T10:00:00Z``, with its time zone.

    Fractions of a second are dropped: Python 3.10 can't read all lengths of them.
    """
    return datetime.datetime.fromisoformat(re.sub(r"\.\d+", "", text).replace("Z", "+00:00"))


def _select(config: dict[str, Any], wanted: str | None) -> tuple[dict[str, Any], dict[str, Any], str]:
    name = wanted or config.get("current-context")
    contexts = {entry["name"]: entry.get("context") or {} for entry in config["contexts"]}
    if not name and len(contexts) == 1:
        name = next(iter(contexts))
    if name not in contexts:
        said = f"has no context {name!r}" if name else "names no current context"
        raise InvalidKubeconfig(f"The kubeconfig {said}; it has: {', '.join(sorted(contexts)) or 'none'}.")
    context = contexts[name]
    clusters = {entry["name"]: entry.get("cluster") or {} for entry in config["clusters"]}
    users = {entry["name"]: entry.get("user") or {} for entry in config["users"]}
    if context.get("cluster") not in clusters:
        raise InvalidKubeconfig(
            f"Context {name!r} refers to the cluster {context.get('cluster')!r}, which the kubeconfig lacks."
        )
    if context.get("user") and context["user"] not in users:
        raise InvalidKubeconfig(f"Context {name!r} refers to the user {context['user']!r}, which the kubeconfig lacks.")
    if wrong := namespace_problems(context.get("namespace")):
        raise InvalidKubeconfig(f"Context {name!r}: {wrong[0]}.")
    return clusters[context["cluster"]], users.get(context.get("user"), {}), context.get("namespace") or "default"


def _checked_server(config: Any, base: str, origin: str) -> dict[str, Any]:
    if not isinstance(config, dict):
        raise InvalidKubeconfig(f"What stands in {origin} is no kubeconfig.")
    checked = dict(config)
    for section, inner in (("clusters", "cluster"), ("users", "user"), ("contexts", "context")):
        entries = config.get(section) or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) and entry.get("name") for entry in entries):
            raise InvalidKubeconfig(f"The {section} in {origin} are not a list of named entries.")
        require_unique(entries, section, origin)
        checked[section] = [{**entry, inner: _absolute(entry.get(inner) or {}, base)} for entry in entries]
    return checked


def require_unique(entries: list[dict[str, Any]], section: str, origin: str) -> None:
    """Refuses a list in which two entries have the same name, as ``kubectl`` does.

    Raises:
        InvalidKubeconfig: The message names them.
    """
    names = collections.Counter(str(entry["name"]) for entry in entries)
    twice = sorted(name for name, times in names.items() if times > 1)
    if twice:
        raise InvalidKubeconfig(
            f"The {section} in {origin} have more than one entry named {', '.join(twice)}.",
            hint="Remove or rename the entries that are not meant.",
        )


def _absolute(entry: dict[str, Any], base: str) -> dict[str, Any]:
    paths = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
    result: dict[str, Any] = {
        key: os.path.join(base, value) if key in paths and value else value for key, value in entry.items()
    }
    command = (result.get("exec") or {}).get("command", "")
    if os.sep in command and not os.path.isabs(command):
        result["exec"] = {**result["exec"], "command": os.path.join(base, command)}
    return result


def load_yaml(text: str, origin: str) -> Any:
    """Returns what stands in a kubeconfig's text.

    Args:
        text: YAML or JSON.
        origin: Where it comes from, for messages.

    Raises:
        InvalidKubeconfig: It is no YAML. The message quotes nothing of it.
    """
    try:
        return yaml.load(text, Loader=SafeLoader)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        raise InvalidKubeconfig(f"{origin} is no valid YAML{line}.") from None


def _read_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidKubeconfig(f"{path} can't be read: {error}.") from error


def _write_private(directory: str, name: str, content: bytes) -> str:
    path = os.path.join(directory, f"{hashlib.sha256(content).hexdigest()[:16]}-{name}")
    if not os.path.exists(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    return path


def _file_of(entry: dict[str, Any], key: str, directory: str, name: str) -> str | None:
    data = entry.get(f"{key}-data")
    if data:
        try:
            return _write_private(directory, name, base64.b64decode(data))
        except (binascii.Error, ValueError):
            raise InvalidKubeconfig(f"The {key}-data of the kubeconfig is no base64.") from None
    path = entry.get(key)
    if path and not os.path.exists(path):
        raise InvalidKubeconfig(f"The kubeconfig refers to {path} for its {key}, which does not exist.")
    return path or None


def _exec_credential(plugin: dict[str, Any], cluster: dict[str, Any], execute: ProgramRunner) -> dict[str, Any]:
    command = str(plugin.get("command"))
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        known = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
        spec["cluster"] = {key: cluster[key] for key in known if key in cluster}
        for extension in cluster.get("extensions") or []:
            if extension.get("name") == EXEC_EXTENSION:
                spec["cluster"]["config"] = extension.get("extension")
    environment = {str(entry.get("name")): str(entry.get("value") or "") for entry in plugin.get("env") or []}
    environment["KUBERNETES_EXEC_INFO"] = json.dumps(
        {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": spec}
    )
    what = f"The sign-in of the kubeconfig by the exec plugin {command}"
    try:
        status, stdout, stderr = execute([command, *(plugin.get("args") or [])], environment, EXEC_PLUGIN_SECONDS)
    except FileNotFoundError:
        hint = str(plugin.get("installHint") or "").strip() or f"Install {command} and put it on PATH."
        raise CredentialPluginFailed(f"{what} failed: the command is not on PATH.", hint=hint) from None
    except TimeoutError:
        raise CredentialPluginFailed(
            f"{what} gave no credentials within {EXEC_PLUGIN_SECONDS} s.",
            hint="It may be waiting for a person to sign in, which no playbook can do: choose a sign-in without one, "
            "such as azurecli, spn, msi or workloadidentity.",
        ) from None
    except OSError as error:
        raise CredentialPluginFailed(f"{what} failed: {error}.") from error
    said = stderr.strip()[-1000:]
    if status:
        raise CredentialPluginFailed(f"{what} failed with exit status {status}: {said}")
    try:
        credential = json.loads(stdout).get("status")
    except (ValueError, AttributeError):
        credential = None
    if not isinstance(credential, dict) or not (credential.get("token") or credential.get("clientCertificateData")):
        raise CredentialPluginFailed(
            f"{what} failed: it printed no ExecCredential with a token or a certificate. {said}"
        )
    return credential


def _service_account(directory: str, secret: Secret, execute: ProgramRunner) -> Access:
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    host = f"[{host}]" if ":" in host else host
    cluster = {"server": f"https://{host}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"}
    return Access(
        server=cluster["server"],
        credentials=Credentials({"tokenFile": f"{SERVICE_ACCOUNT}/token"}, cluster, directory, secret, execute),
        ca_file=f"{SERVICE_ACCOUNT}/ca.crt",
        namespace=_read_file(f"{SERVICE_ACCOUNT}/namespace").strip(),
    )
