# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs of every kind, and the surroundings that may name a cluster."""

from __future__ import annotations

import base64
import datetime
import json
import os
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _kubeconfig as kubeconfigs
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import (
    Access,
    Credentials,
    access_of,
    load_kubeconfig,
    parse_time,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import (
    CredentialPluginFailed,
    InvalidKubeconfig,
)

SERVER = "https://example.invalid:443"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config(user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": SERVER, **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {"token": "t0ken"}}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "two", "context": {"cluster": "c", "user": "u", "namespace": "n"}},
        ],
        "current-context": "one",
    }


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("K8S_AUTH_", "KUBE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


class Secrets(list[str]):
    def __call__(self, *values: str | None) -> None:
        self.extend(value for value in values if value)


def execute(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> tuple[int, str, str]:
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=seconds, check=False
    )
    return done.returncode, done.stdout, done.stderr


def access(tmp_path: Path, secret: Any = lambda *_unused: None, **params: Any) -> Access:
    private = tmp_path / "private"
    private.mkdir(exist_ok=True)
    return access_of(params, str(private), secret, execute)


def test_token(tmp_path: Path) -> None:
    secrets = Secrets()
    found = access(tmp_path, secrets, kubeconfig=config())
    assert (found.server, found.credentials.token(), found.namespace) == (SERVER, "t0ken", "default")
    assert secrets == ["t0ken"]


def test_context(tmp_path: Path) -> None:
    assert access(tmp_path, kubeconfig=config(), context="two").namespace == "n"
    with pytest.raises(InvalidKubeconfig, match="no context 'three'; it has: one, two"):
        access(tmp_path, kubeconfig=config(), context="three")


def test_text_and_file(tmp_path: Path) -> None:
    text = yaml.safe_dump(config())
    assert access(tmp_path, kubeconfig=text).server == SERVER
    (tmp_path / "kc").write_text(text)
    assert access(tmp_path, kubeconfig=str(tmp_path / "kc")).server == SERVER


def test_certificates_are_private_files_in_the_given_directory_only(tmp_path: Path) -> None:
    user = {"client-certificate-data": encoded("cert"), "client-key-data": encoded("key")}
    secrets = Secrets()
    found = access(
        tmp_path,
        secrets,
        kubeconfig=config(user, {"certificate-authority-data": encoded("ca"), "tls-server-name": "x"}),
    )
    assert found.credentials.certificate
    certificate, key = found.credentials.certificate
    assert (Path(certificate).read_text(), Path(key).read_text()) == ("cert", "key")
    assert found.ca_file
    assert Path(found.ca_file).read_text() == "ca"
    assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
    assert {Path(path).parent for path in (certificate, key, found.ca_file)} == {tmp_path / "private"}
    assert user["client-key-data"] in secrets
    assert found.tls_server_name == "x"
    assert found.credentials.token() is None


def test_paths_are_relative_to_their_file(tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    (folder / "ca.crt").write_text("ca")
    (folder / "token").write_text("from-a-file\n")
    (folder / "kc").write_text(yaml.safe_dump(config({"tokenFile": "token"}, {"certificate-authority": "ca.crt"})))
    found = access(tmp_path, kubeconfig=str(folder / "kc"))
    assert found.ca_file == str(folder / "ca.crt")
    assert found.credentials.token() == "from-a-file"
    (folder / "token").write_text("rotated")
    assert found.credentials.token() == "rotated"


def test_several_files_merge_and_the_first_wins(tmp_path: Path) -> None:
    first, second = config(), config({"token": "other"})
    second["contexts"].append({"name": "three", "context": {"cluster": "c2", "user": "u"}})
    second["clusters"].append({"name": "c2", "cluster": {"server": "https://second.invalid"}})
    (tmp_path / "a").write_text(yaml.safe_dump(first))
    (tmp_path / "b").write_text(yaml.safe_dump(second))
    paths = os.pathsep.join([str(tmp_path / "missing"), str(tmp_path / "a"), str(tmp_path / "b")])
    found = access(tmp_path, kubeconfig=paths, context="three")
    assert (found.server, found.credentials.token()) == ("https://second.invalid", "t0ken")


def test_environment_names_the_cluster_only_when_no_option_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K8S_AUTH_HOST", "https://elsewhere.invalid")
    monkeypatch.setenv("K8S_AUTH_API_KEY", "elsewhere")
    found = access(tmp_path, kubeconfig=config())
    assert (found.server, found.credentials.token()) == (SERVER, "t0ken")
    found = access(tmp_path)
    assert (found.server, found.credentials.token()) == ("https://elsewhere.invalid", "elsewhere")


def test_home(tmp_path: Path) -> None:
    with pytest.raises(InvalidKubeconfig, match="There is no kubeconfig at"):
        access(tmp_path)
    folder = tmp_path / "home" / ".kube"
    folder.mkdir(parents=True)
    (folder / "config").write_text(yaml.safe_dump(config()))
    assert access(tmp_path).server == SERVER


def test_host_and_key(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("ca")
    found = access(tmp_path, host="https://h.invalid/", api_key="k", ca_cert=str(tmp_path / "ca"))
    assert (found.server, found.credentials.token(), found.ca_file) == (
        "https://h.invalid",
        "k",
        str(tmp_path / "ca"),
    )


def plugin(tmp_path: Path, script: str) -> dict[str, Any]:
    path = tmp_path / "login"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path), "args": ["get-token"]}}


