# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One sandbox for the whole session, clean for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from aks_sandbox.testing import Sandbox
from harness import Ansible, clean, reset


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    """The sandbox that pytest runs in (`aks_sandbox run -- pytest`), or one that is started and stopped here."""
    if "AKS_SANDBOX_NAME" in os.environ:
        yield Sandbox.attached()
        return
    with Sandbox.started("integration") as own:
        yield own


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """A sandbox whose cluster has one system pool and nothing of a user's; settings are the defaults, but quick."""
    reset(shared_sandbox)
    yield shared_sandbox
    clean(shared_sandbox)


@pytest.fixture
def ansible(sandbox: Sandbox, tmp_path: Path) -> Ansible:
    """Ansible in the sandbox."""
    return Ansible(sandbox, tmp_path)
