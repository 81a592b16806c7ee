# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Surveys, launches and schedules as AWX 24.6.1 judges them. Functions name AWX's own, below awx/ of its source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

Json = dict[str, Any]

TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "textarea": (str,),
    "password": (str,),
    "multiplechoice": (str,),
    "multiselect": (str, list),
    "integer": (int,),
    "float": (float, int),
}
"""Question types and what their defaults may be (SURVEY_TYPE_MAPPING, api/views/__init__.py)."""

ASKED = {"credentials": "credential", "job_tags": "tags"}
"""Prompts whose setting has another name (AskForField, main/models/jobs.py and mixins.py)."""


def spec_error(spec: Json) -> str | None:
    """What AWX refuses about a survey: JobTemplateSurveySpec._validate_spec_data, api/views/__init__.py."""
    wanted = (("name", str, "string"), ("description", str, "string"), ("spec", list, "list of items"))
    for field, expected, label in wanted:
        if field not in spec:
            return f"Field '{field}' is missing from survey spec."
        if not isinstance(spec[field], expected):
            return f"Expected {label} for field '{field}', received {type(spec[field]).__name__} type."
    if not spec["spec"]:
        return "'spec' doesn't contain any items."
    seen: set[str] = set()
    for number, question in enumerate(spec["spec"]):
        error = _question_error(question, number, seen)
        if error:
            return error
        seen.add(question["variable"])
    return None


def _question_error(question: Json, number: int, seen: set[str]) -> str | None:
    for name in ("type", "question_name", "variable", "required"):
        if name not in question:
            return f"'{name}' missing from survey question {number}"
        kind, label = (bool, "boolean") if name == "required" else (str, "string")
        if not isinstance(question[name], kind):
            return f"'{name}' in survey question {number} expected to be {label}."
    if question["variable"] in seen:
        return f"'variable' '{question['variable']}' duplicated in survey question {number}."
    kind, default = question["type"], question.get("default", "")
    if kind not in TYPES:
        return f"'{kind}' in survey question {number} is not one of '{', '.join(TYPES)}' allowed question types."
    if default != "" and not isinstance(default, TYPES[kind]):
        label = kind if kind in ("integer", "float") else "string"
        return f"Default value {default} in survey question {number} expected to be {label}."
    for limit in ("min", "max"):
        if question.get(limit) is not None and not isinstance(question[limit], int):
            return f"The {limit} limit in survey question {number} expected to be integer."
    if kind in ("multiplechoice", "multiselect"):
        if "choices" not in question:
            return f"Survey question {number} of type {kind} must specify choices."
        chosen = default.splitlines() if isinstance(default, str) else default
        if any(each not in question["choices"] for each in chosen):
            return "Default choice must be answered from the choices listed."
    return None


def answer_errors(question: Json, answers: Mapping[str, Any]) -> list[str]:
    """What AWX refuses about the answer to a question: _survey_element_validation, main/models/mixins.py."""
    name, kind = question["variable"], question["type"]
    if name not in answers:
        return [f"'{name}' value missing"] if question["required"] else []
    value, least, most = answers[name], question.get("min"), question.get("max")
    if kind in ("text", "textarea", "password"):
        if not isinstance(value, str):
            return [f"Value {value} for '{name}' expected to be a string."]
        size: float = len(value)
    elif kind in ("integer", "float"):
        numbers = (int,) if kind == "integer" else (float, int)
        if type(value) not in numbers:
            wanted = "an integer" if kind == "integer" else "a numeric type"
            return [f"Value {value} for '{name}' expected to be {wanted}."]
        size = value
    else:
        given = value if isinstance(value, list) else [value]
        wrong = [each for each in given if each not in question["choices"]]
        return [f"Value {each} for '{name}' expected to be one of {question['choices']}." for each in wrong]
    if least not in ("", None) and size < least:
        length = f"length is {size} " if kind in ("text", "textarea", "password") else ""
        return [f"'{name}' value {value} is too small ({length}must be at least {least})."]
    if most not in ("", None) and size > most:
        return [f"'{name}' value {value} is too large (must be no more than {most})."]
    return []


def handed_on(template: Json, survey: Json | None, given: Mapping[str, Any]) -> Json:
    """The extra variables of a job: those of the template, the survey's defaults, what was given.

    A default that isn't a valid answer is left out, as the empty text of a number or a choice
    (_update_unified_job_kwargs, main/models/mixins.py).
    """
    defaults = {
        question["variable"]: question["default"]
        for question in (survey or {}).get("spec", [])
        if question.get("default") is not None
        and not answer_errors(question, {question["variable"]: question["default"]})
    }
    return {**parsed(template.get("extra_vars")), **defaults, **given}


def from_the_form(survey: Json, **answers: Any) -> Json:
    """What AWX's form sends: each default or answer, but no empty one (getSurveyValues, ui/src/util/prompt)."""
    values = {question["variable"]: question.get("default", "") for question in survey["spec"]}
    return {name: value for name, value in {**values, **answers}.items() if value != ""}


def parsed(variables: Any) -> Json:
    """Extra variables, given as an object or as text of JSON or YAML (parse_yaml_or_json, main/utils/common.py)."""
    found = yaml.safe_load(variables or "{}") if isinstance(variables, str) or not variables else variables
    return dict(found)


def judged(
    template: Json, survey: Json | None, prompts: Iterable[str], body: Json, saved: bool = False
) -> tuple[Json, Json, Json]:
    """What of a launch is accepted, what is ignored, and errors.

    _accept_or_ignore_job_kwargs (main/models/jobs.py) and _accept_or_ignore_variables (main/models/mixins.py). What
    isn't prompted for is ignored by a launch, and refused by a schedule.

    Args:
        template: A job template or a workflow.
        survey: Its survey, if there is one.
        prompts: Fields that a template can prompt for.
        body: The request's.
        saved: Whether it is a schedule, whose variables are extra_data.
    """
    accepted: Json = {}
    ignored: Json = {}
    errors: Json = {}
    variables = parsed(body.get("extra_data" if saved else "extra_vars"))
    questions = survey["spec"] if survey and template["survey_enabled"] else []
    wrong = {question["variable"]: answer_errors(question, variables) for question in questions}
    if any(wrong.values()):
        errors["variables_needed_to_start"] = [each for found in wrong.values() for each in found]
    free = {name: value for name, value in variables.items() if name not in wrong}
    if free and not template["ask_variables_on_launch"]:
        ignored["extra_vars"] = free
        if saved:
            errors["extra_data"] = [
                f"Variables {', '.join(free)} are not allowed on launch. Check the Prompt on Launch setting on the "
                f"{template['type'].replace('_', ' ').title()} to include Extra Variables."
            ]
    refused = ignored.get("extra_vars", {})
    accepted["extra_vars"] = {name: value for name, value in variables.items() if name not in refused}
    for name in sorted(set(prompts) & set(body) - {"extra_vars"}):
        if body[name] is None or body[name] == template.get(name):
            continue
        asked = template[f"ask_{ASKED.get(name, name)}_on_launch"]
        (accepted if asked else ignored)[name] = body[name]
        if not asked and saved:
            errors[name] = "Field is not configured to prompt on launch."
    return accepted, ignored, errors