def credential(**given: str) -> str:
    return json.dumps({"kind": "ExecCredential", "status": given})


def test_exec_plugin(tmp_path: Path) -> None:
    secrets = Secrets()
    user = plugin(tmp_path, f"echo run >> {tmp_path}/runs; echo '{credential(token='abc')}'")
    found = access(tmp_path, secrets, kubeconfig=config(user))
    assert [found.credentials.token(), found.credentials.token()] == ["abc", "abc"]
    assert "abc" in secrets
    assert (tmp_path / "runs").read_text().count("run") == 1
    assert found.credentials.renewable
    found.credentials.renew()
    found.credentials.token()
    assert (tmp_path / "runs").read_text().count("run") == 2


def test_exec_plugin_runs_again_before_its_token_expires(tmp_path: Path) -> None:
    soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=10)).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    user = plugin(tmp_path, f"echo run >> {tmp_path}/runs; echo '{credential(token='abc', expirationTimestamp=soon)}'")
    found = access(tmp_path, kubeconfig=config(user))
    found.credentials.token()
    found.credentials.token()
    assert (tmp_path / "runs").read_text().count("run") == 2


def test_exec_plugin_gives_a_certificate(tmp_path: Path) -> None:
    user = plugin(tmp_path, f"echo '{credential(clientCertificateData='C', clientKeyData='K')}'")
    found = access(tmp_path, kubeconfig=config(user))
    assert found.credentials.token() is None
    assert found.credentials.certificate
    assert Path(found.credentials.certificate[1]).read_text() == "K"


def test_exec_plugin_gets_environment_and_cluster(tmp_path: Path) -> None:
    user = plugin(tmp_path, f"echo \"$KUBERNETES_EXEC_INFO\" > {tmp_path}/info; echo '{credential(token='x')}'")
    user["exec"].update(provideClusterInfo=True, env=[{"name": "A", "value": "b"}])
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    access(tmp_path, kubeconfig=config(user, {"extensions": [extension]})).credentials.token()
    info = json.loads((tmp_path / "info").read_text())
    assert info["spec"] == {"interactive": False, "cluster": {"server": SERVER, "config": {"audience": "x"}}}


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'AADSTS7000215: Invalid client secret' >&2; exit 1", "exit status 1: AADSTS7000215"),
        ("echo hello", "no ExecCredential"),
        ("echo '{}'", "no ExecCredential"),
    ],
)
def test_exec_plugin_fails(tmp_path: Path, script: str, says: str) -> None:
    with pytest.raises(CredentialPluginFailed, match=says):
        access(tmp_path, kubeconfig=config(plugin(tmp_path, script))).credentials.token()


