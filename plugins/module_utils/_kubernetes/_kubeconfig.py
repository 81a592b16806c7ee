# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kubeconfigs as values: merged into, removed from, converted for kubelogin; and the file that holds one.

A file that others write too (``~/.kube/config``) is changed by replacing the lines of our own entries, so that
comments, order and keys unknown to us survive. The outcome is parsed again and compared with what is wanted; where a
document doesn't allow that (JSON, flow style, anchors), it is written anew from its data.
Format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import copy
import datetime
import hashlib
import io
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible import _files
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import (
    EXTENSION,
    extension_of,
    load_yaml,
    require_unique,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import InvalidKubeconfig
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._libraries import (
    SafeDumper,
    SafeLoader,
    require_kubernetes_libraries,
    yaml,
)

SECTIONS = {"clusters": "cluster", "contexts": "context", "users": "user"}

KUBECTL_LOCK_SECONDS = 10.0


@dataclass(frozen=True)
class Identity:
    """Which cluster of Azure an entry of a kubeconfig belongs to, and as whom.

    Attributes:
        id: The cluster's ARM id.
        resource_group: The cluster's resource group.
        name: The cluster's name.
        admin: True for the cluster-admin credentials.
    """

    id: str
    resource_group: str
    name: str
    admin: bool = False

    @property
    def context(self) -> str:
        """The name that ``az aks get-credentials`` gives to the context."""
        return f"{self.name}-admin" if self.admin else self.name

    @property
    def user(self) -> str:
        """The name that Azure gives to the user."""
        return f"{'clusterAdmin' if self.admin else 'clusterUser'}_{self.resource_group}_{self.name}"

    @property
    def suffix(self) -> str:
        """What tells the cluster from one of the same name and resource group in another subscription."""
        return "-" + hashlib.sha256(self.id.lower().encode()).hexdigest()[:6]

    @property
    def file_name(self) -> str:
        """A file name for the cluster's own kubeconfig, the same in every run."""
        digest = hashlib.sha256(f"{self.id.lower()}\n{self.admin}".encode()).hexdigest()[:12]
        return f"{re.sub('[^A-Za-z0-9._-]', '_', self.context)}-{digest}.yaml"


def parse_kubeconfig(text: str, origin: str) -> dict[str, Any]:
    """Returns a kubeconfig as data, with all its lists present.

    Args:
        text: YAML or JSON; empty text is an empty kubeconfig.
        origin: Where it comes from, for messages.

    Raises:
        InvalidKubeconfig: The text is none. The message quotes nothing of it.
        MissingLibrary: PyYAML is missing.
    """
    require_kubernetes_libraries()
    config = load_yaml(text, origin)
    if config is None:
        config = {"apiVersion": "v1", "kind": "Config"}
    if not isinstance(config, dict):
        raise InvalidKubeconfig(f"{origin} is no kubeconfig.")
    for section in SECTIONS:
        entries = config.get(section) or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) and entry.get("name") for entry in entries):
            raise InvalidKubeconfig(f"The {section} in {origin} are not a list of named entries.")
        require_unique(entries, section, origin)
        config[section] = entries
    return config


def render(config: Any) -> str:
    """Returns a kubeconfig, or a part of one, as YAML text."""
    return str(yaml.dump(config, Dumper=SafeDumper, sort_keys=False, default_flow_style=False, width=100000))


def with_az_names(
    config: dict[str, Any], identity: Identity, context: str | None = None, *, run_command: bool = False
) -> dict[str, Any]:
    """Returns the kubeconfig that Azure gave for one cluster, with entries named as ``az`` names them, and marked.

    Args:
        config: What Azure gave: one cluster, user and context.
        identity: Whose it is.
        context: A name for the context; None for that of ``az``.
        run_command: Whether this collection reaches the cluster by AKS's run-command.

    Raises:
        InvalidKubeconfig: It has another number of entries.
    """
    if any(len(config[section]) != 1 for section in SECTIONS):
        raise InvalidKubeconfig(f"Azure's kubeconfig of {identity.name} has not one cluster, one user and one context.")
    return _entry_named(config, identity, "", context or identity.context, run_command)


