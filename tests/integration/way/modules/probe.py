# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that does to its process whatever modules and their libraries do, for better or worse."""

from __future__ import annotations

import asyncio
import atexit
import locale
import logging
import os
import signal
import sys
import tempfile
import time
import warnings
import weakref
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

LEFT_BEHIND: list[Any] = []

if os.environ.get("PROBE_IMPORTS"):
    with open(os.environ["PROBE_IMPORTS"], "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")


class _Resource:
    """Something with a finalizer."""


def _append(path: str, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(text + "\n")


def state() -> dict[str, Any]:
    """What a module may find in its process."""
    umask = os.umask(0)
    os.umask(umask)
    root = logging.getLogger()
    return {
        "variables": {name: os.environ.get(name) for name in ("PROBE_A", "PROBE_B", "PROBE_LEAK", "HOME")},
        "directory": os.getcwd(),
        "umask": umask,
        "argv": len(sys.argv),
        "path": "/probe" in sys.path,
        "terminate": str(signal.getsignal(signal.SIGUSR1)),
        "level": root.level,
        "handlers": [type(one).__name__ for one in root.handlers if not isinstance(one, logging.NullHandler)],
        "probe_logger": (logging.getLogger("probe").level, len(logging.getLogger("probe").handlers)),
        "new_logger": (logging.getLogger("probe.new").propagate, len(logging.getLogger("probe.new").handlers)),
        "lines": sys.stdin.read() if not sys.stdin.isatty() else "",
        "filters": [one[2].__name__ for one in warnings.filters if one[2] is ResourceWarning and one[0] == "error"],
        "locale": locale.setlocale(locale.LC_NUMERIC),
    }


def spoil(module: AnsibleModule) -> None:
    """Changes all of it."""
    os.environ["PROBE_LEAK"] = "leaked"
    os.chdir("/")
    os.umask(0o777)
    sys.path.insert(0, "/probe")
    sys.argv.append("spoilt")
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    logging.basicConfig(level=logging.DEBUG, force=True)
    logging.getLogger("probe").setLevel(logging.DEBUG)
    logging.getLogger("probe").addHandler(logging.StreamHandler())
    new = logging.getLogger("probe.new")
    new.propagate = False
    new.addHandler(logging.StreamHandler())
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error", ResourceWarning)
    sys.excepthook = print
    sys.stdout.write("a line of a library\n")
    module.run_command_environ_update = {"PROBE_LEAK": "leaked"}
    marks = module.params["path"]
    if marks:
        atexit.register(_append, marks, "exit handler")
        atexit.register(_append, marks, "dropped")
        atexit.unregister(_append)
        atexit.register(_append, marks, "second exit handler")
        atexit.register(_append, marks, "first exit handler")
        resource = _Resource()
        LEFT_BEHIND.append(resource)
        weakref.finalize(resource, _append, marks, "finalizer")
        descriptor, name = tempfile.mkstemp(suffix="-client.key")
        os.close(descriptor)
        _append(marks, f"temporary {name}")
        _append(marks, f"mode {oct(os.stat(os.path.dirname(name)).st_mode)[-4:]}")
        _append(marks, f"module {module.tmpdir}")


class _Cancelled(BaseException):
    """What some libraries raise past every handler of exceptions."""


def misbehave(module: AnsibleModule) -> None:
    """Ends in some way that is no result."""
    secret = module.params["secret"]
    what = module.params["do"]
    if what == "raise":
        try:
            raise KeyError(f"inner {secret}")
        except KeyError as error:
            raise ValueError(f"outer {secret}") from error
    if what == "fail with exception":
        try:
            raise ValueError(f"reason {secret}")
        except ValueError as error:
            module.fail_json(
                msg="failed on purpose", exception=str(error) if sys.version_info < (3, 0) else None, code=7
            )
    if what == "cancel":
        raise asyncio.CancelledError(secret)
    if what == "base exception":
        raise _Cancelled(secret)
    if what == "exit with text":
        sys.exit(f"no more {secret}")
    if what == "exit silently":
        sys.exit(3)
    if what == "print json":
        print('{"changed": true}')
        sys.exit(0)


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        {
            "do": {"type": "str", "default": "echo"},
            "text": {"type": "str"},
            "value": {"type": "raw"},
            "secret": {"type": "str", "no_log": True},
            "path": {"type": "str"},
            "seconds": {"type": "float", "default": 0.0},
            "from_environment": {"type": "str"},
        },
        supports_check_mode=True,
    )
    what = module.params["do"]
    if what == "echo":
        module.exit_json(
            changed=not module.check_mode,
            value=module.params["value"],
            text=module.params["text"],
            secret=module.params["secret"],
            check=module.check_mode,
            diff={"before": "a\n", "after": "b\n"} if module._diff else None,
            verbosity=module._verbosity > 2,
            stdout="one\ntwo",
        )
    elif what == "warn":
        module.warn(f"careful with {module.params['text']}")
        module.deprecate("old", version="9.0.0", collection_name="test.way")  # pylint: disable=wrong-collection-deprecated
        module.exit_json(changed=False)
    elif what == "spoil":
        found = state()
        spoil(module)
        module.exit_json(changed=False, found=found, tmp=str(Path(module.tmpdir).name))
    elif what == "log":
        for name in ("azure.core.pipeline", "urllib3", "probe"):
            logging.getLogger(name).warning("GET https://management.azure.com/?token=%s", module.params["secret"])
            logging.getLogger(name).info("header %s", module.params["secret"])
        sys.stderr.write("on standard error\n")
        module.exit_json(changed=False)
    elif what == "sleep":
        with tempfile.NamedTemporaryFile():
            time.sleep(module.params["seconds"])
        module.exit_json(changed=False)
    elif what == "where":
        module.exit_json(
            changed=False, process=os.getpid(), parent=os.getppid(), python=sys.executable, user=os.getuid()
        )
    elif what == "run directory":
        directory = os.environ.get("AKS_GPU_RUN_DIRECTORY")
        mode = oct(os.stat(directory).st_mode)[-4:] if directory else None
        module.exit_json(changed=False, directory=directory, mode=mode)
    elif what == "big":
        module.exit_json(changed=False, value="x" * 2_000_000)
    elif what == "fail":
        module.fail_json(msg=f"failed on purpose with {module.params['secret']}", code=7)
    else:
        misbehave(module)


if __name__ == "__main__":
    main()
