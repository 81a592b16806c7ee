# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ends of logs, which explain a problem."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import LogReference, Problem
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Client
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._paths import POD
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._text import log_lines

EXPLAINING_LINES = 5


MOST_LOG_TAILS = 10


def with_log_tails(client: Client, problems: Iterable[Problem]) -> list[Problem]:
    """Returns the problems with the ends of the logs that they refer to, as far as these can be read.

    Args:
        client: Speaks with the API server.
        problems: Of them the first ten logs are read.
    """
    explained: list[Problem] = []
    read = 0
    for problem in problems:
        if problem.log is None or read >= MOST_LOG_TAILS:
            explained.append(problem)
            continue
        read += 1
        explained.append(replace(problem, log_tail=tuple(log_tail(client, problem.log))))
    return explained


def log_tail(client: Client, log: LogReference, lines: int = EXPLAINING_LINES) -> list[str]:
    """Returns the last lines of a log; none when it can't be read, for it is only an explanation.

    Where the right is missing, the server's words take their place.

    Args:
        client: Speaks with the API server.
        log: Which log.
        lines: How many lines.
    """
    path = POD.path(log.namespace, log.pod, "log")
    for previous in (log.previous, not log.previous):
        try:
            text = client.text(path, container=log.container, previous=previous, tailLines=lines)
        except KubernetesError as error:
            if error.status == 403:
                return [f"(not read: {error.message})"]
            continue
        if text.strip():
            return log_lines(text)[-lines:]
    return []
