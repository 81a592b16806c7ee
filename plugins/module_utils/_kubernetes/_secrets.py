# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The secrets of kubeconfigs and of manifests, found before either is judged.

Nothing here raises an error for an odd value: what cannot be read as a kubeconfig or as objects is masked as a whole.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import MissingLibrary
from ansible_collections.aks.gpu.plugins.module_utils._ansible._secrets import MASK, Sealed, is_unguessable
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._libraries import (
    SafeLoader,
    require_kubernetes_libraries,
    yaml,
)

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""The annotation in which ``kubectl apply`` keeps the whole object, a Secret's data included."""

_SECRET_FIELDS = ("token", "password", "client-key-data")
_SECRET_ARGUMENT = re.compile("secret|password|token|key", re.IGNORECASE)
_PLAIN_VARIABLE = re.compile("(_ID|FILE|PATH|_HOST|_PROFILE|_REGION)$")
"""Variables of exec plugins whose values messages have to name; their place in the structure is masked all the same."""

_MAY_HOLD_SECRET = re.compile("secret|stringData", re.IGNORECASE)
_LONG_WORDS = re.compile(r"[^\s\"',{}\[\]:]{8,}")
_PUBLIC_KEYS = ("certificate-authority-data", "client-certificate-data")


def seal_kubeconfig(value: Any) -> Sealed:
    """Finds the secrets of the option ``kubeconfig``: those of every user and every cluster that it names.

    Args:
        value: A dictionary, YAML or JSON text, or paths.
    """
    if isinstance(value, dict):
        return Sealed(frozenset(kubeconfig_secrets(value)), _shown_kubeconfig(value))
    if not isinstance(value, str):
        return Sealed(frozenset(), value if value is None else MASK)
    if "\n" not in value.strip() and not value.lstrip().startswith("{"):
        return Sealed(frozenset({value}), MASK) if _is_encoded(value) else Sealed(frozenset(), value)
    config = _loaded(value)
    if isinstance(config, list) and len(config) == 1 and isinstance(config[0], dict):
        return Sealed(frozenset(kubeconfig_secrets(config[0])), _shown_kubeconfig(config[0]))
    return Sealed(frozenset(_long_words(value)), MASK)


def kubeconfig_secrets(config: dict[str, Any]) -> list[str]:
    """Returns the secrets of all users of a kubeconfig, and the passwords of proxies, that can be masked everywhere.

    Source of the fields: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
    """
    found: list[Any] = []
    for user in _inner(config, "users", "user"):
        found += [user.get(key) for key in _SECRET_FIELDS]
        plugin = _dictionary(user.get("exec"))
        variables = [_dictionary(variable) for variable in _list(plugin.get("env"))]
        found += [each.get("value") for each in variables if not _PLAIN_VARIABLE.search(str(each.get("name")))]
        found += [secret for _shown, secret in _arguments(_list(plugin.get("args"))) if secret]
        found += list(_dictionary(_dictionary(user.get("auth-provider")).get("config")).values())
    found += [_password(cluster.get("proxy-url")) for cluster in _inner(config, "clusters", "cluster")]
    return [str(value) for value in found if value is not None and is_unguessable(str(value))]


def seal_definition(value: Any) -> Sealed:
    """Finds the values of Secrets in the option ``definition``, and hides them by their place.

    Args:
        value: An object, a list of objects, or YAML or JSON text with one or more documents.
    """
    if isinstance(value, str) and not _MAY_HOLD_SECRET.search(value):
        return Sealed(frozenset(), value)
    documents = _loaded(value) if isinstance(value, str) else [value]
    if documents is None:
        return Sealed(frozenset(_long_words(value)), MASK)
    secrets = [secret for found in objects_of(documents) if is_secret(found) for secret in secret_values(found)]
    if isinstance(value, str) and not any(is_secret(found) for found in objects_of(documents)):
        return Sealed(frozenset(), value)
    shown = [_without_secrets(document) for document in documents]
    public = repr(shown)
    kept = frozenset(secret for secret in secrets if secret not in public)
    return Sealed(kept, shown if isinstance(value, str) else shown[0])


def is_secret(found: Any) -> bool:
    """Returns True for a Secret, also for one that lacks its kind but has ``stringData``."""
    return isinstance(found, dict) and (found.get("kind") == "Secret" or "stringData" in found)


def secret_values(found: dict[str, Any]) -> list[str]:
    """Returns the values of a Secret, plain and in base64, that can be masked everywhere.

    A value of a wrong type counts with all that is in it: the API server quotes it when it refuses the Secret.
    """
    plain = list(_scalars(found.get("stringData")))
    values = list(_scalars(found.get("data")))
    pairs = [(value, base64.b64encode(value.encode()).decode()) for value in plain]
    pairs += [(_decoded(value) or value, value) for value in values]
    # A YAML block ends with a line break, which a message that quotes the value does not repeat.
    return [text.strip() for pair in pairs if is_unguessable(pair[0].strip()) for text in pair]


