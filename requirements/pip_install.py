"""`pip install` with one line that tells how far it is: python requirements/pip_install.py ARGUMENTS OF pip install.

Where the output is no terminal, or pip fails, it says what `pip -q` says. Needs nothing but pip.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

PIP = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]
NEXT = re.compile(r"\s*(?:Collecting|Obtaining|Processing) (\S+)")
SIZE = re.compile(r"\s*(?:Downloading|Using cached) \S+ \(([\d.]+) (kB|MB|GB)\)")
MB = {"kB": 1e-3, "MB": 1.0, "GB": 1e3}
BAR = 20  # characters
KEPT = 40  # last lines of pip that are shown if it fails


def wanted(arguments: list[str]) -> int:
    """How many packages the requirement files among the arguments pin; 0: unknown, they bring others."""
    if "--no-deps" not in arguments:
        return 0
    files = [Path(name) for flag, name in pairwise(arguments) if flag == "-r"]
    return sum(len(re.findall(r"^[a-zA-Z0-9][^\s=]*==", file.read_text(), re.MULTILINE)) for file in files)


def told(done: int, whole: int, megabytes: float, name: str) -> str:
    """The line of progress.

    >>> told(5, 10, 123.4, "numpy")
    '  [##########..........] 5 of 10 packages, 123 MB, numpy'
    """
    full = round(BAR * min(done / whole, 1.0)) if whole else 0
    bar = f"[{'#' * full}{'.' * (BAR - full)}] {done} of {whole} packages" if whole else f"{done} packages"
    return f"  {bar}, {megabytes:.0f} MB, {name}"


def main(arguments: list[str]) -> int:
    if not sys.stdout.isatty():
        return subprocess.run([*PIP, "-q", *arguments]).returncode
    whole, done, megabytes, lines = wanted(arguments), 0, 0.0, []
    with subprocess.Popen([*PIP, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        name = ""
        for line in pip.stdout:
            lines = [*lines, line][-KEPT:]
            if found := NEXT.match(line):
                done, name = done + 1, Path(found[1]).name.partition("==")[0]
            elif found := SIZE.match(line):
                megabytes += float(found[1]) * MB[found[2]]
            elif line.startswith("Installing collected packages"):
                name = "unpacking"
            show(told(done, whole, megabytes, name))
    show("")
    if pip.returncode:
        print("".join(lines), end="", file=sys.stderr)
    return pip.returncode


def show(line: str) -> None:
    print(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
