"""Where a model comes from: the command that made it and the commit of the code."""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

VARIABLE = "SPIKE_CTRL_COMMAND"  # set by `spike-ctrl launch` for the nodes that it starts


def command() -> str:
    """What the user typed: the command line of this process, or of the launch that started it, less the run's folder."""
    return os.environ.get(VARIABLE) or without_folder([Path(sys.argv[0]).name, *sys.argv[1:]])


def without_folder(words: Sequence[str]) -> str:
    """A command line without `--run FOLDER` or `run:=FOLDER`: where results went is nobody's business who has the model."""
    kept, skip = [], False
    for word in words:
        if not (skip or word == "--run" or word.startswith(("--run=", "run:="))):
            kept.append(word)
        skip = word == "--run"
    return shlex.join(kept)


def commit() -> str:
    """The git commit of the checkout this library runs from, "+" appended when files differ from it; "" outside of one."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--match="],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
