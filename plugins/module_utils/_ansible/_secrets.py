# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets inside of options: what is masked wherever it appears, and what only its place in a structure masks.

Ansible masks a registered value in every text of a result. A value such as ``1`` or ``default`` would make the whole
result useless (https://github.com/ansible/ansible/issues/71789), so only values that nothing else is likely to have are
registered.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MASK = "********"
SHORTEST_MIXED = 8
SHORTEST = 16


@dataclass(frozen=True)
class Sealed:
    """An option with secrets in it.

    Attributes:
        secrets: The values to mask wherever they appear.
        shown: The option as results and logs may show it.
    """

    secrets: frozenset[str]
    shown: Any


def register(secrets: Iterable[str]) -> None:
    """Registers secrets with ansible-core 2.22 and newer, which masks nothing else; older ones have no such place."""
    try:
        core = importlib.import_module("ansible.module_utils.secrets")
    except ImportError:
        return
    core.register_secrets([secret for secret in secrets if secret])


def mask_secrets(value: Any, secrets: Iterable[str]) -> Any:
    """Returns a value without secrets in its texts: ansible-core's own function for it is deprecated since 2.22.

    Args:
        value: A text, or lists and dictionaries with texts in them, keys as well.
        secrets: What is masked, wherever it appears; the longest first, as one may be a part of another.
    """
    ordered = sorted({str(secret) for secret in secrets if secret}, key=len, reverse=True)
    return _masked_text(value, ordered) if ordered else value


def _masked_text(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, Mapping):
        return {_masked_text(key, secrets): _masked_text(each, secrets) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked_text(each, secrets) for each in value]
    return value


Seal = Callable[[Any], Sealed]
"""Finds the secrets of an option. It never fails, whatever the option's type, because it runs before validation."""


def is_unguessable(value: str) -> bool:
    """Returns True for a value that can be masked everywhere: 16 characters, or 8 with both letters and digits."""
    if len(value) >= SHORTEST:
        return True
    mixed = any(each.isdigit() for each in value) and any(each.isalpha() for each in value)
    return mixed and len(value) >= SHORTEST_MIXED
