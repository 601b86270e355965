"""Compile what trains and flies before its first use, for `make setup`: compile_kernels.py FOLDER, of a short training.

Another checkout of the same sources finds them in the user's cache, which keeps those of five states of the sources.
"""

import shutil
import sys
from functools import partial
from pathlib import Path

from spike_ctrl import Airframe
from spike_ctrl._files import atomic_file, kernel_cache, resources
from spike_ctrl.certification import monte_carlo
from spike_ctrl.cli import main
from spike_ctrl.flight.rehearsal import rehearse
from spike_ctrl.policy import checkpoint

KEPT = 5


def copy_folder(source: Path, target: Path) -> None:
    """Each file whole or not at all: machine code that is cut off would end every later start."""

    def copy(file: str, there: str) -> None:
        atomic_file.replace(Path(there), partial(shutil.copyfile, file))

    shutil.copytree(source, target, dirs_exist_ok=True, copy_function=copy, ignore=shutil.ignore_patterns("*.tmp*"))


folder = kernel_cache.folder(kernel_cache.PACKAGE)
kept = kernel_cache.user_cache() / folder.name
if kept.exists():
    copy_folder(kept, folder)
    print(f"found in {kept}")
if code := main.main(["train", "default", "--steps", "4096", "--vehicles", "64", "--run", sys.argv[1]]):
    sys.exit(code)
for name, family in (("sih_quadx", None), ("crazyflie", "rotor")):  # one flight of each action layout
    model = resources.find("models", f"{name}.safetensors")
    outcome, _ = monte_carlo.refly(1, model, family=family)
    refused = rehearse(checkpoint.load(model).compiled(), Airframe.load(name), rate_hz=100.0)
    print(f"{name}: flew {outcome.seconds:.1f} s; rehearsal: {refused or 'passed'}")
if folder.exists():  # and NUMBA_CACHE_DIR names no other
    copy_folder(folder, kept)
    kept.touch()
for old in sorted(kept.parent.glob("kernels-*"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
    shutil.rmtree(old, ignore_errors=True)
