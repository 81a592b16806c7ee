# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unset means unset: a variable of a role that holds nothing is as one that is not there.

The extra variables go the way of AWX's: a file as AWX writes it, read by ansible-core's own loader of extra variables.
What arrives differs: texts with ansible-core 2.18 and older; null, numbers and booleans since 2.19. What the roles
make of it must not.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import context
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.release import __version__
from ansible.template import Templar
from ansible.utils.context_objects import CLIArgs
from ansible.utils.vars import load_extra_vars
from ansible_collections.aks.gpu.plugins.module_utils._ansible._values import is_unset
from ansible_collections.aks.gpu.plugins.plugin_utils._role_variables import ROLES, role_of, wrong_variables

Json = dict[str, Any]

CHECKOUT = Path(__file__).parents[4]
KEEPS_TEXT = tuple(int(part) for part in __version__.split(".")[:2]) < (2, 19)
NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())
OF_SITE = ("preview_feature", "node_pool", "device_plugin", "gpu_operator", "mnist", "gpu_verify")
"""What playbooks/tasks/variables.yml judges."""

FOUND = {
    "ansible_check_mode": False,
    "inventory_hostname": "one",
    "ansible_play_hosts_all": ["one"],
    "aks_resource_group": "myResourceGroup",
    "aks_cluster_name": "myAKSCluster",
}
ASSETS = yaml.safe_load((CHECKOUT / "examples" / "awx" / "assets.yml").read_text())
SURVEYS = {
    each["name"]: each["related"]["survey_spec"]["spec"]
    for kind in ("job_templates", "workflow_job_templates")
    for each in ASSETS[kind]
    if "survey_spec" in each.get("related", {})
}
QUESTIONS = [(name, question["variable"]) for name, spec in SURVEYS.items() for question in spec]


@cache
def written() -> Any:
    """The module tests/tools/awx_variables.py, which is not on the path of the version matrix."""
    spec = importlib.util.spec_from_file_location("awx_variables", CHECKOUT / "tests" / "tools" / "awx_variables.py")
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def arrived(folder: Path, variables: Json, of_template: Json | None = None) -> Json:
    """What ansible-core makes of the extra variables of a job."""
    path = folder / "extravars"
    path.write_text(written().extra_variables(variables, of_template))
    before = context.CLIARGS
    context.CLIARGS = CLIArgs({"extra_vars": (f"@{path}",)})
    load_extra_vars.__dict__.pop("extra_vars", None)  # which it keeps for the run
    try:
        return dict(load_extra_vars(DataLoader()))
    finally:
        context.CLIARGS = before
        load_extra_vars.__dict__.pop("extra_vars", None)


@cache
def layer(path: Path) -> Json:
    trusted = {} if KEEPS_TEXT else {"trusted_as_template": True}
    return dict(DataLoader().load_from_file(str(path), **trusted) or {}) if path.exists() else {}


def templar(roles: tuple[str, ...], variables: Json) -> Templar:
    """The variables of roles, in Ansible's order of precedence."""
    every = [role for role in NAMES if role in roles]
    layers = [layer(ROLES / role / folder / "main.yml") for folder in ("defaults", "vars") for role in every]
    loader = DataLoader()
    loader.set_basedir(str(ROLES / every[0]))
    merged: Json = {}
    for each in (*layers, FOUND, variables):
        merged.update(each)
    return Templar(loader=loader, variables=merged)


def derived(role: str, variables: Json, *reached: str) -> Json:
    """What a role's own variables come to, all of them or those that the named ones reach.

    One that needs the result of a task comes to the name of the error.
    """
    own = layer(ROLES / role / "vars" / "main.yml")
    chosen = own.keys() & dependents(role, *reached) if reached else own.keys()
    return dict(_resolved(templar((role,), variables), {name: own[name] for name in chosen}))


@cache
def words(role: str) -> dict[str, frozenset[str]]:
    """The words in the text of each variable of a role."""
    layers = [layer(ROLES / role / folder / "main.yml") for folder in ("defaults", "vars")]
    return {name: frozenset(re.findall(r"\w+", str(value))) for each in layers for name, value in each.items()}


def dependents(role: str, *names: str) -> set[str]:
    """The variables of a role whose templates name one of these, or one that does."""
    found = set(names)
    while more := {name for name, text in words(role).items() if text & found} - found:
        found |= more
    return found


def _resolved(of: Templar, own: Json) -> Iterator[tuple[str, Any]]:
    for name, value in own.items():
        try:
            yield name, plain(of.template(value))
        except AnsibleError as error:
            yield name, type(error).__name__


