"""A mistake is refused before anything slow is imported: torch alone takes seconds.

What is imported is checked instead of the time, because a test that rests on the speed of the machine fails on a busy one.
"""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SLOW = ("torch", "onnx", "matplotlib", "plotly", "rclpy", "tensorboard", "rich", "spike_ctrl_identify.fit")
NUMBA = (*SLOW, "numba", "scipy")


def imported(arguments):
    """The exit code of spike-ctrl with these arguments, its error output, and what it imported."""
    code = (
        "import sys\nfrom spike_ctrl.cli.main import main\n"
        f"try:\n    code = main({arguments!r})\nexcept SystemExit as end:\n    code = end.code\n"
        "print(*sys.modules, sep='\\n')\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr, set(done.stdout.split())


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["eval", "--help"], ["launch", "--help"]])
def test_help_imports_no_compiler_and_no_torch(arguments):
    code, _, modules = imported(arguments)
    assert code == 0 and not modules & set(NUMBA)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "nosuch"], "recipe 'nosuch' not found"),
        (["train", "rates"], "wanted 'motors' for airframe crazyflie; made for it: recipe default"),
        (["train", "--airframe", "nosuch"], "airframe 'nosuch' not found"),
        (["eval", "nosuch.safetensors"], "nosuch.safetensors"),
        (["launch", "nosuch"], "not found in launch"),
        (["launch", "flight", "vehicel:=embedded"], "did you mean 'vehicle'?"),
        (["launch", "sim_train", "vehicle:=2"], "did you mean 'vehicles'?"),
        (["launch", "replay"], "argument 'bag' is required"),
        (["train", "--seed", "-1"], "--seed: found -1, wanted 0 to 4294967295"),
        (["train", "--steps", "5"], "--steps: found 5, wanted 0 or 1000"),
        (["retrain", "nosuch"], "nosuch: no such bag"),
        (["identify", "nosuch", "--recipe", "nope"], "recipe 'nope' not found"),
        (["identify", "nosuch"], "nosuch: no such bag"),
        (["report", "nosuch"], "nosuch"),
        (["film", "nosuch"], "nosuch"),
        (["export", "nosuch.safetensors", "--to", "c", "-o", "nowhere"], "nosuch.safetensors"),
    ],
)
def test_a_mistake_is_refused_before_torch_is_imported(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, error, modules = imported(arguments)
    assert code == 2 and words in error and not modules & set(SLOW)


def test_a_typo_in_a_recipe_is_refused_before_torch_is_imported(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine\nbase: td3bc\ntd3bc: {alfa: 1}\n")
    code, error, modules = imported(["train", str(recipe)])
    assert code == 2 and "did you mean 'alpha'?" in error and not modules & set(SLOW)


def test_the_program_that_asks_the_supervisor_loads_none_of_the_flight_itself():
    code = "import sys, spike_ctrl_flight.flight_operator_node\nprint(*sys.modules, sep='\\n')"
    modules = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    flown = {name for name in modules if name.startswith(("spike_ctrl.flight.", "spike_ctrl.control"))}
    assert flown == {"spike_ctrl.flight.request", "spike_ctrl.flight.realtime_scheduling"} and not modules & set(NUMBA) - {
        "rclpy"
    }
