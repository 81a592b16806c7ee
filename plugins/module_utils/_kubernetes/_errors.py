# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API server says when it says no."""

from __future__ import annotations

from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure


class KubernetesError(Failure):
    """A request that the API server, or the way to it, refused.

    Args:
        message: What was asked for, and the server's own words.
        hint: What to do next.
        status: The HTTP status; 0 when there was no answer.
        reason: The ``reason`` of the Kubernetes Status, such as ``Conflict``, ``Invalid`` or ``NotFound``.
        causes: The ``details.causes`` of the Status: dictionaries with ``reason``, ``message``, ``field``.
        details: The ``details`` of the Status.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        status: int = 0,
        reason: str = "",
        causes: list[dict[str, Any]] | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, status=status, reason=reason, causes=causes or [])
        self.status = status
        self.reason = reason
        self.causes = causes or []
        self.status_details = details or {}


class InvalidKubeconfig(KubernetesError):
    """The kubeconfig is missing, can't be read, or lacks what is needed."""


class CredentialPluginFailed(KubernetesError):
    """No credentials could be had, or the API server does not accept them."""


class Unreachable(KubernetesError):
    """The API server gave no answer.

    Args:
        transient: True when it may answer in a moment: refused, reset, timed out. False for a name that does not
            resolve or a certificate that does not fit.
    """

    def __init__(self, message: str, *, hint: str | None = None, transient: bool) -> None:
        super().__init__(message, hint=hint, reason="Unreachable")
        self.transient = transient


class WaitFailed(Failure):
    """What is waited for can't come about, or not in time; ``problems`` says why.

    Args:
        message: What was waited for, and every problem with what to do.
        problems: The problems as return values.
        details: Further return values, as those of a wait that succeeds.
    """
