# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors that reach a user."""

from __future__ import annotations

from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._option_names import with_names


class Failure(Exception):
    """A failure that a user can act on; only the boundary of a module turns it into ``fail_json``.

    Args:
        message: What failed, on what, in one or more sentences.
        hint: What to do next, in the user's words. It is appended to the message. An option of the module is written
            ``O(repair=true)`` in both, so that the user of a role reads the role's variable; see ``_option_names``.
        details: Further return values of the failed task, such as ``code`` or ``status``. Never a secret.
    """

    def __init__(self, message: str, *, hint: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    @property
    def marked(self) -> str:
        """The whole text, options in it as marks."""
        return f"{self.message} {self.hint}" if self.hint else self.message

    def __str__(self) -> str:
        return with_names(self.marked)


class MissingLibrary(Failure):
    """A Python library that a module needs is not installed where the module runs.

    Args:
        library: The name to install it by, as on the Python Package Index.
        python: The path of the interpreter that lacks it.
        reason: The text of the import error.
    """

    def __init__(self, library: str, *, python: str, reason: str) -> None:
        super().__init__(
            f"The Python library {library} can't be imported by {python}: {reason}.",
            hint=f"Install it for that Python, for example with: {python} -m pip install {library}",
            library=library,
        )


class DeadlineExceeded(Failure):
    """What was waited for did not come about in time; it may still come about later."""
