"""A mistake is refused before anything slow is imported: torch alone takes seconds.

What is imported is checked instead of the time, because a test that rests on the speed of the machine fails on a busy one.
"""

import json
import subprocess
import sys

import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources

pytestmark = pytest.mark.slow

SLOW = ("torch", "onnx", "matplotlib", "plotly", "rclpy", "tensorboard", "rich", "spike_ctrl_identify.fit")
NUMBA = (*SLOW, "numba", "scipy")


PROGRAM = """
import contextlib, io, json, sys
from spike_ctrl.cli.main import main
for arguments in json.loads(sys.argv[1]):
    error = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error):
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, error.getvalue(), list(sys.modules)]))
"""


def imported(*lines):
    """Of each command line, one after the other in a new process: exit code, error output, and what is imported by then."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(lines)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return [(code, error, set(modules)) for code, error, modules in map(json.loads, done.stdout.splitlines())]


def test_help_imports_no_compiler_and_no_torch():
    lines = (["--help"], ["train", "--help"], ["eval", "--help"], ["launch", "--help"])
    for arguments, (code, _, modules) in zip(lines, imported(*lines), strict=True):
        assert code == 0 and not modules & set(NUMBA), arguments


MISTAKES = {
    ("train", "nosuch"): "recipe 'nosuch' not found",
    ("train", "rates"): "wanted 'motors' for airframe crazyflie; made for it: recipe default",
    ("train", "--airframe", "nosuch"): "airframe 'nosuch' not found",
    ("eval", "nosuch.safetensors"): "nosuch.safetensors",
    ("launch", "nosuch"): "not found in launch",
    ("launch", "flight", "vehicel:=embedded"): "did you mean 'vehicle'?",
    ("launch", "sim_train", "vehicle:=2"): "did you mean 'vehicles'?",
    ("launch", "replay"): "argument 'bag' is required",
    ("train", "--seed", "-1"): "--seed: found -1, wanted 0 to 4294967295",
    ("train", "--steps", "5"): "--steps: found 5, wanted 0 or 1000",
    ("retrain", "nosuch"): "nosuch: no such bag",
    ("identify", "nosuch", "--recipe", "nope"): "recipe 'nope' not found",
    ("identify", "nosuch"): "nosuch: no such bag",
    ("identify", "empty"): "empty: found no .mcap file, wanted a bag",
    ("retrain", "empty"): "empty: found no .mcap file, wanted a bag",
    ("adapt", "nosuch"): "model 'nosuch' not found",
    ("report", "nosuch"): "nosuch",
    ("film", "nosuch"): "nosuch",
    ("export", "nosuch.safetensors", "--to", "c", "-o", "nowhere"): "nosuch.safetensors",
    ("train", "mine.yaml"): "did you mean 'alpha'?",
    ("train", "terms.yaml"): "wanted none for bptt, whose costs are fixed; base: td3bc, td3",
    ("train", "--run", "there"): "run there: exists already",
    ("train", "--resume", "nosuch"): "run nosuch: run.json is missing",
    ("train", "--resume", "there"): "run there: is finished; its policy is there/policy.safetensors",
}


@pytest.mark.plug_ins
def test_a_mistake_is_refused_before_torch_is_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("name: mine\nbase: td3bc\ntd3bc: {alfa: 1}\n")
    (tmp_path / "terms.yaml").write_text("name: terms\nbase: default\ntask: {terms: {level: {function: a:b, weight: 1}}}\n")
    (tmp_path / "empty").mkdir()
    run = tmp_path / "there"
    run.mkdir()
    about = {"airframe_hash": airframe.load("crazyflie").hash, "vehicles": 256, "seed": 0, "environment_steps": 40000}
    (run / "run.json").write_text(json.dumps(about))
    (run / "recipe.yaml").write_text("base: debug\n")
    (run / "airframe.yaml").write_bytes((resources.folder("config") / "airframes" / "crazyflie.yaml").read_bytes())
    (run / "state.safetensors").touch()
    for (arguments, words), (code, error, modules) in zip(MISTAKES.items(), imported(*MISTAKES), strict=True):
        assert code == 2 and words in error and not modules & set(SLOW), (arguments, error)


def test_the_program_that_asks_the_supervisor_loads_none_of_the_flight_itself():
    code = "import sys, spike_ctrl_flight.flight_operator_node\nprint(*sys.modules, sep='\\n')"
    modules = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    flown = {name for name in modules if name.startswith(("spike_ctrl.flight.", "spike_ctrl.control"))}
    assert flown == {"spike_ctrl.flight.request", "spike_ctrl.flight.realtime_scheduling"} and not modules & set(NUMBA) - {
        "rclpy"
    }
