"""Other programs that compile, simulate or prove what was exported."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from spike_ctrl._files.errors import UsageError


def absent(programs: Sequence[str], packages: str) -> str | None:
    """Which programs this computer does not have, in words; None if none is missing. packages: of Debian, with them."""
    missing = [name for name in programs if shutil.which(name) is None]
    return f"found no {' and no '.join(missing)}, wanted them: apt-get install {packages}" if missing else None


def run(command: Sequence[str], folder: Path | None = None, timeout: float = 600.0, marks: Sequence[str] = ("",)) -> str:
    """Run a command in a folder; its output. Raises UsageError, with the first line that holds one of the marks."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise UsageError(f"{command[0]}: found no end within {timeout:g} s") from None
    if done.returncode:
        said = (done.stderr + done.stdout).strip().splitlines()
        lines = [line for line in said if any(mark in line for mark in marks)]
        raise UsageError(f"{command[0]}: {(lines or ['failed'])[0]}")
    return done.stdout
