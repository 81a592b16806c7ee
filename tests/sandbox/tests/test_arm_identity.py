"""Sign-in with the unmodified azure-identity, in every way the collection offers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from aks_sandbox.testing import SCOPE, Sandbox
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    UsernamePasswordCredential,
    WorkloadIdentityCredential,
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.started("test-arm-identity", kubernetes=False) as sandbox:
        yield sandbox


def works(sandbox: Sandbox, token: str) -> bool:
    """Does Resource Manager accept the token?"""
    response = requests.get(
        f"{sandbox.url}/subscriptions?api-version=2022-12-01",
        headers={"Authorization": f"Bearer {token}"},
        verify=str(sandbox.state.ca),
        timeout=10,
    )
    return response.status_code == 200 and response.json()["value"][0]["subscriptionId"] == sandbox.subscription


def options(sandbox: Sandbox) -> dict[str, Any]:
    return {
        "authority": sandbox.url,
        "disable_instance_discovery": True,
        "connection_verify": str(sandbox.state.ca),
    }


def test_secret(sandbox: Sandbox) -> None:
    assert works(sandbox, sandbox.credential().get_token(SCOPE).token)


def test_tokens_can_be_checked_by_whoever_they_are_for(sandbox: Sandbox) -> None:
    """As an API server does it: the issuer's discovery document leads to the key."""
    token = sandbox.credential().get_token("6dae42f8-4368-4678-94ff-3960e28e3630/.default").token
    issuer = str(jwt.decode(token, options={"verify_signature": False})["iss"])
    trust = str(sandbox.state.ca)
    found = requests.get(f"{issuer}.well-known/openid-configuration", verify=trust, timeout=10).json()
    assert found["issuer"] == issuer
    (key,) = requests.get(found["jwks_uri"], verify=trust, timeout=10).json()["keys"]
    audience = "6dae42f8-4368-4678-94ff-3960e28e3630"
    claims = jwt.decode(token, jwt.PyJWK(key).key, algorithms=["RS256"], audience=audience, issuer=issuer)
    assert claims["appid"] == sandbox.variables["AZURE_CLIENT_ID"]
    assert not works(sandbox, token)


def test_certificate(sandbox: Sandbox) -> None:
    values = sandbox.variables
    credential = CertificateCredential(
        values["AZURE_TENANT"], values["AZURE_CLIENT_ID"], values["AKS_SANDBOX_CLIENT_CERTIFICATE"], **options(sandbox)
    )
    assert works(sandbox, credential.get_token(SCOPE).token)
    other = CertificateCredential(
        values["AZURE_TENANT"],
        values["AKS_SANDBOX_OWNER_CLIENT_ID"],
        values["AKS_SANDBOX_CLIENT_CERTIFICATE"],
        **options(sandbox),
    )
    with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
        other.get_token(SCOPE)


def test_workload_identity(sandbox: Sandbox, tmp_path: Path) -> None:
    values = sandbox.variables
    tenant, client = values["AZURE_TENANT"], values["AZURE_CLIENT_ID"]
    credential = WorkloadIdentityCredential(
        tenant_id=tenant,
        client_id=client,
        token_file_path=values["AKS_SANDBOX_FEDERATED_TOKEN_FILE"],
        **options(sandbox),
    )
    assert works(sandbox, credential.get_token(SCOPE).token)
    forged = tmp_path / "token"
    head, body, _unused = Path(values["AKS_SANDBOX_FEDERATED_TOKEN_FILE"]).read_text().split(".")
    forged.write_text(f"{head}.{body}.AAAA")
    credential = WorkloadIdentityCredential(
        tenant_id=tenant, client_id=client, token_file_path=str(forged), **options(sandbox)
    )
    with pytest.raises(ClientAuthenticationError, match="AADSTS700211"):
        credential.get_token(SCOPE)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_user_and_password(sandbox: Sandbox) -> None:
    """MSAL looks a user's realm up on port 443 whatever the authority's port is, but for an authority of ADFS's."""
    values = sandbox.variables
    client = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

    def credential(password: str) -> UsernamePasswordCredential:
        return UsernamePasswordCredential(
            client, values["AKS_SANDBOX_USER"], password, tenant_id="adfs", **options(sandbox)
        )

    assert works(sandbox, credential(values["AKS_SANDBOX_PASSWORD"]).get_token(SCOPE).token)
    with pytest.raises(ClientAuthenticationError, match="AADSTS50126"):
        credential("wrong").get_token(SCOPE)