def merge(
    existing: str, addition: dict[str, Any], identity: Identity, *, context: str | None, current: bool, origin: str
) -> tuple[str, str]:
    """Returns an existing kubeconfig with a cluster's entries added or brought up to date, and the context's name.

    Another cluster's entries are never touched: where they have taken the names (the same resource group and name in
    two subscriptions), ours get a suffix.

    Args:
        existing: The kubeconfig's text; empty for none.
        addition: From ``with_az_names``.
        identity: Whose entries they are.
        context: A name for the context; None for that of ``az``.
        current: True to make it the current context.
        origin: Where the text comes from, for messages.

    Raises:
        InvalidKubeconfig: The text is no kubeconfig, or the wanted name of the context is another cluster's.
    """
    config = parse_kubeconfig(existing, origin)
    server = addition["clusters"][0]["cluster"].get("server")
    suffix = _free_suffix(config, identity, server, context, origin)
    entries = _entry_named(addition, identity, suffix, context or identity.context + suffix, by_run_command(addition))
    wanted = copy.deepcopy(config)
    text = existing
    for section in SECTIONS:
        entry = entries[section][0]
        wanted[section] = _replaced(wanted[section], entry)
        text = _with_entry(text, section, entry)
    if current:
        wanted["current-context"] = entries["contexts"][0]["name"]
        text = _with_current(text, wanted["current-context"])
    return _checked_config(text, wanted, origin), entries["contexts"][0]["name"]


def remove(existing: str, identity: Identity, *, origin: str) -> str:
    """Returns an existing kubeconfig without a cluster's context and user, and without the cluster if nobody uses it.

    Args:
        existing: The kubeconfig's text.
        identity: Whose entries go. Entries without our mark count when they carry the names that ``az`` gives.
        origin: Where the text comes from, for messages.

    Raises:
        InvalidKubeconfig: The text is no kubeconfig.
    """
    config = parse_kubeconfig(existing, origin)
    gone = {
        "contexts": {entry["name"] for entry in config["contexts"] if _context_is_of(config, entry, identity)},
        "users": set(),
        "clusters": set(),
    }
    for section, key in (("users", "user"), ("clusters", "cluster")):
        users = {(entry["context"] or {}).get(key) for entry in config["contexts"] if entry["name"] in gone["contexts"]}
        kept = {
            (entry["context"] or {}).get(key) for entry in config["contexts"] if entry["name"] not in gone["contexts"]
        }
        gone[section] = {entry["name"] for entry in config[section] if entry["name"] in users - kept}
    if not any(gone.values()):
        return existing
    wanted = copy.deepcopy(config)
    text = existing
    for section, names in gone.items():
        wanted[section] = [entry for entry in wanted[section] if entry["name"] not in names]
        for name in names:
            text = _without_entry(text, section, name)
    if wanted.get("current-context") in gone["contexts"]:
        wanted["current-context"] = ""
        text = _with_current(text, "")
    return _checked_config(text, wanted, origin)


def context_of(config: dict[str, Any], identity: Identity) -> str | None:
    """Returns the name of the cluster's context in a kubeconfig, None when it has none."""
    return next((entry["name"] for entry in config["contexts"] if _context_is_of(config, entry, identity)), None)


def foreign_entries(config: dict[str, Any], identity: Identity) -> list[str]:
    """Returns the entries that neither this collection nor ``az`` has written for a cluster: ``context prod``.

    Args:
        config: A kubeconfig.
        identity: The cluster whose entries ``az`` may have written.
    """
    contexts = [entry for entry in config["contexts"] if _context_is_of(config, entry, identity)]
    clusters = {(entry.get("context") or {}).get("cluster") for entry in contexts}
    clusters |= {entry["name"] for entry in config["clusters"] if _marked_id(entry.get("cluster"))}
    contexts = [entry for entry in config["contexts"] if (entry.get("context") or {}).get("cluster") in clusters]
    users = {(entry.get("context") or {}).get("user") for entry in contexts}
    own_names = {"clusters": clusters, "users": users, "contexts": {entry["name"] for entry in contexts}}
    return [
        f"{kind} {entry['name']}"
        for section, kind in SECTIONS.items()
        for entry in config[section]
        if entry["name"] not in own_names[section]
    ]


def summary(text: str) -> dict[str, Any]:
    """Returns what may be shown of a kubeconfig: names, servers, and fingerprints in the place of secrets."""
    config = parse_kubeconfig(text, "the kubeconfig")
    return {
        "clusters": {entry["name"]: (entry.get("cluster") or {}).get("server") for entry in config["clusters"]},
        "contexts": {
            entry["name"]: {key: (entry.get("context") or {}).get(key) for key in ("cluster", "user", "namespace")}
            for entry in config["contexts"]
        },
        "users": {entry["name"]: _fingerprint(entry.get("user")) for entry in config["users"]},
        "current-context": config.get("current-context") or "",
    }


def expires(config: dict[str, Any]) -> datetime.datetime | None:
    """Returns when the first client certificate of a kubeconfig expires, None when it has none.

    The two times of an X.509 certificate's validity stand next to each other (RFC 5280, 4.1.2.5), which is easier to
    read than to depend on a library for.
    """
    times = []
    for entry in config["users"]:
        data = (entry.get("user") or {}).get("client-certificate-data")
        if not data:
            continue
        try:
            pem = base64.b64decode(data).decode("ascii")
            der = base64.b64decode("".join(pem.split("-----")[2].split()))
        except (binascii.Error, ValueError, IndexError):
            continue
        time_pattern = rb"(?:\x17\x0d(\d{12})Z|\x18\x0f(\d{14})Z)"
        validity = re.search(time_pattern + time_pattern, der)
        if validity:
            short, long = validity.group(3), validity.group(4)
            digits = long.decode() if long else ("20" if int(short[:2]) < 50 else "19") + short.decode()
            times.append(datetime.datetime.strptime(digits + "+0000", "%Y%m%d%H%M%S%z"))
    return min(times, default=None)


