# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs as values: what merging, removing and converting may touch, and what not."""

from __future__ import annotations

import base64
import datetime
import json

import pytest
import yaml
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _kubeconfig as kubeconfigs
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _kubelogin
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import RunCommand, access_of
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import InvalidKubeconfig
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._secrets import kubeconfig_secrets
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

GROUP, CLUSTER = "myResourceGroup", "myAKSCluster"


def identity(subscription: str = "s1", *, admin: bool = False, group: str = GROUP, name: str = CLUSTER):
    scope = f"/subscriptions/{subscription}/resourceGroups/{group}"
    arm_id = f"{scope}/providers/Microsoft.ContainerService/managedClusters/{name}"
    return kubeconfigs.Identity(arm_id, group, name, admin)


def from_azure(server: str = "https://one.hcp:443", token: str = "t0ken", who=None) -> dict:
    """A kubeconfig as listClusterUserCredential returns it."""
    who = who or identity()
    return {
        "apiVersion": "v1",
        "clusters": [{"name": who.name, "cluster": {"certificate-authority-data": "Q0E=", "server": server}}],
        "contexts": [{"name": who.name, "context": {"cluster": who.name, "user": who.user}}],
        "current-context": who.name,
        "kind": "Config",
        "preferences": {},
        "users": [{"name": who.user, "user": {"client-key-data": "S0VZ", "token": token}}],
    }


def merged(existing: str, who=None, server: str = "https://one.hcp:443", token: str = "t0ken", **options) -> str:
    who = who or identity()
    addition = kubeconfigs.with_az_names(from_azure(server, token, who), who)
    settings = {"context": None, "current": False, "origin": "file", **options}
    return kubeconfigs.merge(existing, addition, who, **settings)[0]


PERSONAL = """\
# my clusters
apiVersion: v1
kind: Config
preferences: {}
x-mine: kept   # unknown to us
clusters:
  # production
  - name: prod
    cluster:
      server: https://prod:6443   # behind the VPN
  - name: other
    cluster: {server: "https://other"}
contexts:
- context:
    cluster: prod
    user: me
  name: prod
users:
- name: me
  user:
    token: mine

current-context: prod
# the end
"""


def test_merge_keeps_every_line_of_others() -> None:
    text = merged(PERSONAL)
    for line in PERSONAL.splitlines():
        assert line in text.splitlines()
    config = yaml.safe_load(text)
    assert [entry["name"] for entry in config["clusters"]] == ["prod", "other", CLUSTER]
    assert config["current-context"] == "prod"
    assert merged(text) == text


def test_merge_replaces_only_its_own_entries() -> None:
    text = merged(merged(PERSONAL), token="renewed")
    users = {entry["name"]: entry["user"] for entry in yaml.safe_load(text)["users"]}
    assert users["me"] == {"token": "mine"}
    assert users[identity().user]["token"] == "renewed"
    assert text.count("t0ken") == 0
    assert "# behind the VPN" in text


def test_current_context_only_when_asked() -> None:
    assert "current-context" not in (yaml.safe_load(merged("")) or {})
    assert yaml.safe_load(merged(PERSONAL, current=True))["current-context"] == CLUSTER


def test_a_chosen_namespace_stays() -> None:
    config = yaml.safe_load(merged(PERSONAL))
    config["contexts"][-1]["context"]["namespace"] = "gpu-resources"
    again = yaml.safe_load(merged(yaml.safe_dump(config), token="renewed"))
    assert again["contexts"][-1]["context"]["namespace"] == "gpu-resources"


def test_same_names_in_two_subscriptions_live_side_by_side() -> None:
    """``az aks get-credentials`` lets the second overwrite the user entry of the first."""
    first, second = identity("s1"), identity("s2")
    text = merged(merged(PERSONAL, first, "https://one", "one"), second, "https://two", "two")
    config = yaml.safe_load(text)
    for who, server, token in ((first, "https://one", "one"), (second, "https://two", "two")):
        name = kubeconfigs.context_of(config, who)
        context = next(entry["context"] for entry in config["contexts"] if entry["name"] == name)
        clusters = {entry["name"]: entry["cluster"]["server"] for entry in config["clusters"]}
        users = {entry["name"]: entry["user"]["token"] for entry in config["users"]}
        assert clusters[context["cluster"]] == server
        assert users[context["user"]] == token
    assert merged(text, first, "https://one", "one") == text
    assert merged(text, second, "https://two", "two") == text
    only_second = yaml.safe_load(kubeconfigs.remove(text, first, origin="file"))
    assert kubeconfigs.context_of(only_second, second) == CLUSTER + second.suffix
    assert kubeconfigs.context_of(only_second, first) is None


