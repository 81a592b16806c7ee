# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way to sign in is taken, from options, environment and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._azure._cloud import CLOUDS, cloud_of_metadata, named_cloud
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureSignInFailed
from ansible_collections.aks.gpu.plugins.module_utils._azure._run_cache import RunCache
from ansible_collections.aks.gpu.plugins.module_utils._azure._sign_in import Choice, Method, Tokens, choose

PRINCIPAL = {"AZURE_CLIENT_ID": "app", "AZURE_TENANT": "tenant", "AZURE_SECRET": "planted-secret"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".azure").mkdir()
    (tmp_path / ".azure" / "credentials").write_text(
        "[default]\nclient_id=file-app\ntenant=file-tenant\nsecret=file-secret\nsubscription_id=file-subscription\n"
        "[other]\nad_user=me@example\npassword=p%ss\ncloud_environment=AzureUSGovernment\n"
    )
    (tmp_path / ".azure" / "azureProfile.json").write_text(
        "\ufeff" + json.dumps({"subscriptions": [{"id": "not"}, {"id": "cli-subscription", "isDefault": True}]})
    )
    return tmp_path


def first(params: dict[str, Any], environ: dict[str, str], home: Path | None = None) -> Method:
    return choose(params, {"HOME": str(home or "/nonexistent"), **environ}).methods[0]


def test_awx_sets_variables_that_are_empty() -> None:
    environ = {
        **PRINCIPAL,
        "AZURE_SUBSCRIPTION_ID": "",
        "AZURE_AD_USER": "",
        "AZURE_PASSWORD": "",
        "AZURE_TENANT_ID": "",
    }
    choice = choose({}, {"HOME": "/nonexistent", **environ})
    assert (choice.methods[0].kind, choice.methods[0].values["client_id"]) == ("secret", "app")
    assert "subscription_id" not in choice.settings


def test_the_sdks_names_serve_as_well() -> None:
    method = first({}, {"AZURE_CLIENT_ID": "a", "AZURE_TENANT_ID": "t", "AZURE_CLIENT_SECRET": "s", "AZURE_TENANT": ""})
    assert (method.kind, method.values["tenant"], method.values["secret"]) == ("secret", "t", "s")


def test_options_go_before_the_environment_and_are_filled_from_it() -> None:
    method = first({"secret": "other", "client_id": "mine"}, PRINCIPAL)
    assert method.source == "options"
    assert (method.values["client_id"], method.values["tenant"], method.values["secret"]) == ("mine", "tenant", "other")


def test_a_password_among_the_options_goes_before_a_secret_in_the_environment() -> None:
    assert first({"ad_user": "me", "password": "x"}, PRINCIPAL).kind == "user"


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({"AZURE_X509_CERTIFICATE_PATH": "/c.pem", "AZURE_CLIENT_ID": "a", "AZURE_TENANT": "t"}, "certificate"),
        ({"AZURE_CLIENT_CERTIFICATE_PATH": "/c.pem", "AZURE_CLIENT_ID": "a", "AZURE_TENANT": "t"}, "certificate"),
        ({"AZURE_FEDERATED_TOKEN_FILE": "/t", "AZURE_CLIENT_ID": "a", "AZURE_TENANT_ID": "t"}, "workload_identity"),
        ({"AZURE_USERNAME": "u", "AZURE_PASSWORD": "p"}, "user"),
        ({}, "cli"),
    ],
)
def test_what_the_environment_amounts_to(environ: dict[str, str], kind: str) -> None:
    assert first({}, environ).kind == kind


def test_an_incomplete_way_is_passed_over_and_said_so() -> None:
    choice = choose({}, {"HOME": "/nonexistent", "AZURE_SECRET": "planted-secret"})
    assert "environment: secret without client_id and tenant" in choice.passed_over
    assert "planted-secret" not in repr(choice)


def test_profiles(home: Path) -> None:
    assert first({}, {}, home).values["client_id"] == "file-app"
    assert first({}, PRINCIPAL, home).values["client_id"] == "app", "the environment goes first"
    other = choose({"profile": "other"}, {"HOME": str(home), **PRINCIPAL})
    assert [method.kind for method in other.methods] == ["user"]
    assert other.methods[0].values["password"] == "p%ss"
    assert other.settings["cloud_environment"] == "AzureUSGovernment"
    assert choose({"auth_source": "credential_file"}, {"HOME": str(home)}).settings["subscription_id"] == (
        "file-subscription"
    )
    with pytest.raises(AzureSignInFailed, match=r"no profile \[nope\]"):
        choose({"profile": "nope"}, {"HOME": str(home)})