def _fingerprint(user: Any) -> str:
    return "sha256:" + hashlib.sha256(repr(sorted((user or {}).items())).encode()).hexdigest()[:12]


def _mark_entries(identity: Identity, run_command: bool) -> list[dict[str, Any]]:
    noted = {"id": identity.id.lower(), **({"runCommand": True} if run_command else {})}
    return [{"name": EXTENSION, "extension": noted}]


def _marked_id(inner: Any) -> str | None:
    return str(extension_of(inner or {}).get("id") or "") or None


def by_run_command(config: dict[str, Any], cluster: str | None = None) -> bool:
    """True when a kubeconfig of ours says that its cluster is reached by AKS's run-command.

    Args:
        config: The kubeconfig.
        cluster: Name of the cluster's entry; None for the first.
    """
    entries = [entry for entry in config["clusters"] if cluster in (None, entry["name"])]
    return bool(entries and extension_of(entries[0].get("cluster") or {}).get("runCommand"))


def _entry_named(
    config: dict[str, Any], identity: Identity, suffix: str, context: str, run_command: bool
) -> dict[str, Any]:
    cluster, user = identity.name + suffix, identity.user + suffix
    given = config["contexts"][0].get("context") or {}
    return {
        **config,
        "clusters": [
            {
                "name": cluster,
                "cluster": {**config["clusters"][0]["cluster"], "extensions": _mark_entries(identity, run_command)},
            },
        ],
        "users": [{"name": user, "user": config["users"][0]["user"]}],
        "contexts": [{"name": context, "context": {**given, "cluster": cluster, "user": user}}],
        "current-context": context,
    }


def _cluster_is_of(entry: dict[str, Any], identity: Identity, server: str | None) -> bool:
    marked = _marked_id(entry.get("cluster"))
    if marked:
        return marked == identity.id.lower()
    return server is not None and (entry.get("cluster") or {}).get("server") == server


def _context_is_of(config: dict[str, Any], entry: dict[str, Any], identity: Identity) -> bool:
    context = entry.get("context") or {}
    cluster = next((one for one in config["clusters"] if one["name"] == context.get("cluster")), None)
    marked = _marked_id(cluster.get("cluster")) if cluster else None
    users = (identity.user, identity.user + identity.suffix)
    if marked:
        return marked == identity.id.lower() and context.get("user") in users
    return context.get("cluster") == identity.name and context.get("user") == identity.user


def _free_suffix(
    config: dict[str, Any], identity: Identity, server: str | None, context: str | None, origin: str
) -> str:
    mine = {entry["name"] for entry in config["clusters"] if _cluster_is_of(entry, identity, server)}
    clusters = {entry["name"] for entry in config["clusters"]}
    contexts = {entry["name"]: (entry.get("context") or {}).get("cluster") for entry in config["contexts"]}
    if context in contexts and contexts[context] not in mine and contexts[context] in clusters:
        raise InvalidKubeconfig(
            f"The context {context} in {origin} belongs to another cluster.",
            hint="Choose another name for the context.",
        )
    users_of_others = {
        (entry.get("context") or {}).get("user")
        for entry in config["contexts"]
        if (entry.get("context") or {}).get("cluster") not in mine
    }
    for suffix in ("", identity.suffix):
        name = identity.name + suffix
        free_cluster = name not in clusters or name in mine
        free_user = identity.user + suffix not in users_of_others
        wanted = context or identity.context + suffix
        free_context = wanted not in contexts or contexts[wanted] in mine or contexts[wanted] not in clusters
        if free_cluster and free_user and free_context:
            return suffix
    raise InvalidKubeconfig(f"The names {identity.name} and {identity.name}{identity.suffix} in {origin} are taken.")


