# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module ``kubeconfig`` does with a cluster's credentials: where they go, and what changes by it."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible import _files
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _kubeconfig as kubeconfigs
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes import _kubelogin
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._access import access_of
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Client
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import (
    InvalidKubeconfig,
    KubernetesError,
    Unreachable,
)
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._secrets import kubeconfig_secrets

VALID_FOR = datetime.timedelta(days=1)
"""A kept file whose client certificate has less left is fetched again."""


@dataclass(frozen=True)
class Source:
    """Where a cluster's credentials come from.

    Attributes:
        identity: Whose they are.
        fetch: Asks Azure for the kubeconfig, as text. It only reads.
        login: Says how kubelogin is to sign in; asked for only when the cluster needs kubelogin.
        only_by_run_command: Says whether this collection has to reach the cluster by AKS's run-command.
        signed_in_as: Tells one principal, and its way to sign in, from another.
    """

    identity: kubeconfigs.Identity
    fetch: Callable[[], str]
    login: Callable[[], _kubelogin.KubeloginConfig]
    only_by_run_command: Callable[[dict[str, Any]], bool]
    signed_in_as: str = ""


def plan_kubeconfig_files(task: Task, source: Source) -> Plan:
    """Plans a task of the module ``kubeconfig``.

    Without a path the file is private to the run, and written at once, in check mode too: later tasks of a check need
    it, nobody else sees it, and Ansible removes it when the run ends.

    Args:
        task: Its params are those of the module.
        source: Where the credentials come from.

    Raises:
        Failure: There is no place for the file, or a file is none that can be changed.
    """
    path = Path(task.params["path"]).expanduser() if task.params["path"] else None
    directory = Path(task.params["directory"]).expanduser() if task.params["directory"] else None
    if task.params["state"] == "absent":
        return _absent(task, source, path, directory)
    if directory is not None:
        return _kept(task, source, directory / source.identity.file_name)
    if path is None:
        return _private(task, source)
    if task.params["merge"]:
        return _plan_merge(task, source, path)
    _refuse_foreign(path, source.identity)
    return _plan_file(task, path, _lasting(task, source))


def for_one_task(task: Task, source: Source) -> tuple[Any, Callable[[], object] | None]:
    """Returns a kubeconfig for a task that works in a cluster, and what keeps it for later runs; None for nothing.

    Args:
        task: Its params are those of the module ``kubeconfig``, without ``path``.
        source: Where the credentials come from.

    Raises:
        Failure: There are no credentials to be had.
    """
    if task.params["directory"] is None and task.run_directory is None:
        return _fetched(task, source), None
    planned = plan_kubeconfig_files(task, source)
    return planned.result["path"], planned.apply


def _refuse_foreign(path: Path, identity: kubeconfigs.Identity) -> None:
    """Refuses a file that has something else in it than this collection, or ``az`` for this cluster, has written.

    Raises:
        Failure: The message names what is in it.
    """
    text = kubeconfigs.read(_files.followed(path))
    if not (text or "").strip():
        return
    config = _data(str(text), path)
    foreign = (
        ["something that is not a kubeconfig"] if config is None else kubeconfigs.foreign_entries(config, identity)
    )
    if foreign:
        more = f" and {len(foreign) - 5} more" if len(foreign) > 5 else ""
        raise Failure(
            f"{path} holds what aks.gpu did not write: {', '.join(foreign[:5])}{more}. Nothing was changed.",
            hint="Set O(merge=true) to deal with the entries of this cluster only, or name another path.",
        )


def _masked_kubeconfig(task: Task, config: dict[str, Any]) -> dict[str, Any]:
    """Returns the kubeconfig; what is secret in it is shown nowhere unless the content is asked for."""
    if not task.params["return_content"]:
        task.secret(*kubeconfig_secrets(config))
    return config


