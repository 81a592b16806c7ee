# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of the cluster, where it enters: control characters become visible, lines are bounded, whole lines are built.

A container writes what it likes into its log, and its own words into the status of its Pod. kubectl had to learn this
for its tables (CVE-2021-25743, https://github.com/kubernetes/kubernetes/issues/101695).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

LONGEST_LINE = 16 * 1024
"""Bytes of a line that are kept, as many as a container runtime writes into one entry of a log."""

KEPT_START = 4 * 1024
"""So many of them are its first ones; the others are its last ones."""

SHOWN_CHARACTERS = 2000
"""Characters of a line, or of a message, that a person is shown."""

_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, the cursor (ECMA-48, 5.4)
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS and other strings
    r"|\x1b[ -/]*[0-~]"
)
_HIDDEN = "\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_CONTROL = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_HIDDEN}]")
_LINE_ENDS = re.compile(r"\s*[\r\n]\s*")
_SUSPECT = re.compile(rb"\\u|[\x7f-\xff]")


def visible(text: str) -> str:
    """Returns text without terminal sequences, and with every other control character as a Python escape.

    Tabs and line ends stay. Characters that reorder or hide what stands beside them count as control characters.
    """
    if not _CONTROL.search(text):
        return text
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), _SEQUENCES.sub("", text))


def one_line(text: str) -> str:
    """Returns text as one line of bounded length, for a place where a line of its own would look like another's."""
    return shortened(_LINE_ENDS.sub(" ", visible(text).strip()))


def shortened(text: str) -> str:
    """Returns text with its middle left out where it is longer than ``SHOWN_CHARACTERS``."""
    if len(text) <= SHOWN_CHARACTERS:
        return text
    half = SHOWN_CHARACTERS // 2
    return f"{text[:half]}[{len(text) - 2 * half} characters left out]{text[-half:]}"


def may_hide(raw: bytes) -> bool:
    """Says whether JSON text may hold control characters: an escape begins with a backslash, the rest is not ASCII."""
    return _SUSPECT.search(raw) is not None


def visible_tree(value: Any) -> Any:
    """Returns data with all its texts made ``visible``; what needs no change is returned as it is."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        changed = {key: new for key, old in value.items() if (new := visible_tree(old)) is not old}
        return {**value, **changed} if changed else value
    if isinstance(value, list):
        items = [visible_tree(item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def log_text(line: bytes) -> str:
    """Returns a line of a log as text. Carriage returns stay: what a program wrote over itself is ``frames``."""
    return visible(line.decode(errors="replace"))


def frames(line: str) -> list[str]:
    """Returns what a program wrote over itself on a line, in its order; at least one text, which may be empty."""
    if "\r" not in line:
        return [line]
    return [frame for frame in line.split("\r") if frame.strip()] or [""]


def log_lines(text: str) -> list[str]:
    """Returns the lines of a log that is read as a whole, each as a terminal would leave it, and bounded."""
    return [shortened(frames(log_text(line))[-1].rstrip()) for line in bounded_lines([text.encode(errors="replace")])]


def bounded_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yields lines without their ends. Of a line longer than ``LONGEST_LINE`` the middle is left out, and said to be.

    Time is linear in the bytes, however long a line is; memory is bounded.

    Args:
        chunks: The bytes as they come; a line may be spread over any number of them.
    """
    line = _Line()
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        line.add(first)
        for other in others:
            yield line.take()
            line.add(other)
    if line:
        yield line.take()


class _Line:
    def __init__(self) -> None:
        self._start = bytearray()
        self._end = bytearray()
        self._left_out = 0

    def __bool__(self) -> bool:
        return bool(self._start)

    def add(self, piece: bytes) -> None:
        room = LONGEST_LINE - len(self._start) if not self._end else 0
        if len(piece) <= room:
            self._start += piece
            return
        if not self._end:
            self._end += self._start[KEPT_START:]
            del self._start[KEPT_START:]
            missing = KEPT_START - len(self._start)
            self._start += piece[:missing]
            piece = piece[missing:]
        self._end += piece
        self._trim(2 * LONGEST_LINE)

    def _trim(self, limit: int) -> None:
        surplus = len(self._end) - (LONGEST_LINE - KEPT_START)
        if len(self._end) > limit:
            self._left_out += surplus
            del self._end[:surplus]

    def take(self) -> bytes:
        self._trim(LONGEST_LINE - KEPT_START)
        said = b"[%d bytes left out]" % self._left_out if self._left_out else b""
        whole = bytes(self._start) + said + bytes(self._end)
        self._start, self._end, self._left_out = bytearray(), bytearray(), 0
        return whole
