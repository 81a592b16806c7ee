# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tags by which this collection recognizes what it created in Azure. They are set at creation and kept."""

from __future__ import annotations

from collections.abc import Mapping

CREATED_BY_TAG = "aks.gpu.created-by"
"""The tag of every resource that this collection created."""

RUN_TAG = "aks.gpu.run"
"""The tag with the name of the run that created a node pool."""

OWNERSHIP_TAGS = (CREATED_BY_TAG, RUN_TAG)


def ownership_tags(run: str | None) -> dict[str, str]:
    """Returns the tags of a new resource.

    Args:
        run: The run that creates it, or None.
    """
    return {CREATED_BY_TAG: "aks.gpu", **({RUN_TAG: run} if run else {})}


def is_created_by_us(tags: Mapping[str, str] | None) -> bool:
    """Returns whether this collection created the resource with these tags. ARM ignores the case of their names."""
    return CREATED_BY_TAG in {key.lower() for key in tags or {}}


def creating_run(tags: Mapping[str, str] | None) -> str | None:
    """Returns the run that created the resource with these tags, or None where no tag names one."""
    return next((str(text) for key, text in (tags or {}).items() if key.lower() == RUN_TAG and text), None)