@pytest.mark.parametrize(
    ("tenant", "client", "secret", "code"),
    [
        (None, None, "wrong", "AADSTS7000215"),
        (None, "00000000-0000-0000-0000-000000000000", None, "AADSTS700016"),
        ("00000000-0000-0000-0000-000000000000", None, None, "AADSTS90002|Unable to get authority configuration"),
    ],
)
def test_refusals(sandbox: Sandbox, tenant: str | None, client: str | None, secret: str | None, code: str) -> None:
    values = sandbox.variables
    credential = ClientSecretCredential(
        tenant or values["AZURE_TENANT"],
        client or values["AZURE_CLIENT_ID"],
        secret or values["AZURE_SECRET"],
        **options(sandbox),
    )
    with pytest.raises(ClientAuthenticationError, match=code):
        credential.get_token(SCOPE)


@pytest.mark.parametrize("kind", ["virtual machine", "app service"])
def test_managed_identity(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    values = sandbox.variables
    if kind == "virtual machine":
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", values["AKS_SANDBOX_IMDS"])
    else:
        monkeypatch.setenv("IDENTITY_ENDPOINT", values["AKS_SANDBOX_IMDS"] + "/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", values["AKS_SANDBOX_IDENTITY_HEADER"])
    assert works(sandbox, ManagedIdentityCredential().get_token(SCOPE).token)
    assigned = ManagedIdentityCredential(client_id=values["AKS_SANDBOX_USER_IDENTITY_CLIENT_ID"])
    assert works(sandbox, assigned.get_token(SCOPE).token)
    with pytest.raises(ClientAuthenticationError):
        ManagedIdentityCredential(client_id=values["AZURE_CLIENT_ID"]).get_token(SCOPE)


def test_the_plain_port_serves_nothing_else(sandbox: Sandbox) -> None:
    root = sandbox.variables["AKS_SANDBOX_IMDS"]
    assert requests.get(f"{root}/subscriptions?api-version=2022-12-01", timeout=5).status_code == 404
    token = f"{root}/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/"
    assert requests.get(token, timeout=5).status_code == 400


def test_tokens_expire_and_have_an_audience(sandbox: Sandbox) -> None:
    def ask(token: str | None) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{sandbox.url}/subscriptions?api-version=2022-12-01"
        return requests.get(url, headers=headers, verify=str(sandbox.state.ca), timeout=5)

    for token, code in [
        (None, "AuthenticationFailed"),
        ("not-a-token", "InvalidAuthenticationToken"),
        (
            sandbox.credential().get_token("https://api.loganalytics.io/.default").token,
            "InvalidAuthenticationTokenAudience",
        ),
    ]:
        response = ask(token)
        assert (response.status_code, response.json()["error"]["code"]) == (401, code)
        assert response.headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")
    with sandbox.having(token_lifetime_seconds=-1.0):
        values = sandbox.variables
        fresh = requests.post(
            f"{sandbox.url}/{values['AZURE_TENANT']}/oauth2/v2.0/token",
            data={
                "grant_type": "client_credentials",
                "client_id": values["AZURE_CLIENT_ID"],
                "client_secret": values["AZURE_SECRET"],
                "scope": SCOPE,
            },
            verify=str(sandbox.state.ca),
            timeout=5,
        ).json()
    assert ask(fresh["access_token"]).json()["error"]["code"] == "ExpiredAuthenticationToken"


def test_cloud_metadata(sandbox: Sandbox) -> None:
    answer = requests.get(
        f"{sandbox.url}/metadata/endpoints?api-version=2022-09-01", verify=str(sandbox.state.ca), timeout=5
    ).json()
    assert answer["resourceManager"] == sandbox.url + "/"
    assert answer["authentication"]["loginEndpoint"] == sandbox.url
    assert "https://management.azure.com/" in answer["authentication"]["audiences"]


def test_the_record_holds_no_secret(sandbox: Sandbox) -> None:
    sandbox.container_service().managed_clusters.list_cluster_admin_credentials(sandbox.resource_group, sandbox.cluster)
    text = sandbox.state.traffic.read_text() + sandbox.state.log.read_text()
    for name, value in sandbox.variables.items():
        if "SECRET" in name or "PASSWORD" in name:
            assert value not in text
    assert Path(sandbox.variables["AKS_SANDBOX_FEDERATED_TOKEN_FILE"]).read_text() not in text
    token = sandbox.credential().get_token(SCOPE).token
    assert token not in text
    assert token.rpartition(".")[0] not in text
    entries = [json.loads(line) for line in sandbox.state.traffic.read_text().splitlines()]
    credentials = [each for each in entries if each["url"].partition("?")[0].endswith("listClusterAdminCredential")]
    assert credentials[-1]["response_body"]["kubeconfigs"][0]["value"] == "REDACTED"


def test_a_client_without_our_authority_is_refused(sandbox: Sandbox) -> None:
    code = f"import urllib.request as r; r.urlopen({sandbox.url!r} + '/subscriptions')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
