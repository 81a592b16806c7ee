# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pytest plugin for `make against`: collects the tests of now with older plugins, and records how each ends.

A test file imports names that older plugins lack. In place of each there is a stand-in that raises MissingName where
a test uses it, so that the other tests of the file run. The stand-in answers nothing in the place of the product.
The lines of the file named by AGAINST_REPORT are JSON: id, ending and detail of a test. AGAINST_TESTS names the tests
that run, without their parameters; all where it is empty.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PRODUCT = "ansible_collections.aks.gpu.plugins."
MISSING = ("unsupported parameters for", "unexpected keyword argument", "has no attribute", "was not found in the",
           "No filter named")  # fmt: skip
"""What Python, a module's argument spec and Ansible say of a name that is not there."""

SECONDS = float(os.environ.get("AGAINST_SECONDS", "60"))
"""What a test may take: with older plugins some would wait until a deadline of the product, or for good."""

_phase = {"collecting": True}


class MissingName(Exception):
    """A test uses a name that the older product lacks."""


class _Missing(type):
    """What stands where a name is missing. At the collection its attributes and results are missing as well."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls._used(name)

    def __call__(cls, *_values: Any, **_named: Any) -> Any:
        return cls._used("()")

    def __instancecheck__(cls, _instance: Any) -> bool:
        raise MissingName(cls.__name__)

    def _used(cls, what: str) -> Any:
        if _phase["collecting"]:
            return missing(f"{cls.__name__}.{what}")
        raise MissingName(cls.__name__)


def missing(name: str) -> Any:
    """A stand-in for a name that is not there."""
    return type.__call__(_Missing, name, (Exception,), {})


def _module(name: str) -> ModuleType:
    """The named module of the product; one that is not there has whatever is asked of it, as stand-ins."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(PRODUCT):
            raise
    module = ModuleType(name)
    module.__file__ = str(Path(*name.split("."))) + ".py"
    module.__getattr__ = lambda asked: _attribute(name, asked)  # type: ignore[method-assign]
    sys.modules[name] = module
    parent, last = name.rsplit(".", 1)
    setattr(_module(parent), last, module)
    return module


def _attribute(module: str, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return missing(f"{module.removeprefix(PRODUCT)}.{name}")


def _provide(file: Path) -> None:
    """Put stand-ins where a test file imports what the product lacks."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(PRODUCT):
            assert node.module is not None
            module = _module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    _provide_name(module, alias.name)


def _provide_name(module: ModuleType, name: str) -> None:
    try:
        setattr(module, name, importlib.import_module(f"{module.__name__}.{name}"))
    except ModuleNotFoundError:
        setattr(module, name, _attribute(module.__name__, name))


def pytest_pycollect_makemodule(module_path: Path) -> None:
    _provide(module_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    wanted = os.environ.get("AGAINST_TESTS", "").split()
    if wanted:
        items[:] = [item for item in items if item.nodeid.partition("[")[0] in wanted]


def pytest_collection_finish() -> None:
    _phase["collecting"] = False


class TooSlow(Exception):
    """A test did not end in time."""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call() -> Any:
    def ring(_signal: int, _frame: Any) -> None:
        raise TooSlow(f"not ended after {SECONDS:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def ending(error: BaseException) -> str:
    """How a test failed: `assertion`, `missing name`, or the type of any other error."""
    text = str(error).lower()
    if isinstance(error, (MissingName, ImportError, NameError)) or any(words in text for words in MISSING):
        return "missing name"
    if isinstance(error, TypeError) and ("argument" in text or "missingname" in text or "catching classes" in text):
        return "missing name"
    # `(problem,) = problems` expects one.
    unpacked = isinstance(error, ValueError) and "values to unpack" in text and _is_of_a_test(error)
    fails = (AssertionError, pytest.fail.Exception)
    return "assertion" if unpacked or isinstance(error, fails) else type(error).__name__


def _is_of_a_test(error: BaseException) -> bool:
    """Whether it was raised by a line of a test itself."""
    return Path(list(traceback.walk_tb(error.__traceback__))[-1][0].f_code.co_filename).name.startswith("test_")


def _record(test: str, how: str, detail: str = "") -> None:
    with Path(os.environ["AGAINST_REPORT"]).open("a") as report:
        print(json.dumps({"id": test, "ending": how, "detail": detail.strip()[:2000]}), file=report)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    outcome = yield
    report = outcome.get_result()
    if report.failed and call.excinfo is not None:
        _record(item.nodeid, ending(call.excinfo.value), str(call.excinfo.value))
    elif report.skipped:
        _record(item.nodeid, "skipped", str(report.longrepr))
    elif call.when == "call":
        _record(item.nodeid, "passed")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _record(report.nodeid, "not collected", report.longreprtext[-2000:])
