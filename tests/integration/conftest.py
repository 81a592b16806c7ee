# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One sandbox for the whole session, clean for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Ansible, Sandbox, sandbox_from_outside


@pytest.fixture(scope="session")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The sandbox that pytest runs in, or one that is started and stopped here."""
    outside = sandbox_from_outside()
    if outside is not None:
        yield outside
        return
    own = Sandbox.start(f"integration-{os.getpid()}", tmp_path_factory.mktemp("sandbox"))
    try:
        yield own
    finally:
        own.stop()


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """A sandbox whose cluster has one system pool and nothing of a user's; settings are the defaults, but quick."""
    shared_sandbox.reset()
    yield shared_sandbox
    shared_sandbox.clean()


@pytest.fixture
def ansible(sandbox: Sandbox, tmp_path: Path) -> Ansible:
    """Ansible in the sandbox."""
    return Ansible(sandbox, tmp_path)
