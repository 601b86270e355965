"""The library knows no ROS and reads no clock, and the aircraft's part of it needs no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import spike_ctrl

pytestmark = pytest.mark.slow

ROOT = Path(spike_ctrl.__file__).parent
MODULES = {str(path.relative_to(ROOT)): path for path in sorted(ROOT.rglob("*.py"))}
MAY_READ_CLOCKS = ("cli/", "launching/")  # they talk to people and processes
NOW = ("now", "utcnow", "today")
ROS = {"rclpy", "spike_ctrl_msgs", "spike_ctrl_ros"}
ONBOARD = (
    "policy.checkpoint", "policy.numpy_runtime", "control.geometric_guide", "learn.recipe",
    "learn.teacher",
    "sim.observation", "airframe", "px4.link", "flight.supervisor", "flight.auto_mission", "px4.preflight",
    "flight.flight_statistics", "px4.companion", "px4.connection",
)  # fmt: skip


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def clock_readings(tree):
    """Calls of time.* and of datetime's now, utcnow and today, whatever the modules are called here."""
    alias = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            alias |= {name.asname or name.name: name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            alias |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            head, *rest = ast.unparse(node.func).split(".")
            called = ".".join([alias.get(head, head), *rest])
            if called.startswith("time.") or (called.startswith("datetime.") and rest and rest[-1] in NOW):
                yield f"line {node.lineno}: {called}"


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_a_ros_client(module):
    assert not ROS & {name.split(".")[0] for name in imports(ast.parse(MODULES[module].read_text()))}


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith(MAY_READ_CLOCKS)])
def test_no_module_reads_a_clock(module):
    assert not list(clock_readings(ast.parse(MODULES[module].read_text())))


@pytest.mark.parametrize(
    "source",
    ["import time; time.time()", "from time import monotonic as m; m()", "import datetime as d; d.datetime.now()",
     "from datetime import datetime; datetime.now()"],
)  # fmt: skip
def test_a_clock_is_found_under_any_name(source):
    assert list(clock_readings(ast.parse(source)))


def test_what_flies_imports_neither_torch_nor_gymnasium():
    code = """
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(f"spike_ctrl.{module}")
    print(module, *{"torch", "gymnasium"} & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", code, *ONBOARD], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == list(ONBOARD)
