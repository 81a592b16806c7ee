# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a value is before Ansible converts it to the type of its option: unset, or a text that has lost its spelling.

AWX writes the extra variables of a job as YAML in which each text has the tag ``!unsafe``
(``awx/main/utils/safe_yaml.py``). Since ansible-core 2.19 such a text is resolved once more: ``''`` arrives as None,
``'1.30'`` as the number 1.3, ``'0042'`` as 34, ``'true'`` as a boolean. Seen with 2.19.14 and 2.21.5, and in the source
of 2.20.10 and 2.22.0rc1; 2.18 and older hand the text over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

TEXTS = ("str", "path")
"""The types of options that are text."""

Options = Mapping[str, Mapping[str, Any]]
"""Options in the terms of ``AnsibleModule``."""


def is_unset(value: Any) -> bool:
    """Says whether a value counts as unset: None, empty text, whitespace. An empty list or dictionary is a value."""
    return value is None or (isinstance(value, str) and not value.strip())


def without_unset(options: Options, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values without the options that are unset, those of dictionaries of options as well.

    Args:
        options: The options. Values of others are kept as they are.
        values: Values by option, before Ansible converts them.
    """
    rules = _by_every_name(options)
    return {
        name: _inside(rules[name], value) if name in rules else value
        for name, value in values.items()
        if name not in rules or not is_unset(value)
    }


def _inside(rule: Mapping[str, Any], value: Any) -> Any:
    inner = rule.get("options")
    if inner and isinstance(value, Mapping):
        return without_unset(inner, value)
    if inner and isinstance(value, (list, tuple)):
        return [without_unset(inner, item) if isinstance(item, Mapping) else item for item in value]
    return value


def misread_texts(options: Options, values: Mapping[str, Any]) -> list[str]:
    """Returns what to say of options that are text, and for which something else has arrived; a sentence for each.

    Args:
        options: The options.
        values: Values by option, before Ansible converts them.
    """
    return [
        f"{name} is text, but {_describe_type(value)} has arrived, and its spelling may be lost: YAML reads 1.30 as "
        "1.3, 0042 as 34 and yes as true. Quote it in YAML. ansible-core 2.19 and newer also read the answers of AWX's"
        f" surveys so: {_survivor(value)}"
        for name, value in _misread(options, values)
    ]


def _misread(options: Options, values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    rules = _by_every_name(options)
    for name, value in values.items():
        rule = rules.get(name, {"type": "raw"})
        inner = rule.get("options")
        if rule.get("type", "str") in TEXTS and _is_no_text(value):
            yield f"{prefix}{name}", value
        elif rule.get("type") == "list":
            items = value if isinstance(value, (list, tuple)) else [value]
            if rule.get("elements") in TEXTS:
                yield from ((f"{prefix}{name}", item) for item in items if _is_no_text(item))
            elif inner:
                for item in items:
                    if isinstance(item, Mapping):
                        yield from _misread(inner, item, f"{prefix}{name}.")
        elif inner and isinstance(value, Mapping):
            yield from _misread(inner, value, f"{prefix}{name}.")


def _is_no_text(value: Any) -> bool:
    return isinstance(value, (bool, int, float, date))


def _describe_type(value: Any) -> str:
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    return f"the {'date' if isinstance(value, date) else 'number'} {value}"


def _survivor(value: Any) -> str:
    if isinstance(value, float):
        return "answer a version with all its parts, such as 1.30.4, or quote the text in the job template's variables."
    return "quote the text in the variables of the job template instead."


def _by_every_name(options: Options) -> dict[str, Mapping[str, Any]]:
    return {name: rule for option, rule in options.items() for name in (option, *rule.get("aliases", ()))}
