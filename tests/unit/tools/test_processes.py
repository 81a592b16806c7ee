# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import signal
import subprocess
import time

from processes import descendants, is_running, kill_tree


def test_descendants_are_found_and_killed_with_the_process_and_one_that_has_ended_has_none() -> None:
    script = "sh -c 'sleep 60 & echo started; wait' & wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        found = descendants(shell.pid)
        assert len(found) == 2
        assert all(map(is_running, [shell.pid, *found]))
        kill_tree(shell.pid)
        assert shell.wait(10) == -signal.SIGKILL
    assert descendants(shell.pid) == []
    latest = time.monotonic() + 10
    while any(map(is_running, found)):
        assert time.monotonic() < latest
        time.sleep(0.01)