def test_a_source_can_be_forced(home: Path) -> None:
    def kinds(source: str, **params: Any) -> list[str]:
        choice = choose({"auth_source": source, **params}, {"HOME": str(home), **PRINCIPAL})
        return [method.kind for method in choice.methods]

    assert kinds("cli") == ["cli"]
    assert kinds("msi") == ["msi"]
    assert kinds("env") == ["secret"]
    assert kinds("credential_file") == ["secret"]
    assert kinds("workload_identity", federated_token_file="/t") == ["workload_identity"]
    assert kinds("auto") == ["secret", "secret", "cli", "msi"]
    with pytest.raises(AzureSignInFailed, match="ANSIBLE_AZURE_AUTH_SOURCE"):
        choose({}, {"HOME": str(home), "ANSIBLE_AZURE_AUTH_SOURCE": "magic"})


def test_the_subscription_of_the_cli_is_the_last_resort(home: Path) -> None:
    choice = choose({"auth_source": "cli"}, {"HOME": str(home)})
    assert choice.settings["cli_subscription_id"] == "cli-subscription"
    choice = choose({"auth_source": "cli", "subscription_id": "mine"}, {"HOME": str(home)})
    assert choice.settings["subscription_id"] == "mine"


def test_who_has_signed_in_depends_on_the_folder_of_the_cli(home: Path) -> None:
    def principal(**environ: str) -> list[str | None]:
        return choose({"auth_source": "cli"}, {"HOME": str(home), **environ}).principal

    assert principal() == principal(AZURE_CONFIG_DIR=str(home / ".azure"))
    assert principal() != principal(AZURE_CONFIG_DIR=str(home / "other"))


def test_a_failure_names_what_was_tried_in_order_without_a_secret(tmp_path: Path) -> None:
    choice = Choice(
        (Method("certificate", "options", {"client_id": "app", "tenant": "t", "x509_certificate_path": "/none.pem"}),),
        ("environment: secret without tenant",),
        {},
    )
    tokens = Tokens(choice, CLOUDS["azurecloud"], {}, RunCache(str(tmp_path)), lambda token: None)
    with pytest.raises(AzureSignInFailed) as caught:
        tokens.token()
    text = str(caught.value)
    assert text.index("environment: secret") < text.index("service principal app by certificate")
    assert "/none.pem" in text


# --- facts shared by the tasks of a run --------------------------------------------------------------------------


def test_a_fact_is_fetched_once_and_private(tmp_path: Path) -> None:
    fetched: list[int] = []

    def fetch() -> dict[str, int]:
        fetched.append(1)
        return {"n": len(fetched)}

    for _task in range(3):
        assert RunCache(str(tmp_path)).get("key", lambda fact: True, fetch) == {"n": 1}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert RunCache(str(tmp_path)).get("key", lambda fact: fact["n"] > 1, fetch) == {"n": 2}
    assert RunCache(None).get("key", lambda fact: True, fetch) == {"n": 3}
    with pytest.raises(TypeError):
        RunCache(str(tmp_path)).get("other", lambda fact: True, lambda: {"not": object()})
    assert [path.name for path in tmp_path.iterdir()] == ["azure-key.json"], "no lock and no half file is left"


def test_only_the_refused_fact_is_forgotten(tmp_path: Path) -> None:
    facts = RunCache(str(tmp_path))
    facts.get("key", lambda fact: True, lambda: {"token": "new"})
    facts.forget("key", lambda fact: fact["token"] == "old")
    assert facts.get("key", lambda fact: True, lambda: {"token": "third"}) == {"token": "new"}
    facts.forget("key", lambda fact: fact["token"] == "new")
    assert facts.get("key", lambda fact: True, lambda: {"token": "third"}) == {"token": "third"}


# --- clouds ------------------------------------------------------------------------------------------------------


def test_clouds_by_name_and_by_metadata() -> None:
    assert named_cloud("azureusgovernment") is CLOUDS["azureusgovernment"]
    assert named_cloud("https://localhost:1234") is None
    for wrong in ("AzureMoon", "http://localhost:1"):
        with pytest.raises(Failure, match="is no cloud of Azure"):
            named_cloud(wrong)
    metadata = {
        "name": "Own",
        "resourceManager": "https://arm.example/",
        "authentication": {"loginEndpoint": "https://login.example/", "audiences": ["https://a/"]},
    }
    cloud = cloud_of_metadata("https://arm.example", metadata)
    assert (cloud.resource_manager, cloud.authority, cloud.public) == (
        "https://arm.example",
        "https://login.example",
        False,
    )
    broken: object
    for broken in ([], {}, {**metadata, "resourceManager": "http://arm.example"}):
        with pytest.raises(Failure):
            cloud_of_metadata("https://arm.example", broken)
