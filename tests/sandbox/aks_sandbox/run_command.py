"""A command of AKS's run-command, as a process: its files in a directory of its own, kubectl on its PATH."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
import zipfile
from pathlib import Path

import yaml

from aks_sandbox.certificates import write_private

_LONGEST_SECONDS = 120.0


def with_token(kubeconfig: str, token: str) -> str:
    """A kubeconfig whose user shows a token."""
    config = yaml.safe_load(kubeconfig)
    config["users"][0]["user"] = {"token": token}
    return yaml.safe_dump(config, sort_keys=False)


async def run(command: str, files: bytes, kubeconfig: str, tools: Path) -> tuple[int, bytes]:
    """Run a command. Returns its exit code and its output, standard error included.

    Args:
        command: for a shell.
        files: a zip of what is in its directory; may be empty.
        kubeconfig: for kubectl, YAML.
        tools: the directory of kubectl.

    Raises:
        TimeoutError: it did not end.
        ValueError: the files are no zip.
    """
    with tempfile.TemporaryDirectory(prefix="aks-sandbox-command-") as home:
        work = Path(home) / "command-files"
        work.mkdir()
        if files:
            try:
                zipfile.ZipFile(io.BytesIO(files)).extractall(work)
            except zipfile.BadZipFile as error:
                raise ValueError(f"the context is no zip file: {error}") from error
        write_private(Path(home) / "kubeconfig", kubeconfig)
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", command,
            cwd=work,
            env={"PATH": f"{tools}:{os.defpath}", "HOME": home, "KUBECONFIG": f"{home}/kubeconfig"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                output, _nothing = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, output
