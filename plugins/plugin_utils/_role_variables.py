# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles of the collection say of their variables, read once for a whole run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.aks.gpu.plugins.module_utils._ansible._renamed import renamed_variables
from ansible_collections.aks.gpu.plugins.module_utils._ansible._values import is_unset, misread_texts

ROLES = Path(__file__).parents[2] / "roles"
SPECIFICATION = "meta/argument_specs.yml"
MAIN = "main"
"""The entry point whose options are those of the whole role."""

SHARED = "gpu_stack"
"""The variable that is the default of each role's own, whose rules are its, too."""

NEARLY = 0.85
"""From which likeness on, of 1.0, a name counts as another one misspelt."""


@dataclass(frozen=True)
class Role:
    """What a role says of its variables.

    Attributes:
        entries: What each entry point takes: variables, each with what it may be.
        defaults: The role's own values of variables, with their templates.
        names: The names of its variables that are its users'.
    """

    entries: dict[str, dict[str, dict[str, Any]]]
    defaults: dict[str, Any]
    names: frozenset[str]

    @property
    def options(self) -> dict[str, dict[str, Any]]:
        """What the entry point ``main`` takes."""
        return self.entries[MAIN]


@cache
def read_all_roles() -> dict[str, Role]:
    """Reads what all roles say, by name: in the process that forks the workers, so that none of them has to."""
    return {path.parents[1].name: _read_role(path.parents[1]) for path in ROLES.glob(f"*/{SPECIFICATION}")}


def role_of(name: str) -> Role:
    """Returns what a role says.

    Raises:
        KeyError: The collection has no such role.
    """
    return read_all_roles()[name]  # and no cache by name: Ansible's tagged text is another key for it than plain text


def _read_role(role: Path) -> Role:
    entries = {
        name: {
            option: {key: rule[key] for key in rule if key not in ("description", "default")}
            for option, rule in (entry.get("options") or {}).items()
        }
        for name, entry in yaml_load((role / SPECIFICATION).read_bytes())["argument_specs"].items()
    }
    defaults = _variables(role / "defaults" / "main.yml")
    named = {option for options in entries.values() for option in options}
    return Role(entries, defaults, frozenset(named | defaults.keys()))


def _variables(path: Path) -> dict[str, Any]:
    return dict(yaml_load(path.read_bytes()) or {}) if path.exists() else {}


def wrong_variables(
    roles: Sequence[str], variables: Mapping[str, Any], templated: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[str]:
    """Returns what is wrong with the variables of roles, a sentence without its full stop for each problem.

    Args:
        roles: The roles, by name.
        variables: The variables of a host, as they were set. The others are only asked whether they must be set.
        templated: Returns variables with their templates filled in.

    Raises:
        KeyError: The collection has no such role.
    """
    return [*renamed_variables(roles, variables), *_invalid_options(_known(roles), variables, templated)]


def wrong_variables_of_entry(
    role: str, entry: str, variables: Mapping[str, Any], templated: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[str]:
    """Returns what is wrong with the variables of one role, where it runs: its own defaults are passed over.

    Args:
        role: The role, by name.
        entry: The entry point, such as ``main``. One that is not described takes what ``main`` takes.
        variables: The variables of a host.
        templated: Returns variables with their templates filled in.

    Raises:
        KeyError: The collection has no such role.
    """
    known = role_of(role)
    options = _with_shared(known.entries.get(entry, known.options))
    nothing = object()
    told = {
        name: variables[name]
        for name in options
        if name in variables and variables[name] != known.defaults.get(name, nothing)
    }
    return [*renamed_variables([role], variables), *_invalid_options(options, told, templated)]


def _invalid_options(
    known: Mapping[str, dict[str, Any]],
    variables: Mapping[str, Any],
    templated: Callable[[dict[str, Any]], dict[str, Any]],
) -> list[str]:
    concerned = {name: rule for name, rule in known.items() if rule.get("required") or name in variables}
    values = templated({name: variables[name] for name in concerned if name in variables})
    answered = {name: value for name, value in values.items() if not is_unset(value)}
    misread = [text.rstrip(".") for text in misread_texts(concerned, answered)]
    return [*misread, *ArgumentSpecValidator(concerned).validate(answered).error_messages]


def misspelt_variables(roles: Sequence[str], names: Iterable[str]) -> list[str]:
    """Returns what to say of variables that are none of the roles', but look like one; a sentence for each.

    Args:
        roles: The roles, by name.
        names: The names of a host's variables.
    """
    known = _known(roles)
    prefixes = tuple(f"{role}_" for role in roles)
    own = frozenset().union(*(role_of(role).names for role in roles))
    strangers = sorted(name for name in names if name.startswith(prefixes) and name not in own)
    likely = {name: get_close_matches(name, known, n=1, cutoff=NEARLY) for name in strangers}
    return [f"No role takes the variable {name}. Is {near[0]} meant?" for name, near in likely.items() if near]


def _known(roles: Sequence[str]) -> dict[str, dict[str, Any]]:
    return _with_shared({name: rule for role in roles for name, rule in role_of(role).options.items()})


def _with_shared(known: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    of_stack = next((rule for name, rule in known.items() if name.endswith(f"_{SHARED}")), None)
    return known if of_stack is None else {**known, SHARED: of_stack}