def plain(value: Any) -> str:
    return json.dumps(_with_one_nothing(value), default=str, sort_keys=True)


def _with_one_nothing(value: Any) -> Any:
    """What is handed to a module may be any kind of nothing: they are the same to it (test_values.py)."""
    if isinstance(value, dict):
        return {key: _with_one_nothing(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_one_nothing(each) for each in value]
    return "" if is_unset(value) else value


@pytest.mark.parametrize("role", NAMES)
def test_a_variable_of_a_role_that_holds_nothing_is_as_one_that_is_not_there(role: str) -> None:
    """Null and whitespace, in each variable of the role and in those of other roles that it looks at."""
    usual = derived(role, {})
    assert sum("AnsibleUndefinedVariable" not in value for value in usual.values()) > 1
    known = {name for other in NAMES for name in role_of(other).options} | {"gpu_stack"}
    looked_at = known & frozenset().union(*words(role).values())
    for name in sorted(looked_at - {"aks_resource_group", "aks_cluster_name"}):
        for nothing in (None, " "):
            now = derived(role, {name: nothing}, name)
            assert now == {each: usual[each] for each in now}, f"{name}: {nothing!r}"


@pytest.mark.parametrize("nothing", ["", " "])
@pytest.mark.parametrize(("survey", "variable"), QUESTIONS)
def test_a_question_without_an_answer_is_an_unset_variable(
    tmp_path: Path, survey: str, variable: str, nothing: str
) -> None:
    """Each question alone, the others with their defaults; a default that AWX would put back is not there either."""
    answers = {question["variable"]: question["default"] for question in SURVEYS[survey]}
    found = arrived(tmp_path, {**answers, variable: nothing})
    assert found[variable] in (nothing, None)
    without = {name: value for name, value in found.items() if name != variable}
    roles = OF_SITE if survey != "GPU metrics" else (*OF_SITE, "gpu_monitoring")
    assert wrong_variables(roles, {**FOUND, **found}, lambda values: values) == []
    for role in roles:
        assert derived(role, found, variable) == derived(role, without, variable)


TEXTS = {
    "node_pool_orchestrator_version": "1.30",
    "node_pool_name": "0042",
    "mnist_image": "true",
    "mnist_namespace": "1e3",
    "device_plugin_name": "2026-11-30",
}


def test_a_text_is_kept_or_refused_but_never_used_as_something_else(tmp_path: Path) -> None:
    found = arrived(tmp_path, TEXTS)
    wrong = wrong_variables(OF_SITE, {**FOUND, **found}, lambda values: values)
    if KEEPS_TEXT:
        assert found == TEXTS
        assert wrong == []
        return
    assert [text.split(" is text, but ")[0] for text in wrong] == [
        name for name in wrong_order(OF_SITE) if not isinstance(found.get(name, ""), str)
    ]
    assert {name: value for name, value in found.items() if isinstance(value, str)}.items() <= TEXTS.items()
    assert not isinstance(found["node_pool_orchestrator_version"], str)
    assert not isinstance(found["node_pool_name"], str)
    assert not isinstance(found["mnist_image"], str)


def wrong_order(roles: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(name for role in roles for name in role_of(role).options if name in TEXTS))


@pytest.mark.parametrize("version", ["1.30.4", "1.36.2"])
def test_the_spelling_that_is_recommended_survives(tmp_path: Path, version: str) -> None:
    found = arrived(tmp_path, {"node_pool_orchestrator_version": version})
    assert found == {"node_pool_orchestrator_version": version}
    assert isinstance(found["node_pool_orchestrator_version"], str)


def test_the_variables_of_a_job_template_survive(tmp_path: Path) -> None:
    """AWX writes them without a mark, and so in quotes where YAML needs them."""
    found = arrived(tmp_path, TEXTS, TEXTS)
    assert found == TEXTS
    assert wrong_variables(OF_SITE, {**FOUND, **found}, lambda values: values) == []


def test_the_file_is_as_awx_writes_it() -> None:
    """The example of safe_dump's own docstring: awx/main/utils/safe_yaml.py."""
    text = written().extra_variables({"a": "b", "c": "d"}, {"a": "b"})
    assert text == "a: b\n!unsafe 'c': !unsafe 'd'\n"
    assert written().extra_variables({"n": 3, "l": ["x"]}) == "!unsafe 'n': 3\n!unsafe 'l':\n- !unsafe 'x'\n"
