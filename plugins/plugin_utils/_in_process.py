# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs modules of this collection inside Ansible's own process, with the same result as in a process of their own.

A module's process costs 0.2 s and the imports of its libraries anew for every task. The worker that Ansible forks for
the task is there already, with the libraries imported once for the whole run, because the strategy loads the action
plugin in the main process. Packing the module and starting Python are all that is replaced: arguments, result and
errors go through the same code of ansible-core in both ways.

Variable ``aks_gpu_in_process``, else environment variable ``AKS_GPU_IN_PROCESS``: ``auto`` (default), ``always`` (also
on an ansible-core that this has not been tested with, and on macOS), ``never``. ``-vv`` says which way a task went, and
why.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import io
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.executor import module_common
from ansible.module_utils.common import json as ansible_json
from ansible.playbook.handler import Handler
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.plugins.loader import filter_loader, test_loader
from ansible.release import __version__ as core_version
from ansible.utils.display import Display
from ansible_collections.aks.gpu.plugins.module_utils._ansible import _run_log
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded
from ansible_collections.aks.gpu.plugins.module_utils._ansible._files import PRIVATE, locked, write_private
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import RUN_DIRECTORY_VARIABLE, SINCE_VARIABLE
from ansible_collections.aks.gpu.plugins.module_utils._ansible._option_names import ROLE_VARIABLE
from ansible_collections.aks.gpu.plugins.module_utils._ansible._renamed import renamed_options
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._text import one_line
from ansible_collections.aks.gpu.plugins.plugin_utils import _fleet_progress, _isolation, _role_variables

display = Display()

OLDEST_CORE, NEWEST_CORE = (2, 16), (2, 22)
"""The releases of ansible-core that the in-process way is tested with."""

RUN_DIRECTORY: str = vars(constants)["DEFAULT_LOCAL_TMP"]
"""Made for this run by Ansible in the main process (0700), shared by the workers, removed by Ansible at the end."""

SETTING = "aks_gpu_in_process"
COLLECTION = "aks.gpu"
MODULES = "ansible_collections.aks.gpu.plugins.modules"
BATCH_SECONDS = 10.0
"""How long a task waits for another host of its batch to note when they began it."""

THIS_PYTHON = "{{ ansible_playbook_python }}"
"""What the roles set ansible_python_interpreter to: a template that no task of any host need fill in."""

DISCOVERED = ("", "auto", "auto_legacy", "auto_silent", "auto_legacy_silent")
"""Values of ansible_python_interpreter that leave the choice to Ansible."""


def load_templating() -> None:
    """Loads the filters and tests of templates into the process that forks the workers, or each of them would do it.

    The loader keeps all of ansible-core's with the first one that it is asked for.
    """
    with contextlib.suppress(AnsibleError, KeyError):
        filter_loader.get("ansible.builtin.bool")
        filter_loader.get("aks.gpu.to_list")
        filter_loader.get("aks.gpu.or_else")
        filter_loader.get("aks.gpu.absolute_path")
        test_loader.get("ansible.builtin.skipped")


def _load_serialisation() -> None:
    """Likewise for what arguments and results of modules are written and read with."""
    _argument_encoding()
    decoder = getattr(ansible_json, "get_module_decoder", None)
    if decoder is not None:
        decoder(_isolation.PROFILE, ansible_json.Direction.MODULE_TO_CONTROLLER)


@dataclass(frozen=True)
class LoadedModule:
    """A module of the collection, or why it can't be imported here.

    Attributes:
        main: Its ``main``, None when the import failed.
        path: Its file.
        problem: Why the import failed.
    """

    main: Callable[[], object] | None
    path: str = ""
    problem: str = ""


def load(name: str, package: str = MODULES) -> LoadedModule:
    """Imports a module for an action plugin; never raises, because an exception here would end the whole run.

    Args:
        name: The module's name without the collection.
        package: The Python package that holds it.
    """
    if os.environ.get(SETTING.upper(), "").strip().lower() == "never":
        return LoadedModule(None, problem=f"{SETTING.upper()} is never")
    load_templating()
    _load_serialisation()
    _role_variables.read_all_roles()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            module = importlib.import_module(f"{package}.{name}")
        gc.freeze()  # a worker's collector would copy every page that holds what was imported here
        return LoadedModule(module.main, module.__file__ or "")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the module then fails in its own process, for its task alone
        return LoadedModule(None, problem=f"the module can't be imported here ({type(error).__name__}: {error})")


