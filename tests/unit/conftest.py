# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collections come through Ansible's own loader, from the first import on: filters and lookups are found only there.

How many cases Hypothesis makes: a few hundred, or with HYPOTHESIS_PROFILE=fuzz thousands.
"""

from __future__ import annotations

import os
from pathlib import Path

from ansible.plugins.loader import init_plugin_loader
from hypothesis import HealthCheck, settings

init_plugin_loader([str(Path(__file__).parents[2] / ".dev" / "collections")])

settings.register_profile("few", max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", parent=settings.get_profile("few"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "few"))
