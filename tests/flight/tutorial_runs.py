"""Runs the tutorials as they are written, command by command, in a fresh clone of this checkout, and prints a row for each.

    python tests/flight/tutorial_runs.py 1 2 5              # in this order; tutorial 2 needs the flight of tutorial 1
    python tests/flight/tutorial_runs.py 4 -o /tmp/tutorials
    python tests/flight/tutorial_runs.py 6 --leave-out px4 preflight ask remote_control export

The numbers are those of docs/tutorials.md. A command is run in the folder of the clone with this environment on PATH, as
after `source .venv/bin/activate`. YAML that a page tells the reader to save is saved, and its Python is run. What a command
printed stands in FOLDER/outputs. Exit code: the number of commands that did not end with 0.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
SAVED = re.compile(r"Save this as `([\w.]+)`:\s*```yaml\n(.*?)```", re.DOTALL)


def page_of(number: int) -> Path:
    """The page of a tutorial, by its number in the table of docs/tutorials.md."""
    table = (ROOT / "docs" / "tutorials.md").read_text()
    found = re.search(rf"^\| {number} \| .*?\((tutorial_\w+\.md)\)", table, re.MULTILINE)
    if found is None:
        raise SystemExit(f"tutorial {number}: not in docs/tutorials.md")
    return ROOT / "docs" / found[1]


def commands(page: Path) -> list[str]:
    """The commands of a page in its order; a listing in Python is one command, `python -c TEXT`."""
    found = []
    for kind, text in FENCED.findall(page.read_text()):
        if kind == "sh":
            found += [line.partition("  #")[0].strip() for line in text.splitlines()]
        elif kind == "python":
            found.append(f"python - <<'END'\n{text}END")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tutorials", type=int, nargs="+", metavar="NUMBER", help="in docs/tutorials.md")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="of the clone (default: a new one in /tmp)")
    parser.add_argument("--leave-out", nargs="+", default=[], metavar="TEXT", help="commands with this in them")
    options = parser.parse_args()
    folder = (options.output or Path(tempfile.mkdtemp(prefix="tutorials_"))).absolute()
    clone, outputs = folder / "spike_ctrl", folder / "outputs"
    if not clone.is_dir():
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    outputs.mkdir(exist_ok=True)
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    print(f"{clone}\ntutorial code seconds load command", flush=True)
    failed = 0
    for number in options.tutorials:
        text = page_of(number).read_text()
        for name, listing in SAVED.findall(text):
            (clone / name).write_text(listing)
        for position, command in enumerate(commands(page_of(number)), 1):
            shown = command.splitlines()[0]
            if any(word in shown for word in options.leave_out):
                print(f"{number:8}    -       -    - {shown}", flush=True)
                continue
            begin = time.monotonic()
            with (outputs / f"{number}_{position}").open("w") as out:
                code = subprocess.run(
                    ["bash", "-c", command], cwd=clone, env=os.environ | path, stdout=out, stderr=subprocess.STDOUT
                ).returncode
            failed += code != 0
            row = f"{number:8} {code:4} {time.monotonic() - begin:7.0f} {os.getloadavg()[0]:4.1f}"
            print(f"{row} {shown}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