class InProcessAction(NormalAction):
    """The action of a module: one subclass for each, which names it.

    Attributes:
        MODULE: The module.
        SECRET_RESULTS: Return values that make Ansible censor the result wherever it is shown; it can be registered all
            the same. Only an action plugin can ask for that.
        SHOWN_RESULT: Return value whose lines are shown as they are, as progress is; empty for none.
    """

    MODULE = LoadedModule(None)
    SECRET_RESULTS: frozenset[str] = frozenset()
    SHOWN_RESULT = ""

    _in_process = False
    _arguments: bytes | None = None
    _task_vars: Mapping[str, Any]
    _environment: dict[str, Any]
    _since: float | None = None

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Runs the task."""
        started = time.time()
        self._task_vars = task_vars or {}
        self._environment = {}
        wrong = [*self._renamed_options(), *self._wrong_variables_of_role()]
        if wrong:
            return {"failed": True, "msg": f"{'. '.join(wrong)}.", "argument_errors": wrong}
        self._since = self._freshness_floor()
        obstacle = self._reason_for_subprocess()
        self._in_process = obstacle is None
        way = "inside Ansible's own process" if obstacle is None else f"in a process of its own, because {obstacle}"
        display.vv(f"{self._task.action} runs {way}", host=self._task_vars.get("inventory_hostname"))
        result: dict[str, Any] = super().run(tmp, task_vars)  # type: ignore[no-untyped-call]
        if any(result.get(name) is not None for name in self.SECRET_RESULTS):
            result["_ansible_no_log"] = True
        if lines := result.get(self.SHOWN_RESULT):
            display.display("\n".join(one_line(line) for line in lines), stderr=True)
        self._note(started, result)
        return result

    def _renamed_options(self) -> list[str]:
        """Returns a sentence for each option that the task sets by the name of an earlier version."""
        return renamed_options(self._task.action.rpartition(".")[2], self._task.args)

    def _wrong_variables_of_role(self) -> list[str]:
        """Returns what is wrong with the variables of the role of this collection that the task belongs to.

        Here and not by ansible-core, which refuses what AWX hands over for a question without an answer: empty text for
        a boolean, a number or a choice (``meta/argument_specs`` of the roles says how that is kept from happening). As
        there, ``rolespec_validate: false`` switches it off.
        """
        role = self._task._role
        collection, _dot, name = str(role.get_name() if role else "").rpartition(".")
        if collection != COLLECTION or not role._should_validate:
            return []
        entry = str(role._from_files.get("tasks", _role_variables.MAIN)).removesuffix(".yml")
        return _role_variables.wrong_variables_of_entry(name, entry, self._task_vars, self._templar.template)

    def _note(self, started: float, result: Mapping[str, Any]) -> None:
        """Notes the step for the timeline that aks.gpu.evidence makes."""
        label = self._item_label()
        _run_log.note(
            RUN_DIRECTORY,
            str(self._task_vars.get("inventory_hostname", "")),
            f"{self._task.get_name()} ({label})" if label else self._task.get_name(),
            self._task.action,
            started,
            {**result, "_ansible_no_log": self._task.no_log or result.get("_ansible_no_log")},
            predicted=bool(self._task.check_mode),
        )

    def _reason_for_subprocess(self) -> str | None:
        """Returns why the module must have a process of its own, None if it need not."""
        setting = self._setting()
        interpreter = self._other_interpreter()
        core = tuple(int(part) for part in core_version.split(".")[:2])
        reasons_for_subprocess = {
            f"{SETTING} is never": setting == "never",
            self.MODULE.problem: self.MODULE.main is None,
            "it is asynchronous": bool(self._task.async_val),
            f"its connection is {self._connection.transport}": not self._is_local(),
            "it becomes another user": self._connection.become is not None,
            "Ansible runs it outside of a worker": multiprocessing.parent_process() is None,
            f"its Python is {interpreter}": interpreter is not None,
            f"ansible-core {core_version} is not among the tested ones": (
                setting == "auto" and not OLDEST_CORE <= core <= NEWEST_CORE
            ),
            "forked processes can't use the network on macOS": setting == "auto" and sys.platform == "darwin",
        }
        return next((why for why, holds in reasons_for_subprocess.items() if holds), None)

    def _setting(self) -> str:
        """Returns auto, always or never."""
        value = self._task_vars.get(SETTING)
        value = self._templar.template(value) if value is not None else os.environ.get(SETTING.upper()) or "auto"
        text = str(value).strip().lower()
        setting = {"true": "always", "false": "never"}.get(text, text)
        if setting not in ("auto", "always", "never"):
            raise AnsibleActionFail(f"{SETTING} must be auto, always or never, not {value!r}.")
        return setting

    def _is_local(self) -> bool:
        return str(self._connection.transport).rpartition(".")[2] == "local"

    def _other_interpreter(self) -> str | None:
        """Returns the Python that the task asks for when it is not the one that runs Ansible."""
        variables: Any = self._task_vars
        if self._task.delegate_to:
            variables = variables.get("ansible_delegated_vars", {}).get(self._task.delegate_to, variables)
        asked = constants.config.get_config_value("INTERPRETER_PYTHON", variables=variables)
        if asked == THIS_PYTHON:
            return None
        asked = self._templar.template(asked)
        if not asked or asked in DISCOVERED or asked == sys.executable:
            return None
        here, there = Path(sys.executable), Path(str(asked))
        try:
            same = there.samefile(here) and there.parent.samefile(here.parent)
        except OSError:
            same = False
        return None if same else str(asked)

    def _compute_environment_string(self, raw_environment_out: dict[str, Any] | None = None) -> str:
        """Adds the task's role, and for a module on this machine and of this user where the run keeps private files."""
        values: dict[str, Any] = {}
        text: str = super()._compute_environment_string(values)  # type: ignore[no-untyped-call]
        role = self._role()
        if role is not None:
            values[ROLE_VARIABLE] = role
            text = self._connection._shell.env_prefix(**values)
        outlives = bool(self._task.async_val) and not self._task.poll
        local = self._is_local() and self._connection.become is None
        # A task with `poll: 0` may still run when Ansible ends and removes the directory.
        if local and not outlives and RUN_DIRECTORY_VARIABLE not in values:
            values[RUN_DIRECTORY_VARIABLE] = RUN_DIRECTORY
            if self._since is not None:
                values[SINCE_VARIABLE] = repr(self._since)
            text = self._connection._shell.env_prefix(**values)
        if isinstance(raw_environment_out, dict):
            raw_environment_out.clear()
            raw_environment_out.update(values)
        return text

    def _role(self) -> str | None:
        """Returns the role of this collection that the task is of, None when it is of none."""
        role = getattr(self._task, "_role", None)
        if role is None or getattr(role, "_role_collection", None) != COLLECTION:
            return None
        return str(role.get_name(include_role_fqcn=False))

    def _freshness_floor(self) -> float | None:
        """Returns how new what the task finds out from other tasks of the run must be, as ``time.monotonic`` has it.

        A task must see all that was done before it began. Under the strategy linear no host is ahead of the others:
        what was so when the first host of the batch began the task is new enough for all of them. Elsewhere, for a
        handler, which may run again, and for another attempt of ``until``, it has to be newer than the attempt. An item
        of a loop must see what the items before have done: it shares nothing (None).
        """
        if self._task_vars.get("ansible_loop_var") is not None:
            return None
        now = time.monotonic()
        host = str(self._task_vars.get("inventory_hostname", ""))
        batch = self._task_vars.get("ansible_play_batch") or ()
        if host not in batch or isinstance(self._task, Handler) or not self._is_linear():
            return now
        path = Path(RUN_DIRECTORY, f"task-{self._task._uuid}")
        begun = path.with_name(f"{path.name}-{hashlib.sha256(host.encode()).hexdigest()[:16]}")
        try:
            begun.touch(mode=PRIVATE, exist_ok=False)
        except OSError:  # begun before, and now another attempt, by `until` or the debugger
            return now
        try:
            return _batch_start(path, host) or _record_batch_start(path, host, batch, now)
        except (DeadlineExceeded, OSError):
            return now

    def _is_linear(self) -> bool:
        """Says whether every host does a task before any host does the next; False when that can't be told."""
        play = getattr(getattr(self._task, "_parent", None), "_play", None)
        return str(getattr(play, "strategy", "")).rpartition(".")[2] == "linear"

    def _is_pipelining_enabled(self, module_style: str, wrap_async: bool = False) -> bool:
        """No files to transfer when there is no process."""
        return self._in_process or bool(super()._is_pipelining_enabled(module_style, wrap_async))

    def _configure_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        """Keeps the arguments where core packs them together with the module."""
        if not self._in_process:
            return super()._configure_module(module_name=module_name, module_args=module_args, task_vars=task_vars)
        module_args["_ansible_remote_tmp"] = RUN_DIRECTORY
        try:
            text = json.dumps({"ANSIBLE_MODULE_ARGS": module_args}, **_argument_encoding())
        except TypeError as error:
            raise AnsibleError(f"The arguments of {module_name} must be serializable as JSON: {error}") from error
        self._arguments = text.encode("utf-8", errors="surrogateescape")
        self._compute_environment_string(self._environment)
        shebang = f"#!{sys.executable}"
        built = getattr(module_common, "_BuiltModule", None)
        if built is None:  # ansible-core 2.18 and older
            return "new", shebang, b"", self.MODULE.path
        bits = built(b_module_data=b"", module_style="new", shebang=shebang, serialization_profile=_isolation.PROFILE)
        return bits, self.MODULE.path

    def _low_level_execute_command(self, cmd: str, *args: Any, **kwargs: Any) -> Any:
        """Calls ``main()`` where core would start the module's process."""
        if self._arguments is None or self.MODULE.main is None:
            return super()._low_level_execute_command(cmd, *args, **kwargs)  # type: ignore[no-untyped-call]
        arguments, self._arguments = self._arguments, None
        outcome = _isolation.call_main(
            self.MODULE.main,
            arguments,
            environment=self._environment,
            working_directory=self._loader.get_basedir(),
            parent_directory=RUN_DIRECTORY,
            show=None if self._task.no_log else self._progress_line,
        )
        return {
            "rc": outcome.rc,
            "stdout": outcome.stdout,
            "stdout_lines": outcome.stdout.splitlines(),
            "stderr": outcome.stderr,
            "stderr_lines": outcome.stderr.splitlines(),
        }

    def _progress_line(self, text: str) -> None:
        """Shows a line of progress: on standard error, because a callback may write JSON to standard output."""
        text = one_line(text)
        host = str(self._task_vars.get("inventory_hostname", ""))
        label = self._item_label()
        batch = self._task_vars.get("ansible_play_batch") or ()
        if len(batch) > _fleet_progress.MANY:
            directory = Path(RUN_DIRECTORY, f"progress-{self._task._uuid}")
            line = _fleet_progress.fleet_summary(directory, f"{host} {label}", text)
            if line is not None:
                display.display(f"[{len(batch)} hosts] {line}", stderr=True)
            return
        display.display(f"[{host}] {f'({label}) ' if label else ''}{text}", stderr=True)

    def _item_label(self) -> str:
        """Returns what tells this item of a loop from the others, in few words; empty outside of loops."""
        variable = self._task_vars.get("ansible_loop_var")
        if variable is None or variable not in self._task_vars:
            return ""
        label = self._task.loop_control.label if self._task.loop_control else None
        item = self._templar.template(label) if label else self._task_vars[variable]
        if isinstance(item, Mapping):
            item = item.get("name", "")
        return str(item) if isinstance(item, (str, int)) else ""


def _batch_start(path: Path, host: str) -> float | None:
    """Returns when the first host of a host's batch began a task, None when no host of it has."""
    try:
        since, batch = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return float(since) if host in batch else None


def _record_batch_start(path: Path, host: str, batch: Sequence[str], now: float) -> float:
    """Notes when a batch begins a task, with its hosts: those that fail are soon no longer counted to it."""
    with locked(path.with_name(f"{path.name}.lock"), timeout=BATCH_SECONDS):
        since = _batch_start(path, host)
        if since is None:
            write_private(path, json.dumps([now, list(batch)]))
            since = now
        return since


def _argument_encoding() -> dict[str, Any]:
    """Returns how core turns arguments into JSON: with templates, vaulted and tagged values made plain."""
    encoder = getattr(ansible_json, "get_module_encoder", None)
    if encoder is None:  # ansible-core 2.18 and older
        return {"cls": ansible_json.AnsibleJSONEncoder, "vault_to_text": True}
    return {"cls": encoder(_isolation.PROFILE, ansible_json.Direction.CONTROLLER_TO_MODULE)}
