# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to Azure leave by one door: nothing else of the Azure side has a session, TLS settings or a token header."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[5] / "plugins"
ROOMS = ("_azure", "_aks", "_node_pool", "_monitoring", "_evidence", "_ansible")
DOOR = {"_azure/_client.py", "_azure/_policies.py", "_azure/_libraries.py"}
TRANSPORT = {
    "requests",
    "urllib3",
    "http",
    "ssl",
    "socket",
    "azure",
    "PipelineClient",
    "RequestsTransport",
    "HttpRequest",
}
"""Packages that send requests, and the names by which the libraries' module offers them."""
ALLOWED = {
    "_azure/_session.py": {"HttpRequest"},  # a cloud's metadata, which needs no token, by the door's client
    "_azure/_sign_in.py": {"socket"},  # whether this machine has a managed identity
}
TOKEN_HEADER = re.compile(r"\bBearer\b|[\"']Authorization[\"']")


def code_of(path: Path) -> ast.Module:
    """The code of a file without its docstrings and comments."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [each for each in body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return tree


def transport_of(tree: ast.Module) -> set[str]:
    """What of TRANSPORT a file imports or names."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
    return names & TRANSPORT


def sends(path: Path) -> bool:
    tree = code_of(path)
    return bool(transport_of(tree)) or bool(TOKEN_HEADER.search(ast.unparse(tree)))


FILES = [path for room in ROOMS for path in sorted((PLUGINS / "module_utils" / room).glob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_other_way_out(path: Path) -> None:
    name = f"{path.parent.name}/{path.name}"
    if name in DOOR:
        return
    tree = code_of(path)
    assert transport_of(tree) <= ALLOWED.get(name, set())
    assert not TOKEN_HEADER.search(ast.unparse(tree))


def test_the_door_is_one() -> None:
    """The gate would be worthless if what it looks for had another name."""
    assert {name for name in DOOR if sends(PLUGINS / "module_utils" / name)} == DOOR
