# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of node_pool share: an Azure of its own for each test, and the article's pool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aks_sandbox.testing import Sandbox
from arm_harness import QUICK
from harness import Ansible, pools

Json = dict[str, Any]

ARTICLE: Json = {
    "vm_size": "Standard_NC4as_T4_v3",
    "count": 1,
    "node_taints": ["sku=gpu:NoSchedule"],
    "enable_auto_scaling": True,
    "min_count": 1,
    "max_count": 3,
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An Azure of its own for each test; it starts in half a second."""
    with Sandbox.started("arm-node-pool", kubernetes=False, settings=QUICK) as own:
        yield own


@pytest.fixture
def ansible(sandbox: Sandbox, tmp_path: Path) -> Ansible:
    return Ansible(sandbox, tmp_path)


def properties(sandbox: Sandbox, name: str = "gpunp") -> Json:
    """A pool's properties as the SDK reads them."""
    found: Json = pools(sandbox)[name]["properties"]
    return found


def puts(sandbox: Sandbox, since: int) -> list[Json]:
    return [each for each in sandbox.writes(since) if each["method"] == "PUT"]
