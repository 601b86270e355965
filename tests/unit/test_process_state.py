"""What belongs to the whole process is its program's: an import of the library changes none of it.

Packages of others that do, such as threadpoolctl and Gymnasium, are imported before.
"""

import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.slow

CHANGES = """
import gc, importlib, logging, os, signal, sys, threading, warnings

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

for others, ours in {imports}:
    for name in others:
        importlib.import_module(name)
    for name in ours:
        before = state()
        importlib.import_module(name)
        after = state()
        print(name, [part for part in before if before[part] != after[part]])
"""
# Packages of others, and what of ours is imported after them; in this order, in one process.
IMPORTS = [
    (["numba", "torch"], ["spike_ctrl", "spike_ctrl.recordings.writer", "spike_ctrl._files.named_object"]),
    ([], ["spike_ctrl._files.compile_notice", "spike_ctrl.cli.main", "spike_ctrl.launching"]),
    ([], ["spike_ctrl.certification.flight_outcome"]),
    (["threadpoolctl", "gymnasium"], ["spike_ctrl.learn.run", "spike_ctrl.sim.environment"]),
    ([], ["spike_ctrl.policy.compiled_runtime"]),
]
NODES = [
    (["rclpy"], ["spike_ctrl_policy.snn_policy_node", "spike_ctrl_learner.learner_node"]),
    ([], ["spike_ctrl_flight.vehicle_bridge_node", "spike_ctrl_adaptation.adapter_node"]),
]


@pytest.mark.parametrize("imports", [[([], ["spike_ctrl"])], IMPORTS + (NODES if find_spec("rclpy") else [])])
@pytest.mark.plug_ins
def test_an_import_changes_nothing_that_belongs_to_the_process(tmp_path, imports):
    (tmp_path / "program.py").write_text(CHANGES.format(imports=imports))
    run = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True)
    unchanged = "".join(f"{name} []\n" for _, ours in imports for name in ours)
    assert (run.stdout, run.stderr) == (unchanged, ""), run.stderr