def _replaced(entries: list[dict[str, Any]], entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the entries with one put in the place of that of its name; what we don't know of it stays."""
    result = []
    found = False
    for old in entries:
        if old["name"] == entry["name"]:
            result.append(_overlaid_config(old, entry))
            found = True
        else:
            result.append(old)
    return result if found else [*result, entry]


def _overlaid_config(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    inner = next(key for key in SECTIONS.values() if key in new)
    if inner == "context":  # a namespace that a person has chosen stays
        return {**old, inner: {**(old.get(inner) or {}), **new[inner]}}
    only_the_mark = {key: value for key, value in new[inner].items() if key != "extensions"} == old.get(inner)
    return old if only_the_mark else {**old, **new}  # what az has written needs no change


def _checked_config(text: str, wanted: dict[str, Any], origin: str) -> str:
    """Returns the edited text if it says what is wanted, else the wanted data as new text."""
    try:
        if parse_kubeconfig(text, origin) == wanted:
            return text
    except InvalidKubeconfig:
        pass
    return render(wanted)


def _entries_in_lines(text: str, section: str) -> tuple[list[str], list[_Lines]]:
    """Returns a document's lines, and where the entries of a section stand; no entries where that is not in lines."""
    lines = list(io.StringIO(text if text.endswith("\n") else text + "\n", newline="\n"))
    if re.search("[\x85\u2028\u2029]|\r(?!\n)", text):  # further line ends for YAML
        return lines, []
    try:
        root = yaml.compose("".join(lines), Loader=SafeLoader)
    except yaml.YAMLError:
        return lines, []
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        return lines, []
    node = next((value for key, value in root.value if key.value == section), None)
    if not isinstance(node, yaml.SequenceNode) or node.flow_style:
        return lines, []
    entries = [_Lines.of(entry, lines) for entry in node.value]
    return lines, [entry for entry in entries if entry] if all(entries) else []


@dataclass(frozen=True)
class _Lines:
    """Where an entry of a list stands: its name, its lines from first to end (excluded), the column of its dash."""

    name: str
    first: int
    end: int
    column: int

    @classmethod
    def of(cls, node: Any, lines: list[str]) -> _Lines | None:
        if not isinstance(node, yaml.MappingNode):
            return None
        name = next((str(value.value) for key, value in node.value if key.value == "name"), "")
        first, end = node.start_mark.line, node.end_mark.line
        if node.flow_style:  # ends where it is closed; one in block style ends where the next thing begins
            end += 1
        while end > first + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
            end -= 1
        indentation = len(lines[first]) - len(lines[first].lstrip(" "))
        return cls(name, first, end, indentation) if lines[first][indentation] == "-" else None


def _written(entry: dict[str, Any], column: int) -> list[str]:
    return [" " * column + line for line in io.StringIO(render([entry]), newline="\n")]


def _with_entry(text: str, section: str, entry: dict[str, Any]) -> str:
    """Returns the text with an entry of a section replaced or added; unchanged where it is not written in lines."""
    lines, entries = _entries_in_lines(text, section)
    if not entries:
        return text
    for old in entries:
        if old.name == entry["name"]:
            before = yaml.load("".join(lines[old.first : old.end]), Loader=SafeLoader)[0]
            lines[old.first : old.end] = _written(_overlaid_config(before, entry), old.column)
            return "".join(lines)
    lines[entries[-1].end : entries[-1].end] = _written(entry, entries[-1].column)
    return "".join(lines)


def _without_entry(text: str, section: str, name: str) -> str:
    """Returns the text without an entry of a section; unchanged where that can't be done by taking out lines."""
    lines, entries = _entries_in_lines(text, section)
    if len(entries) > 1:
        for old in entries:
            if old.name == name:
                del lines[old.first : old.end]
                return "".join(lines)
    return text


def _with_current(text: str, name: str) -> str:
    line = render({"current-context": name})
    changed, count = re.subn(r"(?m)^current-context:.*\n?", lambda _match: line, text)
    if count:
        return changed
    return text + ("" if text.endswith("\n") else "\n") + line


@contextlib.contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Holds a kubeconfig for changing it, against other runs of this collection and against ``kubectl``.

    ``kubectl config`` protects a file by creating ``<file>.lock``, refuses to write while that exists, and removes it
    afterwards (client-go, clientcmd/config.go). A lock of the kernel comes first: that one goes with its holder.

    Args:
        path: The kubeconfig.

    Raises:
        DeadlineExceeded: Somebody else holds it.
    """
    target = _files.followed(path)
    theirs = target.with_name(target.name + ".lock")
    with _files.locked(target.with_name(f".{target.name}.aks-gpu.lock")):
        end = time.monotonic() + KUBECTL_LOCK_SECONDS
        while True:
            try:
                os.close(os.open(theirs, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _files.PRIVATE))
                break
            except FileExistsError:
                if time.monotonic() >= end:
                    raise DeadlineExceeded(
                        f"{theirs} exists: another program is writing the kubeconfig, or one has crashed while it did.",
                        hint="Remove the file if no such program is running.",
                    ) from None
                time.sleep(_files.LOCK_INTERVAL)
        try:
            yield
        finally:
            theirs.unlink(missing_ok=True)


def read(path: Path) -> str | None:
    """Returns a file's text, None when there is no file.

    Raises:
        InvalidKubeconfig: It can't be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidKubeconfig(f"{path} can't be read: {error}.") from error
