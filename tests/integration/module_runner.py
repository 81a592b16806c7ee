# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module's own main() in this process, as Ansible's module tests do: for tests of waits, where seconds count."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.common import warnings as module_warnings
from ansible.module_utils.testing import patch_module_args

Json = dict[str, Any]


class Running:
    """A module that runs in a thread.

    Attributes:
        lines: What it showed of its progress so far, each with the time at which it came.
    """

    def __init__(self, name: str, options: Json, *, check: bool = False) -> None:
        self.lines: list[tuple[float, str]] = []
        self.ended = 0.0
        self._result: Json = {}
        self._name = name
        self._arguments = {**options, "_ansible_check_mode": check, "_ansible_diff": True}
        self._thread = threading.Thread(target=self._run, name=f"module {name}")
        self._thread.start()

    def result(self) -> Json:
        """Wait for its end, and return what it returned, with `failed`."""
        self._thread.join()
        return {"failed": False, **self._result}

    def wait_for_line(self, text: str, seconds: float = 30.0) -> None:
        """Wait until its progress says so."""
        end = time.monotonic() + seconds
        while not any(text in line for _unused, line in self.lines):
            assert time.monotonic() < end, (text, self.lines)
            assert self._thread.is_alive(), (text, self.lines, self._result)
            time.sleep(0.02)

    def _run(self) -> None:
        module = importlib.import_module(f"ansible_collections.aks.gpu.plugins.modules.{self._name}")
        progress: Any = importlib.import_module("ansible_collections.aks.gpu.plugins.module_utils._ansible._progress")
        output = io.StringIO()
        # Ansible keeps them for the whole process, because it starts one for each module.
        module_warnings._global_warnings.clear()
        module_warnings._global_deprecations.clear()
        progress.sink = lambda line: self.lines.append((time.monotonic(), line))
        try:
            with patch_module_args(self._arguments), contextlib.redirect_stdout(output), _no_exit():
                module.main()
        finally:
            progress.sink = None
            self.ended = time.monotonic()
            self._result = json.loads(output.getvalue().strip().splitlines()[-1])


def run(name: str, options: Json, *, check: bool = False) -> Json:
    """Run a module and return its result, with `failed`."""
    return Running(name, options, check=check).result()


@contextlib.contextmanager
def _no_exit() -> Iterator[None]:
    with contextlib.suppress(SystemExit):
        yield