def mask_objects(found: dict[str, Any]) -> dict[str, Any]:
    """Returns an object with the values of a Secret replaced, in what ``kubectl apply`` noted of it as well."""
    if not is_secret(found):
        return found
    result = dict(found)
    for key in ("data", "stringData"):
        if result.get(key):
            result[key] = dict.fromkeys(result[key], MASK) if isinstance(result[key], dict) else MASK
    metadata = _dictionary(result.get("metadata"))
    annotations = _dictionary(metadata.get("annotations"))
    if LAST_APPLIED in annotations:
        result["metadata"] = {**metadata, "annotations": {**annotations, LAST_APPLIED: MASK}}
    return result


def objects_of(documents: Iterable[Any]) -> Iterator[Any]:
    """Returns the objects of documents; lists of objects are taken apart, empty documents passed over."""
    for document in documents:
        if document is None:
            continue
        if isinstance(document, list):
            yield from objects_of(document)
        elif is_list(document):
            yield from objects_of(_list(document["items"]))
        else:
            yield document


def is_list(document: Any) -> bool:
    """Returns True for a Kubernetes list of objects, such as ``List`` or ``SecretList``."""
    return isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and "items" in document


def _without_secrets(document: Any) -> Any:
    if isinstance(document, list):
        return [_without_secrets(each) for each in document]
    if is_list(document):
        return {**document, "items": [_without_secrets(each) for each in _list(document["items"])]}
    return mask_objects(document) if isinstance(document, dict) else document


def _shown_kubeconfig(config: dict[str, Any]) -> dict[str, Any]:
    shown = dict(config)
    if isinstance(config.get("users"), list):
        shown["users"] = [_shown_entry(entry, "user", _shown_user) for entry in config["users"]]
    if isinstance(config.get("clusters"), list):
        shown["clusters"] = [_shown_entry(entry, "cluster", _shown_cluster) for entry in config["clusters"]]
    for section in ("users", "clusters"):
        if config.get(section) and not isinstance(config[section], list):
            shown[section] = MASK
    return shown


def _shown_entry(entry: Any, inner: str, shown: Any) -> Any:
    if not isinstance(entry, dict):
        return MASK
    return {key: shown(value) if key == inner else value if key == "name" else MASK for key, value in entry.items()}


def _shown_user(user: Any) -> Any:
    if not isinstance(user, dict):
        return MASK
    plain = ("username", "tokenFile", "client-certificate", "client-key", *_PUBLIC_KEYS)
    shown = {key: value if key in plain or key.startswith("as") else MASK for key, value in user.items()}
    plugin = user.get("exec")
    if isinstance(plugin, dict):
        variables = [{"name": _dictionary(each).get("name"), "value": MASK} for each in _list(plugin.get("env"))]
        arguments = [shown for shown, _secret in _arguments(_list(plugin.get("args")))]
        shown["exec"] = {**plugin, "env": variables, "args": arguments}
    if isinstance(user.get("auth-provider"), dict):
        shown["auth-provider"] = {"name": user["auth-provider"].get("name"), "config": MASK}
    return shown


def _shown_cluster(cluster: Any) -> Any:
    if not isinstance(cluster, dict) or not _password(cluster.get("proxy-url")):
        return cluster
    return {**cluster, "proxy-url": str(cluster["proxy-url"]).replace(_password(cluster["proxy-url"]) or "", MASK)}


def _arguments(arguments: list[Any]) -> Iterator[tuple[str, str | None]]:
    """Returns the arguments of an exec plugin as they may be shown, each with the secret in it."""
    follows = False
    for each in map(str, arguments):
        name, equals, value = each.partition("=")
        secret_name = name.startswith("-") and bool(_SECRET_ARGUMENT.search(name))
        if follows and not each.startswith("-"):
            yield MASK, each
        elif secret_name and equals:
            yield f"{name}={MASK}", value
        else:
            yield each, None
        follows = secret_name and not equals


def _inner(config: dict[str, Any], section: str, inner: str) -> list[dict[str, Any]]:
    return [_dictionary(_dictionary(entry).get(inner)) for entry in _list(config.get(section))]


def _password(url: Any) -> str | None:
    try:
        return urlsplit(str(url)).password if url else None
    except ValueError:
        return str(url)


def _is_encoded(text: str) -> bool:
    """Returns True for a kubeconfig in base64, which is easily given where a path is expected."""
    return "clusters" in (_decoded("".join(text.split())) or "")


def _decoded(text: str) -> str | None:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None


def _loaded(text: str) -> list[Any] | None:
    try:
        require_kubernetes_libraries()
    except MissingLibrary:  # the module says so later
        return None
    try:
        return list(yaml.load_all(text, Loader=SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _long_words(text: str) -> list[str]:
    """Returns what may be a secret in text that has no structure."""
    return [word for word in set(_LONG_WORDS.findall(text)) if is_unguessable(word)]


def _scalars(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _scalars(each)
    elif value is not None:
        yield str(value)


def _dictionary(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
