# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory plugin ``aks.gpu.clusters``."""

from __future__ import annotations

DOCUMENTATION = r"""
name: clusters
short_description: AKS clusters as hosts
version_added: 0.1.0
author: aks.gpu authors (@aks-gpu)
description:
  - Each host is a cluster of Azure Kubernetes Service, for the playbooks and roles of this collection. The name of the
    file must end with C(aks_gpu.yml), C(aks_gpu.yaml), C(clusters.yml) or C(clusters.yaml).
  - A subscription is asked for one list of its clusters (page by page), however many there are; the node pools are in
    it.
  - A host has the variables C(aks_subscription_id), C(aks_resource_group) and C(aks_cluster_name), which roles and
    playbooks take; for expressions, C(aks_subscription_name) (where names were asked for), C(aks_id), C(aks_location),
    C(aks_tags), C(aks_sku), C(aks_kubernetes_version), C(aks_provisioning_state), C(aks_power_state), C(aks_private),
    C(aks_fqdn), C(aks_node_pools) (names), C(aks_gpus) (those that the nodes of now have), C(aks_gpu_models),
    C(aks_gpu_stacks); and C(aks_gpu_pools), a list with C(name), C(vm_size), C(count), C(enable_auto_scaling),
    C(min_count), C(max_count), C(gpus_per_node), C(gpus), C(gpu_model), C(gpu_vendor), C(gpu_stack),
    C(gpu_instance_profile), C(scale_set_priority), C(provisioning_state), C(power_state).
  - C(gpu_stack) is V(managed) or V(operator) where the pool says so. Any other NVIDIA pool is V(device_plugin), because
    Azure knows only that it has a driver.
options:
  plugin:
    description: The plugin's name, which says whose file this is.
    type: str
    required: true
    choices: [aks.gpu.clusters]
  subscriptions:
    description:
      - Ids of subscriptions; or patterns of their names, such as V(prod-*), for which the list of all visible
        subscriptions is read. V(*) means all of them.
      - By default the one subscription that the sign-in names, see O(subscription_id).
    type: list
    elements: str
  strict_permissions:
    description:
      - Whether a subscription whose clusters the signed-in principal may not list, or that it can't see, is an error.
        With V(false) it is a warning, and the subscription's clusters are left out.
    type: bool
    default: true
  names:
    description:
      - Patterns of clusters' names, such as V(team-a-*). One that begins with V(!) takes clusters out. Letter case is
        ignored.
    type: list
    elements: str
    default: []
  resource_groups:
    description: Patterns of resource groups' names, as in O(names).
    type: list
    elements: str
    default: []
  locations:
    description: Regions, such as V(westus2) or V(West US 2), and patterns as in O(names).
    type: list
    elements: str
    default: []
  tags:
    description:
      - Tags that a cluster must have. A value is a pattern, a list of patterns of which one must fit, or empty where
        any value will do. Letter case is ignored in a tag's name, as Azure does, and not in its value.
    type: dict
    default: {}
  gpu_pools:
    description:
      - V(true) takes only clusters that have a pool of a GPU size, V(false) only those that have none. By default,
        both.
    type: bool
  power_state:
    description: Takes only running, or only stopped clusters. By default, both.
    type: str
    choices: [Running, Stopped]
  hostname:
    description:
      - A Jinja expression for a host's name, such as V(aks_cluster_name ~ '.' ~ aks_resource_group), over the host's
        variables. Two clusters of the same name are an error.
      - By default it is the cluster's name. Where several of the inventory have it (letter case ignored), all of these
        are called C(NAME.RESOURCE_GROUP), and where that isn't unique, C(NAME.RESOURCE_GROUP.SUBSCRIPTION_ID).
    type: str
  default_groups:
    description:
      - Whether each host is put into groups by region (C(aks_region_westus2)), Kubernetes version
        (C(aks_version_1_36)), subscription (C(aks_subscription_ID), with C(_) for C(-)), GPU model
        (C(aks_gpu_model_nvidia_t4)), GPU stack (C(aks_gpu_stack_managed)), and into C(aks_without_gpus) or
        C(aks_stopped) where it is so.
    type: bool
    default: true
  timeout:
    description: Seconds that reading all subscriptions may take, waits for Azure's rate limits included.
    type: int
    default: 300
extends_documentation_fragment:
  - aks.gpu.azure
  - constructed
  - inventory_cache
notes:
  - Options that sign in, and O(subscriptions), may be Jinja templates, over extra variables and lookups.
  - Credentials are never part of the cache, which holds the variables above.
  - Ansible goes on with a warning when an inventory can't be read. E(ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED) makes it
    an error.
"""

