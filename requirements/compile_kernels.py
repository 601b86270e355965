"""Compile what trains and flies before its first use, for `make setup`: compile_kernels.py FOLDER, of a short training.

Another checkout of the same sources finds them in the user's cache, which keeps those of five states of the sources.
"""

import shutil
import sys

from spike_ctrl import Airframe
from spike_ctrl._files import kernel_cache, resources
from spike_ctrl.certification import monte_carlo
from spike_ctrl.cli import main
from spike_ctrl.flight.rehearsal import rehearse
from spike_ctrl.policy import checkpoint

KEPT = 5

folder = kernel_cache.folder(kernel_cache.PACKAGE)
kept = kernel_cache.user_cache() / folder.name
if kept.exists():
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    print(f"found in {kept}")
if code := main.main(["train", "default", "--steps", "4096", "--vehicles", "64", "--run", sys.argv[1]]):
    sys.exit(code)
for name, family in (("sih_quadx", None), ("crazyflie", "rotor")):  # one flight of each action layout
    model = resources.find("models", f"{name}.safetensors")
    outcome, _ = monte_carlo.refly(1, model, family=family)
    refused = rehearse(checkpoint.load(model).compiled(), Airframe.load(name), rate_hz=100.0)
    print(f"{name}: flew {outcome.seconds:.1f} s; rehearsal: {refused or 'passed'}")
shutil.copytree(folder, kept, dirs_exist_ok=True)
kept.touch()
for old in sorted(kept.parent.glob("kernels-*"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
    shutil.rmtree(old, ignore_errors=True)
