# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the files of the report's page, which only the controller has: a packed module holds nothing but Python."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.aks.gpu.plugins.module_utils._evidence._page import PageFiles

PAGE_FOLDER = Path(__file__).with_name("evidence_page")
"""Not below plugins/action: Ansible takes every file there for an action plugin."""


def page_files() -> PageFiles:
    """Reads the page's template, style and script.

    Raises:
        OSError: A file can't be read.
    """
    return PageFiles(
        template=(PAGE_FOLDER / "report.html.j2").read_text(encoding="utf-8"),
        style=_without_header(PAGE_FOLDER / "report.css"),
        script=_without_header(PAGE_FOLDER / "report.js"),
    )


def _without_header(path: Path) -> str:
    """Returns a file without the comment at its top, which names the licence and stays off the page."""
    return path.read_text(encoding="utf-8").partition("*/")[2]
