"""The number of threads belongs to the process: the library leaves it alone, programs ask for one."""

import subprocess
import sys

import pytest
import torch
from threadpoolctl import threadpool_info

from spike_ctrl.learn.training_process import training_process

pytestmark = pytest.mark.slow

LEARNERS = """
import torch
from threadpoolctl import threadpool_info
from spike_ctrl import airframe
from spike_ctrl.learn import recipe
from spike_ctrl.learn.learner import Learner

def threads():
    return torch.get_num_threads(), [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

torch.set_num_threads(2)
before = threads()
for name in ("td3bc", "default"):
    Learner(recipe.find(name), airframe.load("crazyflie"), 256, 0)
assert max(before[1]) == 2 and threads() == before, (before, threads())
"""


def test_a_learner_leaves_the_threads_of_its_process_as_they_are():
    environment = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    import os

    subprocess.run([sys.executable, "-c", LEARNERS], check=True, env=os.environ | environment)


def test_a_program_computes_on_one_thread_and_gives_the_others_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with training_process():
            assert torch.get_num_threads() == 1
            assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
