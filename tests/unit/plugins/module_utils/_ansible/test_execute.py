# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task runs a program: what it gets, what comes back, and what ends it."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Task
from ansible_collections.aks.gpu.plugins.plugin_utils import _isolation

SCRIPT = "import os, sys; print(os.environ['GREETING'], sys.argv[1:]); print('aside', file=sys.stderr); sys.exit(3)"


def execute(folder: Path, *command: str, seconds: float = 20, stop_after: float | None = None) -> dict[str, Any]:
    """What ``Task.execute`` returned or raised, in a module as the runner runs it."""

    def main() -> None:
        module = AnsibleModule({})
        stop = None if stop_after is None else threading.Event()
        if stop is not None:
            threading.Timer(stop_after or 0, stop.set).start()
        with contextlib.ExitStack() as at_end:
            try:
                outcome: Any = Task(module, at_end).execute(command, {"GREETING": "hello ~ $HOME"}, seconds, stop)
            except OSError as error:
                outcome = [type(error).__name__, str(error)]
        module.exit_json(outcome=list(outcome))

    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {}}).encode()
    ended = _isolation.call_main(
        main, arguments, environment={}, working_directory=str(folder), parent_directory=str(folder), show=print
    )
    return dict(json.loads(ended.stdout.strip().splitlines()[-1]))


def test_it_gets_variables_and_arguments_as_they_are(tmp_path: Path) -> None:
    status, stdout, stderr = execute(tmp_path, sys.executable, "-c", SCRIPT, "$HOME", "~")["outcome"]
    assert (status, stdout, stderr) == (3, "hello ~ $HOME ['$HOME', '~']\n", "aside\n")


def test_it_is_killed_when_it_takes_too_long(tmp_path: Path) -> None:
    began = time.monotonic()
    kind, text = execute(tmp_path, sys.executable, "-c", "import time; time.sleep(60)", seconds=0.5)["outcome"]
    assert kind == "TimeoutError"
    assert "took more than" in text
    assert time.monotonic() - began < 20


STOPPED = """
import signal, sys, time
def end(*_): print("asked to end"); sys.exit(7)
signal.signal(signal.SIGTERM, end)
print("began", flush=True)
time.sleep(60)
"""


def test_it_is_asked_to_end(tmp_path: Path) -> None:
    began = time.monotonic()
    status, stdout, _stderr = execute(tmp_path, sys.executable, "-c", STOPPED, seconds=50, stop_after=2.0)["outcome"]
    assert (status, stdout) == (7, "began\nasked to end\n")
    assert time.monotonic() - began < 40


def test_there_is_no_such_program(tmp_path: Path) -> None:
    assert execute(tmp_path, "no-such-program")["outcome"][0] == "FileNotFoundError"
