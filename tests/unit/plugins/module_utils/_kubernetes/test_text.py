# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of the cluster, where it enters: what it can't do to a terminal, and how long a line may get."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._problems import Problem
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import error_from_response
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._http import ApiResponse, ResponseStream
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._text import (
    LONGEST_LINE,
    SHOWN_CHARACTERS,
    bounded_lines,
    frames,
    log_lines,
    log_text,
    one_line,
    visible,
    visible_tree,
)
from ansible_collections.aks.gpu.plugins.plugin_utils import _in_process
from hypothesis import given
from hypothesis import strategies as st

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

HOSTILE = [
    # kubernetes/kubernetes#101695 (CVE-2021-25743): ESC in what kubectl shows.
    pytest.param("\x1b[2J\x1b[1;1Hok: [localhost]", "ok: [localhost]", id="kubernetes-101695"),
    # Findings D4: BEL and NUL.
    pytest.param("a\x07b\x00c", r"a\x07b\x00c", id="BEL and NUL"),
    # GingerGraham/bash-logger#54: DEC private modes have parameters beyond digits.
    pytest.param("\x1b[?25lhidden cursor\x1b[?1049h", "hidden cursor", id="bash-logger-54"),
    # GingerGraham/bash-logger#36: the title of the window, and the colours of the terminal.
    pytest.param("\x1b]0;Hacked Terminal\x07x\x1b]4;0;rgb:00/00/00\x1b\\y", "xy", id="bash-logger-36"),
    # kubestellar/console#20857: separators that count as line ends, and what is left of C0 and DEL.
    pytest.param("a\u2028b\u2029c\x08\x7f", r"a\u2028b\u2029c\x08\x7f", id="console-20857"),
    # Growth-Circle/cadis#2212: the 8-bit forms of the same sequences.
    pytest.param("\x9b31mred\x9b0m \x9d0;title\x9cz", "red z", id="cadis-2212"),
    # NVIDIA/garak#997: OSC 8 hides where a link goes, OSC 52 writes to the clipboard.
    pytest.param("\x1b]8;;https://evil.test\x1b\\link\x1b]8;;\x1b\\ \x1b]52;c;cm0gLXJm\x07", "link ", id="garak-997"),
    pytest.param("an end without its own: \x1b]0;open", r"an end without its own: 0;open", id="unterminated"),
    # Trojan Source, CVE-2021-42574: https://trojansource.codes/
    pytest.param("\u202eevil\u2066", r"\u202eevil\u2066", id="CVE-2021-42574"),
]


@pytest.mark.parametrize(("hostile", "harmless"), HOSTILE)
def test_control_characters_are_neutralised_in_every_way_in(hostile: str, harmless: str) -> None:
    assert visible(hostile) == harmless
    assert log_text(hostile.encode()) == harmless
    assert visible_tree({"a": [{"message": hostile}]}) == {"a": [{"message": harmless}]}
    error = error_from_response("GET", "/x", ApiResponse(403, "", {}, _status(hostile)), "a token")
    assert not CONTROL.search(str(error))
    problem = Problem("Pod n/x", "Cause", hostile)
    assert not CONTROL.search(problem.text())


def _status(message: str) -> bytes:
    return json.dumps({"kind": "Status", "message": message}).encode()


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    assert not CONTROL.search(visible(text))
    assert visible(visible(text)) == visible(text)
    assert "\n" not in one_line(text)
    assert "\r" not in one_line(text)


def test_what_is_harmless_is_not_touched() -> None:
    tree: dict[str, Any] = {"a": ["Grüße, 日本\tx\ny"], "b": 1}
    assert visible_tree(tree) is tree


def test_a_message_is_one_line() -> None:
    """Findings D4: a Pod's message could look like a line of Ansible's own."""
    message = "killed\nok: [localhost]\r\nchanged: [localhost]"
    assert "\n" not in Problem("Pod n/x", "Cause", message).text()
    assert Problem("Pod n/x", "Cause", message).message == "killed ok: [localhost] changed: [localhost]"
    assert len(Problem("Pod n/x", "Cause", "x" * 1_000_000).message) < SHOWN_CHARACTERS + 100


def test_progress_lines_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(_in_process.display, "display", lambda text, **_more: shown.append(text))
    action = object.__new__(_in_process.InProcessAction)
    action._task_vars = {"inventory_hostname": "here"}
    action._progress_line("working\x1b[2K\nok: [localhost]")
    assert shown == ["[here] working ok: [localhost]"]


@given(st.lists(st.binary(max_size=40)))
def test_lines_come_in_any_pieces(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    wanted = whole.split(b"\n")
    assert list(bounded_lines(chunks)) == (wanted if wanted[-1] else wanted[:-1])


def test_a_line_is_bounded_and_says_so() -> None:
    """Findings D3: one line of 6 MB of progress bars became 12 MB of output."""
    bars = b"".join(b"%07d " % number for number in range(800_000)) + b"Accuracy at step 490: 0.97"
    (line,) = bounded_lines(bars[at : at + 8192] for at in range(0, len(bars), 8192))
    assert len(line) < LONGEST_LINE + 100
    assert line.startswith(b"0000000 0000001 ")
    assert line.endswith(b"Accuracy at step 490: 0.97")
    left_out = int(re.search(rb"\[(\d+) bytes left out\]", line)[1])  # type: ignore[index]
    assert len(line) - len(b"[%d bytes left out]" % left_out) + left_out == len(bars)
    assert len(log_lines(bars.decode())[0]) < SHOWN_CHARACTERS + 100


class _Pieces:
    """A response that comes in pieces as small as the kernel likes."""

    chunked = True

    def __init__(self, size: int, piece: int) -> None:
        self._size, self._piece = size, piece

    def read_chunked(self) -> Any:
        for _piece in range(0, self._size, self._piece):
            yield b"\r 50%|#####     | 100/200 [00:01<00:01, 99.9it/s]"[: self._piece].ljust(self._piece, b"=")


@pytest.mark.parametrize("read", ["lines", "bounded"])
def test_reading_is_linear_in_the_length_of_a_line(read: str) -> None:
    """Findings D3: 8 MB live took 129 s of CPU; moby/moby#19645 and tqdm/tqdm#1319 show such logs."""

    def cost(size: int) -> float:
        stream = ResponseStream(_Pieces(size, 512), "server")
        before = time.process_time()
        for _line in stream.lines() if read == "lines" else bounded_lines(stream.chunks()):
            pass
        return time.process_time() - before

    assert cost(8 * 1024 * 1024) <= 2.0


def test_frames() -> None:
    assert frames("one") == ["one"]
    assert frames("one\rtwo\r") == ["one", "two"]
    assert frames("\r \r") == [""]
