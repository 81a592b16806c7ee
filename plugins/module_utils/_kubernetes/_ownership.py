# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The annotations by which this collection recognizes what it created in a cluster: set at creation, and kept."""

from __future__ import annotations

CREATED_BY_ANNOTATION = "aks.gpu/created-by"
"""The annotation of every object that this collection created, with the field manager."""

RUN_ANNOTATION = "aks.gpu/run"
"""The annotation with the name of the run that created an object."""
