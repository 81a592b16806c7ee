# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Evidence as JUnit XML, which CI systems read: a test suite for each cluster, a test case for each assertion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from ansible_collections.aks.gpu.plugins.module_utils._evidence._document import Document

FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 can't carry, such as the colours of a log."""


def junit_of(evidence: Sequence[Document]) -> str:
    """Returns evidence as JUnit XML.

    An assertion that does not hold is a failure, a step that failed is an error, what was only told is skipped.

    Args:
        evidence: The clusters.
    """
    suites = [_suite(each) for each in evidence]
    total = {key: str(sum(int(suite.get(key) or 0) for suite in suites)) for key in ("tests", "failures", "errors")}
    seconds = sum(float(suite.get("time") or 0) for suite in suites)
    root = ElementTree.Element("testsuites", {"name": "aks.gpu", **total, "time": f"{seconds:.3f}"})
    root.extend(suites)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(evidence: Document) -> ElementTree.Element:
    name = _clean(evidence["cluster"]["name"])
    cases = [_check(name, check) for check in evidence["checks"]]
    if evidence["failure"]:
        cases.append(_step(name, evidence["failure"]))
    steps = evidence["steps"]
    suite = ElementTree.Element(
        "testsuite",
        {
            "name": name,
            "hostname": _clean(evidence["host"]),
            "timestamp": str(evidence["recorded_at"]).split(".", maxsplit=1)[0].removesuffix("Z"),
            "time": f"{sum(float(step['seconds']) for step in steps):.3f}",
            "tests": str(len(cases)),
            "failures": str(sum(case.find("failure") is not None for case in cases)),
            "errors": str(sum(case.find("error") is not None for case in cases)),
            "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        },
    )
    properties = ElementTree.SubElement(suite, "properties")
    told = {"verdict": evidence["verdict"], "gpu_stack": evidence["gpu_stack"], **evidence["cluster"]}
    for key, value in told.items():
        ElementTree.SubElement(properties, "property", {"name": key, "value": _clean(value or "")})
    suite.extend(cases)
    output = ElementTree.SubElement(suite, "system-out")
    output.text = _clean(evidence["headline"])
    return suite


def _check(name: str, check: dict[str, Any]) -> ElementTree.Element:
    line = _clean(check["line"])
    case = ElementTree.Element("testcase", {"classname": f"aks.gpu.{name}", "name": str(check["name"]), "time": "0"})
    if check["holds"] is None:
        ElementTree.SubElement(case, "skipped", {"message": line})
    elif not check["holds"]:
        ElementTree.SubElement(case, "failure", {"message": line, "type": "assertion"}).text = line
    return case


def _step(name: str, failure: dict[str, Any]) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", {"classname": f"aks.gpu.{name}", "name": _clean(failure["step"]), "time": "0"}
    )
    message = _clean(failure["message"])
    first = message.strip().splitlines()[:1]
    error = ElementTree.SubElement(case, "error", {"message": "".join(first), "type": "step"})
    advice = [f"{problem['subject']}: {problem['message']} {problem['advice']}" for problem in failure["problems"]]
    error.text = "\n".join([message, *map(_clean, advice)])
    return case


def _clean(value: object) -> str:
    return FORBIDDEN.sub("\ufffd", str(value))
