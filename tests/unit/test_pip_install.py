"""Set-up tells how far it is: a line of progress on a terminal, nothing elsewhere, and all that pip says where it fails."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pseudo_terminal import on_a_terminal

SCRIPT = Path(__file__).parents[2] / "requirements" / "pip_install.py"
PIP = """
import sys
assert sys.argv[1] == "install"
if "-q" not in sys.argv:
    for name, size in (("numpy", "16.5 MB"), ("PyYAML", "500 kB"), ("torch", "1.2 GB")):
        print(f"Collecting {name}==1.0 (from -r locked.txt (line 1))")
        print(f"  Downloading {name}-1.0-py3-none-any.whl ({size})", flush=True)
    print("Installing collected packages: numpy, PyYAML, torch", flush=True)
if "broken" in sys.argv:
    print("ERROR: no matching distribution", file=sys.stderr)
    sys.exit(3)
"""


@pytest.fixture
def surroundings(tmp_path):
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").touch()
    (tmp_path / "pip" / "__main__.py").write_text(PIP)
    lines = (f"{name}==1.0 \\\n    --hash=sha256:00" for name in ("numpy", "PyYAML", "torch", "later"))
    (tmp_path / "locked.txt").write_text("\n".join(lines))
    return {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(tmp_path), "COLUMNS": "100"}}


def states_of(arguments, surroundings):
    """The exit code, and the states of the line that a terminal shows, one after the other."""
    code, written = on_a_terminal([sys.executable, SCRIPT, *arguments], **surroundings)
    return code, [state.rstrip("\r\n") for state in re.split("\r\x1b\\[K", written)]


def test_a_terminal_shows_packages_of_all_and_what_was_fetched(surroundings):
    code, states = states_of(["--no-deps", "-r", "locked.txt"], surroundings)
    assert code == 0 and "  [##########..........] 2 of 4 packages, 17 MB, PyYAML" in states
    assert states[-2:] == ["  [###############.....] 3 of 4 packages, 1217 MB, unpacking", ""]


def test_packages_that_bring_others_are_counted_without_a_whole(surroundings):
    assert "  3 packages, 1217 MB, torch" in states_of(["-r", "locked.txt"], surroundings)[1]


def test_where_pip_fails_it_is_heard_and_a_file_gets_no_progress(surroundings):
    code, states = states_of(["broken"], surroundings)
    assert code == 3 and "ERROR: no matching distribution" in states[-1]
    piped = subprocess.run([sys.executable, SCRIPT, "broken"], capture_output=True, text=True, **surroundings)
    assert (piped.returncode, piped.stdout, piped.stderr) == (3, "", "ERROR: no matching distribution\n")
