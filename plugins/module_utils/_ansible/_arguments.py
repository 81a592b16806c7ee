# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Argument specs that merge, as the documentation fragments do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._secrets import Seal


@dataclass(frozen=True)
class ArgumentSpec:
    """Options and the rules between them, in the terms of ``AnsibleModule``.

    Attributes:
        seals: By option, what finds the secrets inside of it; options that are secret as a whole have ``no_log``.
    """

    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    required_if: tuple[tuple[Any, ...], ...] = ()
    required_together: tuple[tuple[str, ...], ...] = ()
    mutually_exclusive: tuple[tuple[str, ...], ...] = ()
    required_one_of: tuple[tuple[str, ...], ...] = ()
    required_by: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seals: dict[str, Seal] = field(default_factory=dict)

    def merge(self, *others: ArgumentSpec) -> ArgumentSpec:
        """Returns one spec with the options and rules of all; an option that two of them define is a defect.

        Raises:
            ValueError: Two specs define the same option.
        """
        merged = self
        for other in others:
            twice = merged.options.keys() & other.options.keys()
            if twice:
                raise ValueError(f"options defined twice: {', '.join(sorted(twice))}")
            merged = ArgumentSpec(
                options={**merged.options, **other.options},
                required_if=merged.required_if + other.required_if,
                required_together=merged.required_together + other.required_together,
                mutually_exclusive=merged.mutually_exclusive + other.mutually_exclusive,
                required_one_of=merged.required_one_of + other.required_one_of,
                required_by={**merged.required_by, **other.required_by},
                seals={**merged.seals, **other.seals},
            )
        return merged

    def module_arguments(self) -> dict[str, Any]:
        """Returns the keyword arguments of ``AnsibleModule``."""
        return {
            "argument_spec": self.options,
            "required_if": [list(rule) for rule in self.required_if],
            "required_together": [list(rule) for rule in self.required_together],
            "mutually_exclusive": [list(rule) for rule in self.mutually_exclusive],
            "required_one_of": [list(rule) for rule in self.required_one_of],
            "required_by": {key: list(names) for key, names in self.required_by.items()},
        }


def items(value: str | list[Any] | tuple[Any, ...]) -> list[Any]:
    """Returns the items of a list, or of comma-separated text, without spaces around them and without empty ones."""
    found = value.split(",") if isinstance(value, str) else value
    stripped = [item.strip() if isinstance(item, str) else item for item in found]
    return [item for item in stripped if item not in ("", None)]