def _fetched(task: Task, source: Source) -> dict[str, Any]:
    """Returns the cluster's own kubeconfig, named and marked, with a sign-in that needs no person."""
    config = kubeconfigs.parse_kubeconfig(source.fetch(), f"Azure's kubeconfig of {source.identity.name}")
    if _kubelogin.needs_login(config):
        config = _kubelogin.convert(config, source.login())
    _masked_kubeconfig(task, config)
    run_command = source.only_by_run_command(config)
    return kubeconfigs.with_az_names(config, source.identity, task.params["context"], run_command=run_command)


def unreachable(task: Task, config: dict[str, Any]) -> str | None:
    """Returns why there is no connection to the API server of a kubeconfig; None when it answers, whatever it says.

    Args:
        task: For a private directory.
        config: The kubeconfig. Nobody signs in.
    """
    anonymous = {**config, "users": [{"name": entry["name"], "user": {}} for entry in config["users"]]}
    access = access_of({"kubeconfig": anonymous}, task.temporary_directory, task.secret, task.execute)
    try:
        Client(access).request("GET", "/version", retry_seconds=0)
    except Unreachable as error:
        return error.message
    except KubernetesError:
        return None
    return None


def _lasting(task: Task, source: Source) -> dict[str, Any]:
    """Returns the cluster's own kubeconfig for a file that outlives the run: without the principal's secret."""
    return _kubelogin.without_login_secrets(_fetched(task, source))


def _kubeconfig_result(task: Task, path: Path | None, context: str | None, config: dict[str, Any]) -> dict[str, Any]:
    result = {"path": str(path) if path else None, "context": context}
    if task.params["return_content"]:
        result["kubeconfig"] = kubeconfigs.render(_kubelogin.without_login_secrets(config))
    return result


def _private(task: Task, source: Source) -> Plan:
    if task.run_directory is None:
        if not task.params["return_content"]:
            raise Failure(
                "There is no private file of the run: this task runs elsewhere than Ansible, or as another user.",
                hint="Set O(path), or O(return_content), or delegate the task to localhost.",
            )
        config = _fetched(task, source)
        return Plan(False, _kubeconfig_result(task, None, config["current-context"], config))
    path = _private_path(task, source)
    with _files.locked(path.with_suffix(".lock")):
        text = kubeconfigs.read(path)
        if text is None:
            text = kubeconfigs.render(_fetched(task, source))
            _files.write_private(path, text)
    config = kubeconfigs.parse_kubeconfig(text, str(path))
    return Plan(False, _kubeconfig_result(task, path, config["current-context"], config))


def _private_path(task: Task, source: Source) -> Path:
    name = f"{hashlib.sha256(source.signed_in_as.encode()).hexdigest()[:12]}-{source.identity.file_name}"
    if task.params["run_command"] != "never":
        name = f"{task.params['run_command']}-{name}"
    if task.params["context"]:
        name = f"{task.params['context'].encode().hex()[:64]}-{name}"
    return Path(str(task.run_directory)) / f"kubeconfig-{name}"


def _kept(task: Task, source: Source, path: Path) -> Plan:
    text = kubeconfigs.read(path)
    if text is not None and _is_valid(task, text, source, path):
        return _plan_file(task, path, _masked_kubeconfig(task, kubeconfigs.parse_kubeconfig(text, str(path))))
    if task.run_directory is None:
        return _plan_file(task, path, _lasting(task, source))
    # Later tasks of a check need a file all the same: one for each that is to be written.
    private = _private_path(task, source)
    private = private.with_name(f"{hashlib.sha256(str(path).encode()).hexdigest()[:12]}-{private.name}")
    predicted_text = kubeconfigs.read(private)
    config = (
        _fetched(task, source)
        if predicted_text is None
        else _masked_kubeconfig(task, kubeconfigs.parse_kubeconfig(predicted_text, str(private)))
    )
    planned = _plan_file(task, path, _kubelogin.without_login_secrets(config))
    if planned.apply is None:
        return planned
    if predicted_text is None:
        _files.write_private(private, kubeconfigs.render(config))
    return replace(
        planned, result={**planned.result, "path": str(private)}, already_reported=predicted_text is not None
    )


