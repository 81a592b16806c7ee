# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The libraries of this room, so that importing a module never fails where they are missing."""

from __future__ import annotations

import http.client
import sys

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import MissingLibrary

_missing: tuple[str, str] | None = None

try:
    import requests
    import requests.adapters
    import requests.auth
    import urllib3
    import urllib3.exceptions
except ImportError as error:
    requests = None
    urllib3 = None
    _missing = ("requests", str(error))

try:
    import yaml

    # libyaml's, where PyYAML has it: a kubeconfig of 1,000 clusters takes 1.3 s instead of 26.
    SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    SafeDumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
except ImportError as error:
    yaml = SafeLoader = SafeDumper = None
    _missing = _missing or ("PyYAML", str(error))

STREAM_ERRORS: tuple[type[Exception], ...] = (http.client.HTTPException, OSError)
"""How a response that is read as it comes shows that its connection is gone."""

if requests is not None:
    STREAM_ERRORS += (requests.exceptions.RequestException, urllib3.exceptions.HTTPError)


__all__ = [
    "STREAM_ERRORS",
    "SafeDumper",
    "SafeLoader",
    "requests",
    "require_libraries",
    "urllib3",
    "yaml",
]


def require_libraries() -> None:
    """Checks that the libraries of this room could be imported.

    Raises:
        MissingLibrary: One could not; the error says which, and for which Python.
    """
    if _missing:
        raise MissingLibrary(_missing[0], python=sys.executable, reason=_missing[1])
