# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From options to a result: what every module of the collection has in common.

A module hands over its argument spec and a function that plans. The only branch on check mode is here.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._ansible._option_names import (
    all_with_names,
    named_here,
    with_names,
)
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, Progress
from ansible_collections.aks.gpu.plugins.module_utils._ansible._secrets import MASK, mask_secrets, register
from ansible_collections.aks.gpu.plugins.module_utils._ansible._values import misread_texts, without_unset

Kept = TypeVar("Kept")

RUN_DIRECTORY_VARIABLE = "AKS_GPU_RUN_DIRECTORY"
"""Environment variable by which the action plugins hand down the private directory of the run."""

STOP_SECONDS = 15.0
"""How long a program that is asked to end may take for that."""

STOP_LOOK_SECONDS = 0.2

SINCE_VARIABLE = "AKS_GPU_SINCE"
"""Environment variable by which the action plugins say how new a fact must be that tasks of the run share."""

HANDED_DOWN = "_aks_gpu_handed_down"
"""Key beside the options under which an action plugin hands down what only the controller has. It is never returned."""

INVOCATION_ASKED = "_ansible_inject_invocation"
"""By which ansible-core 2.21 and newer say that a result is to repeat the options; by default they do not."""

INVOCATION_VERBOSITY = 3
"""The verbosity from which on a result repeats them in any case, because Ansible prints them from then on."""


@dataclass
class Plan:
    """What a task is going to do, made by reading only.

    Attributes:
        changed: True when ``apply`` will write.
        result: The return values when nothing is applied: the predicted state in check mode, else the state as it is.
        apply: Writes, or waits, or both, and returns the return values. Not called in check mode.
        before: The state now, for ``--diff``; only what the options own.
        after: The state to come, likewise.
        warnings: Shown to the user, in check mode as well.
        already_reported: An earlier task of this run has predicted this change, so check mode does not report it again.
    """

    changed: bool
    result: dict[str, Any]
    apply: Callable[[], dict[str, Any]] | None = None
    before: Any = None
    after: Any = None
    warnings: list[str] = field(default_factory=list)
    already_reported: bool = False


class Executed(NamedTuple):
    """How a program has ended.

    Attributes:
        status: Its exit status.
        stdout: What it printed.
        stderr: What it printed on standard error.
    """

    status: int
    stdout: str
    stderr: str


class Task:
    """What a library may know of the task that it serves.

    Attributes:
        params: The options after Ansible's validation.
        progress: Shows the state of a wait.
        run_directory: A private directory (0700) that all tasks of this run share and that Ansible removes at its end;
            None when the module does not run on the controller.
        since: A time of ``time.monotonic``, which all processes of a machine share: what another task has read then or
            later is as good as read by this task. None when nothing may be shared.
        handed_down: What the action plugin of the module adds to the options; empty for most modules.
    """

    def __init__(
        self, module: AnsibleModule, at_end: contextlib.ExitStack, handed_down: Mapping[str, Any] | None = None
    ) -> None:
        self._module = module
        self._at_end = at_end
        self.params: dict[str, Any] = module.params
        self.progress = Progress(mask=self._masked)
        self.run_directory = run_directory()
        self.since = _since() if self.run_directory else None
        self.handed_down = handed_down or {}

    def with_options(self, **options: Any) -> Task:
        """Returns the same task with other values of options, for a library that takes options of another module."""
        other = copy.copy(self)
        other.params = {**self.params, **options}
        return other

    @functools.cached_property
    def temporary_directory(self) -> str:
        """A private directory (0700), made when it is asked for and removed when the task ends."""
        return self._at_end.enter_context(tempfile.TemporaryDirectory(prefix="aks-gpu-", dir=self.run_directory))

    def keep(self, context: contextlib.AbstractContextManager[Kept]) -> Kept:
        """Enters a context that lasts until the task ends, and returns what it yields."""
        return self._at_end.enter_context(context)

    def execute(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        seconds: float,
        stop: threading.Event | None = None,
    ) -> Executed:
        """Runs a program of this machine to its end, without a terminal.

        Args:
            command: The program and its arguments.
            environment: Variables that it gets besides those of this process.
            seconds: The most that it may take; then it is killed.
            stop: Once it is set, the program is asked to end, and killed ``STOP_SECONDS`` later.

        Raises:
            FileNotFoundError: There is no such program.
            OSError: It can't be started.
            TimeoutError: It took longer.
        """
        killed, over = threading.Event(), threading.Event()

        def kill(process: subprocess.Popen[bytes]) -> None:
            killed.set()
            process.kill()

        def limit(process: subprocess.Popen[bytes]) -> None:
            timer = threading.Timer(seconds, kill, [process])
            timer.daemon = True
            timer.start()
            timers.append(timer)
            if stop is not None:
                threading.Thread(target=end, args=(process, stop), daemon=True).start()

        def end(process: subprocess.Popen[bytes], asked: threading.Event) -> None:
            while not over.wait(STOP_LOOK_SECONDS):
                if asked.is_set():
                    process.terminate()
                    if not over.wait(STOP_SECONDS):
                        process.kill()
                    return

        timers: list[threading.Timer] = []
        try:
            status, stdout, stderr = self._module.run_command(
                list(command),
                environ_update=dict(environment),
                expand_user_and_vars=False,
                errors="surrogate_or_replace",
                before_communicate_callback=limit,
                handle_exceptions=False,
            )
        finally:
            over.set()
            for timer in timers:
                timer.cancel()
        if killed.is_set():
            raise TimeoutError(f"{command[0]} took more than {seconds:.0f} s")
        return Executed(status, stdout, stderr)

    def deadline(self, seconds: float) -> Deadline:
        """Returns a deadline that starts now."""
        return Deadline(seconds)

    def secret(self, *values: str | None) -> None:
        """Masks the values in everything that this task prints or returns. Empty ones are passed over."""
        self._module.no_log_values.update(value for value in values if value)
        register(value for value in values if value)

    def warn(self, text: str) -> None:
        """Shows a warning to the user."""
        self._module.warn(self._masked(with_names(text, named_here())))

    def _masked(self, text: str) -> str:
        return str(mask_secrets(text, self._module.no_log_values))