def test_entries_that_az_wrote_need_no_change() -> None:
    text = yaml.safe_dump(from_azure())
    assert merged(text) == text
    assert "n3w" in merged(text, token="n3w")


def test_entries_of_az_are_taken_over_when_the_server_is_the_same() -> None:
    text = merged(yaml.safe_dump(from_azure()))
    assert [entry["name"] for entry in yaml.safe_load(text)["clusters"]] == [CLUSTER]
    other = merged(yaml.safe_dump(from_azure("https://elsewhere")))
    assert [entry["name"] for entry in yaml.safe_load(other)["clusters"]] == [CLUSTER, CLUSTER + identity().suffix]


def test_a_cluster_made_anew_replaces_its_old_entries() -> None:
    text = merged(merged(PERSONAL, server="https://old"), server="https://new")
    servers = [entry["cluster"]["server"] for entry in yaml.safe_load(text)["clusters"]]
    assert servers == ["https://prod:6443", "https://other", "https://new"]


def test_admin_and_user_share_the_cluster() -> None:
    admin = identity(admin=True)
    text = merged(merged(""), admin)
    config = yaml.safe_load(text)
    assert len(config["clusters"]) == 1
    assert [entry["name"] for entry in config["contexts"]] == [CLUSTER, f"{CLUSTER}-admin"]
    without = yaml.safe_load(kubeconfigs.remove(text, admin, origin="file"))
    assert len(without["clusters"]) == 1
    assert [entry["name"] for entry in without["users"]] == [identity().user]


def test_the_name_of_another_clusters_context_is_refused() -> None:
    with pytest.raises(InvalidKubeconfig, match="belongs to another cluster"):
        merged(PERSONAL, context="prod")
    assert kubeconfigs.context_of(yaml.safe_load(merged(PERSONAL, context="gpu")), identity()) == "gpu"


def test_remove_gives_back_what_was_there() -> None:
    assert kubeconfigs.remove(merged(PERSONAL), identity(), origin="file") == PERSONAL
    assert kubeconfigs.remove(PERSONAL, identity(), origin="file") == PERSONAL
    current = kubeconfigs.remove(merged(PERSONAL, current=True), identity(), origin="file")
    assert yaml.safe_load(current)["current-context"] == ""


def test_remove_knows_the_entries_of_az() -> None:
    text = kubeconfigs.remove(yaml.safe_dump(from_azure()), identity(), origin="file")
    assert kubeconfigs.summary(text) == {"clusters": {}, "contexts": {}, "users": {}, "current-context": ""}


@pytest.mark.parametrize(
    "existing",
    [
        "",
        "\n",
        "{}",
        json.dumps({"apiVersion": "v1", "kind": "Config", "clusters": [], "users": None}),
        "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n",
        "clusters: [{name: a, cluster: {server: https://a}}]\n",
        "clusters:\n- &a {name: a, cluster: {server: https://a}}\nx: *a\n",
        "clusters:\n  - name: a\n    cluster: {server: https://a}",
        "clusters:\n-\n  name: a\n  cluster: {server: https://a}\n",
        "clusters:\n- name: a\n  cluster: {server: https://a}\n- {name: b, cluster: {}}\n# end\n",
        "clusters:\r\n- name: a\r\n  cluster: {server: https://a}\r\n",
        'clusters:\n- name: "a\u2028b"\n  cluster: {server: https://a}\n',
    ],
)
def test_any_style_of_document(existing: str) -> None:
    before = kubeconfigs.parse_kubeconfig(existing, "file")
    config = yaml.safe_load(merged(existing))
    assert config["clusters"][:-1] == before["clusters"]
    assert kubeconfigs.context_of(config, identity()) == CLUSTER


NAMES = st.text("abcdef-:#'\"{}[]&*!|>%@ ñ漢", min_size=1, max_size=12).filter(lambda name: name.strip() == name)
ENTRIES = st.dictionaries(
    NAMES, st.dictionaries(NAMES, st.one_of(NAMES, st.integers(), st.none(), st.booleans())), max_size=4
)


@given(ENTRIES, ENTRIES, st.sampled_from([0, 2]), st.booleans())
def test_merge_then_remove_is_nothing_whatever_else_is_in_the_file(clusters, users, indent, current) -> None:
    config = {
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {**value, "server": "https://else"}} for name, value in clusters.items()
        ],
        "users": [{"name": name, "user": value} for name, value in users.items()],
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "me"}}],
    }
    text = yaml.safe_dump(config, indent=indent or 2, allow_unicode=True, sort_keys=False)
    added = kubeconfigs.parse_kubeconfig(merged(text, current=current), "file")
    for section in kubeconfigs.SECTIONS:
        assert added[section][:-1] == config[section]
    removed = kubeconfigs.parse_kubeconfig(
        kubeconfigs.remove(merged(text, current=current), identity(), origin="file"), "file"
    )
    assert {section: removed[section] for section in kubeconfigs.SECTIONS} == {
        section: config[section] for section in kubeconfigs.SECTIONS
    }


