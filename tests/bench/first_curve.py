"""From `git clone` to the first learning curve: python tests/bench/first_curve.py FOLDER, a new one. Prints two times.

The clone is of this checkout. pip's own cache counts as warm; the compiled kernels are the clone's own.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def surroundings() -> dict[str, str]:
    """The environment of a newcomer, without what an activated environment has set."""
    ours = ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL")
    return {name: value for name, value in os.environ.items() if name not in ours} | {"PYTHONUNBUFFERED": "1"}


def until(words: str, command: list[str], folder: Path) -> None:
    """Run a command until a line of its output holds the words, then interrupt it. SystemExit: it ended before."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=folder, env=surroundings(), **output)
    for line in process.stdout:
        print(f"    {line}", end="", flush=True)
        if words in line:
            break
    else:
        raise SystemExit(f"{' '.join(command)}: ended without '{words}'")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def main(folder: Path, *options: str) -> None:
    """options: for make, such as PYTHON=python3.12."""
    begun = time.monotonic()
    subprocess.run(["git", "clone", "--quiet", CHECKOUT, folder], check=True)
    subprocess.run(["make", "setup", *options], cwd=folder, check=True, env=surroundings())
    ready = time.monotonic()
    train = [str(folder / ".venv" / "bin" / "spike-ctrl"), "train"]
    until("SNN alone", [*train, "--run", "runs/first"], folder)
    first = time.monotonic()
    until("left", [*train, "--run", "runs/second"], folder)
    second = time.monotonic()
    print(f"from git clone to the first learning curve: {first - begun:.0f} s, {ready - begun:.0f} s of them set-up")
    print(f"a second start, to the first line of progress: {second - first:.1f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), *sys.argv[2:])
