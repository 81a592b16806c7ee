# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls the ``main()`` of a module as if it had a process of its own, and leaves the real process as it was.

A forked worker of Ansible runs every item of a loop, and its end skips what an interpreter does when it exits
(``multiprocessing`` ends with ``os._exit``). So everything that a module may touch is put back after each call, and
what it left for the end of its process is done at the end of the call.
"""

from __future__ import annotations

import atexit
import importlib
import io
import json
import locale
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ansible.module_utils import basic
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common import warnings as module_warnings
from ansible_collections.aks.gpu.plugins.module_utils._ansible import _progress, _secrets

PROFILE = "legacy"
"""How ansible-core 2.19 and newer serialise the arguments and results of a module that does not choose otherwise."""


class _Finalizable:
    """Something to attach a finalizer to."""


# The first finalizer of a process registers one exit handler for all that come: have that done outside of any call.
weakref.finalize(_Finalizable(), int)


@dataclass(frozen=True)
class Outcome:
    """What a process would have left behind.

    Attributes:
        rc: Its exit status.
        stdout: Its standard output: the result in JSON, and whatever was printed.
        stderr: Its standard error.
    """

    rc: int
    stdout: str
    stderr: str


def call_main(
    main: Callable[[], object],
    arguments: bytes,
    *,
    environment: Mapping[str, object],
    working_directory: str,
    parent_directory: str,
    show: Callable[[str], None] | None,
) -> Outcome:
    """Calls a module.

    Args:
        main: The module's ``main``.
        arguments: What Ansible would send to the module's process: JSON.
        environment: Environment variables of the task.
        working_directory: Where the call runs.
        parent_directory: Where the call's own temporary directory is made and removed.
        show: Takes lines of progress while the call runs; None shows none.

    Raises:
        BaseException: What ends a task from outside (Ansible's timeout, an interrupt); nothing else gets through.
    """
    with ExitStack() as stack:
        out, err = stack.enter_context(_streams())
        stack.enter_context(_process_state())
        stack.enter_context(_logging())
        stack.enter_context(_module_state(arguments))
        stack.enter_context(_temporary_directory(parent_directory))
        stack.enter_context(_exit_handlers())
        stack.enter_context(_progress_to(show))
        os.environ.update({name: str(value) for name, value in environment.items()})
        os.chdir(working_directory)
        rc, masked = _run_main(main)
    output, errors = _stream_text(out), _stream_text(err)
    return Outcome(rc, _mask_messages(output, masked), str(_secrets.mask_secrets(errors, masked)))


def _run_main(main: Callable[[], object]) -> tuple[int, set[str]]:
    """Calls a module to its end, and prints what a process prints when an exception ends it.

    Returns:
        The exit status, and the values that nothing shown may contain.
    """
    try:
        main()
        raise RuntimeError("The module returned without a result.")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0, _no_log_values(end)
        sys.stderr.write(f"{end.code}\n")
        return 1, _no_log_values(end)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or _ends_the_task(error):
            raise
        _print_exception(error)
        return 1, _no_log_values(error)


def _ends_the_task(error: BaseException) -> bool:
    """True for what Ansible raises past every ``except Exception``: TaskTimeoutError, which moved between releases."""
    return not isinstance(error, Exception) and type(error).__module__.startswith("ansible.")


def _print_exception(error: BaseException) -> None:
    """Prints an exception as a module's process does: since ansible-core 2.19 as a result, before as a traceback."""
    if not isinstance(error, Exception):
        error = RuntimeError(f"{type(error).__name__}: {error}").with_traceback(error.__traceback__)
    try:
        loader = importlib.import_module("ansible.module_utils._internal._ansiballz._loader")
    except ImportError:
        traceback.print_exception(error)
        return
    with suppress(SystemExit):
        loader._handle_exception(error, PROFILE)


def _no_log_values(error: BaseException) -> set[str]:
    """Returns the secrets of every AnsibleModule that the exception passed on its way."""
    values: set[str] = set()
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        for frame, _line in traceback.walk_tb(current.__traceback__):
            for local in frame.f_locals.values():
                if isinstance(local, AnsibleModule):
                    values.update(local.no_log_values)
        pending += [current.__cause__, current.__context__]
    return values


def _mask_messages(output: str, masked: set[str]) -> str:
    """Masks what AnsibleModule does not: texts of exceptions, warnings, deprecations; all, if there is no result."""
    if not masked:
        return output
    head, brace, body = output.rpartition("\n{") if "\n{" in output else ("", "", output)
    try:
        result = json.loads(brace.strip() + body)
    except ValueError:
        return str(_secrets.mask_secrets(output, masked))
    for key in ("exception", "warnings", "deprecations"):
        if key in result:
            result[key] = _secrets.mask_secrets(result[key], masked)
    return f"{head}\n{json.dumps(result)}"


def _stream_text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = cast(io.BytesIO, stream.buffer)
    return buffer.getvalue().decode("utf-8", errors="replace")


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape", write_through=True)


@contextmanager
def _streams() -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    """Catches what is printed; standard input is empty, so that a library that asks a person gets no answer."""
    saved = sys.stdin, sys.stdout, sys.stderr
    out, err = _stream(), _stream()
    sys.stdin, sys.stdout, sys.stderr = io.StringIO(), out, err
    try:
        yield out, err
    finally:
        sys.stdin, sys.stdout, sys.stderr = saved


@contextmanager
def _process_state() -> Iterator[None]:
    """Keeps environment, directory, umask, signals, locale, warning filters and the like."""
    environment = os.environ.copy()
    directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    umask = os.umask(0o077)
    os.umask(umask)
    argv, path, hook = sys.argv[:], sys.path[:], sys.excepthook
    handlers = {number: signal.getsignal(number) for number in signal.Signals}
    timeout = socket.getdefaulttimeout()
    language = locale.setlocale(locale.LC_ALL)
    del sys.argv[1:]
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        for name, value in environment.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        os.fchdir(directory)
        os.close(directory)
        os.umask(umask)
        sys.argv[:], sys.path[:], sys.excepthook = argv, path, hook
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        socket.setdefaulttimeout(timeout)
        with suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, language)


