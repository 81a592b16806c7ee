# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A call leaves the process as it was, and what ends a task from outside gets through."""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import sys
import tempfile
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import PASS_VARS
from ansible_collections.aks.gpu.plugins.module_utils._ansible import _progress
from ansible_collections.aks.gpu.plugins.plugin_utils import _isolation

SECRET = "s3cret-value"
TRACEBACKS = "tracebacks_for" in PASS_VARS


def arguments(**options: Any) -> bytes:
    internal: dict[str, Any] = {"_ansible_check_mode": False, "_ansible_no_log": True}
    if TRACEBACKS:
        internal["_ansible_tracebacks_for"] = []
    return json.dumps({"ANSIBLE_MODULE_ARGS": {**options, **internal}}).encode()


def call(main: Callable[[], object], tmp_path: Path, **options: Any) -> _isolation.Outcome:
    shown: list[str] = []
    return _isolation.call_main(
        main,
        arguments(**options),
        environment={"PROBE": 1},
        working_directory=str(tmp_path),
        parent_directory=str(tmp_path),
        show=shown.append,
    )


def module() -> AnsibleModule:
    return AnsibleModule({"secret": {"type": "str", "no_log": True}})


def result(outcome: _isolation.Outcome) -> dict[str, Any]:
    return dict(json.loads(outcome.stdout.strip().splitlines()[-1]))


def test_exit_json(tmp_path: Path) -> None:
    def main() -> None:
        module().exit_json(changed=True, probe=os.environ["PROBE"], here=os.getcwd())

    outcome = call(main, tmp_path)
    assert outcome.rc == 0
    assert result(outcome)["probe"] == "1"
    assert result(outcome)["here"] == str(tmp_path)
    assert "PROBE" not in os.environ


@pytest.mark.parametrize("kind", [ValueError, KeyError, MemoryError, GeneratorExit, RecursionError])
def test_exceptions_are_results_without_secrets(tmp_path: Path, kind: type[BaseException]) -> None:
    def main() -> None:
        parsed = module()
        raise kind(f"because of {parsed.params['secret']}")

    outcome = call(main, tmp_path, secret=SECRET)
    assert outcome.rc == 1
    assert SECRET not in outcome.stdout + outcome.stderr
    assert "because of ********" in outcome.stdout + outcome.stderr


def test_the_text_of_an_exception_given_to_fail_json_is_masked(tmp_path: Path) -> None:
    def main() -> None:
        parsed = module()
        try:
            raise ValueError(SECRET)
        except ValueError as error:
            # Before ansible-core 2.19 it had to be the text of a traceback.
            parsed.fail_json(msg="failed", exception=error if TRACEBACKS else traceback.format_exc())

    outcome = call(main, tmp_path, secret=SECRET)
    assert SECRET not in outcome.stdout
    assert result(outcome)["failed"] is True


class TaskTimeoutError(BaseException):
    """As Ansible's own: from a module of ansible, and no Exception."""


TaskTimeoutError.__module__ = "ansible.somewhere"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, TaskTimeoutError])
def test_what_ends_the_task_gets_through_and_leaves_nothing(tmp_path: Path, kind: type[BaseException]) -> None:
    before = signal.getsignal(signal.SIGUSR1), sys.stdout, logging.getLogger().handlers[:], tempfile.gettempdir()

    def main() -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        tempfile.mkstemp()
        raise kind

    with pytest.raises(kind):
        call(main, tmp_path)
    after = signal.getsignal(signal.SIGUSR1), sys.stdout, logging.getLogger().handlers[:], tempfile.gettempdir()
    assert before == after
    assert list(tmp_path.iterdir()) == []
    assert _progress.sink is None


class Resource:
    """Something with a finalizer."""


def test_exit_handlers_run_once_and_those_of_others_stay(tmp_path: Path) -> None:
    ran: list[str] = []
    kept: list[Any] = []
    outside = Resource()
    weakref.finalize(outside, ran.append, "outside")

    def main() -> None:
        atexit.register(ran.append, "handler")
        atexit.register(lambda: 1 / 0)
        kept.append(atexit.register)
        resource = Resource()
        kept.append(resource)
        weakref.finalize(resource, ran.append, "finalizer")
        module().exit_json()

    outcome = call(main, tmp_path)
    assert ran == ["handler", "finalizer"]
    assert "ZeroDivisionError" in outcome.stderr
    assert atexit.register is not kept[0]
    handler = kept[0](ran.append, "late")  # kept by a module that was imported meanwhile: works as the real one
    atexit.unregister(handler)


def test_prints_do_not_hide_the_result(tmp_path: Path) -> None:
    def main() -> None:
        parsed = module()
        sys.stdout.write("a library\n")
        sys.stdout.buffer.write(b"\xff bytes\n")
        atexit.register(lambda: sys.stdout.write("late\n"))
        parsed.exit_json(text="x\n{")

    outcome = call(main, tmp_path, secret=SECRET)
    assert '"text": "x\\n{"' in outcome.stdout
    assert outcome.stdout.startswith("a library")
