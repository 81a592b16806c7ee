"""Microsoft Entra ID in front of Kubernetes: whose tokens an API server accepts, and the kubeconfig of such a cluster.

Formats: learn.microsoft.com/azure/aks/kubelogin-authentication; the API server's side is its structured authentication
configuration, kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import yaml

from aks_sandbox.interfaces import Json

SERVER_ID = "6dae42f8-4368-4678-94ff-3960e28e3630"
"""The application of AKS's API servers, the same in every tenant."""

CLIENT_ID = "80faf920-1908-4b52-b5ef-a8e7bedfc67a"
"""The public client by which kubelogin signs people in, the same in every tenant."""

GROUP = "aks:entra"
"""The Kubernetes group of everybody who comes with a token of Entra ID. The sandbox's own; it gives no rights."""


@dataclass(frozen=True)
class EntraId:
    """A tenant whose tokens the API servers accept.

    Attributes:
        issuer: `iss` of its tokens; `/.well-known/openid-configuration` is below it.
        certificate_authority: of the issuer, PEM.
        administrators: the users, by object id or user name, that may do everything, as the members of
            `adminGroupObjectIDs`. All others are known, and may do nothing.
    """

    issuer: str
    certificate_authority: str
    administrators: tuple[str, ...]

    def authentication(self) -> str:
        """The API server's --authentication-config. A user is called by his name, a service principal by object id."""
        return json.dumps(
            {
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "AuthenticationConfiguration",
                "jwt": [
                    {
                        "issuer": {
                            "url": self.issuer,
                            "audiences": [SERVER_ID],
                            "certificateAuthority": self.certificate_authority,
                        },
                        "claimMappings": {
                            "username": {"expression": "has(claims.upn) ? claims.upn : claims.oid"},
                            "groups": {"expression": f"['{GROUP}']"},
                            "uid": {"expression": "claims.oid"},
                        },
                    }
                ],
            }
        )

    def subjects(self) -> list[Json]:
        """The administrators as subjects of a ClusterRoleBinding."""
        return [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name} for name in self.administrators]


def with_kubelogin(kubeconfig: str, tenant: str, environment: str = "AzurePublicCloud") -> str:
    """A kubeconfig whose user signs in by kubelogin with a browser and a code, as AKS hands it out."""
    config = yaml.safe_load(kubeconfig)
    arguments = {
        "--environment": environment,
        "--server-id": SERVER_ID,
        "--client-id": CLIENT_ID,
        "--tenant-id": tenant,
        "--login": "devicecode",
    }
    config["users"][0]["user"] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "args": ["get-token", *(word for pair in arguments.items() for word in pair)],
            "command": "kubelogin",
            "env": None,
            "installHint": "\nkubelogin is not installed which is required to connect to AAD enabled cluster.\n\n"
            "To learn more, please go to https://aka.ms/aks/kubelogin\n",
            "provideClusterInfo": False,
        }
    }
    return yaml.safe_dump(config, sort_keys=False)
