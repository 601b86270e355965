"""Machine code that is kept: a training gives the same weights whether it compiles its kernels or finds them compiled."""

import os
import subprocess
from pathlib import Path

import pytest
from output import executable

from spike_ctrl.policy import checkpoint

pytestmark = pytest.mark.flight  # it compiles for a minute or two


@pytest.mark.parametrize(("recipe", "airframe"), [("default", "crazyflie"), ("rates", "sih_quadx")])
def test_the_run_that_compiles_and_the_next_one_learn_the_same(recipe, airframe, tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kernels"), "OMP_NUM_THREADS": "1"}
    learned = []
    for run in ("compiles", "finds"):
        words = ["train", recipe, "--airframe", airframe, "--steps", "32768", "--vehicles", "256", "--run", tmp_path / run]
        subprocess.run([executable("spike-ctrl"), *words], env=environment, check=True, capture_output=True)
        kernels = {path.name for path in Path(environment["NUMBA_CACHE_DIR"]).rglob("*.nbc")}
        learned.append((kernels, checkpoint.load(max((tmp_path / run / "stages").iterdir())).weights))
    (compiled, first), (found, second) = learned
    assert compiled == found  # the second run compiled nothing
    assert all((first[name] == second[name]).all() for name in first)
