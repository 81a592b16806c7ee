# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tables of docs/ say that a user may read is what the collection, or Ansible, says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / f"{name}.md" for name in ("troubleshooting", "access")]
HEADS = ("message", "cause", "Azure's code, or the message")
OTHERS = {
    "[WARNING]: No inventory was parsed",  # Ansible's
    "missing required arguments:",  # Ansible's
    'is forbidden: User "',  # Kubernetes'
    "AuthorizationFailed",  # Azure's, as the codes below
    "ReconcileVMSSAgentPoolFailed",
    "DeleteVMSSAgentPoolFailed",
    "ResourceOperationFailure",
}


def messages() -> Iterator[str]:
    """What stands in code in the first column of a table of messages or causes."""
    for page in PAGES:
        head = ""
        for line in page.read_text().splitlines():
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] if line.startswith("|") else []
            head = (head or cells[0]) if cells else ""
            if cells and head in HEADS:
                yield from re.findall(r"`([^`]+)`", cells[0])


def said() -> list[str]:
    """Every string of the collection's Python, parts of f-strings included, and its roles and playbooks."""
    texts = []
    for path in (ROOT / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    for folder in ("roles", "playbooks"):
        texts += [" ".join(path.read_text().split()) for path in (ROOT / folder).rglob("*.yml")]
    return texts


SAID = said()


@pytest.mark.parametrize("message", sorted(set(messages())))
def test_a_message_is_one_that_is_said(message: str) -> None:
    """Between the values, which the dots stand for, each part is part of one text."""
    for part in filter(None, (each.strip() for each in message.split("…"))):
        assert part in OTHERS or any(part in text for text in SAID), f"nothing says {part!r}"


def test_messages_are_found() -> None:
    assert len(set(messages())) > 40
