"""What belongs to the whole process is its program's: an import of the library changes none of it.

Packages of others that do, such as threadpoolctl and Gymnasium, are imported before.
"""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

CHANGES = """
import gc, logging, os, signal, sys, threading, warnings
import {first}

def state():
    found = {{
        "environment": dict(os.environ), "switch interval": sys.getswitchinterval(), "path": list(sys.path),
        "collector": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()), "folder": os.getcwd(),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "niceness": os.nice(0), "scheduler": os.sched_getscheduler(0), "processors": os.sched_getaffinity(0),
        "threads": threading.active_count(), "level of logs": logging.getLogger().level,
    }}
    if "torch" in sys.modules:
        import torch
        found |= {{"threads of torch": torch.get_num_threads(), "default type": torch.get_default_dtype()}}
    if "numba" in sys.modules:
        import numba
        found |= {{"kernels of others": numba.config.CACHE_DIR}}
    return found

before = state()
import {library}
after = state()
print([name for name in before if before[name] != after[name]])
"""


@pytest.mark.parametrize(
    ("first", "library"),
    [
        ("sys", "spike_ctrl"),
        ("numba, torch", "spike_ctrl"),
        (
            "numba, torch, threadpoolctl, gymnasium",
            "spike_ctrl.learn.run, spike_ctrl.sim.environment, spike_ctrl.policy.compiled_runtime",
        ),
        ("numba, torch", "spike_ctrl.cli.main, spike_ctrl.launching, spike_ctrl.certification.flight_outcome"),
        ("numba, torch", "spike_ctrl.recordings.writer, spike_ctrl._files.named_object, spike_ctrl._files.compile_notice"),
        (
            "rclpy, numba, torch, threadpoolctl, gymnasium",
            "spike_ctrl_policy.snn_policy_node, spike_ctrl_learner.learner_node",
        ),
        (
            "rclpy, numba, torch, threadpoolctl, gymnasium",
            "spike_ctrl_flight.vehicle_bridge_node, spike_ctrl_adaptation.adapter_node",
        ),
    ],
)
def test_an_import_changes_nothing_that_belongs_to_the_process(tmp_path, first, library):
    if "rclpy" in first:
        pytest.importorskip("rclpy")
    (tmp_path / "program.py").write_text(CHANGES.format(first=first, library=library))
    run = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("[]\n", ""), run.stderr
