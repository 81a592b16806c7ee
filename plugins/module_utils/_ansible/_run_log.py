# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tasks of a run have done, and when: the action plugins note it, evidence is made of it.

One file for each inventory host, in the private directory of the run, one JSON object a line. A host's tasks follow
one another, and a line is written in one go, so nobody waits for anybody.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._files import PRIVATE, locked

STEPS = "aks-gpu-steps-"
RUN = "aks-gpu-run.json"
LONGEST_MESSAGE = 4000


def time_text(seconds: float) -> str:
    """Returns a point in time as evidence says it, ``2026-08-01T10:00:00.123Z``.

    Args:
        seconds: Since 1970 in UTC, as ``time.time()`` returns it.
    """
    moment = datetime.fromtimestamp(seconds, tz=timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def run_of(directory: str | None, started: float | None = None) -> dict[str, str]:
    """Returns ``id`` and ``started`` of the run that a private directory belongs to.

    Args:
        directory: The private directory of the run; None where there is none, as on another machine than Ansible's.
            Then the run is this task alone.
        started: When it started, as ``time.time()`` returns it, where nobody has said so before. None is now.
    """
    new = {"id": secrets.token_hex(8), "started": time_text(time.time() if started is None else started)}
    if directory is None:
        return new
    path = Path(directory) / RUN
    if not path.exists():
        temporary = path.with_name(f".{RUN}.{new['id']}")
        temporary.write_text(json.dumps(new), encoding="utf-8")
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # no hard links here, as on many network drives: the lock lets one task of the run write it
            with locked(path.with_name(f".{RUN}.lock")):
                if not path.exists():
                    temporary.replace(path)
        temporary.unlink(missing_ok=True)
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return known


def note(
    directory: str, host: str, name: str, module: str, started: float, result: Mapping[str, Any], *, predicted: bool
) -> None:
    """Notes a task at its end; where that can't be written, the timeline lacks it.

    Args:
        directory: The private directory of the run.
        host: The inventory host, so the cluster.
        name: The task.
        module: Its module.
        started: When it started, as ``time.time()`` returns it.
        result: What it returned. A censored one is not quoted.
        predicted: It ran in check mode.
    """
    failed = bool(result.get("failed"))
    censored = bool(result.get("_ansible_no_log"))
    step = {
        "name": name,
        "module": module,
        "started": time_text(started),
        "seconds": round(max(0.0, time.time() - started), 3),
        "outcome": outcome_of(failed, bool(result.get("changed")), predicted),
        "message": str(result.get("msg") or "")[:LONGEST_MESSAGE] if failed and not censored else "",
    }
    line = json.dumps(step, separators=(",", ":")) + "\n"
    with contextlib.suppress(OSError):
        if not (Path(directory) / RUN).exists():
            run_of(directory, started)
        descriptor = os.open(_path(directory, host), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE)
        try:
            os.write(descriptor, line.encode("utf-8", errors="replace"))
        finally:
            os.close(descriptor)


def outcome_of(failed: bool, changed: bool, predicted: bool) -> str:
    """Returns how a task ended: failed, predicted (check mode), changed or ok."""
    if failed:
        return "failed"
    if predicted:
        return "predicted"
    return "changed" if changed else "ok"


def steps_of(directory: str | None, host: str) -> list[dict[str, Any]]:
    """Returns what was noted of a host, in order."""
    if directory is None:
        return []
    try:
        text = _path(directory, host).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    steps: list[dict[str, Any]] = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):  # a disk that was full cut it off
            steps.append(json.loads(line))
    return steps


def _path(directory: str, host: str) -> Path:
    return Path(directory) / f"{STEPS}{hashlib.sha256(host.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}.jsonl"
