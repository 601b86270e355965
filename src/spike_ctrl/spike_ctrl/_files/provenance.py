"""The origin of a model: the command that made it and the commit of the code."""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

VARIABLE = "SPIKE_CTRL_COMMAND"  # set by `spike-ctrl launch` for the nodes that it starts


def command() -> str:
    """The command that the user typed, in this process or for the launch that started it, without the run's folder."""
    return os.environ.get(VARIABLE) or without_folder([Path(sys.argv[0]).name, *sys.argv[1:]])


def without_folder(words: Sequence[str]) -> str:
    """A command line without `--run FOLDER` and `run:=FOLDER`. A model does not tell where its results were stored."""
    kept, skip = [], False
    for word in words:
        if not (skip or word == "--run" or word.startswith(("--run=", "run:="))):
            kept.append(word)
        skip = word == "--run"
    return shlex.join(kept)


def commit() -> str:
    """The git commit of the checkout that this library runs from, with "+" if files differ. "" without a checkout."""
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