@contextmanager
def _logging() -> Iterator[None]:
    """Keeps log lines of libraries, with URLs and headers, away from ansible.log, and puts all loggers back."""
    root = logging.getLogger()
    loggers = [root, *(known for known in root.manager.loggerDict.values() if isinstance(known, logging.Logger))]
    saved = [(one, one.handlers[:], one.filters[:], one.level, one.propagate, one.disabled) for one in loggers]
    disabled, last_resort = root.manager.disable, logging.lastResort
    root.handlers = [logging.NullHandler()]
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        known = set(loggers)
        for made in root.manager.loggerDict.values():
            if isinstance(made, logging.Logger) and made not in known:
                made.handlers, made.filters, made.propagate, made.disabled = [], [], True, False
                made.setLevel(logging.NOTSET)
        for one, kept_handlers, filters, level, propagate, was_disabled in saved:
            one.handlers, one.filters, one.propagate, one.disabled = kept_handlers, filters, propagate, was_disabled
            if one.level != level:
                one.setLevel(level)
        logging.disable(disabled)
        logging.lastResort = last_resort


@contextmanager
def _module_state(arguments: bytes) -> Iterator[None]:
    """Gives AnsibleModule its arguments, and keeps what it collects apart from other calls and from the controller."""
    names = ("_ANSIBLE_ARGS", "_ANSIBLE_PROFILE", "_PARSED_MODULE_ARGS")
    saved = {name: getattr(basic, name) for name in names if hasattr(basic, name)}
    stores: list[Any] = [module_warnings._global_warnings, module_warnings._global_deprecations]
    collected = [(store, store.copy()) for store in stores]
    internal: Any = getattr(module_warnings, "_internal", None)
    basic._ANSIBLE_ARGS = arguments
    if "_ANSIBLE_PROFILE" in saved:
        basic._ANSIBLE_PROFILE = PROFILE
    for store, _before in collected:
        store.clear()
    if internal is not None:
        internal.is_controller = False
    try:
        yield
    finally:
        if internal is not None:
            internal.is_controller = True
        for name, value in saved.items():
            setattr(basic, name, value)
        for store, before in collected:
            store.clear()
            if isinstance(store, dict):
                store.update(before)
            else:
                store.extend(before)


@contextmanager
def _temporary_directory(parent: str) -> Iterator[None]:
    """Makes a private directory the place of temporary files, when there are any; what is left in it goes with it."""
    saved, default = tempfile.tempdir, tempfile._get_default_tempdir  # type: ignore[attr-defined]
    made: list[str] = []

    def make() -> str:
        directory = tempfile.mkdtemp(prefix="aks-gpu-call-", dir=parent)
        Path(directory).chmod(0o700)  # whatever umask the module has set
        made.append(directory)
        os.environ["TMPDIR"] = directory
        return directory

    tempfile.tempdir = None
    tempfile._get_default_tempdir = make  # type: ignore[attr-defined]
    try:
        yield
    finally:
        tempfile.tempdir, tempfile._get_default_tempdir = saved, default  # type: ignore[attr-defined]
        for directory in made:
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _exit_handlers() -> Iterator[None]:
    """Runs at the end of the call what the module wants done at the end of its process."""
    register, unregister = atexit.register, atexit.unregister
    registered: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]] = []
    active = True
    finalizers = set(getattr(weakref.finalize, "_registry", ()))

    def record(function: Callable[..., object], /, *args: Any, **kwargs: Any) -> Callable[..., object]:
        if not active:  # a module imported during the call may have kept this function
            return register(function, *args, **kwargs)
        registered.append((function, args, kwargs))
        return function

    def forget(function: Callable[..., object]) -> None:
        registered[:] = [entry for entry in registered if entry[0] != function]
        unregister(function)

    atexit.register, atexit.unregister = record, forget  # type: ignore[assignment]
    try:
        yield
    finally:
        while registered:
            function, args, kwargs = registered.pop()
            try:
                function(*args, **kwargs)
            except Exception:  # noqa: BLE001 - as at the end of an interpreter: shown, and the next one runs
                traceback.print_exc()
        active = False
        atexit.register, atexit.unregister = register, unregister
        for finalizer in set(getattr(weakref.finalize, "_registry", ())) - finalizers:
            if finalizer.atexit:
                finalizer()


@contextmanager
def _progress_to(show: Callable[[str], None] | None) -> Iterator[None]:
    saved = _progress.sink
    _progress.sink = show
    try:
        yield
    finally:
        _progress.sink = saved
