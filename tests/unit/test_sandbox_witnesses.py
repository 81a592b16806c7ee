# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sandbox simulates without a witness is marked in its sources and listed in docs/sandbox.md: the same."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SANDBOX = ROOT / "tests" / "sandbox" / "aks_sandbox"
PAGE = ROOT / "docs" / "sandbox.md"
MARK = "No witness:"

Mark = tuple[str, str]
"""Where it is, as in the page's first column, and what it says."""


def said(text: str) -> Iterator[str]:
    """What the marks in a docstring or comment say: each one sentence, which may go on in the next line."""
    flowing = re.sub(r"\s+", " ", text)
    for part in flowing.split(MARK)[1:]:
        yield re.split(r"(?<!e\.g)(?<!i\.e)\. ", f"{part.strip()} ")[0].strip(" .")


def marks_of(path: Path) -> Iterator[Mark]:
    """The marks of a source file, with the function, class or constant that each is about."""
    source = path.read_text()
    module = path.relative_to(SANDBOX).with_suffix("").as_posix().replace("/", ".")
    tree = ast.parse(source)
    scopes: list[tuple[int, int, str]] = []

    def visit(node: ast.AST, name: str) -> Iterator[Mark]:
        before: ast.stmt | None = None
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                inner = f"{name}.{child.name}"
                scopes.append((child.lineno, child.end_lineno or child.lineno, inner))
                yield from visit(child, inner)
            elif isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant) and child.value.value:
                about = f"{name}.{_assigned(before)}" if _assigned(before) else name
                for text in said(str(child.value.value)):
                    yield about, text
            before = child if isinstance(child, ast.stmt) else before

    yield from visit(tree, module)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            holding = [name for first, last, name in scopes if first <= token.start[0] <= last]
            for text in said(token.string):
                yield (holding[-1] if holding else module), text


def _assigned(node: ast.stmt | None) -> str:
    target = (
        node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
    )
    return target.id if isinstance(target, ast.Name) else ""


def marked() -> list[Mark]:
    return sorted({mark for path in sorted(SANDBOX.rglob("*.py")) for mark in marks_of(path)})


def listed() -> list[tuple[str, str, str]]:
    """The page's table."""
    section = PAGE.read_text().partition("## What has no witness")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("| \n").split(" | ")] for line in section.splitlines() if line[:1] == "|"
    ]
    return [(row[0].strip("`"), row[1], row[2]) for row in rows[2:]]


def test_the_page_lists_what_the_sources_mark() -> None:
    found, shown = set(marked()), {(where, what) for where, what, _depends in listed()}
    assert len(found) > 50
    missing = "\n".join(f"| `{where}` | {what} | ? |" for where, what in sorted(found - shown))
    gone = "\n".join(f"| `{where}` | {what} |" for where, what in sorted(shown - found))
    assert not missing, f"docs/sandbox.md lacks these rows:\n{missing}"
    assert not gone, f"docs/sandbox.md has rows that no source marks:\n{gone}"


def test_each_row_says_what_depends_on_it() -> None:
    assert [row for row in listed() if len(row[2]) < 5] == []
    assert len({row[:2] for row in listed()}) == len(listed())


INTERNAL = {"__init__", "calls", "recording"}
"""Modules of `arm/` that answer nothing by themselves."""


@pytest.mark.parametrize("path", sorted((SANDBOX / "arm").glob("*.py")), ids=lambda path: path.stem)
def test_each_module_of_azure_names_its_witness_or_says_that_it_has_none(path: Path) -> None:
    assert path.stem in INTERNAL or re.search(r"(?<!No )Witness:|No witness:", path.read_text())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Answers. Witness: X, 2025. No witness: the\n    code (400), e.g. of a `PUT`. More.",
            ["the code (400), e.g. of a `PUT`"],
        ),
        ("No witness: one.\nNo witness: two.", ["one", "two"]),
        ("A witness: none.", []),
    ],
)
def test_what_a_mark_says(text: str, expected: list[str]) -> None:
    assert list(said(text)) == expected