EXAMPLES = r"""
# aks_gpu.yml: the clusters of the subscription of AZURE_SUBSCRIPTION_ID, or of az login. The first line is enough.
# prod.aks_gpu.yml: some clusters of some subscriptions:
plugin: aks.gpu.clusters
subscriptions: [prod-*, 11111111-1111-1111-1111-111111111111]
locations: [westus2, eastus]
names: ["*", "!*-old"]
tags:
  team: [vision, speech]
  gpu:
power_state: Running
keyed_groups:
  - key: aks_tags.team | default('nobody')
    prefix: team
groups:
  busy: aks_gpus | default(0, true) > 8
compose:
  node_pool_name: aks_tags['gpu-pool'] | default('gpunp')
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/ansible-inventory
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.unsafe_proxy import wrap_var

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core 2.18 and older
    trust_as_template = None  # type: ignore[assignment]

from ansible_collections.aks.gpu.plugins.module_utils._ansible import _progress, _secrets
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._azure._arguments import AZURE_ARGUMENTS
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError
from ansible_collections.aks.gpu.plugins.module_utils._azure._run_cache import key_of
from ansible_collections.aks.gpu.plugins.module_utils._azure._session import sign_in
from ansible_collections.aks.gpu.plugins.module_utils._azure._sign_in import Choice, choose, require_subscription
from ansible_collections.aks.gpu.plugins.module_utils._azure._subscription import clusters, subscriptions
from ansible_collections.aks.gpu.plugins.plugin_utils._clusters import (
    Facts,
    Wanted,
    cluster_facts,
    groups_of,
    host_names,
    matches,
)

FILE_ENDS = ("aks_gpu.yml", "aks_gpu.yaml", "clusters.yml", "clusters.yaml")
ID_LENGTH = 36
LOGGERS = ("azure", "msal", "urllib3")
"""Those whose warnings Python would print; what matters in them is in the error."""
NOT_TO_BE_SEEN = ("SubscriptionNotFound", "InvalidSubscriptionId", "InvalidAuthenticationTokenTenant")
"""Codes of Azure for a subscription that the principal knows nothing of."""


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Clusters of Azure's subscriptions."""

    NAME = "aks.gpu.clusters"

    _secrets: set[str]

    def verify_file(self, path: str) -> bool:
        """Says whether a file may be meant for this plugin, by the end of its name."""
        readable: bool = super().verify_file(path)  # type: ignore[no-untyped-call]
        return readable and path.endswith(FILE_ENDS)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fills the inventory.

        Raises:
            AnsibleParserError: The file is wrong, or Azure can't be read.
        """
        super().parse(inventory, loader, path, cache)
        self._secrets = set()
        self._read_config_data(path)  # type: ignore[no-untyped-call]
        try:
            self._populate(inventory, self._clusters(path, cache))
        except Failure as failure:
            raise AnsibleParserError(str(_secrets.mask_secrets(str(failure), self._secrets))) from None

    def _clusters(self, path: str, cache: bool) -> list[Facts]:
        """Returns all clusters of the subscriptions: the cache's, or Azure's.

        Args:
            path: The inventory file.
            cache: False when Ansible wants what the cache has to be read anew.
        """
        params = {name: self._templated(name) for name in AZURE_ARGUMENTS.options}
        choice = choose(params, os.environ)
        wanted = _option_texts(self._templated("subscriptions"))
        if not wanted:
            wanted = [require_subscription(choice.settings)]
        caching = bool(self._option("cache"))
        key = f"{self.get_cache_key(path)}_{_host_identity(choice, wanted)}"
        if caching and cache:
            with contextlib.suppress(KeyError):
                return list(self._cache[key])
        found, complete = self._read(params, wanted)
        if caching and complete:
            self._cache[key] = found
        return found

    def _option(self, name: str) -> Any:
        return self.get_option(name)  # type: ignore[no-untyped-call]

    def _templated(self, option: str) -> Any:
        value = self._option(option)
        if not self.templar.is_template(value):
            return value
        self.templar.available_variables = self._vars or {}
        return self.templar.template(value)

    def _read(self, params: dict[str, Any], wanted: list[str]) -> tuple[list[Facts], bool]:
        """Asks Azure.

        Args:
            params: The options of the sign-in.
            wanted: Ids and patterns of names of subscriptions.

        Returns:
            The clusters, and whether no subscription had to be left out.
        """
        found: list[Facts] = []
        complete = True
        with self._shown_waits():
            session = sign_in(
                {**params, "subscription_id": wanted[0]},
                vars(constants)["DEFAULT_LOCAL_TMP"],
                self._mask,
                _progress.Deadline(float(self._option("timeout"))),
                _progress.Progress(mask=lambda text: str(_secrets.mask_secrets(text, self._secrets))),
            )
            ids: dict[str, str | None] = {each.lower(): None for each in wanted if _is_id(each)}
            patterns = [each for each in wanted if not _is_id(each)]
            if patterns:
                ids.update(_named_groups(subscriptions(session.client), patterns, keep=ids))
            for subscription_id, name in ids.items():
                try:
                    listed = clusters(session.client, subscription_id)
                except AzureError as error:
                    if self._option("strict_permissions") or not _is_forbidden(error):
                        raise
                    complete = False
                    self.display.warning(f"{self.NAME} leaves a subscription out: {error}")
                    continue
                found += [cluster_facts(cluster, name) for cluster in listed]
        return found, complete

    def _mask(self, *secrets: str | None) -> None:
        self._secrets.update(secret for secret in secrets if secret)
        _secrets.register(self._secrets)

    @contextlib.contextmanager
    def _shown_waits(self) -> Iterator[None]:
        """Shows waits on standard error: ansible-inventory writes JSON to standard output. Libraries show nothing."""
        silent = logging.NullHandler()
        loggers = [logging.getLogger(name) for name in LOGGERS]
        for logger in loggers:
            logger.addHandler(silent)
        _progress.sink = lambda text: self.display.display(text, stderr=True)
        try:
            yield
        finally:
            _progress.sink = None
            for logger in loggers:
                logger.removeHandler(silent)

    def _populate(self, inventory: Any, found: list[Facts]) -> None:
        wanted = Wanted(
            names=self._option("names"),
            resource_groups=self._option("resource_groups"),
            locations=self._option("locations"),
            tags={str(name): _patterns(value) for name, value in self._option("tags").items()},
            gpu_pools=self._option("gpu_pools"),
            power_state=self._option("power_state"),
        )
        hosts = [_inert(cluster) for cluster in found if wanted.fits(cluster)]
        if not hosts:
            self.display.warning(f"{self.NAME}: none of {len(found)} clusters is one that this inventory asks for.")
        hosts.sort(key=lambda each: [each[key].lower() for key in ("aks_cluster_name", "aks_resource_group", "aks_id")])
        for name, variables in zip(host_names(hosts, self._asked_name), hosts, strict=True):
            inventory.add_host(name)
            for variable, value in variables.items():
                inventory.set_variable(name, variable, value)
            if self._option("default_groups"):
                for group in groups_of(variables):
                    inventory.add_group(group)
                    inventory.add_child(group, name)
            self._construct(name, variables)

    def _construct(self, name: str, variables: Facts) -> None:
        """Does for a host what ``constructed`` does, by the same options."""
        constructed: Any = self
        strict = self._option("strict")
        constructed._set_composite_vars(self._option("compose"), variables, name, strict=strict)
        constructed._add_host_to_composed_groups(self._option("groups"), variables, name, strict=strict)
        constructed._add_host_to_keyed_groups(self._option("keyed_groups"), variables, name, strict=strict)

    def _compose(self, *arguments: Any, **options: Any) -> Any:
        """Evaluates an expression of ``compose``, ``keyed_groups`` or ``hostname``."""
        value = super()._compose(*arguments, **options)  # type: ignore[no-untyped-call]
        return value if trust_as_template is None else _inert(value)

    def _asked_name(self, cluster: Facts) -> str | None:
        expression = self._option("hostname")
        if not expression:
            return None
        try:
            name = self._compose(expression, cluster)
        except AnsibleError as error:
            raise Failure(f"hostname: {expression!r} can't be evaluated for {cluster['aks_id']}: {error}") from error
        return str(name).strip()


def _is_id(text: str) -> bool:
    return len(text) == ID_LENGTH and text.count("-") == 4 and not set(text.lower()) - set("0123456789abcdef-")


def _option_texts(value: Any) -> list[str]:
    """Returns the texts of a list; a template in it may have turned into a list, or into comma-separated text."""
    if isinstance(value, (list, tuple)):
        return [text for each in value for text in _option_texts(each)]
    return [text.strip() for text in str(value or "").split(",") if text.strip()]


def _named_groups(listed: list[dict[str, Any]], patterns: list[str], keep: Mapping[str, Any]) -> dict[str, str | None]:
    """Returns the display names of subscriptions, by id: those that fit a pattern, and those to be kept anyway."""
    names = {str(each.get("subscriptionId")).lower(): str(each.get("displayName") or "") for each in listed}
    found: dict[str, str | None] = {
        each: name for each, name in sorted(names.items()) if each in keep or matches(name, patterns)
    }
    if not set(found) - set(keep):
        raise Failure(
            f"subscriptions: no subscription's name fits {', '.join(patterns)}.",
            hint=f"The signed-in principal can see: {', '.join(sorted(names.values())) or 'none'}.",
        )
    return found


def _is_forbidden(error: AzureError) -> bool:
    return error.status == 403 or error.code in NOT_TO_BE_SEEN


def _host_identity(choice: Choice, wanted: list[str]) -> str:
    """Returns what the cache tells inventories by that one file describes under different circumstances."""
    methods = (method.label for method in choice.methods)
    return key_of(choice.settings.get("cloud_environment"), *methods, *sorted(wanted))[:12]


def _patterns(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else [str(value)]


def _inert(value: Any) -> Any:
    """Returns a value in which nothing is a template: whoever may set a tag must not run code on the controller.

    ansible-inventory writes a text that is marked as no template, and from ansible-core 2.19 on one that isn't marked
    as one, in a way of its own, which AWX would show. So only texts that might be a template are treated as none.
    """
    if isinstance(value, str):
        if "{" in value:
            return wrap_var(value)
        return value if trust_as_template is None else trust_as_template(value)
    if isinstance(value, Mapping):
        return {_inert(key): _inert(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_inert(each) for each in value]
    return value