def _is_valid(task: Task, text: str, source: Source, path: Path) -> bool:
    try:
        config = kubeconfigs.parse_kubeconfig(text, str(path))
    except InvalidKubeconfig:
        return False
    if not kubeconfigs.context_of(config, source.identity):
        return False
    wanted = task.params["run_command"]
    if wanted != "auto" and kubeconfigs.by_run_command(config) != (wanted == "always"):
        return False
    if _kubelogin.needs_login(config):
        now = _kubelogin.without_login_secrets(_kubelogin.convert(config, source.login()))
        if now != config:
            return False
    end = kubeconfigs.expires(config)
    return end is None or end - datetime.datetime.now(datetime.timezone.utc) > VALID_FOR


def _plan_file(task: Task, path: Path, config: dict[str, Any]) -> Plan:
    text = kubeconfigs.render(config)
    old = kubeconfigs.read(path)
    same = old is not None and _data(old, path) == config and _files.mode_of(path) == _files.PRIVATE
    result = _kubeconfig_result(task, path, config["current-context"], config)

    def write() -> dict[str, Any]:
        _make_directory(path.parent)
        with kubeconfigs.locked_file(path):
            _files.write_private(_files.followed(path), text)
        return result

    return Plan(not same, result, None if same else write, before=_diff_text(old, path), after=_diff_text(text, path))


def _plan_merge(task: Task, source: Source, path: Path) -> Plan:
    addition = _lasting(task, source)

    def merged(text: str) -> tuple[str, str]:
        return kubeconfigs.merge(
            text,
            addition,
            source.identity,
            context=task.params["context"],
            current=task.params["set_current_context"],
            origin=str(path),
        )

    old = kubeconfigs.read(path)
    text, context = merged(old or "")
    changed = old is None or text != old

    def write() -> dict[str, Any]:
        _make_directory(path.parent)
        with kubeconfigs.locked_file(path):
            now, name = merged(kubeconfigs.read(path) or "")
            _files.write_private(_files.followed(path), now, mode=_files.mode_of(path) or _files.PRIVATE)
        return _kubeconfig_result(task, path, name, addition)

    result = _kubeconfig_result(task, path, context, addition)
    return Plan(changed, result, write if changed else None, before=_diff_text(old, path), after=_diff_text(text, path))


def _absent(task: Task, source: Source, path: Path | None, directory: Path | None) -> Plan:
    identity = source.identity
    result = {"path": str(path) if path else None, "context": None}
    if path is not None and task.params["merge"]:
        old = kubeconfigs.read(path)
        text = kubeconfigs.remove(old, identity, origin=str(path)) if old is not None else None

        def write() -> dict[str, Any]:
            with kubeconfigs.locked_file(path):
                now = kubeconfigs.remove(kubeconfigs.read(path) or "", identity, origin=str(path))
                _files.write_private(_files.followed(path), now, mode=_files.mode_of(path) or _files.PRIVATE)
            return result

        changed = text != old
        return Plan(
            changed, result, write if changed else None, before=_diff_text(old, path), after=_diff_text(text, path)
        )
    private = path is None and directory is None
    if private and task.run_directory is None:
        return Plan(False, result)
    target = path or (directory / identity.file_name if directory else _private_path(task, source))
    result["path"] = str(target)
    if path is not None:
        _refuse_foreign(path, identity)
    exists = target.exists()

    def delete() -> dict[str, Any]:
        target.unlink(missing_ok=True)
        return result

    before = None if private else _diff_text(kubeconfigs.read(target), target)
    return Plan(
        exists and not private, result, delete if exists else None, before=before, after=None if private else {}
    )


def _data(text: str, path: Path) -> dict[str, Any] | None:
    try:
        return kubeconfigs.parse_kubeconfig(text, str(path))
    except InvalidKubeconfig:
        return None


def _diff_text(text: str | None, path: Path) -> dict[str, Any]:
    """Returns what a diff may show of a file: no secret is in it."""
    if text is None:
        return {}
    return {"path": str(path), **kubeconfigs.summary(text)} if _data(text, path) is not None else {"path": str(path)}


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"The directory {path} can't be made: {error.strerror}.") from error