class _Module(AnsibleModule):
    """Takes null, empty text and whitespace for an unset option, and refuses a number or a boolean for text.

    AWX hands over what is empty for a question without an answer. A text that has become a number is looked for before
    Ansible makes text of the number again.

    Secrets inside of options are masked before the options are validated, because a refusal shows the options too. An
    option that the module does not have may hold anything, so its value is not shown.
    """

    def __init__(self, spec: ArgumentSpec, supports_check_mode: bool) -> None:
        self._spec = spec
        self._shown: dict[str, Any] = {}
        self._misread: list[str] = []
        self._shows_invocation = False
        self.handed_down: dict[str, Any] = {}
        super().__init__(  # type: ignore[no-untyped-call]
            supports_check_mode=supports_check_mode, **spec.module_arguments()
        )
        if self._misread:
            self.fail_json(msg=f"{' '.join(self._misread)} Nothing was changed.", argument_errors=self._misread)

    def exit_json(self, **kwargs: Any) -> NoReturn:
        """Ends the module with a result."""
        super().exit_json(**{"invocation": self._invocation(), **kwargs})

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn:
        """Ends the module with an error."""
        super().fail_json(msg, **{"invocation": self._invocation(), **kwargs})

    def _invocation(self) -> dict[str, Any]:
        return {"module_args": {**self.params, **self._shown}} if self._shows_invocation else {}

    def _log_invocation(self) -> None:
        params, self.params = self.params, {**self.params, **self._shown}
        try:
            super()._log_invocation()  # type: ignore[no-untyped-call]
        finally:
            self.params = params

    def _seal(self) -> None:
        known = {name for option, rules in self._spec.options.items() for name in (option, *rules.get("aliases", ()))}
        for name, value in self.params.items():
            if name in self._spec.seals:
                sealed = self._spec.seals[name](value)
                self.no_log_values.update(sealed.secrets)
                register(sealed.secrets)
                self._shown[name] = sealed.shown
            elif name not in known and not name.startswith("_ansible_"):
                self._shown[name] = MASK

    def _load_params(self) -> None:
        super()._load_params()  # type: ignore[no-untyped-call]
        self.handed_down = self.params.pop(HANDED_DOWN, {})
        asked, verbosity = self.params.get(INVOCATION_ASKED), self.params.get("_ansible_verbosity")
        self._shows_invocation = bool(asked) or int(verbosity or 0) >= INVOCATION_VERBOSITY
        self._seal()
        self.params = without_unset(self.argument_spec, self.params)
        self._misread = misread_texts(self.argument_spec, self.params)


def run_directory() -> str | None:
    """Returns the private directory that all tasks of this run share, None when there is none on this machine."""
    path = os.environ.get(RUN_DIRECTORY_VARIABLE)
    return path if path and Path(path).is_dir() else None


def _since() -> float | None:
    try:
        return float(os.environ.get(SINCE_VARIABLE, ""))
    except ValueError:
        return None


def run(spec: ArgumentSpec, plan: Callable[[Task], Plan], *, supports_check_mode: bool = True) -> None:
    """Runs a module from its options to its exit.

    Args:
        spec: The options.
        plan: Reads the state of things and says what is to be done; it writes nothing.
        supports_check_mode: False only where a prediction is impossible.
    """
    module = _Module(spec, supports_check_mode)
    failure: Failure | None = None
    outcome: dict[str, Any] = {}
    with (
        contextlib.ExitStack() as at_end,
        contextlib.redirect_stdout(sys.stderr),  # what a library prints must not end up in the result
    ):
        try:
            task = Task(module, at_end, module.handed_down)
            planned = plan(task)
            for text in planned.warnings:
                task.warn(text)
            result = planned.result if module.check_mode or planned.apply is None else planned.apply()
            already_reported = module.check_mode and planned.already_reported
            outcome = {"changed": planned.changed and not already_reported, **result}
            if module._diff and not already_reported and (planned.before is not None or planned.after is not None):
                outcome["diff"] = {"before": planned.before or "", "after": planned.after or ""}
        except Failure as caught:
            failure = caught
        except Exception as defect:  # noqa: BLE001 - its text may quote secrets, and only here they are known and masked
            failure = Failure(
                f"Unexpected {type(defect).__name__}: {defect}",
                exception="".join(traceback.format_exception(defect)),
            )
    if failure is not None:
        named = named_here()
        module.fail_json(msg=with_names(failure.marked, named), **all_with_names(failure.details, named))
    module.exit_json(**outcome)
