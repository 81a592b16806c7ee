# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example that a reader may copy: README, docs/, the roles' READMEs, and EXAMPLES of each module.

Playbooks and tasks pass Ansible's syntax check; options, roles, variables, playbooks and make targets in them exist.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.aks.gpu.plugins.module_utils._ansible._renamed import VARIABLES

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "roles").glob("*/README.md")),
]
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PREFIXED = re.compile(rf"\b(?:{'|'.join(ROLES)})_[a-z0-9_]+\b")


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in FENCE.findall(page.read_text()) if language in languages]


def plays_of(text: str) -> list[dict[str, Any]]:
    """The plays of an example; tasks are put into one; an inventory or variables give none."""
    documents = list(yaml.safe_load_all(text))
    content = documents[0] if len(documents) == 1 else None  # several are objects of Kubernetes
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        return []
    if any({"hosts", "import_playbook", "ansible.builtin.import_playbook"} & set(item) for item in content):
        return content
    return [{"name": "Example", "hosts": "localhost", "gather_facts": False, "tasks": content}]


def examples() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for page in PAGES:
        for number, text in enumerate(blocks(page, "yaml", "yml"), 1):
            if plays := plays_of(text):
                yield f"{page.relative_to(ROOT)} {number}", plays
    for name in MODULES:
        module = importlib.import_module(f"ansible_collections.aks.gpu.plugins.modules.{name}")
        yield f"plugins/modules/{name}.py", plays_of(module.EXAMPLES)


EXAMPLES = dict(examples())


def test_all_examples_pass_the_syntax_check(tmp_path: Path) -> None:
    files = []
    for name, plays in EXAMPLES.items():
        path = tmp_path / f"{re.sub(r'[^a-z0-9]+', '_', name.lower())}.yml"
        path.write_text(yaml.safe_dump(plays))
        files.append(str(path))
    command = [f"{Path(sys.executable).parent}/ansible-playbook", "--syntax-check", "-i", "localhost,", *files]
    collections = str(ROOT / ".dev" / "collections")
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("playbook:") == len(files)


def tasks_in(items: list[Any]) -> Iterator[dict[str, Any]]:
    for item in items:
        yield item
        for part in ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from tasks_in(item.get(part) or [])


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_uses_only_options_that_exist(example: str) -> None:
    for task in tasks_in(EXAMPLES[example]):
        for key, options in task.items():
            if not key.startswith("aks.gpu.") or not isinstance(options, dict):
                continue
            module = importlib.import_module(f"ansible_collections.aks.gpu.plugins.modules.{key.split('.')[-1]}")
            documentation = yaml.safe_load(module.DOCUMENTATION)
            known = set(documentation["options"])
            for option in documentation["options"].values():
                known |= set(option.get("aliases", ()))
            for fragment in documentation.get("extends_documentation_fragment", ()):
                found = importlib.import_module(
                    f"ansible_collections.aks.gpu.plugins.doc_fragments.{fragment.split('.')[2]}"
                )
                part = (fragment.split(".")[3:] or ["documentation"])[0].upper()
                known |= set(yaml.safe_load(getattr(found.ModuleDocFragment, part)).get("options") or {})
            assert set(options) <= known, f"{example}: {key}"


OUTPUTS = {"node_pool_result", "gpu_monitoring_found", "mnist_result"}
"""What roles register for their users: tests/unit/roles/test_names.py."""


def role_variables() -> set[str]:
    known: set[str] = set()
    for role in ROLES:
        specs = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
        for spec in specs.values():
            known |= set(spec.get("options") or {})
    return known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_only_what_exists(page: Path) -> None:
    text = page.read_text()
    code = "\n".join([*re.findall(r"`([^`\n]+)`", text), *(body for _language, body in FENCE.findall(text))])
    playbook_variables = {
        word for path in (ROOT / "playbooks").glob("*.yml") for word in PREFIXED.findall(path.read_text())
    }
    known = (
        role_variables()
        | playbook_variables
        | {f"{role}_{word}" for role in ROLES for word in ("info", "role")}
        | set(MODULES)
        | OUTPUTS
        | {old for names in VARIABLES.values() for old in names if page.name == "upgrading.md"}
    )
    assert set(PREFIXED.findall(code)) <= known
    playbooks = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
    started = re.findall(r"ansible-playbook (?:-\S+ \S+ )*aks\.gpu\.(\w+)", code)
    assert set(started) <= playbooks
    makefiles = "".join((ROOT / name).read_text() for name in ("Makefile", "tests/peers.mk"))
    targets = set(re.findall(r"^([a-z-]+):", makefiles, re.MULTILINE))
    asked = [word for line in re.findall(r"^make((?: [a-z-]+)+)", code, re.MULTILINE) for word in line.split()]
    assert set(asked) <= targets
    for link in re.findall(r"\]\(([^)#\s]+)", text):
        assert link.startswith("https://") or (page.parent / link).exists(), link
