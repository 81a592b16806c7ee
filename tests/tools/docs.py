# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make docs`: the pages of docs/ and the reference of every module and role, as a site in build/docs/html.

A warning of Sphinx, a link that leads nowhere within the site, and a page that nothing leads to are errors.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from environment import ROOT, SetUpError, check_python, link_collection, say, tool_environment, virtual_environment

SITE = ROOT / "build" / "docs"
SOURCE = SITE / "source"
HTML = SITE / "html"


class DocsError(Exception):
    """The site could not be built, or is not whole."""


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in ("href", "src"):
                self.links.append(value)
            elif value and (name == "id" or (name == "name" and tag == "a")):
                self.anchors.add(value)


def build(environment: dict[str, str]) -> None:
    """Build the site anew."""
    environment = {**environment, "HOME": str(SITE.parent)}  # antsibull-docs keeps a log there
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", SOURCE)
    reference = SOURCE / "reference"
    reference.mkdir()
    for folder in (SITE, SOURCE, reference):
        folder.chmod(0o755)  # antsibull-docs refuses a folder that others may write to
    _run(environment, "antsibull-docs", "collection", "--use-current", "--fail-on-error", "--squash-hierarchy",
         "--dest-dir", reference, "aks.gpu")  # fmt: skip
    for page in reference.glob("*.rst"):
        page.write_text(_as_the_theme_wants(page.read_text()))
    _run(environment, "sphinx-build", "-W", "--keep-going", "-q", "-b", "html", SOURCE, HTML)


def _as_the_theme_wants(text: str) -> str:
    """A page of antsibull-docs without its table of contents, which Furo draws by itself, and refuses in red."""
    without = re.sub(r"^\.\. contents::\n(?:   :.*\n)+", "", text, flags=re.MULTILINE)
    return re.sub(r"^Aks\.Gpu\n=+$", "Modules, roles, plugins\n=======================", without, flags=re.MULTILINE)


def _run(environment: dict[str, str], *command: str | Path) -> None:
    done = subprocess.run(command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise DocsError(f"{command[0]} ended with status {done.returncode}")


def dead_links(folder: Path) -> list[str]:
    """Links within the site that lead nowhere, as `page: link`."""
    pages = {path: Page(path.read_text()) for path in folder.rglob("*.html")}
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            missing_anchor = parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors
            if not target.exists() or missing_anchor:
                dead.append(f"{path.relative_to(folder)}: {link}")
    return sorted(set(dead))


def main() -> int:
    check_python()
    python = virtual_environment("test")
    link_collection()
    build(tool_environment(python))
    pages = list(HTML.rglob("*.html"))
    if dead := dead_links(HTML):
        raise DocsError("links that lead nowhere:\n  " + "\n  ".join(dead))
    say(f"{HTML.relative_to(ROOT)}/index.html: {len(pages)} pages, no dead link within the site")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (SetUpError, DocsError) as error:
        sys.exit(f"make docs: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
