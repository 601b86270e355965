"""Times the way from `git clone` to the first learning curve: python tests/bench/first_curve.py FOLDER, a new one.

The clone is of this checkout. pip's own cache counts as warm; the compiled kernels are the clone's own.
"""

import os
import resource
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


def until(words: str, command: list[str], folder: Path) -> float:
    """Seconds until a line of the command's output holds the words; then it is interrupted. SystemExit: it ended before."""
    begun = time.monotonic()
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=folder, env=surroundings(), **output)
    for line in process.stdout:
        print(f"    {line}", end="", flush=True)
        if words in line:
            seconds = time.monotonic() - begun
            break
    else:
        raise SystemExit(f"{' '.join(command)}: ended without '{words}'")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    return seconds


def main(folder: Path, *options: str) -> None:
    """options: for make, such as PYTHON=python3.12."""
    begun = time.monotonic()
    subprocess.run(["git", "clone", "--quiet", CHECKOUT, folder], check=True)
    subprocess.run(["make", "setup", *options], cwd=folder, check=True, env=surroundings())
    ready = time.monotonic()
    train = [str(folder / ".venv" / "bin" / "spike-ctrl"), "train"]
    first = until("SNN alone", [*train, "--run", "runs/first"], folder)
    second = until("left", [*train, "--run", "runs/second"], folder)
    print(f"from git clone to the first learning curve: {ready - begun + first:.0f} s, {ready - begun:.0f} s of them set-up")
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"CPU of all: {spent.ru_utime + spent.ru_stime:.0f} s; the rest is waiting, for the network or other programs")
    print(f"a second start, to the first line of progress: {second:.1f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), *sys.argv[2:])
