# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx's settings; `make docs` builds the site, the reference part by antsibull-docs."""

from __future__ import annotations

project = "aks.gpu"
copyright = "the aks.gpu authors"  # noqa: A001
html_title = "aks.gpu"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
extensions = ["myst_parser", "sphinx_antsibull_ext"]
myst_heading_anchors = 3
nitpicky = True
# What antsibull-docs refers to outside this collection: option descriptions of Ansible itself.
nitpick_ignore_regex = [("std:ref", r"ansible_collections\.ansible\..*"), ("std:envvar", r"ANSIBLE_.*")]
exclude_patterns = ["_build"]
pygments_style = "friendly"
pygments_dark_style = "monokai"