@pytest.mark.parametrize(
    "text", ["- a", "clusters: 1", "clusters: [1]", "a: [", "\t- x: y", "users: [{user: {}}]", "text"]
)
def test_what_is_no_kubeconfig_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(InvalidKubeconfig) as caught:
        merged(text + "\n# secret-in-the-file")
    assert "secret-in-the-file" not in str(caught.value)


def test_no_secret_in_the_summary() -> None:
    text = merged(PERSONAL)
    shown = json.dumps(kubeconfigs.summary(text))
    for secret in ("t0ken", "mine", "S0VZ"):
        assert secret not in shown
    renewed = kubeconfigs.summary(merged(PERSONAL, token="renewed"))
    assert renewed["users"] != kubeconfigs.summary(text)["users"]


def entra() -> dict:
    """A kubeconfig as AKS returns it for a cluster that signs in with Microsoft Entra ID."""
    config = from_azure()
    config["users"][0]["user"] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": "kubelogin",
            "args": [
                "get-token",
                "--environment",
                "AzurePublicCloud",
                "--server-id",
                "6dae42f8-4368-4678-94ff-960e28e3630e",
                "--client-id",
                "80faf920-1908-4b52-b5ef-a8e7bedfc67a",
                "--tenant-id",
                "tenant-of-the-cluster",
                "--login",
                "devicecode",
            ],
            "env": None,
            "installHint": "Install kubelogin.",
            "provideClusterInfo": False,
        }
    }
    return config


SERVER = ["--server-id", "6dae42f8-4368-4678-94ff-960e28e3630e"]


@pytest.mark.parametrize(
    ("method", "values", "arguments", "environment"),
    [
        ("azurecli", {}, ["--login", "azurecli", *SERVER], {}),
        ("msi", {}, ["--login", "msi", *SERVER], {"AZURE_CLIENT_ID": ""}),
        ("msi", {"client_id": "id"}, ["--login", "msi", *SERVER, "--client-id", "id"], {"AZURE_CLIENT_ID": "id"}),
        (
            "spn",
            {"client_id": "id", "tenant": "t", "secret": "s"},
            ["--login", "spn", *SERVER, "--client-id", "id", "--tenant-id", "t", "--environment", "AzurePublicCloud"],
            {
                "AZURE_CLIENT_ID": "id",
                "AZURE_TENANT_ID": "t",
                "AZURE_CLIENT_SECRET": "s",
                "AZURE_CLIENT_CERTIFICATE_PATH": "",
            },
        ),
        (
            "spn",
            {"client_id": "id", "tenant": "t", "x509_certificate_path": "/c.pem"},
            ["--login", "spn", *SERVER, "--client-id", "id", "--tenant-id", "t", "--environment", "AzurePublicCloud"],
            {"AZURE_CLIENT_ID": "id", "AZURE_TENANT_ID": "t", "AZURE_CLIENT_CERTIFICATE_PATH": "/c.pem"},
        ),
        (
            "workloadidentity",
            {"client_id": "id", "tenant": "t", "federated_token_file": "/token"},
            ["--login", "workloadidentity", *SERVER, "--client-id", "id", "--tenant-id", "t"],
            {"AZURE_CLIENT_ID": "id", "AZURE_TENANT_ID": "t", "AZURE_FEDERATED_TOKEN_FILE": "/token"},
        ),
    ],
)
def test_convert_for_each_sign_in(method, values, arguments, environment) -> None:
    original = entra()
    converted = _kubelogin.convert(original, _kubelogin.kubelogin_config(method, values))
    plugin = converted["users"][0]["user"]["exec"]
    assert plugin["args"] == ["get-token", *arguments]
    assert {one["name"]: one["value"] for one in plugin["env"] or []} == environment
    assert plugin["installHint"] == "Install kubelogin."
    assert original == entra()
    assert _kubelogin.convert(converted, _kubelogin.kubelogin_config(method, values)) == converted


@pytest.mark.parametrize("method", ["spn", "workloadidentity", "ropc", "devicecode"])
def test_convert_for_a_cloud_of_ones_own(method) -> None:
    values = {"client_id": "id", "tenant": "t"}
    login = _kubelogin.kubelogin_config(method, values, authority="https://login.example", ca_bundle="/ca.pem")
    plugin = _kubelogin.convert(entra(), login)["users"][0]["user"]["exec"]
    assert plugin["args"][plugin["args"].index("--authority-host") + 1] == "https://login.example/"
    assert plugin["args"][-1] == "--disable-instance-discovery"
    assert {"name": "SSL_CERT_FILE", "value": "/ca.pem"} in plugin["env"]