def test_exec_plugin_is_missing(tmp_path: Path) -> None:
    user = {"exec": {"command": "no-such-login", "installHint": "Install it from there."}}
    with pytest.raises(CredentialPluginFailed, match=r"not on PATH\. Install it from there\."):
        access(tmp_path, kubeconfig=config(user)).credentials.token()


def test_basic(tmp_path: Path) -> None:
    found = access(tmp_path, kubeconfig=config({"username": "me", "password": "pw"})).credentials
    assert (found.token(), found.password) == (None, ("me", "pw"))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("a: 1\nb: [\n", r"no valid YAML \(line 3\)"),
        ('{"users": [', "no valid YAML"),
        ("hello\nworld", "no kubeconfig"),
        ({"contexts": "x"}, "not a list of named entries"),
        ({}, "names no current context; it has: none"),
        ({**config(), "clusters": []}, "refers to the cluster 'c', which the kubeconfig lacks"),
        ({**config(), "users": []}, "refers to the user 'u', which the kubeconfig lacks"),
        (config(cluster={"server": "x"}), "not the URL"),
        (config({"client-key-data": "§§§", "client-certificate-data": "§"}), "no base64"),
        (config(cluster={"certificate-authority": "/nowhere"}), "/nowhere for its certificate-authority"),
    ],
)
def test_invalid(tmp_path: Path, source: Any, says: str) -> None:
    with pytest.raises(InvalidKubeconfig, match=says):
        access(tmp_path, kubeconfig=source)


def test_secrets_do_not_reach_messages(tmp_path: Path) -> None:
    (tmp_path / "kc").write_text("users:\n- name: u\n  user: {token: s3cret\n")
    with pytest.raises(InvalidKubeconfig) as caught:
        load_kubeconfig(str(tmp_path / "kc"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["2026-08-01T10:00:00Z", "2026-08-01T10:00:00.123456789Z", "2026-08-01T12:00:00+02:00"]
)
def test_times(text: str) -> None:
    assert parse_time(text) == datetime.datetime(2026, 8, 1, 10, tzinfo=datetime.timezone.utc)


def test_credentials_say_what_they_are() -> None:
    def kind(user: dict[str, Any]) -> str:
        return Credentials(user, {}, "", lambda *_unused: None, execute).kind

    assert kind({"token": "t"}) == "token"
    assert kind({"exec": {"command": "kubelogin"}}) == "exec plugin kubelogin"
    assert kind({}) == "no credentials"


@pytest.mark.parametrize("section", ["clusters", "users", "contexts"])
@pytest.mark.parametrize(
    "source",
    [
        "https://github.com/Azure/azure-cli/issues/7040",
        "https://github.com/sunny0826/kubecm/issues/1008",
        "https://github.com/corneliusweig/konfig/issues/31",
        "https://github.com/kubernetes/kubectl/issues/795",
    ],
)
def test_entries_of_the_same_name_are_refused(tmp_path: Path, section: str, source: str) -> None:
    """kubectl refuses such a file too: "duplicate name ... in list"."""
    twice = config()
    twice[section] = [*twice[section], {**twice[section][0]}]
    name = twice[section][0]["name"]
    with pytest.raises(InvalidKubeconfig, match=f"The {section} in .* more than one entry named {name}"):
        access(tmp_path, kubeconfig=twice)
    with pytest.raises(InvalidKubeconfig, match=f"The {section} in file have more than one entry named {name}"):
        kubeconfigs.parse_kubeconfig(yaml.safe_dump(twice), "file")
    assert source


def test_a_variable_of_an_exec_plugin_may_have_no_value(tmp_path: Path) -> None:
    """kubectl takes an empty text: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/#ExecEnvVar."""
    credential = {"kind": "ExecCredential", "status": {"token": "t0ken"}}
    script = f'[ -z "$EMPTY" ] && [ "$SET" = x ] && echo \'{json.dumps(credential)}\''
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh",
        "args": ["-c", script],
        "env": [{"name": "EMPTY"}, {"name": "NONE", "value": None}, {"name": "SET", "value": "x"}],
    }
    assert access(tmp_path, kubeconfig=config({"exec": plugin})).credentials.token() == "t0ken"
