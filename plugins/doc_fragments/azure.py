# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a module signs in to Azure; the options are those of ``_azure/_arguments.py``."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation that modules compose."""

    DOCUMENTATION = r"""
options:
  subscription_id:
    description:
      - The subscription to work in.
      - By default E(AZURE_SUBSCRIPTION_ID), the profile's, or the default subscription of C(az login).
    type: str
  tenant:
    description:
      - The Microsoft Entra tenant that signs in. By default E(AZURE_TENANT) or E(AZURE_TENANT_ID).
    type: str
    aliases: [tenant_id, azure_tenant]
  client_id:
    description:
      - The application of a service principal or of a workload identity, or the client id of a user-assigned managed
        identity. By default E(AZURE_CLIENT_ID).
    type: str
  secret:
    description:
      - The secret of the service principal. By default E(AZURE_SECRET) or E(AZURE_CLIENT_SECRET).
    type: str
    aliases: [client_secret]
  x509_certificate_path:
    description:
      - A PEM or PKCS12 file with the certificate and the private key of the service principal. By default
        E(AZURE_X509_CERTIFICATE_PATH) or E(AZURE_CLIENT_CERTIFICATE_PATH); its password is taken from
        E(AZURE_CLIENT_CERTIFICATE_PASSWORD).
    type: path
  thumbprint:
    description:
      - Accepted so that one C(module_defaults) serves this collection and azure.azcollection. It is not used, because
        the certificate's thumbprint follows from the certificate.
    type: str
  ad_user:
    description:
      - A user who signs in by password. By default E(AZURE_AD_USER) or E(AZURE_USERNAME). Azure refuses it to users
        with multi-factor authentication.
    type: str
  password:
    description:
      - The password of O(ad_user). By default E(AZURE_PASSWORD).
    type: str
  profile:
    description:
      - A profile of C(~/.azure/credentials), an INI file with the keys C(subscription_id), C(tenant), C(client_id),
        C(secret), C(ad_user), C(password), C(cloud_environment). By default E(AZURE_PROFILE), then the profile
        C(default).
    type: str
  federated_token_file:
    description:
      - A file with the token of a workload identity, as Kubernetes or a pipeline provides it. By default
        E(AZURE_FEDERATED_TOKEN_FILE).
    type: path
  auth_source:
    description:
      - How to sign in. By default E(ANSIBLE_AZURE_AUTH_SOURCE), then V(auto).
      - V(auto) takes the first that is there of these. The secret, certificate, password or federated token among the
        options, then among the environment variables, then in the profile of C(~/.azure/credentials), then C(az
        login), then the managed identity of the machine. When Azure refuses the first four, the others are not tried.
      - V(env) takes the environment variables only.
      - V(credential_file) takes the profile only. It is what a set O(profile) means.
      - V(cli) takes C(az login), V(msi) the managed identity, V(workload_identity) the federated token.
    type: str
    choices: [auto, cli, credential_file, env, msi, workload_identity]
  cloud_environment:
    description:
      - V(AzureCloud), V(AzureUSGovernment), V(AzureChinaCloud), or the https URL of a Resource Manager that describes
        its cloud under C(/metadata/endpoints).
      - By default E(AZURE_CLOUD_ENVIRONMENT), the profile's, then V(AzureCloud).
    type: str
  ca_bundle:
    description:
      - A file of certificate authorities to trust instead of the system's. By default E(REQUESTS_CA_BUNDLE).
      - There is no option that turns the verification off.
    type: path
requirements:
  - azure-identity >= 1.17.0
  - azure-mgmt-containerservice >= 32.1.0
notes:
  - An environment variable that is set but empty counts as unset.
  - E(HTTPS_PROXY) and E(NO_PROXY) are honoured.
  - The environment variable E(AKS_GPU_RECORDING) is the absolute path of a file to which the traffic with Resource
    Manager is appended, for a report of a fault. Names, ids, addresses, tokens and keys are replaced before it is
    written.
  - Within one run of Ansible, a token is fetched once and kept in the private temporary directory of the run.
"""

    CLUSTER = r"""
options:
  resource_group:
    description: The resource group of the cluster.
    type: str
    required: true
    aliases: [resource_group_name]
  cluster_name:
    description: The cluster.
    type: str
    required: true
"""