def test_whose_client_it_is_is_not_left_to_the_environment() -> None:
    plugin = _kubelogin.convert(entra(), _kubelogin.kubelogin_config("ropc", {}))["users"][0]["user"]["exec"]
    variables = {one["name"]: one["value"] for one in plugin["env"]}
    assert variables["AZURE_CLIENT_ID"] == plugin["args"][plugin["args"].index("--client-id") + 1]
    assert variables["AZURE_TENANT_ID"] == "tenant-of-the-cluster"


def test_convert_leaves_certificates_alone() -> None:
    assert _kubelogin.convert(from_azure(), _kubelogin.kubelogin_config("azurecli", {})) == from_azure()
    assert not _kubelogin.needs_login(from_azure())
    assert _kubelogin.needs_login(entra())


def test_login_secrets_can_be_left_out() -> None:
    login = _kubelogin.kubelogin_config("spn", {"client_id": "id", "tenant": "t", "secret": "s3cret-of-a-principal"})
    converted = _kubelogin.convert(entra(), login)
    assert kubeconfig_secrets(converted) == ["s3cret-of-a-principal"]
    assert "s3cret" not in json.dumps(_kubelogin.without_login_secrets(converted))


@pytest.mark.parametrize("year", [2031, 2056])
def test_expiry_of_a_client_certificate(year: int) -> None:
    end = datetime.datetime(year, 5, 6, 7, 8, 9, tzinfo=datetime.timezone.utc)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "masterclient")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    data = base64.b64encode(certificate.public_bytes(serialization.Encoding.PEM)).decode()
    config = from_azure()
    config["users"][0]["user"]["client-certificate-data"] = data
    assert kubeconfigs.expires(config) == end
    assert kubeconfigs.expires(from_azure()) is None


def test_file_names_differ_by_cluster_and_role() -> None:
    names = {
        identity(s, admin=admin, group=group).file_name
        for s in ("a", "b")
        for admin in (True, False)
        for group in ("g", "h")
    }
    assert len(names) == 8
    assert identity("A").file_name == identity("a").file_name


def ignore(*_values):
    """No secrets are kept, and no exec plugin is run, where only the way to a cluster is asked for."""


def test_a_cluster_that_only_aks_reaches(tmp_path) -> None:
    """What is noted survives a merge, and leads the modules to run-command, with the application to sign in to."""
    reached = kubeconfigs.with_az_names(from_azure(), identity(), run_command=True)
    assert kubeconfigs.by_run_command(reached)
    text = kubeconfigs.merge(PERSONAL, reached, identity(), context=None, current=True, origin="file")[0]
    with_entra = kubeconfigs.with_az_names(entra(), identity(), run_command=True)
    for config, server_id in ((yaml.safe_load(text), None), (with_entra, SERVER[1])):
        access = access_of({"kubeconfig": config, "context": CLUSTER}, str(tmp_path), ignore, ignore)
        assert access.run_command == RunCommand(identity().id.lower(), server_id)
    plain = kubeconfigs.with_az_names(from_azure(), identity())
    assert not kubeconfigs.by_run_command(plain)
    assert access_of({"kubeconfig": plain}, str(tmp_path), ignore, ignore).run_command is None
    host = {"kubeconfig": reached, "host": "https://elsewhere"}
    assert access_of(host, str(tmp_path), ignore, ignore).run_command is None


def foreign(text: str) -> list[str]:
    return kubeconfigs.foreign_entries(kubeconfigs.parse_kubeconfig(text, "file"), identity())


def test_what_this_collection_or_az_has_written_for_a_cluster_is_not_foreign() -> None:
    assert foreign("") == []
    assert foreign(kubeconfigs.render(from_azure())) == []
    assert foreign(kubeconfigs.render(kubeconfigs.with_az_names(from_azure(), identity()))) == []
    other = identity("s2", name="other")
    assert foreign(kubeconfigs.render(kubeconfigs.with_az_names(from_azure(who=other), other))) == []


def test_what_somebody_else_has_written_is_foreign() -> None:
    assert foreign(merged(PERSONAL)) == foreign(PERSONAL) != []
    another = from_azure(who=identity(name="another"))
    assert foreign(kubeconfigs.render(another)) == [
        "cluster another",
        "context another",
        "user clusterUser_myResourceGroup_another",
    ]
